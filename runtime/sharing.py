"""Lets a library's parallel loops run on several threads: the callback that exported functions take, in Python.

The threads run native code with the GIL released; Python only hands out the shares, which costs some tens of
microseconds per loop. Libraries share only loops that take longer.
"""

from __future__ import annotations

import ctypes
import functools
import os
import threading
from concurrent.futures import Future, ThreadPoolExecutor, wait

from phalanx.dialects.errors import ArgumentError

_Task = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)
_ParallelFor = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p)


class Sharing:
    """`threads` threads, the calling one among them; made at the first loop, and again in a forked child."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._lock = threading.Lock()
        self._pool: tuple[int, ThreadPoolExecutor] | None = None
        self._callback = _ParallelFor(self._run)  # kept: native code has only the address
        self.address = ctypes.cast(self._callback, ctypes.c_void_p).value

    def _executor(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._pool is None or self._pool[0] != os.getpid():
                self._pool = os.getpid(), ThreadPoolExecutor(max(1, self.threads - 1), "phalanx")
            return self._pool[1]

    def _run(self, _user: int | None, count: int, address: int, context: int | None) -> None:
        """Run the numbers 0 to count - 1, each once; the share `i` is lane `i`."""
        task = _Task(address)
        parts = max(1, min(self.threads, count))
        bounds = [count * i // parts for i in range(parts + 1)]
        waiting: list[Future[None]] = []
        for lane in range(1, parts):
            try:
                waiting.append(self._executor().submit(task, context, bounds[lane], bounds[lane + 1], lane))
            except RuntimeError:  # no threads any more: the interpreter is shutting down, or the system refuses
                task(context, bounds[lane], bounds[lane + 1], lane)
        task(context, 0, bounds[1], 0)
        wait(waiting)


@functools.cache
def sharing(threads: int) -> Sharing:
    """The one Sharing for that many threads.

    Raises ArgumentError for a number below 1.
    """
    if not isinstance(threads, int) or threads < 1:
        raise ArgumentError(f"load: threads must be at least 1, got {threads!r}")
    return Sharing(threads)
