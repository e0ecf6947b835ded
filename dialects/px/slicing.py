"""Rectangular parts of tensors: static and run-time slices, updates of slices, padding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from phalanx.dialects import dims
from phalanx.dialects.aval import Aval, Shape, items, shape_of
from phalanx.dialects.dims import Size
from phalanx.dialects.dtypes import DType, bool_
from phalanx.dialects.errors import DTypeError, ShapeError, TraceError
from phalanx.dialects.kinds import Movement, Sample, emit
from phalanx.dialects.opdef import AnyType, Attr, Integer, Ints, Operand, Sizes, Variadic, lookup, op
from phalanx.dialects.px.shape import filled, is_size, normalize_shape, normalize_size, with_batch_axis, zeros_like
from phalanx.dialects.requirements import at_least


def _per_axis(values: Any, rank: int, who: str, what: str) -> list[Any]:
    """One value per axis."""
    listed = items(values)
    if len(listed) != rank:
        raise ShapeError(f"{who}: needs one {what} per axis, got {len(listed)} for rank {rank}")
    return listed


@op
class slice_(Movement):
    """Elements from `start` up to `limit` in steps of `strides`, one of each per axis.

    >>> px.slice(px.asarray([0.0, 1.0, 2.0, 3.0, 4.0]), (1,), (5,), (2,))
    px.Tensor([1. 3.], dtype=float32)

    Raises ShapeError unless 0 <= start <= limit <= size; for the forms of NumPy use `x[...]`.
    """

    x: Operand[AnyType]
    start: Attr[Sizes]
    limit: Attr[Sizes]
    strides: Attr[Ints]

    @classmethod
    def prepare(cls, x: Any, /, start: Any, limit: Any, strides: Any = None) -> Any:
        shape = shape_of(x)
        rank = len(shape)
        first = tuple(normalize_size(s, cls.name) for s in _per_axis(start, rank, cls.name, "start"))
        last = [normalize_size(s, cls.name) for s in _per_axis(limit, rank, cls.name, "limit")]
        for axis, (begin, end, size) in enumerate(zip(first, last, shape, strict=True)):
            bounds = f"slice: needs 0 <= start <= limit <= size, got {begin}:{end} for axis {axis} of size {size}"
            if not at_least(end, begin, bounds):
                raise ShapeError(bounds)
        steps = (1,) * rank if strides is None else tuple(int(s) for s in _per_axis(strides, rank, cls.name, "stride"))
        return [x], {"start": first, "limit": tuple(last), "strides": steps}

    @classmethod
    def infer(cls, avals: Sequence[Aval], attrs: dict[str, Any]) -> Aval:
        (aval,) = avals
        shape: list[Size] = []
        rows = zip(aval.shape, attrs["start"], attrs["limit"], attrs["strides"], strict=True)
        for axis, (size, start, limit, stride) in enumerate(rows):
            if stride < 1:
                raise ShapeError(f"slice: strides are at least 1, got {stride} for axis {axis}",
                                 hint="x[::-1] or px.flip for the opposite order")
            bounds = f"slice: needs 0 <= start <= limit <= size, got {start}:{limit} for axis {axis} of {aval}"
            # With a stride, an empty slice may end a little before its start: (n - 2) // 2 elements are none for n = 2.
            inside = at_least(start, 0, bounds) and at_least(size, limit, bounds)
            if not inside or not at_least(limit + stride - 1, start, bounds):
                raise ShapeError(bounds)
            shape.append(dims.floor_divide(limit - start + (stride - 1), stride))
        return aval.with_shape(tuple(shape))

    @staticmethod
    def eval(xp: Any, x: Any, *, start: Any, limit: Any, strides: Any) -> Any:
        return x[tuple(slice(a, b, c) for a, b, c in zip(start, limit, strides, strict=True))]

    @classmethod
    def lower(cls, b: Any, operands: Sequence[Any], results: Sequence[Aval], attrs: dict[str, Any]) -> Any:
        (x,), result = operands, results[0]
        if any(is_size(s, 0) for s in result.shape):
            return b.uninitialised(result)
        if result.shape == x.aval.shape:
            return x
        return b.slice(x, attrs["start"], result, attrs["strides"])

    @staticmethod
    def vjp(ct: Any, out: Any, x: Any, *, start: Any, limit: Any, strides: Any) -> Any:
        # A cotangent of n elements spread by `stride` covers (n - 1) * stride + 1 places from `start`.
        spread = [dims.maximum((n - 1) * s + 1, 0) if s > 1 else n for n, s in zip(ct.shape, strides, strict=True)]
        high = tuple(size - first - n for size, first, n in zip(x.shape, start, spread, strict=True))
        return (emit(pad, [ct, np.zeros((), ct.dtype.numpy)], {
            "low": tuple(start), "high": high, "interior": tuple(s - 1 for s in strides)}),)

    @classmethod
    def batch(cls, size: Size, batched: Sequence[bool], operands: Sequence[Any], attrs: dict[str, Any]) -> Any:
        return emit(cls, operands, {"start": (0, *attrs["start"]), "limit": (size, *attrs["limit"]),
                                    "strides": (1, *attrs["strides"])})

    @classmethod
    def samples(cls, dtype: DType) -> list[Sample]:
        cases: list[tuple[tuple[int, ...], Ints, Ints, Ints]] = [
            ((), (), (), ()), ((5,), (1,), (4,), (1,)), ((5,), (0,), (5,), (2,)), ((5,), (3,), (3,), (1,)),
            ((5,), (5,), (5,), (1,)), ((3, 4), (1, 0), (3, 4), (1, 3)), ((2, 3, 4), (0, 1, 1), (2, 2, 4), (1, 1, 2)),
            ((2, 3, 2, 3), (1, 0, 0, 1), (2, 3, 1, 3), (1, 2, 1, 1)), ((0, 3), (0, 1), (0, 3), (1, 1))]
        return [(cls.data_samples(dtype, shape), {"start": start, "limit": limit, "strides": strides})
                for shape, start, limit, strides in cases]


def _clamped_starts(b: Any, starts: Sequence[Any], shape: Shape, sizes: Shape) -> list[Any]:
    """Index values of `starts`, clamped so that a window of `sizes` stays inside `shape`."""
    s = b.scalars
    found = []
    for start, size, window in zip(starts, shape, sizes, strict=True):
        dtype = start.aval.dtype
        index = s.to_index(b.scalar_of(start), dtype)
        room = b.size(size - window)
        if dtype.kind == "u":
            found.append(s.arith("minui", index, room))
        else:
            found.append(s.arith("maxsi", s.arith("minsi", index, room), s.index_constant(0)))
    return found


def _check_window(who: str, aval: Aval, sizes: Shape, starts: Sequence[Aval]) -> None:
    if len(starts) != aval.ndim or len(sizes) != aval.ndim:
        raise ShapeError(f"{who}: needs one start and one size per axis of {aval}, got {len(starts)} starts and "
                         f"{len(sizes)} sizes")
    for start in starts:
        if start.ndim:
            raise ShapeError(f"{who}: a start is a rank-0 integer, got {start}")
    for axis, (size, window) in enumerate(zip(aval.shape, sizes, strict=True)):
        larger = f"{who}: the window is larger than the tensor, got {window} for axis {axis} of {aval}"
        if not at_least(size, window, larger):
            raise ShapeError(larger)


def _start_list(starts: Any, rank: int, who: str) -> list[Any]:
    """The starts, given as a sequence of scalars or as one tensor of rank 1."""
    shape = getattr(starts, "shape", None)
    if isinstance(shape, tuple) and len(shape) == 1 and not isinstance(starts, np.ndarray):
        return [starts[i] for i in range(shape[0].__index__())]
    return _per_axis(starts, rank, who, "start")


def _window_indices(starts: Sequence[Any], flags: Sequence[bool], shape: Shape, sizes: Shape, size: Size) -> list[Any]:
    """Per axis (the batch axis first) the positions a batch of windows covers, for gather and scatter."""
    rank = len(sizes)
    grid: list[Any] = [iota_along(size, 0, rank + 1)]
    for axis, (start, flag) in enumerate(zip(starts, flags, strict=True)):
        room = lookup("subtract")(size_tensor(shape[axis], start.dtype), size_tensor(sizes[axis], start.dtype))
        inside = lookup("maximum")(lookup("minimum")(start, room), 0)
        spread = lookup("reshape")(inside, (size, *[1] * rank) if flag else (1,) * (rank + 1))
        grid.append(lookup("convert")(spread, grid[0].dtype) + iota_along(sizes[axis], axis + 1, rank + 1))
    return grid


def size_tensor(size: Size, dtype: DType) -> Any:
    """A size as a rank-0 operand."""
    return np.asarray(size, dtype.numpy) if isinstance(size, int) else lookup("dim_size")(size, dtype=dtype)


def iota_along(size: Size, axis: int, rank: int) -> Any:
    """0, 1, 2, ... along one axis of an otherwise size-1 tensor."""
    shape = tuple(size if a == axis else 1 for a in range(rank))
    return lookup("iota")(shape, axis=axis, dtype="int32")


@op
class dynamic_slice(Movement):
    """A window of static `sizes` at run-time `starts`, moved inside the tensor where it would leave it.

    >>> px.dynamic_slice(px.asarray([0.0, 1.0, 2.0, 3.0]), [3], (2,))
    px.Tensor([2. 3.], dtype=float32)

    `starts` is a list of rank-0 integers, one per axis, or a tensor of them. Raises ShapeError when the
    window is larger than the tensor.
    """

    x: Operand[AnyType]
    starts: Variadic[Integer]
    sizes: Attr[Sizes]

    @classmethod
    def prepare(cls, x: Any, /, starts: Any, sizes: Any) -> Any:
        return [x, *_start_list(starts, len(shape_of(x)), cls.name)], {"sizes": normalize_shape(sizes, cls.name)}

    @classmethod
    def infer(cls, avals: Sequence[Aval], attrs: dict[str, Any]) -> Aval:
        aval, *starts = avals
        _check_window(cls.name, aval, attrs["sizes"], starts)
        return aval.with_shape(attrs["sizes"])

    eval = lambda xp, x, *starts, sizes: xp.dynamic_slice(x, starts, sizes)

    @classmethod
    def lower(cls, b: Any, operands: Sequence[Any], results: Sequence[Aval], attrs: dict[str, Any]) -> Any:
        x, *starts = operands
        if any(is_size(s, 0) for s in results[0].shape):
            return b.uninitialised(results[0])
        return b.slice(x, _clamped_starts(b, starts, x.aval.shape, attrs["sizes"]), results[0])

    vjp = lambda ct, out, x, *starts, sizes: (
        emit(dynamic_update_slice, [zeros_like(x), ct, *starts], {}), *[None] * len(starts))

    @classmethod
    def accumulate(cls, total: Any, ct: Any, x: Any, *starts: Any, sizes: Any) -> Any:
        window = emit(cls, [total, *starts], {"sizes": sizes})
        return emit(dynamic_update_slice, [total, window + ct, *starts], {})

    @classmethod
    def batch(cls, size: Size, batched: Sequence[bool], operands: Sequence[Any], attrs: dict[str, Any]) -> Any:
        x, *starts = operands
        if not any(batched[1:]):
            return emit(cls, [x, np.zeros((), np.int32), *starts], {"sizes": (size, *attrs["sizes"])})
        shape = x.shape[1:] if batched[0] else x.shape
        grid = _window_indices(starts, batched[1:], shape, attrs["sizes"], size)
        grid = grid if batched[0] else grid[1:]
        found = emit(lookup("gather"), [x, *grid], {"axes": tuple(range(x.ndim))})
        return emit(lookup("broadcast"), [found], {
            "shape": (size, *attrs["sizes"]), "axes": tuple(range(found.ndim))})

    @classmethod
    def samples(cls, dtype: DType) -> list[Sample]:
        cases: list[tuple[tuple[int, ...], Ints, Ints]] = [
            ((), (), ()), ((5,), (1,), (3,)), ((5,), (4,), (3,)), ((5,), (-2,), (5,)), ((3, 4), (1, 2), (2, 2)),
            ((2, 3, 2, 3), (0, 1, 1, 0), (2, 1, 1, 3)), ((0, 3), (0, 1), (0, 2))]
        return [([*cls.data_samples(dtype, shape), *(np.asarray(s, np.int32) for s in starts)], {"sizes": sizes})
                for shape, starts, sizes in cases]


@op
class dynamic_update_slice(Movement):
    """`x` with `update` written at run-time `starts`, moved inside the tensor where it would leave it.

    >>> px.dynamic_update_slice(px.asarray([0.0, 1.0, 2.0, 3.0]), px.asarray([9.0, 9.0]), [1])
    px.Tensor([0. 9. 9. 3.], dtype=float32)

    Nx calls it `put_slice`. Raises ShapeError when `update` is larger than `x`.
    """

    x: Operand[AnyType]
    update: Operand[AnyType]
    starts: Variadic[Integer]

    @classmethod
    def prepare(cls, x: Any, /, update: Any, starts: Any) -> Any:
        return [x, update, *_start_list(starts, len(shape_of(x)), cls.name)], {}

    promotes = ("x", "update")

    @classmethod
    def infer(cls, avals: Sequence[Aval], attrs: dict[str, Any]) -> Aval:
        aval, update, *starts = avals
        if aval.dtype is not update.dtype:
            raise DTypeError(f"{cls.name}: operands have different dtypes, got {aval} and {update}")
        _check_window(cls.name, aval, update.shape, starts)
        return aval

    eval = lambda xp, x, update, *starts: xp.dynamic_update_slice(x, update, starts)

    @classmethod
    def lower(cls, b: Any, operands: Sequence[Any], results: Sequence[Aval], attrs: dict[str, Any]) -> Any:
        x, update, *starts = operands
        if any(is_size(s, 0) for s in update.aval.shape):
            return x
        return b.insert(update, x, _clamped_starts(b, starts, x.aval.shape, update.aval.shape))

    @staticmethod
    def vjp(ct: Any, out: Any, x: Any, update: Any, *starts: Any) -> Any:
        outside = emit(dynamic_update_slice, [ct, zeros_like(update), *starts], {})
        inside = emit(dynamic_slice, [ct, *starts], {"sizes": update.shape})
        return outside, inside, *[None] * len(starts)

    @classmethod
    def batch(cls, size: Size, batched: Sequence[bool], operands: Sequence[Any], attrs: dict[str, Any]) -> Any:
        x, update, *starts = operands
        x, update = with_batch_axis(x, batched[0], size), with_batch_axis(update, batched[1], size)
        if not any(batched[2:]):
            return emit(cls, [x, update, np.zeros((), np.int32), *starts], attrs)
        grid = _window_indices(starts, batched[2:], x.shape[1:], update.shape[1:], size)
        return emit(lookup("scatter"), [x, update, *grid], {
            "axes": tuple(range(x.ndim)), "combine": "set", "mode": "clip"})

    @classmethod
    def samples(cls, dtype: DType) -> list[Sample]:
        cases: list[tuple[tuple[int, ...], tuple[int, ...], Ints]] = [
            ((), (), ()), ((5,), (3,), (1,)), ((5,), (3,), (4,)), ((5,), (2,), (-1,)), ((3, 4), (2, 2), (1, 2)),
            ((2, 3, 2, 3), (1, 2, 2, 1), (1, 0, 0, 2)), ((3, 4), (0, 4), (0, 0))]
        return [([*cls.data_samples(dtype, shape, window), *(np.asarray(s, np.int32) for s in starts)], {})
                for shape, window, starts in cases]


@op
class pad(Movement):
    """`value` around and between elements: `config` has (low, high, interior) per axis; negative ones crop.

    >>> px.pad(px.asarray([1.0, 2.0]), 0.0, [(1, 1, 1)])
    px.Tensor([0. 1. 0. 2. 0.], dtype=float32)

    The interior is put in first. Raises ShapeError when more is cropped than there is.
    """

    x: Operand[AnyType]
    value: Operand[AnyType]
    low: Attr[Sizes]
    high: Attr[Sizes]
    interior: Attr[Ints]
    promotes = True

    @classmethod
    def prepare(cls, x: Any, /, value: Any, config: Any) -> Any:
        rank = len(shape_of(x))
        rows = [tuple(items(row)) for row in items(config)]
        if len(rows) != rank or any(len(row) not in (2, 3) for row in rows):
            raise ShapeError(f"pad: needs (low, high, interior) per axis, got {config!r} for rank {rank}")
        full = [(*row, 0)[:3] for row in rows]
        return [x, value], {"low": tuple(r[0] for r in full), "high": tuple(r[1] for r in full),
                            "interior": tuple(r[2] for r in full)}

    @classmethod
    def infer(cls, avals: Sequence[Aval], attrs: dict[str, Any]) -> Aval:
        aval, value = avals
        if value.ndim or value.dtype is not aval.dtype:
            raise ShapeError(f"pad: the value is a scalar of the dtype of the tensor, got {value} for {aval}")
        shape: list[Size] = []
        rows = zip(aval.shape, attrs["low"], attrs["high"], attrs["interior"], strict=True)
        for size, low, high, interior in rows:
            if interior < 0:
                raise ShapeError(f"pad: interior padding is at least 0, got {interior}")
            total = _spread(size, interior) + low + high
            cropped = f"pad: crops more than there is, got {low}, {high} for size {size}"
            if not at_least(total, 0, cropped):
                raise ShapeError(cropped)
            shape.append(total)
        return aval.with_shape(tuple(shape))

    eval = lambda xp, x, value, low, high, interior: xp.pad(x, value, low, high, interior)

    @classmethod
    def lower(cls, b: Any, operands: Sequence[Any], results: Sequence[Aval], attrs: dict[str, Any]) -> Any:
        (x, value), result = operands, results[0]
        scalar = b.scalars.store(b.scalar_of(value), result.dtype)
        around = b.fill(result, scalar)
        firsts: list[Size] = []
        counts: list[Size] = []
        offsets: list[Size] = []
        steps = [i + 1 for i in attrs["interior"]]
        rows = zip(x.aval.shape, result.shape, attrs["low"], attrs["high"], steps, strict=True)
        for size, target, low, high, step in rows:
            first = dims.maximum(dims.floor_divide(step - 1 - low, step), 0)
            last = size - 1 if _not_negative(high) else dims.minimum(
                size - 1, dims.floor_divide(target - 1 - low, step))
            firsts.append(first)
            counts.append(dims.maximum(last - first + 1, 0))
            offsets.append(low + first * step)
        if any(is_size(c, 0) for c in counts):
            return around
        kept = x.aval.with_shape(tuple(counts))
        inner = x if kept.shape == x.aval.shape else b.slice(x, firsts, kept)
        return b.insert(inner, around, offsets, steps)

    @staticmethod
    def vjp(ct: Any, out: Any, x: Any, value: Any, *, low: Any, high: Any, interior: Any) -> Any:
        zero = np.zeros((), ct.dtype.numpy)
        core = emit(pad, [ct, zero], {"low": tuple(-v for v in low), "high": tuple(-v for v in high),
                                      "interior": (0,) * x.ndim})
        dx = emit(slice_, [core], {"start": (0,) * x.ndim, "limit": core.shape,
                                   "strides": tuple(i + 1 for i in interior)})
        around = emit(pad, [filled(x.shape, False, bool_), np.asarray(True)],
                      {"low": low, "high": high, "interior": interior})
        outer = lookup("select")(around, ct, zeros_like(ct))
        return dx, lookup("sum")(outer)

    @classmethod
    def batch(cls, size: Size, batched: Sequence[bool], operands: Sequence[Any], attrs: dict[str, Any]) -> Any:
        x, value = operands
        wide = {name: (0, *attrs[name]) for name in ("low", "high", "interior")}
        if not batched[1]:
            return emit(cls, [x, value], wide)
        x = with_batch_axis(x, batched[0], size)
        placed = emit(cls, [x, np.zeros((), x.dtype.numpy)], wide)
        around = emit(cls, [filled(x.shape, False, bool_), np.asarray(True)], wide)
        spread = emit(lookup("broadcast"), [value], {"shape": placed.shape, "axes": (0,)})
        return lookup("select")(around, spread, placed)

    @classmethod
    def samples(cls, dtype: DType) -> list[Sample]:
        cases: list[tuple[tuple[int, ...], Ints, Ints, Ints]] = [
            ((), (), (), ()), ((3,), (1,), (2,), (0,)), ((3,), (0,), (0,), (2,)), ((5,), (-1,), (-2,), (0,)),
            ((4,), (-2,), (1,), (1,)), ((3,), (-5,), (4,), (1,)), ((2, 3), (1, -1), (0, 2), (1, 0)),
            ((2, 1, 3), (0, 1, -1), (1, 0, -1), (0, 2, 1)), ((1, 2, 2, 3), (0, 0, 1, 0), (0, 1, 0, -2), (0, 0, 0, 1)),
            ((0, 2), (1, 0), (2, 0), (3, 0)), ((2,), (-1,), (-1,), (0,))]
        return [(cls.data_samples(dtype, shape, ()), {"low": low, "high": high, "interior": interior})
                for shape, low, high, interior in cases]


def _spread(size: Size, interior: int) -> Size:
    """A size once `interior` elements stand between neighbours."""
    return size + dims.maximum(size - 1, 0) * interior if interior else size


def _not_negative(value: Size) -> bool:
    try:
        return bool(value >= 0)
    except TraceError:
        return False
