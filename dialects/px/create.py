"""Tensors made from attributes alone or from one scalar: constants, fills, counting, sizes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from phalanx.dialects import dtypes
from phalanx.dialects.aval import Aval, aval_of, normalize_axis
from phalanx.dialects.dims import Dim, Size
from phalanx.dialects.dtypes import DType, dtype_of
from phalanx.dialects.errors import ArgumentError, DTypeError, ShapeError
from phalanx.dialects.kinds import Creation, Sample, sample_values
from phalanx.dialects.opdef import AnyType, Attr, Operand, Sizes, not_differentiable, op
from phalanx.dialects.px.convert import convert, placed
from phalanx.dialects.px.reduce import sum_
from phalanx.dialects.px.shape import broadcast, normalize_shape, normalize_size

_SAMPLE_SHAPES: tuple[tuple[int, ...], ...] = ((), (5,), (2, 3), (2, 0, 3), (2, 1, 3, 2))


@op
class constant(Creation):
    """A tensor written out in the program."""

    public = False
    value: Attr[np.ndarray[Any, Any]]
    eval = lambda xp, value: xp.from_numpy(value)
    vjp = not_differentiable("a constant has no operand")

    @classmethod
    def infer(cls, avals: Sequence[Aval], attrs: dict[str, Any]) -> Aval:
        return aval_of(attrs["value"])

    @classmethod
    def lower(cls, b: Any, operands: Sequence[Any], results: Sequence[Aval], attrs: dict[str, Any]) -> Any:
        value = attrs["value"]
        # Equal in bits: 0.0 and -0.0 are not one value.
        if value.size and value.tobytes() == value.flat[0].tobytes() * value.size:
            return b.fill(results[0], value.flat[0])
        return b.dense(value, results[0])

    @classmethod
    def samples(cls, dtype: DType) -> list[Sample]:
        return [([], {"value": sample_values(dtype, shape, cls.domain, n)}) for n, shape in enumerate(_SAMPLE_SHAPES)]


def typed_scalar(value: Any, dtype: DType, who: str) -> Any:
    """`value` in `dtype`: a Python number becomes a constant, anything else is converted.

    Raises DTypeError when an int lies outside the range of `dtype`.
    """
    if not isinstance(value, (bool, int, float)) or isinstance(value, np.generic):
        return convert(value, dtype)
    if dtype.is_integer and not np.iinfo(dtype.numpy).min <= value <= np.iinfo(dtype.numpy).max:
        raise DTypeError(f"{who}: the value does not fit {dtype.name}, got {value}")
    with np.errstate(over="ignore"):
        return constant(value=np.asarray(value).astype(dtype.numpy))


@op
class full(Creation):
    """A tensor of one value.

    >>> px.full((2, 2), 7)
    px.Tensor([[7 7]
               [7 7]], dtype=int32)

    Raises ShapeError when the value is not a scalar.
    """

    value: Operand[AnyType]
    shape: Attr[Sizes]

    @classmethod
    def prepare(cls, shape: Any, fill_value: Any, *, dtype: Any = None,
                device: Any = None) -> tuple[list[Any], dict[str, Any]]:
        found = fill_value
        if dtype is not None or device is not None:
            found = typed_scalar(fill_value, aval_of(fill_value).dtype if dtype is None else dtype_of(dtype), cls.name)
        return [placed(found, device)], {"shape": normalize_shape(shape, cls.name)}

    @classmethod
    def infer(cls, avals: Sequence[Aval], attrs: dict[str, Any]) -> Aval:
        (value,) = avals
        if value.ndim:
            raise ShapeError(f"full: the value is a scalar, got {value}", hint="px.broadcast repeats a tensor")
        return value.with_shape(attrs["shape"])

    eval = lambda xp, value, shape: xp.broadcast_to(value, shape)

    @classmethod
    def lower(cls, b: Any, operands: Sequence[Any], results: Sequence[Aval], attrs: dict[str, Any]) -> Any:
        return b.elementwise(operands, results[0], lambda value: value, raw=True)

    vjp = lambda ct, out, value, shape: (sum_(ct),)

    @classmethod
    def batch(cls, size: Size, batched: Sequence[bool], operands: Sequence[Any], attrs: dict[str, Any]) -> Any:
        return broadcast(operands[0], (size, *attrs["shape"]), axes=(0,))

    @classmethod
    def samples(cls, dtype: DType) -> list[Sample]:
        return [([sample_values(dtype, (), cls.domain, n)], {"shape": s}) for n, s in enumerate(_SAMPLE_SHAPES)]


@op
class iota(Creation):
    """0, 1, 2, ... along `axis`, the same along every other; without an axis in row-major order.

    >>> px.iota((2, 3), axis=1)
    px.Tensor([[0 1 2]
               [0 1 2]], dtype=int32)

    Raises DTypeError for dtype bool.
    """

    shape: Attr[Sizes]
    axis: Attr[int | None] = None
    dtype: Attr[DType] = dtypes.DEFAULT_INT
    vjp = not_differentiable("iota has no operand")

    @classmethod
    def prepare(cls, shape: Any, /, *, axis: int | None = None,
                dtype: Any = dtypes.DEFAULT_INT) -> tuple[list[Any], dict[str, Any]]:
        sizes, target = normalize_shape(shape, cls.name), dtype_of(dtype)
        if target.is_bool:
            raise DTypeError("iota: cannot count in bool")
        along = None if axis is None else normalize_axis(axis, len(sizes), cls.name)
        return [], {"shape": sizes, "axis": along, "dtype": target}

    @classmethod
    def infer(cls, avals: Sequence[Aval], attrs: dict[str, Any]) -> Aval:
        return Aval(attrs["shape"], attrs["dtype"])

    @staticmethod
    def eval(xp: Any, *, shape: Any, axis: int | None, dtype: DType) -> Any:
        if axis is None:
            count = int(np.prod(shape, dtype=np.int64))
            return xp.astype(xp.reshape(xp.arange(count, dtype=dtypes.int64), shape), dtype)
        line = xp.astype(xp.arange(shape[axis], dtype=dtypes.int64), dtype)
        return xp.broadcast_to(xp.reshape(line, tuple(s if a == axis else 1 for a, s in enumerate(shape))), shape)

    @classmethod
    def lower(cls, b: Any, operands: Sequence[Any], results: Sequence[Aval], attrs: dict[str, Any]) -> Any:
        (result,) = results
        if attrs["axis"] is None and result.ndim != 1:
            if result.ndim == 0 or any(isinstance(s, int) and s == 0 for s in result.shape):
                return b.fill(result, 0)
            return b.reshape(cls._count(b, result.with_shape((result.size,)), 0), result)
        return cls._count(b, result, attrs["axis"] or 0)

    @classmethod
    def _count(cls, b: Any, result: Aval, axis: int) -> Any:
        return b.generic([], [result], lambda: b.scalars.index_to(b.scalars.loop_index(axis), result.dtype))[0]

    @classmethod
    def samples(cls, dtype: DType) -> list[Sample]:
        if dtype.is_bool:
            return []
        cases: list[tuple[tuple[int, ...], int | None]] = [
            ((), None), ((5,), None), ((5,), 0), ((2, 3), None), ((2, 3), 0), ((2, 3), 1), ((2, 0, 3), None),
            ((2, 0, 3), 0), ((2, 1, 3, 2), 2), ((0,), 0)]
        return [([], {"shape": shape, "axis": axis, "dtype": dtype}) for shape, axis in cases]


@op
class dim_size(Creation):
    """The value of a size, named ones included, as a rank-0 integer tensor.

    >>> px.dim_size(5)
    px.Tensor(5, dtype=int32)
    """

    size: Attr[Sizes]
    dtype: Attr[DType] = dtypes.DEFAULT_INT
    vjp = not_differentiable("a size has no operand")

    @classmethod
    def prepare(cls, size: Any, *, dtype: Any = dtypes.DEFAULT_INT) -> tuple[list[Any], dict[str, Any]]:
        target = dtype_of(dtype)
        if not target.is_integer:
            raise DTypeError(f"dim_size: a size is an integer, got dtype {target.name}")
        return [], {"size": (normalize_size(size, cls.name),), "dtype": target}

    @classmethod
    def infer(cls, avals: Sequence[Aval], attrs: dict[str, Any]) -> Aval:
        return Aval((), attrs["dtype"])

    @staticmethod
    def eval(xp: Any, *, size: tuple[Size, ...], dtype: DType) -> Any:
        (value,) = size
        if isinstance(value, Dim):
            raise ArgumentError(f"dim_size: the size {value} has no value here")
        return xp.astype(xp.asarray(value, dtype=dtypes.int64), dtype)

    @classmethod
    def lower(cls, b: Any, operands: Sequence[Any], results: Sequence[Aval], attrs: dict[str, Any]) -> Any:
        s, (value,), (result,) = b.scalars, attrs["size"], results
        return b.fill(result, s.store(s.index_to(b.size(value), result.dtype), result.dtype))

    @classmethod
    def samples(cls, dtype: DType) -> list[Sample]:
        return [([], {"size": (n,), "dtype": dtype}) for n in (0, 1, 5)] if dtype.is_integer else []
