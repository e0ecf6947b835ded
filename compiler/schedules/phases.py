"""A cluster with reductions as phases that threads can share: parts leave partial results, which are combined in order.

    phase 0   parts: sum of x             then: mean = sum / n
    phase 1   parts: sum of (x - mean)**2 then: variance = sum / n
    phase 2   parts: (x - mean) * rsqrt(variance)

The number of parts is fixed, so that results do not depend on the number of threads. What later phases need of an
earlier one (reductions, and ops on their results) stands in the workspace between them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from phalanx.compiler.schedules.cluster import (
    Cluster,
    Expr,
    Node,
    Operand,
    Output,
    Source,
    Splat,
    Value,
    View,
    contiguous_strides,
    identity,
)
from phalanx.compiler.schedules.domain import place_nodes
from phalanx.compiler.schedules.extremum import find_searches
from phalanx.compiler.schedules.scalar import Body
from phalanx.compiler.schedules.text import Index, Writer
from phalanx.compiler.schedules.workspace import ALIGNMENT, Workspace, element_bytes
from phalanx.dialects.records import record, replace

REDUCTION_PARTS = 32
"""Parts of a reduction: fixed, so that results do not depend on the number of threads."""

FEWEST_PARTS = 8
PARTIAL_BYTES = 32 << 10
"""Memory of one reduction's partial results above which there are fewer parts, down to FEWEST_PARTS."""

PARTIAL_ELEMENTS = 4096
"""Most kept elements a reduction may have to be cut along its reduced loop."""

_IDENTITIES = {
    "arith.addf": ("0.000000e+00", "-0.000000e+00"),
    "arith.mulf": ("1.000000e+00",),
    "arith.addi": ("0",),
    "arith.muli": ("1",),
}
_IDEMPOTENT = frozenset(
    f"arith.{name}"
    for name in ("maximumf", "minimumf", "maxnumf", "minnumf", "maxsi", "minsi", "maxui", "minui", "andi", "ori")
)

Key = tuple[Node, int]


@record
class Room:
    """Where a reduction's results stand: one row of `row` elements per part, then the combined ones."""

    partial: View
    row: int


