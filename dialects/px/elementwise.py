"""Elementwise arithmetic: sums, products, divisions, rounding, extremes, signs."""

from __future__ import annotations

from typing import Any

from phalanx.dialects import scalar_code
from phalanx.dialects.aval import Aval
from phalanx.dialects.kinds import Elementwise, FloatFunction, ScalarScope, arith_by_kind
from phalanx.dialects.opdef import (
    Float,
    Integer,
    Number,
    Operand,
    not_differentiable,
    op,
    zero_gradient,
)
from phalanx.dialects.px.logic import select


@op(symbol="+")
class add(Elementwise):
    """Elementwise sum.

    >>> px.add(px.asarray([1.0, 2.0]), 3.0)
    px.Tensor([4. 5.], dtype=float32)
    """

    lhs: Operand[Number]
    rhs: Operand[Number]
    eval = lambda xp, lhs, rhs: xp.add(lhs, rhs)
    scalar = arith_by_kind(f="addf", i="addi")
    vjp = lambda ct, out, lhs, rhs: (ct, ct)


@op(symbol="-")
class subtract(Elementwise):
    """Elementwise difference; integers wrap.

    >>> px.subtract(px.asarray([1.0, 2.0]), 3.0)
    px.Tensor([-2. -1.], dtype=float32)
    """

    lhs: Operand[Number]
    rhs: Operand[Number]
    eval = lambda xp, lhs, rhs: xp.subtract(lhs, rhs)
    scalar = arith_by_kind(f="subf", i="subi")
    vjp = lambda ct, out, lhs, rhs: (ct, -ct)


@op(symbol="*")
class multiply(Elementwise):
    """Elementwise product.

    >>> px.multiply(px.asarray([1.0, 2.0]), 3.0)
    px.Tensor([3. 6.], dtype=float32)
    """

    lhs: Operand[Number]
    rhs: Operand[Number]
    eval = lambda xp, lhs, rhs: xp.multiply(lhs, rhs)
    scalar = arith_by_kind(f="mulf", i="muli")
    vjp = lambda ct, out, lhs, rhs: (ct * rhs, ct * lhs)


@op(symbol="/")
class divide(FloatFunction):
    """Elementwise true division; integers become float32 first.

    >>> px.divide(px.asarray([1, 3]), 2)
    px.Tensor([0.5 1.5], dtype=float32)
    """

    lhs: Operand[Float]
    rhs: Operand[Float]
    domain = (0.5, 3.0)
    eval = lambda xp, lhs, rhs: xp.divide(lhs, rhs)
    scalar = lambda s, lhs, rhs: s.arith("divf", lhs, rhs)
    vjp = lambda ct, out, lhs, rhs: (ct / rhs, -ct * out / rhs)


def _guarded(divide_by: Any) -> Any:
    """An `eval` that gives 0 for zero integer divisors, without asking the library to divide by them."""

    def evaluate(xp: Any, lhs: Any, rhs: Any) -> Any:
        if xp.dtype_of(rhs).is_float:
            return divide_by(xp, lhs, rhs)
        zero = xp.equal(rhs, xp.zeros_like(rhs))
        found = divide_by(xp, lhs, xp.where(zero, xp.ones_like(rhs), rhs))
        return xp.where(zero, xp.zeros_like(found), found)

    return evaluate


def _toward_zero(xp: Any, lhs: Any, rhs: Any) -> Any:
    """Remainder with the sign of the dividend."""
    if xp.dtype_of(lhs).is_float:
        return xp.copysign(xp.remainder(xp.abs(lhs), xp.abs(rhs)), lhs)
    rest = xp.remainder(lhs, rhs)
    zero = xp.zeros_like(rest)
    wrong = xp.logical_and(xp.not_equal(rest, zero), xp.not_equal(xp.less(lhs, zero), xp.less(rhs, zero)))
    return xp.where(wrong, rest - rhs, rest)


@op(symbol="//")
class floor_divide(Elementwise):
    """Elementwise division, rounded toward minus infinity; 0 where an integer divisor is 0.

    >>> px.floor_divide(px.asarray([7, -7]), 2)
    px.Tensor([ 3 -4], dtype=int32)
    """

    lhs: Operand[Number]
    rhs: Operand[Number]
    eval = _guarded(lambda xp, lhs, rhs: xp.floor_divide(lhs, rhs))
    scalar = scalar_code.floor_quotient
    vjp = zero_gradient


