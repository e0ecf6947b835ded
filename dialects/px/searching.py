"""Composites that look for elements: isin, nonzero, searchsorted."""

from __future__ import annotations

from typing import Any

from phalanx.dialects import dtypes
from phalanx.dialects.dims import Dim
from phalanx.dialects.errors import ArgumentError, ShapeError
from phalanx.dialects.opdef import composite
from phalanx.dialects.px.compare import isnan
from phalanx.dialects.px.convert import astype
from phalanx.dialects.px.create import full, iota
from phalanx.dialects.px.logic import select
from phalanx.dialects.px.rearrange import ravel
from phalanx.dialects.px.reduce import any_
from phalanx.dialects.px.shape import as_tensor
from phalanx.dialects.px.subscript import getitem
from phalanx.dialects.px.take import take


@composite
def isin(x1: Any, x2: Any, /, *, invert: bool = False) -> Any:
    """Whether each element of `x1` is among those of `x2` (is not, with `invert`); NaN is among none.

    >>> px.isin(px.asarray([1, 2, 3]), px.asarray([3, 1]))
    px.Tensor([ True False  True], dtype=bool)
    """
    found = any_(getitem(as_tensor(x1), (..., None)) == ravel(as_tensor(x2)), axis=-1)
    return ~found if invert else found


@composite
def nonzero(x: Any, /) -> tuple[Any, ...]:
    """Where the elements are that are not 0: one int32 tensor of positions per axis, in row-major order.

    >>> px.nonzero(px.asarray([0.0, 3.0, 5.0]))
    (px.Tensor([1 2], dtype=int32),)

    How many there are depends on the values, so traced functions refuse it with a TraceError; `px.where` and
    `px.count_nonzero` work everywhere. Raises ShapeError for rank 0.
    """
    x = as_tensor(x)
    if not x.ndim:
        raise ShapeError("nonzero: a rank-0 tensor has no positions", hint="compare it with 0: x != 0")
    chosen = astype(x, dtypes.bool_)
    return tuple(getitem(iota(x.shape, axis=axis), chosen) for axis in range(x.ndim))


@composite
def searchsorted(x1: Any, x2: Any, /, *, side: str = "left", sorter: Any = None) -> Any:
    """Where the values `x2` belong in the ascending vector `x1`: as int32, by bisection.

    `side` says whether before or after equal elements; `sorter` has the positions that would sort `x1`. NaN
    belongs behind every number.

    >>> px.searchsorted(px.asarray([1.0, 3.0, 5.0]), px.asarray([3.0, 4.0, 9.0]))
    px.Tensor([1 2 3], dtype=int32)

    Raises ShapeError when `x1` is not a vector, ArgumentError for another `side`.
    """
    x1, x2 = as_tensor(x1), as_tensor(x2)
    if x1.ndim != 1:
        raise ShapeError(f"searchsorted: the sorted tensor is a vector, got {x1.aval}")
    if side not in ("left", "right"):
        raise ArgumentError(f"searchsorted: side is 'left' or 'right', got {side!r}")
    line = x1 if sorter is None else take(x1, sorter)
    if line.ndim != 1:
        raise ShapeError(f"searchsorted: the sorter is a vector of positions, got {as_tensor(sorter).aval}")
    (count,) = line.shape
    low = full(x2.shape, 0, dtype=dtypes.int32)
    high = low + count
    # Half of what is left at each step: as many steps as the size has bits.
    for _ in range(31 if isinstance(count, Dim) else count.bit_length()):
        middle = (low + high) // 2
        above = (low < high) & _comes_before(take(line, middle), x2, equals=side == "right")
        low, high = select(above, middle + 1, low), select(above, high, middle)
    return low


def _comes_before(element: Any, value: Any, *, equals: bool) -> Any:
    """Whether `element` is in front of `value` in ascending order, NaN last."""
    before = element <= value if equals else element < value
    if value.dtype.is_inexact:
        before = before | (isnan(value) if equals else isnan(value) & ~isnan(element))
    return before