class Phases:
    """The phases of one reading of a cluster; `possible` says beforehand whether it has any."""

    def __init__(self, cluster: Cluster, workspace: Workspace) -> None:
        self.cluster = cluster
        _, reduced, self.placed = place_nodes(cluster)
        self.kept = [dim for dim, gone in enumerate(reduced) if not gone]
        self.searches = find_searches(cluster)
        self.full = {node for node in cluster.nodes if _is_full(node, self.placed[node], reduced)}
        self.level = self._levels()
        self.last = max(self.level[node] for node in cluster.nodes if node.is_reduction or node in self.full)
        reductions = [node for node in cluster.nodes if node.is_reduction]
        self.sizes = [size for size in reductions[0].values[0].sizes if isinstance(size, int)]
        self.parts = reduction_parts(cluster)
        self.rooms: dict[Node, Room] = {}
        self.finals: dict[Node, View] = {}
        for node in cluster.nodes:
            if node.is_reduction:
                self.rooms[node] = self._room(node, workspace)
            if self.last and node not in self.full:
                element = node.values[0].element
                self.finals[node] = workspace.allocate(cluster.writer, element, self._count())

    # -- what belongs where ------------------------------------------------------------------------

    def _levels(self) -> dict[Node, int]:
        """The phase of every node: the number of reductions it has to wait for; a search waits for nothing more."""
        level: dict[Node, int] = {}
        for node in self.cluster.nodes:
            search = self.searches.get(node)
            found = 0
            for source in _source_nodes(node):
                waits = source.is_reduction and not (search is not None and source is search.extreme)
                found = max(found, level[source] + waits)
            level[node] = found
        return level

    def _count(self) -> int:
        count = 1
        for size in self.sizes:
            count *= size
        return count

    def _room(self, node: Node, workspace: Workspace) -> Room:
        element = node.values[0].element
        width = element_bytes(element)
        row = -(-self._count() * width // ALIGNMENT) * ALIGNMENT // width
        base = workspace.allocate(self.cluster.writer, element, row * self.parts)
        strides = contiguous_strides(self.sizes, self.cluster.writer)
        return Room(View(base.pointer, element, (self.parts, *self.sizes), (row, *strides)), row)

    def _final(self, value: Value) -> View:
        """A value of an earlier phase as memory."""
        view = self.finals[value.node]
        steps = contiguous_strides(self.sizes, self.cluster.writer)
        places = [None if dim is None else self.placed[value.node][dim] for dim in value.dims]
        strides = [steps[self.kept.index(place)] if place in self.kept else 0 for place in places]
        return View(view.pointer, view.element, value.sizes, tuple(strides))

    def _stored_in(self, output: Output) -> int:
        """The phase an output that covers the whole domain is written in: memory of an input only in the last."""
        assert isinstance(output.source, Value)
        return self.last if output.aliased else self.level[output.source.node]

    # -- the clusters ------------------------------------------------------------------------------

    def part(self, phase: int, number: Index) -> Cluster:
        """The cluster that does part `number` of a phase: partial results, and outputs it can write already."""
        cluster = self.cluster
        reductions = [node for node in cluster.nodes if node.is_reduction and self.level[node] == phase]
        wanted: list[tuple[Value, View, bool]] = []
        for node in reductions:
            view, row = self.rooms[node].partial, self.rooms[node].row
            start = cluster.writer.mul(number, row)
            wanted.append((node.values[0], View(view.pointer, view.element, view.sizes[1:], view.strides[1:], start), False))
        for output in cluster.outputs:
            assert isinstance(output.source, Value)
            if output.source.node in self.full and self._stored_in(output) == phase:
                wanted.append((output.source, output.view, output.aliased))
        needed = {value.node for value, _, _ in wanted}
        for node in reversed(cluster.nodes):
            if node in needed:
                needed.update(source for source in _source_nodes(node) if not self._is_ready(source, phase))
        made: dict[Node, Node] = {}
        for node in cluster.nodes:
            if node in needed:
                made[node] = _rebuilt(node, [self._wired(operand, phase, made) for operand in node.operands],
                                      [self._wired(init, phase, made) for init in node.inits])  # fmt: skip
        outputs = [Output(replace(value, node=made[value.node]), view, aliased) for value, view, aliased in wanted]
        return replace(cluster, nodes=list(made.values()), outputs=outputs)

    def _is_ready(self, node: Node, phase: int) -> bool:
        """Whether an earlier phase has left the node's results in memory."""
        return phase > 0 and node in self.finals and self.level[node] + node.is_reduction <= phase

    def _wired(self, operand: Operand, phase: int, made: dict[Node, Node]) -> Operand:
        source: Source = operand.source
        if isinstance(source, Value):
            ready = self._is_ready(source.node, phase)
            source = self._final(source) if ready else replace(source, node=made[source.node])
        return replace(operand, source=source)

    def combined(self, phase: int) -> Cluster | None:
        """The cluster that combines a phase's partial results and does what needs only those."""
        cluster = self.cluster
        made: dict[Node, Node] = {}
        for node in cluster.nodes:
            if node.is_reduction and self.level[node] == phase:
                made[node] = self._combining(node, made)
            elif node not in self.full and not node.is_reduction and self._follows(node, phase):
                made[node] = self._row(node, phase, made)
        outputs = [
            replace(output, source=self._moved(output.source, made))
            for output in cluster.outputs
            if isinstance(output.source, Value) and output.source.node in made
        ]
        for node, new in made.items():
            if node in self.finals and phase < self.last:
                dense = contiguous_strides(self.sizes, cluster.writer)
                view = View(self.finals[node].pointer, new.values[0].element, tuple(self.sizes), dense)
                first = len(new.sizes) - len(self.kept)
                value = replace(new.values[0], sizes=tuple(self.sizes), dims=tuple(range(first, len(new.sizes))))
                outputs.append(Output(value, view, False))
        return replace(cluster, nodes=list(made.values()), outputs=outputs) if outputs else None

    def _follows(self, node: Node, phase: int) -> bool:
        return self.level[node] == phase + 1 or (phase == 0 and self.level[node] == 0)

    def _combining(self, old: Node, made: dict[Node, Node]) -> Node:
        """The reduction over the parts: with the op of its body alone, a search with what the parts found."""
        views = [self.rooms[old].partial]
        search = self.searches.get(old)
        if search is None:
            body = combining_body(old)
        else:
            body = search.combining_body()
            views = [self.rooms[search.extreme].partial, self.rooms[old].partial]
        rank = len(views[0].sizes)
        operands = [Operand(view, identity(rank)) for view in views]
        if search is not None:
            extreme = made[search.extreme].values[0]
            operands.insert(1, Operand(extreme, identity(rank)[1:]))
        node = Node(old.name, old.location, list(views[0].sizes), (True, *[False] * (rank - 1)), operands, [], body)
        node.inits = [replace(init, map=identity(rank)[1:] if init.map else ()) for init in old.inits]
        node.values = [replace(old.values[0], node=node, dims=tuple(range(1, rank)))]
        return node

    def _row(self, old: Node, phase: int, made: dict[Node, Node]) -> Node:
        """An op on results of reductions, over the kept dims alone."""
        place = {dim: self.kept.index(at) for dim, at in enumerate(self.placed[old]) if at is not None and at in self.kept}
        operands = [self._row_operand(operand, place, made) for operand in old.operands]
        inits = [self._row_operand(init, place, made) for init in old.inits]
        node = replace(old, sizes=list(self.sizes), reduced=(False,) * len(self.kept), operands=operands, inits=inits)
        node.values = [
            replace(value, node=node, dims=tuple(None if dim is None else place.get(dim) for dim in value.dims))
            for value in old.values
        ]
        return node

    def _row_operand(self, operand: Operand, place: dict[int, int], made: dict[Node, Node]) -> Operand:
        source = operand.source
        if isinstance(source, Value):
            source = self._moved(source, made) if source.node in made else self._final(source)
        map_ = tuple(
            Expr(tuple((place[dim], factor) for dim, factor in expr.terms if dim in place), expr.constant)
            for expr in operand.map
        )
        return Operand(source, map_)

    def _moved(self, value: Value, made: dict[Node, Node]) -> Value:
        """A value of an old node as the new one gives it."""
        new = made[value.node]
        shift = len(new.sizes) - len(self.kept)
        dims: list[int | None] = []
        for dim in value.dims:
            at = None if dim is None else self.placed[value.node][dim]
            dims.append(self.kept.index(at) + shift if at is not None and at in self.kept else None)
        return replace(value, node=new, dims=tuple(dims))


def reduction_parts(cluster: Cluster) -> int:
    """How many parts the reductions of a cluster are done in."""
    values = [node.values[0] for node in cluster.nodes if node.is_reduction]
    kept = math.prod(size for size in values[0].sizes if isinstance(size, int))
    row = kept * max(element_bytes(value.element) for value in values)
    parts = REDUCTION_PARTS
    while parts > FEWEST_PARTS and parts * row > PARTIAL_BYTES:
        parts //= 2
    return parts


def phases_possible(cluster: Cluster) -> bool:
    """Whether the reductions of a cluster can be done in parts whose results are then combined."""
    reductions = [node for node in cluster.nodes if node.is_reduction]
    if not reductions:
        return False
    _, reduced, placed = place_nodes(cluster)
    kept = [dim for dim, gone in enumerate(reduced) if not gone]
    searches = find_searches(cluster)
    elements = 1
    for node in reductions:
        (value, *others) = node.values
        if others or [None if dim is None else placed[node][dim] for dim in value.dims] != kept:
            return False
        if any(not isinstance(size, int) for size in value.sizes) or not (node in searches or combines(cluster.writer, node)):
            return False
    for size in reductions[0].values[0].sizes:
        assert isinstance(size, int)
        elements *= size
    if elements > PARTIAL_ELEMENTS:
        return False
    full = {node for node in cluster.nodes if _is_full(node, placed[node], reduced)}
    if any(None in placed[node] for node in full):
        return False
    small = [node for node in cluster.nodes if node not in full]
    if any(len(node.values) != 1 or node.body.index_dims() for node in small if not node.is_reduction):
        return False
    return not any(
        output.aliased for output in cluster.outputs if isinstance(output.source, Value) and output.source.node in small
    )


def combines(writer: Writer, node: Node) -> bool:
    """Whether the body is one associative op on accumulator and what it makes of the inputs, and starts without effect."""
    if len(node.values) != 1 or not node.body.ops or len(node.inits) != 1 or not isinstance(node.inits[0].source, Splat):
        return False
    *before, op = node.body.ops
    running = node.body.arguments[-1]
    if node.body.yields != [op.result] or len(op.operands) != 2 or list(op.operands).count(running) != 1:
        return False
    if any(running in other.operands for other in before):
        return False
    if op.name in _IDEMPOTENT:
        return True
    start = node.inits[0].source.scalar
    text = writer.constant_text(start) if start else None
    return text is not None and text.split(" ")[0] in _IDENTITIES.get(op.name, ())


def combining_body(node: Node) -> Body:
    """The body's associative op on two accumulators, the second of which runs."""
    op = node.body.ops[-1]
    running = node.body.arguments[-1]
    (added,) = [operand for operand in op.operands if operand != running]
    return Body([added, running], [op], node.body.yields)


def _is_full(node: Node, places: Sequence[int | None], reduced: Sequence[bool]) -> bool:
    return not node.is_reduction and any(dim is not None and reduced[dim] for dim in places)


def _source_nodes(node: Node) -> list[Node]:
    return [op.source.node for op in [*node.operands, *node.inits] if isinstance(op.source, Value)]


def _rebuilt(node: Node, operands: list[Operand], inits: list[Operand]) -> Node:
    """A copy of the node with other operands."""
    new = replace(node, operands=operands, inits=inits, values=[])
    new.values = [replace(value, node=new) for value in node.values]
    return new
