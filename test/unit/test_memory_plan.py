"""Memory of compiled functions, through the front door: results that hold temporaries, scalars stretched into results."""

from __future__ import annotations

from typing import Any

import numpy as np

import phalanx as px


def test_a_scalar_stretched_into_a_result_fills_all_of_it() -> None:
    def stretched(x: Any) -> tuple[Any, Any]:
        return px.tile(px.full((1, 1), 7.0), 3), px.broadcast_to(px.sum(x), (2, 3))

    sevens, sums = px.jit(stretched)(np.ones(4, np.float32))
    np.testing.assert_array_equal(sevens, np.full((1, 3), 7, np.float32))
    np.testing.assert_array_equal(sums, np.full((2, 3), 4, np.float32))


def test_a_result_holds_what_is_dead_before_it_is_written() -> None:
    def chain(x: Any, w: Any) -> Any:
        hidden = px.maximum(x @ w, 0.0)
        return px.sum(hidden @ w, axis=0)[:, None] + (x @ w)

    x, w = (np.random.default_rng(k).standard_normal((32, 32)).astype(np.float32) for k in (0, 1))
    compiled = px.compile(chain, x, w)
    hidden = np.maximum(x @ w, 0)
    np.testing.assert_allclose(compiled(x, w), (hidden @ w).sum(axis=0)[:, None] + x @ w, rtol=1e-4, atol=1e-3)
    explanation = compiled.explain()
    assert any(buffer.hosted for buffer in explanation.buffers)
    assert "in a result" in str(explanation)
    assert explanation.arena_bytes < sum(buffer.nbytes for buffer in explanation.buffers)


def test_results_written_in_loops_hold_nothing_of_the_loop() -> None:
    def looped(x: Any) -> tuple[Any, Any]:
        def step(i: Any, state: tuple[Any, Any]) -> tuple[Any, Any]:
            a, b = state
            row = px.cumulative_sum(a, axis=0)
            return (row - px.mean(row)) * 0.5 + b, px.sum(a, axis=0)[None, :] * 0.1 + b * 0.5

        return px.fori_loop(0, 5, step, (x, x * 2.0))  # type: ignore[no-any-return]

    x = np.random.default_rng(2).standard_normal((8, 8)).astype(np.float32)
    expected = px.jit(looped, compiler="evaluator")(x)
    for found, wanted in zip(px.jit(looped)(x), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)


def test_the_gradient_of_a_product_needs_no_transpose() -> None:
    def loss(w: Any, x: Any) -> Any:
        return px.sum((x @ w) ** 2)

    text = str(px.jit(px.grad(loss)).trace(px.spec("f32[3,4]"), px.spec("f32[5,3]")).module)
    assert "px.dot_general" in text
    assert "px.transpose" not in text
