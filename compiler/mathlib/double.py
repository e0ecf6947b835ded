"""Double-precision help: f32 functions computed in f64, and double-double arithmetic."""

from __future__ import annotations

import functools
from collections.abc import Callable

from phalanx.compiler.mathlib.emitter import Emitter, Pair, Value

ScalarFunction = Callable[..., Value]


def through_double(function: ScalarFunction) -> ScalarFunction:
    """An f64 algorithm that serves f32 too: extend, compute, round once (error below 0.51 ulp)."""

    @functools.wraps(function)
    def either(emitter: Emitter, *operands: Value) -> Value:
        if emitter.is_double:
            return function(emitter, *operands)
        double = emitter.as_double()
        return emitter.truncate(function(double, *(double.extend(operand) for operand in operands)))

    return either


def add_pairs(emitter: Emitter, a: Pair, b: Pair) -> Pair:
    """(a + b) of unevaluated sums, error about 2**-104 of the larger."""
    total, error = emitter.two_sum(a[0], b[0])
    return emitter.quick_two_sum(total, error + (a[1] + b[1]))


def multiply_pairs(emitter: Emitter, a: Pair, b: Pair) -> Pair:
    """(a * b) of unevaluated sums."""
    product, error = emitter.two_product(a[0], b[0])
    error = emitter.fma(a[0], b[1], emitter.fma(a[1], b[0], error))
    return emitter.quick_two_sum(product, error)


def constant_pair(emitter: Emitter, high: float, low: float) -> Pair:
    """A constant of twice the precision."""
    return emitter.constant(high), emitter.constant(low)
