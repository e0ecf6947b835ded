"""Loading MLIR: its library beside everything else, and without being interrupted.

Opening the library takes 45 ms, in which Python's lock can be left alone. A thread does it, from the moment when something
is made that will be compiled; the first trace imports the rest of the compiler meanwhile. For that the bindings stand in
`sys.modules` as modules that are filled when first used (`importlib.util.LazyLoader`).

An import of the bindings that an exception breaks off half way (Ctrl-C, the alarm of a test runner) leaves C++ state
behind on which the next attempt dies of a segmentation fault. Importing this module does not import MLIR.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import importlib.util
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

_done: list[bool] = []
_lock = threading.RLock()
_opening: list[threading.Thread] = []

# Modules of the bindings that our modules import at their top, but use in functions only.
_LAZY = ("mlir.ir", "mlir.passmanager")

# What a first compile needs and can be imported without MLIR, and brings most of the rest.
_MEANWHILE = ("logging", "phalanx.compiler.trace.traced", "phalanx.compiler.native", "phalanx.compiler.passes.form_clusters",
              "phalanx.compiler.passes.schedule_loops", "phalanx.compiler.passes.convert_px_to_linalg",
              "phalanx.compiler.passes.split_pieces", "phalanx.compiler.passes.px_canonicalize",
              "phalanx.compiler.passes.px_verify", "phalanx.compiler.passes.px_locations")


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


def open_ahead() -> None:
    """Start opening MLIR's library in a thread, once and if there is a processor for it; returns at once."""
    if _opening or _done or _processors() < 2 or "mlir" in sys.modules:
        return
    import bisect  # noqa: F401 - the compiler wants it, and no other library opens meanwhile

    thread = threading.Thread(target=_open, name="phalanx-open")
    _opening.append(thread)
    with contextlib.suppress(RuntimeError):  # none can be started: then the import opens it
        thread.start()


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _open() -> None:
    """Open the library of the bindings, and with it LLVM's; what is wrong with it the import says better."""
    try:
        spec = importlib.util.find_spec("mlir._mlir_libs")
    except (ImportError, ValueError):
        return
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for file in Path(folder).glob("libMLIRPythonCAPI.*"):
            _dlopen(file)


def _dlopen(file: Path) -> None:
    """Open a library as the import of a module that needs it would; a foreign call, since `ctypes.CDLL` keeps the lock."""
    program = ctypes.CDLL(None)
    if hasattr(program, "dlopen"):
        program.dlopen.restype = ctypes.c_void_p
        program.dlopen(os.fsencode(file), os.RTLD_NOW | os.RTLD_LOCAL)


def _wait() -> None:
    """Wait until the thread has done its work: the library must not be half open in a process that forks."""
    for thread in _opening:
        if thread.is_alive() and thread is not threading.current_thread():
            thread.join()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_wait)


def _fill_later(name: str) -> None:
    """Put a module into `sys.modules` that is imported when something in it is first asked for; not if there is none."""
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return
    if spec is None or spec.loader is None or name in sys.modules:
        return
    loader = spec.loader = importlib.util.LazyLoader(spec.loader)
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    package, _, short = name.rpartition(".")
    setattr(sys.modules[package], short, module)


def load_mlir() -> None:
    """Import MLIR and make its context, in one piece; nothing after the first call."""
    if _done:
        return
    with _lock, signals_held():
        if _done:
            return
        open_ahead()
        if any(thread.is_alive() for thread in _opening):
            for name in _LAZY:
                _fill_later(name)
            for name in _MEANWHILE:
                importlib.import_module(name)
        _wait()
        from phalanx.compiler.context import mlir_context

        mlir_context()
        _done.append(True)
