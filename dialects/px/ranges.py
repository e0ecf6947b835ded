"""Composites that make tensors: zeros and ones, ranges, identity and triangular matrices, diagonals."""

from __future__ import annotations

import math
from typing import Any

from phalanx.dialects import dims, dtypes
from phalanx.dialects.aval import aval_of
from phalanx.dialects.dims import Dim, Size
from phalanx.dialects.dtypes import DType, dtype_of
from phalanx.dialects.errors import ArgumentError, ShapeError
from phalanx.dialects.opdef import composite
from phalanx.dialects.px.compare import equal, greater_equal
from phalanx.dialects.px.convert import astype, convert, placed
from phalanx.dialects.px.create import dim_size, full, iota, typed_scalar
from phalanx.dialects.px.elementwise import add, multiply
from phalanx.dialects.px.logic import select
from phalanx.dialects.px.shape import as_tensor, reshape
from phalanx.dialects.px.slicing import pad, slice_


@composite
def zeros(shape: Any, *, dtype: Any = None, device: Any = None) -> Any:
    """A tensor of zeros.

    >>> px.zeros(3)
    px.Tensor([0. 0. 0.], dtype=float32)
    """
    return full(shape, 0, dtype=dtypes.DEFAULT_FLOAT if dtype is None else dtype, device=device)


@composite
def ones(shape: Any, *, dtype: Any = None, device: Any = None) -> Any:
    """A tensor of ones.

    >>> px.ones(3)
    px.Tensor([1. 1. 1.], dtype=float32)
    """
    return full(shape, 1, dtype=dtypes.DEFAULT_FLOAT if dtype is None else dtype, device=device)


@composite
def empty(shape: Any, *, dtype: Any = None, device: Any = None) -> Any:
    """A tensor whose elements do not matter; they are zeros, so that programs stay deterministic.

    >>> px.empty((0, 2)).shape
    (0, 2)
    """
    return full(shape, 0, dtype=dtypes.DEFAULT_FLOAT if dtype is None else dtype, device=device)


@composite
def full_like(x: Any, /, fill_value: Any, *, dtype: Any = None, device: Any = None) -> Any:
    """A tensor of one value with the shape of `x`, and its dtype unless another is given.

    >>> px.full_like(px.asarray([1, 2]), 7)
    px.Tensor([7 7], dtype=int32)
    """
    aval = aval_of(x)
    return full(aval.shape, fill_value, dtype=aval.dtype if dtype is None else dtype, device=device)


@composite
def zeros_like(x: Any, /, *, dtype: Any = None, device: Any = None) -> Any:
    """Zeros with the shape of `x`, and its dtype unless another is given.

    >>> px.zeros_like(px.asarray([1, 2]))
    px.Tensor([0 0], dtype=int32)
    """
    return full_like(x, 0, dtype=dtype, device=device)


@composite
def ones_like(x: Any, /, *, dtype: Any = None, device: Any = None) -> Any:
    """Ones with the shape of `x`, and its dtype unless another is given.

    >>> px.ones_like(px.asarray([1, 2]))
    px.Tensor([1 1], dtype=int32)
    """
    return full_like(x, 1, dtype=dtype, device=device)


@composite
def empty_like(x: Any, /, *, dtype: Any = None, device: Any = None) -> Any:
    """A tensor with the shape of `x` whose elements do not matter.

    >>> px.empty_like(px.asarray([1, 2])).dtype
    px.int32
    """
    return full_like(x, 0, dtype=dtype, device=device)


def _number(value: Any, dtype: DType) -> Any:
    """A Python number as it is, a named size or tensor as a tensor of `dtype`."""
    if isinstance(value, Dim):
        return convert(dim_size(value, dtype=dtypes.int64), dtype)
    return value if isinstance(value, (bool, int, float)) else convert(value, dtype)


def _working(dtype: DType) -> DType:
    """16-bit floats count in float32, where every position is exact."""
    return dtypes.float32 if dtype.is_float and dtype.bits == 16 else dtype


def _range_size(start: Any, stop: Any, step: Any) -> Size:
    if isinstance(start, Dim) or isinstance(stop, Dim) or isinstance(step, Dim):
        if not isinstance(step, int):
            raise ArgumentError(f"arange: with a named size the step is an int, got {step}")
        span = stop - start if step > 0 else start - stop
        return dims.maximum(dims.floor_divide(span + (abs(step) - 1), abs(step)), 0)
    return max(math.ceil((stop - start) / step), 0)


