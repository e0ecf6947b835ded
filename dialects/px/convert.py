"""Changing the element type, and the identity that stops gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from phalanx.dialects import dtypes, scalar_code
from phalanx.dialects.aval import Aval
from phalanx.dialects.dtypes import DType, dtype_of
from phalanx.dialects.errors import DTypeError
from phalanx.dialects.kinds import Elementwise, Sample, sample_values
from phalanx.dialects.opdef import AnyType, Attr, Number, Operand, composite, not_differentiable, op, zero_gradient

_SAMPLE_SHAPES: tuple[tuple[int, ...], ...] = ((), (5,), (2, 3), (2, 0, 3), (2, 1, 3, 2))


class _Retyping(Elementwise):
    """One operand, and the dtype of the result as an attribute."""

    promotes = False
    dtype: Attr[DType]

    @classmethod
    def prepare(cls, x: Any, /, dtype: Any) -> tuple[list[Any], dict[str, Any]]:
        return [x], {"dtype": dtype_of(dtype)}

    @classmethod
    def result_dtype(cls, operand: DType, attrs: dict[str, Any]) -> DType:
        return attrs["dtype"]


@op
class convert(_Retyping):
    """The elements in another dtype.

    Floats become integers by truncation; values outside the range saturate and NaN gives 0. Integers wrap.

    >>> px.convert(px.asarray([1.7, -300.0]), px.int8)
    px.Tensor([   1 -128], dtype=int8)
    """

    x: Operand[AnyType]
    domain = (-300.0, 300.0)
    eval = lambda xp, x, dtype: xp.astype(x, dtype)
    scalar = scalar_code.convert

    @staticmethod
    def vjp(ct: Any, out: Any, x: Any, *, dtype: DType) -> tuple[Any]:
        return (convert(ct, x.dtype),) if dtype.is_float and x.dtype.is_float else (None,)

    @classmethod
    def samples(cls, dtype: DType) -> list[Sample]:
        return [([sample_values(dtype, shape, cls.domain, n)], {"dtype": target})
                for n, shape in enumerate(_SAMPLE_SHAPES) for target in dtypes.ALL]


@op
class bitcast(_Retyping):
    """The bits of each element read as another dtype of the same width.

    >>> px.bitcast(px.asarray([1.0]), px.int32)
    px.Tensor([1065353216], dtype=int32)

    Raises DTypeError when the widths differ or the target is bool.
    """

    x: Operand[Number]
    eval = lambda xp, x, dtype: xp.bitcast(x, dtype)
    scalar = lambda s, x: s.bitcast(x, s.result)
    vjp = not_differentiable("the bits of a number are not a smooth function of it")

    @classmethod
    def infer(cls, avals: Sequence[Aval], attrs: dict[str, Any]) -> Aval:
        (aval,) = avals
        target: DType = attrs["dtype"]
        if target.is_bool or target.bits != aval.dtype.bits:
            same = ", ".join(d.name for d in dtypes.NUMBERS if d.bits == aval.dtype.bits)
            raise DTypeError(f"bitcast: {aval.dtype.name} cannot be read as {target.name}",
                             hint=f"dtypes of its width: {same}")
        return aval.with_dtype(target)

    @classmethod
    def lower(cls, b: Any, operands: Sequence[Any], results: Sequence[Aval], attrs: dict[str, Any]) -> Any:
        target = results[0].dtype
        return b.elementwise(operands, results[0], lambda x: b.scalars.bitcast(x, target), raw=True)

    @classmethod
    def samples(cls, dtype: DType) -> list[Sample]:
        return [([sample_values(dtype, shape, cls.domain, n)], {"dtype": target})
                for n, shape in enumerate(_SAMPLE_SHAPES)
                for target in dtypes.NUMBERS if target.bits == dtype.bits]


@op
class stop_gradient(Elementwise):
    """The operand itself, taken as a constant by `grad`.

    >>> px.stop_gradient(px.asarray([1.0, 2.0]))
    px.Tensor([1. 2.], dtype=float32)
    """

    x: Operand[AnyType]
    eval = lambda xp, x: x
    scalar = lambda s, x: x
    vjp = zero_gradient


def placed(x: Any, device: Any) -> Any:
    """`x` on a device of its backend; inside traced functions, which run on one device, `x` itself."""
    return x if device is None else x.to_device(device)


@composite(method=True)
def astype(x: Any, dtype: Any, *, copy: bool = True, device: Any = None) -> Any:
    """The elements in another dtype, with `convert`'s rules; `copy` is accepted for the standard's sake.

    >>> px.astype(px.asarray([1, 2]), px.float64)
    px.Tensor([1. 2.], dtype=float64)
    """
    target = dtype_of(dtype)
    return placed(x if getattr(x, "dtype", None) is target and hasattr(x, "aval") else convert(x, target), device)


def truth(value: Any) -> Any:
    """`value` as bools: true where it is not 0."""
    if isinstance(value, (bool, int, float)):
        return bool(value)
    return astype(value, dtypes.bool_)
