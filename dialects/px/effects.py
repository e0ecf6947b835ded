"""Operations with effects outside the program: calls of host code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from phalanx.dialects.aval import Aval
from phalanx.dialects.dtypes import DType
from phalanx.dialects.kinds import Sample, emit
from phalanx.dialects.opdef import AnyType, Attr, Op, Variadic, not_differentiable, op


@op
class host_call(Op):
    """Shows tensors to the host function of call site `site`, in the order of the source.

    Users write `px.io_call` and `px.print`; `label` names the site in dumps.
    """

    public = False
    side_effect = True
    results = 0
    values: Variadic[AnyType]
    site: Attr[int]
    label: Attr[str] = ""
    vjp = not_differentiable("a host call has no result")

    @classmethod
    def infer(cls, avals: Sequence[Aval], attrs: dict[str, Any]) -> tuple[Aval, ...]:
        return ()

    @staticmethod
    def eval(xp: Any, *values: Any, **attrs: Any) -> tuple[Any, ...]:
        """Nothing: the evaluator makes the call itself, backends have no call sites."""
        return ()

    @classmethod
    def lower(cls, b: Any, operands: Sequence[Any], results: Sequence[Aval], attrs: dict[str, Any]) -> Any:
        return b.host_call(attrs["site"], list(operands), [])

    @classmethod
    def batch(cls, size: Any, batched: Sequence[bool], operands: Sequence[Any], attrs: dict[str, Any]) -> Any:
        return emit(cls, operands, attrs)  # the host sees the whole batch, its axis first

    @classmethod
    def samples(cls, dtype: DType) -> list[Sample]:
        return []
