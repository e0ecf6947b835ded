"""Two loops that one op reads become one when they run over the same points."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import phalanx as px


def data(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def one_loop(x: Any, y: Any) -> Any:
    return px.exp(x) * px.tanh(y)


def two_results(x: Any, y: Any) -> Any:
    a, b = px.exp(x), px.tanh(y)
    return a * b, a, b


def reduction_of_both(x: Any, y: Any) -> Any:
    return px.sum(px.exp(x) * px.tanh(y), axis=1)


def normalised_by_another(x: Any, y: Any) -> Any:
    return px.tanh(y) * (x / px.sum(px.exp(x), axis=1, keepdims=True))


def three(x: Any, y: Any) -> Any:
    return px.where(px.exp(x) > 1.0, px.tanh(y), px.abs(x[::-1]))


def through_a_product(x: Any, y: Any) -> Any:
    a = px.exp(x)
    return a * px.tanh((a @ y) * 0.5)


def through_a_gather(x: Any, y: Any) -> Any:
    a, rows = px.exp(x), px.argmax(y, axis=1)
    return px.tanh(y) + px.take(a, rows, axis=0)


def different_axes(x: Any, y: Any) -> Any:
    return x / px.sum(x * x, axis=0, keepdims=True) + y / px.sum(y * y, axis=1, keepdims=True)


PROGRAMS: dict[str, tuple[Callable[..., Any], int | None]] = {
    function.__name__: (function, clusters)
    for function, clusters in ((one_loop, 1), (two_results, 1), (reduction_of_both, 1), (normalised_by_another, 1),
                               (three, 1), (through_a_product, None), (through_a_gather, None), (different_axes, None))
}


@pytest.mark.parametrize("size", [1, 5, 32])
@pytest.mark.parametrize("name", PROGRAMS)
def test_values(name: str, size: int) -> None:
    function, _ = PROGRAMS[name]
    x, y = data(size, size), data(size, size) + 0.1
    wanted = px.jit(function, compiler="evaluator")(x, y)
    found = px.jit(function)(x, y)
    pairs = zip(found, wanted, strict=True) if isinstance(wanted, tuple) else [(found, wanted)]
    for left, right in pairs:
        np.testing.assert_allclose(left, right, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", [name for name, (_, clusters) in PROGRAMS.items() if clusters is not None])
def test_loops(name: str) -> None:
    function, clusters = PROGRAMS[name]
    explanation = px.compile(function, px.spec("f32[32,32]"), px.spec("f32[32,32]")).explain()
    assert len(explanation.clusters) == clusters, str(explanation)
    assert explanation.arena_bytes == 0


def test_a_loop_stays_small_enough() -> None:
    def long(x: Any, y: Any) -> Any:
        for k in range(60):
            x, y = x * 0.5 + k, px.abs(y) - k
        return x * y

    explanation = px.compile(long, px.spec("f32[32]"), px.spec("f32[32]")).explain()
    assert len(explanation.clusters) > 1
    x, y = data(32), data(31 + 1)
    np.testing.assert_allclose(px.jit(long)(x, y), px.jit(long, compiler="evaluator")(x, y), rtol=1e-4)
