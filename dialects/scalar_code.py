"""Element code that several ops share or that is too long for a facet: integer division, powers, erfinv, ...

Every function takes the `s` of a scalar facet (`kinds.ScalarScope`) first and builds code at its insertion point.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from phalanx.dialects import dtypes, xla_math

Value = Any

_SIGNED = {d.bits: d for d in dtypes.SIGNED_INTEGERS}


def _safe_divisor(s: Any, x: Value, y: Value) -> tuple[Value, Value]:
    """Whether the divisor is 0, and a divisor that cannot trap: 1 stands in for 0 and for -1 under the lowest value."""
    zero = s.cmpi("eq", y, s.like(0, y))
    unusable = zero
    if s.dtype.kind == "i":
        lowest = s.cmpi("eq", x, s.like(-(1 << (s.dtype.bits - 1)), x))
        overflows = s.arith("andi", lowest, s.cmpi("eq", y, s.like(-1, y)))
        unusable = s.arith("ori", zero, overflows)
    return zero, s.select(unusable, s.like(1, y), y)


def truncated_quotient(s: Any, x: Value, y: Value) -> Value:
    """Integer division toward zero; 0 for a zero divisor, wrapping for the lowest value by -1."""
    zero, divisor = _safe_divisor(s, x, y)
    quotient = s.arith("divsi" if s.dtype.kind == "i" else "divui", x, divisor)
    return s.select(zero, s.like(0, x), quotient)


def truncated_remainder(s: Any, x: Value, y: Value) -> Value:
    """Remainder with the sign of the dividend; 0 for a zero integer divisor."""
    if s.dtype.is_float:
        return s.arith("remf", x, y)
    zero, divisor = _safe_divisor(s, x, y)
    rest = s.arith("remsi" if s.dtype.kind == "i" else "remui", x, divisor)
    return s.select(zero, s.like(0, x), rest)


def _signs_differ(s: Any, x: Value, y: Value) -> Value:
    zero = s.like(0, x)
    return s.arith("xori", s.compare("lt", x, zero, s.dtype), s.compare("lt", y, zero, s.dtype))


def floor_quotient(s: Any, x: Value, y: Value) -> Value:
    """Division toward minus infinity, as NumPy's `floor_divide`."""
    if s.dtype.is_float:
        return _float_floor_quotient(s, x, y)
    quotient = truncated_quotient(s, x, y)
    if s.dtype.kind == "u":
        return quotient
    rest = truncated_remainder(s, x, y)
    uneven = s.cmpi("ne", rest, s.like(0, rest))
    lower = s.arith("andi", uneven, _signs_differ(s, x, y))
    return s.select(lower, s.arith("subi", quotient, s.like(1, quotient)), quotient)


def _float_floor_quotient(s: Any, x: Value, y: Value) -> Value:
    # floor(x / y) is wrong where the division rounds up to an integer; taking the remainder off first is exact.
    rest = s.arith("remf", x, y)
    zero, one = s.like(0.0, x), s.like(1.0, x)
    exact = s.arith("divf", s.arith("subf", x, rest), y)
    lower = s.arith("andi", s.cmpf("one", rest, zero), _signs_differ(s, rest, y))
    exact = s.select(lower, s.arith("subf", exact, one), exact)
    floor = s.math("floor", exact)
    behind = s.cmpf("ogt", s.arith("subf", exact, floor), s.like(0.5, x))
    floor = s.select(behind, s.arith("addf", floor, one), floor)
    divided = s.arith("divf", x, y)
    floor = s.select(s.cmpf("oeq", exact, zero), s.math("copysign", zero, divided), floor)
    return s.select(s.cmpf("oeq", y, zero), divided, floor)


def floor_remainder(s: Any, x: Value, y: Value) -> Value:
    """Remainder with the sign of the divisor, as NumPy's `remainder`."""
    rest = truncated_remainder(s, x, y)
    if s.dtype.kind == "u":
        return rest
    uneven = s.compare("ne", rest, s.like(0, rest), s.dtype)
    move = s.arith("andi", uneven, _signs_differ(s, rest, y))
    moved = s.select(move, s.arith("addf" if s.dtype.is_float else "addi", rest, y), rest)
    if not s.dtype.is_float:
        zero = s.like(0, x)
        return s.select(s.cmpi("eq", y, zero), zero, moved)
    return s.select(s.cmpf("oeq", moved, s.like(0.0, x)), s.math("copysign", s.like(0.0, x), y), moved)


