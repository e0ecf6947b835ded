"""Gather and scatter in NumPy: the meaning of both ops, and how backends without item assignment run them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from phalanx.dialects.opdef import Axes

HostArray = np.ndarray[Any, Any]


def unindexed(rank: int, axes: Axes) -> list[int]:
    """The axes that are kept whole, in order."""
    return [a for a in range(rank) if a not in axes]


def _host_indices(array: HostArray, indices: Sequence[HostArray], axes: Axes) -> tuple[HostArray, list[HostArray]]:
    """The array with its indexed axes in front, and the indices as int64 of one shape."""
    order = (*axes, *unindexed(array.ndim, axes))
    return array.transpose(order), list(np.broadcast_arrays(*[_wide(i) for i in indices]))


def _wide(index: HostArray) -> HostArray:
    """An index as int64; a uint64 beyond it stays out of range on the same side."""
    if index.dtype == np.uint64:
        index = np.minimum(index, np.uint64(np.iinfo(np.int64).max))
    return index.astype(np.int64)


def host_gather(array: HostArray, *indices: HostArray, axes: Axes) -> HostArray:
    """Gather in NumPy, the meaning of the op."""
    if not axes:
        return array
    moved, wide = _host_indices(array, indices, axes)
    clamped = tuple(np.clip(i, 0, max(array.shape[a] - 1, 0)) for i, a in zip(wide, axes, strict=True))
    if wide[0].size == 0 or moved.size == 0:
        return np.zeros((*wide[0].shape, *moved.shape[len(axes):]), array.dtype)
    return np.asarray(moved[clamped])


_UFUNCS: dict[str, np.ufunc] = {
    "add": np.add, "multiply": np.multiply, "min": np.minimum, "max": np.maximum}


def host_scatter(array: HostArray, updates: HostArray, *indices: HostArray, axes: Axes, combine: str,
                 mode: str) -> HostArray:
    """Scatter in NumPy, update by update, the meaning of the op."""
    if array.size == 0 or updates.size == 0:
        return array
    result = array.copy()
    if not axes:
        return updates.copy() if combine == "set" else _UFUNCS[combine](array, updates)
    moved, wide = _host_indices(result, indices, axes)  # a view of `result`
    limits = [array.shape[a] for a in axes]
    if mode == "clip":
        wide = [np.clip(i, 0, n - 1) for i, n in zip(wide, limits, strict=True)]
    count = math.prod(wide[0].shape)
    rows = [i.reshape(count) for i in wide]
    values = updates.reshape((count, *moved.shape[len(axes):]))
    kept = np.all([(i >= 0) & (i < n) for i, n in zip(rows, limits, strict=True)], axis=0)
    where = tuple(i[kept] for i in rows)
    if combine == "set":
        for position, value in zip(zip(*where, strict=True), values[kept], strict=True):
            moved[position] = value
    else:
        _UFUNCS[combine].at(moved, where, values[kept])
    return result
