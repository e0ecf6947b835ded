"""Loops over fewer dimensions are done inside those of their only reader."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import phalanx as px


def data(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def rows(x: Any, v: Any) -> Any:
    return (v * 2.0 + 1.0)[:, None] * x


def columns(x: Any, v: Any) -> Any:
    return x - (v + 1.0)


def both(x: Any, v: Any) -> Any:
    return px.abs(v * 0.5)[:, None] - px.minimum(x[0], 0.5)[None, :]


def both_then_sum(x: Any, v: Any) -> Any:
    return px.sum((v * 0.5)[:, None] * x, axis=1)


def sum_over_rows(x: Any, v: Any) -> Any:
    return px.max(x - (v - 1.0)[None, :], axis=0)


def gathered(x: Any, v: Any) -> Any:
    return px.take(x, px.astype(px.abs(v) * 2.0, px.int32) % x.shape[0], axis=0)


def also_a_result(x: Any, v: Any) -> Any:
    scaled = v * 2.0
    return scaled[:, None] * x, scaled


def with_another_reader(x: Any, v: Any) -> Any:
    scaled = v * 2.0
    return scaled[:, None] * x + px.sum(scaled)


def dear(x: Any, v: Any) -> Any:
    return px.tanh(v)[:, None] * x


def positions(x: Any, v: Any) -> Any:
    return (px.arange(v.shape[0], dtype=px.float32) * 2.0)[:, None] + x


FUSED = (rows, columns, both, both_then_sum, sum_over_rows, positions)
APART = (also_a_result, with_another_reader, dear)


@pytest.mark.parametrize("size", [1, 2, 5, 32])
@pytest.mark.parametrize("function", [*FUSED, *APART, gathered], ids=lambda f: f.__name__)
def test_values(function: Callable[..., Any], size: int) -> None:
    x, v = data(size, size), data(size)
    found, wanted = px.jit(function)(x, v), px.jit(function, compiler="evaluator")(x, v)
    for left, right in zip(found, wanted, strict=True) if isinstance(wanted, tuple) else [(found, wanted)]:
        np.testing.assert_allclose(left, right, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("function", FUSED, ids=lambda f: f.__name__)
def test_small_loops_go_inside(function: Callable[..., Any]) -> None:
    explanation = px.compile(function, px.spec("f32[32,32]"), px.spec("f32[32]")).explain()
    assert len(explanation.clusters) == 1, str(explanation)
    assert explanation.arena_bytes == 0


@pytest.mark.parametrize("function", APART, ids=lambda f: f.__name__)
def test_shared_and_dear_ones_stay_apart(function: Callable[..., Any]) -> None:
    assert len(px.compile(function, px.spec("f32[32,32]"), px.spec("f32[32]")).explain().clusters) > 1


def test_named_sizes() -> None:
    compiled = px.compile(rows, px.spec("f32[n,m]"), px.spec("f32[n]"))
    for shape in ((3, 4), (1, 7), (0, 2)):
        x, v = data(*shape), data(shape[0])
        np.testing.assert_allclose(compiled(x, v), (v * 2 + 1)[:, None] * x, rtol=1e-6)
    assert len(compiled.explain().clusters) == 1


def test_an_epilogue_of_a_product_is_not_taken_away() -> None:
    compiled = px.compile(lambda x, w, b: x @ w + (b * 2.0), px.spec("f32[64,64]"), px.spec("f32[64,64]"), px.spec("f32[64]"))
    kinds = [cluster.kind for cluster in compiled.explain().clusters]
    assert sorted(kinds) == ["contraction", "elementwise"]
    x, w, b = data(64, 64), data(64, 64), data(64)
    np.testing.assert_allclose(compiled(x, w, b), x @ w + 2 * b, rtol=1e-3, atol=1e-3)
