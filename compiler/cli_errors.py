"""What a command prints when the code it was given fails: the frames of that code, not of what called it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import TracebackType

from phalanx.compiler import config
from phalanx.compiler.pipeline import diagnostics

_CALLERS = ("typer", "click", "importlib")
_FROZEN = "<frozen "  # the parts of importlib and runpy that start every module


def install() -> None:
    """Errors of the user's code print without the frames of the command; PHALANX_FULL_TRACEBACK=1 keeps all."""
    diagnostics.install()
    sys.excepthook = _show


def _show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    error.__traceback__ = users_part(error)
    sys.__excepthook__(kind, error, error.__traceback__)


def users_part(error: BaseException) -> TracebackType | None:
    """The traceback of `error` from the first frame of the user's code on.

    All of it when there is no such frame: then the mistake is ours. When the last frame is ours it may be, and ours
    below the user's stay. A file that Python cannot read has no frames; the error says the file and the line itself.
    """
    trace = error.__traceback__
    if config.get("full_traceback"):
        return trace
    entries = list(_entries(trace))
    called = next((n for n, entry in enumerate(entries) if diagnostics.is_own(entry)), len(entries))
    first = next((entry for entry in entries[called:] if not _is_machinery(entry)), None)
    if first is None:
        reads_users = isinstance(error, SyntaxError) and not diagnostics.is_own_file(error.filename or "")
        return None if reads_users else trace
    return first if diagnostics.is_own(entries[-1]) else diagnostics.users_frames(first)


def _entries(trace: TracebackType | None) -> Iterator[TracebackType]:
    while trace is not None:
        yield trace
        trace = trace.tb_next


def _is_machinery(entry: TracebackType) -> bool:
    frame = entry.tb_frame
    package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
    return diagnostics.is_own(entry) or package in _CALLERS or frame.f_code.co_filename.startswith(_FROZEN)
