"""How each loop-carried tensor travels: in place, between two buffers, or as a scalar.

* scalar: rank 0, an SSA value of the driver.
* in place: one buffer for the whole loop. Legal when whoever writes the next value is the last reader of
  the old one, or reads it element by element where it writes.
* ping-pong: two buffers whose pointers rotate; always legal, the first iteration reads the initial value
  where it is.
* preset: ping-pong for stencils. Every iteration replaces the same fixed regions, so both buffers get the
  initial value once and the rest is never copied again.
* follows: the next value is the present one of another carry, as in `new, u = f(u, old), u`. Only pointers move;
  the carry in front writes round a ring of one buffer more than there are values alive.
"""

from __future__ import annotations

from typing import Any

from phalanx.compiler.clusters import sizes
from phalanx.compiler.clusters.model import Block, Carry, Cluster, Control, Insert, Node, Opaque, Ref, Tensor
from phalanx.compiler.clusters.regions import region_access
from phalanx.compiler.clusters.view import Access


def others_first(tensor: Tensor, node: Node) -> bool:
    """Order every other reader of a tensor before `node`; False when one cannot be."""
    assert node.cluster is not None
    if sum(ref.tensor is tensor for ref in node.reads) != 1:
        return False
    clusters = [reader.cluster for reader in tensor.readers if reader is not node]
    return _all_before(clusters, node.cluster)


def _all_before(clusters: list[Cluster | None], last: Cluster) -> bool:
    numbers = {cluster.number for cluster in clusters if cluster is not None}
    order = last.block.order
    return order.edges(numbers, last.number)


def decide(node: Node, entry: set[Any]) -> None:
    """Choose the mode of every carry of a loop (once)."""
    control: Control = node.payload
    if control.decided:
        return
    control.decided = True
    body = control.blocks[-1]
    taken: set[Tensor] = set()
    for carry in control.carries:
        if not isinstance(carry.inside, Tensor) or not carry.inside.sizes:
            carry.mode = "scalar"
            continue
        following: Ref = body.results[carry.index]
        if following.whole and following.tensor is carry.inside:
            carry.mode = "in place"  # never written
        elif _reads_around(following, carry.inside) and _replaces_fixed_regions(carry, following, body, entry):
            carry.mode = "preset"  # in place the inserted value would have to be made elsewhere and copied in
        elif following.tensor not in taken and overwrites(following, carry.inside, body, entry):
            taken.add(following.tensor)
            carry.mode = "in place"
        elif _replaces_fixed_regions(carry, following, body, entry):
            carry.mode = "preset"
        else:
            carry.mode = "ping-pong"
    _follow(control, body)


def _follow(control: Control, body: Block) -> None:
    """Find the carries whose next value is the present one of a carry with rotating buffers, and so on from those."""
    waiting = [carry for carry in control.carries if carry.mode == "ping-pong" and _front(carry, control, body) is not None]
    for leader in control.carries:
        if leader.mode not in ("ping-pong", "preset") or leader in waiting:
            continue
        last = leader
        while control.trips is None or control.trips >= len(leader.followers) + 2:
            following = next((carry for carry in waiting if _front(carry, control, body) is last), None)
            if following is None:
                break
            waiting.remove(following)
            following.mode = "follows"
            leader.followers.append(following)
            last = following


def _front(carry: Carry, control: Control, body: Block) -> Carry | None:
    """The other carry whose whole present value is the next one of `carry`."""
    following: Ref = body.results[carry.index]
    for other in control.carries:
        if other is not carry and other.inside is following.tensor and following.whole:
            return other if other.inside.strides == carry.inside.strides else None
    return None


def overwrites(following: Ref, old: Tensor, body: Block, entry: set[Any]) -> bool:
    """Whether a result of a block can be written over `old`, ordering other readers of `old` first."""
    new = following.tensor
    if not following.whole or new.block is not body or new.node is None or new.strides != old.strides:
        return False
    if any(isinstance(value, Ref) and value.tensor is old for value in body.results):
        return False
    writer = new.node
    if isinstance(writer.payload, Insert):
        root = _root(writer, body)
        into = root.payload.into
        return into is not None and into.whole and into.tensor is old and others_first(old, root)
    if isinstance(writer.payload, Opaque):
        init = writer.payload.inits[new.result]
        return init.whole and init.tensor is old and others_first(old, writer)
    if isinstance(writer.payload, Control):
        return _through_inner_loop(writer, writer.payload, new, old, entry)
    if writer.cluster is not None and writer.cluster.is_function:
        return _written_where_read(writer, new, old)
    return False


