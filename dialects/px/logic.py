"""Logical operations on truth values, and the choice between two tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from phalanx.dialects import dtypes
from phalanx.dialects.aval import Aval, broadcast_shapes
from phalanx.dialects.errors import DTypeError
from phalanx.dialects.kinds import Comparison, Elementwise
from phalanx.dialects.opdef import AnyType, Logical, Operand, composite, op, zero_gradient
from phalanx.dialects.px.convert import truth


class _LogicalFunction(Comparison):
    """Takes any dtype; an operand is true where it is not 0, NaN included."""

    promotes = False
    vjp = zero_gradient

    @classmethod
    def prepare(cls, *args: Any, **kwargs: Any) -> tuple[list[Any], dict[str, Any]]:
        operands, attrs = super().prepare(*args, **kwargs)
        return [truth(o) for o in operands], attrs


@op
class logical_and(_LogicalFunction):
    """Whether both elements are true.

    >>> px.logical_and(px.asarray([True, True, False]), px.asarray([1, 0, 1]))
    px.Tensor([ True False False], dtype=bool)
    """

    lhs: Operand[Logical]
    rhs: Operand[Logical]
    eval = lambda xp, lhs, rhs: xp.logical_and(lhs, rhs)
    scalar = lambda s, lhs, rhs: s.arith("andi", lhs, rhs)


@op
class logical_or(_LogicalFunction):
    """Whether one element or both are true.

    >>> px.logical_or(px.asarray([True, False]), px.asarray([0, 0]))
    px.Tensor([ True False], dtype=bool)
    """

    lhs: Operand[Logical]
    rhs: Operand[Logical]
    eval = lambda xp, lhs, rhs: xp.logical_or(lhs, rhs)
    scalar = lambda s, lhs, rhs: s.arith("ori", lhs, rhs)


@op
class logical_xor(_LogicalFunction):
    """Whether exactly one element is true.

    >>> px.logical_xor(px.asarray([True, False]), True)
    px.Tensor([False  True], dtype=bool)
    """

    lhs: Operand[Logical]
    rhs: Operand[Logical]
    eval = lambda xp, lhs, rhs: xp.logical_xor(lhs, rhs)
    scalar = lambda s, lhs, rhs: s.arith("xori", lhs, rhs)


@op
class logical_not(_LogicalFunction):
    """Whether an element is false.

    >>> px.logical_not(px.asarray([1.0, 0.0]))
    px.Tensor([False  True], dtype=bool)
    """

    x: Operand[Logical]
    eval = lambda xp, x: xp.logical_not(x)
    scalar = lambda s, x: s.arith("xori", x, s.constant(True, dtypes.bool_))


@op
class select(Elementwise):
    """`yes` where `condition` is true, else `no`; no gradient flows into what was not chosen.

    >>> px.select(px.asarray([True, False]), px.asarray([1.0, 2.0]), 0.0)
    px.Tensor([1. 0.], dtype=float32)
    """

    condition: Operand[Logical]
    yes: Operand[AnyType]
    no: Operand[AnyType]
    promotes = ("yes", "no")
    eval = lambda xp, condition, yes, no: xp.where(condition, yes, no)
    scalar = lambda s, condition, yes, no: s.select(condition, yes, no)
    vjp = lambda ct, out, condition, yes, no: (None, select(condition, ct, 0), select(condition, 0, ct))

    @classmethod
    def prepare(cls, *args: Any, **kwargs: Any) -> tuple[list[Any], dict[str, Any]]:
        (condition, yes, no), attrs = super().prepare(*args, **kwargs)
        return [truth(condition), yes, no], attrs

    @classmethod
    def infer(cls, avals: Sequence[Aval], attrs: dict[str, Any]) -> Aval:
        _, yes, no = avals
        if yes.dtype is not no.dtype:
            raise DTypeError(f"select: the choices have different dtypes, got {yes} and {no}")
        return Aval(broadcast_shapes("select", *[a.shape for a in avals]), yes.dtype)


@composite
def where(condition: Any, x: Any, y: Any) -> Any:
    """`x` where `condition` is true, else `y`.

    >>> px.where(px.asarray([True, False]), px.asarray([1.0, 2.0]), 0.0)
    px.Tensor([1. 0.], dtype=float32)
    """
    return select(condition, x, y)