@op(symbol="%")
class remainder(Elementwise):
    """Elementwise remainder with the sign of the divisor; 0 where an integer divisor is 0.

    >>> px.remainder(px.asarray([7, -7]), 3)
    px.Tensor([1 2], dtype=int32)
    """

    lhs: Operand[Number]
    rhs: Operand[Number]
    eval = _guarded(lambda xp, lhs, rhs: xp.remainder(lhs, rhs))
    scalar = scalar_code.floor_remainder
    vjp = lambda ct, out, lhs, rhs: (ct, -ct * floor_divide(lhs, rhs))


@op
class fmod(Elementwise):
    """Elementwise remainder with the sign of the dividend (Nx's `remainder`); 0 where an integer divisor is 0.

    >>> px.fmod(px.asarray([7, -7]), 3)
    px.Tensor([ 1 -1], dtype=int32)
    """

    lhs: Operand[Number]
    rhs: Operand[Number]
    eval = _guarded(_toward_zero)
    scalar = scalar_code.truncated_remainder
    vjp = lambda ct, out, lhs, rhs: (ct, -ct * round_((lhs - out) / rhs))


@op
class quotient(Elementwise):
    """Elementwise integer division, rounded toward zero; 0 where the divisor is 0.

    >>> px.quotient(px.asarray([7, -7]), 2)
    px.Tensor([ 3 -3], dtype=int32)
    """

    lhs: Operand[Integer]
    rhs: Operand[Integer]
    eval = _guarded(lambda xp, lhs, rhs: xp.floor_divide(lhs - _toward_zero(xp, lhs, rhs), rhs))
    scalar = scalar_code.truncated_quotient
    vjp = not_differentiable("its operands are integers")


@op(symbol="u-")
class negative(Elementwise):
    """Elementwise negation.

    >>> px.negative(px.asarray([1.0, -2.0]))
    px.Tensor([-1.  2.], dtype=float32)
    """

    x: Operand[Number]
    eval = lambda xp, x: xp.zeros_like(x) - x if xp.dtype_of(x).kind == "u" else xp.negative(x)
    scalar = lambda s, x: s.arith("negf", x) if s.dtype.is_float else s.arith("subi", s.like(0, x), x)
    vjp = lambda ct, out, x: (-ct,)


@op(symbol="u+")
class positive(Elementwise):
    """The operand itself.

    >>> px.positive(px.asarray([1.0, -2.0]))
    px.Tensor([ 1. -2.], dtype=float32)
    """

    x: Operand[Number]
    eval = lambda xp, x: xp.positive(x)
    scalar = lambda s, x: x
    vjp = lambda ct, out, x: (ct,)


@op(symbol="abs", method="abs")
class abs_(Elementwise):
    """Elementwise absolute value; the lowest signed integer stays itself.

    >>> px.abs(px.asarray([1.0, -2.0]))
    px.Tensor([1. 2.], dtype=float32)
    """

    x: Operand[Number]
    eval = lambda xp, x: xp.abs(x)
    scalar = scalar_code.absolute
    vjp = lambda ct, out, x: (ct * sign(x),)


@op
class sign(Elementwise):
    """-1, 0 or 1 by the sign of each element; NaN stays NaN.

    >>> px.sign(px.asarray([3.0, 0.0, -2.0]))
    px.Tensor([ 1.  0. -1.], dtype=float32)
    """

    x: Operand[Number]
    eval = lambda xp, x: xp.sign(x)
    scalar = scalar_code.sign
    vjp = zero_gradient


@op
class copysign(FloatFunction):
    """The magnitude of `x` with the sign of `y`, signed zeros and NaN included.

    >>> px.copysign(px.asarray([1.0, 2.0]), -1.0)
    px.Tensor([-1. -2.], dtype=float32)
    """

    x: Operand[Float]
    y: Operand[Float]
    eval = lambda xp, x, y: xp.copysign(x, y)
    scalar = lambda s, x, y: s.math("copysign", x, y)
    vjp = lambda ct, out, x, y: (ct * sign(x) * copysign(1.0, y), None)


