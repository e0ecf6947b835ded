"""Clusters: which nodes share a loop nest. Greedy, one forward walk, every rule readable below.

A node tries the clusters that produce its operands, youngest first, then clusters that read the same
value over the same domain; the first legal one takes it, else it starts its own.
"""

from __future__ import annotations

from phalanx.compiler.clusters.chain import find_chains
from phalanx.compiler.clusters.merge import merge
from phalanx.compiler.clusters.model import Block, Cluster, Node, Operand, Tensor
from phalanx.compiler.clusters.order import Order
from phalanx.compiler.clusters.rows import find_reduced_rows
from phalanx.compiler.clusters.widen import widening
from phalanx.dialects.records import record

MAX_NODES = 80
MAX_STREAMS = 20
MAX_CHAINED_REDUCTIONS = 2  # softmax, layernorm: more passes re-read and recompute
RECENT_READERS = 8  # siblings tried per value, so that a value read a thousand times stays cheap


@record
class Remark:
    """Why something was or was not fused, with the op's location."""

    message: str
    location: str
    missed: bool = False


_START_KIND = {"elementwise": "elementwise", "reduction": "reduction", "contraction": "contraction"}


class Former:
    """Forms the clusters of one block."""

    def __init__(self, block: Block, remarks: list[Remark], fuse: bool = True) -> None:
        self.block = block
        self.remarks = remarks
        self.fuse = fuse
        self.order = Order()
        self.siblings: dict[Tensor, list[Cluster]] = {}
        self.last_host: Cluster | None = None
        block.order = self.order

    def run(self) -> None:
        for node in self.block.nodes:
            if not (self.fuse and self._join(node)):
                self._start(node)
        if self.fuse:
            self._join_chains()
            self._join_rows()

    def _join_chains(self) -> None:
        """Products that run row by row into the next product become one cluster with it."""
        for chain in find_chains(self.block):
            refusal = chain.refusal()
            starts = {str(cluster.nodes[0].location) for cluster in chain.clusters}
            lines = ", ".join(str(line_of(cluster.nodes[0].location)) for cluster in (chain.first, chain.middle))
            location = str(chain.last.nodes[0].location)
            if refusal is None and not chain.merge():
                refusal = "something else has to run in between"
            if refusal is None:
                self.remarks[:] = [r for r in self.remarks if not (r.missed and r.location in starts)]
                self.remarks.append(Remark(f"fused into one chain with lines {lines}, a block of rows at a time", location))
            else:
                self.remarks.append(Remark(f"not fused into a chain with lines {lines}: {refusal}", location, missed=True))

    def _join_rows(self) -> None:
        """Reductions of the rows of a product become one cluster with it."""
        for found in find_reduced_rows(self.block):
            starts = {str(cluster.nodes[0].location) for cluster in (found.first, found.middle)}
            line, location = line_of(found.first.nodes[0].location), str(found.middle.nodes[0].location)
            refusal = found.refusal()
            if refusal is None:
                found.merge()
                self.remarks[:] = [r for r in self.remarks if not (r.missed and r.location in starts)]
                self.remarks.append(Remark(f"fused with the product of line {line}, a block of rows at a time", location))
            else:
                self.remarks.append(Remark(f"not fused with the product of line {line}: {refusal}", location, missed=True))

    # Candidates.

    def _dependencies(self, node: Node) -> set[int]:
        found = {
            ref.tensor.node.cluster.number
            for ref in node.reads
            if ref.tensor.block is self.block and ref.tensor.node is not None and ref.tensor.node.cluster is not None
        }
        found |= {other.cluster.number for other in node.needs if other.block is self.block and other.cluster}
        return found

    def _candidates(self, node: Node) -> list[Cluster]:
        producers = {
            ref.tensor.node.cluster
            for ref in node.reads
            if ref.tensor.block is self.block and ref.tensor.node is not None and ref.tensor.node.cluster is not None
        }
        found = sorted((c for c in producers if c.is_function), key=lambda c: -c.number)
        if node.domain:
            readers = {c for ref in node.reads for c in self.siblings.get(ref.tensor, [])[-RECENT_READERS:]}
            found += sorted(readers - producers, key=lambda c: -c.number)
        return found

    def _join(self, node: Node) -> bool:
        if node.kind not in ("elementwise", "reduction"):
            return False
        dependencies = self._dependencies(node)
        reasons: list[str] = []
        for cluster in self._candidates(node):
            role = self._role(node, cluster)
            if role not in ("full", "row"):
                reasons.append(role)
                continue
            others = dependencies - {cluster.number}
            if self.order.reaches(cluster.number, others):
                reasons.append("an operand needs a result of that loop through another one")
                continue
            self._add(node, cluster, role, others)
            self._merge_producers(node)
            return True
        if self._join_widened(node, dependencies):
            return True
        if reasons:
            self.remarks.append(Remark(f"not fused: {reasons[0]}", str(node.location), missed=True))
        return False

    def _join_widened(self, node: Node, dependencies: set[int]) -> bool:
        """Take the cluster of an operand of fewer dimensions along, where nothing else shares the node's loops."""
        producers = {ref.tensor.unit for ref in node.reads if ref.tensor.block is self.block}
        for cluster in sorted((c for c in producers if c is not None), key=lambda c: -c.number):
            wider = widening(cluster, node)
            if wider is None:
                continue
            others = dependencies - {cluster.number}
            wider.make()
            role = self._role(node, cluster)
            if role in ("full", "row") and not self.order.reaches(cluster.number, others):
                self._add(node, cluster, role, others)
                self._merge_producers(node)
                return True
            wider.take_back()
        return False

    def _merge_producers(self, node: Node) -> None:
        """One cluster for all that a node reads, where their loops are the same."""
        cluster = node.cluster
        assert cluster is not None
        producers = {o.tensor.unit for o in node.operands if o.tensor is not None and o.tensor.block is self.block}
        for other in sorted((c for c in producers if c is not None and c is not cluster), key=lambda c: -c.number):
            location = other.nodes[0].location
            wider = widening(other, node) if node.domain == cluster.domain else None
            if wider is not None:
                wider.make()
            if not merge(other, cluster, self.order, MAX_NODES, MAX_STREAMS, MAX_CHAINED_REDUCTIONS):
                if wider is not None:
                    wider.take_back()
                continue
            self.remarks.append(Remark(f"fused with the loop of line {line_of(location)}", str(node.location)))
            for tensor in {o.tensor for moved in cluster.nodes for o in moved.operands if o.tensor is not None}:
                readers = self.siblings.get(tensor)
                if readers:
                    readers[:] = dict.fromkeys(cluster if reader is other else reader for reader in readers)

    # Rules. Each returns the role of the node's results ("full", "row") or the reason for a refusal.

    def _role(self, node: Node, cluster: Cluster) -> str:
        if len(cluster.nodes) >= MAX_NODES:
            return f"the loop already holds {MAX_NODES} ops"
        outside = {
            (id(o.tensor), o.access)
            for o in node.operands
            if o.tensor is not None and o.tensor.unit is not cluster and o.access is not None
        }
        if len(cluster.streams | outside) > MAX_STREAMS:
            return f"the loop already reads {MAX_STREAMS} arrays"
        if any(ref.tensor.unit is cluster for _, ref in node.captured):
            return "a gather needs its whole source first"
        if any(init is not None and init.tensor is not None and init.tensor.unit is cluster for init in node.inits):
            return "the initial value of a reduction comes from that loop"
        inner = [o for o in node.operands if o.tensor is not None and o.tensor.unit is cluster]
        if any(o.tensor is not None and o.tensor.role == "outside" for o in inner):
            return "an operand is stored in another order than it is computed"
        if node.kind == "reduction":
            return self._reduction_role(node, cluster, inner)
        return self._elementwise_role(node, cluster, inner)

    def _elementwise_role(self, node: Node, cluster: Cluster, inner: list[Operand]) -> str:
        if cluster.kind == "contraction":
            if node.domain != cluster.domain or not inner:
                return "its shape is not that of the contraction's result"
            return "full" if all(_reads_full(o) for o in inner) else _LAYOUT
        if node.domain == cluster.domain and node.domain:
            return "full" if all(_reads_inner(o, cluster) for o in inner) else _LAYOUT
        if cluster.reduced is not None and node.domain == tuple(cluster.domain[d] for d in cluster.parallel):
            rows = inner and all(o.tensor is not None and o.tensor.role == "row" and _reads_full(o) for o in inner)
            return "row" if rows else "it works on reduced rows but reads whole ones"
        return "different shapes"

    def _reduction_role(self, node: Node, cluster: Cluster, inner: list[Operand]) -> str:
        if cluster.kind == "contraction":
            return "a reduction of a contraction runs after it"
        if node.domain != cluster.domain:
            return "different shapes"
        if cluster.reduced not in (None, node.reduced):
            return "reductions over different axes"
        if _level(node, cluster) >= MAX_CHAINED_REDUCTIONS:
            return f"more than {MAX_CHAINED_REDUCTIONS} dependent reductions"
        return "row" if all(_reads_inner(o, cluster) for o in inner) else _LAYOUT

    # Changes.

    def _add(self, node: Node, cluster: Cluster, role: str, dependencies: set[int]) -> None:
        if cluster.nodes:
            self.remarks.append(Remark(f"fused with line {line_of(cluster.nodes[0].location)}", str(node.location)))
        node.level = _level(node, cluster)
        node.cluster = cluster
        cluster.nodes.append(node)
        for number in dependencies:
            self.order.edge(number, cluster.number)
        if node.kind == "reduction":
            cluster.kind, cluster.reduced = "reduction", node.reduced
        for operand in node.operands:
            if operand.tensor is not None and operand.access is not None and operand.tensor.unit is not cluster:
                cluster.streams.add((id(operand.tensor), operand.access))
                if cluster.kind in ("elementwise", "reduction"):
                    readers = self.siblings.setdefault(operand.tensor, [])
                    if not readers or readers[-1] is not cluster:
                        readers.append(cluster)
        for tensor in node.outputs:
            if tensor.role != "stored":
                tensor.role = role
            else:
                tensor.role = "outside"

    def _start(self, node: Node) -> None:
        kind = _START_KIND.get(node.kind, node.kind)
        if node.kind == "elementwise" and not node.domain and not node.captured:
            kind = "scalar"
        domain = node.domain
        if node.kind == "contraction":
            domain = tuple(node.domain[d] for d in node.parallel)
        cluster = Cluster(self.order.append(), kind, self.block, domain)
        self.block.clusters.append(cluster)
        dependencies = self._dependencies(node)
        role = {"elementwise": "full", "contraction": "full", "reduction": "row"}.get(kind, "outside")
        self._add(node, cluster, role, dependencies)
        if node.payload is not None and getattr(node.payload, "calls_host", False):
            if self.last_host is not None:
                self.order.edge(self.last_host.number, cluster.number)
            self.last_host = cluster


