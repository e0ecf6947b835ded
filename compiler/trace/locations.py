"""Where in the user's code we are: as an MLIR location for ops, as text for messages."""

from __future__ import annotations

import itertools
import os
import sys
from types import CodeType, FrameType
from typing import Any

import phalanx

# Frames of these folders are ours; the first frame outside them is the user's.
_ROOT = os.path.dirname(os.path.abspath(phalanx.__file__))
_OURS = tuple(
    {os.path.realpath(os.path.join(_ROOT, part)) + os.sep for part in ("", "compiler", "dialects", "runtime")}
    | {_ROOT + os.sep}
)
_ours_cache: dict[str, bool] = {}
_positions: dict[tuple[CodeType, int], tuple[int, int, int, int]] = {}


def _is_ours(filename: str) -> bool:
    known = _ours_cache.get(filename)
    if known is None:
        known = filename.startswith(_OURS) or "optree" + os.sep in filename
        _ours_cache[filename] = known
    return known


def user_frame(start: FrameType | None = None) -> FrameType | None:
    """The innermost frame that is not part of Phalanx."""
    frame = start or sys._getframe(1)
    found: FrameType | None = frame
    while found is not None and _is_ours(found.f_code.co_filename):
        found = found.f_back
    return found


def _position(frame: FrameType) -> tuple[int, int, int, int]:
    """Line, column, end line, end column (1-based columns) of the call in progress."""
    code, instruction = frame.f_code, frame.f_lasti
    key = (code, instruction)
    known = _positions.get(key)
    if known is None:
        entry = next(itertools.islice(code.co_positions(), max(instruction, 0) // 2, None), (None,) * 4)
        line, end_line, column, end_column = entry
        line = line or frame.f_lineno or 1
        known = (line, (column or 0) + 1, end_line or line, (end_column or 0) + 1)
        _positions[key] = known
    return known


def user_location_text() -> str | None:
    """`file:line:col`, or `file:line:col-end`, of the user's call, for messages."""
    frame = user_frame()
    if frame is None:
        return None
    line, column, end_line, end_column = _position(frame)
    span = f"-{end_column}" if end_line == line and end_column > column else ""
    return f"{frame.f_code.co_filename}:{line}:{column}{span}"


def user_position() -> tuple[str, str, tuple[int, int, int, int]] | None:
    """Function name, file and position of the user's call."""
    frame = user_frame()
    if frame is None:
        return None
    return frame.f_code.co_name, frame.f_code.co_filename, _position(frame)


class LocationCache:
    """MLIR locations of one context: `loc("f"("user.py":7:11 to :20))`."""

    def __init__(self, ir: Any, context: Any) -> None:
        self._ir = ir
        self._context = context
        self._known: dict[Any, Any] = {}
        self.override: Any = None

    def here(self) -> Any:
        """The location of the user's line, or the one a transformation pinned."""
        if self.override is not None:
            return self.override
        frame = user_frame(sys._getframe(1))
        if frame is None:
            return self._ir.Location.name("phalanx", context=self._context)
        key = (frame.f_code, frame.f_lasti)
        location = self._known.get(key)
        if location is None:
            line, column, end_line, end_column = _position(frame)
            if (end_line, end_column) <= (line, column):
                place = self._ir.Location.file(frame.f_code.co_filename, line, column, context=self._context)
            else:
                place = self._ir.Location.file(frame.f_code.co_filename, line, column, end_line, end_column,
                                               context=self._context)
            location = self._ir.Location.name(frame.f_code.co_name, childLoc=place, context=self._context)
            self._known[key] = location
        return location
