"""exp, exp2, expm1.

Method (Cephes, SLEEF): x = n ln 2 + r with |r| <= ln 2 / 2, two-part ln 2 (Cody-Waite), a minimax
polynomial for e**r fitted with Remez's exchange, then an exact scaling by 2**n.
"""

from __future__ import annotations

import math

from phalanx.compiler.mathlib.emitter import Emitter, Pair, Value

LOG2_E = 1.4426950408889634
# The high parts end in zeros, so that n * high is exact for every n that occurs.
LN2_SPLIT_32 = (0.693359375, -2.12194440e-4)
LN2_SPLIT_64 = (6.93147180369123816490e-01, 1.90821492927058770002e-10)

# Below the first the result is 0, above the second inf.
_RANGE_32 = (-105.0, 88.72283172607422)
_RANGE_64 = (-746.0, 709.782712893384)

# (e**r - 1 - r) / r**2; relative error of e**r: 2**-28 and 2**-58.
EXP_32 = (0.49999994, 0.16666515, 0.041668456, 0.008369419, 0.001381314)
# The same with the error measured against e**r - 1: 2**-32.
EXPM1_32 = (0.5, 0.16666666, 0.041666348, 0.0083333915, 0.0013941652, 0.00019845954)
# (2**r - 1) / r: 2**-29.
EXP2_32 = (0.6931472, 0.24022648, 0.05550332, 0.00961844, 0.0013399133, 0.00015353163)
EXP_64 = (
    0.5000000000000012,
    0.16666666666666385,
    0.04166666666651916,
    0.008333333333507682,
    0.001388888894691881,
    0.00019841269486111423,
    2.4801489353237692e-05,
    2.755759723324471e-06,
    2.763168706502419e-07,
    2.499897798419454e-08,
)
EXPM1_64 = (
    0.5,
    0.16666666666666677,
    0.04166666666666649,
    0.008333333333320737,
    0.0013888888888968394,
    0.00019841269888685038,
    2.4801587164690457e-05,
    2.7557241367553476e-06,
    2.7557405983358707e-07,
    2.5110110384242682e-08,
    2.08753064757521e-09,
)
EXP2_64 = (
    0.6931471805599453,
    0.24022650695910133,
    0.05550410866482006,
    0.009618129107593569,
    0.0013333558146780091,
    0.00015403530457877668,
    1.5252733489475374e-05,
    1.3215434870351701e-06,
    1.0178200443728062e-07,
    7.0738586266926905e-09,
    4.434733964243899e-10,
)
# (2**r - 1) / r: 2**-34.3.
EXP2_OF_SINGLE_64 = (0.6931471807068369, 0.24022651070999326, 0.05550410360009281, 0.00961803740580433,
                     0.0013333938041777754, 0.00015467008618511157, 1.5195938319526957e-05)  # fmt: skip


def exp(emitter: Emitter, x: Value) -> Value:
    """e**x over the whole range, denormal results included.

    Half of the exponent is added to the bits of e**r, the other half is a factor, whose product rounds once where the result
    is a denormal; x above the largest argument with a finite result, and NaN, go their own way.
    """
    low, largest = _RANGE_64 if emitter.is_double else _RANGE_32
    form = emitter.format
    shifted, _, reduced = _reduce_by_ln2(emitter, emitter.clamp_below(x, low))
    whole = emitter.bits(shifted)
    half = whole >> 1
    grown = emitter.from_bits(emitter.bits(_exp_reduced(emitter, reduced)) + (half << form.mantissa))
    power = emitter.from_bits(((whole - half) << form.mantissa) + form.pattern(1.0))
    return emitter.select(x <= largest, grown * power, x + math.inf)


def exp_scaled(emitter: Emitter, x: Value, shift: int) -> Value:
    """e**x * 2**shift without an intermediate overflow (shift is a small integer)."""
    low, high = (-746.0, 712.0) if emitter.is_double else (-105.0, 90.0)
    x = emitter.clamp_below(emitter.clamp_above(x, high), low)
    shifted, _, reduced = _reduce_by_ln2(emitter, x)
    exponent = emitter.bits(shifted) - (emitter.format.pattern(emitter.format.magic) - shift)
    return emitter.scale(_exp_reduced(emitter, reduced), exponent)


def exp_of_double_parts(emitter: Emitter, x: Value) -> Pair:
    """The factors of e**2x in f32 for 0 <= x <= 20, e**r and a power of two, to be part of a sum with 1: ln 2 is one part."""
    form = emitter.format
    shifted = emitter.fma(x, 2.0 * LOG2_E, emitter.constant(form.magic))
    reduced = emitter.fma(shifted - form.magic, -math.log(2.0), x + x)
    power = emitter.from_bits((emitter.bits(shifted) << form.mantissa) + form.pattern(1.0))
    return _exp_reduced(emitter, reduced), power


