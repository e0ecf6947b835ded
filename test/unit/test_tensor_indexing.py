"""Indexing against NumPy: reading, writing, in eager and in traced code."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import phalanx as px

SHAPE = (4, 3, 5)
VALUES = np.arange(60, dtype=np.float32).reshape(SHAPE)


def slices(size: int) -> st.SearchStrategy[slice]:
    bound = st.none() | st.integers(-size - 2, size + 2)
    return st.builds(slice, bound, bound, st.sampled_from([None, 1, 2, -1, -2, 3]))


def positions(size: int) -> st.SearchStrategy[int]:
    return st.integers(-size, size - 1)


def arrays(size: int) -> st.SearchStrategy[np.ndarray[Any, Any]]:
    return st.lists(positions(size), min_size=2, max_size=2).map(np.asarray)


@st.composite
def basic_keys(draw: st.DrawFn) -> Any:
    """Integers, slices, None and one `...`, for any number of leading and trailing axes."""
    used = draw(st.integers(0, 3))
    split = draw(st.integers(0, used))
    axes = [*range(split), *range(3 - (used - split), 3)]
    items: list[Any] = [draw(positions(SHAPE[a]) | slices(SHAPE[a])) for a in axes]
    items.insert(split, Ellipsis)
    if draw(st.booleans()):
        items.insert(draw(st.integers(0, len(items))), None)
    return tuple(items)


@st.composite
def mixed_keys(draw: st.DrawFn) -> Any:
    """As above, with integer arrays and a mask among the items."""
    return tuple(draw(positions(size) | slices(size) | arrays(size)) for size in SHAPE[:draw(st.integers(1, 3))])


@settings(max_examples=150, deadline=None)
@given(basic_keys())
def test_basic_keys(key: Any) -> None:
    assert np.array_equal(px.asarray(VALUES)[key].numpy(), VALUES[key])


@settings(max_examples=80, deadline=None)
@given(mixed_keys())
def test_mixed_keys(key: Any) -> None:
    with px.use_backend("numpy"):
        found = px.asarray(VALUES)[key]
    assert np.array_equal(found.numpy(), VALUES[key])


@settings(max_examples=60, deadline=None)
@given(basic_keys(), st.sampled_from(["set", "add", "multiply", "min", "max"]))
def test_updates(key: Any, kind: str) -> None:
    wanted = VALUES.copy()
    combine = {"set": lambda _, v: v, "add": np.add, "multiply": np.multiply, "min": np.minimum, "max": np.maximum}
    wanted[key] = combine[kind](wanted[key], np.float32(7))
    with px.use_backend("numpy"):
        found = getattr(px.asarray(VALUES).at[key], kind)(7)
    assert np.array_equal(found.numpy(), wanted)


def test_arrays_and_masks_on_the_cpu_backend() -> None:
    x = px.asarray(VALUES)
    rows, mask = np.asarray([2, -1, 0]), VALUES[:, 0, 0] > 10
    for key in (rows, (slice(None), rows), (rows, rows), (rows[:, None], rows), mask, (0, rows), px.asarray([1, -2])):
        plain = tuple(np.asarray(k) if isinstance(k, px.Tensor) else k for k in key) if isinstance(key, tuple) else key
        plain = np.asarray(plain) if isinstance(plain, px.Tensor) else plain
        assert np.array_equal(x[key].numpy(), VALUES[plain])
    wanted = VALUES.copy()
    wanted[rows] += 1
    assert np.array_equal(x.at[rows].add(1).numpy(), wanted)


def test_traced_indexing_is_the_same() -> None:
    x = px.asarray(VALUES)
    keys: list[Any] = [1, (0, slice(None, None, -1)), (..., 2), (slice(1, 3), None), np.asarray([3, 0])]
    found = px.jit(lambda a: [a[key] for key in keys])(x)
    for value, key in zip(found, keys, strict=True):
        assert np.array_equal(value.numpy(), VALUES[key])
    assert np.array_equal(px.jit(lambda a, i: a[i])(x, px.asarray(-1)).numpy(), VALUES[-1])
