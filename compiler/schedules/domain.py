"""The iteration space of a fused cluster: which dims it has, in which order they are walked, how they collapse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from phalanx.compiler.schedules.cluster import Cluster, Expr, Node, Operand, Positions, Splat, Value, View
from phalanx.compiler.schedules.text import Index, Writer
from phalanx.dialects.errors import CompileError
from phalanx.dialects.records import field, record

_NONE: Mapping[str, object] = {}

MANY_ROWS = 64
"""Rows that follow each other in memory from which it does not matter how short they are."""

SHORT_POINTS = 4
"""Longest innermost loop of a cluster without reductions that is written out, so that vectors go along the loop around it."""


@record(frozen=False)
class Access:
    """A view as a linear function of the loop dims: element offset + sum of coefficient * position."""

    view: View
    offset: Index
    coefficients: list[Index]
    safe: bool = True
    """Whether the address is valid whenever the loops that move it run (so a load may leave inner loops)."""

    def address(self, writer: Writer, positions: Sequence[Index | None]) -> Index:
        """The address at these loop positions, outer terms first so that they are computed in outer loops."""
        total = self.offset
        for position, coefficient in zip(positions, self.coefficients, strict=True):
            if coefficient != 0 and position is not None:
                total = writer.add(total, writer.mul(position, coefficient))
        return total


@record(frozen=False)
class Domain:
    """Loop dims in walking order (outermost first): sizes, which are reduced, and where every node dim went."""

    sizes: list[Index]
    reduced: list[bool]
    groups: list[list[int]]
    """For each loop dim the cluster dims it covers, outermost first."""
    accesses: dict[tuple[object, ...], Access] = field(default_factory=dict)
    numbers: dict[tuple[object, ...], list[Index]] = field(default_factory=dict)
    """For operands that are positions: what a step along each loop dim adds."""


def place_nodes(cluster: Cluster) -> tuple[list[Index], list[bool], dict[Node, list[int | None]]]:
    """Cluster dims (sizes, reduced) and the cluster dim of every dim of every node."""
    reductions = [node for node in cluster.nodes if node.is_reduction]
    root = max(reductions or cluster.nodes, key=lambda node: len(node.sizes))
    sizes, reduced = list(root.sizes), list(root.reduced)
    kept = [dim for dim, gone in enumerate(reduced) if not gone]
    placed: dict[Node, list[int | None]] = {}
    for node in cluster.nodes:
        dims: list[int | None]
        if node.is_reduction and list(node.reduced) != reduced:
            raise CompileError("schedule: two reductions over different dims in one cluster", location=node.location)
        if len(node.sizes) == len(sizes):
            dims = list(range(len(sizes)))
            for dim, size in enumerate(node.sizes):
                if reduced[dim] and size == 1 and sizes[dim] != 1:
                    dims[dim] = None
                elif isinstance(size, int):
                    sizes[dim] = size
        elif len(node.sizes) == len(kept):
            dims = list(kept)
        else:
            raise CompileError("schedule: an op of another rank in the cluster", location=node.location)
        placed[node] = dims
    _check_wiring(cluster, placed)
    return sizes, reduced, placed


def _check_wiring(cluster: Cluster, placed: dict[Node, list[int | None]]) -> None:
    """Values made in the cluster must be read at the point at which they are made."""
    for node in cluster.nodes:
        for operand in [*node.operands, *node.inits]:
            if not isinstance(operand.source, Value):
                continue
            for dim, expr in zip(cluster_dims(operand.source, placed), operand.map, strict=True):
                here = placed[node][expr.dim] if expr.dim is not None else None
                if here != dim and dim is not None:
                    raise CompileError(
                        "schedule: a value is read at another point than it is computed at", location=node.location
                    )


def cluster_dims(value: Value, placed: dict[Node, list[int | None]]) -> list[int | None]:
    """The cluster dim behind every dim of a value."""
    return [placed[value.node][dim] if dim is not None else None for dim in value.dims]


def linear_access(writer: Writer, view: View, map_: Sequence[Expr], dims: Sequence[int | None], rank: int) -> Access:
    """The access `view[map_(node dims)]` in terms of cluster dims."""
    offset = view.offset
    coefficients: list[Index] = [0] * rank
    safe = True
    for size, stride, expr in zip(view.sizes, view.strides, map_, strict=True):
        offset = writer.add(offset, writer.mul(expr.constant, stride))
        safe = safe and (bool(expr.terms) or (isinstance(size, int) and size > 0))
        for dim, factor in expr.terms:
            target = dims[dim]
            if target is not None:
                step = writer.mul(factor, stride)
                coefficients[target] = writer.add(coefficients[target], step)
    return Access(view, offset, coefficients, safe)


def operand_key(node: Node, operand: Operand) -> tuple[object, ...]:
    return "in", id(node), id(operand)


class DomainBuilder:
    """Collects accesses over cluster dims, then orders and collapses the dims."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.writer = cluster.writer
        self.sizes, self.reduced, self.placed = place_nodes(cluster)
        self.accesses: dict[tuple[object, ...], Access] = {}
        self.numbers: dict[tuple[object, ...], list[Index]] = {}
        self.weights: dict[tuple[object, ...], int] = {}
        self.pinned: set[int] = set()
        self._collect()
        self.roles: list[str] = ["reduced" if gone else "kept" for gone in self.reduced]
        """What each cluster dim is for; only neighbours of one role are walked as one loop."""

    def _collect(self) -> None:
        rank = len(self.sizes)
        for node in self.cluster.nodes:
            dims = self.placed[node]
            self.pinned |= {place for dim in node.body.index_dims() if (place := dims[dim]) is not None}
            for operand in [*node.operands, *node.inits]:
                if isinstance(operand.source, View):
                    key = operand_key(node, operand)
                    self.accesses[key] = linear_access(self.writer, operand.source, operand.map, dims, rank)
                    self.weights[key] = 1
                elif isinstance(operand.source, Positions):
                    steps: list[Index] = [0] * rank
                    for dim, step in operand.source.terms:
                        if (place := dims[dim]) is not None:
                            steps[place] = step
                    self.numbers[operand_key(node, operand)] = steps
        for number, output in enumerate(self.cluster.outputs):
            assert isinstance(output.source, Value)
            dims = cluster_dims(output.source, self.placed)
            identity = [Expr(((dim, 1),)) for dim in range(len(dims))]
            self.accesses["out", number] = linear_access(self.writer, output.view, identity, dims, rank)
            self.weights["out", number] = 2

    def build(self, order: list[int] | None = None, uneven: Mapping[str, object] = _NONE) -> Domain:
        """The loops, in the order given or in the one that suits memory best.

        `uneven` names for roles of dims an access that may step unevenly over dims of that role walked as one; its
        coefficient is then that of the innermost dim.
        """
        order = self._order() if order is None else order
        groups: list[list[int]] = []
        for dim in order:
            if groups and self._joins(groups[-1][-1], dim, uneven):
                groups[-1].append(dim)
            else:
                groups.append([dim])
        sizes: list[Index] = []
        for group in groups:
            size: Index = 1
            for dim in group:
                size = self.writer.mul(size, self.sizes[dim])
            sizes.append(size)
        domain = Domain(sizes, [self.reduced[group[0]] for group in groups], groups)
        for key, access in self.accesses.items():
            coefficients = [access.coefficients[group[-1]] for group in groups]
            domain.accesses[key] = Access(access.view, access.offset, coefficients, access.safe)
        for key, steps in self.numbers.items():
            domain.numbers[key] = [steps[group[-1]] for group in groups]
        return domain

    def _joins(self, outer: int, inner: int, uneven: Mapping[str, object]) -> bool:
        """Whether two neighbouring dims can be walked as one."""
        if self.roles[outer] != self.roles[inner] or self.pinned & {outer, inner}:
            return False
        size = self.sizes[inner]
        but = uneven.get(self.roles[outer])
        steps = [access.coefficients for key, access in self.accesses.items() if key != but]
        steps += self.numbers.values()
        return all(self.writer.equal(step[outer], self.writer.mul(step[inner], size)) for step in steps)

    def _order(self) -> list[int]:
        """Kept dims, then reduced dims, the one best walked innermost at the very end; unit dims left out."""
        dims = [dim for dim, size in enumerate(self.sizes) if size != 1]
        if not dims:
            return []
        innermost = min(dims, key=lambda dim: (self._walk_cost(dim), -dim))
        rest = sorted((dim for dim in dims if dim != innermost), key=self._outwards)
        return [*(d for d in rest if not self.reduced[d]), *(d for d in rest if self.reduced[d]), innermost]

    def _walk_cost(self, dim: int) -> float:
        """Memory cost of making `dim` the innermost loop."""
        cost = 0.0
        for key, access in self.accesses.items():
            step = access.coefficients[dim]
            if step != 0:
                cost += self.weights[key] * (1 if step in (1, -1) else 8)
        size = self.sizes[dim]
        short = isinstance(size, int) and size < 8 and not self._is_long_enough(dim, size)
        return cost * 8 / max(size, 1) if short and isinstance(size, int) else cost

    def _is_long_enough(self, dim: int, size: int) -> bool:
        """Whether the nest makes more of a short innermost loop than its length."""
        return size <= SHORT_POINTS if True not in self.reduced else self._runs_on(dim)

    def _runs_on(self, dim: int) -> bool:
        """Whether many rows along `dim`, to be reduced to one, follow each other in memory: `Folding` joins them."""
        size = self.sizes[dim]
        if self.reduced[dim] or not isinstance(size, int):
            return False
        steps = [access.coefficients for key, access in self.accesses.items() if key[0] == "in"]
        for other, count in enumerate(self.sizes):
            if self.reduced[other] and (isinstance(count, str) or count >= MANY_ROWS):
                moved = [step for step in steps if step[other] != 0]
                if moved and all(step[dim] in (1, -1) and step[other] == step[dim] * size for step in moved):
                    return True
        return False

    def _outwards(self, dim: int) -> tuple[int, int]:
        """Sort key: long strides of the output (or of the first input) go outside."""
        for access in reversed(list(self.accesses.values())):
            step = access.coefficients[dim]
            if step != 0:
                return (-abs(step), dim) if isinstance(step, int) else (-(1 << 62), dim)
        return 0, dim


def undefined(operand: Operand) -> bool:
    """Whether the operand is memory nobody has written (tensor.empty)."""
    return isinstance(operand.source, Splat) and operand.source.scalar is None
