"""Roots, powers, exponentials, logarithms and error functions of floats; integers become float32 first."""

from __future__ import annotations

import math
from typing import Any

from phalanx.dialects import scalar_code, xla_math
from phalanx.dialects.kinds import Elementwise, FloatFunction
from phalanx.dialects.opdef import Float, Number, Operand, composite, op
from phalanx.dialects.px.compare import equal
from phalanx.dialects.px.elementwise import abs_, maximum, multiply, positive, subtract
from phalanx.dialects.px.logic import select


def steep(ct: Any, slope: Any) -> Any:
    """`ct * slope`, but 0 where no gradient arrives although the slope is infinite."""
    return select(ct == 0, 0.0, ct * slope)


# Roots.


@op(method=True)
class sqrt(FloatFunction):
    """Elementwise square root; NaN below 0.

    >>> px.sqrt(px.asarray([4.0, 9.0]))
    px.Tensor([2. 3.], dtype=float32)
    """

    x: Operand[Float]
    domain = (0.1, 4.0)
    eval = lambda xp, x: xp.sqrt(x)
    scalar = lambda s, x: s.math("sqrt", x)
    vjp = lambda ct, out, x: (steep(ct, 0.5 / out),)


@op
class rsqrt(FloatFunction):
    """Elementwise `1 / sqrt(x)`.

    >>> px.rsqrt(px.asarray([4.0, 16.0])).numpy().round(3)
    array([0.5 , 0.25], dtype=float32)
    """

    x: Operand[Float]
    domain = (0.1, 4.0)
    eval = lambda xp, x: xp.rsqrt(x)
    scalar = lambda s, x: s.arith("divf", s.like(1.0, x), s.math("sqrt", x))
    vjp = lambda ct, out, x: (steep(ct, -0.5 * out / x),)


@op
class cbrt(FloatFunction):
    """Elementwise real cube root.

    >>> px.cbrt(px.asarray([8.0, -27.0])).numpy().round(3)
    array([ 2., -3.], dtype=float32)
    """

    x: Operand[Float]
    domain = (0.1, 4.0)
    eval = lambda xp, x: xp.cbrt(x)
    scalar = lambda s, x: s.math("cbrt", x)
    vjp = lambda ct, out, x: (steep(ct, 1.0 / (3.0 * out * out)),)


@op
class reciprocal(FloatFunction):
    """Elementwise `1 / x`.

    >>> px.reciprocal(px.asarray([2.0, 4.0]))
    px.Tensor([0.5  0.25], dtype=float32)
    """

    x: Operand[Float]
    domain = (0.5, 3.0)
    eval = lambda xp, x: xp.divide(xp.ones_like(x), x)
    scalar = lambda s, x: s.arith("divf", s.like(1.0, x), x)
    vjp = lambda ct, out, x: (-ct * out * out,)


@composite
def square(x: Any) -> Any:
    """Elementwise `x * x`.

    >>> px.square(px.asarray([2.0, -3.0]))
    px.Tensor([4. 9.], dtype=float32)
    """
    return multiply(x, x)


@op
class hypot(FloatFunction):
    """Elementwise `sqrt(x*x + y*y)` without overflow; infinite when either operand is.

    >>> px.hypot(px.asarray([3.0]), 4.0).numpy().round(3)
    array([5.], dtype=float32)
    """

    x: Operand[Float]
    y: Operand[Float]
    domain = (0.2, 3.0)
    eval = lambda xp, x, y: xp.hypot(x, y)
    scalar = scalar_code.hypotenuse

    @staticmethod
    def vjp(ct: Any, out: Any, x: Any, y: Any) -> tuple[Any, Any]:
        length = select(out == 0, 1.0, out)
        return ct * (x / length), ct * (y / length)


# Powers.


def _float_power(xp: Any, base: Any, exponent: Any) -> Any:
    """C99's pow. A whole array of exponents: for a single 0.5 NumPy takes the square root, NaN at -inf."""
    whole = base if base.ndim else xp.reshape(base, (1,))
    result = xp.pow(whole, xp.add(exponent, xp.zeros_like(whole)))
    return result if base.ndim else xp.reshape(result, exponent.shape)


def _integer_power(xp: Any, lhs: Any, rhs: Any) -> Any:
    """Integer powers; a negative exponent gives what integer division would: 0, except for 1 and -1."""
    zero, one = xp.zeros_like(lhs), xp.ones_like(lhs)
    if not xp.dtype_of(lhs).is_signed:
        return xp.pow(lhs, rhs)
    below = xp.less(rhs, xp.zeros_like(rhs))
    whole = xp.pow(lhs, xp.where(below, xp.zeros_like(rhs), rhs))
    unit = xp.logical_or(xp.equal(lhs, one), xp.equal(lhs, -one))
    even = xp.equal(xp.bitwise_and(rhs, xp.ones_like(rhs)), xp.zeros_like(rhs))
    return xp.where(below, xp.where(unit, xp.where(even, one, lhs), zero), whole)


