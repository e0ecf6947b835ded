"""Operations with effects outside the program: calls of host code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from phalanx.dialects.aval import Aval
from phalanx.dialects.dtypes import DType
from phalanx.dialects.kinds import Sample, emit
from phalanx.dialects.opdef import AnyType, Attr, Op, Operand, op


@op
class host_call(Op):
    """Hands a tensor to the host function of a call site and gives the tensor back, at the same place in the order
    of effects as in the source. Users write `px.io_call` and `px.print`.
    """

    public = False
    side_effect = True
    x: Operand[AnyType]
    site: Attr[int]
    label: Attr[str] = ""

    @classmethod
    def infer(cls, avals: Sequence[Aval], attrs: dict[str, Any]) -> Aval:
        return avals[0]

    eval = lambda xp, x, **_: x

    @classmethod
    def lower(cls, b: Any, operands: Sequence[Any], results: Sequence[Aval], attrs: dict[str, Any]) -> Any:
        b.host_call(attrs["site"], list(operands), [])
        return operands[0]

    # The value passes through; only the look at it has no derivative.
    vjp = lambda ct, out, x, **_: (ct,)

    @classmethod
    def batch(cls, size: Any, batched: Sequence[bool], operands: Sequence[Any], attrs: dict[str, Any]) -> Any:
        return emit(cls, operands, attrs)  # the host sees the whole batch, its axis first

    @classmethod
    def samples(cls, dtype: DType) -> list[Sample]:
        return []
