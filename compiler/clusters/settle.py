"""What finished clusters hand to each other: nothing that the reader could as well make, or read somewhere else.

    a, b: clusters of a loop over a stencil;  y = insert v into x           a makes v
    a makes 2 * v as well, only b reads it      ->  b makes it from v, which it reads anyway
    b reads parts of y, and the middle: v       ->  b reads the middle of y, and v is written once

Clusters are formed forwards: an op joins what makes its operands, when nobody knows yet who reads its result.
"""

from __future__ import annotations

from collections.abc import Sequence

from phalanx.compiler.clusters.form import MAX_NODES
from phalanx.compiler.clusters.model import Block, Cluster, Insert, Node, Operand, Ref, Tensor
from phalanx.compiler.clusters.sizes import Size
from phalanx.compiler.clusters.view import Access


def settle(block: Block) -> None:
    """Move ops to their readers, and readers of inserted values to what they were inserted into."""
    if not any(isinstance(node.payload, Insert) for node in block.nodes):
        return
    for cluster in block.clusters:
        if cluster.kind == "elementwise" and len(cluster.nodes) > 1:
            for node in reversed(cluster.nodes[:]):
                _move_to_reader(node, cluster)
    for node in block.nodes:
        if isinstance(node.payload, Insert):
            _read_where_inserted(node, node.payload)


# Ops that their reader makes.


def _move_to_reader(node: Node, cluster: Cluster) -> None:
    """Let the one cluster that reads a node's result compute it, when it reads the node's operands already."""
    if node.kind != "elementwise" or len(node.outputs) != 1 or node.captured or node.needs or not node.operands:
        return
    tensor = node.outputs[0]
    reader = _only_reader(tensor, cluster)
    if reader is None or reader.domain != node.domain or len(reader.nodes) >= MAX_NODES or tensor.role != "full":
        return
    if not all(_reads(reader, operand) for operand in node.operands if operand.tensor is not None):
        return
    if not all(_as_made(user, tensor) for user in tensor.readers):
        return
    cluster.nodes.remove(node)
    reader.nodes.append(node)
    reader.nodes.sort(key=lambda one: one.position)
    reader.streams.discard((id(tensor), tensor.access))
    node.cluster = reader


def _only_reader(tensor: Tensor, cluster: Cluster) -> Cluster | None:
    """The one other cluster that reads a tensor of `cluster`; None when there are more, or it is a result."""
    if any(isinstance(value, Ref) and value.tensor is tensor for value in tensor.block.results):
        return None
    readers = {reader.cluster for reader in tensor.readers}
    found = readers.pop() if len(readers) == 1 else None
    return found if found is not None and found is not cluster and found.kind in ("elementwise", "reduction") else None


def _reads(cluster: Cluster, operand: Operand) -> bool:
    access = operand.access
    return access is not None and (id(operand.tensor), access) in cluster.streams


def _as_made(user: Node, tensor: Tensor) -> bool:
    """Whether a node reads a tensor at the point where it was computed, and in no other way."""
    if user.domain != (tensor.node.domain if tensor.node is not None else ()):
        return False
    others = [init.tensor for init in user.inits] + [ref.tensor for _, ref in user.captured]
    reads = [operand for operand in user.operands if operand.tensor is tensor]
    return tensor not in others and bool(reads) and all(operand.access == tensor.access for operand in reads)


# Values read where they were inserted.


def _read_where_inserted(node: Node, insert: Insert) -> None:
    """Readers of an inserted value that read what it was inserted into as well read it there, and need no copy of it."""
    value, whole = insert.source.tensor, node.outputs[0]
    if not insert.source.whole or insert.region.sizes != value.sizes or whole.block is not value.block:
        return
    around = {reader.cluster for reader in whole.readers} - {value.unit, node.cluster}
    for reader in list(value.readers):
        if reader is not node and reader.cluster in around:
            _redirect(reader, value, whole, insert)


def _redirect(reader: Node, value: Tensor, whole: Tensor, insert: Insert) -> None:
    cluster = reader.cluster
    others = [init.tensor for init in reader.inits] + [ref.tensor for _, ref in reader.captured]
    operands = [operand for operand in reader.operands if operand.tensor is value]
    if cluster is None or not cluster.is_function or cluster.kind == "contraction" or value in others or not operands:
        return
    moved = [_access_of_region(operand.access, reader.domain, value, insert) for operand in operands]
    if any(access is None for access in moved):
        return
    for operand, access in zip(operands, moved, strict=True):
        assert operand.access is not None and access is not None
        cluster.streams.discard((id(value), operand.access))
        cluster.streams.add((id(whole), access))
        operand.tensor, operand.access = whole, access
    reader.reads[:] = [Ref(whole, insert.region) if ref.tensor is value else ref for ref in reader.reads]
    value.readers[:] = [other for other in value.readers if other is not reader]
    whole.readers.append(reader)


def _access_of_region(access: Access | None, domain: Sequence[Size], value: Tensor, insert: Insert) -> Access | None:
    """An access to the inserted value as one to the region; None when its loops do not each walk a dimension of its own."""
    if access is None or access.offset != 0:
        return None
    dimensions: dict[Size, tuple[Size, Size]] = {}
    for size, own, there in zip(value.sizes, value.strides, insert.region.strides, strict=True):
        if size == 1:
            continue
        if own in dimensions or own == 0:
            return None
        dimensions[own] = size, there
    steps: list[Size] = []
    for count, step in zip(domain, access.steps, strict=True):
        # A loop that leaves its dimension goes on in the next row of the value, but beside the region.
        found = (count, 0) if step == 0 or count == 1 else dimensions.pop(step, None)
        if found is None or not _at_most(count, found[0]):
            return None
        steps.append(found[1])
    return Access(insert.region.offset, tuple(steps))


def _at_most(count: Size, size: Size) -> bool:
    return count == size or (isinstance(count, int) and isinstance(size, int) and count <= size)
