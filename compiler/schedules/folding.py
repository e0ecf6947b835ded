"""Column reductions of narrow rows: several rows are walked as one long one, whose pieces are then combined.

    sum over i of x[i, j], j < 3      walked as      sum over k of x[G k + g, j], g < G, j < 3: one run of 3 G elements

A row of three elements is no work for vectors. But where rows follow each other in memory, position 3 g + j of a run is an
element of column j, so that each run of G rows is added to 3 G accumulators, and those of one column at the end.

Rows that consist of short lines, such as those of a sum over the first and the last of three dims: the lines are added first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from phalanx.compiler.schedules.cluster import Node, Positions, View, load, store
from phalanx.compiler.schedules.domain import Access, operand_key
from phalanx.compiler.schedules.phases import combines, combining_body
from phalanx.compiler.schedules.text import Index
from phalanx.compiler.schedules.walk import Walk
from phalanx.compiler.schedules.workspace import element_bytes

NARROW_ROW_BYTES = 64
"""Rows up to here are folded; longer ones fill vectors by themselves."""

FOLDED = 512
"""Most elements of a run: its accumulators are loaded and stored for each, so they stay in the first-level cache."""

GROUPS = 16
"""Rows of a run are a multiple of this; as many partial results of a column are left for the scalar end."""

FEWEST_RUNS = 4

SHORTEST_LINE, LONGEST_LINE = 16, 128
"""Elements along the innermost of several reduced loops for which it has accumulators of its own: with fewer there is no
vector to fill, with more the end of a line, where a vector becomes one number, costs little."""


class Folding(Walk):
    """A walk whose lanes are `fold` rows of the array long, where that is more than 0."""

    fold = 0
    columns: dict[int, View]
    numbers: dict[tuple[str, Index], View]
    lines: dict[Node, View]

    def _start_folding(self) -> None:
        self.columns, self.numbers = {}, {}
        self.fold = self._fold_rows()

    def _fold_rows(self) -> int:
        """How many rows to walk as one; 0 when rows are long or cannot be joined."""
        if self.lane is None or not self.reduced_loops or self.lane in self.bounds:
            return 0
        rows, width = self.domain.sizes[self.reduced_loops[-1]], self.domain.sizes[self.lane]
        elements = [element_bytes(access.view.element) for access in self.domain.accesses.values()]
        if not isinstance(width, int) or not 0 < width * max(elements, default=1) <= NARROW_ROW_BYTES:
            return 0
        count = FOLDED // width
        if isinstance(rows, int):
            count = min(count, rows // FEWEST_RUNS)
        count -= count % GROUPS
        return count if count and self._folds(width) else 0

    def _folds(self, width: int) -> bool:
        for node in self.cluster.nodes:
            if node.is_reduction and not combines(self.writer, node):
                return False
            if node not in self.plan.full and not node.is_reduction:
                continue
            if node.body.index_dims():
                return False
            for operand in node.operands:
                access = self.domain.accesses.get(operand_key(node, operand))
                if access is not None and not self._runs_on(access, width) and not self._is_of_columns(access):
                    return False
                steps = self.domain.numbers.get(operand_key(node, operand))
                if steps is not None and self._step(steps, lane=True) != 0:  # a number within the row
                    return False
        stored = [self.domain.accesses["out", number] for number in self.plan.store_level]
        return all(self._runs_on(access, width) for access in stored)

    def _step(self, steps: Sequence[Index], lane: bool = False) -> Index:
        assert self.lane is not None
        return steps[self.lane if lane else self.reduced_loops[-1]]

    def _runs_on(self, access: Access, width: int) -> bool:
        """Whether the element behind the last of a row is the first of the next."""
        across = self._step(access.coefficients, lane=True)
        return isinstance(across, int) and self._step(access.coefficients) == across * width

    def _is_of_columns(self, access: Access) -> bool:
        return self._step(access.coefficients) == 0

    # -- memory as long as a run ---------------------------------------------------------------------

    def _prepare_runs(self) -> None:
        """Copies of what stands at every column, and the numbers of the rows within a run."""
        width = self._width()
        for node in self.cluster.nodes:
            if node not in self.plan.full and not node.is_reduction:
                continue
            for operand in node.operands:
                key = operand_key(node, operand)
                access = self.domain.accesses.get(key)
                if access is not None and not self._runs_on(access, width):
                    value = partial(Walk._load, self, access)
                    view = self.columns[id(access)] = self._run_of(access.view.element)
                    self._spread(view, [self._at_column(column, value) for column in range(width)])
                elif isinstance(operand.source, Positions):
                    self._prepare_numbers(operand.source.element, self._step(self.domain.numbers[key]))

    def _prepare_numbers(self, element: str, step: Index) -> None:
        if (element, step) in self.numbers:
            return
        view = self.numbers[element, step] = self._run_of(element)
        width = self._width()

        def row(number: str, _: list[str]) -> None:
            name = self.writer.index(self.writer.mul(number, step))
            value = self.writer.pure(f"arith.index_cast {name} : index to {element}", [name])
            for column in range(width):
                store(self.writer, view, self.writer.add(self.writer.mul(number, width), column), value)

        self.writer.loop(0, self.fold, 1, row)

    def _width(self) -> int:
        assert self.lane is not None
        width = self.domain.sizes[self.lane]
        assert isinstance(width, int)
        return width

    def _run_of(self, element: str) -> View:
        return self.workspace.allocate(self.writer, element, self.fold * self._width())

    def _at_column(self, column: int, value: Callable[[], str]) -> str:
        assert self.lane is not None
        self.positions[self.lane] = column
        self.memo = {}
        name = value()
        self.positions[self.lane] = None
        return name

    def _spread(self, view: View, values: Sequence[str]) -> None:
        """One value per column for every row of a run."""

        def row(number: str, _: list[str]) -> None:
            for column, value in enumerate(values):
                store(self.writer, view, self.writer.add(self.writer.mul(number, len(values)), column), value)

        self.writer.loop(0, self.fold, 1, row)

    def _spread_lanes(self, level: int) -> None:
        """What rows of results hold at every column, accumulators included, as long as a run."""
        width = self._width()
        for (node, _), view in self.lane_rows.items():
            if self.plan.level[node] <= level:
                self._spread(view, [load(self.writer, view, column, movable=False) for column in range(width)])

    # -- one point, and what is left of a run ----------------------------------------------------------

    def _load(self, access: Access) -> str:
        view = self.columns.get(id(access)) if self.fold else None
        return super()._load(access) if view is None else load(self.writer, view, self._lane_address(), movable=False)

    def _number(self, element: str, steps: Sequence[Index]) -> str:
        name = super()._number(element, steps)
        if not self.fold:
            return name
        within = load(self.writer, self.numbers[element, self._step(steps)], self._lane_address(), movable=False)
        return self.writer.value(f"arith.addi {name}, {within} : {element}")

    def _combine_runs(self, reductions: Sequence[Node]) -> None:
        """The accumulators of one column in the order of its rows: GROUPS of them in vectors, then one."""
        width = self._width()
        length = GROUPS * width
        for node in reductions:
            view = self.lane_rows[node, 0]

            def piece(start: str, _: list[str], node: Node = node, view: View = view) -> None:
                def element(position: str, _: list[str]) -> None:
                    self._combine(node, view, position, self.writer.add(start, position))

                self.writer.loop(0, length, 1, element)

            def row(start: str, _: list[str], node: Node = node, view: View = view) -> None:
                for column in range(width):
                    self._combine(node, view, column, self.writer.add(start, column))

            self.writer.loop(length, self.fold * width, length, piece)
            self.writer.loop(width, length, width, row)

    def _combine(self, node: Node, view: View, into: Index, other: Index) -> None:
        """accumulators[into] = op(accumulators[other], accumulators[into])"""
        store(self.writer, view, into, self._combined(node, view, other, load(self.writer, view, into, movable=False)))

    def _combined(self, node: Node, view: View, other: Index, running: str) -> str:
        self.writer.location, previous = node.location, self.writer.location
        arguments = [load(self.writer, view, other, movable=False), running]
        (result,) = combining_body(node).inline(
            self.writer, arguments, self.cluster.scalars, partial(self._node_position, node), self._gather
        )
        self.writer.location = previous
        return result

    # -- rows that are several short lines of memory ---------------------------------------------------

    def _line(self, reductions: Sequence[Node]) -> int:
        """How long the lines are that rows consist of, when they should be reduced into one another first."""
        if len(self.reduced_loops) < 2 or not reductions or self.reduced_loops[-1] in self.bounds:
            return 0
        size = self.domain.sizes[self.reduced_loops[-1]]
        if not isinstance(size, int) or not SHORTEST_LINE <= size <= LONGEST_LINE:
            return 0
        return size if all(combines(self.writer, node) for node in reductions) else 0

    def _reduce_lines(self, reductions: list[Node], inits: list[str], size: int) -> list[str]:
        """All lines of a row into one of accumulators, and that to one number each."""
        *outer, inner = self.reduced_loops
        for node in reductions:
            if node not in self.lines:
                self.lines[node] = self.workspace.allocate(self.writer, node.values[0].element, size)
        views = [self.lines[node] for node in reductions]

        def start(place: str, _: list[str]) -> None:
            for view, name in zip(views, inits, strict=True):
                store(self.writer, view, place, name)

        def at_place(place: str, _: list[str]) -> None:
            self.positions[inner] = place
            accumulators = [load(self.writer, view, place, movable=False) for view in views]
            for view, name in zip(views, self._point(reductions, accumulators), strict=True):
                store(self.writer, view, place, name)

        def line() -> None:
            self.writer.loop(0, size, 1, at_place)

        def last(place: str, running: list[str]) -> list[str]:
            both = zip(reductions, views, running, strict=True)
            return [self._combined(node, view, place, name) for node, view, name in both]

        self.writer.loop(0, size, 1, start)
        self._loops(outer, line)
        self.positions[inner] = None
        return self.writer.loop(0, size, 1, last, inits, [node.values[0].element for node in reductions])