@op
class nextafter(FloatFunction):
    """The neighbouring float of `x` in the direction of `y`.

    >>> px.nextafter(px.asarray(0.0), 1.0)
    px.Tensor(1.e-45, dtype=float32)
    """

    x: Operand[Float]
    y: Operand[Float]
    eval = lambda xp, x, y: xp.where(xp.equal(x, y), y, xp.nextafter(x, y))  # NumPy's float16 keeps x at equal zeros
    scalar = scalar_code.next_after
    vjp = not_differentiable("its value moves in steps of one rounding unit")

    @classmethod
    def lower(cls, b: Any, operands: Any, results: Any, attrs: dict[str, Any]) -> Any:
        return lower_on_storage(cls, b, operands, results[0])


def lower_on_storage(cls: Any, b: Any, operands: Any, result: Aval) -> Any:
    """Lower an op whose `scalar` reads the bits of its operands: 16-bit floats are not widened first."""
    scope = ScalarScope(b.scalars, operands[0].aval.dtype, result.dtype, {})
    return b.elementwise(operands, result, lambda *values: cls.scalar(scope, *values), raw=True)


def _share(ct: Any, wins: Any, ties: Any) -> Any:
    """The part of `ct` an operand of an extreme gets: all where it wins, half of it at a tie."""
    return select(wins, ct, select(ties, ct * 0.5, 0.0))


@op
class maximum(Elementwise):
    """The larger of two elements; NaN when either is.

    >>> px.maximum(px.asarray([1.0, 5.0]), 2.0)
    px.Tensor([2. 5.], dtype=float32)
    """

    lhs: Operand[Number]
    rhs: Operand[Number]
    eval = lambda xp, lhs, rhs: xp.maximum(lhs, rhs)
    scalar = arith_by_kind(f="maximumf", i="maxsi", u="maxui")
    vjp = lambda ct, out, lhs, rhs: (_share(ct, lhs > rhs, lhs == rhs), _share(ct, rhs > lhs, lhs == rhs))


@op
class minimum(Elementwise):
    """The smaller of two elements; NaN when either is.

    >>> px.minimum(px.asarray([1.0, 5.0]), 2.0)
    px.Tensor([1. 2.], dtype=float32)
    """

    lhs: Operand[Number]
    rhs: Operand[Number]
    eval = lambda xp, lhs, rhs: xp.minimum(lhs, rhs)
    scalar = arith_by_kind(f="minimumf", i="minsi", u="minui")
    vjp = lambda ct, out, lhs, rhs: (_share(ct, lhs < rhs, lhs == rhs), _share(ct, rhs < lhs, lhs == rhs))


class _Rounding(Elementwise):
    """Rounds floats to whole numbers; integers pass."""

    vjp = zero_gradient


def _rounding(name: str) -> Any:
    return lambda s, x: s.math(name, x) if s.dtype.is_float else x


@op
class floor(_Rounding):
    """The largest whole number not above each element.

    >>> px.floor(px.asarray([1.5, -1.5]))
    px.Tensor([ 1. -2.], dtype=float32)
    """

    x: Operand[Number]
    eval = lambda xp, x: xp.floor(x) if xp.dtype_of(x).is_float else x
    scalar = _rounding("floor")


@op
class ceil(_Rounding):
    """The smallest whole number not below each element.

    >>> px.ceil(px.asarray([1.5, -1.5]))
    px.Tensor([ 2. -1.], dtype=float32)
    """

    x: Operand[Number]
    eval = lambda xp, x: xp.ceil(x) if xp.dtype_of(x).is_float else x
    scalar = _rounding("ceil")


@op
class trunc(_Rounding):
    """The whole number next to each element toward zero.

    >>> px.trunc(px.asarray([1.5, -1.5]))
    px.Tensor([ 1. -1.], dtype=float32)
    """

    x: Operand[Number]
    eval = lambda xp, x: xp.trunc(x) if xp.dtype_of(x).is_float else x
    scalar = _rounding("trunc")


@op(method=True)
class round_(_Rounding):
    """The nearest whole number, halves to the even one (Nx rounds them away from zero).

    >>> px.round(px.asarray([0.5, 1.5, -2.6]))
    px.Tensor([ 0.  2. -3.], dtype=float32)
    """

    x: Operand[Number]
    eval = lambda xp, x: xp.round(x) if xp.dtype_of(x).is_float else x
    scalar = _rounding("roundeven")
