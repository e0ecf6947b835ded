"""pow, cbrt, rsqrt.

pow follows the usual plan (FDLIBM, SLEEF): log2 |x| in double-double (f32: in f64), times y, then 2**(n + r).
"""

from __future__ import annotations

import math

from phalanx.compiler.mathlib.double import add_pairs, constant_pair, multiply_pairs, through_double
from phalanx.compiler.mathlib.emitter import Emitter, Pair, Value
from phalanx.compiler.mathlib.exponential import EXP2_64, exp2_of_single
from phalanx.compiler.mathlib.logarithm import split_exponent

_LOG2_E = (1.4426950408889634, 2.0355273740931033e-17)
_TWO_THIRDS = (0.6666666666666666, 3.700743415417188e-17)
# (2 atanh(s) - 2 s - 2 s**3 / 3) / s**5 in s**2: 2**-66 of the logarithm.
LOG_TAIL_64 = (0.40000000000002256, 0.2857142857009987, 0.2222222251986155, 0.18181784373204396,
               0.15386757021120812, 0.13256825599797062, 0.1319625050135162)  # fmt: skip
_TWICE_LOG2_E = 2.8853900817779268
# (2 atanh(s) - 2 s) log2(e) / s**3 in s**2: 2**-44.9 of the logarithm.
LOG2_OF_SINGLE_64 = (0.9617966940584113, 0.5770779529442095, 0.4122084305823465, 0.3199334828076553, 0.2825594377100245)
# t**(-1/3) on [0.35, 2.83]: 2**-9.6, the start of two steps of third order.
INVERSE_CBRT = (2.1251803811447187, -3.0535348442986985, 3.7929061908420723, -2.819366122381411,
                1.1995666800926572, -0.26907144612926465, 0.024621277330374378)  # fmt: skip


def power(emitter: Emitter, x: Value, y: Value) -> Value:
    """x**y with C99's special cases (which NumPy has too)."""
    magnitude = emitter.absolute(x)
    # Beyond 2**65 the result is 0, 1 or inf whatever y is; bounded, nothing becomes NaN on the way.
    bounded = emitter.clamp_below(emitter.clamp_above(y, 2.0**65), -(2.0**65))
    if emitter.is_double:
        result = _two_to_the(emitter, _times(emitter, _log2_pair(emitter, magnitude), bounded))
    else:
        double = emitter.as_double()
        exponent = double.extend(bounded) * _log2_of_single(double, double.extend(magnitude))
        result = emitter.truncate(exp2_of_single(double, double.clamp_below(double.clamp_above(exponent, 200.0), -200.0)))
    return _with_special_cases(emitter, x, y, result)


def _with_special_cases(emitter: Emitter, x: Value, y: Value, result: Value) -> Value:
    """The result for ordinary |x| and y, made right for all others and for the sign of x."""
    magnitude = emitter.absolute(x)
    one, infinity = emitter.constant(1.0), emitter.constant(math.inf)
    zero, infinite = magnitude.equals(0.0), magnitude.equals(math.inf)
    grows = (y < 0.0) ^ infinite
    result = emitter.select(zero | infinite, emitter.select(grows, infinity, 0.0), result)
    whole = emitter.round_even(y).equals(y)
    half = y * 0.5
    odd = whole & ~emitter.round_even(half).equals(half)
    sign_mask = emitter.format.sign_mask
    negative = (emitter.bits(x) & sign_mask).equals(sign_mask)
    result = emitter.select(negative & odd, -result, result)
    result = emitter.select((x < 0.0) & ~whole & (magnitude < math.inf), math.nan, result)
    result = emitter.select(x.is_nan() | y.is_nan(), math.nan, result)
    return emitter.select(x.equals(1.0) | y.equals(0.0), one, result)


