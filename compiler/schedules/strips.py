"""The register kernel of matrix products: a strip of a few rows times panels of columns, all results in registers.

    target[r, panel * width + c] (+)= sum over k of left[r, k] * right[panel][k, c]

Operands are walked with strides that are arguments, so that one kernel reads packed blocks and operands where they
stand. Columns left over at the end are a kernel of their own, with masks.
"""

from __future__ import annotations

from phalanx.compiler.schedules.routine import Routine, Shared, vector
from phalanx.compiler.schedules.scopes import Index
from phalanx.dialects.records import record

_ARGUMENTS = (
    "left_at", "row_step", "left_step",
    "right_at", "right_step", "panel_step",
    "target_at", "target_step",
    "length", "columns", "add",
)  # fmt: skip


@record
class Strip:
    """Which register kernel: `rows` by `vectors` of `lanes`.

    `packed` is the row length of a packed left operand (its rows stand next to each other), 0 for one with strides.
    `spread` reads from a table where each row of the left operand starts, `deep` how far each depth is from there.
    `tail` takes fewer columns than its vectors have; `guarded` then does not read the right operand behind them. `last` are
    the lanes of a tail's last vector where the number of columns is known, and the other vectors are then whole; `full` says
    that this one is whole too. `narrow` is the element type of a right operand that is widened as it is read.
    `adds` can add to the target, the others overwrite it.
    """

    element: str
    rows: int
    vectors: int
    lanes: int
    packed: int = 0
    tail: bool = False
    guarded: bool = False
    adds: bool = False
    spread: bool = False
    deep: bool = False
    last: int = 0
    full: bool = False
    narrow: str = ""

    @property
    def widths(self) -> list[int]:
        """The lanes of each vector of a row."""
        return [self.lanes] * (self.vectors - 1) + [self.last or self.lanes]

    @property
    def name(self) -> str:
        """The function's name.

        >>> Strip("f32", 6, 2, 8).name
        'px_multiply_f32_6x2x8'
        """
        notes = f"_{self.narrow}" if self.narrow else ""
        notes += f"_packed{self.packed}" if self.packed else ""
        notes += "_spread" if self.spread else ""
        notes += "_deep" if self.deep else ""
        notes += f"_tail{self.last or ''}" if self.tail else ""
        notes += "_full" if self.full else ""
        notes += "_guarded" if self.guarded else ""
        notes += "_add" if self.adds else ""
        return f"px_multiply_{self.element}_{self.rows}x{self.vectors}x{self.lanes}{notes}"


def strip_kernel(shared: Shared, strip: Strip) -> str:
    """The name of the kernel, defined on first use.

    Arguments: left, right, target; where the left operand starts, its strides along rows and depth; where the right
    one starts, its stride along depth and from panel to panel; where the target starts and its row length; depth;
    columns (whole panels, but for a tail); whether to add to the target (0: overwrite it). With `spread`: the table of
    rows, and which of its entries is the first row's. With `deep`: the table of depths.
    """
    arguments = [("left", strip.element), ("right", strip.narrow or strip.element), ("target", strip.element)]
    arguments += [(name, "index") for name in _ARGUMENTS]
    if strip.spread:
        arguments += [("table", "i64"), ("first", "index")]
    if strip.deep:
        arguments += [("depths", "i64")]
    routine = Routine(strip.name, arguments, written=("target",))
    return shared.define(routine, lambda: _Kernel(routine, strip).write())


class _Kernel:
    def __init__(self, routine: Routine, strip: Strip) -> None:
        self.routine = routine
        self.strip = strip
        self.writer = routine.writer
        self.widths = strip.widths
        self.masks: list[str | None] = [None] * strip.vectors
        writer = self.writer
        step: Index = 1 if strip.packed else "%row_step"
        self.starts = [writer.add("%left_at", self._row(row, step)) for row in range(strip.rows)]
        self.left_step: Index = strip.packed or "%left_step"

    def _row(self, row: int, step: Index) -> Index:
        """How far a row of the left operand is from where that starts."""
        if self.strip.spread:
            return self.routine.load("table", self.writer.add("%first", row))
        return self.writer.mul(row, step)

    def write(self) -> None:
        strip, writer = self.strip, self.writer
        if strip.tail:
            known = strip.vectors if strip.full else strip.vectors - 1 if strip.last else 0
            for vector in range(known, strip.vectors):
                self.masks[vector] = self.routine.mask(self.widths[vector], writer.sub("%columns", vector * strip.lanes))
            self._panel("%right_at", "%target_at")
            return
        width = strip.vectors * strip.lanes

        def one(panel: str, carried: list[str]) -> list[str]:
            (right,) = carried
            self._panel(right, writer.add("%target_at", panel))
            return [writer.index(writer.add(right, "%panel_step"))]

        writer.loop(0, "%columns", width, one, ["%right_at"], ["i64"], hint="panel")

    def _panel(self, right: Index, target: Index) -> None:
        strip, writer, routine = self.strip, self.writer, self.routine
        lines = [writer.add(target, writer.mul(row, "%target_step")) for row in range(strip.rows)]
        if strip.adds:
            self._prefetch(target)
        guard = self.masks if strip.guarded else [None] * strip.vectors

        def one(depth: str, totals: list[str]) -> list[str]:
            base = writer.add(right, writer.mul(depth, "%right_step"))
            along = routine.load("depths", depth) if strip.deep else writer.mul(depth, self.left_step)
            columns = [
                self._column(writer.add(base, vector * strip.lanes), lanes, guard[vector])
                for vector, lanes in enumerate(self.widths)
            ]
            results: list[str] = []
            for row, start in enumerate(self.starts):
                scalar = routine.load("left", writer.add(start, along))
                for number, (column, lanes) in enumerate(zip(columns, self.widths, strict=True)):
                    spread = routine.spread(scalar, strip.element, lanes)
                    old = totals[row * strip.vectors + number]
                    results.append(routine.multiply_add(spread, column, old, strip.element, lanes))
            return results

        kinds = [vector(lanes, strip.element) for lanes in self.widths] * strip.rows
        totals = writer.loop(0, "%length", 1, one, [routine.zero] * len(kinds), kinds, hint="k")
        places = [
            (writer.add(line, number * strip.lanes), lanes, mask)
            for line in lines
            for number, (lanes, mask) in enumerate(zip(self.widths, self.masks, strict=True))
        ]

        def overwrite() -> None:
            for (place, lanes, mask), total in zip(places, totals, strict=True):
                routine.put("target", place, lanes, total, mask)

        def add() -> None:
            for (place, lanes, mask), total in zip(places, totals, strict=True):
                old = routine.get("target", place, lanes, mask)
                routine.put("target", place, lanes, routine.plus(old, total, strip.element, lanes), mask)

        if strip.adds:
            writer.conditional(writer.compare("eq", "%add", 0), overwrite, add)
        else:
            overwrite()

    def _column(self, place: Index, lanes: int, mask: str | None) -> str:
        """A vector of the right operand."""
        value = self.routine.get("right", place, lanes, mask)
        return self.routine.widen(value, self.strip.narrow or self.strip.element, self.strip.element, lanes)

    def _prefetch(self, target: Index) -> None:
        """The target's lines are on their way while the sums are made."""
        writer, strip = self.writer, self.strip

        def row(number: str, _: list[str]) -> None:
            line = writer.add(target, writer.mul(number, "%target_step"))
            for column in range(0, strip.vectors * strip.lanes, strip.lanes):
                self.routine.prefetch("target", writer.add(line, column), write=True)

        writer.loop(0, strip.rows, 1, row)
