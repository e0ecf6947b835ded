"""Loading MLIR without being interrupted.

An import of the bindings that an exception breaks off half way (Ctrl-C, the alarm of a test runner) leaves C++ state
behind on which the next attempt dies of a segmentation fault. Importing this module does not import MLIR.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_done: list[bool] = []


@contextmanager
def signals_held() -> Iterator[None]:
    """Run the Python handlers of signals that arrive inside after the end of the `with`.

    Handlers only ever run in the main thread, so there is nothing to hold in another.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    import signal  # half a millisecond, of which importing Phalanx has no need

    arrived: list[tuple[int, FrameType | None]] = []
    handlers = {int(number): handler for number in signal.valid_signals()
                if callable(handler := signal.getsignal(number))}
    for number in handlers:
        signal.signal(number, lambda number, frame: arrived.append((number, frame)))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    for number, frame in arrived:
        handlers[number](number, frame)


def load_mlir() -> None:
    """Import MLIR and make its context, in one piece; nothing after the first call."""
    if _done:
        return
    with signals_held():
        from phalanx.compiler.context import mlir_context

        mlir_context()
        _done.append(True)
