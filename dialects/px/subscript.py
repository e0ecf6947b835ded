"""`x[...]` and `x.at[...]`: NumPy's indexing, made of slices, gather and scatter.

Integers, slices (negative steps too), `...`, `None`, integer tensors and arrays, and static boolean masks
are taken, with NumPy's rule for where the axes of integer tensors go. Positions of integer tensors that
are out of range are clamped when read and dropped when written, as in JAX.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from phalanx.dialects import dims
from phalanx.dialects.aval import Shape, broadcast_shapes, numpy_of
from phalanx.dialects.dims import Dim, Size
from phalanx.dialects.dtypes import KINDS, int32
from phalanx.dialects.errors import DTypeError, OutOfRangeError, ShapeError, TraceError
from phalanx.dialects.kinds import emit
from phalanx.dialects.opdef import composite, lookup
from phalanx.dialects.px.index import gather
from phalanx.dialects.px.shape import as_tensor, broadcast, is_size, reshape, reverse, transpose
from phalanx.dialects.px.slicing import dynamic_slice, dynamic_update_slice, iota_along, size_tensor, slice_
from phalanx.dialects.records import record


@record
class _NewAxis:
    """`None`: an axis of size 1."""


@record
class _Range:
    """A slice of one axis: `count` elements from `start`; `step` may be negative."""

    axis: int
    start: Size
    count: Size
    step: int
    whole: bool

    @property
    def lowest(self) -> Size:
        return self.start if self.step > 0 else self.start + (self.count - 1) * self.step


@record
class _Position:
    """A Python integer: the axis goes away."""

    axis: int
    at: Size


@record
class _Indices:
    """An integer tensor on one axis, already counted from the front."""

    axis: int
    values: Any

    @property
    def shape(self) -> Shape:
        return tuple(self.values.shape)


_Item = _NewAxis | _Range | _Position | _Indices


# Reading the key.
def _as_item(item: Any) -> Any:
    """Lists and NumPy scalars in the form the rest expects."""
    if isinstance(item, (list, tuple)):
        array = numpy_of(item)
        return array.astype(np.int64) if array.size == 0 else array
    if isinstance(item, (np.bool_, bool)):
        raise TraceError("index: a bool is not a position", hint="px.where(condition, a, b) selects by a condition")
    return item


def _mask(item: Any) -> np.ndarray[Any, Any] | None:
    """A boolean array whose values are known; None for anything else."""
    dtype = getattr(item, "dtype", None)
    if dtype is None or str(dtype) not in ("bool", "px.bool"):
        return None
    try:
        return np.asarray(item)
    except TraceError:
        raise TraceError(
            "index: the number of elements a traced boolean mask selects is not known",
            hint="use px.where(mask, x, other), or multiply by the mask; a NumPy mask is static and works") from None


def _split_masks(key: Any) -> list[Any]:
    """The key as a list in which every mask has become one integer array per masked axis."""
    items: list[Any] = []
    for raw in key if isinstance(key, tuple) else (key,):
        item = _as_item(raw)
        mask = _mask(item)
        if mask is None:
            items.append(item)
        else:
            items += [_Masked(found, size) for found, size in zip(np.nonzero(mask), mask.shape, strict=True)]
    return items


@record
class _Masked:
    """One axis of a mask: the positions it selects, and the size the axis must have."""

    positions: np.ndarray[Any, Any]
    size: int


def _parse(key: Any, shape: Shape) -> list[_Item]:
    """What the key says about each axis, in order."""
    items = _split_masks(key)
    used = sum(item is not None and item is not Ellipsis for item in items)
    if sum(item is Ellipsis for item in items) > 1:
        raise ShapeError("index: `...` can stand only once")
    if used > len(shape):
        raise OutOfRangeError(f"index: too many indices, got {used} for a tensor of rank {len(shape)}")
    if not any(item is Ellipsis for item in items):
        items.append(Ellipsis)
    found: list[_Item] = []
    axis = 0
    for item in items:
        if item is None:
            found.append(_NewAxis())
        elif item is Ellipsis:
            for _ in range(len(shape) - used):
                found.append(_Range(axis, 0, shape[axis], 1, whole=True))
                axis += 1
        else:
            found.append(_one_axis(item, axis, shape[axis]))
            axis += 1
    return found


def _one_axis(item: Any, axis: int, size: Size) -> _Item:
    if isinstance(item, slice):
        return _range(item, axis, size)
    if isinstance(item, _Masked):
        if not is_size(size, item.size):
            raise OutOfRangeError(f"index: the mask has size {item.size} where the tensor has {size}, axis {axis}")
        return _Indices(axis, item.positions)
    if isinstance(item, Dim):
        return _Position(axis, item)
    shape = getattr(item, "shape", None)
    dtype = getattr(item, "dtype", None)
    if not isinstance(shape, tuple) or dtype is None or (isinstance(item, (np.ndarray, np.generic)) and not shape):
        return _position(item, axis, size)
    if dtype.kind not in "iu":
        raise DTypeError(f"index: positions are integers, got a tensor of {dtype}")
    return _Indices(axis, _wrapped(item, axis, size))


def _position(item: Any, axis: int, size: Size) -> _Position:
    try:
        at = operator.index(item)
    except TypeError as error:
        if isinstance(error, TraceError):
            raise
        raise DTypeError(f"index: a {type(item).__name__} cannot index a tensor",
                         hint="integers, slices, ..., None and integer tensors can") from None
    if isinstance(size, int):
        if not -size <= at < size:
            raise OutOfRangeError(f"index: {at} is out of range for axis {axis} of size {size}")
        return _Position(axis, at % size)
    return _Position(axis, at if at >= 0 else size + at)  # that there is such a position is checked at the call


def _range(item: slice, axis: int, size: Size) -> _Range:
    step = 1 if item.step is None else operator.index(item.step)
    if step == 0:
        raise ShapeError(f"index: a step cannot be 0, axis {axis}")
    if isinstance(size, int) and not isinstance(item.start, Dim) and not isinstance(item.stop, Dim):
        positions = range(*item.indices(size))
        whole = step == 1 and len(positions) == size
        return _Range(axis, positions.start if positions else 0, len(positions), step, whole)
    if step < 0:
        if item.start is not None or item.stop is not None:
            raise TraceError(f"index: a negative step with bounds needs a fixed size, got {size} for axis {axis}",
                             hint="px.flip first, then slice")
        return _Range(axis, size - 1, dims.floor_divide(size + (-step - 1), -step), step, whole=False)
    first = _bound(item.start, size, 0)
    last = _bound(item.stop, size, size)
    left_out = _left_out(item)
    span = last - first if left_out is None else dims.maximum(size - left_out, 0)
    count = dims.maximum(dims.floor_divide(span + (step - 1), step), 0) if step != 1 or left_out is None else span
    return _Range(axis, first, count, step, whole=step == 1 and is_size(first, 0) and last == size)


def _left_out(item: slice) -> int | None:
    """How many elements at the two ends a slice leaves out, when that does not depend on the size: `[2:-1]` leaves out 3.

    What is left then has one form, so that `x[1:]` and `x[:-1]` have the same size.
    """
    start, stop = item.start, item.stop
    if isinstance(start, Dim) or isinstance(stop, Dim):
        return None
    first, last = (0 if end is None else operator.index(end) for end in (start, stop))
    return first - last if first >= 0 and (stop is None or last < 0) else None


def _bound(value: Any, size: Size, default: Size) -> Size:
    """One end of a slice of an axis whose size is a name."""
    if value is None:
        return default
    if isinstance(value, Dim):
        return value
    number = operator.index(value)
    return dims.minimum(number, size) if number >= 0 else dims.maximum(size + number, 0)


def _wrapped(item: Any, axis: int, size: Size) -> Any:
    """Positions with negative ones counted from the end."""
    if isinstance(item, np.ndarray):
        if isinstance(size, int):
            if item.size and (item.min() < -size or item.max() >= size):
                raise OutOfRangeError(f"index: a position is out of range for axis {axis} of size {size}")
            return np.where(item < 0, item + size, item).astype(np.int64 if size > np.iinfo(np.int32).max else np.int32)
        item = lookup("convert")(item, int32)
    return wrap_negative(item, size)


def wrap_negative(index: Any, size: Size) -> Any:
    """An integer tensor whose negative positions count from the end of an axis of `size`."""
    if index.dtype.kind == "u":
        return index
    if index.dtype.bits < 32:
        index = lookup("convert")(index, int32)
    return lookup("select")(index < 0, index + size_tensor(size, index.dtype), index)


# Reading.
def _broadcast_lead(items: Sequence[_Item]) -> Shape:
    return broadcast_shapes("index", *[i.shape for i in items if isinstance(i, _Indices)])


def _with_positions_as_indices(items: list[_Item]) -> list[_Item]:
    """NumPy: beside an integer tensor, an integer is one too."""
    if not any(isinstance(i, _Indices) for i in items):
        return items
    return [_Indices(i.axis, np.asarray(i.at, np.int32)) if isinstance(i, _Position) and isinstance(i.at, int) else i
            for i in items]


def _lead_place(items: Sequence[_Item]) -> int:
    """Before which item the axes of integer tensors go: the first of them, or 0 when others stand in between."""
    places = [n for n, item in enumerate(items) if isinstance(item, _Indices)]
    return places[0] if places == list(range(places[0], places[-1] + 1)) else 0


@composite(method="__getitem__")
def getitem(x: Any, key: Any, /) -> Any:
    """The part of `x` a key selects, as in NumPy; written `x[key]`.

    >>> px.getitem(px.asarray([1.0, 2.0, 3.0]), slice(None, None, -1))
    px.Tensor([3. 2. 1.], dtype=float32)

    Raises OutOfRangeError (an IndexError) for integers out of range; positions in integer tensors are clamped.
    """
    x = as_tensor(x)
    items = _parse(key, x.shape)
    x = _take_ranges(x, items)
    indexed = [i for i in items if isinstance(i, _Indices)]
    if any(i.shape for i in indexed):
        return _take_indices(x, _with_positions_as_indices(items))
    if indexed:
        x = _take_scalars(x, indexed)
    kept: list[Size] = []
    for item in items:
        if isinstance(item, _NewAxis):
            kept.append(1)
        elif isinstance(item, _Range):
            kept.append(item.count)
    return _reshaped(x, tuple(kept))


def _reshaped(x: Any, shape: Shape) -> Any:
    return x if x.shape == shape else emit(reshape, [x], {"shape": shape})


def _take_ranges(x: Any, items: Sequence[_Item]) -> Any:
    """Slices and integers applied, every axis still there. Integers beside integer tensors are left to those."""
    beside = any(isinstance(i, _Indices) and i.shape for i in items)
    shape = x.shape
    start: list[Size] = [0] * len(shape)
    limit: list[Size] = list(shape)
    strides = [1] * len(shape)
    backwards: list[int] = []
    for item in items:
        if isinstance(item, _Range) and not item.whole:
            if item.step < 0:
                backwards.append(item.axis)
            if is_size(item.count, 0):
                start[item.axis] = limit[item.axis] = 0
                continue
            start[item.axis], strides[item.axis] = item.lowest, abs(item.step)
            limit[item.axis] = item.lowest + (item.count - 1) * abs(item.step) + 1
        elif isinstance(item, _Position) and not (beside and isinstance(item.at, int)):
            start[item.axis], limit[item.axis] = item.at, item.at + 1
    if any(not is_size(a, 0) for a in start) or tuple(limit) != shape or any(s != 1 for s in strides):
        x = emit(slice_, [x], {"start": tuple(start), "limit": tuple(limit), "strides": tuple(strides)})
    return emit(reverse, [x], {"axes": tuple(backwards)}) if backwards else x


def _take_scalars(x: Any, indexed: Sequence[_Indices]) -> Any:
    """Rank-0 integer tensors: a window of size 1 on their axes."""
    sizes = list(x.shape)
    starts: list[Any] = [np.zeros((), np.int32)] * len(sizes)
    for item in indexed:
        sizes[item.axis], starts[item.axis] = 1, item.values
    return emit(dynamic_slice, [x, *starts], {"sizes": tuple(sizes)})


def _take_indices(x: Any, items: list[_Item]) -> Any:
    indexed = [i for i in items if isinstance(i, _Indices)]
    found = emit(gather, [x, *[i.values for i in indexed]], {"axes": tuple(i.axis for i in indexed)})
    lead = _broadcast_lead(items)
    place = _lead_place(items)
    # `found` has the lead axes, then the others in order (integers on a named size among them, of size 1).
    before = sum(isinstance(i, (_Range, _Position)) for i in items[:place])
    count = len(lead)
    order = (*range(count, count + before), *range(count), *range(count + before, found.ndim))
    if order != tuple(range(found.ndim)):
        found = emit(transpose, [found], {"axes": order})
    return _reshaped(found, _result_shape(items))


def _result_shape(items: Sequence[_Item]) -> Shape:
    """The shape `x[key]` has."""
    place = _lead_place(items) if any(isinstance(i, _Indices) for i in items) else -1
    shape: list[Size] = []
    for number, item in enumerate(items):
        if number == place:
            shape += _broadcast_lead(items)
        if isinstance(item, _NewAxis):
            shape.append(1)
        elif isinstance(item, _Range):
            shape.append(item.count)
    return tuple(shape)


# Writing.
def index_update(x: Any, key: Any, value: Any, combine: str, mode: str = "drop") -> Any:
    """`x` with `value` (broadcast to the shape of `x[key]`) combined in at `key`."""
    x = as_tensor(x)
    items = _with_positions_as_indices(_parse(key, x.shape))
    value = _fitting(value, x, _result_shape(items))
    plain = all(not isinstance(i, _Indices) and (not isinstance(i, _Range) or i.step == 1) for i in items)
    return _update_window(x, items, value, combine) if plain else _update_scattered(x, items, value, combine, mode)


def _fitting(value: Any, x: Any, shape: Shape) -> Any:
    """The value in the dtype of `x`, broadcast to `shape`."""
    value = as_tensor(value)
    if KINDS.index(value.dtype.kind) > KINDS.index(x.dtype.kind):
        raise DTypeError(f"at: a {value.dtype} value does not fit into a {x.dtype} tensor",
                         hint=f"convert one of them: x.astype(px.{value.dtype}) or value.astype(px.{x.dtype})")
    if value.dtype is not x.dtype:
        value = lookup("convert")(value, x.dtype)
    while value.ndim > len(shape) and is_size(value.shape[0], 1):
        value = emit(reshape, [value], {"shape": value.shape[1:]})
    return value if value.shape == shape else broadcast(value, shape)


_COMBINE = {"add": "add", "multiply": "multiply", "min": "minimum", "max": "maximum"}


def _update_window(x: Any, items: Sequence[_Item], value: Any, combine: str) -> Any:
    """Integers and slices of step 1: a rectangular part."""
    starts: list[Size] = [0] * len(x.shape)
    sizes: list[Size] = [1] * len(x.shape)
    for item in items:
        if isinstance(item, _Range):
            starts[item.axis], sizes[item.axis] = item.start, item.count
        elif isinstance(item, _Position):
            starts[item.axis] = item.at
    value = _reshaped(value, tuple(sizes))
    if combine != "set":
        limit = tuple(a + n for a, n in zip(starts, sizes, strict=True))
        old = emit(slice_, [x], {"start": tuple(starts), "limit": limit, "strides": (1,) * len(sizes)})
        value = lookup(_COMBINE[combine])(old, value)
    if tuple(sizes) == x.shape:
        return value
    return emit(dynamic_update_slice, [x, value, *[size_tensor(s, int32) for s in starts]], {})


def _update_scattered(x: Any, items: Sequence[_Item], value: Any, combine: str, mode: str) -> Any:
    """Any key: axes taken whole stay whole, every other one gets an index tensor."""
    lead = len(_broadcast_lead(items))
    partial = [i for i in items if isinstance(i, _Range) and not i.whole]
    rank = len(partial) + lead
    axes: list[int] = []
    indices: list[Any] = []
    for item in items:
        if isinstance(item, _Range) and not item.whole:
            steps = iota_along(item.count, partial.index(item), rank)
            indices.append(steps * item.step + size_tensor(item.start, int32))
        elif isinstance(item, _Position):
            indices.append(size_tensor(item.at, int32))
        elif isinstance(item, _Indices):
            indices.append(item.values)
        else:
            continue
        axes.append(item.axis)
    value = _in_scatter_order(items, value, partial, lead)
    return emit(lookup("scatter"), [x, value, *indices], {"axes": tuple(axes), "combine": combine, "mode": mode})


def _in_scatter_order(items: Sequence[_Item], value: Any, partial: Sequence[_Range], lead: int) -> Any:
    """The value with its axes as scatter wants them: partial slices, integer tensors, whole axes; no new axes."""
    place = _lead_place(items) if any(isinstance(i, _Indices) for i in items) else -1
    names: list[Any] = []
    sizes: list[Size] = []
    for number, item in enumerate(items):
        if number == place:
            names += [("lead", k) for k in range(lead)]
            sizes += _broadcast_lead(items)
        if isinstance(item, _Range):
            names.append(("axis", item.axis))
            sizes.append(item.count)
    value = _reshaped(value, tuple(sizes))
    wanted: list[Any] = [("axis", i.axis) for i in partial] + [("lead", k) for k in range(lead)]
    wanted += [("axis", i.axis) for i in items if isinstance(i, _Range) and i.whole]
    order = tuple(names.index(name) for name in wanted)
    return value if order == tuple(range(len(order))) else emit(transpose, [value], {"axes": order})


class At:
    """`x.at`: updates of parts of an immutable tensor.

    >>> x = px.asarray([1.0, 2.0, 3.0])
    >>> x.at[1:].add(10)
    px.Tensor([ 1. 12. 13.], dtype=float32)
    """

    __slots__ = ("_x",)

    def __init__(self, x: Any) -> None:
        self._x = x

    def __getitem__(self, key: Any) -> Place:
        return Place(self._x, key)


class Place:
    """One part of a tensor, `x.at[key]`: every method gives the tensor with that part changed.

    Values broadcast to the shape of `x[key]`. Positions of integer tensors out of range are dropped, or with
    `mode="clip"` moved to the nearest in range. Of repeated positions `set` keeps the last value, the others
    combine all.
    """

    __slots__ = ("_key", "_x")

    def __init__(self, x: Any, key: Any) -> None:
        self._x = x
        self._key = key

    def get(self) -> Any:
        """The part itself, `x[key]`."""
        return getitem(self._x, self._key)

    def set(self, value: Any, *, mode: str = "drop") -> Any:
        """`value` in place of the part."""
        return index_update(self._x, self._key, value, "set", mode)

    def add(self, value: Any, *, mode: str = "drop") -> Any:
        """`value` added to the part."""
        return index_update(self._x, self._key, value, "add", mode)

    def multiply(self, value: Any, *, mode: str = "drop") -> Any:
        """The part times `value`."""
        return index_update(self._x, self._key, value, "multiply", mode)

    def min(self, value: Any, *, mode: str = "drop") -> Any:
        """The smaller of the part and `value`."""
        return index_update(self._x, self._key, value, "min", mode)

    def max(self, value: Any, *, mode: str = "drop") -> Any:
        """The larger of the part and `value`."""
        return index_update(self._x, self._key, value, "max", mode)
