"""log, log2, log10, log1p.

Method (FDLIBM, Cephes): x = 2**e m with sqrt(1/2) <= m < sqrt(2), f = m - 1; f32 evaluates a minimax
polynomial in f (no division), f64 FDLIBM's series in s = f / (2 + f) with coefficients of our own fit.
"""

from __future__ import annotations

import math

from phalanx.compiler.mathlib.emitter import Emitter, Value
from phalanx.compiler.mathlib.exponential import LN2_SPLIT_32, LN2_SPLIT_64

_SQRT_HALF = math.sqrt(0.5)
_LOG2_E = (1.44269502162933349609375, 1.92596299112661746e-8)
_LOG10_E = (0.434294492006301879882812, -1.0103050052231683e-08)
_LOG10_2_32 = (0.301025390625, 4.6050389811952137e-06)

# (log(1 + f) - f + f**2/2) / f**3, relative error of the logarithm 2**-30.
LOG_32 = (0.33333313, -0.2500001, 0.20002119, -0.16667996, 0.14219552, -0.12405584, 0.11888163, -0.11675686, 0.0674668)
# (log2(1 + f) - f log2(e)) / f**2: 2**-28.
LOG2_32 = (
    -0.72134733,
    0.48089823,
    -0.36069658,
    0.28856748,
    -0.23961839,
    0.20460047,
    -0.19105604,
    0.18617184,
    -0.10995901,
)
# (2 atanh(s) - 2 s) / s**3 in s**2.
LOG_64 = (
    0.6666666666666735,
    0.39999999999411084,
    0.28571428743265237,
    0.22222198475669946,
    0.18183569758513565,
    0.1531390271803442,
    0.14797513443113658,
)


def log(emitter: Emitter, x: Value) -> Value:
    """Natural logarithm; log(0) = -inf, NaN below zero."""
    exponent, mantissa = split_exponent(emitter, x)
    return _special(emitter, x, _log_from_parts(emitter, exponent, mantissa - 1.0))


def split_exponent(emitter: Emitter, x: Value) -> tuple[Value, Value]:
    """x = 2**e m with m in [sqrt(1/2), sqrt(2)): (e as a float, m) for positive finite x, denormals too."""
    form = emitter.format
    denormal = x < 2.0 ** (2 - form.bias)
    lift = form.mantissa + 1
    pattern = emitter.bits(emitter.select(denormal, x * 2.0**lift, x))
    offset = form.pattern(1.0) - form.pattern(_SQRT_HALF)
    shifted = pattern + offset
    correction = emitter.select(denormal, emitter.integer(form.bias + lift), emitter.integer(form.bias))
    exponent = (shifted >> form.mantissa) - correction
    mantissa = emitter.from_bits((shifted & form.mantissa_mask) + form.pattern(_SQRT_HALF))
    return emitter.small_integer_to_float(exponent), mantissa


def _log_from_parts(emitter: Emitter, exponent: Value, f: Value) -> Value:
    """exponent * ln 2 + log(1 + f)."""
    square = f * f
    if emitter.is_double:
        high, low = LN2_SPLIT_64
        half_square, tail = _log_tail_64(emitter, f)
        return exponent * high - ((half_square - emitter.fma(exponent, low, tail)) - f)
    high, low = LN2_SPLIT_32
    tail = emitter.split_polynomial(f, LOG_32) * (square * f)
    tail = emitter.fma(exponent, low, tail)
    tail = emitter.fma(square, -0.5, tail)
    return emitter.fma(exponent, high, f + tail)


def _log_tail_64(emitter: Emitter, f: Value) -> tuple[Value, Value]:
    """(h, t) with log(1 + f) = f - h + t and h = f**2 / 2."""
    s = f / (f + 2.0)
    z = s * s
    half_square = f * f * 0.5
    series = emitter.split_polynomial(z, LOG_64) * z
    return half_square, s * (half_square + series)


def _special(emitter: Emitter, x: Value, result: Value) -> Value:
    result = emitter.select(x < math.inf, result, x)
    not_positive = emitter.select(x.equals(0.0), emitter.constant(-math.inf), emitter.constant(math.nan))
    return emitter.select(x > 0.0, result, not_positive)


def log2(emitter: Emitter, x: Value) -> Value:
    """Base-2 logarithm; exact for powers of two."""
    exponent, mantissa = split_exponent(emitter, x)
    f = mantissa - 1.0
    if emitter.is_double:
        high, low = _scaled_log_64(emitter, f, 1.44269504072144627571e00, 1.67517131648865118353e-10)
        total = exponent + high
        return _special(emitter, x, total + (low + ((exponent - total) + high)))
    tail = emitter.split_polynomial(f, LOG2_32) * (f * f)
    tail = emitter.fma(f, _LOG2_E[1], tail)
    return _special(emitter, x, emitter.fma(f, _LOG2_E[0], tail) + exponent)


def log10(emitter: Emitter, x: Value) -> Value:
    """Base-10 logarithm."""
    exponent, mantissa = split_exponent(emitter, x)
    f = mantissa - 1.0
    if emitter.is_double:
        high, low = _scaled_log_64(emitter, f, 4.34294481878168880939e-01, 2.50829467116452752298e-11)
        # FDLIBM's log10(2) in two parts; the first times any exponent is exact.
        whole = exponent * 3.01029995663611771306e-01
        low = emitter.fma(exponent, 3.69423907715893078616e-13, low)
        total = whole + high
        return _special(emitter, x, total + (low + ((whole - total) + high)))
    log10_of_2 = math.log10(2.0)
    tail = emitter.split_polynomial(f, tuple(c * log10_of_2 for c in LOG2_32)) * (f * f)
    tail = emitter.fma(exponent, _LOG10_2_32[1], emitter.fma(f, _LOG10_E[1], tail))
    tail = emitter.fma(f, _LOG10_E[0], tail)
    return _special(emitter, x, emitter.fma(exponent, _LOG10_2_32[0], tail))


def _scaled_log_64(emitter: Emitter, f: Value, scale_high: float, scale_low: float) -> tuple[Value, Value]:
    """log(1 + f) * scale as high + low (FDLIBM's e_log2): the high factor has 32 bits, products are exact."""
    half_square, tail = _log_tail_64(emitter, f)
    difference = f - half_square
    high = emitter.from_bits(emitter.bits(difference) & 0xFFFFFFFF00000000)
    low = ((f - high) - half_square) + tail
    low_scaled = emitter.fma(low + high, scale_low, low * scale_high)
    return high * scale_high, low_scaled


def log1p(emitter: Emitter, x: Value) -> Value:
    """log(1 + x) without losing small x.

    1 + x = 2**e m; then f = 2**-e x + (2**-e - 1) rounds once (SLEEF), whatever 1 + x lost.
    """
    total = x + 1.0
    exponent, mantissa = split_exponent(emitter, total)
    large, tiny = (2.0**60, 2.0**-54) if emitter.is_double else (2.0**30, 2.0**-25)
    bounded = emitter.clamp_below(emitter.clamp_above(exponent, 64.0), -64.0)
    _, whole = emitter.round_to_integer(bounded)
    factor = emitter.power_of_two(emitter.integer(0) - whole)
    f = emitter.select(x > large, mantissa - 1.0, emitter.fma(x, factor, factor - 1.0))
    result = _special(emitter, total, _log_from_parts(emitter, exponent, f))
    return emitter.select(emitter.absolute(x) < tiny, x, result)
