"""The named forms of gather and scatter: take, take_along_axis, indexed_add, indexed_put."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from phalanx.dialects.aval import normalize_axis
from phalanx.dialects.errors import ShapeError
from phalanx.dialects.kinds import emit
from phalanx.dialects.opdef import composite
from phalanx.dialects.px.index import gather, scatter
from phalanx.dialects.px.rearrange import flatten
from phalanx.dialects.px.shape import as_tensor, is_size, transpose
from phalanx.dialects.px.slicing import iota_along
from phalanx.dialects.px.subscript import wrap_negative


@composite(method=True)
def take(x: Any, indices: Any, /, *, axis: int | None = None) -> Any:
    """Elements along one axis; the axes of `indices` stand in its place. Flattened without `axis`.

    >>> px.take(px.asarray([1.0, 2.0, 3.0]), px.asarray([0, -1]))
    px.Tensor([1. 3.], dtype=float32)

    Negative indices count from the end; those out of range are clamped.
    """
    x, indices = as_tensor(x), as_tensor(indices)
    if axis is None:
        x, axis = (x if x.ndim == 1 else flatten(x)), 0
    place = normalize_axis(axis, x.ndim, "take")
    found = emit(gather, [x, wrap_negative(indices, x.shape[place])], {"axes": (place,)})
    rank = indices.ndim
    order = (*range(rank, rank + place), *range(rank), *range(rank + place, found.ndim))
    return found if order == tuple(range(found.ndim)) else emit(transpose, [found], {"axes": order})


@composite
def take_along_axis(x: Any, indices: Any, /, *, axis: int = -1) -> Any:
    """One element along `axis` for each index; the other axes of both broadcast.

    >>> px.take_along_axis(px.asarray([[1.0, 2.0], [3.0, 4.0]]), px.asarray([[1], [0]]), axis=1)
    px.Tensor([[2.]
               [3.]], dtype=float32)

    Raises ShapeError when the ranks differ. Indices out of range are clamped.
    """
    x, indices = as_tensor(x), as_tensor(indices)
    if x.ndim != indices.ndim:
        raise ShapeError(f"take_along_axis: the ranks differ, got {x.aval} and indices {indices.aval}")
    place = normalize_axis(axis, x.ndim, "take_along_axis")
    positions: list[Any] = []
    for i, size in enumerate(x.shape):
        if i == place:
            positions.append(wrap_negative(indices, size))
        elif is_size(size, 1):
            positions.append(np.zeros((), np.int32))
        else:
            positions.append(iota_along(size, i, x.ndim))
    return emit(gather, [x, *positions], {"axes": tuple(range(x.ndim))})


@composite
def indexed_add(x: Any, indices: Any, updates: Any, /, *, axes: Sequence[int] | None = None) -> Any:
    """`x` with `updates` added at coordinates `indices[..., k]` along `axes[k]`, as in Nx; repeated ones add up.

    >>> px.indexed_add(px.zeros((3,)), px.asarray([[2], [2]]), px.asarray([1.0, 5.0]))
    px.Tensor([0. 0. 6.], dtype=float32)

    Coordinates out of range are clamped, as in Nx on XLA.
    """
    return scatter(x, updates, as_tensor(indices), axes, combine="add", mode="clip")


@composite
def indexed_put(x: Any, indices: Any, updates: Any, /, *, axes: Sequence[int] | None = None) -> Any:
    """`x` with `updates` written at coordinates `indices[..., k]` along `axes[k]`, as in Nx; the last one stays.

    >>> px.indexed_put(px.zeros((3,)), px.asarray([[2], [0]]), px.asarray([1.0, 5.0]))
    px.Tensor([5. 0. 1.], dtype=float32)

    Coordinates out of range are clamped, as in Nx on XLA.
    """
    return scatter(x, updates, as_tensor(indices), axes, combine="set", mode="clip")
