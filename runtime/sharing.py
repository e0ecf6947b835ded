"""Lets a library's parallel loops run on several threads: the callback that exported functions take, in Python.

The threads run native code with the GIL released; Python only hands out the shares. That costs some tens of microseconds per
loop, most of it until a thread wakes up, so that only loops are shared that were seen to take longer.
"""

from __future__ import annotations

import ctypes
import functools
import os
import threading
from collections.abc import Callable
from time import perf_counter

from phalanx.dialects.errors import ArgumentError

_Task = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)
_ParallelFor = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p)

# Seconds a loop must take alone to be shared: twice what handing it out costs on a machine with other work.
_WORTH_SHARING = 200e-6
# How much of the time seen before stays in the estimate.
_REMEMBERED = 0.75

Work = Callable[[], None]


class _Worker:
    """A thread that waits for one piece of work after the other."""

    def __init__(self) -> None:
        self._work: Work | None = None
        self._ready, self._done = threading.Lock(), threading.Lock()
        self._ready.acquire()
        self._done.acquire()
        threading.Thread(target=self._serve, name="phalanx", daemon=True).start()

    def start(self, work: Work) -> None:
        self._work = work
        self._ready.release()

    def finish(self) -> None:
        self._done.acquire()

    def _serve(self) -> None:
        while True:
            self._ready.acquire()
            assert self._work is not None
            self._work()
            self._done.release()


class Sharing:
    """`threads` threads, the calling one among them; made at the first loop, and again in a forked child.

    Calls at the same time have the others between them: who finds none idle does the work alone.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._lock = threading.Lock()
        self._process = 0
        self._idle: list[_Worker] = []
        self._workers = 0
        #: seconds per number that loops took on one thread, by the address of their code
        self._seconds: dict[int, float] = {}
        self._callback = _ParallelFor(self._run)  # kept: native code has only the address
        self.address = ctypes.cast(self._callback, ctypes.c_void_p).value

    def _take(self, wanted: int) -> list[_Worker]:
        """Up to `wanted` idle workers."""
        with self._lock:
            if self._process != os.getpid():  # threads do not survive a fork
                self._process, self._workers, self._idle = os.getpid(), 0, []
            while len(self._idle) < wanted and self._workers < self.threads - 1:
                try:
                    self._idle.append(_Worker())
                except RuntimeError:  # the interpreter is shutting down, or the system refuses
                    break
                self._workers += 1
            split = max(len(self._idle) - wanted, 0)
            self._idle, taken = self._idle[:split], self._idle[split:]
        return taken

    def _run(self, _user: int | None, count: int, address: int, context: int | None) -> None:
        """Run the numbers 0 to count - 1, each once; the share `i` is lane `i`."""
        task = _Task(address)
        known = self._seconds.get(address)
        wanted = min(self.threads, count) - 1 if known is not None and known * count >= _WORTH_SHARING else 0
        workers = self._take(wanted) if wanted > 0 else []
        parts = len(workers) + 1
        bounds = [count * i // parts for i in range(parts + 1)]
        for lane, worker in enumerate(workers, 1):
            worker.start(functools.partial(task, context, bounds[lane], bounds[lane + 1], lane))
        start = perf_counter()
        task(context, 0, bounds[1], 0)
        self._learn(address, perf_counter() - start, bounds[1], known)
        for worker in workers:
            worker.finish()
        if workers:
            with self._lock:
                self._idle += workers

    def _learn(self, address: int, seconds: float, count: int, known: float | None) -> None:
        """Note how long the numbers of one thread took."""
        if count > 0:
            each = seconds / count
            self._seconds[address] = each if known is None else _REMEMBERED * known + (1 - _REMEMBERED) * each


@functools.cache
def sharing(threads: int) -> Sharing:
    """The one Sharing for that many threads.

    Raises ArgumentError for a number below 1.
    """
    if not isinstance(threads, int) or threads < 1:
        raise ArgumentError(f"load: threads must be at least 1, got {threads!r}")
    return Sharing(threads)
