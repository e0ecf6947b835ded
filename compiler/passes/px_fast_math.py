"""px-fast-math: what `px.options(fastmath=...)` allows is written on every float operation.

    %2 = arith.addf %0, %1 : f32   ->   %2 = arith.addf %0, %1 fastmath<nnan> : f32

Runs on linalg bodies, so that schedules and LLVM see the flags; the code of elementary functions, whose
error-compensating steps must stay as they are, is written later and has none.
"""

from __future__ import annotations

from typing import Any

from mlir import ir

from phalanx.compiler.config import FASTMATH_FLAGS
from phalanx.compiler.pipeline.registry import pass_

_ARITHMETIC = frozenset(f"arith.{name}" for name in ("addf", "subf", "mulf", "divf", "remf", "negf", "cmpf"))
_EXTREMES = frozenset(f"arith.{name}" for name in ("maximumf", "minimumf", "maxnumf", "minnumf"))


@pass_("px-fast-math", "write fast-math flags on float arithmetic")
def fast_math(module: ir.Module, *, flags: str = "") -> None:
    """`flags` are names of LLVM's fast-math flags joined by "+"; those an operation has stay."""
    wanted = frozenset(flags.split("+")) if flags else frozenset()

    def visit(operation: Any) -> ir.WalkResult:
        name = operation.name
        if name in _EXTREMES:
            _add(operation, wanted - {"ninf"})  # reductions to an extreme start from an infinity
        elif name in _ARITHMETIC or (name.startswith("math.") and _is_float(operation.results[0].type)):
            _add(operation, wanted)
        return ir.WalkResult.ADVANCE

    if wanted:
        module.operation.walk(visit)


def has_flag(operation: Any, flag: str) -> bool:
    """Whether an operation carries a fast-math flag.

    >>> has_flag(operation, "afn")
    False
    """
    return "fastmath" in operation.attributes and flag in _flags(operation.attributes["fastmath"])


def _add(operation: Any, wanted: frozenset[str]) -> None:
    old = _flags(operation.attributes["fastmath"]) if "fastmath" in operation.attributes else frozenset()
    listed = ",".join(flag for flag in FASTMATH_FLAGS if flag in wanted | old)
    operation.attributes["fastmath"] = ir.Attribute.parse(f"#arith.fastmath<{listed}>", operation.context)


def _flags(attribute: Any) -> frozenset[str]:
    text = str(attribute).partition("<")[2].rstrip(">")
    return frozenset(FASTMATH_FLAGS) if text == "fast" else frozenset(text.split(",")) - {"none"}


def _is_float(type_: Any) -> bool:
    element = ir.ShapedType(type_).element_type if isinstance(type_, ir.ShapedType) else type_
    return isinstance(element, ir.F16Type | ir.BF16Type | ir.F32Type | ir.F64Type)