@composite
def arange(start: Any, /, stop: Any = None, step: Any = 1, *, dtype: Any = None, device: Any = None) -> Any:
    """Numbers from `start` up to `stop`, exclusive, in steps; `arange(n)` counts from 0. Sizes may be named.

    >>> px.arange(2, 10, 3)
    px.Tensor([2 5 8], dtype=int32)

    Raises ArgumentError for a step of 0 or for bounds that are tensors.
    """
    if stop is None:
        start, stop = 0, start
    bounds = (start, stop, step)
    if not all(isinstance(b, (int, float, Dim)) for b in bounds):
        raise ArgumentError(f"arange: bounds are Python numbers or sizes, got {bounds}",
                            hint="px.iota(shape) * step + start takes tensors for step and start")
    if step == 0:
        raise ArgumentError("arange: the step cannot be 0")
    if any(isinstance(b, float) and not math.isfinite(b) for b in bounds):
        raise ArgumentError(f"arange: bounds are finite, got {bounds}")
    default = dtypes.DEFAULT_FLOAT if any(isinstance(b, float) for b in bounds) else dtypes.DEFAULT_INT
    target = default if dtype is None else dtype_of(dtype)
    # Python numbers with a fraction need a float to count in, whatever the result is asked to be.
    work = dtypes.float64 if default.is_float and target.is_integer else _working(target)
    counted = iota((_range_size(start, stop, step),), axis=0, dtype=work)
    if step != 1:
        counted = multiply(counted, typed_scalar(step, work, "arange"))
    if start != 0:
        counted = add(counted, convert(_number(start, work), work))
    return placed(astype(counted, target), device)


@composite
def linspace(start: Any, stop: Any, /, num: Any, *, endpoint: bool = True, dtype: Any = None,
             device: Any = None) -> Any:
    """`num` evenly spaced numbers from `start` to `stop`, which is left out when `endpoint` is false.

    >>> px.linspace(0.0, 1.0, 5)
    px.Tensor([0.   0.25 0.5  0.75 1.  ], dtype=float32)

    `start` and `stop` are numbers or scalar tensors; `num` may be a named size.
    """
    target = dtypes.DEFAULT_FLOAT if dtype is None else dtype_of(dtype)
    work = _working(dtypes.to_floating(target))
    first, last = (convert(_number(bound, work), work) for bound in (start, stop))
    counted = iota((num,), axis=0, dtype=work)
    steps = dims.maximum(num - 1 if endpoint else num, 1)
    count = typed_scalar(_number(steps, work), work, "linspace")
    part = counted / count
    values = first * (1.0 - part) + last * part
    if endpoint and not (isinstance(num, int) and num < 2):
        values = select(equal(counted, count), last, values)  # exactly, whatever the rounding
    return placed(astype(values, target), device)


def _offset_positions(rows: Size, columns: Size, offset: int) -> tuple[Any, Any]:
    """Row number plus `offset`, and column number, of every place of a matrix, ready to broadcast."""
    row = iota((rows, 1), axis=0, dtype=dtypes.int32)
    return (add(row, offset) if offset else row), iota((1, columns), axis=1, dtype=dtypes.int32)


@composite
def eye(rows: Any, columns: Any = None, /, *, k: int = 0, dtype: Any = None, device: Any = None) -> Any:
    """A matrix with ones on the diagonal `k` places above the main one, zeros elsewhere.

    >>> px.eye(2)
    px.Tensor([[1. 0.]
               [0. 1.]], dtype=float32)
    """
    row, column = _offset_positions(rows, rows if columns is None else columns, k)
    return astype(equal(row, column), dtypes.DEFAULT_FLOAT if dtype is None else dtype, device=device)


@composite
def tri(rows: Any, columns: Any = None, /, *, k: int = 0, dtype: Any = None) -> Any:
    """A matrix with ones on and below the diagonal `k` places above the main one.

    >>> px.tri(2, 3)
    px.Tensor([[1. 0. 0.]
               [1. 1. 0.]], dtype=float32)
    """
    row, column = _offset_positions(rows, rows if columns is None else columns, k)
    return astype(greater_equal(row, column), dtypes.DEFAULT_FLOAT if dtype is None else dtype)


