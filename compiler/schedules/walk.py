"""The state of a fused loop nest being written, and what happens at one point of it: loads, values, stores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
from phalanx.compiler.schedules.extremum import find_searches
from phalanx.compiler.schedules.fused import Key, Plan
from phalanx.compiler.schedules.text import Index, Writer
from phalanx.compiler.schedules.workspace import Workspace
from phalanx.dialects.errors import CompileError


class Walk:
    """Positions, values known at them, and the code of one point; `Nest` says in which order points are visited."""

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
        self.written_out = False
        """Whether the points of a row are written one after the other; what is known at them then lasts for the row."""
        self.points: dict[Index | None, dict[Any, Any]] = {}
        self.level = 0

    # -- loops -------------------------------------------------------------------------------------

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

    # -- accumulators in scratch -------------------------------------------------------------------

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
        self.memo = self.points.setdefault(self.positions[self.reduced_loops[0]], {}) if self.written_out else {}
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
            if first == self.level and (node, 0) in self.memo and not self.written_out:
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
