"""The MLIR context: the only place that makes one.

There is one context for the process, since modules are cached and inlined into each other across threads;
the bindings hold the GIL in every call, which is what makes sharing it safe with MLIR's own threads off.
A context that is entered but never left crashes the interpreter at exit, so it is only ever entered by
`with`. Importing this module imports MLIR: do it at the first trace, not before.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from mlir import ir

from phalanx.dialects import registration
from phalanx.dialects.opdef import REGISTRY

# Where the bindings look for op views before they ask upstream's modules, and after: big dialects have none, px has ours.
_BEFORE, _AFTER = "phalanx.dialects.without_views", "phalanx.dialects"

# What passes build; parsing loads others as it meets them. All fifty take 4 ms.
_DIALECTS = ("func", "arith", "math", "memref", "vector", "tensor", "scf", "linalg", "cf", "llvm", "omp", "bufferization",
             "affine", "index", "ub", "complex")

_lock = threading.Lock()
_shared: list[ir.Context] = []


def new_context(*, allow_unregistered: bool = False) -> ir.Context:
    """A context of its own with the px dialect and every upstream dialect, not entered.

    Modules of different contexts must never meet; use `context()` unless the whole life of the module is
    in one function, as in phalanx-opt.
    """
    _search_views()
    made = ir.Context(load_on_create_dialects=[])
    made.enable_multithreading(False)
    made.allow_unregistered_dialects = allow_unregistered
    for name in _DIALECTS:
        made.get_dialect_descriptor(name)
    if not all(op.__module__.startswith("phalanx.") for op in REGISTRY.values()):
        made.load_all_available_dialects()  # lowerings of other packages may build anything
    registration.load(made)
    return made


def _search_views() -> None:
    from mlir._mlir_libs import _mlir  # here, since importing this module shall not open the library

    known = _mlir.globals.dialect_search_modules
    if _BEFORE not in known:
        _mlir.globals.dialect_search_modules = [_BEFORE, *known, _AFTER]


def mlir_context() -> ir.Context:
    """The context of the process, made at the first call; not entered."""
    with _lock:
        if not _shared:
            _shared.append(new_context())
        return _shared[0]


@contextmanager
def context() -> Iterator[ir.Context]:
    """Enter the context of the process.

    >>> with context():
    ...     print(ir.IntegerType.get_signless(8))
    i8
    """
    with mlir_context() as entered:
        yield entered
