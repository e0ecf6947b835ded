"""Elementwise comparisons and tests, all with bool results."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from phalanx.dialects import dtypes
from phalanx.dialects.kinds import Comparison
from phalanx.dialects.opdef import AnyType, Float, Operand, op, zero_gradient


def _relation(name: str) -> Callable[..., Any]:
    return lambda s, lhs, rhs: s.compare(name, lhs, rhs, s.dtype)


def _ordered(name: str) -> Callable[..., Any]:
    """An `eval` that orders bools as 0 and 1, which the standard leaves out."""

    def evaluate(xp: Any, lhs: Any, rhs: Any) -> Any:
        if xp.dtype_of(lhs).is_bool:
            lhs, rhs = xp.astype(lhs, dtypes.uint8), xp.astype(rhs, dtypes.uint8)
        return getattr(xp, name)(lhs, rhs)

    return evaluate


@op(symbol="==")
class equal(Comparison):
    """Whether elements are equal; NaN equals nothing.

    >>> px.equal(px.asarray([1, 2]), 2)
    px.Tensor([False  True], dtype=bool)
    """

    lhs: Operand[AnyType]
    rhs: Operand[AnyType]
    eval = lambda xp, lhs, rhs: xp.equal(lhs, rhs)
    scalar = _relation("eq")
    vjp = zero_gradient


@op(symbol="!=")
class not_equal(Comparison):
    """Whether elements differ; NaN differs from everything.

    >>> px.not_equal(px.asarray([1, 2]), 2)
    px.Tensor([ True False], dtype=bool)
    """

    lhs: Operand[AnyType]
    rhs: Operand[AnyType]
    eval = lambda xp, lhs, rhs: xp.not_equal(lhs, rhs)
    scalar = _relation("ne")
    vjp = zero_gradient


@op(symbol="<")
class less(Comparison):
    """Whether `lhs < rhs`, elementwise.

    >>> px.less(px.asarray([1, 2]), 2)
    px.Tensor([ True False], dtype=bool)
    """

    lhs: Operand[AnyType]
    rhs: Operand[AnyType]
    eval = _ordered("less")
    scalar = _relation("lt")
    vjp = zero_gradient


@op(symbol="<=")
class less_equal(Comparison):
    """Whether `lhs <= rhs`, elementwise.

    >>> px.less_equal(px.asarray([1, 2, 3]), 2)
    px.Tensor([ True  True False], dtype=bool)
    """

    lhs: Operand[AnyType]
    rhs: Operand[AnyType]
    eval = _ordered("less_equal")
    scalar = _relation("le")
    vjp = zero_gradient


@op(symbol=">")
class greater(Comparison):
    """Whether `lhs > rhs`, elementwise.

    >>> px.greater(px.asarray([1, 2, 3]), 2)
    px.Tensor([False False  True], dtype=bool)
    """

    lhs: Operand[AnyType]
    rhs: Operand[AnyType]
    eval = _ordered("greater")
    scalar = _relation("gt")
    vjp = zero_gradient


@op(symbol=">=")
class greater_equal(Comparison):
    """Whether `lhs >= rhs`, elementwise.

    >>> px.greater_equal(px.asarray([1, 2, 3]), 2)
    px.Tensor([False  True  True], dtype=bool)
    """

    lhs: Operand[AnyType]
    rhs: Operand[AnyType]
    eval = _ordered("greater_equal")
    scalar = _relation("ge")
    vjp = zero_gradient


def _float_test(name: str, otherwise: bool) -> Callable[..., Any]:
    """An `eval` that asks the library about floats and answers `otherwise` for the rest."""

    def evaluate(xp: Any, x: Any) -> Any:
        if xp.dtype_of(x).is_float:
            return getattr(xp, name)(x)
        return xp.full(x.shape, otherwise, dtype=dtypes.bool_)

    return evaluate


@op
class isnan(Comparison):
    """Whether an element is NaN.

    >>> px.isnan(px.asarray([1.0, float("nan")]))
    px.Tensor([False  True], dtype=bool)
    """

    x: Operand[AnyType]
    eval = _float_test("isnan", otherwise=False)
    scalar = lambda s, x: s.is_nan(x) if s.dtype.is_float else s.constant(False, dtypes.bool_)
    vjp = zero_gradient


def _against_infinity(s: Any, predicate: str, x: Any) -> Any:
    return s.cmpf(predicate, s.math("absf", x), s.like(float("inf"), x))


@op
class isinf(Comparison):
    """Whether an element is infinite.

    >>> px.isinf(px.asarray([1.0, -float("inf")]))
    px.Tensor([False  True], dtype=bool)
    """

    x: Operand[AnyType]
    eval = _float_test("isinf", otherwise=False)
    scalar = lambda s, x: _against_infinity(s, "oeq", x) if s.dtype.is_float else s.constant(False, dtypes.bool_)
    vjp = zero_gradient


@op
class isfinite(Comparison):
    """Whether an element is neither infinite nor NaN.

    >>> px.isfinite(px.asarray([1.0, float("inf"), float("nan")]))
    px.Tensor([ True False False], dtype=bool)
    """

    x: Operand[AnyType]
    eval = _float_test("isfinite", otherwise=True)
    scalar = lambda s, x: _against_infinity(s, "olt", x) if s.dtype.is_float else s.constant(True, dtypes.bool_)
    vjp = zero_gradient


@op
class signbit(Comparison):
    """Whether the sign bit is set: true for negative numbers, -0.0 and negative NaN.

    >>> px.signbit(px.asarray([-0.0, 0.0, -1.0]))
    px.Tensor([ True False  True], dtype=bool)
    """

    x: Operand[Float]
    eval = lambda xp, x: xp.signbit(x)
    # The sign survives copysign whatever x is, so an ordered comparison can see it.
    scalar = lambda s, x: s.cmpf("olt", s.math("copysign", s.like(1.0, x), x), s.like(0.0, x))
    vjp = zero_gradient
