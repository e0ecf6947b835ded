"""px-expand-math: math dialect ops on floats become branch-free arith code.

    func.func @f(%x: f32) -> f32 { %0 = math.exp %x : f32 ... }

becomes about twenty arith ops, on scalars as on vectors, which LLVM's loop vectoriser packs; no call of
libm remains. `math.sqrt`, `floor`, `ceil`, `roundeven`, `trunc`, `absf`, `copysign` and `fma` stay: they
are instructions; where there is none for `fma`, that of f32 is expanded too. f16 and bf16 are computed in f32.
"""

from __future__ import annotations

from collections.abc import Callable

from mlir import ir
from mlir.dialects import arith

from phalanx.compiler.mathlib import (
    error_function,
    exponential,
    fused,
    hyperbolic,
    inverse_trigonometric,
    logarithm,
    power,
    trigonometric,
)
from phalanx.compiler.mathlib.emitter import Emitter, Value, element_type
from phalanx.compiler.pipeline.registry import pass_

Expansion = Callable[..., Value]

EXPANSIONS: dict[str, Expansion] = {
    "math.exp": exponential.exp,
    "math.exp2": exponential.exp2,
    "math.expm1": exponential.expm1,
    "math.log": logarithm.log,
    "math.log2": logarithm.log2,
    "math.log10": logarithm.log10,
    "math.log1p": logarithm.log1p,
    "math.tanh": hyperbolic.tanh,
    "math.sinh": hyperbolic.sinh,
    "math.cosh": hyperbolic.cosh,
    "math.asinh": hyperbolic.asinh,
    "math.acosh": hyperbolic.acosh,
    "math.atanh": hyperbolic.atanh,
    "math.erf": error_function.erf,
    "math.erfc": error_function.erfc,
    "math.sin": trigonometric.sin,
    "math.cos": trigonometric.cos,
    "math.tan": trigonometric.tan,
    "math.asin": inverse_trigonometric.asin,
    "math.acos": inverse_trigonometric.acos,
    "math.atan": inverse_trigonometric.atan,
    "math.atan2": inverse_trigonometric.atan2,
    "math.powf": power.power,
    "math.cbrt": power.cbrt,
    "math.rsqrt": power.rsqrt,
}

FUSED = "math.fma"

# Forms for arguments that `px-split-loops` found to be small.
_SMALL_FORMS: dict[str, Expansion] = {"math.sin": trigonometric.sin_small, "math.cos": trigonometric.cos_small}


@pass_("px-expand-math", "replace exp, log, sin, ... by branch-free arithmetic")
def expand_math(module: ir.Module, *, fma: bool = True) -> None:
    """Replaces every math op this package has an expansion for.

    `fma` must be false for targets without fused multiply-add, where LLVM would call libm for it.
    """
    found: list[ir.Operation] = []

    def visit(operation: ir.Operation) -> ir.WalkResult:
        known = operation.name in EXPANSIONS and _computable(operation.results[0].type)
        if known or (operation.name == FUSED and not fma and isinstance(element_type(operation.results[0].type), ir.F32Type)):
            found.append(operation)
        return ir.WalkResult.ADVANCE

    module.operation.walk(visit)
    for operation in found:
        with ir.InsertionPoint(operation), operation.location:
            small = "px.small" in operation.attributes and fma
            result = expand(operation.name, list(operation.operands), fma=fma, small=small)
        operation.results[0].replace_all_uses_with(result)
        operation.erase()


def expand(name: str, operands: list[ir.Value], *, fma: bool = True, small: bool = False) -> ir.Value:
    """Emits the code of one function at the current insertion point; `small` promises that its argument is small.

    >>> expand("math.exp", [x])
    """
    original = operands[0].type
    narrow = isinstance(element_type(original), ir.F16Type | ir.BF16Type)
    emitter = Emitter(original, fma=fma)
    if narrow:
        emitter = emitter.as_single()
        operands = [arith.ExtFOp(emitter.type, operand).result for operand in operands]
    expansion = fused.multiply_add if name == FUSED else _SMALL_FORMS[name] if small else EXPANSIONS[name]
    result = expansion(emitter, *(Value(emitter, operand) for operand in operands))
    return arith.TruncFOp(original, result.ssa).result if narrow else result.ssa


def _computable(value_type: ir.Type) -> bool:
    return isinstance(element_type(value_type), ir.F16Type | ir.BF16Type | ir.F32Type | ir.F64Type)
