"""A part of a cluster at a fixed position: its nodes with some loops taken out or shortened, as a cluster of its own."""

from __future__ import annotations

from collections.abc import Sequence

from phalanx.compiler.schedules.cluster import Cluster, Expr, Node, Operand, Output, Positions, Splat, Value, View
from phalanx.compiler.schedules.domain import linear_access
from phalanx.compiler.schedules.text import Index, Writer
from phalanx.dialects.errors import CompileError
from phalanx.dialects.records import record, replace

Key = tuple[Node, int]


@record
class Place:
    """Where a slice is along one named dim: a fixed position, or a start and a length."""

    start: Index
    length: Index | None = None


Dims = tuple[str | None, ...]
"""The name behind each dim of a node; None for dims that only this node has."""


class Slicer:
    """Makes the parts of one cluster at one position."""

    def __init__(self, cluster: Cluster, dims: dict[Node, Dims], places: dict[str, Place]) -> None:
        self.cluster = cluster
        self.writer: Writer = cluster.writer
        self.dims = dims
        self.places = places

    def part(self, nodes: Sequence[Node], held: dict[Key, View], kept: Sequence[tuple[Value, View]] = ()) -> Cluster:
        """`nodes` as a cluster: values in `held` are read from memory, those in `kept` are written to it as well.

        Both name memory whose dims are those of the value that the slice does not fix.
        """
        made: dict[Key, Value] = {}
        sliced = [self._node(node, held, made) for node in nodes]
        outputs = [Output(made[value.key], view, view in held.values()) for value, view in kept]
        for output in self.cluster.outputs:
            if isinstance(output.source, Value) and output.source.key in made:
                view = self._window(output.view, [self.dims[output.source.node][d] for d in self._real(output.source)])
                outputs.append(replace(output, source=made[output.source.key], view=view))
        return replace(self.cluster, nodes=sliced, outputs=outputs)

    # -- dims --------------------------------------------------------------------------------------

    def _place(self, name: str | None) -> Place | None:
        return self.places.get(name) if name is not None else None

    def _stays(self, name: str | None) -> bool:
        place = self._place(name)
        return place is None or place.length is not None

    def _size(self, name: str | None, size: Index) -> Index:
        place = self._place(name)
        return size if place is None or place.length is None else place.length

    @staticmethod
    def _real(value: Value) -> list[int]:
        if any(dim is None for dim in value.dims):
            raise CompileError("schedule: a value with a unit dim in a chain", location=value.node.location)
        return [dim for dim in value.dims if dim is not None]

    def _window(self, view: View, names: Sequence[str | None]) -> View:
        """The part of a view that the slice sees."""
        offset = view.offset
        for stride, name in zip(view.strides, names, strict=True):
            place = self._place(name)
            if place is not None:
                offset = self.writer.add(offset, self.writer.mul(place.start, stride))
        stay = [k for k, name in enumerate(names) if self._stays(name)]
        sizes = tuple(self._size(names[k], view.sizes[k]) for k in stay)
        return View(view.pointer, view.element, sizes, tuple(view.strides[k] for k in stay), offset)

    # -- nodes -------------------------------------------------------------------------------------

    def _node(self, node: Node, held: dict[Key, View], made: dict[Key, Value]) -> Node:
        names = self.dims[node]
        stay = [d for d, name in enumerate(names) if self._stays(name)]
        new = replace(
            node,
            sizes=[self._size(names[d], node.sizes[d]) for d in stay],
            reduced=tuple(node.reduced[d] for d in stay),
            operands=[self._operand(node, operand, stay, held, made) for operand in node.operands],
            inits=[self._operand(node, operand, stay, held, made) for operand in node.inits],
            values=[],
        )
        for value in node.values:
            dims = tuple(stay.index(d) for d in self._real(value) if d in stay)
            new.values.append(replace(value, node=new, sizes=tuple(new.sizes[d] for d in dims), dims=dims))
            made[value.key] = new.values[-1]
        return new

    def _operand(
        self, node: Node, operand: Operand, stay: list[int], held: dict[Key, View], made: dict[Key, Value]
    ) -> Operand:
        source = operand.source
        if isinstance(source, Splat):
            return Operand(source, ())
        if isinstance(source, View):
            return self._memory(node, operand, source, stay)
        if isinstance(source, Positions):
            return self._positions(node, source, stay)
        if not isinstance(source, Value):
            raise CompileError("schedule: an opaque loop nest in a chain", location=node.location)
        loops = [expr.dim for expr in operand.map]
        if any(loop is None for loop in loops):
            raise CompileError("schedule: a value in a chain is read at a shifted position", location=node.location)
        map_ = tuple(Expr(((stay.index(loop), 1),)) for loop in loops if loop is not None and loop in stay)
        kept = held.get(source.key)
        return Operand(kept, map_) if kept is not None else Operand(made[source.key], map_)

    def _positions(self, node: Node, source: Positions, stay: list[int]) -> Operand:
        """A number that depends on dims of which all is there."""
        if any(self._place(self.dims[node][dim]) is not None for dim, _ in source.terms):
            raise CompileError("schedule: a position in a block of a chain", location=node.location)
        return Operand(replace(source, terms=tuple((stay.index(dim), step) for dim, step in source.terms)), ())

    def _memory(self, node: Node, operand: Operand, source: View, stay: list[int]) -> Operand:
        """Memory of the caller, seen from the slice: a view with one dim per loop that moves through it."""
        rank = len(node.sizes)
        access = linear_access(self.writer, source, operand.map, range(rank), rank)
        offset = access.offset
        for name, step in zip(self.dims[node], access.coefficients, strict=True):
            place = self._place(name)
            if place is not None:
                offset = self.writer.add(offset, self.writer.mul(place.start, step))
        moving = [d for d in stay if access.coefficients[d] != 0]
        sizes = tuple(self._size(self.dims[node][d], node.sizes[d]) for d in moving)
        strides = tuple(access.coefficients[d] for d in moving)
        map_ = tuple(Expr(((stay.index(d), 1),)) for d in moving)
        return Operand(View(source.pointer, source.element, sizes, strides, offset), map_)

