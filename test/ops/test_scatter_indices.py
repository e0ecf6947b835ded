"""Positions of a scatter that cheap ops compute: the nest computes them itself, and nobody writes them to memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import phalanx as px
from phalanx.compiler.native import NativeRunner

Array = np.ndarray[Any, Any]

SIZES = [0, 1, 7, 1000, 70_001]


def positions(count: int, places: int, dtype: str = "int32", low: int | None = None) -> Array:
    return np.random.default_rng(count).integers(-places if low is None else low, places, count).astype(dtype)


def added(places: int, at: Array, weights: Array) -> Array:
    """NumPy's own, with those out of range left out."""
    total = np.zeros(places, weights.dtype)
    inside = (at >= -places) & (at < places)
    np.add.at(total, at[inside], weights[inside])
    return total


@pytest.mark.parametrize("count", SIZES)
@pytest.mark.parametrize("dtype", ["int8", "int32", "int64"])
def test_negative_positions(count: int, dtype: str) -> None:
    at, weights = positions(count, 50, dtype), np.arange(count, dtype=np.int64)
    got = px.jit(lambda at, w: px.zeros(50, dtype="int64").at[at].add(w))(at, weights)
    assert np.array_equal(got, added(50, at, weights))


@pytest.mark.parametrize("dtype", ["uint8", "uint32"])
def test_positions_without_sign(dtype: str) -> None:
    at, weights = positions(500, 50, dtype, low=0), np.ones(500, np.int32)
    got = px.jit(lambda at, w: px.zeros(50, dtype="int32").at[at].add(w))(at, weights)
    assert np.array_equal(got, added(50, at, weights))


@pytest.mark.parametrize("count", SIZES)
def test_out_of_range_on_both_sides(count: int) -> None:
    at = np.random.default_rng(1).integers(-200, 200, count).astype(np.int32)
    at[:2] = np.array([np.iinfo(np.int32).min, np.iinfo(np.int32).max])[:count]
    weights = np.arange(count, dtype=np.int64)
    got = px.jit(lambda at, w: px.zeros(50, dtype="int64").at[at].add(w))(at, weights)
    assert np.array_equal(got, added(50, at, weights))


def test_computed_positions_that_are_also_a_result() -> None:
    def run(x: Any, weights: Any) -> Any:
        at = px.minimum(px.maximum(x + 3, 0), 19)
        return px.zeros(20, dtype="int32").at[at].add(weights), at

    x, weights = positions(300, 40), np.arange(300, dtype=np.int32)
    want = np.clip(x + 3, 0, 19)
    total, at = px.jit(run)(x, weights)
    assert np.array_equal(at, want)
    assert np.array_equal(total, added(20, want, weights))


def test_costly_positions_stay_a_tensor() -> None:
    x, weights = positions(300, 40), np.arange(300, dtype=np.int32)
    at = (x * x * x % 7 + x // 3) % 20
    got = px.jit(lambda x, w: px.zeros(20, dtype="int32").at[(x * x * x % 7 + x // 3) % 20].add(w))(x, weights)
    assert np.array_equal(got, added(20, at, weights))


@pytest.mark.parametrize("count", [5, 64])
def test_the_target_gives_the_positions(count: int) -> None:
    """All positions are those of before the first update."""
    x = np.random.default_rng(count).permutation(count).astype(np.int32) - count // 2
    expected = x.copy()
    expected[x] = x[::-1]
    run = px.jit(lambda x: x.at[x].set(x[::-1]))
    assert np.array_equal(run(x), expected)
    summed = x.copy()
    np.add.at(summed, x, 1)
    assert np.array_equal(px.jit(lambda x: x.at[x].add(1))(x), summed)


def test_several_axes_that_broadcast() -> None:
    i, j = positions(6, 9)[:, None], positions(5, 11)[None, :]
    updates = np.arange(30, dtype=np.int32).reshape(6, 5)
    expected = np.zeros((9, 11), np.int32)
    np.add.at(expected, (i, j), updates)
    assert np.array_equal(px.jit(lambda i, j, u: px.zeros((9, 11), dtype="int32").at[i, j].add(u))(i, j, updates), expected)


def test_rows_and_a_position_made_of_a_strided_tensor() -> None:
    at, rows = positions(40, 12)[::4], np.random.default_rng(0).standard_normal((10, 33)).astype(np.float32)
    expected = np.zeros((12, 33), np.float32)
    np.maximum.at(expected, at, rows)
    assert np.array_equal(px.jit(lambda at, r: px.zeros((12, 33)).at[at].max(r))(at, rows), expected)


def test_named_sizes() -> None:
    compiled = px.compile(px.jit(lambda x, at: x.at[at - 1].add(1.0)), px.spec("f32[n]"), px.spec("i32[m]"))
    for n, m in [(4, 9), (100, 3), (1, 0), (0, 5)]:
        x, at = np.zeros(n, np.float32), np.random.default_rng(m).integers(-n, n + 3, m).astype(np.int32)
        assert np.array_equal(compiled(px.asarray(x), px.asarray(at)), added(n, at - 1, np.ones(m, np.float32)))


def test_in_a_loop() -> None:
    at = positions(30, 8)

    def step(i: Any, total: Any) -> Any:
        return total.at[px.asarray(at) // 1 - i].add(i)

    expected = np.zeros(8, np.int32)
    for i in range(4):
        expected += added(8, at - i, np.full(30, i, np.int32))
    assert np.array_equal(px.jit(lambda: px.fori_loop(0, 4, step, px.zeros(8, dtype="int32")))(), expected)


def test_no_memory_for_positions() -> None:
    run = px.jit(lambda at, w: px.zeros(1024).at[at].add(w))
    run(positions(1 << 18, 1024), np.ones(1 << 18, np.float32))
    (compiled,) = run.compiled
    assert isinstance(compiled.runner, NativeRunner)
    assert int(compiled.runner.executable.arena_bytes(())) < 1 << 16
