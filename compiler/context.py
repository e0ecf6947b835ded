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
from mlir._mlir_libs._mlir import globals as bindings

from phalanx.dialects import registration

# Where the bindings look for op views: none for big dialects, ours for px, upstream ones for the rest.
bindings.dialect_search_modules = ["phalanx.dialects.without_views", *bindings.dialect_search_modules, "phalanx.dialects"]

_lock = threading.Lock()
_shared: list[ir.Context] = []


def new_context(*, allow_unregistered: bool = False) -> ir.Context:
    """A context of its own with the px dialect and every upstream dialect, not entered.

    Modules of different contexts must never meet; use `context()` unless the whole life of the module is
    in one function, as in phalanx-opt.
    """
    made = ir.Context()
    made.enable_multithreading(False)
    made.allow_unregistered_dialects = allow_unregistered
    registration.load(made)
    return made


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
