"""Reads scf ops and host calls: carried values, nested blocks, what they use from outside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mlir import ir

from phalanx.compiler.clusters import sizes
from phalanx.compiler.clusters.model import Block, Carry, Control, Empty, Node, Opaque, Ref, Tensor
from phalanx.compiler.clusters.overwritten import written_over
from phalanx.compiler.clusters.read_common import is_tensor
from phalanx.compiler.clusters.read_nests import outside_values
from phalanx.compiler.clusters.sizes import Size
from phalanx.dialects.errors import CompileError

if TYPE_CHECKING:
    from phalanx.compiler.clusters.read import Reader


def argument_tensor(block: Block, value: Any, extents: Sequence[Size]) -> Tensor:
    """A tensor that a block receives."""
    tensor = Tensor(tuple(extents), ir.RankedTensorType(value.type).element_type, block)
    tensor.strides = sizes.row_major(tensor.sizes)
    return tensor


def _enter(reader: Reader, value: Any, block: Block, extents: Sequence[Size] | None) -> Any:
    """A block argument: a new tensor of the block, or a scalar known only at run time."""
    if extents is None:
        if value.type == reader.index_type:
            reader.new_leaf(value)
        return value
    tensor = argument_tensor(block, value, extents)
    reader.entries[value] = Ref(tensor, tensor.view)
    return tensor


def _initial(reader: Reader, value: Any, block: Block, op: Any) -> Any:
    return reader.contiguous(value, block, op) if is_tensor(value) else reader.resolve(value)


def _extents(initial: Any) -> tuple[Size, ...] | None:
    return initial.view.sizes if isinstance(initial, Ref) else None


def _calls_host(blocks: Sequence[Block]) -> bool:
    return any(getattr(node.payload, "calls_host", False) for block in blocks for node in block.nodes)


def _finish(reader: Reader, op: Any, block: Block, control: Control) -> Node:
    """The node of a control op, with everything its blocks use from outside."""
    control.calls_host = _calls_host(control.blocks)
    node = reader.new_node("control", op, block, control)
    for carry in control.carries:
        if isinstance(carry.init, Ref):
            reader.use(node, carry.init)
        else:
            reader.need(node, carry.init)
    for inner in control.blocks:
        reader.close(node, inner, control.blocks)
    for bound in control.bounds:
        reader.need_size(node, bound)
    if control.kind == "if":
        reader.need(node, control.condition)
    return node


def _results(reader: Reader, node: Node, op: Any, shapes: Sequence[tuple[Size, ...] | None]) -> list[Any]:
    found: list[Any] = []
    for value, extents in zip(op.results, shapes, strict=True):
        if extents is None:
            reader.makers[value] = node
            if value.type == reader.index_type:
                reader.new_leaf(value)
            found.append(value)
        else:
            tensor = reader.new_tensor(node, extents, ir.RankedTensorType(value.type).element_type)
            reader.entries[value] = Ref(tensor, tensor.view)
            found.append(tensor)
    return found


def read_for(reader: Reader, op: Any, block: Block) -> None:
    """`scf.for`: carried values and one block."""
    if "px.opaque" in op.attributes:
        _read_opaque(reader, op, block)
        return
    body_block = op.regions[0].blocks[0]
    body = Block(body_block)
    arguments = list(body_block.arguments)
    variable = arguments[0]
    if variable.type == reader.index_type:
        reader.new_leaf(variable)
    carries: list[Carry] = []
    for k, (value, argument) in enumerate(zip(list(op.operands)[3:], arguments[1:], strict=True)):
        initial = _initial(reader, value, block, op)
        carries.append(Carry(initial, _enter(reader, argument, body, _extents(initial)), k))
    reader.read_block(body_block, body)
    control = Control("for", [body], carries, variable=variable)
    limits = list(op.operands)[:3]
    if variable.type == reader.index_type:
        control.bounds = tuple(reader.size_of(value) for value in limits)
    if control.bounds and all(isinstance(bound, int) for bound in control.bounds):
        low, high, step = (int(bound) for bound in control.bounds)  # type: ignore[arg-type]
        control.trips = max(0, -(-(high - low) // step))
    for carry in carries:
        if written_over(control, carry):
            undefined = Empty(carry.inside.sizes, carry.inside.element)
            carry.init = reader.materialise(undefined, block, op)
    node = _finish(reader, op, block, control)
    for value in limits:
        reader.need(node, value)
    control.results = _results(reader, node, op, [_extents(carry.init) for carry in carries])


def read_while(reader: Reader, op: Any, block: Block) -> None:
    """`scf.while`: a block that decides and forwards, a block that continues."""
    first, second = (region.blocks[0] for region in op.regions)
    before, after = Block(first), Block(second)
    carries: list[Carry] = []
    for k, (value, argument) in enumerate(zip(op.operands, first.arguments, strict=True)):
        initial = _initial(reader, value, block, op)
        # Carried tensors belong to the second block, which replaces them; the first only reads them.
        carries.append(Carry(initial, _enter(reader, argument, after, _extents(initial)), k))
    terminator = list(first.operations)[-1].operation
    reader.read_block(first, before)
    passed = [reader.result(value, before, terminator) for value in list(terminator.operands)[1:]]
    condition = reader.result(terminator.operands[0], before, terminator)
    before.results = [condition]
    forwards: list[Any] = []
    for value, argument in zip(passed, second.arguments, strict=True):
        carried = [k for k, carry in enumerate(carries) if _is_carry(value, carry)]
        if carried:
            forwards.append(carried[0])
            inside = carries[carried[0]].inside
            if isinstance(inside, Tensor):
                reader.entries[argument] = Ref(inside, inside.view)
            else:
                reader.same[argument] = inside
        else:
            forwards.append(_enter(reader, argument, after, _extents(value)))
            before.results.append(value)
    reader.read_block(second, after)
    control = Control("while", [before, after], carries, condition=condition, forwards=forwards)
    node = _finish(reader, op, block, control)
    shapes = [value.view.sizes if isinstance(value, Ref) else None for value in passed]
    control.results = _results(reader, node, op, shapes)


def _is_carry(value: Any, carry: Carry) -> bool:
    if isinstance(value, Ref):
        return value.whole and value.tensor is carry.inside
    return not isinstance(carry.inside, Tensor) and bool(value == carry.inside)


def read_if(reader: Reader, op: Any, block: Block) -> None:
    """`scf.if`: one or two blocks."""
    blocks: list[Block] = []
    for region in op.regions:
        if len(list(region.blocks)) == 0:
            continue
        inner = Block(region.blocks[0])
        reader.read_block(region.blocks[0], inner)
        blocks.append(inner)
    control = Control("if", blocks, condition=reader.resolve(op.operands[0]))
    node = _finish(reader, op, block, control)
    shapes: list[tuple[Size, ...] | None] = []
    for k, value in enumerate(op.results):
        first = blocks[0].results[k]
        if not isinstance(first, Ref):
            shapes.append(None)
            continue
        static = ir.RankedTensorType(value.type).shape
        choices = zip(*(b.results[k].view.sizes for b in blocks), strict=True)
        known = [next((n for n in pair if isinstance(n, int)), pair[0]) for pair in choices]
        shapes.append(tuple(n if n >= 0 else size for n, size in zip(static, known, strict=True)))
    control.results = _results(reader, node, op, shapes)


def _read_opaque(reader: Reader, op: Any, block: Block) -> None:
    carried = list(op.operands)[3:]
    for value, result in zip(carried, op.results, strict=True):
        if not is_tensor(value) and next(iter(result.uses), None) is not None:
            raise CompileError(f"{op.name}: a scalar leaves an opaque loop", location=str(op.location))
    inits = [reader.contiguous(value, block, op) for value in carried if is_tensor(value)]
    body = op.regions[0].blocks[0]
    captured: list[tuple[Any, Ref]] = []
    scalars: list[Any] = []
    used: dict[Any, None] = dict.fromkeys(list(op.operands)[:3])
    used.update(dict.fromkeys(value for value in carried if not is_tensor(value)))
    used.update(dict.fromkeys(outside_values(body, set(body.arguments))))
    for value in used:
        if is_tensor(value):
            captured.append((value, reader.memory(value, block, op)))
        else:
            scalars.append(value)
    node = reader.new_node("opaque", op, block, Opaque(inits, [True] * len(inits), scalars))
    node.captured = captured
    for value in scalars:
        reader.need(node, value)
    for ref in (*inits, *(ref for _, ref in node.captured)):
        reader.use(node, ref)
    for value, ref in zip(filter(is_tensor, op.results), inits, strict=True):
        tensor = reader.new_tensor(node, ref.view.sizes, ref.tensor.element)
        reader.entries[value] = Ref(tensor, tensor.view)


def host_result_sizes(reader: Reader, op: Any) -> list[tuple[Size, ...]]:
    """Sizes of a host call's results; its index operands give the dynamic ones, in order."""
    found: list[tuple[Size, ...]] = []
    spare = iter([value for value in op.operands if value.type == reader.index_type])
    for value in op.results:
        shaped = ir.RankedTensorType(value.type)
        found.append(
            tuple(reader.size_of(next(spare)) if shaped.is_dynamic_dim(d) else n for d, n in enumerate(shaped.shape))
        )
    return found
