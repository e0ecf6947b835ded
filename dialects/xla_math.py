"""erfinv in float32 with the bits of XLA's CPU compiler, so that `random.normal` gives JAX's numbers.

`jax.random.normal` is sqrt(2) * erf_inv(u) with u uniform in (-1, 1). XLA (jax 0.10.2 was read and compared,
all 2**23 values of u) computes erf_inv in float32 by Giles' polynomial in w = -log1p(-u * u), and that log1p
by Cephes' rational function where the argument is below sqrt(2) - 1 in magnitude, else by Cephes' logf of
1 + argument. To get the same bits:

* log1p must be exactly that one (about 2 ulp); ours, or libm's, is more accurate and differs in 5 % of the results;
* every product that feeds a sum is fused, as XLA's code generator does where the processor has FMA; in
  `y * f**3 + e * c` the first product is fused and the second rounded; -u * u and 1 + argument are rounded;
* expm1 takes no part.

On a processor without FMA JAX itself gives other bits; we give these everywhere.

The algorithm is written once, against the few operations that code of one element (`ElementCode`) and whole
arrays (`ArrayMath`, fused in float64) share.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from phalanx.dialects import dtypes

Value = Any


def _floats(*patterns: int) -> tuple[float, ...]:
    """float32 numbers from their bits."""
    return tuple(np.array(patterns, np.uint32).view(np.float32).tolist())


# M. Giles, "Approximating the erfinv function" (GPU Computing Gems, 2011), highest power first.
_CENTRE = _floats(0x32F16588, 0x34B84B36, 0xB66C7357, 0xB6935AC1, 0x396532DB, 0xBAA45408, 0xBB88E4EF, 0x3E7C8F63,
                  0x3FC02E2F)  # fmt: skip
_TAIL = _floats(0xB951F09B, 0x38D3B56B, 0x3AB0DC72, 0xBB70BDE7, 0x3BBC127B, 0xBBF9C5D7, 0x3C1AA57E, 0x3F8036DB,
                0x40354F7E)  # fmt: skip
# Cephes log1p: log1p(x) = x - x**2 / 2 + x**3 P(x) / Q(x).
_NUMERATOR = _floats(0x383DE04B, 0x3EFF40C5, 0x40D284FA, 0x41EF4B9C, 0x4273CC76, 0x426473AD, 0x41A05101)
_DENOMINATOR = _floats(0x417101AD, 0x42A6185B, 0x435DC32D, 0x439A8CA3, 0x43586D8A, 0x42707982)
(_SQRT_2_LESS_1,) = _floats(0x3ED413CD)
# Cephes logf, in the three interleaved chains of Eigen's plog.
_CHAINS = (
    _floats(0x3D9021BB, 0xBDEBD1B8, 0x3DEF251A),
    _floats(0xBDFE5D4F, 0x3E11E9BF, 0xBE2AAE50),
    _floats(0x3E4CCEAC, 0xBE7FFFFC, 0x3EAAAAAA),
)
(_SQRT_HALF,) = _floats(0x3F3504F3)
_LN2_LOW, _LN2_HIGH = _floats(0xB95E8083, 0x3F318000)


class Arithmetic(Protocol):
    """What the algorithm asks for; plain numbers are allowed for every operand but the first."""

    def fma(self, a: Value, b: Value | float, c: Value | float) -> Value: ...
    def add(self, a: Value, b: Value | float) -> Value: ...
    def multiply(self, a: Value, b: Value | float) -> Value: ...
    def divide(self, a: Value, b: Value) -> Value: ...
    def negative(self, a: Value) -> Value: ...
    def absolute(self, a: Value) -> Value: ...
    def sqrt(self, a: Value) -> Value: ...
    def less(self, a: Value, b: float) -> Value: ...
    def equal(self, a: Value, b: float) -> Value: ...
    def select(self, condition: Value, yes: Value | float, no: Value | float) -> Value: ...

    def mantissa_and_exponent(self, a: Value) -> tuple[Value, Value]:
        """a = mantissa * 2**exponent with mantissa in [1/2, 1), both float32, for positive normal numbers."""


def erf_inv_code(s: Any, x: Value) -> Value:
    """Code of one element: `s` is the scope of a scalar facet, `x` an f32 value."""
    return _erf_inv(ElementCode(s, x), x)


def erf_inv_array(xp: Any, x: Value) -> Value:
    """The same on an array of the namespace `xp`, without a fused instruction; float64 is the namespace's own."""
    dtype = xp.dtype_of(x)
    if dtype is dtypes.float64:
        return xp.erfinv(x)
    wide = xp.astype(x, dtypes.float32)
    return xp.astype(_erf_inv(ArrayMath(xp, wide), wide), dtype)


def _erf_inv(m: Arithmetic, x: Value) -> Value:
    magnitude = m.absolute(x)
    inside = m.less(magnitude, 1.0)
    # A harmless argument where the result is inf or NaN.
    bounded = m.select(inside, x, 0.0)
    w = m.negative(_log1p(m, m.negative(m.multiply(bounded, bounded))))
    central = m.less(w, 5.0)
    t = m.select(central, m.add(w, -2.5), m.add(m.sqrt(w), -3.0))
    factor = m.select(central, _CENTRE[0], _TAIL[0])
    for near, far in zip(_CENTRE[1:], _TAIL[1:], strict=True):
        factor = m.fma(factor, t, m.select(central, near, far))
    outside = m.select(m.equal(magnitude, 1.0), m.multiply(x, math.inf), math.nan)
    return m.select(inside, m.multiply(factor, bounded), outside)


