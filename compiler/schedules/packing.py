"""Copies of blocks of an operand in the order in which the register kernel reads them, widened on the way.

A block of `length` x `count` elements (depth x rows, or depth x columns) becomes panels, one after the other: for each
depth the `width` elements of the panel side by side. The last panel is filled up with ordinary numbers.
"""

from __future__ import annotations

from functools import partial

from phalanx.compiler.schedules.routine import Routine, Shared
from phalanx.compiler.schedules.scopes import Index
from phalanx.compiler.schedules.workspace import element_bytes
from phalanx.dialects.records import record

_ARGUMENTS = ("at", "across_step", "depth_step", "place", "count", "length")


SQUARE_BYTES = 16
"""Bytes of a row that are turned together: every vector processor moves elements freely within as many."""


@record
class Packing:
    """Which packing function: panels of `width`, from elements `source` to `element`.

    `kind` says which elements of the operand stand side by side: those of one depth (`across`), those of one row
    (`depth`), or neither (`any`).
    """

    kind: str
    source: str
    element: str
    width: int
    lanes: int

    @property
    def name(self) -> str:
        """The function's name.

        >>> Packing("depth", "f32", "f32", 16, 8).name
        'px_pack_depth_f32_16x8'
        """
        widened = "" if self.source == self.element else f"_{self.source}"
        return f"px_pack_{self.kind}_{self.element}{widened}_{self.width}x{self.lanes}"

    def elements(self, count: int, length: int) -> int:
        """Room for a block: whole panels, and what the last vectors write behind them."""
        return -(-count // self.width) * self.width * length + self.lanes * (self.width + 1)


def packing_function(shared: Shared, packing: Packing) -> str:
    """The name of the function, defined on first use.

    Arguments: source and panels; where the source starts, its strides across the panel and along the depth; where the
    panels start; rows (or columns); depth.
    """
    memories = [("source", packing.source), ("panels", packing.element)]
    routine = Routine(packing.name, [*memories, *((name, "index") for name in _ARGUMENTS)], written=("panels",))
    return shared.define(routine, lambda: _Packer(routine, packing).write())


class _Packer:
    def __init__(self, routine: Routine, packing: Packing) -> None:
        self.routine = routine
        self.packing = packing
        self.writer = routine.writer
        self.vectors = -(-packing.width // packing.lanes)

    def write(self) -> None:
        packing, writer = self.packing, self.writer
        across: Index = 1 if packing.kind == "across" else "%across_step"

        def panel(first: str, _: list[str]) -> None:
            start = writer.add("%at", writer.mul(first, across))
            place = writer.add("%place", writer.mul(first, "%length"))
            left = writer.min(writer.sub("%count", first), packing.width)
            if packing.kind == "across":
                whole = writer.compare("eq", left, packing.width)
                rows = partial(self._rows, start, place)
                writer.conditional(whole, partial(rows, packing.width), partial(rows, left))
            elif packing.kind == "depth":
                self._squares(start, place, left)
            else:
                self._scalars(start, place, left)

        writer.loop(0, "%count", packing.width, panel)

    # -- elements of one depth side by side ----------------------------------------------------------

    def _rows(self, start: Index, place: Index, left: Index) -> None:
        """Each depth is a row of vectors; the last one of a panel may run into the next row, which is written later."""
        packing, writer, routine = self.packing, self.writer, self.routine
        lanes = packing.lanes
        shifts = [vector * lanes for vector in range(self.vectors)]
        counts = [writer.sub(left, shift) for shift in shifts]
        masks = [None if isinstance(n, int) and n >= lanes else routine.mask(lanes, n) for n in counts]

        def one(depth: str, _: list[str]) -> None:
            source = writer.add(start, writer.mul(depth, "%depth_step"))
            target = writer.add(place, writer.mul(depth, packing.width))
            for shift, mask in zip(shifts, masks, strict=True):
                value = routine.get("source", writer.add(source, shift), lanes, mask)
                value = routine.widen(value, packing.source, packing.element, lanes)
                routine.put("panels", writer.add(target, shift), lanes, value)

        writer.loop(0, "%length", 1, one)

    # -- elements of one row side by side ------------------------------------------------------------

    def _squares(self, start: Index, place: Index, left: Index) -> None:
        """Squares of as many elements as 128 bits hold are turned, in all parts of a vector at once.

        What is left of the depth is copied one by one. A square that is not full writes beyond the panel, which the next
        one mends.
        """
        packing, writer = self.packing, self.writer
        lanes = packing.lanes
        side = min(lanes, SQUARE_BYTES // element_bytes(packing.element))
        last = writer.sub("%length", side)
        square = partial(self._square, start, place, left, lanes, side)

        def squares() -> None:
            def row(depth: str, _: list[str]) -> None:
                at = writer.min(depth, last)
                # A vector that is not full writes into the next row, so those in front of it come after it.
                for first in reversed(range(0, packing.width, lanes)):
                    square(first, min(lanes, packing.width - first), at)

            def column(first: str, _: list[str]) -> None:
                writer.loop(0, "%length", side, lambda depth, _: square(first, lanes, writer.min(depth, last)))

            if packing.width % lanes == 0:
                writer.loop(0, packing.width, lanes, column)
            else:
                writer.loop(0, "%length", side, row)

        enough = writer.compare("sge", "%length", side)
        writer.conditional(enough, squares, partial(self._scalars, start, place, left))

    def _square(self, start: Index, place: Index, left: Index, lanes: int, side: int, first: Index, count: int, depth: Index,
                ) -> None:
        packing, writer, routine = self.packing, self.writer, self.routine
        column = writer.opaque(depth)

        def part(lane: int) -> str:
            if lane >= count:
                return routine.zero
            at = writer.add(self._across(start, left, writer.add(first, lane)), column)
            return routine.get("source", at, side)

        values = []
        for number in range(side):
            value = routine.joined([part(lane) for lane in range(number, lanes, side)], packing.source, side)
            values.append(routine.widen(value, packing.source, packing.element, lanes))
        for number, value in enumerate(self._turned(values, side)):
            target = writer.add(place, writer.mul(writer.add(depth, number), packing.width))
            routine.put("panels", writer.add(target, first), lanes, value)

    def _across(self, start: Index, left: Index, lane: Index) -> Index:
        """Where a row starts; those behind the last one repeat it."""
        writer = self.writer
        return writer.add(start, writer.mul(writer.min(lane, writer.sub(left, 1)), "%across_step"))

    def _turned(self, rows: list[str], side: int) -> list[str]:
        """Squares of `side` transposed in every part of the vectors: blocks of 1, 2, ... lanes change places."""
        lanes = self.packing.lanes
        size = 1
        while size < side:
            upper = [lanes + lane - size if lane & size else lane for lane in range(lanes)]
            lower = [lanes + lane if lane & size else lane + size for lane in range(lanes)]
            for number in range(side):
                if not number & size:
                    pair = rows[number], rows[number + size]
                    rows[number], rows[number + size] = self._shuffle(pair, upper), self._shuffle(pair, lower)
            size *= 2
        return rows

    def _shuffle(self, pair: tuple[str, str], order: list[int]) -> str:
        return self.routine.shuffle(pair, order, self.packing.element, self.packing.lanes)

    # -- all strides -----------------------------------------------------------------------------------

    def _scalars(self, start: Index, place: Index, left: Index) -> None:
        packing, writer, routine = self.packing, self.writer, self.routine

        def row(depth: str, _: list[str]) -> None:
            def one(lane: str, _: list[str]) -> None:
                address = writer.add(self._across(start, left, lane), writer.mul(depth, "%depth_step"))
                value = routine.widen(routine.load("source", address), packing.source, packing.element)
                target = writer.add(place, writer.mul(depth, packing.width))
                routine.store("panels", writer.add(target, lane), value)

            writer.loop(0, packing.width, 1, one)

        writer.loop(0, "%length", 1, row)