def _log2_of_single(emitter: Emitter, x: Value) -> Value:
    """log2 of an f32 held in f64, relative error 2**-42: denormals of f32 are normal here."""
    form = emitter.format
    root = form.pattern(math.sqrt(0.5))
    shifted = emitter.bits(x) + (form.pattern(1.0) - root)
    # The exponent joins the bits of the magic number, whose subtraction makes it a float without its bias.
    exponent = emitter.from_bits((shifted >> form.mantissa) + form.pattern(form.magic)) - (form.magic + form.bias)
    mantissa = emitter.from_bits((shifted & form.mantissa_mask) + root)
    s = (mantissa - 1.0) / (mantissa + 1.0)
    square = s * s
    tail = emitter.fma(emitter.polynomial(square, LOG2_OF_SINGLE_64), square, _TWICE_LOG2_E)
    return emitter.fma(tail, s, exponent)


def _log2_pair(emitter: Emitter, magnitude: Value) -> Pair:
    """log2 of a positive number as a double-double, relative error about 2**-66."""
    exponent, mantissa = split_exponent(emitter, magnitude)
    f = mantissa - 1.0
    denominator, denominator_low = emitter.two_sum(mantissa, emitter.constant(1.0))
    s = f / denominator
    product, error = emitter.two_product(s, denominator)
    remainder = ((f - product) - error) - s * denominator_low
    ratio: Pair = (s, remainder / denominator)
    square = multiply_pairs(emitter, ratio, ratio)
    tail = emitter.split_polynomial(square[0], LOG_TAIL_64) * square[0]
    series = emitter.quick_two_sum(emitter.constant(_TWO_THIRDS[0]), tail)
    series = (series[0], series[1] + _TWO_THIRDS[1])
    cube = multiply_pairs(emitter, multiply_pairs(emitter, square, ratio), series)
    logarithm = add_pairs(emitter, (ratio[0] * 2.0, ratio[1] * 2.0), cube)
    scaled = multiply_pairs(emitter, logarithm, constant_pair(emitter, *_LOG2_E))
    return add_pairs(emitter, (exponent, emitter.constant(0.0)), scaled)


def _times(emitter: Emitter, pair: Pair, factor: Value) -> Pair:
    product, error = emitter.two_product(pair[0], factor)
    return emitter.quick_two_sum(product, emitter.fma(pair[1], factor, error))


def _two_to_the(emitter: Emitter, power_pair: Pair) -> Value:
    bounded = emitter.clamp_below(emitter.clamp_above(power_pair[0], 1100.0), -1100.0)
    number, exponent = emitter.round_to_integer(bounded)
    # A bounded exponent has lost its low part's meaning; the result is 0 or inf there.
    r = (bounded - number) + emitter.clamp_below(emitter.clamp_above(power_pair[1], 1.0), -1.0)
    tail = emitter.split_polynomial(r, EXP2_64)
    return emitter.scale(emitter.fma(tail, r, 1.0), exponent)


@through_double
def cbrt(emitter: Emitter, x: Value) -> Value:
    """Cube root by Newton's method on t**(-1/3), without division."""
    magnitude = emitter.absolute(x)
    exponent, mantissa = split_exponent(emitter, magnitude)
    third, whole_third = emitter.round_to_integer(exponent * (1.0 / 3.0))
    _, rest = emitter.round_to_integer(exponent - third * 3.0)
    t = mantissa * emitter.power_of_two(rest)
    root = emitter.polynomial(t, INVERSE_CBRT)
    for _ in range(2):
        h = emitter.constant(1.0) - t * root * (root * root)
        root = emitter.fma(root * h, emitter.fma(h, 2.0 / 9.0, 1.0 / 3.0), root)
    result = t * root * root
    # One corrected step: residual y**3 - t with y**2 in two parts.
    square, square_low = emitter.two_product(result, result)
    cube, cube_low = emitter.two_product(square, result)
    residual = (cube - t) + emitter.fma(square_low, result, cube_low)
    result = emitter.fma(residual * (root * root), -1.0 / 3.0, result)
    result = result * emitter.power_of_two(whole_third)
    ordinary = (magnitude > 0.0) & (magnitude < math.inf)
    return emitter.select(ordinary, emitter.copysign(result, x), x)


def rsqrt(emitter: Emitter, x: Value) -> Value:
    """1 / sqrt(x)."""
    return emitter.constant(1.0) / emitter.sqrt(x)
