"""Which pass computes what in a fused elementwise/reduction cluster.

A cluster with reductions walks its reduced dims once per *level*: the number of reductions chained before
an op. Softmax has three: the maximum, the sum of exponentials, the quotient. A value that is dear and wanted in several
levels is kept from its first one, in an output that is not final yet or in scratch; a cheap one is computed again.
"""

from __future__ import annotations

from phalanx.compiler.schedules.cluster import Cluster, Node, Operand, Output, Positions, Value, View, identity
from phalanx.dialects.records import field, record

SAVE_COST = 8
"""Scalar ops (in additions) above which computing a value again costs more than keeping it."""

Key = tuple[Node, int]


@record(frozen=False)
class Plan:
    """Levels of a cluster's nodes and outputs, and which values are kept between levels."""

    level: dict[Node, int] = field(default_factory=dict)
    full: set[Node] = field(default_factory=set)
    """Nodes computed at every point of the domain; the others once per kept position (rows)."""
    last: int = 0
    store_level: dict[int, int] = field(default_factory=dict)
    """Output number -> level in which it is stored; only outputs that cover the whole domain."""
    kept: dict[Node, int] = field(default_factory=dict)
    """Node -> the first level that computes it, for values kept for later levels."""
    holder: dict[Node, int | None] = field(default_factory=dict)
    """Node -> output that holds the kept value; None: scratch."""


def plan_levels(cluster: Cluster, placed: dict[Node, list[int | None]], reduced: list[bool], scratch: bool) -> Plan:
    """Decides levels, store levels and kept values; `scratch` says whether scratch rows are possible."""
    plan = Plan()
    for node in cluster.nodes:
        plan.level[node] = max((plan.level[source.node] + source.node.is_reduction for source in _values(node)), default=0)
        covers = any(dim is not None and reduced[dim] for dim in placed[node])
        if not node.is_reduction and (covers or not any(reduced)):
            plan.full.add(node)
    plan.last = max(plan.level.values(), default=0)
    for number, output in enumerate(cluster.outputs):
        node = _source(output).node
        if node in plan.full:
            # Memory shared with an input may be written only after its last read.
            plan.store_level[number] = plan.last if output.aliased else plan.level[node]
    if plan.last:
        covering = {node for node in plan.full if None not in placed[node]}
        if not _plan_kept(cluster, plan, covering, scratch, overwrite=not scratch):
            plan.kept.clear()
            plan.holder.clear()
            _plan_kept(cluster, plan, covering, scratch, overwrite=False)
    return plan


def _plan_kept(cluster: Cluster, plan: Plan, covering: set[Node], scratch: bool, overwrite: bool) -> bool:
    """Chooses what is kept where; False when memory would be overwritten (which `overwrite` allows) and read later."""
    evaluated: dict[Node, set[int]] = {}
    uses: dict[Node, set[int]] = {node: set() for node in cluster.nodes}
    for number, level in plan.store_level.items():
        uses[_source(cluster.outputs[number]).node].add(level)
    cost: dict[Node, int] = {}
    for node in cluster.nodes:
        cost[node] = node.body.cost + sum(cost[source.node] for source in _values(node) if source.node in plan.full)
    taken: set[int] = set()
    for node in reversed(cluster.nodes):
        levels = {plan.level[node]} if node.is_reduction else uses[node]
        if node in covering and len(levels) > 1 and cost[node] >= SAVE_COST and len(node.values) == 1:
            holder = _holder(cluster, plan, covering, node, min(levels), taken)
            if holder is None and overwrite:
                holder = _overwritten(cluster, plan, covering, node, taken)
            if holder is not None or scratch:
                plan.kept[node] = min(levels)
                plan.holder[node] = holder
                levels = {min(levels)}
        if node in plan.full or node.is_reduction:
            for source in _values(node):
                if source.node in plan.full:
                    uses[source.node] |= levels
        evaluated[node] = levels
    for node, holder in plan.holder.items():
        if holder is not None and cluster.outputs[holder].aliased:
            readers = _readers(cluster, cluster.outputs[holder])
            if any(max(evaluated[reader], default=0) > plan.kept[node] for reader in readers):
                return False
    return True


def _holder(cluster: Cluster, plan: Plan, covering: set[Node], node: Node, first: int, taken: set[int]) -> int | None:
    """An output whose memory can hold the node's value from level `first` on."""
    element = node.values[0].element
    for number, level in plan.store_level.items():
        output = cluster.outputs[number]
        if _source(output).node is node and level == first:
            return number
        free = number not in taken and not output.aliased and level == plan.last
        other = _source(output).node
        if free and output.view.element == element and other is not node and other in covering:
            taken.add(number)
            return number
    return None


def _overwritten(cluster: Cluster, plan: Plan, covering: set[Node], node: Node, taken: set[int]) -> int | None:
    """An output written over an input, point by point, whose memory can hold the node's value once the input is read."""
    for number, level in plan.store_level.items():
        output = cluster.outputs[number]
        other = _source(output).node
        free = number not in taken and output.aliased and level == plan.last
        if not free or output.view.element != node.values[0].element or other is node or other not in covering:
            continue
        whole = identity(len(output.view.sizes))
        reads = [o for reader in _readers(cluster, output) for o in reader.operands if _reads(o, output)]
        if all(read.source == output.view and read.map == whole for read in reads) and not _asks_for_positions(cluster):
            taken.add(number)
            return number
    return None


def _readers(cluster: Cluster, output: Output) -> list[Node]:
    """The nodes that read the memory of an output."""
    return [node for node in cluster.nodes if any(_reads(operand, output) for operand in [*node.operands, *node.inits])]


def _reads(operand: Operand, output: Output) -> bool:
    return isinstance(operand.source, View) and operand.source.pointer == output.view.pointer


def _asks_for_positions(cluster: Cluster) -> bool:
    """Whether there may be searches, which go back to what they have read."""
    return any(isinstance(operand.source, Positions) for node in cluster.nodes for operand in node.operands)


def _values(node: Node) -> list[Value]:
    return [op.source for op in [*node.operands, *node.inits] if isinstance(op.source, Value)]


def _source(output: Output) -> Value:
    assert isinstance(output.source, Value)
    return output.source
