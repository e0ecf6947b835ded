"""Chains: a product, what happens row by row to its result, and the product of that with a third array.

Attention is the usual one: `softmax(q @ k.T + mask) @ v`. Apart, the result of the first product goes through memory whole,
several times. As one cluster it exists for a block of rows at a time, in scratch that stays in the cache. Chains
are found by their structure after the other clusters have been formed: any elementwise ops and reductions along
the rows may stand in the middle.
"""

from __future__ import annotations

from collections.abc import Iterator

from phalanx.compiler.clusters.model import Block, Cluster, Node, Operand, Tensor
from phalanx.compiler.clusters.sizes import Size

SCRATCH_ROWS = 768
"""Rows of the first product's result that exist at a time, over all threads, where their length is not known."""

FEWEST_ROWS = 8
"""Products of fewer rows are read-outs of a matrix, which rather share their columns among threads."""

_ELEMENTS = ("f32", "f64")
_NARROW = ("f16", "bf16")
"""What the operand of the second product may be as well; sums are wider."""


class Chain:
    """Three clusters that could be one: a product, reductions of its rows, a product of the rows."""

    def __init__(self, first: Cluster, middle: Cluster, weights: Tensor, last: Cluster) -> None:
        self.first, self.middle, self.last = first, middle, last
        self.weights = weights

    @property
    def clusters(self) -> tuple[Cluster, Cluster, Cluster]:
        return self.first, self.middle, self.last

    @property
    def nodes(self) -> list[Node]:
        return [node for cluster in self.clusters for node in cluster.nodes]

    def refusal(self) -> str | None:
        """Why this cannot be one cluster, in words; None when it can."""
        first, last = self.first.nodes[0], self.last.nodes[0]
        inner = {tensor for node in (*self.first.nodes, *self.middle.nodes) for tensor in node.outputs}
        wanted = {ref.tensor for ref in self.last.block.results if hasattr(ref, "tensor")}
        for tensor in inner:
            outside = [reader for reader in tensor.readers if reader.cluster not in self.clusters]
            if tensor.role != "row" and (outside or tensor in wanted):
                return "the rows in the middle are used elsewhere too"
            if tensor.role != "row" and not self._handed_on(tensor):
                return "what follows the second product reads whole rows of the first"
        elements = {str(tensor.element) for tensor in (*first.outputs, *last.outputs)}
        if not elements <= set(_ELEMENTS) or str(self.weights.element) not in (*_ELEMENTS, *_NARROW):
            return f"only chains of {' and '.join(_ELEMENTS)} have a schedule"
        if len(elements) > 1:
            return "its products have different dtypes"
        if str(self.weights.element) not in elements and not isinstance(columns(self.middle), int):
            return "its rows, of a length that is not known, change their dtype"
        if any(init.tensor is not None for node in (first, last) for init in node.inits):
            return "a product is added to what is there"
        if any(_asks_position(node) for node in self.nodes):
            return "an op asks for its position"
        if any(size == 0 for node in self.nodes for size in node.domain):
            return "it has no elements"
        return self._refusal_of_shapes(first, last)

    def _handed_on(self, tensor: Tensor) -> bool:
        """Whether a value of whole rows goes no further than the operand of the second product."""
        later = {reader for reader in tensor.readers if reader.cluster not in (self.first, self.middle)}
        return later <= {self.last.nodes[0]} if tensor is self.weights else not later

    def _refusal_of_shapes(self, first: Node, last: Node) -> str | None:
        reduced = self.middle.reduced or ()
        if len(reduced) != 1 or self.middle.domain != self.first.domain:
            return "the rows in the middle are not those of the product"
        (depth,) = last.reduced if len(last.reduced) == 1 else (-1,)
        operand = next(operand for operand in last.operands if operand.tensor is self.weights)
        loops = loops_read(operand, last)
        if loops is None or loops[reduced[0]] != depth or len(last.operands) != 2:
            return "the second product runs along other rows"
        places = {loop: number for number, loop in enumerate(loops)}
        of_last = [places.get(loop) for loop in range(len(last.domain))]
        behind = {node: [of_last[loop] for loop in last.parallel] for node in self.last.nodes[1:]}
        if not read_as_made(first, self.middle, {last: of_last, **behind}):
            return "a value in the middle is read in another order than it is made"
        rows = loops_of_rows(first, reduced[0])
        if not rows or any(isinstance(size, int) and size < FEWEST_ROWS for size in (largest(first, rows),)):
            return f"the first product has fewer than {FEWEST_ROWS} rows"
        other = next(o for o in last.operands if o is not operand)
        if other.access is None or any(other.access.steps[loops[loop]] != 0 for loop in rows):
            return "the second product has a matrix per row"
        return None

    def merge(self) -> bool:
        """Make it one cluster, in the place of the last; False when others would have to run in between."""
        order, last = self.last.block.order, self.last
        followers = {
            reader.cluster.number
            for node in self.middle.nodes
            for tensor in node.outputs
            for reader in tensor.readers
            if reader.cluster is not None and reader.cluster not in self.clusters
        }
        if not order.edge(self.middle.number, last.number):
            return False
        if any(order.reaches(number, {last.number}) for number in followers):
            return False
        for number in followers:
            if not order.edge(last.number, number):
                return False
        nodes = self.nodes
        for cluster in (self.first, self.middle):
            last.streams |= cluster.streams
            cluster.nodes = []
        last.nodes = nodes
        last.kind = "chain"
        for node in nodes:
            node.cluster = last
        return True


