"""Passes and code generation as one call of LLVM, so that a thread asks for Python's lock once, at its end.

MLIR keeps that lock for milliseconds at a time. The few instructions that make the two calls of LLVM one behind the other
are themselves compiled when they are first wanted.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import threading
from typing import Any

from phalanx.compiler.targets import machines
from phalanx.compiler.targets.isa import isa
from phalanx.compiler.targets.llvm_c import Emission, LlvmModule, TargetMachine, parse, take_buffer
from phalanx.dialects.errors import CompileError
from phalanx.runtime import jit
from phalanx.runtime.libllvm import Handle, Text, function, library, take_error, take_message

_OBJECT = 1
_NAME = "px_generate"
_PASSES, _EMIT = "LLVMRunPasses", "LLVMTargetMachineEmitToMemoryBuffer"

_BOTH = f"""
declare ptr @{_PASSES}(ptr, ptr, ptr, ptr)
declare i32 @{_EMIT}(ptr, ptr, i32, ptr, ptr)

define i32 @{_NAME}(ptr %module, ptr %passes, ptr %options, ptr %machine, ptr %error, ptr %message, ptr %buffer) {{
  %none = icmp eq ptr %passes, null
  br i1 %none, label %emit, label %run
run:
  %failure = call ptr @{_PASSES}(ptr %module, ptr %passes, ptr %machine, ptr %options)
  store ptr %failure, ptr %error
  %passed = icmp eq ptr %failure, null
  br i1 %passed, label %emit, label %failed
emit:
  %status = call i32 @{_EMIT}(ptr %machine, ptr %module, i32 {_OBJECT}, ptr %message, ptr %buffer)
  ret i32 %status
failed:
  ret i32 1
}}
"""


class Generation:
    """A module on its way to an object; the module belongs to it, and the machine until it is closed.

    >>> generation = Generation(module, machines.take(isa), "default<O2>")
    >>> data = generation.result()
    """

    def __init__(self, module: LlvmModule, machine: TargetMachine, passes: str) -> None:
        self._module, self._machine, self._passes = module, machine, passes
        self._error, self._message, self._buffer = Handle(), Handle(), Handle()
        self._lock = threading.Lock()
        self._failed, self._over, self._open = False, False, True

    def run(self) -> None:
        """Passes and code generation, unless another thread has done so; waits for one that is at it."""
        with self._lock:
            if self._over:
                return
            options = function("LLVMCreatePassBuilderOptions", Handle)()
            places = map(ctypes.byref, (self._error, self._message, self._buffer))
            passes = self._passes.encode() or None
            self._failed = bool(_both()(self._module.handle, passes, options, self._machine.handle, *places))
            self._over = True
            function("LLVMDisposePassBuilderOptions", None, Handle)(options)

    def result(self) -> bytes:
        """The object, made here if nobody has; can be asked for once. Raises CompileError when there is none."""
        self.run()
        try:
            if self._failed:
                refused = take_error(self._error.value)
                doing = f"LLVM passes {self._passes!r}" if refused else f"code generation for {self._machine.cpu!r}"
                raise CompileError(f"{doing}: {refused or take_message(self._message.value)}")
            data = take_buffer(self._buffer)
            self._module.raise_errors(f"code generation for {self._machine.cpu!r}")
            return data
        finally:
            self.close()

    def close(self) -> None:
        """Free what belongs to it; it does not run any more."""
        with self._lock:
            self._over = True
            if self._open:
                self._open = False
                self._module.close()
                machines.give_back(self._machine)


class Worker:
    """A thread that runs generations beside the rest of a compile: whoever asks for its results helps it first.

    It takes what came last, helpers what came first: parts of a program come after its shared functions, and are larger.

    >>> with Worker() as worker:
    ...     worker.add(generation)
    ...     worker.help()
    """

    def __init__(self) -> None:
        self._waiting: list[Generation] = []
        self._wanted = threading.Semaphore(0)
        self._closed = False
        self._thread: threading.Thread | None = None
        self.parts: list[Generation] = []

    def add(self, generation: Generation, *, part: bool = False) -> None:
        """Let the thread run it; `parts` of the program are closed with the worker."""
        if part:
            self.parts.append(generation)
        self._waiting.append(generation)
        self._wanted.release()
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="phalanx-llvm")
            with contextlib.suppress(RuntimeError):  # none can be started: then help does everything
                self._thread.start()

    def _work(self) -> None:
        while self._wanted.acquire() and not self._closed:
            with contextlib.suppress(IndexError):
                self._waiting.pop().run()

    def help(self) -> None:
        """Run what the thread has not begun with."""
        with contextlib.suppress(IndexError):
            while True:
                self._waiting.pop(0).run()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self._waiting.clear()
        self._closed = True
        self._wanted.release()
        for part in self.parts:
            part.close()


_lock = threading.Lock()
_made: list[Any] = []
_preparing: list[threading.Thread] = []


def prepare() -> None:
    """Make ready in a thread, once, what the first `Generation` of a process would have to wait for."""
    if not _made and not _preparing:
        thread = threading.Thread(target=_both, name="phalanx-prepare")
        _preparing.append(thread)
        with contextlib.suppress(RuntimeError):  # none can be started: then the first one waits
            thread.start()


def _both() -> Any:
    """The function that makes both calls."""
    with _lock:
        if not _made:
            _made.append(_compiled())
        return _made[0]


def _compiled() -> Any:
    here = isa("host")
    with machines.borrowed(here) as machine, parse(_BOTH, _NAME) as module:
        module.set_target(machine)
        module.add_attributes(here.function_attributes)  # as others will have, so that the machine is prepared for them
        emission = Emission(module, machine, spent=True)
        emission.run()
        data = emission.take()
    code = jit.load(data, {name: jit.address_of(getattr(library(), name)) for name in (_PASSES, _EMIT)})
    return code.function(_NAME, ctypes.c_int, Handle, Text, *[Handle] * 5)


def _after_fork_in_child() -> None:
    global _lock
    _lock = threading.Lock()
    _preparing.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