def _reduce_by_ln2(emitter: Emitter, x: Value) -> tuple[Value, Value, Value]:
    """x = n ln 2 + r: (a number whose bits end in n, n, r). Shifted up to the exponent, only n is left of those bits."""
    shifted = emitter.fma(x, LOG2_E, emitter.constant(emitter.format.magic))
    number = shifted - emitter.format.magic
    high, low = LN2_SPLIT_64 if emitter.is_double else LN2_SPLIT_32
    reduced = emitter.fma(number, -high, x)
    return shifted, number, emitter.fma(number, -low, reduced)


def expm1_of_sum(emitter: Emitter, a: Value, b: Value) -> Value:
    """e**(a + b) - 1 in f32 for a + b <= 0, b the smaller part, which is added last: where no power of two is taken off, a is
    rounded nowhere. From -1 down a part of ln 2 is dropped that the result does not have.
    """
    form = emitter.format
    shifted = emitter.fma(a + b, LOG2_E, emitter.constant(form.magic))
    first = emitter.fma(shifted - form.magic, -math.log(2.0), a)
    r = first + b
    tail = emitter.fma(emitter.split_polynomial(r, EXPM1_32), r * r, b)
    power = emitter.from_bits((emitter.bits(shifted) << form.mantissa) + form.pattern(1.0))
    return emitter.fma(power, first + tail, power - 1.0)


def _reduce_by_ln2_exactly(emitter: Emitter, x: Value) -> tuple[Value, Value, Value]:
    """x = n ln 2 + r + lost: what r rounded off."""
    number, exponent = emitter.round_to_integer(x * LOG2_E)
    high, low = LN2_SPLIT_64 if emitter.is_double else LN2_SPLIT_32
    first = emitter.fma(number, -high, x)
    r = emitter.fma(number, -low, first)
    return exponent, r, emitter.fma(number, -low, first - r)


def _exp_reduced(emitter: Emitter, r: Value) -> Value:
    if emitter.has_fma and not emitter.is_double:
        return emitter.polynomial(r, (1.0, 1.0, *EXP_32))
    tail = emitter.split_polynomial(r, EXP_64 if emitter.is_double else EXP_32)
    return emitter.fma(tail, r * r, r) + 1.0


def exp2(emitter: Emitter, x: Value) -> Value:
    """2**x; exact for whole x."""
    low, high = (-1076.0, 1025.0) if emitter.is_double else (-151.0, 129.0)
    x = emitter.clamp_below(emitter.clamp_above(x, high), low)
    number, exponent = emitter.round_to_integer(x)
    r = x - number
    tail = emitter.split_polynomial(r, EXP2_64 if emitter.is_double else EXP2_32)
    return emitter.scale(emitter.fma(tail, r, 1.0), exponent)


def exp2_of_single(emitter: Emitter, x: Value) -> Value:
    """2**x in f64 for |x| <= 200 and a result that is rounded to f32."""
    shifted = x + emitter.format.magic
    r = x - (shifted - emitter.format.magic)
    grown = emitter.fma(emitter.split_polynomial(r, EXP2_OF_SINGLE_64), r, 1.0)
    return emitter.from_bits(emitter.bits(grown) + (emitter.bits(shifted) << emitter.format.mantissa))


def expm1(emitter: Emitter, x: Value) -> Value:
    """e**x - 1 without cancellation near zero."""
    tiny = 2.0**-55 if emitter.is_double else 2.0**-26
    head, tail = half_expm1_parts(emitter, x)
    return emitter.select(emitter.absolute(x) < tiny, x, (head + tail) * 2.0)


def half_expm1_parts(emitter: Emitter, x: Value) -> Pair:
    """(e**x - 1) / 2 as an unevaluated sum of a large and a small part.

    2**n e**r - 1 = 2 (h r + h - 1/2 + h tail) with h = 2**(n-1): halved, n = 1024 does not overflow, and near
    n = +-1, where r and 1 - 2**-n cancel, they are added first.
    """
    low, high = (-40.0, 710.0) if emitter.is_double else (-20.0, 89.0)
    bounded = emitter.clamp_below(emitter.clamp_above(x, high), low)
    exponent, r, lost = _reduce_by_ln2_exactly(emitter, bounded)
    series = emitter.split_polynomial(r, EXPM1_64 if emitter.is_double else EXPM1_32)
    tail = emitter.fma(series, r * r, lost)
    half = emitter.power_of_two(exponent - 1)
    return emitter.fma(half, r, half - 0.5), half * tail