def _reads_around(following: Ref, old: Tensor) -> bool:
    """Whether a value inserted into the next state is computed by a loop nest that looks at the old one."""
    node = following.tensor.node
    while node is not None and isinstance(node.payload, Insert):
        maker = node.payload.source.tensor.unit
        looks = maker is not None and maker.is_function and _looks_at(maker, old)
        if looks and not written_where_inserted(node.payload, old):
            return True
        into = node.payload.into
        node = into.tensor.node if into is not None else None
    return False


def _looks_at(cluster: Cluster, old: Tensor) -> bool:
    return any(ref.tensor is old for node in cluster.nodes for ref in node.reads)


def _root(node: Node, body: Block) -> Node:
    """The first insert of a chain of inserts."""
    while True:
        into = node.payload.into
        if into is None or not into.whole or into.tensor.block is not body:
            return node
        lower = into.tensor.node
        if lower is None or not isinstance(lower.payload, Insert):
            return node
        node = lower


def _through_inner_loop(writer: Node, inner: Control, new: Tensor, old: Tensor, entry: set[Any]) -> bool:
    """The carry enters an inner loop that updates it in place and comes out as the next value."""
    if inner.kind == "if":
        return False
    decide(writer, entry)
    which = next(k for k, result in enumerate(inner.results) if result is new)
    if inner.kind == "while":
        forward = inner.forwards[which]
        if not isinstance(forward, int) or inner.forwards.index(forward) != which:
            return False
        which = forward
    carry = inner.carries[which]
    return carry.mode == "in place" and carry.init.whole and carry.init.tensor is old and others_first(old, writer)


def _written_where_read(writer: Node, new: Tensor, old: Tensor) -> bool:
    """The cluster that makes the new value reads the old one only at the element it writes."""
    cluster = writer.cluster
    assert cluster is not None
    if new.role != "full" or not reads_where_written(cluster, old, new):
        return False
    outside = [reader.cluster for reader in old.readers if reader.cluster is not cluster]
    return _all_before(outside, cluster)


def written_where_inserted(insert: Insert, old: Tensor) -> bool:
    """Whether the maker of an inserted value reads the array that is changed only at the elements it replaces."""
    value, access = insert.source.tensor, region_access(insert)
    maker = value.unit
    if maker is None or maker.kind == "chain" or access is None or value.role != "full" or value.block is not old.block:
        return False
    return reads_where_written(maker, old, value, access)


def reads_where_written(cluster: Cluster, old: Tensor, new: Tensor, access: Access | None = None) -> bool:
    """Within a cluster `old` is only read where `new` is written (`access`), and never after `new` was stored."""
    assert new.node is not None
    access = new.access if access is None else access
    # What works on reduced rows alone reads no whole array again.
    walks = [node.level for node in cluster.nodes if node.kind == "reduction" or any(o.role != "row" for o in node.outputs)]
    if cluster.kind == "reduction" and new.node.level < max(walks):
        return False
    for node in cluster.nodes:
        if any(ref.tensor is old for _, ref in node.captured) or any(i.tensor is old for i in node.inits):
            return False
        for operand in node.operands:
            if operand.tensor is not old:
                continue
            if node.kind == "contraction" or node.domain != cluster.domain or operand.access != access:
                return False
    return True


def _replaces_fixed_regions(carry: Carry, following: Ref, body: Block, entry: set[Any]) -> bool:
    node = following.tensor.node
    if not following.whole or following.tensor.block is not body or node is None:
        return False
    if any(isinstance(value, Ref) and value.tensor is following.tensor and value is not following for value in body.results):
        return False
    while isinstance(node.payload, Insert):
        region = node.payload.region
        for size in (region.offset, *region.sizes, *region.strides):
            if any(leaf.value not in entry for leaf in sizes.leaves(size)):
                return False
        into = node.payload.into
        if into is None or not into.whole:
            return False
        if into.tensor is carry.inside:
            return True
        if into.tensor.block is not body or into.tensor.node is None:
            return False
        node = into.tensor.node
    return False
