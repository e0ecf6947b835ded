"""Functions that move elements, made of the shape ops: stack, split, tile, roll, squeeze and relatives."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from phalanx.dialects import dims
from phalanx.dialects.aval import Shape, broadcast_shapes, is_sequence, items, normalize_axes, normalize_axis, numpy_of
from phalanx.dialects.dims import Size
from phalanx.dialects.errors import ArgumentError, ShapeError
from phalanx.dialects.kinds import emit
from phalanx.dialects.opdef import composite, lookup
from phalanx.dialects.px.shape import as_tensor, broadcast, concatenate, is_size, reshape, reverse, sequence, transpose
from phalanx.dialects.px.slicing import dynamic_slice, dynamic_update_slice, slice_
from phalanx.dialects.static_arguments import whole


@composite
def broadcast_to(x: Any, /, shape: Any) -> Any:
    """`x` repeated to `shape` by NumPy's rules.

    >>> px.broadcast_to(px.asarray([1.0, 2.0]), (2, 2))
    px.Tensor([[1. 2.]
               [1. 2.]], dtype=float32)
    """
    return broadcast(x, shape)


@composite
def broadcast_arrays(*tensors: Any) -> list[Any]:
    """All tensors in their common broadcast shape.

    >>> [t.shape for t in px.broadcast_arrays(px.asarray([1, 2]), px.asarray([[3], [4]]))]
    [(2, 2), (2, 2)]
    """
    listed = [as_tensor(t) for t in tensors]
    shape = broadcast_shapes("broadcast_arrays", *[t.shape for t in listed])
    return [t if t.shape == shape else broadcast(t, shape) for t in listed]


@composite
def expand_dims(x: Any, /, axis: int | tuple[int, ...] | list[int] = 0) -> Any:
    """A new axis of size 1 at `axis` (or several); Nx calls it `new_axis`.

    >>> px.expand_dims(px.asarray([1.0, 2.0]), axis=1).shape
    (2, 1)
    """
    x = as_tensor(x)
    wanted = tuple(axis) if isinstance(axis, (tuple, list)) else (axis,)
    places = normalize_axes(wanted, x.ndim + len(wanted), "expand_dims")
    rest = iter(x.shape)
    return reshape(x, tuple(1 if i in places else next(rest) for i in range(x.ndim + len(wanted))))


@composite(method=True)
def squeeze(x: Any, /, axis: int | tuple[int, ...] | list[int] | None = None) -> Any:
    """Without the axes of size 1 named by `axis` (all of them by default).

    >>> px.squeeze(px.asarray([[1.0, 2.0]])).shape
    (2,)

    Raises ShapeError when an axis named has another size.
    """
    x = as_tensor(x)
    if axis is None:
        gone: tuple[int, ...] = tuple(i for i, s in enumerate(x.shape) if is_size(s, 1))
    else:
        gone = normalize_axes(axis, x.ndim, "squeeze")
    for i in gone:
        if not is_size(x.shape[i], 1):
            raise ShapeError(f"squeeze: axis {i} has size {x.shape[i]}, not 1, got {x.aval}")
    return reshape(x, tuple(s for i, s in enumerate(x.shape) if i not in gone))


@composite
def permute_dims(x: Any, /, axes: Sequence[int]) -> Any:
    """Axes in another order, the array-API name of `transpose`.

    >>> px.permute_dims(px.zeros((2, 3, 4)), (2, 0, 1)).shape
    (4, 2, 3)
    """
    return transpose(x, axes)


@composite
def matrix_transpose(x: Any, /) -> Any:
    """The last two axes swapped; `x.mT`.

    >>> px.matrix_transpose(px.zeros((2, 3, 4))).shape
    (2, 4, 3)
    """
    x = as_tensor(x)
    if x.ndim < 2:
        raise ShapeError(f"matrix_transpose: needs at least two axes, got {x.aval}")
    return transpose(x, (*range(x.ndim - 2), x.ndim - 1, x.ndim - 2))


@composite
def moveaxis(x: Any, source: int | Sequence[int], destination: int | Sequence[int], /) -> Any:
    """Axes `source` moved to `destination`, the others in order.

    >>> px.moveaxis(px.zeros((2, 3, 4)), 0, -1).shape
    (3, 4, 2)
    """
    x = as_tensor(x)
    sources = [normalize_axis(a, x.ndim, "moveaxis") for a in items(source)]
    targets = [normalize_axis(a, x.ndim, "moveaxis") for a in items(destination)]
    if len(sources) != len(targets) or len(set(sources)) != len(sources) or len(set(targets)) != len(targets):
        raise ShapeError(f"moveaxis: source and destination must pair distinct axes, got {source} and {destination}")
    order = [a for a in range(x.ndim) if a not in sources]
    for target, origin in sorted(zip(targets, sources, strict=True)):
        order.insert(target, origin)
    return transpose(x, tuple(order))


@composite
def swapaxes(x: Any, axis1: int, axis2: int, /) -> Any:
    """Two axes exchanged.

    >>> px.swapaxes(px.zeros((2, 3, 4)), 0, 2).shape
    (4, 3, 2)
    """
    x = as_tensor(x)
    order = list(range(x.ndim))
    a, b = normalize_axis(axis1, x.ndim, "swapaxes"), normalize_axis(axis2, x.ndim, "swapaxes")
    order[a], order[b] = order[b], order[a]
    return transpose(x, tuple(order))


@composite(method=True)
def flatten(x: Any, /) -> Any:
    """All elements as one axis, row-major.

    >>> px.flatten(px.asarray([[1.0, 2.0], [3.0, 4.0]]))
    px.Tensor([1. 2. 3. 4.], dtype=float32)
    """
    x = as_tensor(x)
    return emit(reshape, [x], {"shape": (x.size,)})


@composite(method=True)
def ravel(x: Any, /) -> Any:
    """All elements as one axis, NumPy's name of `flatten`.

    >>> px.ravel(px.asarray([[1.0], [2.0]]))
    px.Tensor([1. 2.], dtype=float32)
    """
    return flatten(x)


@composite
def flip(x: Any, /, *, axis: int | tuple[int, ...] | list[int] | None = None) -> Any:
    """Elements in the opposite order along `axis` (all axes by default).

    >>> px.flip(px.asarray([1.0, 2.0, 3.0]))
    px.Tensor([3. 2. 1.], dtype=float32)
    """
    return reverse(x, axis)


@composite
def concat(tensors: Sequence[Any], /, *, axis: int | None = 0) -> Any:
    """Tensors joined along an existing axis (flattened first when `axis` is None).

    >>> px.concat([px.asarray([1.0]), px.asarray([2.0, 3.0])])
    px.Tensor([1. 2. 3.], dtype=float32)
    """
    return concatenate(tensors, axis)


@composite
def stack(tensors: Sequence[Any], /, *, axis: int = 0) -> Any:
    """Tensors of one shape joined along a new axis.

    >>> px.stack([px.asarray([1.0, 2.0]), px.asarray([3.0, 4.0])], axis=1)
    px.Tensor([[1. 3.]
               [2. 4.]], dtype=float32)

    Raises ShapeError when the shapes differ.
    """
    listed = [as_tensor(t) for t in sequence(tensors, "stack")]
    if not listed:
        raise ShapeError("stack: needs at least one tensor, got none")
    for tensor in listed:
        if tensor.shape != listed[0].shape:
            raise ShapeError(f"stack: shapes differ, got {listed[0].aval} and {tensor.aval}")
    place = normalize_axis(axis, listed[0].ndim + 1, "stack")
    return concatenate([expand_dims(t, place) for t in listed], place)


@composite
def unstack(x: Any, /, *, axis: int = 0) -> tuple[Any, ...]:
    """The slices along an axis, as a tuple.

    >>> px.unstack(px.asarray([[1.0, 2.0], [3.0, 4.0]]))[1]
    px.Tensor([3. 4.], dtype=float32)
    """
    x = as_tensor(x)
    place = normalize_axis(axis, x.ndim, "unstack")
    return tuple(squeeze(part_of(x, place, i, i + 1), place) for i in range(x.shape[place].__index__()))


def part_of(x: Any, axis: int, start: Size, limit: Size, step: int = 1) -> Any:
    """Elements `start` to `limit` of one axis."""
    first: list[Size] = [0] * x.ndim
    last = list(x.shape)
    steps = [1] * x.ndim
    first[axis], last[axis], steps[axis] = start, limit, step
    return emit(slice_, [x], {"start": tuple(first), "limit": tuple(last), "strides": tuple(steps)})


@composite
def split(x: Any, sections: int | Sequence[int], /, *, axis: int = 0) -> list[Any]:
    """Parts along an axis: `sections` equal ones, or cut at the given positions.

    >>> [p.shape for p in px.split(px.zeros((6, 2)), [1, 4])]
    [(1, 2), (3, 2), (2, 2)]

    Raises ShapeError when the parts are not equal.
    """
    x = as_tensor(x)
    place = normalize_axis(axis, x.ndim, "split")
    size = x.shape[place]
    if not is_sequence(sections):
        count = whole(sections, "split", "the number of sections")
        part = dims.floor_divide(size, count) if count > 0 else 0
        if count < 1 or part * count != size:
            raise ShapeError(f"split: {size} elements do not divide into {count} equal parts")
        cuts: list[Size] = [part * i for i in range(count + 1)]
    else:
        cuts = [0, *(_cut(whole(c, "split", "a position"), size) for c in items(sections)), size]
    return [part_of(x, place, a, dims.maximum(a, b)) for a, b in pairwise(cuts)]


def _cut(position: int, size: Size) -> Size:
    return dims.minimum(position, size) if position >= 0 else dims.maximum(size + position, 0)


@composite
def tile(x: Any, repetitions: int | Sequence[int], /) -> Any:
    """`x` repeated as a whole along each axis.

    >>> px.tile(px.asarray([1.0, 2.0]), (2, 2))
    px.Tensor([[1. 2. 1. 2.]
               [1. 2. 1. 2.]], dtype=float32)
    """
    x = as_tensor(x)
    counts = [whole(r, "tile", "repetitions") for r in items(repetitions)]
    if any(c < 0 for c in counts):
        raise ArgumentError(f"tile: repetitions cannot be negative, got {repetitions}")
    rank = max(len(counts), x.ndim)
    counts = [1] * (rank - len(counts)) + counts
    shape = (*[1] * (rank - x.ndim), *x.shape)
    spread = reshape(x, tuple(s for size in shape for s in (1, size)))
    wide = broadcast(spread, tuple(s for count, size in zip(counts, shape, strict=True) for s in (count, size)))
    return reshape(wide, tuple(c * s for c, s in zip(counts, shape, strict=True)))


@composite
def repeat(x: Any, repeats: Any, /, *, axis: int | None = None) -> Any:
    """Each element repeated, `repeats` times or as often as an integer array says; flattened without `axis`.

    >>> px.repeat(px.asarray([1.0, 2.0]), 2)
    px.Tensor([1. 1. 2. 2.], dtype=float32)

    The counts are static: an int, a list or a NumPy array.
    """
    x = as_tensor(x)
    if axis is None:
        x, axis = flatten(x), 0
    place = normalize_axis(axis, x.ndim, "repeat")
    counts = numpy_of(repeats)
    if counts.dtype.kind not in "iu" or counts.ndim > 1 or (counts < 0).any():
        raise ArgumentError(f"repeat: counts are integers of at least 0, got {repeats!r}")
    if counts.size == 1:
        count = int(counts.reshape(()))
        wide = broadcast(expand_dims(x, place + 1), (*x.shape[: place + 1], count, *x.shape[place + 1:]))
        return reshape(wide, (*x.shape[:place], x.shape[place] * count, *x.shape[place + 1:]))
    if not is_size(x.shape[place], counts.size):
        raise ShapeError(f"repeat: needs one count per element, got {counts.size} for size {x.shape[place]}")
    positions = np.repeat(np.arange(counts.size, dtype=np.int32), counts)
    return take_static(x, positions, place)


def take_static(x: Any, positions: Any, axis: int) -> Any:
    """Elements at positions that are in range, along one axis."""
    found = emit(lookup("gather"), [x, positions], {"axes": (axis,)})
    rank = len(positions.shape)
    order = (*range(rank, rank + axis), *range(rank), *range(rank + axis, found.ndim))
    return found if order == tuple(range(found.ndim)) else emit(transpose, [found], {"axes": order})


@composite
def roll(x: Any, /, shift: int | Sequence[int], axis: int | Sequence[int] | None = None) -> Any:
    """Elements moved along `axis`, those pushed out at one end coming back at the other.

    >>> px.roll(px.asarray([1.0, 2.0, 3.0]), 1)
    px.Tensor([3. 1. 2.], dtype=float32)
    """
    x = as_tensor(x)
    if axis is None:
        return reshape(roll(flatten(x), sum(whole(s, "roll", "shift") for s in items(shift)), axis=0), x.shape)
    axes, shifts = items(axis), [whole(s, "roll", "shift") for s in items(shift)]
    shifts = shifts * len(axes) if len(shifts) == 1 else shifts
    if len(shifts) != len(axes):
        raise ArgumentError(f"roll: needs one shift per axis, got {shift} for axes {axis}")
    for one, by in zip(axes, shifts, strict=True):
        place = normalize_axis(one, x.ndim, "roll")
        size = x.shape[place]
        if is_size(size, 0):
            continue
        start = size - dims.modulo(by, size)
        if start != size:
            x = concatenate([part_of(x, place, start, size), part_of(x, place, 0, start)], place)
    return x


@composite
def rot90(x: Any, /, k: int = 1, axes: Sequence[int] = (0, 1)) -> Any:
    """Turned by `k` quarter turns in the plane of two axes, from the first towards the second.

    >>> px.rot90(px.asarray([[1, 2], [3, 4]]))
    px.Tensor([[2 4]
               [1 3]], dtype=int32)
    """
    x = as_tensor(x)
    plane = items(axes)
    if len(plane) != 2:
        raise ArgumentError(f"rot90: a plane has two axes, got {axes!r}")
    first, second = (normalize_axis(a, x.ndim, "rot90") for a in plane)
    if first == second:
        raise ArgumentError(f"rot90: the two axes differ, got {axes!r}")
    turns = k % 4
    if turns == 0:
        return x
    if turns == 2:
        return reverse(x, (first, second))
    if turns == 1:
        return swapaxes(reverse(x, second), first, second)
    return reverse(swapaxes(x, first, second), second)


@composite
def meshgrid(*tensors: Any, indexing: str = "xy") -> list[Any]:
    """Coordinate grids of vectors; "xy" swaps the first two axes of the results, "ij" does not.

    >>> px.meshgrid(px.asarray([1, 2]), px.asarray([3, 4, 5]))[0].shape
    (3, 2)
    """
    if indexing not in ("xy", "ij"):
        raise ArgumentError(f"meshgrid: indexing is 'xy' or 'ij', got {indexing!r}")
    vectors = [flatten(t) for t in tensors]
    shape: Shape = tuple(v.shape[0] for v in vectors)
    grids = [broadcast(v, shape, axes=(i,)) for i, v in enumerate(vectors)]
    return [swapaxes(g, 0, 1) for g in grids] if indexing == "xy" and len(grids) > 1 else grids


def _at_least(tensors: Sequence[Any], shape_for: Any) -> Any:
    found = [reshape(t, shape_for(t.shape)) for t in map(as_tensor, tensors)]
    return found[0] if len(found) == 1 else found


@composite
def atleast_1d(*tensors: Any) -> Any:
    """Tensors of rank 0 as rank 1; one tensor, or a list for several.

    >>> px.atleast_1d(px.asarray(1.0)).shape
    (1,)
    """
    return _at_least(tensors, lambda s: s or (1,))


@composite
def atleast_2d(*tensors: Any) -> Any:
    """Tensors with axes of size 1 in front, to rank 2.

    >>> px.atleast_2d(px.asarray([1.0, 2.0])).shape
    (1, 2)
    """
    return _at_least(tensors, lambda s: (*[1] * (2 - len(s)), *s))


@composite
def atleast_3d(*tensors: Any) -> Any:
    """Tensors of rank 3, a matrix as (rows, columns, 1) as in NumPy.

    >>> px.atleast_3d(px.asarray([1.0, 2.0])).shape
    (1, 2, 1)
    """
    return _at_least(tensors, _three_axes)


def _three_axes(shape: Shape) -> Shape:
    if len(shape) > 2:
        return shape
    return (*shape, 1) if len(shape) == 2 else (1, *(shape or (1,)), 1)


@composite
def put_slice(x: Any, starts: Sequence[Any], update: Any, /) -> Any:
    """`x` with `update` written at `starts`, Nx's order of arguments for `dynamic_update_slice`.

    >>> px.put_slice(px.zeros((3,)), [1], px.asarray([5.0]))
    px.Tensor([0. 5. 0.], dtype=float32)
    """
    return dynamic_update_slice(x, update, starts)


@composite
def slice_along_axis(x: Any, start: Any, length: int, /, *, axis: int = 0, strides: int = 1) -> Any:
    """`length` elements of one axis from a static or run-time `start` (clamped), every `strides`-th kept, as in Nx.

    >>> px.slice_along_axis(px.asarray([1.0, 2.0, 3.0]), 1, 2)
    px.Tensor([2. 3.], dtype=float32)
    """
    x = as_tensor(x)
    place = normalize_axis(axis, x.ndim, "slice_along_axis")
    starts: list[Any] = [np.zeros((), np.int32)] * x.ndim
    starts[place] = start
    sizes = tuple(length if i == place else s for i, s in enumerate(x.shape))
    window = dynamic_slice(x, starts, sizes)
    return window if strides == 1 else part_of(window, place, 0, length, strides)
