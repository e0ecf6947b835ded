"""A cluster over fewer dimensions runs over all those of its only reader.

The rows of a table at clamped positions: clamping runs over the positions, the copy over positions and columns. Done in
the copy's own loops the clamped positions need no memory, and LLVM moves their arithmetic out of the loop over columns.
"""

from __future__ import annotations

from typing import Any

from phalanx.compiler.clusters.model import Cluster, Node, Operand, Ref, Tensor
from phalanx.compiler.clusters.sizes import Size
from phalanx.compiler.clusters.view import Access

MOST_OPS = 16
"""Scalar ops that may be done again along new inner dimensions, where they leave the loop."""

MOST_OPS_OUTSIDE = 4
"""The same along new outer dimensions, where they are done at every point."""

_CHEAP = frozenset({"math.absf", "math.copysign", "math.fma"})
_DEAR = ("math.", "arith.div", "arith.rem", "arith.ceildiv", "arith.floordiv", "tensor.", "scf.")


class Widening:
    """The change, made and taken back: a cluster may turn out not to be of use after all."""

    def __init__(self, cluster: Cluster, domain: tuple[Size, ...], places: tuple[int, ...]) -> None:
        self.cluster, self.domain, self.places = cluster, domain, places
        self._before: list[tuple[Any, str, Any]] = []

    def make(self) -> None:
        """Give the nodes the wider domain; their values stand still along the new dimensions."""
        for node in self.cluster.nodes:
            for operand in node.operands:
                if operand.access is not None:
                    self._set(operand, "access", Access(operand.access.offset, self._spread(operand.access.steps, 0)))
            for tensor in node.outputs:
                self._set(tensor, "store", tuple(None if d is None else self.places[d] for d in tensor.store))
                self._set(tensor, "loops", len(self.domain))
            self._set(node, "kept", self._spread(node.kept, -1))
            self._set(node, "domain", self.domain)
        streams = {
            (id(o.tensor), o.access)
            for node in self.cluster.nodes for o in node.operands
            if o.tensor is not None and o.access is not None and o.tensor.unit is not self.cluster
        }
        self._set(self.cluster, "streams", streams)
        self._set(self.cluster, "domain", self.domain)

    def take_back(self) -> None:
        """Everything as it was."""
        for item, name, value in reversed(self._before):
            setattr(item, name, value)
        self._before.clear()

    def _set(self, item: Any, name: str, value: Any) -> None:
        self._before.append((item, name, getattr(item, name)))
        setattr(item, name, value)

    def _spread(self, entries: tuple[Any, ...], filler: int) -> tuple[Any, ...]:
        spread = [filler] * len(self.domain)
        for place, entry in zip(self.places, entries, strict=True):
            spread[place] = entry
        return tuple(spread)


def widening(cluster: Cluster, reader: Node) -> Widening | None:
    """How `cluster` would run over the domain of `reader`; None when it has other readers, or is too dear to repeat."""
    domain = reader.domain
    if cluster.kind != "elementwise" or not cluster.domain or len(cluster.domain) >= len(domain):
        return None
    if any(not _only_inside(tensor, cluster, reader) for node in cluster.nodes for tensor in node.outputs):
        return None
    found = {_places(operand, domain) for operand in reader.operands
             if operand.tensor is not None and operand.tensor.unit is cluster}
    places = found.pop() if len(found) == 1 else None
    if places is None or tuple(domain[d] for d in places) != cluster.domain:
        return None
    inner = max(places) < min(d for d in range(len(domain)) if d not in places)
    if _ops(cluster) > (MOST_OPS if inner else MOST_OPS_OUTSIDE):
        return None
    return Widening(cluster, domain, places)


def _only_inside(tensor: Tensor, cluster: Cluster, reader: Node) -> bool:
    if tensor.role != "full" or any(other is not reader and other.cluster is not cluster for other in tensor.readers):
        return False
    if any(ref.tensor is tensor for _, ref in reader.captured) or any(init.tensor is tensor for init in reader.inits):
        return False
    return all(not isinstance(value, Ref) or value.tensor is not tensor for value in tensor.block.results)


def _places(operand: Operand, domain: tuple[Size, ...]) -> tuple[int, ...] | None:
    """Which dimension of the reader each loop of the producer is, for a value read where it is made."""
    tensor, access = operand.tensor, operand.access
    if tensor is None or access is None or access.offset != 0:
        return None
    moving = tuple(d for d in range(len(domain)) if access.steps[d] != 0)
    return moving if access.keep(moving) == tensor.access else None


def _ops(cluster: Cluster) -> float:
    """Scalar ops of a cluster; without bound when one of them is dear."""
    count = 0.0
    for node in cluster.nodes:
        for view in node.body.operations if node.body is not None else ():
            name = view.operation.name
            count += float("inf") if name.startswith(_DEAR) and name not in _CHEAP else 1
    return count
