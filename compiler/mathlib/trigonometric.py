"""sin, cos, tan, right for every argument of the format: Payne and Hanek's reduction without a branch.

f32 reduces in f64: x / (2 pi) modulo 1 is summed from products of x with 29-bit pieces of 1 / (2 pi).
A product of 24 and 29 bits is exact in f64, so is its fractional part, and the pieces reach far enough
for the largest float.

f64 takes 212 bits of 1 / (2 pi) from a table of 64 rows, chosen by the exponent (SLEEF's idea, coarser
rows), and keeps the fraction as an unevaluated sum of three numbers.
"""

from __future__ import annotations

import functools
import math

from phalanx.compiler.mathlib.emitter import Emitter, Value
from phalanx.compiler.mathlib.table import load_rows

_INVERSE_TWO_PI_PIECES = (
    0.15915494272485375,
    3.6704158115630214e-10,
    5.690025167992954e-19,
    1.4703036846932608e-27,
    2.5867171752090537e-36,
    9.458140877728297e-46,
    9.301187196294348e-54,
)
# Beyond these pieces a product of a finite f32 stays below 1/2, so nothing is left to drop.
_PIECES_WITH_WHOLE_TURNS = 5

# One row of the table serves this many exponents.
_ROW_STEP = 16
_ROWS = 64
_TWO_PI = (6.283185307179586, 2.4492935982947064e-16)

# (sin r - r) / r**3 and (cos r - 1 + r**2 / 2) / r**4 in r**2 on [-pi/4, pi/4]:
# 2**-28 and 2**-33, then 2**-58 and 2**-64.
SIN_32 = (-0.16666655, 0.00833216, -0.00019515198)
COS_32 = (0.041666646, -0.0013887315, 2.443306e-05)
SIN_64 = (
    -0.16666666666666632, 0.00833333333332241, -0.00019841269829805113, 2.755731369094372e-06,
    -2.5050757956824146e-08, 1.5896786143007193e-10,
)  # fmt: skip
COS_64 = (
    0.0416666666666666, -0.001388888888887412, 2.4801587289479287e-05, -2.7557314351458024e-07,
    2.08757231495857e-09, -1.1359641170967976e-11,
)  # fmt: skip

SMALL_32 = 0x47800000
"""Bit pattern of 65536.0: up to it what the first part of pi / 2 leaves of x is exact."""
_HALF_PI_32 = (1.5707963705062866, -4.371138828673793e-08, -1.7151245100058505e-15)


def sin_small(emitter: Emitter, x: Value) -> Value:
    """Sine of an f32 of magnitude up to 65536."""
    quadrant, sine, cosine = _sin_cos_small(emitter, x)
    return emitter.select(emitter.absolute(x) < 2.0**-13, x, _turned(emitter, sine, cosine, quadrant))


def cos_small(emitter: Emitter, x: Value) -> Value:
    """Cosine of an f32 of magnitude up to 65536."""
    quadrant, sine, cosine = _sin_cos_small(emitter, x)
    return _turned(emitter, sine, cosine, quadrant + 1)


def _sin_cos_small(emitter: Emitter, x: Value) -> tuple[Value, Value, Value]:
    """x = k pi/2 + r + r_low with pi/2 in three parts: r is rounded once, r_low joins what is added last."""
    number, quadrant = emitter.round_to_integer(x * (2.0 / math.pi))
    r = emitter.fma(number, -_HALF_PI_32[1], emitter.fma(number, -_HALF_PI_32[0], x))
    square = r * r
    sine_tail = emitter.fma(emitter.polynomial(square, SIN_32), square * r, number * -_HALF_PI_32[2])
    head = emitter.fma(square, -0.5, 1.0)
    cosine = emitter.fma(emitter.polynomial(square, COS_32), square * square, head)
    return quadrant, r + sine_tail, cosine


def sin(emitter: Emitter, x: Value) -> Value:
    """Sine; NaN at the infinities, -0.0 stays."""
    quadrant, sine, cosine = _sin_cos(emitter, x)
    tiny = 2.0**-27 if emitter.is_double else 2.0**-13
    return emitter.select(emitter.absolute(x) < tiny, x, _turned(emitter, sine, cosine, quadrant))


def cos(emitter: Emitter, x: Value) -> Value:
    """Cosine; NaN at the infinities."""
    quadrant, sine, cosine = _sin_cos(emitter, x)
    return _turned(emitter, sine, cosine, quadrant + 1)


def tan(emitter: Emitter, x: Value) -> Value:
    """Tangent; NaN at the infinities, -0.0 stays."""
    tiny = 2.0**-27 if emitter.is_double else 2.0**-13
    if emitter.is_double:
        quadrant, sine, cosine = _sin_cos(emitter, x)
        result = _tangent(emitter, quadrant, sine, cosine)
    else:
        double = emitter.as_double()
        turns, quadrant = _turns_of_single(double, double.extend(x))
        sine, cosine = _sin_cos_reduced(double, turns * _TWO_PI[0], None)
        result = emitter.truncate(_tangent(double, quadrant, sine, cosine))
    return emitter.select(emitter.absolute(x) < tiny, x, result)


def _tangent(emitter: Emitter, quadrant: Value, sine: Value, cosine: Value) -> Value:
    odd = (quadrant & 1).equals(1)
    return emitter.select(odd, -cosine, sine) / emitter.select(odd, sine, cosine)


def _turned(emitter: Emitter, sine: Value, cosine: Value, quadrant: Value) -> Value:
    """sin(r + quadrant pi/2) from sin r and cos r."""
    odd = (quadrant & 1).equals(1)
    sign = (quadrant & 2) << (emitter.format.bits - 2)
    return emitter.from_bits(emitter.bits(emitter.select(odd, cosine, sine)) ^ sign)


