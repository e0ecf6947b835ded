"""Emits one fused loop nest for an elementwise or reduction cluster.

Kept dims are the outer loops, reduced dims the inner ones. When memory runs along a reduced dim, a row of the result is
a scalar accumulator and LLVM vectorises the inner loop. When memory runs along a kept dim (column sums), that dim is
walked innermost in blocks of *lanes* whose accumulators stand in scratch, so that no access is strided.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from phalanx.compiler.schedules.cluster import (
    Cluster,
    Node,
    Operand,
    Positions,
    Splat,
    Value,
    View,
    load,
    store,
)
from phalanx.compiler.schedules.domain import Access, Domain, operand_key, undefined
from phalanx.compiler.schedules.extremum import Search, find_searches
from phalanx.compiler.schedules.fused import Key, Plan
from phalanx.compiler.schedules.text import Index, Writer
from phalanx.compiler.schedules.workspace import Workspace, element_bytes
from phalanx.dialects.errors import CompileError

LANE_BYTES = 16384
"""Bytes of one accumulator block in a column reduction: as long as the first-level cache allows, since memory is read in
pieces of that length."""

TILE = 32
"""Side of the square tiles a transposing loop nest is walked in."""

ROW_SCRATCH_BYTES = 1 << 16
"""Longest row (bytes) a value is kept in scratch for."""

SEARCH_BLOCK = 4096
"""Elements a search for the position of an extreme goes back to: they are still in the first-level cache."""

UNROLL = 8
UNROLL_COST = 12
"""Column reductions with at most this many scalar ops per point take UNROLL rows per walk over the lanes."""


class Nest:
    """The emitter for one cluster; `emit` writes the loops."""

    def __init__(
        self,
        cluster: Cluster,
        domain: Domain,
        placed: dict[Node, list[int | None]],
        plan: Plan,
        workspace: Workspace,
        bounds: dict[int, tuple[Index, Index]] | None = None,
        external: dict[Key, Access] | None = None,
    ) -> None:
        """`bounds` restricts loops to a part; `external` says where values made elsewhere stand in memory."""
        self.cluster = cluster
        self.writer: Writer = cluster.writer
        self.domain = domain
        self.placed = placed
        self.plan = plan
        self.workspace = workspace
        self.bounds = bounds or {}
        self.external = external or {}
        self.searches = find_searches(cluster)
        rank = len(domain.sizes)
        self.kept_loops = [loop for loop in range(rank) if not domain.reduced[loop]]
        self.reduced_loops = [loop for loop in range(rank) if domain.reduced[loop]]
        self.lane = rank - 1 if self.reduced_loops and rank and not domain.reduced[-1] else None
        self.positions: list[Index | None] = [None] * rank
        self.loop_of = {dim: loop for loop, group in enumerate(domain.groups) for dim in group}
        self.rows: dict[Key, str] = {}
        self.lane_rows: dict[Key, View] = {}
        self.lane_start: Index = 0
        self.scratch: dict[Node, View] = {}
        self.memo: dict[Any, Any] = {}
        self.level = 0

    # -- loops -------------------------------------------------------------------------------------

    def emit(self) -> None:
        """Writes the whole nest."""
        for node, holder in self.plan.holder.items():
            if holder is None:
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

    def _range(self, loop: int) -> tuple[Index, Index]:
        return self.bounds.get(loop, (0, self.domain.sizes[loop]))

    def _loops(self, loops: Sequence[int], body: Callable[[], None]) -> None:
        if not loops:
            body()
            return
        first, *rest = loops

        def inner(variable: str, _: list[str]) -> None:
            self.positions[first] = variable
            self._loops(rest, body)

        low, high = self._range(first)
        self.writer.loop(low, high, 1, inner)
        self.positions[first] = None

    def _carried_loops(
        self, loops: Sequence[int], carried: list[str], types: list[str], body: Callable[[list[str]], list[str]]
    ) -> list[str]:
        """Loops with accumulators passed through all of them."""
        if not loops:
            return body(carried)
        first, *rest = loops

        def inner(variable: str, values: list[str]) -> list[str]:
            self.positions[first] = variable
            return self._carried_loops(rest, values, types, body)

        low, high = self._range(first)
        results = self.writer.loop(low, high, 1, inner, carried, types)
        self.positions[first] = None
        return results

    # -- no reduction ------------------------------------------------------------------------------

    def _plain_loops(self) -> None:
        across = self._crossed_loop()
        if across is None:
            self._loops(self.kept_loops, self._plain_point)
            return
        *outer, inner = self.kept_loops
        outer.remove(across)
        self._loops(outer, lambda: self._tiles([across, inner], [across, inner]))

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

    def _row(self) -> None:
        self.rows = {}
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
        if isinstance(low, int) and isinstance(high, int) and high - low < 2 * SEARCH_BLOCK:
            return None
        extremes, indices = self._reductions(level), self._reductions(level + 1)
        search = self.searches.get(indices[0]) if len(indices) == 1 else None
        return search if search is not None and extremes == [search.extreme] else None

    def _track(self, search: Search) -> None:
        """The extreme block by block; the level after walks only the block in which it was met first."""
        (loop,) = self.reduced_loops
        low, high = self._range(loop)
        extreme = search.extreme
        element = extreme.values[0].element
        (init,) = self._inits(extreme)

        def block(start: str, carried: list[str]) -> list[str]:
            best, where = carried
            self.bounds[loop] = start, self.writer.min(self.writer.add(start, SEARCH_BLOCK), high)
            self.memo = {}
            (found,) = self._carried_loops([loop], [init], [element], partial(self._point, [extreme]))
            better = search.better(self.writer, found, best)
            return [
                self.writer.value(f"arith.select {better}, {found}, {best} : {element}"),
                self.writer.value(f"arith.select {better}, {start}, {where} : index"),
            ]

        best, where = self.writer.loop(low, high, SEARCH_BLOCK, block, [init, self.writer.index(low)], [element, "index"])
        self.rows[extreme, 0] = best
        self.bounds[loop] = where, self.writer.min(self.writer.add(where, SEARCH_BLOCK), high)

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
        results = self._carried_loops(
            self.reduced_loops, inits, types, lambda accumulators: self._point(reductions, accumulators)
        )
        keys = [(node, value.number) for node in reductions for value in node.values]
        self.rows.update(zip(keys, results, strict=True))

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
                self._lane_reduce(reductions, start, stop)
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

        def points(offsets: Sequence[int], loop: int, base: str) -> None:
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
            width = UNROLL if sum(node.body.cost for node in self.cluster.nodes) <= UNROLL_COST else 1
            main = self.writer.add(low, self.writer.floor_to(self.writer.sub(high, low), width))
            if main != low:
                self.writer.loop(low, main, width, lambda row, _: points(range(width), innermost, row))
            if main != high:
                self.writer.loop(main, high, 1, lambda row, _: points([0], innermost, row))
            self.positions[innermost] = None

        self._loops(outer, rows)

    def _lane_address(self) -> Index:
        assert self.lane is not None
        position = self.positions[self.lane]
        assert position is not None
        return self.writer.sub(position, self.lane_start)

    def _load_lane(self, key: Key) -> str:
        return load(self.writer, self.lane_rows[key], self._lane_address(), movable=False)

    def _store_lane(self, key: Key, name: str) -> None:
        store(self.writer, self.lane_rows[key], self._lane_address(), name)

    # -- one point ---------------------------------------------------------------------------------

    def _reductions(self, level: int) -> list[Node]:
        return [node for node in self.cluster.nodes if node.is_reduction and self.plan.level[node] == level]

    def _point(self, reductions: list[Node], accumulators: Sequence[str]) -> list[str]:
        """One point of the current level: every value first, then the stores (outputs may be inputs)."""
        self.memo = {}
        stores: list[tuple[int, str]] = []
        for number, level in self.plan.store_level.items():
            if level == self.level:
                source = self.cluster.outputs[number].source
                assert isinstance(source, Value)
                stores.append((number, self._value(source.key)))
        results: list[str] = []
        remaining = list(accumulators)
        for node in reductions:
            own, remaining = remaining[: len(node.values)], remaining[len(node.values) :]
            results += self._evaluate(node, own)
        for node, first in self.plan.kept.items():
            if first == self.level and (node, 0) in self.memo:
                self._store_kept(node, self.memo[node, 0])
        for number, name in stores:
            self._store(number, name)
        return results

    def _inits(self, node: Node) -> list[str]:
        """The values a reduction starts from."""
        return [self._operand(node, operand) for operand in node.inits]

    def _evaluate(self, node: Node, accumulators: Sequence[str] | None = None) -> list[str]:
        """The node's body at the current point."""
        self.writer.location, previous = node.location, self.writer.location
        arguments = [
            self._operand(node, operand) if node.body.reads(number) else "" for number, operand in enumerate(node.operands)
        ]
        if accumulators is not None:
            arguments += accumulators
        else:
            count = len(node.operands)
            arguments += [
                self._operand(node, init) if node.body.reads(count + number) else "" for number, init in enumerate(node.inits)
            ]
        results = node.body.inline(
            self.writer, arguments, self.cluster.scalars, lambda dim: self._node_position(node, dim), self._gather
        )
        self.writer.location = previous
        return results

    def _node_position(self, node: Node, dim: int) -> str:
        place = self.placed[node][dim]
        if place is None or place not in self.loop_of:
            return self.writer.index(0)
        position = self.positions[self.loop_of[place]]
        assert position is not None
        return self.writer.index(position)

    def _operand(self, node: Node, operand: Operand) -> str:
        source = operand.source
        if isinstance(source, Value):
            return self._value(source.key)
        if isinstance(source, Splat):
            if undefined(operand) or source.scalar is None:
                raise CompileError("schedule: memory that nothing has written is read", location=node.location)
            return source.scalar
        if isinstance(source, Positions):
            return self._number(source.element, self.domain.numbers[operand_key(node, operand)])
        return self._load(self.domain.accesses[operand_key(node, operand)])

    def _number(self, element: str, steps: Sequence[Index]) -> str:
        """The number of the current point, as an integer of that type."""
        total: Index = 0
        for position, step in zip(self.positions, steps, strict=True):
            if position is not None and step != 0:
                total = self.writer.add(total, self.writer.mul(position, step))
        name = self.writer.index(total)
        return self.writer.pure(f"arith.index_cast {name} : index to {element}", [name])

    def _load(self, access: Access) -> str:
        address = access.address(self.writer, self.positions)
        key = (access.view.pointer, address)
        if key not in self.memo:
            movable = access.safe and self._moves(access)
            self.memo[key] = load(self.writer, access.view, address, movable=movable)
        found: str = self.memo[key]
        return found

    def _moves(self, access: Access) -> bool:
        """Loads may leave loops only from memory this cluster does not write."""
        return all(access.view.pointer != output.view.pointer for output in self.cluster.outputs)

    def _value(self, key: Key) -> str:
        node, _ = key
        if key in self.external:
            return self._load(self.external[key])
        if node not in self.plan.full:
            return self._row_value(key)
        if key in self.memo:
            found: str = self.memo[key]
            return found
        first = self.plan.kept.get(node)
        if first is not None and self.level > first:
            self.memo[key] = self._load_kept(node)
        else:
            for position, name in enumerate(self._evaluate(node)):
                self.memo[node, position] = name
        result: str = self.memo[key]
        return result

    def _row_value(self, key: Key) -> str:
        if key not in self.rows:
            self.rows[key] = self._load_lane(key)
        return self.rows[key]

    def _store(self, number: int, name: str) -> None:
        access = self.domain.accesses["out", number]
        store(self.writer, access.view, access.address(self.writer, self.positions), name)

    def _kept_access(self, node: Node) -> tuple[View, Index]:
        holder = self.plan.holder[node]
        if holder is not None:
            access = self.domain.accesses["out", holder]
            return access.view, access.address(self.writer, self.positions)
        (loop,) = self.reduced_loops
        position = self.positions[loop]
        assert position is not None
        return self.scratch[node], position

    def _store_kept(self, node: Node, name: str) -> None:
        if self.plan.holder[node] is not None and self._is_own_output(node):
            return
        view, address = self._kept_access(node)
        store(self.writer, view, address, name)

    def _is_own_output(self, node: Node) -> bool:
        holder = self.plan.holder[node]
        source = self.cluster.outputs[holder].source if holder is not None else None
        return isinstance(source, Value) and source.node is node

    def _load_kept(self, node: Node) -> str:
        view, address = self._kept_access(node)
        return load(self.writer, view, address, movable=False)

    def _gather(self, op: Any, positions: Sequence[str]) -> str:
        """tensor.extract of an input inside a body."""
        source = self.cluster.tensors[op.operands[0]]
        if isinstance(source, Splat) and source.scalar is not None:
            return source.scalar
        if not isinstance(source, View):
            raise CompileError("schedule: a gather from a value of the same cluster", location=str(op.location))
        address: Index = source.offset
        for position, stride in zip(positions, source.strides, strict=True):
            address = self.writer.add(address, self.writer.mul(position, stride))
        return load(self.writer, source, address, movable=False)


def scratch_possible(domain: Domain) -> bool:
    """Whether a row of the domain is one static loop short enough to be kept in scratch."""
    reduced = [size for size, gone in zip(domain.sizes, domain.reduced, strict=True) if gone]
    in_rows = bool(domain.reduced) and domain.reduced[-1]
    return in_rows and len(reduced) == 1 and isinstance(reduced[0], int) and reduced[0] * 8 <= ROW_SCRATCH_BYTES
