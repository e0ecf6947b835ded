"""Shares a cluster among threads: which loop is cut, when that pays, and the code that does it.

The work goes into a function of its own that takes the part of one loop it is to do; the cluster's function calls
it once, or for every part from an scf.parallel. Cutting a kept loop changes no result. Cutting a reduced loop does:
the parts are then a fixed number, whatever the number of threads, and their results are combined in order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from phalanx.compiler.schedules.cluster import Cluster, Node, Operand, Output, Splat, Value, View, identity
from phalanx.compiler.schedules.domain import Domain
from phalanx.compiler.schedules.text import Index, Writer
from phalanx.compiler.schedules.workspace import ALIGNMENT, Workspace, element_bytes

THRESHOLD = 100_000_000
"""Picoseconds of estimated work from which a thread team pays, also on a busy machine."""

PICOSECONDS_PER_STREAM = 100
PICOSECONDS_PER_OP = 30
PICOSECONDS_PER_MULTIPLY_ADD = 25

PARTS_PER_CORE = 4
"""Parts of an elementwise nest per core: any number of threads then gets nearly equal shares."""

REDUCTION_PARTS = 32
"""Parts of a reduction: fixed, so that results do not depend on the number of threads."""

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


@dataclass(frozen=True)
class Cut:
    """A loop shared among threads: its parts are multiples of `grain`."""

    loop: int
    parts: int
    grain: int = 1


def work_of(cluster: Cluster, domain: Domain) -> Index:
    """Estimated picoseconds for one thread."""
    writer = cluster.writer
    points: Index = 1
    for size in domain.sizes:
        points = writer.mul(points, size)
    streams = len({access.view.pointer for access in domain.accesses.values()})
    cost = sum(node.body.cost for node in cluster.nodes)
    return writer.mul(points, PICOSECONDS_PER_STREAM * streams + PICOSECONDS_PER_OP * cost)


def cut_kept(domain: Domain, parts: int) -> Cut | None:
    """The outermost kept loop with enough iterations for every part."""
    kept = [loop for loop, gone in enumerate(domain.reduced) if not gone]
    for loop in kept:
        size = domain.sizes[loop]
        grain = 64 if loop == len(domain.sizes) - 1 else 1
        if isinstance(size, str) or size >= parts * grain:
            return Cut(loop, parts, grain)
    return None


def cut_reduced(cluster: Cluster, domain: Domain) -> Cut | None:
    """The outermost reduced loop, when partial results can be combined by the reduction itself."""
    kept = [size for size, gone in zip(domain.sizes, domain.reduced, strict=True) if not gone]
    elements = 1
    for size in kept:
        if isinstance(size, str):
            return None
        elements *= size
    reductions = [node for node in cluster.nodes if node.is_reduction]
    combinable = all(combines(cluster.writer, node) for node in reductions)
    after = _after_reductions(cluster)
    chained = any(node.is_reduction or _covers(node, reductions[0]) for node in after)
    stores_full = any(
        isinstance(output.source, Value) and _covers(output.source.node, reductions[0]) for output in cluster.outputs
    )
    if elements > PARTIAL_ELEMENTS or not combinable or chained or stores_full:
        return None
    loop = domain.reduced.index(True)
    size = domain.sizes[loop]
    if isinstance(size, int) and size < REDUCTION_PARTS:
        return None
    return Cut(loop, REDUCTION_PARTS, 1)


def combines(writer: Writer, node: Node) -> bool:
    """Whether the body is one associative op on accumulator and input, started from a value without effect."""
    if len(node.operands) != 1 or len(node.values) != 1 or len(node.body.ops) != 1:
        return False
    (op,) = node.body.ops
    if set(op.operands) != set(node.body.arguments) or node.body.yields != [op.result]:
        return False
    if op.name in _IDEMPOTENT:
        return True
    (init,) = node.inits
    text = writer.constant_text(init.source.scalar) if isinstance(init.source, Splat) and init.source.scalar else None
    return text is not None and text.split(" ")[0] in _IDENTITIES.get(op.name, ())


def _covers(node: Node, reduction: Node) -> bool:
    """Whether the node is computed at every point, reduced dims included."""
    return not node.is_reduction and len(node.sizes) == len(reduction.sizes)


def _sources(node: Node) -> list[Node]:
    return [op.source.node for op in [*node.operands, *node.inits] if isinstance(op.source, Value)]


def _after_reductions(cluster: Cluster) -> set[Node]:
    """Nodes that need the result of a reduction."""
    found: set[Node] = set()
    for node in cluster.nodes:
        if any(source.is_reduction or source in found for source in _sources(node)):
            found.add(node)
    return found


def partial_views(cluster: Cluster, workspace: Workspace) -> list[tuple[Node, View]]:
    """For each reduction, room for the partial results of every part: (parts, kept sizes...)."""
    views = []
    for node in cluster.nodes:
        if node.is_reduction:
            sizes = [size for size in node.values[0].sizes if isinstance(size, int)]
            count = 1
            for size in sizes:
                count *= size
            element = node.values[0].element
            row = -(-count * element_bytes(element) // ALIGNMENT) * ALIGNMENT // element_bytes(element)
            base = workspace.allocate(cluster.writer, element, row * REDUCTION_PARTS)
            strides: list[Index] = []
            step = 1
            for size in reversed(sizes):
                strides.insert(0, step)
                step *= size
            views.append((node, View(base.pointer, element, (REDUCTION_PARTS, *sizes), (row, *strides))))
    return views


def partial_cluster(cluster: Cluster, views: list[tuple[Node, View]], part: str) -> Cluster:
    """The cluster that computes one part's partial results."""
    outputs = []
    for node, view in views:
        start = cluster.writer.mul(part, view.strides[0])
        target = View(view.pointer, view.element, view.sizes[1:], view.strides[1:], start)
        outputs.append(Output(node.values[0], target, False))
    needed = {node for node, _ in views}
    for node in reversed(cluster.nodes):
        if node in needed:
            needed.update(_sources(node))
    return replace(cluster, nodes=[node for node in cluster.nodes if node in needed], outputs=outputs)