def _log1p(m: Arithmetic, x: Value) -> Value:
    square = m.multiply(x, x)
    denominator = m.add(x, _DENOMINATOR[0])
    for coefficient in _DENOMINATOR[1:]:
        denominator = m.fma(denominator, x, coefficient)
    numerator = m.fma(x, _NUMERATOR[0], _NUMERATOR[1])
    for coefficient in _NUMERATOR[2:]:
        numerator = m.fma(numerator, x, coefficient)
    cubic = m.multiply(m.multiply(x, square), m.divide(numerator, denominator))
    near = m.add(x, m.fma(square, -0.5, cubic))
    return m.select(m.less(m.absolute(x), _SQRT_2_LESS_1), near, _log(m, m.add(x, 1.0)))


def _log(m: Arithmetic, x: Value) -> Value:
    mantissa, exponent = m.mantissa_and_exponent(x)
    low = m.less(mantissa, _SQRT_HALF)
    f = m.add(m.add(mantissa, -1.0), m.select(low, mantissa, 0.0))
    exponent = m.select(low, m.add(exponent, -1.0), exponent)
    square = m.multiply(f, f)
    cube = m.multiply(square, f)
    first, second, third = (_chain(m, f, coefficients) for coefficients in _CHAINS)
    y = m.fma(m.fma(first, cube, second), cube, third)
    y = m.fma(y, cube, m.multiply(exponent, _LN2_LOW))
    y = m.add(m.fma(square, -0.5, f), y)
    return m.fma(exponent, _LN2_HIGH, y)


def _chain(m: Arithmetic, f: Value, coefficients: Sequence[float]) -> Value:
    return m.fma(m.fma(f, coefficients[0], coefficients[1]), f, coefficients[2])


class ElementCode:
    """Arithmetic that emits arith and math ops."""

    def __init__(self, s: Any, model: Value) -> None:
        self._s = s
        self._model = model

    def _value(self, operand: Value | float) -> Value:
        return self._s.like(operand, self._model) if isinstance(operand, float) else operand

    def fma(self, a: Value, b: Value | float, c: Value | float) -> Value:
        return self._s.math("fma", a, self._value(b), self._value(c))

    def add(self, a: Value, b: Value | float) -> Value:
        return self._s.arith("addf", a, self._value(b))

    def multiply(self, a: Value, b: Value | float) -> Value:
        return self._s.arith("mulf", a, self._value(b))

    def divide(self, a: Value, b: Value) -> Value:
        return self._s.arith("divf", a, b)

    def negative(self, a: Value) -> Value:
        return self._s.arith("negf", a)

    def absolute(self, a: Value) -> Value:
        return self._s.math("absf", a)

    def sqrt(self, a: Value) -> Value:
        return self._s.math("sqrt", a)

    def less(self, a: Value, b: float) -> Value:
        return self._s.cmpf("olt", a, self._value(b))

    def equal(self, a: Value, b: float) -> Value:
        return self._s.cmpf("oeq", a, self._value(b))

    def select(self, condition: Value, yes: Value | float, no: Value | float) -> Value:
        return self._s.select(condition, self._value(yes), self._value(no))

    def mantissa_and_exponent(self, a: Value) -> tuple[Value, Value]:
        s = self._s
        bits = s.bitcast(a, dtypes.int32)
        mantissa = s.arith("ori", s.arith("andi", bits, s.like(0x007FFFFF, bits)), s.like(0x3F000000, bits))
        exponent = s.arith("subi", s.arith("shrui", bits, s.like(23, bits)), s.like(126, bits))
        return s.bitcast(mantissa, dtypes.float32), s.convert(exponent, dtypes.int32, dtypes.float32)


class ArrayMath:
    """Arithmetic on float32 arrays of any namespace."""

    def __init__(self, xp: Any, model: Value) -> None:
        self._xp = xp
        self._zeros = xp.zeros_like(model)

    def fma(self, a: Value, b: Value | float, c: Value | float) -> Value:
        """Rounded once: the product of two float32 is exact in float64, and where the sum lies half way between
        two float32 its own rounding error decides."""
        xp = self._xp
        product = self._wide(a) * self._wide(b)
        addend = self._wide(c)
        total = product + addend
        virtual = total - product
        error = (product - (total - virtual)) + (addend - virtual)
        nearest = xp.astype(total, dtypes.float32)
        distance = total - self._wide(nearest)
        other = self._wide(nearest) + 2.0 * distance
        rounded = xp.astype(other, dtypes.float32)
        half_way = (self._wide(rounded) == other) & (distance * error > 0.0)
        return xp.where(half_way, rounded, nearest)

    def _wide(self, a: Value | float) -> Value:
        return a if isinstance(a, float) else self._xp.astype(a, dtypes.float64)

    def add(self, a: Value, b: Value | float) -> Value:
        return a + b

    def multiply(self, a: Value, b: Value | float) -> Value:
        return a * b

    def divide(self, a: Value, b: Value) -> Value:
        return a / b

    def negative(self, a: Value) -> Value:
        return -a

    def absolute(self, a: Value) -> Value:
        return self._xp.abs(a)

    def sqrt(self, a: Value) -> Value:
        return self._xp.sqrt(a)

    def less(self, a: Value, b: float) -> Value:
        return a < b

    def equal(self, a: Value, b: float) -> Value:
        return a == b

    def select(self, condition: Value, yes: Value | float, no: Value | float) -> Value:
        chosen = [self._zeros + operand if isinstance(operand, float) else operand for operand in (yes, no)]
        return self._xp.where(condition, *chosen)

    def mantissa_and_exponent(self, a: Value) -> tuple[Value, Value]:
        xp = self._xp
        bits = xp.bitcast(a, dtypes.int32)
        mantissa = xp.bitcast((bits & 0x007FFFFF) | 0x3F000000, dtypes.float32)
        return mantissa, xp.astype((bits >> 23) - 126, dtypes.float32)
