"""Which trace is in progress, per thread and task; free of MLIR so that eager code stays light."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from phalanx.compiler.trace.tracing import Trace

_current: contextvars.ContextVar[Trace | None] = contextvars.ContextVar("phalanx_trace", default=None)


def current() -> Trace | None:
    """The trace in progress in this context, if any."""
    return _current.get()


def variable() -> contextvars.ContextVar[Trace | None]:
    """The context variable behind `current`, for callers in machine code."""
    return _current


@contextlib.contextmanager
def activate(trace: Trace | None) -> Iterator[None]:
    """Make `trace` the current one; None runs eagerly inside a trace, for host-side helpers."""
    token = _current.set(trace)
    try:
        yield
    finally:
        _current.reset(token)