def _matrices(x: Any, who: str) -> tuple[Any, Size, Size]:
    """`x` as a tensor, and the sizes of its last two axes."""
    x = as_tensor(x)
    if x.ndim < 2:
        raise ShapeError(f"{who}: needs at least two axes, got {x.aval}")
    rows, columns = x.shape[-2:]
    return x, rows, columns


@composite
def tril(x: Any, /, *, k: int = 0) -> Any:
    """The matrices of the last two axes with zeros above the diagonal `k` places above the main one.

    >>> px.tril(px.asarray([[1.0, 2.0], [3.0, 4.0]]))
    px.Tensor([[1. 0.]
               [3. 4.]], dtype=float32)

    Raises ShapeError below rank 2.
    """
    x, rows, columns = _matrices(x, "tril")
    row, column = _offset_positions(rows, columns, k)
    return select(greater_equal(row, column), x, zeros((), dtype=x.dtype))


@composite
def triu(x: Any, /, *, k: int = 0) -> Any:
    """The matrices of the last two axes with zeros below the diagonal `k` places above the main one.

    >>> px.triu(px.asarray([[1.0, 2.0], [3.0, 4.0]]))
    px.Tensor([[1. 2.]
               [0. 4.]], dtype=float32)

    Raises ShapeError below rank 2.
    """
    x, rows, columns = _matrices(x, "triu")
    row, column = _offset_positions(rows, columns, k)
    return select(greater_equal(column, row), x, zeros((), dtype=x.dtype))


def _diagonal_size(rows: Size, columns: Size, offset: int) -> Size:
    if offset >= 0:
        return dims.maximum(dims.minimum(rows, columns - offset), 0)
    return dims.maximum(dims.minimum(rows + offset, columns), 0)


@composite
def take_diagonal(x: Any, /, *, offset: int = 0) -> Any:
    """The diagonal `offset` places above the main one of the matrices of the last two axes.

    >>> px.take_diagonal(px.asarray([[1.0, 2.0], [3.0, 4.0]]))
    px.Tensor([1. 4.], dtype=float32)

    Raises ShapeError below rank 2.
    """
    x, rows, columns = _matrices(x, "take_diagonal")
    lead = tuple(x.shape[:-2])
    if isinstance(columns, Dim):
        raise ShapeError(f"take_diagonal: the number of columns must be known, got {x.aval}")
    size = _diagonal_size(rows, columns, offset)
    if isinstance(size, int) and size == 0:
        return zeros((*lead, 0), dtype=x.dtype)
    # In row-major order the places of a diagonal are one row and one column apart: a strided slice.
    flat = reshape(x, (*lead, rows * columns))
    first = offset if offset >= 0 else -offset * columns
    limit = first + (size - 1) * (columns + 1) + 1
    zero = (0,) * len(lead)
    return slice_(flat, (*zero, first), (*lead, limit), (*[1] * len(lead), columns + 1))


@composite
def make_diagonal(x: Any, /, *, offset: int = 0) -> Any:
    """Square matrices with the last axis of `x` on the diagonal `offset` places above the main one.

    >>> px.make_diagonal(px.asarray([1.0, 2.0]))
    px.Tensor([[1. 0.]
               [0. 2.]], dtype=float32)
    """
    x = as_tensor(x)
    if not x.ndim:
        raise ShapeError(f"make_diagonal: needs at least one axis, got {x.aval}")
    *lead, size = x.shape
    before, after = max(-offset, 0), max(offset, 0)
    # One place of each row is not zero: spread over the columns, then kept on the diagonal only.
    config = [*[(0, 0)] * len(lead), (before, after), (0, 0)]
    column = pad(reshape(x, (*lead, size, 1)), zeros((), dtype=x.dtype), config)
    row, place = _offset_positions(size + abs(offset), size + abs(offset), offset)
    return select(equal(row, place), column, zeros((), dtype=x.dtype))


@composite
def diag(x: Any, /, *, k: int = 0) -> Any:
    """A matrix with the vector `x` on diagonal `k`, or diagonal `k` of the matrix `x`.

    >>> px.diag(px.asarray([1.0, 2.0]))
    px.Tensor([[1. 0.]
               [0. 2.]], dtype=float32)

    Raises ShapeError for other ranks.
    """
    x = as_tensor(x)
    if x.ndim == 1:
        return make_diagonal(x, offset=k)
    if x.ndim == 2:
        return take_diagonal(x, offset=k)
    raise ShapeError(f"diag: needs a vector or a matrix, got {x.aval}", hint="px.take_diagonal, px.make_diagonal")
