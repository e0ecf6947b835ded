"""How often a loop runs, where the IR tells: loop bounds as constants or named sizes."""

from __future__ import annotations

from typing import Any

from mlir import ir

from phalanx.compiler.trace import control
from phalanx.compiler.trace.tracing import Trace
from phalanx.dialects.dims import Dim, Size
from phalanx.dialects.opdef import lookup
from phalanx.dialects.registration import attributes_of


def constant_index(value: ir.Value) -> int | None:
    """The number an index constant holds; None for any other value."""
    owner = value.owner
    if isinstance(owner, ir.Block) or owner.operation.name != "arith.constant":
        return None
    return int(ir.IntegerAttr(owner.operation.attributes["value"]).value)


def difference(trace: Trace, left: ir.Value, right: ir.Value) -> ir.Value:
    """`left - right` of two indices, folded where both are known, so that trip counts stay known."""
    a, b = constant_index(left), constant_index(right)
    if a is not None and b is not None:
        return control.index_of(trace, a - b, "grad")
    if b == 0:
        return left
    return trace.operation("arith.subi", [ir.IndexType.get()], [left, right]).result


def trip_count(operation: ir.Operation, trace: Trace) -> Size | None:
    """How often a counted loop runs, when its bounds are constants or a named size; else None."""
    lower, upper = (_size_of(o) for o in list(operation.operands)[:2])
    if lower is None or upper is None:
        return None
    if isinstance(lower, int) and isinstance(upper, int):
        return max(upper - lower, 0)
    return upper if isinstance(lower, int) and lower == 0 else None


def _size_of(value: ir.Value) -> Size | None:
    """A bound as a size: an index constant, or an index read from `px.dim_size`."""
    constant = constant_index(value)
    if constant is not None:
        return constant
    while not isinstance(value.owner, ir.Block):
        owner = value.owner.operation
        if owner.name in ("arith.index_cast", "tensor.extract", "px.convert"):
            value = owner.operands[0]
        elif owner.name == "px.dim_size":
            size: Any = attributes_of(lookup("dim_size"), owner)["size"]
            return size if isinstance(size, (int, Dim)) else None
        else:
            return None
    return None