@op
class power(Elementwise):
    """Elementwise `base ** exponent`; integers wrap, and negative integer exponents divide with truncation.

    >>> px.power(px.asarray([2.0, 9.0]), px.asarray([3.0, 0.5]))
    px.Tensor([8. 3.], dtype=float32)
    """

    base: Operand[Number]
    exponent: Operand[Number]
    domain = (0.5, 3.0)
    eval = lambda xp, base, exponent: (
        _float_power(xp, base, exponent) if xp.dtype_of(base).is_float else _integer_power(xp, base, exponent))
    scalar = scalar_code.power

    @staticmethod
    def vjp(ct: Any, out: Any, base: Any, exponent: Any) -> tuple[Any, Any]:
        # d/db is e * b**(e-1), 0 for e = 0 whatever b; d/de is out * log(b), 0 for b = 0.
        flat = exponent == 0
        lowered = power(base, select(flat, 1.0, exponent) - 1.0)
        by_base = select(flat, 0.0, ct * exponent * lowered)
        return by_base, ct * out * log(select(base == 0, 1.0, base))


#: Exponents that `pow` turns into products.
_UNROLLED_POWERS = range(1, 9)

#: Exponents of floats that `pow` turns into divisions and square roots: negative whole ones, and halves.
_DIVIDED_POWERS = (-1, -2, -3, -0.5, 0.5, 1.5, -1.5)


@composite(symbol="**")
def pow(base: Any, exponent: Any) -> Any:
    """Elementwise power; a small Python number as exponent becomes products, divisions and a square root.

    >>> px.pow(px.asarray([2.0, 3.0]), 2)
    px.Tensor([4. 9.], dtype=float32)
    """
    if hasattr(base, "aval") and isinstance(exponent, (int, float)) and not hasattr(exponent, "dtype"):
        if exponent in _UNROLLED_POWERS:
            return _product_power(base if isinstance(exponent, int) else base * 1.0, int(exponent))
        if exponent in _DIVIDED_POWERS and (base.dtype.is_float or isinstance(exponent, float)):
            return _divided_power(base if base.dtype.is_float else base * 1.0, exponent)
    return power(base, exponent)


def _divided_power(base: Any, exponent: float) -> Any:
    """`base` to a negative whole power, or to a half as C99 says: 0 or inf at -inf, never -0.0.

    What is divided first cannot leave the range of the dtype before the result does.
    """
    if exponent == int(exponent):
        return _product_power(1.0 / base, -int(exponent))
    root = sqrt(base)
    if exponent == 0.5:
        result = root + 0.0
    elif exponent == 1.5:
        result = base * root
    else:
        result = 1.0 / (root + 0.0) if exponent == -0.5 else 1.0 / root / base
    return select(equal(base, -math.inf), math.inf if exponent > 0 else 0.0, result)


