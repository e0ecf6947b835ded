"""A number that counts changes of process-wide settings, where machine code can read it."""

from __future__ import annotations

import ctypes

_cell = ctypes.c_int64(0)

#: where the number is, for as long as the process lives
ADDRESS = ctypes.addressof(_cell)


def now() -> int:
    """The number; whoever keeps what depends on settings keeps this with it.

    >>> before = now()
    >>> advance()
    >>> now() - before
    1
    """
    return _cell.value


def advance() -> None:
    """Say that a setting of the process changed."""
    _cell.value += 1
