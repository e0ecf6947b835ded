"""`PHALANX_COMPILE_ISOLATED=1`: a compile is tried in a child process first.

The LLVM wheels have assertions on, so a mistake in a pass can end the interpreter. Tried in a forked child
it ends the child, and the parent raises a CompileError that names the pass and shows LLVM's last words.
Errors that are Python exceptions are left to the real compile, which follows.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import tempfile
from collections.abc import Callable
from typing import Any

from phalanx.compiler.pipeline.diagnostics import shorten
from phalanx.dialects.errors import CompileError
from phalanx.dialects.records import record

_MARK = "phalanx: running "


@record(frozen=False)
class Announcer:
    """An instrument that says which pass is about to run, so that the last one said is the one that died."""

    descriptor: int = 2

    def before(self, name: str, module: Any) -> None:
        self.say(name)

    def after(self, name: str, module: Any, seconds: float) -> None:
        """Nothing to say."""

    def say(self, what: str) -> None:
        """Also for steps that are not passes, such as code generation."""
        os.write(self.descriptor, f"{_MARK}{what}\n".encode())


def attempt(work: Callable[[Announcer], object]) -> None:
    """Run `work` in a forked child; raises CompileError when a signal ended the child."""
    with tempfile.TemporaryFile() as output:
        sys.stdout.flush()
        sys.stderr.flush()
        child = os.fork()
        if child == 0:
            _run_child(work, output.fileno())
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            return
        output.seek(0)
        said = output.read().decode(errors="replace").splitlines()
    raise _ended(status, said)


def guarded(work: Callable[[Announcer], int]) -> int:
    """The exit code of `work`, run in a forked child whose output is passed on.

    Raises CompileError when a signal ended the child, with the step that ran and LLVM's last words.
    """
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        sys.stdout.flush()
        sys.stderr.flush()
        child = os.fork()
        if child == 0:
            _run_guarded(work, output.fileno(), errors.fileno())
        _, status = os.waitpid(child, 0)
        output.seek(0)
        errors.seek(0)
        said = errors.read().decode(errors="replace").splitlines()
        words = [line for line in said if not line.startswith(_MARK)]
        if not os.WIFSIGNALED(status):
            sys.stdout.write(output.read().decode(errors="replace"))
            sys.stdout.flush()
            sys.stderr.write("".join(f"{line}\n" for line in words))
            return os.waitstatus_to_exitcode(status)
    raise _ended(status, said)


def _ended(status: int, said: list[str]) -> CompileError:
    """The error for a child that a signal ended, from all it wrote."""
    name = signal.Signals(os.WTERMSIG(status)).name
    running = next((line.removeprefix(_MARK) for line in reversed(said) if line.startswith(_MARK)), "reading")
    words = [line for line in said if line and not line.startswith((_MARK, "PLEASE submit", "Stack dump", " #", "#"))]
    return CompileError(f"{running}: ended the process by {name}", note=shorten("\n".join(words)) or None,
                        hint="this is a mistake in the compiler; PHALANX_DUMP_IR=folder shows the IR before that pass")


def _run_guarded(work: Callable[[Announcer], int], output: int, errors: int) -> None:
    """Never returns: the child ends here, without the parent's exit handlers."""
    code = 1
    faulthandler.disable()
    os.dup2(output, 1)
    os.dup2(errors, 2)
    sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
    try:
        code = work(Announcer())
    except BaseException:  # noqa: BLE001 - whatever it is, the parent shows it
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _run_child(work: Callable[[Announcer], object], output: int) -> None:
    """Never returns: whatever happens, the child ends here, without the parent's exit handlers."""
    faulthandler.disable()
    os.dup2(output, 1)
    os.dup2(output, 2)
    try:
        work(Announcer())
    finally:
        os._exit(0)