def combined_cluster(cluster: Cluster, views: list[tuple[Node, View]]) -> Cluster:
    """The cluster that combines the partial results and does what follows the reductions."""
    replaced: dict[tuple[Node, int], Value] = {}
    nodes: list[Node] = []
    for old, view in views:
        rank = len(view.sizes)
        reduced = (True, *(False for _ in view.sizes[1:]))
        node = Node(old.name, old.location, list(view.sizes), reduced, [Operand(view, identity(rank))], [], old.body)
        node.inits = [replace(init, map=identity(rank)[1:] if init.map else ()) for init in old.inits]
        node.values = [replace(old.values[0], node=node, dims=tuple(range(1, rank)))]
        replaced[old.values[0].key] = node.values[0]
        nodes.append(node)
    rank = len(views[0][0].sizes)
    for old in cluster.nodes:
        if not old.is_reduction and len(old.sizes) < rank:
            operands = [_redirect(operand, replaced) for operand in old.operands]
            node = replace(old, operands=operands, values=[])
            node.values = [replace(value, node=node) for value in old.values]
            replaced.update({value.key: new for value, new in zip(old.values, node.values, strict=True)})
            nodes.append(node)
    outputs = []
    for output in cluster.outputs:
        assert isinstance(output.source, Value)
        new = replaced[output.source.key]
        outputs.append(replace(output, source=replace(output.source, node=new.node, dims=new.dims)))
    return replace(cluster, nodes=nodes, outputs=outputs)


def _redirect(operand: Operand, replaced: dict[tuple[Node, int], Value]) -> Operand:
    if isinstance(operand.source, Value) and operand.source.key in replaced:
        new = replaced[operand.source.key]
        return replace(operand, source=replace(operand.source, node=new.node, dims=new.dims))
    return operand


def emit_parts(writer: Writer, size: Index, cut: Cut, call: Callable[[Index, Index, Index], None]) -> None:
    """An scf.parallel that calls `call(part, low, high)` for every part of the loop."""
    length = writer.mul(writer.ceildiv(writer.ceildiv(size, cut.parts), cut.grain), cut.grain)

    def one(part: str) -> None:
        low = writer.min(writer.mul(part, length), size)
        call(part, low, writer.min(writer.add(low, length), size))

    writer.parallel(cut.parts, one)
