"""Elementwise arithmetic and mathematics."""

from __future__ import annotations

from phalanx.dialects.kinds import Elementwise, FloatFunction, arith_by_kind
from phalanx.dialects.opdef import Number, Operand, Signed, op


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


@op
class negative(Elementwise):
    """Elementwise negation.

    >>> px.negative(px.asarray([1.0, -2.0]))
    px.Tensor([-1.  2.], dtype=float32)
    """

    x: Operand[Signed]
    eval = lambda xp, x: xp.negative(x)
    scalar = lambda s, x: s.arith("negf", x) if s.dtype.is_float else s.arith("subi", s.like(0, x), x)
    vjp = lambda ct, out, x: (-ct,)


@op(method=True)
class exp(FloatFunction):
    """Elementwise exponential.

    >>> px.exp(px.asarray([0.0, 1.0]))
    px.Tensor([1.        2.7182817], dtype=float32)
    """

    x: Operand[Number]
    eval = lambda xp, x: xp.exp(x)
    scalar = lambda s, x: s.math("exp", x)
    vjp = lambda ct, out, x: (ct * out,)