def _product_power(base: Any, exponent: int) -> Any:
    """`base` to a power of at least 1, by squaring."""
    if exponent == 1:
        return positive(base)
    half = _product_power(base, exponent // 2) if exponent > 3 else base
    square = multiply(half, half)
    return multiply(square, base) if exponent % 2 else square


# Exponentials and logarithms.


@op(method=True)
class exp(FloatFunction):
    """Elementwise exponential.

    >>> px.exp(px.asarray([0.0, 1.0])).numpy().round(3)
    array([1.   , 2.718], dtype=float32)
    """

    x: Operand[Float]
    eval = lambda xp, x: xp.exp(x)
    scalar = lambda s, x: s.math("exp", x)
    vjp = lambda ct, out, x: (ct * out,)


@op
class exp2(FloatFunction):
    """Elementwise power of 2.

    >>> px.exp2(px.asarray([0.0, 3.0]))
    px.Tensor([1. 8.], dtype=float32)
    """

    x: Operand[Float]
    eval = lambda xp, x: xp.pow(xp.full_like(x, 2.0), x)
    scalar = lambda s, x: s.math("exp2", x)
    vjp = lambda ct, out, x: (ct * out * math.log(2.0),)


@op
class expm1(FloatFunction):
    """Elementwise `exp(x) - 1`, exact near 0.

    >>> px.expm1(px.asarray([0.0, 1e-8]))
    px.Tensor([0.e+00 1.e-08], dtype=float32)
    """

    x: Operand[Float]
    eval = lambda xp, x: xp.expm1(x)
    scalar = lambda s, x: s.math("expm1", x)
    vjp = lambda ct, out, x: (ct * (out + 1.0),)


@op(method=True)
class log(FloatFunction):
    """Elementwise natural logarithm; -inf at 0, NaN below.

    >>> px.log(px.asarray([1.0, 10.0])).numpy().round(3)
    array([0.   , 2.303], dtype=float32)
    """

    x: Operand[Float]
    domain = (0.1, 4.0)
    eval = lambda xp, x: xp.log(x)
    scalar = lambda s, x: s.math("log", x)
    vjp = lambda ct, out, x: (ct / x,)


@op
class log1p(FloatFunction):
    """Elementwise `log(1 + x)`, exact near 0.

    >>> px.log1p(px.asarray([0.0, 1e-8]))
    px.Tensor([0.e+00 1.e-08], dtype=float32)
    """

    x: Operand[Float]
    domain = (-0.8, 4.0)
    eval = lambda xp, x: xp.log1p(x)
    scalar = lambda s, x: s.math("log1p", x)
    vjp = lambda ct, out, x: (ct / (1.0 + x),)


@op
class log2(FloatFunction):
    """Elementwise logarithm to base 2.

    >>> px.log2(px.asarray([1.0, 8.0])).numpy().round(3)
    array([0., 3.], dtype=float32)
    """

    x: Operand[Float]
    domain = (0.1, 4.0)
    eval = lambda xp, x: xp.log2(x)
    scalar = lambda s, x: s.math("log2", x)
    vjp = lambda ct, out, x: (ct / (x * math.log(2.0)),)


@op
class log10(FloatFunction):
    """Elementwise logarithm to base 10.

    >>> px.log10(px.asarray([1.0, 100.0])).numpy().round(3)
    array([0., 2.], dtype=float32)
    """

    x: Operand[Float]
    domain = (0.1, 4.0)
    eval = lambda xp, x: xp.log10(x)
    scalar = lambda s, x: s.math("log10", x)
    vjp = lambda ct, out, x: (ct / (x * math.log(10.0)),)


@composite
def logaddexp(x: Any, y: Any) -> Any:
    """Elementwise `log(exp(x) + exp(y))` without overflow.

    >>> px.logaddexp(px.asarray([1000.0, 0.0]), px.asarray([1000.0, -float("inf")])).numpy().round(3)
    array([1000.693,    0.   ], dtype=float32)
    """
    # Equal infinities have no difference, but the same logarithm of 2 is added as for equal numbers.
    apart = select(equal(x, y), 0.0, subtract(x, y))
    return maximum(x, y) + log1p(exp(-abs_(apart)))


@op
class sigmoid(FloatFunction):
    """The logistic function `1 / (1 + exp(-x))`.

    >>> px.sigmoid(px.asarray([0.0, 100.0]))
    px.Tensor([0.5 1. ], dtype=float32)
    """

    x: Operand[Float]
    eval = lambda xp, x: xp.logistic(x)
    scalar = scalar_code.sigmoid
    vjp = lambda ct, out, x: (ct * out * (1.0 - out),)


# Error functions.


@op
class erf(FloatFunction):
    """Elementwise error function.

    >>> px.erf(px.asarray([0.0, 0.5])).numpy().round(3)
    array([0.  , 0.52], dtype=float32)
    """

    x: Operand[Float]
    eval = lambda xp, x: xp.erf(x)
    scalar = lambda s, x: s.math("erf", x)
    vjp = lambda ct, out, x: (ct * (2.0 / math.sqrt(math.pi)) * exp(-x * x),)


@op
class erfc(FloatFunction):
    """Elementwise `1 - erf(x)` without cancellation.

    >>> px.erfc(px.asarray([0.0, 1.0])).numpy().round(3)
    array([1.   , 0.157], dtype=float32)
    """

    x: Operand[Float]
    eval = lambda xp, x: xp.erfc(x)
    scalar = lambda s, x: s.math("erfc", x)
    vjp = lambda ct, out, x: (ct * (-2.0 / math.sqrt(math.pi)) * exp(-x * x),)


@op
class erfinv(FloatFunction):
    """The inverse of `erf`, by Giles' polynomials; infinite at -1 and 1, NaN outside.

    >>> px.erfinv(px.asarray([0.0, 0.5])).numpy().round(3)
    array([0.   , 0.477], dtype=float32)
    """

    x: Operand[Float]
    domain = (-0.95, 0.95)
    eval = lambda xp, x: xla_math.erf_inv_array(xp, x)
    scalar = scalar_code.inverse_erf
    vjp = lambda ct, out, x: (ct * (math.sqrt(math.pi) / 2.0) * exp(out * out),)
