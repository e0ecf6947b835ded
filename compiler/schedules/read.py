"""Reads a cluster function: walks its block once and collects views, nodes and outputs."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from mlir import ir

from phalanx.compiler.schedules.affine import affine_map, along, domain_sizes, kept_dims
from phalanx.compiler.schedules.cluster import (
    Carried,
    Cluster,
    Expr,
    Node,
    Operand,
    Output,
    Source,
    Splat,
    Value,
    View,
    contiguous_strides,
    copy_node,
    identity,
    load,
    location_text,
    refuse,
)
from phalanx.compiler.schedules.positions import lift_positions
from phalanx.compiler.schedules.scalar import Body, attribute_text, copy_scalar_op
from phalanx.compiler.schedules.text import Index, Writer
from phalanx.dialects.records import replace

DYNAMIC = -(1 << 63)


class Reader:
    """Walks the entry block of one cluster function."""

    def __init__(self, function: Any) -> None:
        self.function = function
        self.writer = Writer(location_text(function))
        self.scalars: dict[Any, str] = {}
        self.tensors: dict[Any, Source] = {}
        self.memrefs: dict[Any, View] = {}
        self.nodes: list[Node] = []
        self.outputs: list[Output] = []
        self.globals: list[str] = []
        self.nests: list[Any] = []
        self.known_maps: dict[Any, list[tuple[Expr, ...]]] = {}
        self.known_iterators: dict[Any, tuple[bool, ...]] = {}

    def read(self) -> Cluster:
        name = ir.StringAttr(self.function.attributes["sym_name"]).value
        kind = ir.StringAttr(self.function.attributes["px.cluster"]).value
        block = self.function.regions[0].blocks[0]
        owners = alias_owners(self.function)
        for number, argument in enumerate(block.arguments):
            if isinstance(argument.type, ir.MemRefType):
                element = str(ir.MemRefType(argument.type).element_type)
                # Memory that is input and output is always named by the output's pointer: LLVM then sees one
                # base and equal positions, and vectorises without run-time overlap checks.
                self.memrefs[argument] = View(f"%p{owners.get(number, number)}", element, (), ())
            else:
                self.scalars[argument] = f"%p{number}"
        for op in block.operations:
            self._op(op.operation)
        self.writer.location = location_text(self.function)
        shared = {f"%p{owner}" for owner in owners.values()}
        outputs = [replace(output, aliased=output.view.pointer in shared) for output in self.outputs]
        return Cluster(
            name,
            kind,
            location_text(self.function),
            self._live_nodes(),
            outputs,
            self.writer,
            self.scalars,
            self.tensors,
            self.globals,
            self.nests,
            f"%p{len(block.arguments) - 1}",
            self._scratch(),
        )

    def _scratch(self) -> View | None:
        """The one window on the argument that is scratch, for clusters that have one."""
        if "px.scratch" not in self.function.attributes:
            return None
        pointer = f"%p{ir.IntegerAttr(self.function.attributes['px.scratch']).value}"
        (view,) = (view for view in self.memrefs.values() if view.pointer == pointer and view.sizes)
        return view

    def _live_nodes(self) -> list[Node]:
        """The nodes some output needs, in program order."""
        live: set[Node] = set()
        pending = [output.source for output in self.outputs]
        while pending:
            source = pending.pop()
            if isinstance(source, Value) and source.node not in live:
                live.add(source.node)
                pending += [operand.source for operand in [*source.node.operands, *source.node.inits]]
        return [node for node in self.nodes if node in live]

    # -- one op ------------------------------------------------------------------------------------

    def _op(self, op: Any) -> None:
        self.writer.location = location_text(op)
        method = _METHODS.get(op.name)
        if method is not None:
            method(self, op)
        elif op.name in ("scf.for", "scf.if", "scf.while"):
            self.nests.append(op)
            for number, result in enumerate(op.results):
                self.tensors[result] = Carried(op, number)
        elif op.name.startswith(("arith.", "math.", "index.")):
            copy_scalar_op(op, self.writer, self.scalars)
            self._note_monomial(op)
        else:
            raise refuse(op, f"{op.name} cannot stand in a cluster")

    def _note_monomial(self, op: Any) -> None:
        if op.name == "arith.muli" and str(op.results[0].type) == "index":
            (ca, va), (cb, vb) = (self.writer.monomial(self._index(operand)) for operand in op.operands)
            self.writer.declare(self.scalars[op.results[0]], (ca * cb, tuple(sorted(va + vb))))

    def _index(self, value: Any) -> Index:
        owner = value.owner
        if not isinstance(owner, ir.Block) and owner.name == "arith.constant":
            return int(ir.IntegerAttr(owner.attributes["value"]).value)
        return self.scalars[value]

    def _mixed(self, op: Any, static: str, operands: list[Any]) -> tuple[Index, ...]:
        """Static and dynamic entries of an offset/size/stride list, merged; takes from `operands`."""
        entries = [int(entry) for entry in ir.DenseI64ArrayAttr(op.attributes[static])]
        return tuple(self._index(operands.pop(0)) if entry == DYNAMIC else entry for entry in entries)

    def _reinterpret(self, op: Any) -> None:
        operands = list(op.operands)
        base = self.memrefs[operands.pop(0)]
        offsets = self._mixed(op, "static_offsets", operands)
        sizes = self._mixed(op, "static_sizes", operands)
        strides = self._mixed(op, "static_strides", operands)
        if not isinstance(ir.MemRefType(op.results[0].type).layout, ir.StridedLayoutAttr):
            strides = contiguous_strides(sizes, self.writer)  # dense by type: products of sizes, which can collapse
        offset = self.writer.add(base.offset, offsets[0])
        self.memrefs[op.results[0]] = View(base.pointer, base.element, sizes, strides, offset)

    def _memref_cast(self, op: Any) -> None:
        self.memrefs[op.results[0]] = self.memrefs[op.operands[0]]

    def _to_tensor(self, op: Any) -> None:
        self.tensors[op.results[0]] = self.memrefs[op.operands[0]]

    def _empty(self, op: Any) -> None:
        self.tensors[op.results[0]] = Splat(None, self._type_sizes(op.results[0].type, list(op.operands)))

    def _type_sizes(self, tensor_type: Any, operands: list[Any]) -> tuple[Index, ...]:
        shape = ir.RankedTensorType(tensor_type).shape
        return tuple(self._index(operands.pop(0)) if size == DYNAMIC else int(size) for size in shape)

    def _constant(self, op: Any) -> None:
        if not isinstance(op.results[0].type, ir.RankedTensorType):
            copy_scalar_op(op, self.writer, self.scalars)
            return
        tensor_type = ir.RankedTensorType(op.results[0].type)
        sizes = tuple(int(size) for size in tensor_type.shape)
        attribute = op.attributes["value"]
        if isinstance(attribute, ir.DenseElementsAttr) and ir.DenseElementsAttr(attribute).is_splat:
            scalar = self.writer.constant(attribute_text(ir.DenseElementsAttr(attribute).get_splat_value()))
            self.tensors[op.results[0]] = Splat(scalar, sizes)
            return
        element = str(tensor_type.element_type)
        symbol = f"{ir.StringAttr(self.function.attributes['sym_name']).value}_data{len(self.globals)}"
        shape = "x".join([*map(str, sizes), element])
        self.globals.append(
            f'memref.global "private" constant @{symbol} : memref<{shape}> = '
            f"{str(attribute).rsplit(' : ', 1)[0]} {location_text(op)}"
        )
        whole = self.writer.pure(f"memref.get_global @{symbol} : memref<{shape}>", [], "g")
        pointer = self.writer.pure(
            f"memref.reinterpret_cast {whole} to offset: [0], sizes: [], strides: [] : memref<{shape}> to memref<{element}>",
            [whole],
            "g",
        )
        self.tensors[op.results[0]] = View(pointer, element, sizes, contiguous_strides(sizes, self.writer))

    def _fill(self, op: Any) -> None:
        destination = self.tensors[op.operands[1]]
        self.tensors[op.results[0]] = Splat(self.scalars[op.operands[0]], destination.sizes)

    def _from_elements(self, op: Any) -> None:
        if len(op.operands) != 1:
            raise refuse(op, "tensor.from_elements of more than one element cannot stand in a cluster")
        sizes = (1,) * ir.RankedTensorType(op.results[0].type).rank
        self.tensors[op.results[0]] = Splat(self.scalars[op.operands[0]], sizes)

    def _cast(self, op: Any) -> None:
        self.tensors[op.results[0]] = self.tensors[op.operands[0]]

    def _extract(self, op: Any) -> None:
        source = self.tensors[op.operands[0]]
        if isinstance(source, Splat) and source.scalar:
            self.scalars[op.results[0]] = source.scalar
            return
        if not isinstance(source, View):
            raise refuse(op, "tensor.extract of a value computed in the same cluster")
        address: Index = source.offset
        for position, stride in zip(list(op.operands)[1:], source.strides, strict=True):
            address = self.writer.add(address, self.writer.mul(self._index(position), stride))
        self.scalars[op.results[0]] = load(self.writer, source, address)

    def _dim(self, op: Any) -> None:
        source = self.tensors.get(op.operands[0]) or self.memrefs[op.operands[0]]
        size = source.sizes[int(self._index(op.operands[1]))]
        self.scalars[op.results[0]] = self.writer.index(size)

    def _extract_slice(self, op: Any) -> None:
        operands = list(op.operands)
        source = self.tensors[operands.pop(0)]
        if not isinstance(source, View):
            raise refuse(op, "a slice of a value computed in the same cluster")
        offsets = self._mixed(op, "static_offsets", operands)
        sizes = self._mixed(op, "static_sizes", operands)
        steps = self._mixed(op, "static_strides", operands)
        offset = source.offset
        for start, stride in zip(offsets, source.strides, strict=True):
            offset = self.writer.add(offset, self.writer.mul(start, stride))
        strides = [self.writer.mul(step, stride) for step, stride in zip(steps, source.strides, strict=True)]
        kept = kept_dims(sizes, ir.RankedTensorType(op.results[0].type).shape)
        self.tensors[op.results[0]] = View(
            source.pointer, source.element, tuple(sizes[k] for k in kept), tuple(strides[k] for k in kept), offset
        )

    def _reshape(self, op: Any) -> None:
        """expand_shape and collapse_shape of an input: the same memory with other strides."""
        source = self.tensors[op.operands[0]]
        groups = [[int(dim) for dim in group] for group in op.attributes["reassociation"]]
        if op.name == "tensor.expand_shape":
            sizes = self._mixed(op, "static_output_shape", list(op.operands)[1:])
        else:
            sizes = tuple(_product([source.sizes[dim] for dim in group], self.writer) for group in groups)
        if isinstance(source, Splat):
            self.tensors[op.results[0]] = Splat(source.scalar, sizes)
            return
        if isinstance(source, Value):
            self.tensors[op.results[0]] = self._reshape_value(op, source, groups, sizes)
            return
        if not isinstance(source, View):
            raise refuse(op, "a reshape of what an opaque loop nest returns")
        strides: list[Index] = []
        for position, group in enumerate(groups):
            if op.name == "tensor.expand_shape":
                inner = contiguous_strides([sizes[dim] for dim in group], self.writer)
                strides += [self.writer.mul(step, source.strides[position]) for step in inner]
            else:
                strides.append(self._collapsed_stride(op, source, group))
        if not groups:
            strides = [1] * len(sizes)
        self.tensors[op.results[0]] = View(source.pointer, source.element, sizes, tuple(strides), source.offset)

    def _collapsed_stride(self, op: Any, source: View, group: list[int]) -> Index:
        real = [dim for dim in group if source.sizes[dim] != 1] or group[-1:]
        for outer, inner in pairwise(real):
            whole = self.writer.mul(source.sizes[inner], source.strides[inner])
            if not self.writer.equal(source.strides[outer], whole):
                raise refuse(op, "a collapse of dims that are not adjacent in memory")
        return source.strides[real[-1]]

    def _reshape_value(self, op: Any, source: Value, groups: list[list[int]], sizes: tuple[Index, ...]) -> Value:
        """Unit dims added to or dropped from a value of the cluster; the elements keep their node dims."""
        expands = op.name == "tensor.expand_shape"
        wide = sizes if expands else source.sizes
        dims: list[int | None] = [None] * len(sizes)
        for position, group in enumerate(groups):
            real = [dim for dim in group if wide[dim] != 1]
            if len(real) > 1:
                raise refuse(op, "a reshape of a value computed in the same cluster")
            carrier = real[0] if real else group[-1]
            if expands:
                dims[carrier] = source.dims[position]
            else:
                dims[position] = source.dims[carrier]
        return Value(source.node, source.number, source.element, sizes, tuple(dims))

    def _materialize(self, op: Any) -> None:
        source = self.tensors[op.operands[0]]
        view = self.memrefs[op.operands[1]]
        if not isinstance(source, Value | Carried):
            node = copy_node(source, view, location_text(op))
            self.nodes.append(node)
            source = node.values[0]
        self.outputs.append(Output(source, view, False))

    def _generic(self, op: Any) -> None:
        groups = [int(size) for size in ir.DenseI32ArrayAttr(op.attributes["operandSegmentSizes"])]
        maps = self._maps(op.attributes["indexing_maps"])
        reduced = self._reduced(op.attributes["iterator_types"])
        sources = [self._source(op, operand) for operand in op.operands]
        body = Body.of(op.regions[0].blocks[0])
        self._node(op, groups[0], sources, maps, reduced, body)

    def _maps(self, attribute: Any) -> list[tuple[Expr, ...]]:
        if attribute not in self.known_maps:
            self.known_maps[attribute] = [affine_map(entry) for entry in attribute]
        return self.known_maps[attribute]

    def _reduced(self, attribute: Any) -> tuple[bool, ...]:
        if attribute not in self.known_iterators:
            self.known_iterators[attribute] = tuple("reduction" in str(kind) for kind in attribute)
        return self.known_iterators[attribute]

    def _source(self, op: Any, operand: Any) -> Source:
        source = self.tensors.get(operand)
        if source is None:  # a scalar operand of a linalg op is read everywhere
            return Splat(self.scalars[operand], ())
        return source

    def _node(
        self,
        op: Any,
        inputs: int,
        sources: list[Source],
        maps: list[tuple[Expr, ...]],
        reduced: tuple[bool, ...],
        body: Body,
    ) -> None:
        sizes = domain_sizes(op, len(reduced), sources, maps)
        operands = [Operand(source, map_) for source, map_ in zip(sources, maps, strict=True)]
        node = Node(op.name, location_text(op), sizes, reduced, operands[:inputs], operands[inputs:], body)
        if "px.kind" in op.attributes:
            node.kind = ir.StringAttr(op.attributes["px.kind"]).value
        for number, result in enumerate(op.results):
            out_map = maps[inputs + number]
            element = str(ir.RankedTensorType(result.type).element_type)
            shape = tuple(along(sizes, expr) for expr in out_map)
            value = Value(node, number, element, shape, tuple(expr.dim for expr in out_map))
            node.values.append(value)
            self.tensors[result] = value
        lift_positions(node, self.writer, self._index)
        self.nodes.append(node)

    def _transpose(self, op: Any) -> None:
        permutation = [int(dim) for dim in ir.DenseI64ArrayAttr(op.attributes["permutation"])]
        source_map = [Expr(())] * len(permutation)
        for position, dim in enumerate(permutation):
            source_map[dim] = Expr(((position, 1),))
        self._movement(op, tuple(source_map))

    def _broadcast(self, op: Any) -> None:
        added = {int(dim) for dim in ir.DenseI64ArrayAttr(op.attributes["dimensions"])}
        rank = len(self.tensors[op.operands[1]].sizes)
        self._movement(op, tuple(Expr(((dim, 1),)) for dim in range(rank) if dim not in added))

    def _copy(self, op: Any) -> None:
        self._movement(op, identity(len(self.tensors[op.operands[1]].sizes)))

    def _movement(self, op: Any, source_map: tuple[Expr, ...]) -> None:
        sources = [self.tensors[operand] for operand in op.operands]
        rank = len(sources[1].sizes)
        self._node(op, 1, sources, [source_map, identity(rank)], (False,) * rank, Body.copy())

    def _return(self, op: Any) -> None:
        pass


_METHODS = {
    "memref.reinterpret_cast": Reader._reinterpret,
    "memref.cast": Reader._memref_cast,
    "memref.dim": Reader._dim,
    "bufferization.to_tensor": Reader._to_tensor,
    "bufferization.materialize_in_destination": Reader._materialize,
    "tensor.empty": Reader._empty,
    "tensor.cast": Reader._cast,
    "tensor.dim": Reader._dim,
    "tensor.extract": Reader._extract,
    "tensor.extract_slice": Reader._extract_slice,
    "tensor.expand_shape": Reader._reshape,
    "tensor.collapse_shape": Reader._reshape,
    "tensor.from_elements": Reader._from_elements,
    "arith.constant": Reader._constant,
    "linalg.fill": Reader._fill,
    "linalg.generic": Reader._generic,
    "linalg.transpose": Reader._transpose,
    "linalg.broadcast": Reader._broadcast,
    "linalg.copy": Reader._copy,
    "func.return": Reader._return,
}


def alias_owners(function: Any) -> dict[int, int]:
    """Input argument -> output argument, for those that are the same memory."""
    if "arg_attrs" not in function.attributes:
        return {}
    owners: dict[int, int] = {}
    for number, attributes in enumerate(ir.ArrayAttr(function.attributes["arg_attrs"])):
        dictionary = ir.DictAttr(attributes)
        if "px.alias" in dictionary:
            owners[int(ir.IntegerAttr(dictionary["px.alias"]).value)] = number
    return owners


def _product(sizes: Sequence[Index], writer: Writer) -> Index:
    total: Index = 1
    for size in sizes:
        total = writer.mul(total, size)
    return total
