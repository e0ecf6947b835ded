"""Where rows, or depths, of an operand are that are not evenly spaced: a table that the register kernel reads.

Windows of an array are such: rows go from window to window, the depth through a window.
"""

from __future__ import annotations

from phalanx.compiler.schedules.routine import Routine, Shared
from phalanx.compiler.schedules.scopes import Index


def table_of_places(shared: Shared, dims: int) -> str:
    """The name of the function that writes a table, defined on first use.

    Arguments: the table; the number of the first place; how many of them; the sizes of the `dims` dims along which
    they are numbered, outermost first, then their strides.
    """
    names = [*(f"size{d}" for d in range(dims)), *(f"stride{d}" for d in range(dims))]
    arguments = [("table", "i64"), ("low", "index"), ("count", "index"), *((name, "index") for name in names)]
    routine = Routine(f"px_places_{dims}", arguments, written=("table",))
    return shared.define(routine, lambda: _write(routine, dims))


def _write(routine: Routine, dims: int) -> None:
    """The position along each dim is counted up from place to place, so that only the first one takes divisions."""
    writer = routine.writer
    rest: Index = "%low"
    digits: list[str] = []
    for dim in reversed(range(1, dims)):
        size = writer.index(writer.max(f"%size{dim}", 1))
        digits.append(writer.value(f"srem i64 {writer.index(rest)}, {size}"))
        rest = writer.value(f"sdiv i64 {writer.index(rest)}, {size}")
    digits.append(writer.index(rest))
    digits.reverse()

    def one(place: str, positions: list[str]) -> list[str]:
        at: Index = 0
        for dim, position in enumerate(positions):
            at = writer.add(at, writer.mul(position, f"%stride{dim}"))
        routine.store("table", place, writer.index(at))
        carry: Index = 1
        following: list[str] = []
        for dim in reversed(range(dims)):
            moved = writer.index(writer.add(positions[dim], carry))
            if dim:
                over = writer.compare("eq", moved, f"%size{dim}")
                carry = writer.value(f"zext i1 {over} to i64")
                moved = writer.value(f"select i1 {over}, i64 0, i64 {moved}")
            following.append(moved)
        return following[::-1]

    writer.loop(0, "%count", 1, one, digits, ["i64"] * dims)