def power(s: Any, x: Value, y: Value) -> Value:
    """`x ** y`; integers by squaring, with what a division would give for negative exponents."""
    if s.dtype.is_float:
        return s.math("powf", x, y)
    one, zero = s.like(1, x), s.like(0, x)
    result, square, exponent = one, x, y
    for bit in range(s.dtype.bits):
        odd = s.cmpi("ne", s.arith("andi", exponent, one), zero)
        result = s.select(odd, s.arith("muli", result, square), result)
        if bit + 1 < s.dtype.bits:
            exponent = s.arith("shrui", exponent, one)
            # The choice is for LLVM, whose scalar evolution would multiply a bare chain of squares out.
            more = s.cmpi("ne", exponent, zero)
            square = s.select(more, s.arith("muli", square, square), square)
    if s.dtype.kind == "u":
        return result
    # 1/x is an integer only for 1 and -1, whose powers depend on the parity of the exponent alone.
    unit = s.arith("ori", s.cmpi("eq", x, one), s.cmpi("eq", x, s.like(-1, x)))
    even = s.cmpi("eq", s.arith("andi", y, one), zero)
    inverse = s.select(unit, s.select(even, one, x), zero)
    return s.select(s.cmpi("slt", y, zero), inverse, result)


def sign(s: Any, x: Value) -> Value:
    """-1, 0 or 1; NaN stays NaN."""
    zero, one = s.like(0, x), s.like(1, x)
    above = s.select(s.compare("gt", x, zero, s.dtype), one, zero)
    if s.dtype.kind == "u":
        return above
    found = s.select(s.compare("lt", x, zero, s.dtype), s.like(-1, x), above)
    return s.select(s.is_nan(x), x, found) if s.dtype.is_float else found


def absolute(s: Any, x: Value) -> Value:
    """|x|; the lowest signed integer stays itself."""
    if s.dtype.is_float:
        return s.math("absf", x)
    if s.dtype.kind == "u":
        return x
    zero = s.like(0, x)
    return s.select(s.cmpi("slt", x, zero), s.arith("subi", zero, x), x)


def shift(s: Any, name: str, x: Value, y: Value) -> Value:
    """`arith.<name>`, with 0 (or the sign) for amounts outside 0..width-1, where LLVM's result is undefined."""
    inside = s.cmpi("ult", y, s.like(s.dtype.bits, y))
    if name == "shrsi":
        return s.arith(name, x, s.select(inside, y, s.like(s.dtype.bits - 1, y)))
    shifted = s.arith(name, x, s.select(inside, y, s.like(0, y)))
    return s.select(inside, shifted, s.like(0, x))


def hypotenuse(s: Any, x: Value, y: Value) -> Value:
    """sqrt(x*x + y*y) with the larger operand factored out, so that no square overflows or vanishes."""
    x, y = s.math("absf", x), s.math("absf", y)
    above = s.cmpf("ogt", x, y)
    large, small = s.select(above, x, y), s.select(above, y, x)
    zero, one, infinity = s.like(0.0, x), s.like(1.0, x), s.like(float("inf"), x)
    ratio = s.arith("divf", small, s.select(s.cmpf("oeq", large, zero), one, large))
    length = s.arith("mulf", large, s.math("sqrt", s.arith("addf", one, s.arith("mulf", ratio, ratio))))
    unbounded = s.arith("ori", s.cmpf("oeq", x, infinity), s.cmpf("oeq", y, infinity))
    return s.select(unbounded, infinity, length)


def sigmoid(s: Any, x: Value) -> Value:
    """1 / (1 + exp(-x)), taking the exponential of numbers below 0 only."""
    one = s.like(1.0, x)
    decay = s.math("exp", s.arith("negf", s.math("absf", x)))
    above = s.select(s.cmpf("olt", x, s.like(0.0, x)), decay, one)
    return s.arith("divf", above, s.arith("addf", one, decay))


def next_after(s: Any, x: Value, y: Value) -> Value:
    """The neighbour of `x` toward `y`, on values of the storage type."""
    integer = _SIGNED[s.dtype.bits]
    wide_x, wide_y = s.load(x, s.dtype), s.load(y, s.dtype)
    as_bits = s.bitcast(x, integer)
    zero = s.like(0.0, wide_x)
    upward = s.cmpf("olt", wide_x, wide_y)
    # Consecutive floats of one sign are consecutive integers; away from zero is up.
    away = s.cmpi("eq", upward, s.cmpf("ogt", wide_x, zero))
    one = s.like(1, as_bits)
    stepped = s.select(away, s.arith("addi", as_bits, one), s.arith("subi", as_bits, one))
    smallest = s.select(upward, one, s.like(-(1 << (s.dtype.bits - 1)) | 1, as_bits))
    stepped = s.select(s.cmpf("oeq", wide_x, zero), smallest, stepped)
    found = s.bitcast(stepped, s.dtype)
    found = s.select(s.cmpf("oeq", wide_x, wide_y), y, found)
    return s.select(s.is_nan(wide_x), x, s.select(s.is_nan(wide_y), y, found))


