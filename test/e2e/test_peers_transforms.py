"""Gradients, batching and control flow as the guides of other libraries show them, against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import optree
import pytest
from agreement import check

import phalanx as px

RNG = np.random.default_rng(0)


def normal(*shape: int) -> np.ndarray[Any, Any]:
    return RNG.normal(size=shape).astype(np.float32)


def test_jacobian_as_a_batch_of_vjps() -> None:
    weights, x = normal(3, 4), normal(4)

    def jacobian(x: Any) -> Any:
        _, back = px.vjp(lambda x: px.tanh(px.asarray(weights) @ x), x)
        return px.vmap(lambda ct: px.stack(optree.tree_leaves(back(ct)))[0])(px.eye(3))

    check(jacobian, (x,), (1 - np.tanh(weights @ x) ** 2)[:, None] * weights)


def test_hessian_from_hessian_vector_products() -> None:
    x = normal(5)

    def product(x: Any, v: Any) -> Any:
        return px.grad(lambda x: px.sum(px.grad(lambda y: px.sum(px.sin(y) * y))(x) * v))(x)

    check(lambda x: px.vmap(lambda v: product(x, v))(px.eye(5)), (x,), np.diag(2 * np.cos(x) - x * np.sin(x)))


def test_fourth_derivative() -> None:
    function: Any = lambda x: px.sin(x) * x**3
    for _ in range(4):
        function = px.grad(function)
    x = 0.7
    expected = x**3 * np.sin(x) - 12 * x**2 * np.cos(x) - 36 * x * np.sin(x) + 24 * np.cos(x)
    check(function, (np.float64(x),), expected, 1e-9)


def test_clipped_gradient_by_a_rule_of_ones_own() -> None:
    @px.custom_vjp
    def clipped(low: Any, high: Any, x: Any) -> Any:
        return x

    clipped.defvjp(lambda low, high, x: (x, (low, high)),
                   lambda bounds, ct: (None, None, px.clip(ct, bounds[0], bounds[1])))
    x = np.linspace(0, 10, 50).astype(np.float32)
    expected = np.clip(np.cos(x), -0.75, 0.75)
    check(px.grad(lambda x: px.sum(px.sin(clipped(-0.75, 0.75, x)))), (x,), expected)
    check(px.vmap(px.grad(lambda x: px.sin(clipped(-0.75, 0.75, x)))), (x,), expected)


def test_fixed_point_by_while_loop() -> None:
    def root(a: Any) -> Any:
        def step(pair: Any) -> Any:
            return pair[1], 0.5 * (pair[1] + a / pair[1])

        return px.while_loop(lambda pair: px.abs(pair[0] - pair[1]) > 1e-5, step, (a * 0, a))[1]

    check(root, (np.float32(2),), np.sqrt(2.0))
    check(px.grad(root), (np.float32(2),), 0.5 / np.sqrt(2.0))
    check(px.grad(px.grad(root)), (np.float32(2),), -0.25 * 2**-1.5, 1e-3)
    several = np.asarray([1, 2, 3, 9], np.float32)
    check(px.vmap(root), (several,), np.sqrt(several))


def test_batched_branches() -> None:
    def choose(index: Any, x: Any) -> Any:
        return px.cond(index == 0, lambda x: x + 1, lambda x: px.cond(index == 1, lambda x: x * 2, lambda x: -x, x), x)

    index, x = np.asarray([0, 1, 2], np.int32), normal(3, 4)
    check(px.vmap(choose), (index, x), np.stack([x[0] + 1, x[1] * 2, -x[2]]))
    slopes = px.vmap(px.grad(lambda x, index: px.sum(choose(index, x))))
    check(slopes, (x, index), np.repeat([[1.0], [2.0], [-1.0]], 4, axis=1))


def test_gradients_of_single_examples() -> None:
    weights, x, labels = normal(4, 3), normal(8, 4), RNG.integers(0, 3, 8).astype(np.int32)
    each = px.vmap(px.grad(lambda w, x, label: -px.log_softmax(x @ w)[label]), in_axes=(None, 0, 0))
    odds = np.exp(x @ weights)
    odds /= odds.sum(1, keepdims=True)
    check(each, (weights, x, labels), x[:, :, None] * (odds - np.eye(3)[labels])[:, None, :])


def test_mapped_axes() -> None:
    a, b = normal(3, 5), normal(5, 3)
    check(px.vmap(lambda x, y: px.sum(x * y), in_axes=(0, 1)), (a, b), (a * b.T).sum(1))
    check(px.vmap(px.vmap(px.dot, in_axes=(None, 1)), in_axes=(0, None)), (a, b), a @ b)
    check(px.vmap(lambda x: x * 2, out_axes=1), (a,), (a * 2).T)
    check(px.vmap(lambda d: d["x"] + d["y"], in_axes=({"x": 0, "y": None},)), ({"x": a, "y": a[0]},), a + a[0])


def test_loops_of_whole_numbers_with_different_lengths() -> None:
    def collatz(n: Any) -> Any:
        def step(pair: Any) -> Any:
            value, count = pair
            return px.where(value % 2 == 0, value // 2, 3 * value + 1), count + 1

        return px.while_loop(lambda pair: pair[0] != 1, step, (n, 0))[1]

    check(px.vmap(collatz), (np.asarray([1, 2, 7, 27], np.int32),), np.asarray([0, 1, 16, 111]))


@pytest.mark.parametrize("order", ["forward", "reverse"])
def test_recurrent_network(order: str) -> None:
    weights, inputs, xs = normal(5, 5) * 0.3, normal(4, 5), normal(20, 4)

    def run(weights: Any, inputs: Any, xs: Any) -> Any:
        def step(state: Any, x: Any) -> Any:
            state = px.tanh(state @ weights + x @ inputs)
            return state, state

        return px.scan(step, px.zeros(5, dtype=xs.dtype), xs, reverse=order == "reverse")

    state, states = np.zeros(5, np.float32), np.zeros((20, 5), np.float32)
    for t in range(20) if order == "forward" else reversed(range(20)):
        state = states[t] = np.tanh(state @ weights + xs[t] @ inputs)
    check(run, (weights, inputs, xs), (state, states))
    slope = px.jit(px.grad(lambda w: px.sum(run(w, px.asarray(inputs), px.asarray(xs))[1])))
    delta = np.zeros((5, 5))
    delta[1, 2] = 1e-5

    def total(w: Any) -> float:
        with px.use_backend("numpy"), px.options(compiler="evaluator"):
            return float(px.sum(run(w, inputs.astype(np.float64), xs.astype(np.float64))[1]))

    wide = weights.astype(np.float64)
    np.testing.assert_allclose(slope(weights)[1, 2], (total(wide + delta) - total(wide - delta)) / 2e-5, rtol=1e-2)
