"""Operands that a nest walks with a stride, again and again, are copied together first.

The columns of a table of points, each compared with every other point: a vector load of such a column takes as many
shuffles as the arithmetic it feeds. The copy is one pass over an array that the nest reads many times.
"""

from __future__ import annotations

from phalanx.compiler.clusters.form import Remark
from phalanx.compiler.clusters.model import Block, Cluster, Node, Operand, Ref, Tensor
from phalanx.compiler.clusters.read_nests import set_copy_domain, set_store
from phalanx.compiler.clusters.sizes import Size, row_major
from phalanx.compiler.clusters.view import Access

LEAST_REUSE = 16
"""How often the nest reads every element of an operand that is worth a copy."""

LEAST_POINTS = 1 << 15
"""Points of a nest that is worth another call."""


def copy_together(block: Block, remarks: list[Remark]) -> None:
    """Insert the copies in front of the clusters of a block."""
    for cluster in list(block.clusters):
        if cluster.kind in ("elementwise", "reduction"):
            _Copies(block, cluster, remarks).make()


class _Copies:
    """The copies one cluster is given, by what they show."""

    def __init__(self, block: Block, cluster: Cluster, remarks: list[Remark]) -> None:
        self.block, self.cluster, self.remarks = block, cluster, remarks
        self.made: dict[tuple[Tensor, Access], Tensor | None] = {}

    def make(self) -> None:
        for node in self.cluster.nodes:
            if node.domain != self.cluster.domain:
                continue
            for operand in node.operands:
                dims = _moving(self.cluster, node, operand)
                if dims:
                    self._replace(node, operand, dims)

    def _replace(self, node: Node, operand: Operand, dims: tuple[int, ...]) -> None:
        assert operand.tensor is not None and operand.access is not None
        key = (operand.tensor, operand.access)
        if key not in self.made:
            self.made[key] = self._copy(node, operand.tensor, operand.access, dims)
        copy = self.made[key]
        if copy is None:
            return
        steps: list[Size] = [0] * len(node.domain)
        for dim, stride in zip(dims, copy.strides, strict=True):
            steps[dim] = stride
        operand.tensor, operand.access = copy, Access(0, tuple(steps))
        node.reads.append(Ref(copy, copy.view))
        copy.readers.append(node)

    def _copy(self, node: Node, source: Tensor, access: Access, dims: tuple[int, ...]) -> Tensor | None:
        """The dense tensor, made by a cluster of its own; None when the order of the block has no room for it."""
        order = self.block.order
        number = order.insert(self.cluster.number)
        if number is None:
            return None
        extents = tuple(node.domain[d] for d in dims)
        copying = Node("elementwise", node.op, self.block, node.position)
        set_copy_domain(copying, extents)
        copying.operands = [Operand(0, source, Access(access.offset, tuple(access.steps[d] for d in dims)))]
        copying.reads = [ref for ref in node.reads if ref.tensor is source]
        source.readers.append(copying)
        dense = Tensor(extents, source.element, self.block, copying, strides=row_major(extents), role="full")
        copying.outputs.append(dense)
        set_store(dense)
        copying.cluster = Cluster(number, "elementwise", self.block, copying.domain, nodes=[copying])
        self.block.clusters.append(copying.cluster)
        if source.block is self.block and source.unit is not None:
            order.edge(source.unit.number, number)
        self.remarks.append(Remark("an operand read with a stride many times is copied together first", str(node.location)))
        return dense


def _moving(cluster: Cluster, node: Node, operand: Operand) -> tuple[int, ...]:
    """The dims along which a strided operand worth copying moves; none for any other operand."""
    tensor, access = operand.tensor, operand.access
    if tensor is None or access is None or tensor.unit is cluster:
        return ()
    sizes, steps = node.domain, access.steps
    dims = tuple(d for d in range(len(sizes)) if steps[d] != 0)
    last = len(sizes) - 1
    if not dims or dims[-1] != last:
        return ()
    points = elements = 1
    for d, (size, step) in enumerate(zip(sizes, steps, strict=True)):
        if not isinstance(size, int) or not isinstance(step, int) or size == 1 or abs(step) == 1:
            return ()
        points *= size
        elements *= size if d in dims else 1
    return dims if points >= LEAST_POINTS and points >= LEAST_REUSE * elements else ()
