"""Reductions over a few rows: columns are written out, without accumulators in memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import phalanx as px
from phalanx.compiler.native import NativeRunner

Array = np.ndarray[Any, Any]

SHAPES = [(1, 20), (2, 0), (2, 17), (3, 1000), (7, 129), (8, 4096), (8, 70_001), (9, 33)]


def values(shape: tuple[int, ...], dtype: str = "float32") -> Array:
    random = np.random.default_rng(3)
    if np.dtype(dtype).kind in "iu":
        return random.integers(0, 50, shape).astype(dtype)
    return random.standard_normal(shape).astype(dtype)


def arena(function: px.Defn) -> int:
    (compiled,) = function.compiled
    assert isinstance(compiled.runner, NativeRunner)
    return int(compiled.runner.executable.arena_bytes(()))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("reduce", ["sum", "max", "min", "prod", "argmax", "argmin", "var"])
def test_every_reduction(reduce: str, shape: tuple[int, ...]) -> None:
    x = values(shape)
    got = px.jit(lambda x: getattr(px, reduce)(x, axis=0))(x)
    np.testing.assert_allclose(got, getattr(np, reduce)(x.astype(np.float64), axis=0), rtol=3e-6, atol=3e-6)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "int64", "float16", "float64"])
def test_every_type(dtype: str) -> None:
    x = values((6, 515), dtype)
    assert np.array_equal(px.jit(lambda x: px.max(x, axis=0))(x), np.max(x, axis=0))
    assert np.array_equal(px.jit(lambda x: px.argmin(x, axis=0))(x), np.argmin(x, axis=0))


@pytest.mark.parametrize("shape", [(5, 4, 300), (3, 8, 20), (2, 3, 1)])
def test_columns_of_several_blocks(shape: tuple[int, ...]) -> None:
    x = values(shape)
    e = np.exp(x - x.max(axis=1, keepdims=True))
    np.testing.assert_allclose(px.jit(lambda x: px.softmax(x, axis=1))(x), e / e.sum(axis=1, keepdims=True), rtol=2e-6)
    np.testing.assert_allclose(px.jit(lambda x: px.std(x, axis=1))(x), x.std(axis=1), rtol=2e-6, atol=2e-6)


def test_special_numbers() -> None:
    x = np.array([[-0.0, np.nan, np.inf, -np.inf], [0.0, 1.0, np.inf, np.inf], [-1.0, np.nan, -np.inf, 2.0]], np.float32)
    x = np.tile(x, (1, 9))
    for name in ("max", "min", "argmax", "argmin", "sum"):
        with np.errstate(invalid="ignore"):
            want = getattr(np, name)(x, axis=0)
        np.testing.assert_array_equal(px.jit(lambda x, name=name: getattr(px, name)(x, axis=0))(x), want)


def test_strided_rows_and_a_named_width() -> None:
    x = values((12, 90))
    run = px.jit(lambda x: px.sum(x * 2, axis=0) + px.max(x, axis=0))
    for part in (x[::3, ::2], x.T[:7], x[:4, 5:60]):
        np.testing.assert_allclose(run(part), (part * 2).sum(axis=0) + part.max(axis=0), rtol=1e-5, atol=1e-5)


def test_no_scratch() -> None:
    """Neither the columns themselves nor the partial results of a search take memory of the arena."""
    spread = px.jit(lambda x: px.std(x, axis=0))
    spread(values((8, 4096)))
    assert arena(spread) == 0
    search = px.jit(lambda x: px.argmax(x, axis=0))
    x = values((4096, 1024))
    assert np.array_equal(search(x), np.argmax(x, axis=0))
    assert arena(search) == 0