def convert(s: Any, x: Value) -> Value:
    """A value of `s.dtype` in the compute type of `s.result`."""
    found = s.convert(x, s.dtype, s.result)
    if s.dtype is dtypes.float64 and s.result.is_float and s.result.bits == 16:
        return _round_to_odd(s, x, found)
    return found


def _round_to_odd(s: Any, x: Value, rounded: Value) -> Value:
    """A float32 of a float64 whose later rounding to 16 bits is right: inexact ones end in an odd bit.

    S. Boldo, G. Melquiond, "Emulation of a FMA and correctly rounded sums" (IEEE TC 57, 2008), section 3.
    """
    back = s.convert(rounded, dtypes.float32, dtypes.float64)
    bits = s.bitcast(rounded, dtypes.int32)
    one = s.like(1, bits)
    even = s.cmpi("eq", s.arith("andi", bits, one), s.like(0, bits))
    beyond = s.cmpf("ogt", s.math("absf", back), s.math("absf", x))
    odd = s.select(beyond, s.arith("subi", bits, one), s.arith("addi", bits, one))
    moves = s.arith("andi", even, s.cmpf("one", back, x))
    return s.bitcast(s.select(moves, odd, bits), dtypes.float32)


# M. Giles, "Approximating the erfinv function" (GPU Computing Gems, 2011): coefficients, highest power first.
_ERFINV_64_CENTRE = (
    -3.6444120640178196996e-21, -1.685059138182016589e-19, 1.2858480715256400167e-18, 1.115787767802518096e-17,
    -1.333171662854620906e-16, 2.0972767875968561637e-17, 6.6376381343583238325e-15, -4.0545662729752068639e-14,
    -8.1519341976054721522e-14, 2.6335093153082322977e-12, -1.2975133253453532498e-11, -5.4154120542946279317e-11,
    1.051212273321532285e-09, -4.1126339803469836976e-09, -2.9070369957882005086e-08, 4.2347877827932403518e-07,
    -1.3654692000834678645e-06, -1.3882523362786468719e-05, 0.0001867342080340571352, -0.00074070253416626697512,
    -0.0060336708714301490533, 0.24015818242558961693, 1.6536545626831027356)
_ERFINV_64_MIDDLE = (
    2.2137376921775787049e-09, 9.0756561938885390979e-08, -2.7517406297064545428e-07, 1.8239629214389227755e-08,
    1.5027403968909827627e-06, -4.013867526981545969e-06, 2.9234449089955446044e-06, 1.2475304481671778723e-05,
    -4.7318229009055733981e-05, 6.8284851459573175448e-05, 2.4031110387097893999e-05, -0.0003550375203628474796,
    0.00095328937973738049703, -0.0016882755560235047313, 0.0024914420961078508066, -0.0037512085075692412107,
    0.005370914553590063617, 1.0052589676941592334, 3.0838856104922207635)
_ERFINV_64_TAIL = (
    -2.7109920616438573243e-11, -2.5556418169965252055e-10, 1.5076572693500548083e-09, -3.7894654401267369937e-09,
    7.6157012080783393804e-09, -1.4960026627149240478e-08, 2.9147953450901080826e-08, -6.7711997758452339498e-08,
    2.2900482228026654717e-07, -9.9298272942317002539e-07, 4.5260625972231537039e-06, -1.9681778105531670567e-05,
    7.5995277030017761139e-05, -0.00021503011930044477347, -0.00013871931833623122026, 1.0103004648645343977,
    4.8499064014085844221)


def _polynomial(s: Any, x: Value, coefficients: Sequence[float]) -> Value:
    value = s.like(coefficients[0], x)
    for coefficient in coefficients[1:]:
        value = s.arith("addf", s.like(coefficient, x), s.arith("mulf", value, x))
    return value


def _minus(s: Any, x: Value, amount: float) -> Value:
    return s.arith("subf", x, s.like(amount, x))


def inverse_erf(s: Any, x: Value) -> Value:
    """erfinv(x) by Giles' polynomials in w = -log(1 - x*x); infinite at -1 and 1, NaN outside."""
    if s.dtype.bits < 64:
        return xla_math.erf_inv_code(s, x)
    w = s.arith("negf", s.math("log1p", s.arith("negf", s.arith("mulf", x, x))))
    root = s.math("sqrt", w)
    centre = _polynomial(s, _minus(s, w, 3.125), _ERFINV_64_CENTRE)
    middle = _polynomial(s, _minus(s, root, 3.25), _ERFINV_64_MIDDLE)
    tail = _polynomial(s, _minus(s, root, 5.0), _ERFINV_64_TAIL)
    tail = s.select(s.cmpf("olt", w, s.like(16.0, x)), middle, tail)
    factor = s.select(s.cmpf("olt", w, s.like(6.25, x)), centre, tail)
    edge = s.cmpf("oeq", s.math("absf", x), s.like(1.0, x))
    return s.arith("mulf", x, s.select(edge, s.like(float("inf"), x), factor))
