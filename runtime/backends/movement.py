"""Padding and slices with run-time starts, for any array namespace."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Array = Any


def pad(
    xp: Any, array: Array, value: Any, low: Sequence[int], high: Sequence[int], interior: Sequence[int] | None
) -> Array:
    """Padding around and between elements; negative amounts crop, after the interior is put in."""
    between = tuple(interior) if interior is not None else (0,) * array.ndim
    dtype = xp.dtype_of(array)
    value = xp.astype(value, dtype, copy=False) if hasattr(value, "dtype") else xp.asarray(value, dtype=dtype)
    for axis in range(array.ndim):
        array = _pad_axis(xp, array, value, axis, low[axis], high[axis], between[axis])
    return array


def _pad_axis(xp: Any, array: Array, value: Any, axis: int, low: int, high: int, interior: int) -> Array:
    if low == high == interior == 0:
        return array
    size = array.shape[axis]
    spread = size + max(size - 1, 0) * interior
    target = low + spread + high
    shape = tuple(target if a == axis else s for a, s in enumerate(array.shape))
    filled = xp.broadcast_to(value, shape)
    if size == 0 or target <= 0:
        return xp.broadcast_to(value, tuple(max(s, 0) for s in shape))
    # Without item assignment, which not every library has: say for each target where it comes from.
    position = xp.arange(target, dtype=xp.int64) - low
    inside = (position >= 0) & (position < spread)
    if interior:
        inside = inside & (position % (interior + 1) == 0)
        position = position // (interior + 1)
    source = xp.clip(position, 0, size - 1)
    spread_shape = tuple(target if a == axis else 1 for a in range(array.ndim))
    return xp.where(xp.reshape(inside, spread_shape), xp.take(array, source, axis=axis), filled)


def _clamped(starts: Sequence[Any], shape: Sequence[int], sizes: Sequence[int]) -> list[int]:
    return [min(max(int(s), 0), n - k) for s, n, k in zip(starts, shape, sizes, strict=True)]


def dynamic_slice(array: Array, starts: Sequence[Any], sizes: Sequence[int]) -> Array:
    """`sizes` elements from `starts`, clamped so that the slice stays inside."""
    first = _clamped(starts, array.shape, sizes)
    return array[tuple(slice(s, s + k) for s, k in zip(first, sizes, strict=True))]


def dynamic_update_slice(xp: Any, array: Array, update: Array, starts: Sequence[Any]) -> Array:
    """`array` with `update` written at `starts`, clamped so that it stays inside."""
    first = _clamped(starts, array.shape, update.shape)
    after = [n - s - k for s, n, k in zip(first, array.shape, update.shape, strict=True)]
    placed = pad(xp, update, 0, first, after, None)
    inside = pad(xp, xp.ones(update.shape, dtype=xp.bool), False, first, after, None)
    return xp.where(inside, placed, array)