def _sin_cos(emitter: Emitter, x: Value) -> tuple[Value, Value, Value]:
    """x = k pi/2 + r: (k modulo 2**20 or so, sin r, cos r)."""
    if emitter.is_double:
        turns, turns_low, quadrant = _turns_of_double(emitter, x)
        r, r_low = emitter.two_product(turns, emitter.constant(_TWO_PI[0]))
        r_low = emitter.fma(turns, _TWO_PI[1], emitter.fma(turns_low, _TWO_PI[0], r_low))
        return quadrant, *_sin_cos_reduced(emitter, r, r_low)
    double = emitter.as_double()
    turns, wide_quadrant = _turns_of_single(double, double.extend(x))
    r = emitter.truncate(turns * _TWO_PI[0])
    return emitter.narrow_integer(wide_quadrant), *_sin_cos_reduced(emitter, r, None)


def _sin_cos_reduced(emitter: Emitter, r: Value, r_low: Value | None) -> tuple[Value, Value]:
    """sin and cos of r + r_low with |r| <= pi/4."""
    square = r * r
    sine_tail = emitter.polynomial(square, SIN_64 if emitter.is_double else SIN_32) * (square * r)
    half = square * 0.5
    head = emitter.constant(1.0) - half
    cosine_tail = emitter.polynomial(square, COS_64 if emitter.is_double else COS_32) * (square * square)
    if r_low is not None:
        sine_tail = emitter.fma(r_low, head, sine_tail)
        # FDLIBM: the error of 1 - r**2/2 and the share of r_low.
        cosine_tail = cosine_tail + (((emitter.constant(1.0) - head) - half) - r * r_low)
    return r + sine_tail, head + cosine_tail


def _turns_of_single(double: Emitter, x: Value) -> tuple[Value, Value]:
    """For an f32 number held in f64: (x / (2 pi) minus quarter turns, the number of quarter turns)."""
    parts = []
    for position, piece in enumerate(_INVERSE_TWO_PI_PIECES):
        product = x * piece
        if position < _PIECES_WITH_WHOLE_TURNS:
            product = product - double.round_even(product)
        parts.append(product)
    estimate = parts[0]
    for part in parts[1:_PIECES_WITH_WHOLE_TURNS]:
        estimate = estimate + part
    quarters, quadrant = double.round_to_integer(estimate * 4.0)
    # From the largest part down: where the first parts cancel, their difference is exact.
    rest = double.fma(quarters, -0.25, parts[0])
    for part in parts[1:]:
        rest = rest + part
    return rest, quadrant


def _turns_of_double(emitter: Emitter, x: Value) -> tuple[Value, Value, Value]:
    """(t, t_low, k): x / (2 pi) = whole turns + k/4 + t + t_low, right to about 2**-140 turns."""
    exponent = ((emitter.bits(x) >> 52) & 0x7FF) - emitter.format.bias
    row = emitter.select(exponent > 0, exponent, emitter.integer(0)) >> 4
    row = emitter.select(row > _ROWS - 1, emitter.integer(_ROWS - 1), row)
    rows = load_rows(emitter, "px_turns", _turn_table(), row)
    # Infinity stays infinite and ends as NaN in the differences below.
    scaled = x * emitter.power_of_two(emitter.integer(0) - (row << 4))
    first, first_error = emitter.two_product(scaled, rows[0])
    second, second_error = emitter.two_product(scaled, rows[1])
    third, third_error = emitter.two_product(scaled, rows[2])
    first = first - emitter.round_even(first)
    first_error = first_error - emitter.round_even(first_error)
    second = second - emitter.round_even(second)
    # Sums of the three large parts; what they round off joins the small ones.
    high, low_1 = emitter.two_sum(first, second)
    high, low_2 = emitter.two_sum(high, first_error)
    middle, rest_1 = emitter.two_sum(second_error, third)
    middle, rest_2 = emitter.two_sum(middle, low_1)
    middle, rest_3 = emitter.two_sum(middle, low_2)
    rest = emitter.fma(scaled, rows[3], third_error) + (rest_1 + rest_2 + rest_3)
    quarters, quadrant = emitter.round_to_integer(high * 4.0)
    high = high - quarters * 0.25
    high, middle = emitter.two_sum(high, middle)
    turns, turns_low = emitter.quick_two_sum(high, middle + rest)
    return turns, turns_low, quadrant


@functools.cache
def _turn_table() -> tuple[tuple[float, ...], ...]:
    """Row j: 2**(16 j) / (2 pi) modulo 2**52 as four floats; higher bits times x are whole turns."""
    bits = 1400
    inverse = (1 << (2 * bits - 1)) // _pi_fixed(bits)
    rows = []
    for row in range(_ROWS):
        rest = (inverse << (_ROW_STEP * row)) % (1 << (bits + 52))
        parts = []
        for _ in range(4):
            part = rest / (1 << bits)
            parts.append(part)
            numerator, denominator = part.as_integer_ratio()
            rest -= (numerator << bits) // denominator
        rows.append(tuple(parts))
    return tuple(rows)


def _pi_fixed(bits: int) -> int:
    """floor(pi * 2**bits) but for the last few bits, by Machin's formula."""
    guard = 16
    one = 1 << (bits + guard)

    def arctangent_of_inverse(n: int) -> int:
        term = one // n
        total, divisor, sign = term, 1, 1
        while term:
            term //= n * n
            divisor, sign = divisor + 2, -sign
            total += sign * (term // divisor)
        return total

    return (16 * arctangent_of_inverse(5) - 4 * arctangent_of_inverse(239)) >> guard
