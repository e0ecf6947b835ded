"""Bitwise operations on integers and bools."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from phalanx.dialects import scalar_code
from phalanx.dialects.kinds import Elementwise, arith_by_kind
from phalanx.dialects.opdef import Bits, Integer, Operand, not_differentiable, op


class _Bitwise(Elementwise):
    vjp = not_differentiable("bits are not a smooth function of anything")


@op(symbol="&")
class bitwise_and(_Bitwise):
    """Elementwise and of bits; on bools the logical and.

    >>> px.bitwise_and(px.asarray([6, 5]), 3)
    px.Tensor([2 1], dtype=int32)
    """

    lhs: Operand[Bits]
    rhs: Operand[Bits]
    eval = lambda xp, lhs, rhs: xp.bitwise_and(lhs, rhs)
    scalar = arith_by_kind(i="andi")


@op(symbol="|")
class bitwise_or(_Bitwise):
    """Elementwise or of bits; on bools the logical or.

    >>> px.bitwise_or(px.asarray([6, 5]), 3)
    px.Tensor([7 7], dtype=int32)
    """

    lhs: Operand[Bits]
    rhs: Operand[Bits]
    eval = lambda xp, lhs, rhs: xp.bitwise_or(lhs, rhs)
    scalar = arith_by_kind(i="ori")


@op(symbol="^")
class bitwise_xor(_Bitwise):
    """Elementwise exclusive or of bits.

    >>> px.bitwise_xor(px.asarray([6, 5]), 3)
    px.Tensor([5 6], dtype=int32)
    """

    lhs: Operand[Bits]
    rhs: Operand[Bits]
    eval = lambda xp, lhs, rhs: xp.bitwise_xor(lhs, rhs)
    scalar = arith_by_kind(i="xori")


@op(symbol="~")
class bitwise_invert(_Bitwise):
    """Every bit flipped; on bools the logical not.

    >>> px.bitwise_invert(px.asarray([0, 5]))
    px.Tensor([-1 -6], dtype=int32)
    """

    x: Operand[Bits]
    eval = lambda xp, x: xp.bitwise_invert(x)
    scalar = lambda s, x: s.arith("xori", x, s.like(-1, x))


def _shifting(name: str, *, keeps_sign: bool) -> Callable[..., Any]:
    """An `eval` defined for every amount: outside 0..width-1 all bits are gone, or all are the sign."""

    def evaluate(xp: Any, x: Any, amount: Any) -> Any:
        dtype = xp.dtype_of(x)
        zero, width = xp.zeros_like(amount), xp.full_like(amount, dtype.bits)
        inside = xp.logical_and(xp.greater_equal(amount, zero), xp.less(amount, width))
        if keeps_sign:
            return xp.bitwise_right_shift(x, xp.where(inside, amount, xp.full_like(amount, dtype.bits - 1)))
        return xp.where(inside, getattr(xp, name)(x, xp.where(inside, amount, zero)), xp.zeros_like(x))

    return evaluate


def _right_shift(xp: Any, x: Any, amount: Any) -> Any:
    keeps_sign = xp.dtype_of(x).kind == "i"
    return _shifting("bitwise_right_shift", keeps_sign=keeps_sign)(xp, x, amount)


class _Shift(_Bitwise):
    #: amounts of samples: below 0, inside and beyond the width of the narrow dtypes
    domain = (-3.0, 20.0)


@op(symbol="<<")
class bitwise_left_shift(_Shift):
    """Bits moved up by `amount`; 0 for amounts outside 0..width-1.

    >>> px.bitwise_left_shift(px.asarray([1, 3]), 2)
    px.Tensor([ 4 12], dtype=int32)
    """

    x: Operand[Integer]
    amount: Operand[Integer]
    eval = _shifting("bitwise_left_shift", keeps_sign=False)
    scalar = lambda s, x, amount: scalar_code.shift(s, "shli", x, amount)


@op(symbol=">>")
class bitwise_right_shift(_Shift):
    """Bits moved down by `amount`, the sign repeated; 0 or -1 for amounts outside 0..width-1.

    >>> px.bitwise_right_shift(px.asarray([12, -12]), 2)
    px.Tensor([ 3 -3], dtype=int32)
    """

    x: Operand[Integer]
    amount: Operand[Integer]
    eval = _right_shift
    scalar = lambda s, x, amount: scalar_code.shift(s, "shrsi" if s.dtype.kind == "i" else "shrui", x, amount)


@op
class population_count(_Bitwise):
    """Number of one bits of each element.

    >>> px.population_count(px.asarray([7, -1]))
    px.Tensor([ 3 32], dtype=int32)
    """

    x: Operand[Integer]
    eval = lambda xp, x: xp.population_count(x)
    scalar = lambda s, x: s.math("ctpop", x)


@op
class count_leading_zeros(_Bitwise):
    """Number of zero bits above the highest one bit of each element.

    >>> px.count_leading_zeros(px.asarray([1, 0]))
    px.Tensor([31 32], dtype=int32)
    """

    x: Operand[Integer]
    eval = lambda xp, x: xp.count_leading_zeros(x)
    scalar = lambda s, x: s.math("ctlz", x)