_LAYOUT = "an operand is read in another order than it is computed"


def _level(node: Node, cluster: Cluster) -> int:
    producers = [o.tensor.node for o in node.operands if o.tensor is not None and o.tensor.unit is cluster]
    return max((p.level + (p.kind == "reduction") for p in producers if p is not None), default=0)


def _reads_full(operand: Operand) -> bool:
    """The operand is read exactly as its producer wrote it (both seen over the same dimensions)."""
    return operand.tensor is not None and operand.access == operand.tensor.access


def _reads_inner(operand: Operand, cluster: Cluster) -> bool:
    """Identity for full values, the projection onto the kept dimensions for row values."""
    if operand.tensor is None or operand.access is None:
        return False
    if operand.tensor.role == "full":
        return _reads_full(operand)
    steps = operand.access.steps
    if any(steps[d] != 0 for d in cluster.reduced or ()):
        return False
    return operand.access.keep(cluster.parallel) == operand.tensor.access


def line_of(location: object) -> int:
    """The line of a file location, looking through names, call sites and fusions; 0 when there is none."""
    loc = location
    for _ in range(16):
        if loc.is_a_file():  # type: ignore[attr-defined]
            return int(loc.start_line)  # type: ignore[attr-defined]
        if loc.is_a_name():  # type: ignore[attr-defined]
            loc = loc.child_loc  # type: ignore[attr-defined]
        elif loc.is_a_callsite():  # type: ignore[attr-defined]
            loc = loc.callee  # type: ignore[attr-defined]
        elif loc.is_a_fused() and loc.locations:  # type: ignore[attr-defined]
            loc = loc.locations[0]  # type: ignore[attr-defined]
        else:
            break
    return 0
