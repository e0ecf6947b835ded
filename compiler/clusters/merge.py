"""Two clusters that one op reads become one, when they run over the same points.

`f(x) * g(y)`: `f(x)` and `g(y)` share nothing until the product reads both. It joined the younger one; the older one
would write a whole array only for it.
"""

from __future__ import annotations

from phalanx.compiler.clusters.model import Cluster, Operand
from phalanx.compiler.clusters.order import Order

_KINDS = ("elementwise", "reduction")


def merge(older: Cluster, younger: Cluster, order: Order, most_nodes: int, most_streams: int, most_levels: int) -> bool:
    """Move all nodes of `older` into `younger`; False, and nothing moved, when that is not right."""
    if not _alike(older, younger) or len(older.nodes) + len(younger.nodes) > most_nodes:
        return False
    reduced = older.reduced if younger.reduced is None else younger.reduced
    streams = {
        (key, access)
        for key, access in older.streams | younger.streams
        if all(key != id(tensor) for node in (*older.nodes, *younger.nodes) for tensor in node.outputs)
    }
    if len(streams) > most_streams or not _reads_alike(older, younger, reduced):
        return False
    nodes = sorted([*older.nodes, *younger.nodes], key=lambda node: node.position)
    levels = _levels(older, younger)
    if any(node.kind == "reduction" and levels[id(node)] >= most_levels for node in nodes):
        return False
    if not _ordered_as_one(older, younger, order):
        return False
    for node in nodes:
        node.cluster, node.level = younger, levels[id(node)]
    younger.nodes[:], younger.streams, younger.reduced = nodes, streams, reduced
    younger.kind = "elementwise" if reduced is None else "reduction"
    older.nodes.clear()
    return True


def _alike(older: Cluster, younger: Cluster) -> bool:
    if older.kind not in _KINDS or younger.kind not in _KINDS or not older.domain or older.domain != younger.domain:
        return False
    return older.reduced is None or younger.reduced is None or older.reduced == younger.reduced


def _reads_alike(older: Cluster, younger: Cluster, reduced: tuple[int, ...] | None) -> bool:
    """Every value of one that the other reads is read where it is made."""
    kept = tuple(d for d in range(len(younger.domain)) if d not in (reduced or ()))
    for node in younger.nodes:
        foreign = [ref for _, ref in node.captured] + [init for init in node.inits if init.tensor is not None]
        if any(item.tensor is not None and item.tensor.unit is older for item in foreign):
            return False
        whole = node.domain == younger.domain
        for operand in node.operands:
            if operand.tensor is not None and operand.tensor.unit is older and not _where_made(operand, whole, kept):
                return False
    return True


def _where_made(operand: Operand, whole: bool, kept: tuple[int, ...]) -> bool:
    tensor, access = operand.tensor, operand.access
    if tensor is None or access is None or tensor.role == "outside":
        return False
    if tensor.role == "full" or not whole:
        return access == tensor.access and (tensor.role == "row") != whole
    steps = access.steps
    return all(steps[d] == 0 for d in range(len(steps)) if d not in kept) and access.keep(kept) == tensor.access


def _levels(older: Cluster, younger: Cluster) -> dict[int, int]:
    """How many reductions of the joint cluster come before every node."""
    levels: dict[int, int] = {}
    for node in sorted([*older.nodes, *younger.nodes], key=lambda node: node.position):
        made = [o.tensor.node for o in node.operands if o.tensor is not None and o.tensor.unit in (older, younger)]
        levels[id(node)] = max((levels[id(m)] + (m.kind == "reduction") for m in made if m is not None), default=0)
    return levels


def _ordered_as_one(older: Cluster, younger: Cluster, order: Order) -> bool:
    """Let `younger` come after all that `older` comes after, and before all that comes after `older`."""
    one, other = older.number, younger.number
    behind, ahead = set(order.before[one]), order.after[one] - {other}
    if other in behind or order.reaches(other, behind) or any(order.reaches(step, {other}) for step in ahead):
        return False
    return order.edges(behind, other) and all(order.edge(other, step) for step in ahead)
