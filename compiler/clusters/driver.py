"""The driver: `main` rewritten at memref level. Calls of cluster functions on byte offsets, loops, one arena."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mlir import ir

from phalanx.compiler.clusters import build, drive_control, sizes
from phalanx.compiler.clusters.carries import reads_where_written
from phalanx.compiler.clusters.memory import Memory
from phalanx.compiler.clusters.model import (
    Block,
    Cluster,
    Control,
    HostCall,
    Insert,
    Load,
    Node,
    Opaque,
    Operand,
    Pack,
    Place,
    Ref,
    Tensor,
)
from phalanx.compiler.clusters.outline import NestFunction, Outliner, Scalar, opaque_function
from phalanx.compiler.clusters.panels import pack_function
from phalanx.compiler.clusters.place import new_place
from phalanx.compiler.clusters.read import Reader
from phalanx.compiler.clusters.read_nests import set_copy_domain, set_store
from phalanx.compiler.clusters.regions import region_place
from phalanx.compiler.clusters.sizes import Size
from phalanx.compiler.clusters.view import Access, View

UNNAMED = "px_cluster"
"""What a call names until it is known."""


class Driver:
    """Writes the steps of placed blocks, in order, at the current insertion point."""

    def __init__(self, memory: Memory, reader: Reader, outliner: Outliner) -> None:
        self.memory = memory
        self.reader = reader
        self.outliner = outliner
        self.workspace: Any = None  # memref<i8>, patched in when the arena's size is known
        self.done: set[Cluster] = set()
        self.calls = 0
        self.packings: dict[Cluster, tuple[Node, Any]] = {}  # calls that pack for clusters not written yet
        self.copies: list[tuple[Any, str]] = []  # locations of copies and why they are made, for the report

    # Blocks.

    def block(self, block: Block) -> None:
        """All steps of a block, then the copies its terminator asks for."""
        for number in block.order.sequence():
            cluster = block.clusters[number]
            if not cluster.nodes:
                continue
            self.memory.step()
            with cluster.nodes[0].location:
                self._cluster(cluster)
            self.done.add(cluster)
        for ref, place in block.late:
            self.memory.step()
            self.copy(ref, place)

    def _cluster(self, cluster: Cluster) -> None:
        node = cluster.nodes[0]
        payload = node.payload
        if cluster.is_function:
            self._function(cluster)
        elif cluster.kind == "scalar":
            self._scalar_nest(node)
        elif isinstance(payload, Insert):
            self._insert(node, payload)
        elif isinstance(payload, Control):
            drive_control.control(self, node, payload)
        elif isinstance(payload, Opaque):
            self._opaque(node, payload)
        elif isinstance(payload, HostCall):
            self._host(node, payload)
        elif isinstance(payload, Pack):
            self._pack(node, payload)
        elif node.kind == "elements":
            self._elements(node)
        elif node.kind == "constant":
            node.outputs[0].home = self.memory.constant(payload, node.outputs[0])
        elif node.kind == "undefined":
            self.touch(self.home(node.outputs[0]))
        elif isinstance(payload, Load):
            self.memory.values[node.op.results[0]] = self.load(payload.source.tensor, payload.offset)
        else:
            self._glue(node)

    # Memory of tensors.

    def home(self, tensor: Tensor) -> Place:
        if tensor.home is None:
            tensor.home = new_place(tensor)
        return tensor.home

    def touch(self, place: Place) -> None:
        self.memory.touch(place.buffer)

    def address(self, tensor: Tensor, offset: Size = 0) -> Any:
        """A typed pointer to an element of a tensor; rank-0 scalars are stored first."""
        return self.memory.pointer(self.place(tensor), offset, tensor.element)

    def place(self, tensor: Tensor) -> Place:
        """Where a tensor is in memory; rank-0 scalars are stored first."""
        if tensor.home is None and tensor.scalar is not None:
            return self.memory.spill(tensor)
        assert tensor.home is not None, f"{tensor.node.op if tensor.node else 'argument'} has no home"
        return tensor.home

    def load(self, tensor: Tensor, offset: Size = 0) -> Any:
        """One element as a scalar."""
        if tensor.scalar is not None:
            return tensor.scalar
        return build.create("memref.load", [tensor.element], [self.address(tensor, offset)]).result

    def store(self, value: Any, place: Place, offset: Size, element: Any) -> None:
        build.create("memref.store", [], [value, self.memory.pointer(place, offset, element)])

    def publish(self, tensor: Tensor, value: Any) -> None:
        """A rank-0 value known as a scalar; stored as well where somebody wants it in memory."""
        tensor.scalar = value
        for place in ([tensor.home] if tensor.home is not None else []) + tensor.extra:
            self.store(value, place, 0, tensor.element)

    def copy(self, ref: Ref, place: Place) -> None:
        """Copy the elements a view shows into a place of the same shape."""
        tensor = ref.tensor
        if tensor.scalar is not None and all(size == 1 for size in ref.view.sizes):  # else a broadcast of it
            self.store(tensor.scalar, place, 0, tensor.element)
            return
        view, strides = ref.view, place.strides
        target = View(view.sizes, strides)
        if view.contiguous and target.contiguous:
            extents: tuple[Size, ...] = (sizes.product(view.sizes),)
            view, strides = View(extents, (1,), view.offset), (1,)
        self.copies.append((ir.Location.current, _why_copied(tensor, place)))
        self._strided_copy(tensor, view, Place(place.buffer, strides, place.offset))

    def _strided_copy(self, tensor: Tensor, view: View, place: Place) -> None:
        block = tensor.block
        node = Node("elementwise", _Located(ir.Location.current), block, 0)
        set_copy_domain(node, view.sizes)
        node.operands = [Operand(0, tensor, Access(view.offset, view.strides).keep(node.kept))]
        result = Tensor(view.sizes, tensor.element, block, node, strides=place.strides, role="full")
        node.outputs.append(result)
        set_store(result)
        cluster = Cluster(-1, "copy", block, node.domain, nodes=[node])
        node.cluster = cluster
        self._call(NestFunction(self.outliner, cluster, [(result, place)], "copy"), "copy")

    # Steps.

    def _function(self, cluster: Cluster) -> None:
        outputs: list[tuple[Tensor, Place]] = []
        dying = self._dying(cluster)
        for node in cluster.nodes:
            for tensor in node.outputs:
                used = any(r.cluster is not cluster for r in tensor.readers) or tensor in tensor.block.pinned
                if used and tensor.home is None:
                    tensor.home = self._reused(cluster, tensor, dying) or new_place(tensor)
                if tensor.home is not None:
                    outputs.append((tensor, tensor.home))
                outputs += [(tensor, place) for place in tensor.extra]
        if outputs:
            name = self._call(NestFunction(self.outliner, cluster, outputs, cluster.kind), cluster.kind)
            if cluster in self.packings:
                packing, call = self.packings.pop(cluster)
                call.attributes["callee"] = ir.FlatSymbolRefAttr.get(pack_function(self.outliner, name, packing))

    def _pack(self, node: Node, pack: Pack) -> None:
        """The call in front of a loop that packs for a product inside, whose function gives the callee its name."""
        panels = node.outputs[0]
        arguments = [self.address(pack.source, pack.offset), self.memory.pointer(self.home(panels), 0, panels.element)]
        self.packings[pack.product] = node, self.call(UNNAMED, arguments, [])

    def _call(self, function: NestFunction, kind: str) -> str:
        homes = {item.tensor: item.tensor.home for item in function.inputs.values()}
        aliases = function.aliases({tensor: home for tensor, home in homes.items() if home is not None})
        name = function.write(kind, aliases)
        arguments = [self.address(item.tensor, item.offset) for item in function.inputs.values()]
        arguments += [self.memory.pointer(place, 0, tensor.element) for tensor, place in function.outputs]
        if function.scratch is not None:
            arguments.append(self.memory.pointer(new_place(function.scratch), 0, function.scratch.element))
        self.call(name, arguments, function.scalars)
        return name

    def call(self, name: str, arguments: Sequence[Any], scalars: Sequence[Scalar]) -> Any:
        """`func.call` of a cluster function."""
        passed = [self.memory.size(value) if kind == "size" else self.scalar(value) for kind, value in scalars]
        callee = {"callee": ir.FlatSymbolRefAttr.get(name)}
        self.calls += 1
        return build.create("func.call", [], [*arguments, *passed, self.workspace], callee)

    def scalar(self, value: Any) -> Any:
        return self.memory.scalar(value)

    def _dying(self, cluster: Cluster) -> list[Tensor]:
        """Temporaries that this cluster reads for the last time."""
        found: dict[Tensor, None] = {}
        for node in cluster.nodes:
            for operand in node.operands:
                tensor = operand.tensor
                if tensor is None or tensor.block is not cluster.block or tensor.home is None or tensor.node is None:
                    continue
                buffer = tensor.home.buffer
                if buffer.kind != "arena" or buffer.shared or tensor in tensor.block.pinned or tensor.unit is cluster:
                    continue
                if all(r.cluster is cluster or r.cluster in self.done or r.cluster is None for r in tensor.readers):
                    found.setdefault(tensor)
        return list(found)

    def _reused(self, cluster: Cluster, tensor: Tensor, dying: list[Tensor]) -> Place | None:
        """The buffer of a dying operand that is read only where this result is written."""
        if tensor.role != "full":
            return None
        for old in dying:
            same = old.sizes == tensor.sizes and old.strides == tensor.strides and old.element == tensor.element
            home = old.home
            if same and home is not None and home.strides == old.strides and reads_where_written(cluster, old, tensor):
                dying.remove(old)
                return Place(home.buffer, tensor.strides, home.offset)
        return None

    def _scalar_nest(self, node: Node) -> None:
        """A rank-0 elementwise op that joined no cluster: plain scalar code."""
        values = [
            self.literal(o.scalar) if o.tensor is None else self.load(o.tensor, o.access.offset if o.access else 0)
            for o in node.operands
        ]
        if node.body is None:
            self.publish(node.outputs[0], values[0])
            return
        mapping = {node.body.arguments[o.argument]: v for o, v in zip(node.operands, values, strict=True)}
        mapping.update((value, self.scalar(value)) for value in node.scalars)
        inside: set[Any] = set(node.body.arguments)
        for view in node.body.operations:
            op = view.operation
            if op.name == "linalg.yield":
                for tensor, value in zip(node.outputs, op.operands, strict=True):
                    self.publish(tensor, mapping[value] if value in mapping else self.scalar(value))
            elif op.name == "linalg.index":
                mapping[op.results[0]] = self.memory.size(0)
                inside.add(op.results[0])
            else:
                self.clone(op, mapping, inside)

    def clone(self, op: Any, mapping: dict[Any, Any], inside: set[Any]) -> Any:
        """Copy scalar code into the driver."""
        self._map_outside(op, mapping, inside)
        inside.update(op.results)
        return build.copy_op(op, mapping)

    def _map_outside(self, op: Any, mapping: dict[Any, Any], inside: set[Any]) -> None:
        for value in op.operands:
            if value not in inside and value not in mapping:
                mapping[value] = self.scalar(value)
        for region in op.regions:
            for block in region.blocks:
                inside.update(block.arguments)
                for view in block.operations:
                    self._map_outside(view.operation, mapping, inside)
                    inside.update(view.operation.results)

    def literal(self, scalar: Any) -> Any:
        return self.scalar(scalar) if isinstance(scalar, ir.Value) else self.memory.literal(scalar)

    def _glue(self, node: Node) -> None:
        mapping: dict[Any, Any] = {}
        clone = self.clone(node.op, mapping, set())
        for old, new in zip(node.op.results, clone.results, strict=True):
            self.memory.values[old] = new

    def _insert(self, node: Node, insert: Insert) -> None:
        place = self.home(node.outputs[0])
        self.touch(place)
        if insert.into is not None and insert.copy_into:
            self.copy(insert.into, place)
        if not insert.direct:
            self.copy(insert.source, region_place(insert, place))

    def _elements(self, node: Node) -> None:
        tensor = node.outputs[0]
        values = [self.literal(value) for value in node.payload]
        if not tensor.sizes:
            self.publish(tensor, values[0])
            return
        for position, value in enumerate(values):
            self.store(value, self.home(tensor), position, tensor.element)

    def _opaque(self, node: Node, opaque: Opaque) -> None:
        for output, init, copied in zip(node.outputs, opaque.inits, opaque.copy_init, strict=True):
            if copied:
                self.copy(init, self.home(output))
        name, scalars = opaque_function(self.outliner, node, node.captured, opaque.inits)
        arguments = [self.address(ref.tensor, ref.view.offset) for _, ref in node.captured]
        arguments += [self.memory.pointer(self.home(o), 0, o.element) for o in node.outputs]
        self.call(name, arguments, scalars)

    def _host(self, node: Node, call: HostCall) -> None:
        buffers = [self.address(ref.tensor, ref.view.offset) for ref in call.operands]
        buffers += [self.memory.pointer(self.home(o), 0, o.element) for o in node.outputs]
        self.memory.host_call(call.site, buffers)


_PURPOSE = {
    "result": "into the memory the caller gave for a result",
    "carried": "into what a loop carries",
    "arena": "into memory of its own",
}


def _why_copied(tensor: Tensor, place: Place) -> str:
    """What the reader of a report should know of a copy."""
    where = _PURPOSE.get(place.buffer.kind, "elsewhere")
    if tensor.node is None:
        return f"copied {where}: the value is an argument, whose own memory must stay as it is"
    if tensor.home is not None and tensor.home.buffer.kind == place.buffer.kind == "result":
        return f"copied {where}: the same value is a result twice"
    return f"copied {where}: its first place is still read, or was chosen by another reader"


class _Located:
    """Stands for the op of a copy, which has none of its own."""

    def __init__(self, location: Any) -> None:
        self.location = location
