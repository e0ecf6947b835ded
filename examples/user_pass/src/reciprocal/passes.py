"""reciprocal-divide: x / c becomes x * (1 / c) for a constant power of two, where that is exact.

    %c = "px.constant"() {value = dense<4.0> : tensor<f32>} : () -> tensor<f32>
    %0 = "px.divide"(%x, %c) ...     becomes     %0 = "px.multiply"(%x, %d) ...     with %d = 0.25
"""

from __future__ import annotations

import math

import numpy as np
from mlir import ir

from phalanx.compiler.pipeline.registry import pass_


@pass_("reciprocal-divide", "divide by a constant power of two as a multiplication")
def reciprocal_divide(module: ir.Module, *, any_constant: bool = False) -> None:
    """`any-constant=true` takes constants whose reciprocal is not exact, too."""
    found: list[tuple[ir.Operation, float]] = []

    def visit(operation: ir.Operation) -> ir.WalkResult:
        if operation.name == "px.divide":
            divisor = splat(operation.operands[1])
            if divisor and math.isfinite(divisor) and (any_constant or abs(math.frexp(divisor)[0]) == 0.5):
                found.append((operation, 1.0 / divisor))
        return ir.WalkResult.ADVANCE

    module.operation.walk(visit)
    for operation, factor in found:  # not while walking
        replace(operation, factor)


def splat(value: ir.Value) -> float | None:
    """The number of a floating-point constant all of whose elements are equal."""
    owner = value.owner
    if isinstance(owner, ir.Block) or owner.name != "px.constant":
        return None
    dense = ir.DenseElementsAttr(owner.attributes["value"])
    if not dense.is_splat or not isinstance(dense.type.element_type, ir.F32Type | ir.F64Type):
        return None
    return float(np.array(dense).flat[0])


def replace(operation: ir.Operation, factor: float) -> None:
    """Put a multiplication in the place of a division, at the division's line."""
    old = operation.operands[1]
    dense = ir.DenseElementsAttr(old.owner.attributes["value"])
    with operation.location, ir.InsertionPoint(operation):
        value = ir.DenseElementsAttr.get_splat(dense.type, ir.FloatAttr.get(dense.type.element_type, factor))
        made = ir.Operation.create("px.constant", [old.type], attributes={"value": value})
        product = ir.Operation.create("px.multiply", [r.type for r in operation.results],
                                      [operation.operands[0], made.results[0]])
    operation.results[0].replace_all_uses_with(product.results[0])
    operation.erase()
