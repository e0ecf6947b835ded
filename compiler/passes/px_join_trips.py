"""px-join-trips: loops that only compute each element of large states from itself make two or four trips at once.

    for i in 0 .. n { x = f(x, i) }
    ->  for i in 0 .. n - n % 2 step 2 { x = f(f(x, i), i + 1) };  for i in n - n % 2 .. n { x = f(x, i) }

All elementwise ops of a body become one loop nest. With the ops of two trips in it, the state goes through memory, and
threads meet, half as often. A state that one first-level cache holds gains nothing, nor does a body that computes for long.
Elements see the operations of every trip in their order; a multiplication at the end of a trip and an addition at the
beginning of the next may be rounded once, as two of one trip may.
"""

from __future__ import annotations

import math

from mlir import ir
from mlir.dialects import arith

from phalanx.compiler.pipeline.registry import pass_
from phalanx.compiler.transforms import replay
from phalanx.dialects.analysis import op_of
from phalanx.dialects.dtypes import from_element
from phalanx.dialects.kinds import Creation, Elementwise, FloatFunction

LEAST_BYTES = 1 << 16
"""States that stand in the first-level cache come from there about as fast as from registers."""

MOST_OPS = 36
"""Ops of a joined body: what one loop nest holds, and a compile that stays short."""

TRIPS = 4, 2
"""Trips to join, as many as fit."""

_DEAR = frozenset({"px.power", "px.floor_divide", "px.remainder", "px.fmod", "px.quotient", "px.nextafter"})


@pass_("px-join-trips", "several trips at once of loops that compute each element of a large state from itself")
def px_join_trips(module: ir.Module) -> None:
    """Counted loops by ones."""
    found: list[tuple[ir.Operation, int]] = []

    def visit(operation: ir.Operation) -> ir.WalkResult:
        if operation.name == "scf.for":
            count = _trips_to_join(operation)
            if count is not None:
                found.append((operation, count))
        return ir.WalkResult.ADVANCE

    module.operation.walk(visit)
    for loop, count in found:
        with loop.location, module.context:
            _join(loop, count)


def _trips_to_join(loop: ir.Operation) -> int | None:
    """How many trips of a loop go into one; None where it has to stay as it is."""
    _, _, step, *state = loop.operands
    block = loop.regions[0].blocks[0]
    shapes = {tuple(kind.shape) for kind in _arrays(state) if kind.rank}
    if len(shapes) != 1 or _constant(step) != 1 or not isinstance(step.type, ir.IndexType):
        return None
    (shape,) = shapes
    if min(shape) < 0 or math.prod(shape) * sum(_item_bytes(kind) for kind in _arrays(state) if kind.rank) < LEAST_BYTES:
        return None
    *body, _ = replay.operations(block)
    own = {*block.arguments, *(value for operation in body for value in operation.results)}
    if not all(_is_cheap(operation, shape) or _is_row(operation, shape, own) for operation in body):
        return None
    work = sum(issubclass(op, Elementwise) for op in map(op_of, body) if op is not None)
    return next((count for count in TRIPS if 0 < count * work <= MOST_OPS), None)


def _arrays(values: list[ir.Value]) -> list[ir.RankedTensorType]:
    return [ir.RankedTensorType(value.type) for value in values if isinstance(value.type, ir.RankedTensorType)]


def _item_bytes(kind: ir.RankedTensorType) -> int:
    return from_element(str(kind.element_type)).numpy.itemsize


def _constant(value: ir.Value) -> int | None:
    owner = value.owner
    if isinstance(owner, ir.Block) or owner.name != "arith.constant":
        return None
    return int(ir.IntegerAttr(owner.attributes["value"]).value)


def _is_cheap(operation: ir.Operation, shape: tuple[int, ...]) -> bool:
    """Whether an operation computes elements of arrays of this shape in a few instructions, or scalars."""
    if len(operation.regions):
        return False
    if any(tuple(kind.shape) not in ((), shape) for kind in _arrays(list(operation.results))):
        return False
    op = op_of(operation)
    if op is None:
        return operation.name.startswith(("arith.", "tensor.from_elements", "tensor.extract"))
    scalars = all(not kind.rank for kind in _arrays(list(operation.results)))
    if issubclass(op, Creation):
        return not op.side_effect
    return issubclass(op, Elementwise) and (scalars or not (issubclass(op, FloatFunction) or operation.name in _DEAR))


def _is_row(operation: ir.Operation, shape: tuple[int, ...], own: set[ir.Value]) -> bool:
    """Whether an operation shows as many elements of an array from outside the loop, or arrays of this shape in another."""
    if operation.name not in ("px.dynamic_slice", "px.reshape"):
        return False
    (kind,) = _arrays(list(operation.results))
    known = kind.has_static_shape and math.prod(kind.shape) == math.prod(shape)
    return known and (operation.name == "px.reshape" or operation.operands[0] not in own)


def _join(loop: ir.Operation, count: int) -> None:
    """Put a loop of joined trips in front of a loop, which is left with the rest of them."""
    low, high, step, *state = loop.operands
    place = ir.InsertionPoint(loop)
    with place:
        none = arith.constant(low.type, 0)
        trips = arith.maxsi(arith.subi(high, low), none)
        whole = arith.subi(trips, arith.remsi(trips, arith.constant(low.type, count)))
        middle = arith.addi(low, whole)
        stride = arith.constant(low.type, count)
    types = [value.type for value in state]
    made = ir.Operation.create("scf.for", types, [low, middle, stride, *state], regions=1, ip=place)
    block = made.regions[0].blocks.append(low.type, *types, arg_locs=[loop.location] * (1 + len(types)))
    first, *values = block.arguments
    with ir.InsertionPoint(block):
        for number in range(count):
            variable = first if number == 0 else arith.addi(first, arith.constant(low.type, number))
            values = _trip(loop.regions[0].blocks[0], [variable, *values])
        ir.Operation.create("scf.yield", operands=values)
    for position, value in enumerate([middle, high, step, *made.results]):
        loop.operands[position] = value


def _trip(block: ir.Block, arguments: list[ir.Value]) -> list[ir.Value]:
    """The body once more at the current place; the state it leaves."""
    mapping: replay.Mapping = dict(zip(block.arguments, arguments, strict=True))
    *body, last = replay.operations(block)
    for operation in body:
        copy = operation.clone(ip=ir.InsertionPoint.current).operation
        replay.rename(copy, mapping)
        mapping.update(zip(operation.results, copy.results, strict=True))
    return [mapping.get(value, value) for value in last.operands]
