"""px-expand-bfloat16: f32 <-> bf16 becomes integer arithmetic, exact and vectorisable.

    %1 = arith.truncf %0 : f32 to bf16

LLVM calls a helper function per element where the processor has no instruction, and AVX512-BF16's instruction
flushes denormals. The upstream pass `arith-expand{include-bf16}` also rewrites `maximumf`, which then no longer
vectorises as a reduction; this one leaves everything else alone. f64 -> bf16 stays (`compiler/targets/half.py`).
"""

from __future__ import annotations

from typing import Any

from mlir import ir
from mlir.dialects import arith

from phalanx.compiler.pipeline.registry import pass_


@pass_("px-expand-bfloat16", "replace f32 <-> bf16 conversions by integer arithmetic")
def expand_bfloat16(module: ir.Module) -> None:
    """Rewrites scalar and vector conversions alike."""
    found: list[tuple[Any, Any]] = []

    def visit(operation: Any) -> ir.WalkResult:
        name = operation.name
        if name in ("arith.truncf", "arith.extf"):
            source, result = _element(operation.operands[0].type), _element(operation.results[0].type)
            if name == "arith.truncf" and (source, result) == ("f32", "bf16"):
                found.append((operation, _narrow))
            elif name == "arith.extf" and (source, result) == ("bf16", "f32"):
                found.append((operation, _widen))
        return ir.WalkResult.ADVANCE

    module.operation.walk(visit)
    for operation, expand in found:
        with ir.InsertionPoint(operation), operation.location:
            operation.results[0].replace_all_uses_with(expand(operation.operands[0]))
        operation.erase()


def _element(type_: ir.Type) -> str:
    return str(ir.VectorType(type_).element_type if isinstance(type_, ir.VectorType) else type_)


def _like(shaped: ir.Type, element: ir.Type) -> ir.Type:
    """`element`, or a vector of it with the shape of `shaped`."""
    if not isinstance(shaped, ir.VectorType):
        return element
    vector = ir.VectorType(shaped)
    return ir.VectorType.get(vector.shape, element, scalable=vector.scalable_dims if vector.scalable else None)


def _constant(type_: ir.Type, number: int) -> Any:
    if isinstance(type_, ir.VectorType):
        value = ir.IntegerAttr.get(ir.VectorType(type_).element_type, number)
        return arith.constant(type_, ir.DenseElementsAttr.get_splat(type_, value))
    return arith.constant(type_, number)


def _narrow(x: Any) -> Any:
    """Round to nearest, ties to even; a NaN keeps its sign and upper payload and becomes quiet."""
    word = _like(x.type, ir.IntegerType.get_signless(32))
    short = _like(x.type, ir.IntegerType.get_signless(16))
    bits = arith.bitcast(word, x)
    sixteen = _constant(word, 16)
    high = arith.shrui(bits, sixteen)
    parity = arith.andi(high, _constant(word, 1))
    bias = arith.addi(parity, _constant(word, 0x7FFF))
    rounded = arith.shrui(arith.addi(bits, bias), sixteen)
    quiet = arith.ori(high, _constant(word, 0x40))
    is_nan = arith.cmpf(arith.CmpFPredicate.UNO, x, x)
    chosen = arith.select(is_nan, quiet, rounded)
    return arith.bitcast(_like(x.type, ir.BF16Type.get()), arith.trunci(short, chosen))


def _widen(x: Any) -> Any:
    word = _like(x.type, ir.IntegerType.get_signless(32))
    short = _like(x.type, ir.IntegerType.get_signless(16))
    bits = arith.shli(arith.extui(word, arith.bitcast(short, x)), _constant(word, 16))
    return arith.bitcast(_like(x.type, ir.F32Type.get()), bits)
