"""The one formatter of errors, and the way from MLIR's diagnostics to a CompileError at the user's line.

An error prints as

    add: shapes do not broadcast, got [2] and [3]
      --> model.py:12:12
       |
    12 |     return x + y
       |            ^^^^^
    note: the IR or whatever else helps
    hint: corrected code
    reproduce: phalanx-opt --pass-pipeline=... file.mlir

Nothing here imports MLIR: locations and diagnostics are only read.
"""

from __future__ import annotations

import linecache
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from phalanx.compiler import config
from phalanx.dialects.errors import CompileError, PhalanxError, install_formatter
from phalanx.dialects.records import record


def _own_folders(package: Path) -> Iterator[Path]:
    """The package and its layers, as imported and as they lie on disk."""
    for folder in (package, *(package / layer for layer in ("compiler", "dialects", "runtime"))):
        yield folder
        yield folder.resolve()


NOTE_LINES = 16
NOTE_WIDTH = 400


@record
class UserLine:
    """A place in source: what a location says once names, calls and fusions are peeled off."""

    file: str
    line: int
    column: int
    end_column: int

    def __str__(self) -> str:
        span = f"-{self.end_column}" if self.end_column > self.column else ""
        return f"{self.file}:{self.line}:{self.column}{span}"


def user_line(location: Any) -> UserLine | None:
    """The innermost file position of an MLIR location; None when it holds none."""
    if location.is_a_file():
        same_line = location.end_line == location.start_line
        end = location.end_col if same_line else location.start_col
        return UserLine(location.filename, location.start_line, location.start_col, end)
    if location.is_a_name():
        return user_line(location.child_loc)
    if location.is_a_callsite():
        return user_line(location.callee) or user_line(location.caller)
    if location.is_a_fused():
        found = (user_line(part) for part in location.locations)
        return next((line for line in found if line), None)
    return None


def location_text(location: Any) -> str | None:
    """`file:line:col` of an MLIR location, as PhalanxError takes it."""
    line = user_line(location)
    return str(line) if line else None


def excerpt(place: str) -> str:
    """The arrow, the source line and a caret; only the arrow when the source is not at hand."""
    match = re.fullmatch(r"(?s)(.*):(\d+):(\d+)(?:-(\d+))?", place)
    if not match:
        return f"  --> {place}"
    file, line, column = match.group(1), int(match.group(2)), int(match.group(3))
    arrow = f"  --> {file}:{line}:{column}"
    source = linecache.getline(file, line).rstrip("\n")
    if not source.strip():
        return arrow
    end = int(match.group(4) or 0)
    width = max(1, min(end, len(source) + 1) - column)
    indent = re.sub(r"\S", " ", source[:max(column - 1, 0)])
    gutter = " " * len(str(line))
    return f"{arrow}\n{gutter} |\n{line} | {source}\n{gutter} | {indent}{'^' * width}"


def shorten(text: str) -> str:
    """`text` cut to what fits under an error."""
    lines = [line if len(line) <= NOTE_WIDTH else line[:NOTE_WIDTH] + " ..." for line in text.splitlines()]
    if len(lines) > NOTE_LINES:
        lines = [*lines[:NOTE_LINES], f"... {len(lines) - NOTE_LINES} more lines"]
    return "\n".join(lines)


def format_error(error: PhalanxError) -> str:
    """The text of an error, in the form shown at the top of this file."""
    parts = [error.message]
    if error.location:
        parts.append(excerpt(error.location))
    if error.note:
        parts.append(f"note: {error.note}")
    if error.hint:
        parts.append(f"hint: {error.hint}")
    reproduce = getattr(error, "reproduce", None)
    if reproduce:
        parts.append(f"reproduce: {reproduce}")
    return "\n".join(parts)


def install() -> None:
    """Make every PhalanxError print in this form, and uncaught ones without our frames (once per process)."""
    install_formatter(format_error)
    if sys.excepthook is not _show_uncaught:
        _previous_hook[:] = [sys.excepthook]
        sys.excepthook = _show_uncaught


_previous_hook: list[Callable[[type[BaseException], BaseException, TracebackType | None], Any]] = []
_OWN = tuple({str(folder) + os.sep for folder in _own_folders(Path(__file__).parents[2])})


def _show_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """`sys.excepthook`: the one before, with the frames of a PhalanxError cut to the user's."""
    if isinstance(error, PhalanxError):
        trace = users_frames(trace)
        error.__traceback__ = trace
    _previous_hook[0](kind, error, trace)


def is_own(entry: TracebackType) -> bool:
    """Whether an entry of a traceback is in Phalanx."""
    return is_own_file(entry.tb_frame.f_code.co_filename)


def is_own_file(file: str) -> bool:
    """Whether a file belongs to Phalanx."""
    return file.startswith(_OWN)


def users_frames(trace: TracebackType | None) -> TracebackType | None:
    """A traceback without Phalanx's own frames; all of it with PHALANX_FULL_TRACEBACK=1 or when none is left."""
    if config.get("full_traceback"):
        return trace
    kept: list[TracebackType] = []
    entry = trace
    while entry is not None:
        if not is_own(entry):
            kept.append(entry)
        entry = entry.tb_next
    found: TracebackType | None = None
    for entry in reversed(kept):
        found = TracebackType(found, entry.tb_frame, entry.tb_lasti, entry.tb_lineno)
    return found or trace


def from_mlir(error: Any, doing: str) -> CompileError:
    """An `ir.MLIRError` as a CompileError: the first diagnostic is the message, the rest become the note."""
    diagnostics = list(getattr(error, "error_diagnostics", []))
    if not diagnostics:
        return CompileError(f"{doing}: {error}")
    first, *others = diagnostics
    notes = [_note(note) for note in first.notes] + [_note(other) for other in others]
    return CompileError(
        f"{doing}: {first.message.strip()}",
        location=location_text(first.location),
        note=shorten("\n".join(notes)) if notes else None,
    )


def _note(diagnostic: Any) -> str:
    place = user_line(diagnostic.location)
    where = f" (at {place.file}:{place.line}:{place.column})" if place else ""
    return f"{diagnostic.message.strip()}{where}"


def at_operation(message: str, operation: Any, hint: str | None = None) -> CompileError:
    """A CompileError about one operation: its user line, and the operation itself as the note."""
    text = operation.get_asm(enable_debug_info=False, large_elements_limit=8, skip_regions=True)
    return CompileError(message, location=location_text(operation.location), note=shorten(text.strip()), hint=hint)
