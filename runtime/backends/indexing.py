"""Reading and writing at computed positions.

Reads clamp their indices into range, writes out of range are dropped: what compiled code does, too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

Array = Any
HostArray = np.ndarray[Any, Any]


def take(xp: Any, array: Array, indices: Array, axis: int) -> Array:
    """Elements along one axis; the axes of `indices` stand where `axis` was."""
    axis = axis % array.ndim
    flat = xp.reshape(xp.clip(indices, 0, max(array.shape[axis] - 1, 0)), (-1,))
    taken = xp.module.take(array, flat, axis=axis)
    return xp.reshape(taken, (*array.shape[:axis], *indices.shape, *array.shape[axis + 1 :]))


def take_along_axis(xp: Any, array: Array, indices: Array, axis: int) -> Array:
    """One element along `axis` per index; other axes broadcast."""
    clamped = xp.clip(indices, 0, max(array.shape[axis] - 1, 0))
    return xp.module.take_along_axis(array, clamped, axis=axis)


def _coordinates(array: HostArray, indices: HostArray, axes: Sequence[int] | None) -> tuple[tuple[int, ...], HostArray]:
    count = indices.shape[-1]
    chosen = tuple(range(count)) if axes is None else tuple(a % array.ndim for a in axes)
    return chosen, indices.astype(np.int64)


def gather(array: HostArray, indices: HostArray, axes: Sequence[int] | None) -> HostArray:
    """Slices of `array` at coordinates, clamped; result: index axes, then the axes not indexed."""
    chosen, coordinates = _coordinates(array, indices, axes)
    rest = tuple(a for a in range(array.ndim) if a not in chosen)
    moved = array.transpose((*chosen, *rest))
    limits = np.array([max(array.shape[a] - 1, 0) for a in chosen], np.int64)
    clamped = np.clip(coordinates, 0, limits)
    return moved[tuple(np.moveaxis(clamped, -1, 0))]


def scatter(
    array: HostArray, indices: HostArray, updates: HostArray, axes: Sequence[int] | None, *, add: bool
) -> HostArray:
    """`array` with updates added to or written at coordinates, in order; out of range ones are dropped."""
    chosen, coordinates = _coordinates(array, indices, axes)
    rest = tuple(a for a in range(array.ndim) if a not in chosen)
    order = (*chosen, *rest)
    moved = array.transpose(order).copy()
    slice_shape = tuple(array.shape[a] for a in rest)
    count = math.prod(indices.shape[:-1])
    rows = coordinates.reshape(count, len(chosen))
    values = np.broadcast_to(updates, (*indices.shape[:-1], *slice_shape)).reshape(count, *slice_shape)
    limits = np.array([array.shape[a] for a in chosen], np.int64)
    kept = np.all((rows >= 0) & (rows < limits), axis=1)
    where = tuple(rows[kept].T)
    if add:
        np.add.at(moved, where, values[kept].astype(array.dtype))
    else:
        moved[where] = values[kept]
    return moved.transpose(np.argsort(order))
