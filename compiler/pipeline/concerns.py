"""Which passes have nothing to do in a module: told by the operations it holds, without running them.

    contents = Contents(module)
    contents.concern("convert-math-to-libm")    # False when there is no operation of `math`
    contents.ran("px-expand-math")              # `arith` and `vector` may be there now

A conversion looks at every operation and sets up its patterns even where nothing is to be converted; in a small program
the passes that find nothing take as long as the others. Passes that are not in the table always run.
"""

from __future__ import annotations

from mlir import ir

from phalanx.dialects.records import record

_TIDY = frozenset({"canonicalize", "cse"})

# What folding makes of operations of other dialects.
_FOLDED = frozenset({"arith", "memref", "ub"})


@record
class Concern:
    """What a pass changes, and what it may leave that was not there before: dialects or single operations."""

    changes: frozenset[str]
    makes: frozenset[str] = frozenset()


def _concern(changes: str, makes: str = "") -> Concern:
    return Concern(frozenset(changes.split()), frozenset(makes.split()))


_CONCERNS = {
    "px-split-loops": _concern("math.sin math.cos", "scf arith memref"),
    "px-expand-math": _concern("math", "arith math vector"),
    "px-expand-bfloat16": _concern("arith.truncf arith.extf", "arith"),
    "px-outline-parallel": _concern("scf.parallel", "func memref arith"),
    "convert-scf-to-openmp": _concern("scf.parallel", "omp llvm memref arith scf func"),
    "px-meet-once": _concern("omp"),
    "convert-vector-to-scf": _concern("vector", "scf memref arith affine vector"),
    "lower-affine": _concern("affine", "arith scf memref vector"),
    "convert-scf-to-cf": _concern("scf", "cf arith"),
    "memref-expand": _concern("memref.reshape memref.atomic_rmw memref.generic_atomic_rmw", "memref arith"),
    "expand-strided-metadata": _concern("memref", "affine memref arith"),
    "convert-vector-to-llvm": _concern("vector", "llvm arith ub vector"),
    "convert-math-to-llvm": _concern("math", "llvm"),
    "convert-math-to-libm": _concern("math", "func llvm arith vector"),
    "convert-index-to-llvm": _concern("index", "llvm"),
    "convert-arith-to-llvm": _concern("arith", "llvm"),
    "convert-ub-to-llvm": _concern("ub", "llvm"),
    "finalize-memref-to-llvm": _concern("memref", "llvm"),
    "convert-func-to-llvm": _concern("func", "llvm"),
    "convert-openmp-to-llvm": _concern("omp", "llvm"),
    "convert-cf-to-llvm": _concern("cf", "llvm"),
}


class Contents:
    """The names of the operations a module may hold, and of their dialects, kept up as passes run.

    The module is looked at when that is first asked for, and again after passes of which the table knows nothing.
    """

    def __init__(self, module: ir.Module) -> None:
        self._module = module
        self._names: set[str] | None = None
        self._tidied: set[str] = set()

    def asks(self, name: str) -> bool:
        """Whether `concern` has to look at the module for a pass."""
        return self._names is None and name in _CONCERNS

    def concern(self, name: str) -> bool:
        """Whether a pass may have something to do."""
        if name in _TIDY:
            return self._tidied != _TIDY
        known = _CONCERNS.get(name)
        if known is None:
            return True
        if self._names is None:
            self._names = _names(self._module)
        return not known.changes.isdisjoint(self._names)

    def ran(self, name: str) -> None:
        """Take note of what a pass may have left."""
        if name in _TIDY:
            self._tidied.add(name)
            if self._names is not None:
                self._names |= _FOLDED
            return
        self._tidied.clear()
        known = _CONCERNS.get(name)
        if known is None:
            self._names = None
        elif self._names is not None:
            self._names |= known.makes


def _names(module: ir.Module) -> set[str]:
    """Operations of a module, and their dialects."""
    found: set[str] = set()

    def visit(operation: ir.Operation) -> ir.WalkResult:
        found.add(operation.name)
        return ir.WalkResult.ADVANCE

    module.operation.walk(visit)
    return found | {name.partition(".")[0] for name in found}
