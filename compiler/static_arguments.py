"""Static arguments: plain Python values that are part of the signature, compared more strictly than by `==`."""

from __future__ import annotations

from typing import Any


class Static:
    """A static argument. Equal are only those that no program can tell apart.

    >>> Static(2) == Static(2), Static(2) == Static(2.0), Static(0.0) == Static(-0.0)
    (True, False, False)

    Raises TypeError for a value that cannot be hashed.
    """

    __slots__ = ("_hash", "_key", "value")

    def __init__(self, value: Any) -> None:
        self.value = value
        self._key = _key(value)
        self._hash = hash(self._key)

    def __eq__(self, other: object) -> bool:
        return type(other) is Static and self._key == other._key

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        return repr(self.value)


def _key(value: Any) -> Any:
    kind = type(value)
    if kind is float:
        return kind, value.hex()
    if kind is complex:
        return kind, value.real.hex(), value.imag.hex()
    if kind is tuple:
        return kind, tuple(map(_key, value))
    return kind, value