def find_chains(block: Block) -> Iterator[Chain]:
    """Every product of a block whose operand is made row by row from another product."""
    for last in block.clusters:
        if last.kind == "contraction" and last.nodes:
            found = (_chain_to(last, operand.tensor) for operand in last.nodes[0].operands)
            yield from [chain for chain in found if chain is not None][:1]


def _chain_to(last: Cluster, weights: Tensor | None) -> Chain | None:
    unit = weights.unit if weights is not None else None
    if weights is None or unit is None or weights.role != "full" or weights.block is not last.block:
        return None
    if unit.kind == "reduction":
        reads = {operand.tensor.unit for node in unit.nodes for operand in node.operands if operand.tensor is not None}
        firsts = [cluster for cluster in reads if cluster is not None and _is_product(cluster, last)]
        return Chain(firsts[0], unit, weights, last) if len(firsts) == 1 else None
    if _is_product(unit, last):
        found = {reader.cluster for reader in weights.readers if reader.cluster is not None}
        middles = [cluster for cluster in found if cluster.kind == "reduction" and cluster.block is last.block]
        return Chain(unit, middles[0], weights, last) if len(middles) == 1 else None
    return None


def _is_product(cluster: Cluster, last: Cluster) -> bool:
    return cluster.kind == "contraction" and cluster is not last and cluster.block is last.block


def loops_read(operand: Operand, node: Node) -> list[int] | None:
    """For each loop that makes a tensor the loop of `node` that reads along it; None when there is no such order."""
    tensor, access = operand.tensor, operand.access
    if tensor is None or access is None or tensor.node is None or access.offset != tensor.access.offset:
        return None
    made = [tensor.node.domain[d] for d in tensor.node.parallel]
    found: list[int] = []
    for size, step in zip(made, tensor.access.steps, strict=True):
        loops = [loop for loop, other in enumerate(access.steps) if other == step]
        if step == 0 or len(loops) != 1 or node.domain[loops[0]] != size:
            return None
        found += loops
    strays = [loop for loop, step in enumerate(access.steps) if step != 0 and loop not in found]
    return None if strays else found


def read_as_made(first: Node, middle: Cluster, behind: dict[Node, list[int | None]]) -> bool:
    """Whether rows and columns mean the same in all ops of a chain, those `behind` the middle included.

    A dimension is known by its number in the middle; None is one that the middle does not have.
    """
    rank = len(middle.domain)
    of_first = dict(zip(first.parallel, range(rank), strict=True))
    dims: dict[Node, list[int | None]] = {first: [of_first.get(loop) for loop in range(len(first.domain))], **behind}
    for node in (*(first.cluster.nodes[1:] if first.cluster else ()), *middle.nodes):
        dims[node] = list(range(rank) if node.domain == middle.domain else middle.parallel)
    for node, names in dims.items():
        for operand in node.operands:
            made = operand.tensor.node if operand.tensor is not None else None
            if made is None or made not in dims:
                continue
            loops = loops_read(operand, node)
            if loops is None or [names[loop] for loop in loops] != [dims[made][loop] for loop in made.parallel]:
                return False
    return True


def columns(cluster: Cluster) -> Size:
    """How long the rows in the middle of a chain are."""
    reduction = next(node for node in cluster.nodes if node.kind == "reduction")
    return reduction.domain[reduction.reduced[0]]


def loops_of_rows(first: Node, depth: int) -> list[int]:
    """The loops of the first product's result that its other operand, the one with the columns, does not depend on."""
    loops = [first.parallel[depth]]
    columns = [operand for operand in first.operands if operand.access is not None and operand.access.steps[loops[0]] != 0]
    if len(columns) != 1 or columns[0].access is None:
        return []
    steps = columns[0].access.steps
    return [number for number, loop in enumerate(first.parallel) if number != depth and steps[loop] == 0]


def largest(first: Node, rows: list[int]) -> Size:
    sizes = [first.domain[first.parallel[row]] for row in rows]
    unknown = [size for size in sizes if not isinstance(size, int)]
    return unknown[0] if unknown else max(size for size in sizes if isinstance(size, int))


def _asks_position(node: Node) -> bool:
    return node.body is not None and any(view.operation.name == "linalg.index" for view in node.body.operations)
