"""tanh, sinh, cosh and their inverses, after FDLIBM.

Only tanh has an f32 form of its own; the others compute f32 in f64 (`double.through_double`).
"""

from __future__ import annotations

import math

from phalanx.compiler.mathlib.double import through_double
from phalanx.compiler.mathlib.emitter import Emitter, Value
from phalanx.compiler.mathlib.exponential import exp_of_double_parts, exp_scaled, expm1, half_expm1_parts
from phalanx.compiler.mathlib.logarithm import log1p

# (tanh x - x) / x**3 in x**2 for |x| < 0.625: 2**-28.
TANH_32 = (-0.3333328, 0.1333142, -0.053737797, 0.020632545, -0.0056973817)
# Above this, squares would overflow and 1 + x is x.
_LARGE = 2.0**500


def tanh(emitter: Emitter, x: Value) -> Value:
    """Hyperbolic tangent; the sign is copied, so -0.0 stays."""
    magnitude = emitter.absolute(x)
    if emitter.is_double:
        return emitter.copysign(_tanh_64(emitter, magnitude), x)
    square = magnitude * magnitude
    small = emitter.fma(emitter.polynomial(square, TANH_32) * square, magnitude, magnitude)
    grown, power = exp_of_double_parts(emitter, emitter.clamp_above(magnitude, 10.0))
    large = emitter.constant(1.0) - emitter.constant(2.0) / emitter.fma(grown, power, 1.0)
    return emitter.copysign(emitter.select(magnitude < 0.625, small, large), x)


def _tanh_64(emitter: Emitter, magnitude: Value) -> Value:
    """t / (t + 1) with t = (e**(2|x|) - 1) / 2 in two parts, and 1 - 1 / (t + 1) beyond 1."""
    t, t_low = emitter.quick_two_sum(*half_expm1_parts(emitter, emitter.clamp_above(magnitude, 30.0) * 2.0))
    large = magnitude > 1.0
    below, below_low = emitter.two_sum(t, emitter.constant(1.0))
    inverse = emitter.constant(1.0) / below
    quotient = t * inverse
    product, product_error = emitter.two_product(quotient, below)
    remainder = (t - product) - product_error
    correction = emitter.fma(-quotient, below_low + t_low, remainder + t_low)
    small = emitter.fma(correction, inverse, quotient)
    # Below this, t is a denormal or has no second part; x is the result.
    small = emitter.select(magnitude < 2.0**-28, magnitude, small)
    return emitter.select(large, emitter.constant(1.0) - inverse, small)


@through_double
def sinh(emitter: Emitter, x: Value) -> Value:
    """Hyperbolic sine; overflows only where the result does."""
    magnitude = emitter.absolute(x)
    t = expm1(emitter, magnitude)
    small = (t + t / (t + 1.0)) * 0.5
    large = exp_scaled(emitter, magnitude, -1)
    return emitter.copysign(emitter.select(magnitude < 22.0, small, large), x)


@through_double
def cosh(emitter: Emitter, x: Value) -> Value:
    """Hyperbolic cosine; overflows only where the result does."""
    half = exp_scaled(emitter, emitter.absolute(x), -1)
    return half + emitter.constant(0.25) / half


@through_double
def asinh(emitter: Emitter, x: Value) -> Value:
    """Inverse hyperbolic sine: log1p(|x| + x**2 / (1 + sqrt(x**2 + 1)))."""
    magnitude = emitter.absolute(x)
    square = magnitude * magnitude
    argument = magnitude + square / (emitter.sqrt(square + 1.0) + 1.0)
    return emitter.copysign(_log1p_or_log_of_double(emitter, magnitude, argument), x)


@through_double
def acosh(emitter: Emitter, x: Value) -> Value:
    """Inverse hyperbolic cosine; NaN below 1."""
    t = x - 1.0
    argument = t + emitter.sqrt(emitter.fma(t, t, t * 2.0))
    result = _log1p_or_log_of_double(emitter, x, argument)
    return emitter.select(x < 1.0, math.nan, result)


def _log1p_or_log_of_double(emitter: Emitter, x: Value, argument: Value) -> Value:
    """log1p(argument), but log(2 x) where x is so large that the argument may be inf."""
    large = x > _LARGE
    result = log1p(emitter, emitter.select(large, x, argument))
    return result + emitter.select(large, emitter.constant(math.log(2.0)), emitter.constant(0.0))


@through_double
def atanh(emitter: Emitter, x: Value) -> Value:
    """Inverse hyperbolic tangent; +-inf at +-1, NaN beyond."""
    magnitude = emitter.absolute(x)
    doubled = magnitude * 2.0
    # 2a / (1 - a) = 2a + 2a a / (1 - a): the second form rounds only a small term below 1/2.
    quotient = doubled / (emitter.constant(1.0) - magnitude)
    corrected = emitter.fma(doubled * magnitude, emitter.constant(1.0) / (emitter.constant(1.0) - magnitude), doubled)
    argument = emitter.select(magnitude < 0.5, corrected, quotient)
    return emitter.copysign(log1p(emitter, argument) * 0.5, x)
