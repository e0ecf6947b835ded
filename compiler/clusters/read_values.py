"""Reads constants, fills, single elements and host calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mlir import ir

from phalanx.compiler.clusters import read_control, sizes
from phalanx.compiler.clusters.model import Block, Empty, Fill, HostCall, Load, Ref
from phalanx.compiler.clusters.read_common import element_of, is_tensor, sizes_of, unsupported, zero_of

if TYPE_CHECKING:
    from phalanx.compiler.clusters.read import Reader


def _constant(reader: Reader, op: Any, block: Block) -> None:
    attribute, value = op.attributes["value"], op.results[0]
    if not is_tensor(value):
        if value.type == reader.index_type:
            reader.sizes[value] = ir.IntegerAttr(attribute).value
        reader.constants[value] = attribute
        return
    shape = tuple(ir.RankedTensorType(value.type).shape)
    element = ir.RankedTensorType(value.type).element_type
    if 0 in shape:
        reader.entries[value] = Empty(shape, element)
    elif attribute.is_splat:
        reader.entries[value] = Fill(attribute.get_splat_value(), shape, element, op.location)
    else:
        tensor = reader.new_tensor(reader.new_node("constant", op, block, payload=attribute), shape, element)
        reader.entries[value] = Ref(tensor, tensor.view)


def _empty(reader: Reader, op: Any, block: Block) -> None:
    shaped = ir.RankedTensorType(op.results[0].type)
    values = iter(op.operands)
    extents = [reader.size_of(next(values)) if shaped.is_dynamic_dim(d) else n for d, n in enumerate(shaped.shape)]
    reader.entries[op.results[0]] = Empty(tuple(extents), shaped.element_type)


def _fill(reader: Reader, op: Any, block: Block) -> None:
    scalar = reader.resolve(op.operands[0])
    scalar = reader.constants.get(scalar, scalar)
    target = reader.entries[op.operands[1]]
    reader.entries[op.results[0]] = Fill(scalar, sizes_of(target), element_of(target), op.location)


def _extract(reader: Reader, op: Any, block: Block) -> None:
    entry = reader.entries[op.operands[0]]
    if not isinstance(entry, Ref):
        _extract_constant(reader, op, entry)
        return
    offset = entry.view.offset
    for value, stride in zip(list(op.operands)[1:], entry.view.strides, strict=True):
        offset = sizes.add(offset, sizes.multiply(reader.size_of(value), stride))
    node = reader.new_node("glue", op, block, Load(entry, offset))
    reader.use(node, entry)
    reader.need_size(node, offset)
    reader.makers[op.results[0]] = node


def _extract_constant(reader: Reader, op: Any, entry: Fill | Empty) -> None:
    value = op.results[0]
    if isinstance(entry, Empty):
        reader.constants[value] = zero_of(value.type)
    elif isinstance(entry.scalar, ir.Value):
        reader.same[value] = reader.resolve(entry.scalar)
    else:
        reader.constants[value] = entry.scalar
        if value.type == reader.index_type:
            reader.sizes[value] = ir.IntegerAttr(entry.scalar).value


def _from_elements(reader: Reader, op: Any, block: Block) -> None:
    node = reader.new_node("elements", op, block, payload=[reader.resolve(value) for value in op.operands])
    for value in op.operands:
        reader.need(node, value)
    shaped = ir.RankedTensorType(op.results[0].type)
    tensor = reader.new_tensor(node, tuple(shaped.shape), shaped.element_type)
    reader.entries[op.results[0]] = Ref(tensor, tensor.view)


def _dim(reader: Reader, op: Any, block: Block) -> None:
    which = reader.size_of(op.operands[1])
    if not isinstance(which, int):
        raise unsupported(op)
    reader.sizes[op.results[0]] = sizes_of(reader.entries[op.operands[0]])[which]


def _call(reader: Reader, op: Any, block: Block) -> None:
    callee = ir.FlatSymbolRefAttr(op.attributes["callee"]).value
    if callee not in reader.hosts:
        raise unsupported(op)
    operands = [reader.contiguous(value, block, op) for value in op.operands if is_tensor(value)]
    node = reader.new_node("host", op, block, HostCall(reader.hosts[callee], operands))
    for ref in operands:
        reader.use(node, ref)
    shapes = read_control.host_result_sizes(reader, op)
    for value, extents in zip(op.results, shapes, strict=True):
        tensor = reader.new_tensor(node, extents, ir.RankedTensorType(value.type).element_type)
        reader.entries[value] = Ref(tensor, tensor.view)


HANDLERS: dict[str, Callable[[Reader, Any, Block], None]] = {
    "arith.constant": _constant,
    "tensor.empty": _empty,
    "linalg.fill": _fill,
    "tensor.extract": _extract,
    "tensor.from_elements": _from_elements,
    "tensor.dim": _dim,
    "func.call": _call,
}
