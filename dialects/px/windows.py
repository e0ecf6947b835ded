"""Windows: pieces of one size, evenly spaced along axes of a tensor, seen as further axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from phalanx.dialects import dims
from phalanx.dialects.aval import Aval, is_sequence, items, normalize_axes, normalize_axis, shape_of
from phalanx.dialects.dims import Size
from phalanx.dialects.dtypes import DType
from phalanx.dialects.errors import ArgumentError, ShapeError
from phalanx.dialects.kinds import Movement, Sample, emit
from phalanx.dialects.opdef import AnyType, Attr, Axes, Ints, Operand, op
from phalanx.dialects.px.rearrange import moveaxis
from phalanx.dialects.px.shape import is_size, reshape
from phalanx.dialects.px.slicing import pad, slice_
from phalanx.dialects.requirements import at_least
from phalanx.dialects.static_arguments import whole


def whole_numbers(values: Any, count: int, who: str, what: str) -> Ints:
    """One int of at least 1 for each of `count` axes; one for all may be given alone."""
    listed = items(values) if is_sequence(values) else [values] * count
    if len(listed) != count:
        raise ArgumentError(f"{who}: needs one of {what} per axis, got {len(listed)} for {count} axes")
    found = tuple(int(whole(v, who, what)) for v in listed)
    if any(v < 1 for v in found):
        raise ArgumentError(f"{who}: {what} are at least 1, got {values!r}")
    return found


def reach(size: Size, step: int) -> Size:
    """How many places `size` elements cover that are `step` apart."""
    return (size - 1) * step + 1


def fitting(size: Size, covered: Size, step: int) -> Size:
    """How many pieces that cover so many places start `step` apart within `size`."""
    return dims.floor_divide(size - covered, step) + 1


@op
class windows(Movement):
    """Pieces of `sizes`, one every `strides` along `axes` (all of them by default), as new axes at the end in that order.

    >>> px.windows(px.asarray([1.0, 2.0, 3.0, 4.0]), 2)
    px.Tensor([[1. 2.]
               [2. 3.]
               [3. 4.]], dtype=float32)
    >>> px.max(px.windows(px.asarray([3.0, 1.0, 2.0, 5.0]), 2, strides=2), axis=-1)
    px.Tensor([3. 5.], dtype=float32)

    Elements of a piece are `dilations` apart. Inside a compiled function no copy is made for sums, products and
    elementwise operations on windows. Raises ShapeError when a piece is longer than its axis.
    """

    x: Operand[AnyType]
    axes: Attr[Axes]
    sizes: Attr[Ints]
    strides: Attr[Ints]
    dilations: Attr[Ints]

    @classmethod
    def prepare(cls, x: Any, /, sizes: Any, *, axes: Any = None, strides: Any = 1, dilations: Any = 1) -> Any:
        rank = len(shape_of(x))
        found = normalize_axes(axes, rank, cls.name)
        if isinstance(axes, (tuple, list)):  # in their order: sizes, strides and dilations are given for each of them
            found = tuple(normalize_axis(a, rank, cls.name) for a in axes)
        count = len(found)
        return [x], {"axes": found, "sizes": whole_numbers(sizes, count, cls.name, "sizes"),
                     "strides": whole_numbers(strides, count, cls.name, "strides"),
                     "dilations": whole_numbers(dilations, count, cls.name, "dilations")}

    @classmethod
    def infer(cls, avals: Sequence[Aval], attrs: dict[str, Any]) -> Aval:
        (aval,) = avals
        shape = list(aval.shape)
        for axis, size, stride, dilation in _rows(attrs):
            covered = reach(size, dilation)
            message = f"windows: a window of {covered} is longer than axis {axis} of {aval}"
            if not at_least(aval.shape[axis], covered, message):
                raise ShapeError(message)
            shape[axis] = fitting(aval.shape[axis], covered, stride)
        return aval.with_shape((*shape, *attrs["sizes"]))

    @staticmethod
    def eval(xp: Any, x: Any, *, axes: Axes, sizes: Ints, strides: Ints, dilations: Ints) -> Any:
        for axis, size, stride, dilation in zip(axes, sizes, strides, dilations, strict=True):
            count = fitting(x.shape[axis], reach(size, dilation), stride)
            before = (slice(None),) * axis
            x = xp.stack([x[(*before, slice(k * dilation, k * dilation + reach(count, stride), stride), ...)]
                          for k in range(size)], axis=-1)
        return x

    @classmethod
    def lower(cls, b: Any, operands: Sequence[Any], results: Sequence[Aval], attrs: dict[str, Any]) -> Any:
        (x,), result = operands, results[0]
        if any(is_size(s, 0) for s in result.shape):
            return b.uninitialised(result)
        entries: list[Any] = list(range(x.aval.ndim))
        for number, (axis, _, stride, dilation) in enumerate(_rows(attrs)):
            entries[axis] = ("sum", (axis, stride), (x.aval.ndim + number, dilation))
        return b.generic([(x, entries)], [result], lambda value: value, raw=True)[0]

    @staticmethod
    def vjp(ct: Any, out: Any, x: Any, *, axes: Axes, sizes: Ints, strides: Ints, dilations: Ints) -> Any:
        rows = list(zip(axes, sizes, strides, dilations, strict=True))
        for axis, size, stride, dilation in reversed(rows):
            ct = _added_up(ct, axis, size, stride, dilation, x.shape[axis])
        return (ct,)

    @classmethod
    def batch(cls, size: Size, batched: Sequence[bool], operands: Sequence[Any], attrs: dict[str, Any]) -> Any:
        return emit(cls, operands, attrs | {"axes": tuple(a + 1 for a in attrs["axes"])})

    @classmethod
    def samples(cls, dtype: DType) -> list[Sample]:
        cases: list[tuple[tuple[int, ...], Axes, Ints, Ints, Ints]] = [
            ((), (), (), (), ()), ((5,), (0,), (2,), (1,), (1,)), ((6,), (0,), (2,), (2,), (1,)),
            ((7,), (0,), (3,), (2,), (2,)), ((5,), (0,), (5,), (3,), (1,)), ((4, 5), (1,), (3,), (1,), (1,)),
            ((4, 5), (0, 1), (2, 3), (1, 2), (2, 1)), ((2, 5, 4, 3), (1, 2), (3, 2), (2, 2), (1, 1)),
            ((0, 3), (1,), (2,), (1,), (1,))]
        return [(cls.data_samples(dtype, shape),
                 {"axes": axes, "sizes": sizes, "strides": strides, "dilations": dilations})
                for shape, axes, sizes, strides, dilations in cases]


def _rows(attrs: dict[str, Any]) -> list[tuple[int, int, int, int]]:
    return list(zip(attrs["axes"], attrs["sizes"], attrs["strides"], attrs["dilations"], strict=True))


def _added_up(ct: Any, axis: int, size: int, stride: int, dilation: int, length: Size) -> Any:
    """The last axis of `ct` added to the places of `axis` that its elements came from; `axis` is then `length` long."""
    count, last = ct.shape[axis], ct.ndim - 1
    zero = np.zeros((), ct.dtype.numpy)
    if stride == size and dilation == 1:  # side by side: every place is in one window
        joined = moveaxis(ct, last, axis + 1)
        joined = reshape(joined, (*ct.shape[:axis], count * size, *ct.shape[axis + 1:last]))
        return _padded(joined, axis, (0, length - count * size, 0), zero)
    # Place h has element k of window (h - k * dilation) / stride: windows spread out, with nothing in between.
    before = (size - 1) * dilation
    spread = _padded(ct, axis, (before, length - reach(count, stride), stride - 1), zero)
    total = None
    for k in range(size):
        start, limit = [0] * spread.ndim, list(spread.shape)
        start[axis], limit[axis] = before - k * dilation, before - k * dilation + length
        start[last], limit[last] = k, k + 1
        part = emit(slice_, [spread], {"start": tuple(start), "limit": tuple(limit), "strides": (1,) * spread.ndim})
        total = part if total is None else total + part
    assert total is not None
    return reshape(total, total.shape[:last])


def _padded(x: Any, axis: int, amounts: tuple[Any, Any, int], zero: Any) -> Any:
    """`x` with (low, high, interior) zeros along one axis."""
    low, high, interior = amounts
    if interior == 0 and is_size(low, 0) and is_size(high, 0):
        return x
    at = range(x.ndim)
    return emit(pad, [x, zero], {"low": tuple(low if a == axis else 0 for a in at),
                                 "high": tuple(high if a == axis else 0 for a in at),
                                 "interior": tuple(interior if a == axis else 0 for a in at)})
