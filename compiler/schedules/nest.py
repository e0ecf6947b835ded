"""Emits one fused loop nest for an elementwise or reduction cluster.

Kept dims are the outer loops, reduced dims the inner ones. When memory runs along a reduced dim, a row of the result is
a scalar accumulator and LLVM vectorises the inner loop. When memory runs along a kept dim (column sums), that dim is
walked innermost in blocks of *lanes* whose accumulators stand in scratch, so that no access is strided.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from phalanx.compiler.schedules.cluster import (
    Node,
    Value,
)
from phalanx.compiler.schedules.domain import SHORT_POINTS, Domain
from phalanx.compiler.schedules.extremum import Search
from phalanx.compiler.schedules.folding import Folding
from phalanx.compiler.schedules.text import Index
from phalanx.compiler.schedules.workspace import element_bytes

LANE_BYTES = 16384
"""Bytes of one accumulator block in a column reduction: as long as the first-level cache allows, since memory is read in
pieces of that length."""

TILE = 32
"""Side of the square tiles a transposing loop nest is walked in."""

ROW_SCRATCH_BYTES = 1 << 16
"""Longest row (bytes) a value is kept in scratch for."""

SEARCH_BLOCK = 1024
"""Elements a search for the position of an extreme goes back to, which are still in the first-level cache; half as many
where a row has less than two such blocks. Rows below one block are walked twice."""

SHORT_ROW = 8
SHORT_ROW_COST = 512
"""Longest row written out point by point, so that LLVM makes vectors across rows, and most scalar ops that may take."""

UNROLL = 8
UNROLL_COST = 12
"""Column reductions with at most this many scalar ops per point take UNROLL rows per walk over the lanes."""

TAIL_PERCENT = 15
"""Elements left over by whole vectors get a loop of their own when they are this part of the vectors of a row, taking one
as long as a vector: LLVM makes such a short loop one masked vector instead of scalars."""

NARROW_BYTES = 2048
TALL_ROWS = 2048
"""Rows below NARROW_BYTES, TALL_ROWS of them and more, are taken one by one: memory is then read as one run."""


class Nest(Folding):
    """The emitter for one cluster; `emit` writes the loops."""

    vector_bytes = 0
    """Of a vector register, 0 when that is not known."""

    # -- loops -------------------------------------------------------------------------------------

    def emit(self) -> None:
        """Writes the whole nest."""
        if self._has_short_columns():
            self.lane = None
        self.written_out = self._is_written_out()
        self.lines = {}
        for node, holder in self.plan.holder.items():
            if holder is None and not self.written_out:
                (loop,) = self.reduced_loops
                size = self.domain.sizes[loop]
                assert isinstance(size, int)
                self.scratch[node] = self.workspace.allocate(self.writer, node.values[0].element, size)
        if not any(node.is_reduction for node in self.cluster.nodes):
            self._plain_loops()
        elif self.lane is None:
            self._loops(self.kept_loops, self._row)
        else:
            self._loops([loop for loop in self.kept_loops if loop != self.lane], self._lane_blocks)

    # -- no reduction ------------------------------------------------------------------------------

    def _plain_loops(self) -> None:
        if self._is_short(self.kept_loops, SHORT_POINTS):
            *outer, inner = self.kept_loops
            self._loops(outer, partial(self._write_out, inner, self._plain_point))
            return
        across = self._crossed_loop()
        if across is None:
            self._vector_loops()
            return
        *outer, inner = self.kept_loops
        outer.remove(across)
        self._loops(outer, lambda: self._tiles([across, inner], [across, inner]))

    def _vector_loops(self) -> None:
        """The plain loops, the innermost in two when whole vectors leave much of it over."""
        *outer, inner = self.kept_loops or [0]
        main = self._whole_vectors(inner) if outer else None
        if main is None:
            self._loops(self.kept_loops, self._plain_point)
            return
        low, high = self._range(inner)

        def row() -> None:
            for part in ((low, main), (main, high)):
                self.bounds[inner] = part
                self._loops([inner], self._plain_point)
            del self.bounds[inner]

        self._loops(outer, row)

    def _whole_vectors(self, loop: int) -> int | None:
        """Where the last whole vector of a loop ends, when enough is left over."""
        size = self.domain.sizes[loop]
        if loop in self.bounds or not isinstance(size, int):
            return None
        widest = max((element_bytes(access.view.element) for access in self.domain.accesses.values()), default=1)
        lanes = self.vector_bytes // widest
        vectors, left = divmod(size, lanes) if lanes else (0, 0)
        return size - left if left > 1 and left * 100 >= vectors * TAIL_PERCENT > 0 else None

    def _crossed_loop(self) -> int | None:
        """The loop along which some memory runs that the innermost loop strides through (a transposition)."""
        if len(self.kept_loops) < 2:
            return None
        inner = self.kept_loops[-1]
        for access in self.domain.accesses.values():
            if access.coefficients[inner] not in (0, 1, -1):
                for loop in self.kept_loops[:-1]:
                    size = self.domain.sizes[loop]
                    if access.coefficients[loop] in (1, -1) and (isinstance(size, str) or size > TILE):
                        return loop
        return None

    def _tiles(self, unblocked: list[int], loops: list[int]) -> None:
        """Walks `loops` in square tiles, so that both directions of memory stay in the cache."""
        if not unblocked:
            self._loops(loops, self._plain_point)
            return
        first, *rest = unblocked
        low, high = self._range(first)

        def block(start: str, _: list[str]) -> None:
            before = self.bounds.get(first)
            self.bounds[first] = start, self.writer.min(self.writer.add(start, TILE), high)
            self._tiles(rest, loops)
            if before is None:
                del self.bounds[first]
            else:
                self.bounds[first] = before

        self.writer.loop(low, high, TILE, block)

    def _plain_point(self) -> None:
        self._point([], [])

    # -- one row, scalar accumulators --------------------------------------------------------------

    def _is_written_out(self) -> bool:
        """Whether rows are so short that a loop along them would be all there is to make vectors of."""
        return self.lane is None and len(self.reduced_loops) == 1 and self._is_short([*self.kept_loops, *self.reduced_loops])

    def _has_short_columns(self) -> bool:
        """Whether columns are so short that lanes need no scratch: each is written out, and vectors go along the lanes."""
        return self.lane is not None and len(self.reduced_loops) == 1 and self._is_short([self.lane, *self.reduced_loops])

    def _is_short(self, loops: Sequence[int], longest: int = SHORT_ROW) -> bool:
        """Whether the innermost of several loops is short enough to be written out."""
        if len(loops) < 2 or loops[-1] in self.bounds:
            return False
        size = self.domain.sizes[loops[-1]]
        cost = sum(node.body.cost for node in self.cluster.nodes)
        return isinstance(size, int) and size <= longest and size * cost <= SHORT_ROW_COST

    def _row(self) -> None:
        self.rows = {}
        self.points = {}
        whole = dict(self.bounds)
        for level in range(self.plan.last + 1):
            self.level = level
            self._row_nodes(level)
            reductions = self._reductions(level)
            search = self._search(level)
            if search is not None:
                self._track(search)
            elif reductions or level in self.plan.store_level.values():
                self._reduce(reductions)
                self.bounds = dict(whole)
        self._store_rows()

    def _search(self, level: int) -> Search | None:
        """The search whose extreme is all there is to do at this level, and whose index all at the next."""
        stored = {level, level + 1} & set(self.plan.store_level.values())
        if len(self.reduced_loops) != 1 or stored or level == self.plan.last:
            return None
        low, high = self._range(self.reduced_loops[0])
        if isinstance(low, int) and isinstance(high, int) and high - low < SEARCH_BLOCK:
            return None
        extremes, indices = self._reductions(level), self._reductions(level + 1)
        search = self.searches.get(indices[0]) if len(indices) == 1 else None
        return search if search is not None and extremes == [search.extreme] else None

    def _track(self, search: Search) -> None:
        """The extreme block by block; the level after walks only the block in which it was met first."""
        (loop,) = self.reduced_loops
        low, high = self._range(loop)
        short = isinstance(low, int) and isinstance(high, int) and high - low < 2 * SEARCH_BLOCK
        length = SEARCH_BLOCK // 2 if short else SEARCH_BLOCK
        extreme = search.extreme
        element = extreme.values[0].element
        (init,) = self._inits(extreme)

        def block(start: str, carried: list[str]) -> list[str]:
            best, where = carried
            self.bounds[loop] = start, self.writer.min(self.writer.add(start, length), high)
            self.memo = {}
            (found,) = self._carried_loops([loop], [init], [element], partial(self._point, [extreme]))
            better = search.better(self.writer, found, best)
            return [
                self.writer.value(f"arith.select {better}, {found}, {best} : {element}"),
                self.writer.value(f"arith.select {better}, {start}, {where} : index"),
            ]

        best, where = self.writer.loop(low, high, length, block, [init, self.writer.index(low)], [element, "index"])
        self.rows[extreme, 0] = best
        self.bounds[loop] = where, self.writer.min(self.writer.add(where, length), high)

    def _row_nodes(self, level: int) -> None:
        self.memo = {}
        for node in self.cluster.nodes:
            if node not in self.plan.full and not node.is_reduction and self.plan.level[node] == level:
                self._row_node(node)

    def _row_node(self, node: Node) -> None:
        for number, name in enumerate(self._evaluate(node)):
            self.rows[node, number] = name

    def _reduce(self, reductions: list[Node]) -> None:
        self.memo = {}
        inits = [name for node in reductions for name in self._inits(node)]
        types = [value.element for node in reductions for value in node.values]
        if self.written_out:
            results = self._reduce_written_out(reductions, inits)
        elif line := self._line(reductions):
            results = self._reduce_lines(reductions, inits, line)
        else:
            results = self._carried_loops(
                self.reduced_loops, inits, types, lambda accumulators: self._point(reductions, accumulators)
            )
        keys = [(node, value.number) for node in reductions for value in node.values]
        self.rows.update(zip(keys, results, strict=True))

    def _write_out(self, loop: int, body: Callable[[], None]) -> None:
        size = self.domain.sizes[loop]
        assert isinstance(size, int)
        for position in range(size):
            self.positions[loop] = position
            body()
        self.positions[loop] = None

    def _reduce_written_out(self, reductions: list[Node], accumulators: list[str]) -> list[str]:
        running = accumulators

        def point() -> None:
            nonlocal running
            running = self._point(reductions, running)

        self._write_out(self.reduced_loops[0], point)
        return running

    def _store_rows(self) -> None:
        self.memo = {}
        for number, output in enumerate(self.cluster.outputs):
            if number not in self.plan.store_level:
                assert isinstance(output.source, Value)
                self._store(number, self.rows[output.source.key])

    # -- lanes -------------------------------------------------------------------------------------

    def _lane_blocks(self) -> None:
        assert self.lane is not None
        low, high = self._range(self.lane)
        self._start_folding()
        if self.fold:
            self._allocate_lanes(self.fold * self._width())
            self._prepare_runs()
            self._lane_block(low, high)
            return
        widest = max((element_bytes(node.values[0].element) for node in self.cluster.nodes), default=4)
        block = LANE_BYTES // widest
        if isinstance(low, int) and isinstance(high, int) and high - low <= block:
            block = max(high - low, 1)
        self._allocate_lanes(block)
        if isinstance(low, int) and isinstance(high, int) and high - low <= block:
            self._lane_block(low, high)
            return

        def one(start: str, _: list[str]) -> None:
            self._lane_block(start, self.writer.min(self.writer.add(start, block), high))

        self.writer.loop(low, high, block, one)

    def _allocate_lanes(self, block: int) -> None:
        if self.lane_rows:
            return
        last_pass = self._last_pass()
        for node in self.cluster.nodes:
            if node in self.plan.full or (not node.is_reduction and self.plan.level[node] > last_pass):
                continue
            for value in node.values:
                self.lane_rows[value.key] = self.workspace.allocate(self.writer, value.element, block)

    def _last_pass(self) -> int:
        """The last level that walks the reduced dims."""
        levels = [self.plan.level[node] for node in self.cluster.nodes if node.is_reduction]
        return max([*levels, *self.plan.store_level.values()])

    def _lane_block(self, start: Index, stop: Index) -> None:
        last_pass = self._last_pass()
        self.lane_start = start
        for level in range(last_pass + 1):
            self.level = level
            self._lane_loop(start, stop, partial(self._lane_rows_of, level))
            reductions = self._reductions(level)
            if reductions or level in self.plan.store_level.values():
                if self.fold:
                    self._spread_lanes(level)
                self._lane_reduce(reductions, start, stop)
                if self.fold:
                    self._combine_runs(reductions)
        self.level = last_pass + 1
        self._lane_loop(start, stop, self._lane_final)

    def _lane_loop(self, start: Index, stop: Index, body: Callable[[], None]) -> None:
        assert self.lane is not None
        lane = self.lane

        def inner(variable: str, _: list[str]) -> None:
            self.positions[lane] = variable
            self.rows = {}
            self.memo = {}
            body()

        self.writer.loop(start, stop, 1, inner, hint="j")
        self.positions[lane] = None

    def _lane_rows_of(self, level: int) -> None:
        """Row values of this level, and the starting values of its reductions."""
        self._row_nodes(level)
        for node in self.cluster.nodes:
            if node not in self.plan.full and self.plan.level[node] == level:
                names = self._inits(node) if node.is_reduction else [self.rows[v.key] for v in node.values]
                for value, name in zip(node.values, names, strict=True):
                    self._store_lane(value.key, name)

    def _lane_final(self) -> None:
        for node in self.cluster.nodes:
            if node not in self.plan.full and not node.is_reduction and self.plan.level[node] >= self.level:
                self._row_node(node)
        for number, output in enumerate(self.cluster.outputs):
            if number not in self.plan.store_level:
                assert isinstance(output.source, Value)
                self._store(number, self._row_value(output.source.key))

    def _lane_reduce(self, reductions: list[Node], start: Index, stop: Index) -> None:
        keys = [value.key for node in reductions for value in node.values]

        def points(offsets: Sequence[int], loop: int, base: str, stop: Index = stop) -> None:
            def at_lane() -> None:
                accumulators = [self._load_lane(key) for key in keys]
                for offset in offsets:
                    self.positions[loop] = self.writer.add(base, offset)
                    self.memo = {}
                    accumulators = self._point(reductions, accumulators)
                for key, name in zip(keys, accumulators, strict=True):
                    self._store_lane(key, name)

            self._lane_loop(start, stop, at_lane)

        *outer, innermost = self.reduced_loops

        def rows() -> None:
            low, high = self._range(innermost)
            width = self.fold or self._rows_per_walk(innermost)
            offsets, end = ([0], self.fold * self._width()) if self.fold else (range(width), stop)
            main = self.writer.add(low, self.writer.floor_to(self.writer.sub(high, low), width))
            if main != low:
                self.writer.loop(low, main, width, lambda row, _: points(offsets, innermost, row, end))
            if main != high:
                self.writer.loop(main, high, 1, lambda row, _: points([0], innermost, row))
            self.positions[innermost] = None

        self._loops(outer, rows)

    def _rows_per_walk(self, rows: int) -> int:
        assert self.lane is not None
        count, lanes = self.domain.sizes[rows], self.domain.sizes[self.lane]
        elements = [element_bytes(access.view.element) for access in self.domain.accesses.values()]
        narrow = isinstance(lanes, int) and lanes * max(elements) < NARROW_BYTES
        if narrow and (isinstance(count, str) or count >= TALL_ROWS):
            return 1
        return UNROLL if sum(node.body.cost for node in self.cluster.nodes) <= UNROLL_COST else 1


def scratch_possible(domain: Domain) -> bool:
    """Whether a row of the domain is one static loop short enough to be kept in scratch."""
    reduced = [size for size, gone in zip(domain.sizes, domain.reduced, strict=True) if gone]
    in_rows = bool(domain.reduced) and domain.reduced[-1]
    return in_rows and len(reduced) == 1 and isinstance(reduced[0], int) and reduced[0] * 8 <= ROW_SCRATCH_BYTES
