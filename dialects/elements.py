"""Single elements of tensors that cheap elementwise ops make, computed where they are needed.

    %p = generic(%i): %i < 0 ? %i + n : %i                 %a = tensor.extract %i[%k]
    %e = tensor.extract %p[%k]                     ->      %e = %a < 0 ? %a + n : %a

The tensor is then not written at all, unless somebody else reads it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mlir import ir

if TYPE_CHECKING:
    from phalanx.dialects.builders import Scalars

MOST_OPS = 8
"""Most scalar ops in the place of one load: what is done anyway while the next load is under way."""

_CHEAP = frozenset(
    f"arith.{name}"
    for name in ("addi", "subi", "cmpi", "select", "extui", "extsi", "trunci", "andi", "ori", "xori", "minsi", "maxsi",
                 "minui", "maxui", "constant")
)


def element(scalars: Scalars, value: ir.Value, position: Sequence[ir.Value]) -> ir.Value:
    """The element of a tensor there, in its storage type: loaded, unless all that makes it are few cheap ops."""
    return _computed(scalars, value, position, _ops_of(value, 0) is not None)


def _ops_of(value: ir.Value, used: int) -> int | None:
    """How many scalar ops make an element, with those `used` already; None when it is not cheap."""
    producer = _elementwise(value)
    if producer is None:
        return used
    names = [view.operation.name for view in producer.regions[0].blocks[0].operations][:-1]
    total: int | None = used + len([name for name in names if name != "arith.constant"])
    if not _CHEAP.issuperset(names) or total is None or total > MOST_OPS:
        return None
    for operand in list(producer.operands)[:-1]:
        total = None if total is None else _ops_of(operand, total)
    return total


def _elementwise(value: ir.Value) -> ir.Operation | None:
    """The loop nest that makes every element of the tensor by itself, from elements of others that it picks by position."""
    owner = value.owner
    if isinstance(owner, ir.Block) or owner.name != "linalg.generic" or len(owner.results) != 1:
        return None
    *inputs, output = [attribute.value for attribute in ir.ArrayAttr(owner.attributes["indexing_maps"])]
    parallel = all("parallel" in str(kind) for kind in ir.ArrayAttr(owner.attributes["iterator_types"]))
    if not parallel or output != ir.AffineMap.get_identity(output.n_dims):
        return None
    picked = (result for map_ in inputs for result in map_.results)
    if not all(isinstance(result, (ir.AffineDimExpr, ir.AffineConstantExpr)) for result in picked):
        return None
    block = owner.regions[0].blocks[0]
    return None if list(block.arguments[len(block.arguments) - 1].uses) else owner


def _computed(scalars: Scalars, value: ir.Value, position: Sequence[ir.Value], cheap: bool) -> ir.Value:
    producer = _elementwise(value) if cheap else None
    if producer is None:
        return scalars.op("tensor.extract", [value, *position], ir.RankedTensorType(value.type).element_type)
    block = producer.regions[0].blocks[0]
    known: dict[ir.Value, ir.Value] = {}
    maps = [attribute.value for attribute in ir.ArrayAttr(producer.attributes["indexing_maps"])]
    for argument, operand, map_ in zip(list(block.arguments)[:-1], producer.operands, maps, strict=False):
        at = [position[result.position] if isinstance(result, ir.AffineDimExpr) else scalars.index_constant(result.value)
              for result in map_.results]
        known[argument] = _computed(scalars, operand, at, cheap)
    *ops, end = [view.operation for view in block.operations]
    for op in ops:
        copy = op.clone()
        for number, operand in enumerate(op.operands):
            copy.operands[number] = known.get(operand, operand)
        known[op.result] = copy.operation.result
    returned = end.operands[0]
    return known.get(returned, returned)
