"""The examples of other libraries' guides with their names changed: what somebody types who knows those libraries."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from agreement import Array, agree, exported, leaves, slopes

import phalanx as px


def normal(*shape: int, seed: int = 0, dtype: Any = np.float64) -> Array:
    return np.random.default_rng(seed + sum(shape)).normal(size=shape).astype(dtype)


# JAX: quickstart, automatic differentiation cookbook, control flow.


def test_selu() -> None:
    def selu(x: Any, alpha: float = 1.67, scale: float = 1.05) -> Any:
        return scale * px.where(x > 0, x, alpha * px.exp(x) - alpha)

    x = np.concatenate([normal(1000), [0.0, -0.0, np.inf, -np.inf, np.nan]]).astype(np.float32)
    agree(selu, (x,), 1.05 * np.where(x > 0, x, 1.67 * np.exp(x) - 1.67), tolerance=1e-6)
    slope = px.jit(px.vmap(px.grad(selu)))(np.array([1.0, -2.0, 0.5]))
    np.testing.assert_allclose(slope, [1.05, 1.05 * 1.67 * np.exp(-2), 1.05], rtol=1e-6)


def predict(p: Any, inputs: Any) -> Any:
    return 0.5 * (px.tanh((inputs @ p["W"] + p["b"]) / 2) + 1)


def loss(p: Any, inputs: Any, targets: Any) -> Any:
    likely = predict(p, inputs) * targets + (1 - predict(p, inputs)) * (1 - targets)
    return -px.sum(px.log(likely))


INPUTS = np.array([[0.52, 1.12, 0.77], [0.88, -1.08, 0.15], [0.52, 0.06, -1.30], [0.74, -2.49, 1.39]])
TARGETS = np.array([True, True, False, True])


def test_logistic_regression() -> None:
    p = {"W": normal(3), "b": np.float64(0.3)}
    value, gradient = px.jit(px.value_and_grad(loss))(p, INPUTS, TARGETS)
    chance = 1 / (1 + np.exp(-INPUTS @ p["W"] - p["b"]))
    np.testing.assert_allclose(value, -np.log(np.where(TARGETS, chance, 1 - chance)).sum(), rtol=1e-12)
    np.testing.assert_allclose(gradient["W"], (chance - TARGETS) @ INPUTS, rtol=1e-10)
    np.testing.assert_allclose(gradient["b"], (chance - TARGETS).sum(), rtol=1e-10)


def hessian(function: Any) -> Any:
    def build(x: Any) -> Any:
        _, back = px.vjp(px.grad(function), x)
        return px.vmap(lambda ct: back(ct)[0])(px.eye(x.shape[0], dtype=x.dtype))

    return build


def test_hessian_of_a_loss() -> None:
    b, w = 0.3, normal(3)
    found = px.jit(hessian(lambda w: loss({"W": w, "b": px.asarray(b, dtype=px.float64)}, INPUTS, TARGETS)))(w)
    chance = 1 / (1 + np.exp(-INPUTS @ w - b))
    np.testing.assert_allclose(found, (INPUTS * (chance * (1 - chance))[:, None]).T @ INPUTS, rtol=1e-8, atol=1e-12)


def test_implicit_gradient_of_a_fixed_point() -> None:
    """A loop of unknown length whose gradient is another fixed point."""

    def iterate(function: Any, start: Any) -> Any:
        def going(state: Any) -> Any:
            return px.max(px.abs(state[0] - state[1])) > 1e-13

        return px.while_loop(going, lambda s: (s[1], function(s[1])), (start, function(start)))[1]

    @px.custom_vjp
    def fixed_point(a: Any, start: Any) -> Any:
        return iterate(lambda x: px.cos(a * x) + 0.1 * a, start)

    def forward(a: Any, start: Any) -> Any:
        found = fixed_point(a, start)
        return found, (a, found)

    def backward(saved: Any, ct: Any) -> Any:
        a, found = saved
        _, by_a = px.vjp(lambda a: px.cos(a * found) + 0.1 * a, a)
        _, by_x = px.vjp(lambda x: px.cos(a * x) + 0.1 * a, found)
        (gradient,) = by_a(iterate(lambda u: ct + by_x(u)[0], ct))
        return gradient, px.zeros_like(found)

    fixed_point.defvjp(forward, backward)
    a, start = np.array([0.3, 0.7]), np.array([0.5, 0.5])
    slopes(lambda a: px.sum(fixed_point(a, px.asarray(start)) ** 2), (a,), tolerance=1e-4)
    agree(lambda a: px.grad(lambda a: px.sum(fixed_point(a, px.asarray(start))))(a), (a,), tolerance=1e-8)


def test_training_inside_a_scan() -> None:
    """The whole training in one program: gradients and momentum inside the loop, parameters in a container."""
    x, w = normal(64, 3), np.array([1.0, -2.0, 0.5])
    y = x @ w + 0.7

    def train(x: Any, y: Any) -> Any:
        def objective(p: Any, x: Any, y: Any) -> Any:
            return px.mean((x @ p["w"] + p["b"] - y) ** 2)

        def step(state: Any, batch: Any) -> Any:
            params, speed = state
            value, gradient = px.value_and_grad(objective)(params, *batch)
            speed = {k: 0.9 * speed[k] + gradient[k] for k in speed}
            return ({k: params[k] - 0.05 * speed[k] for k in params}, speed), value

        zero = {"w": px.zeros(3, dtype=px.float64), "b": px.zeros((), dtype=px.float64)}
        batches = (px.reshape(x, (8, 8, 3)), px.reshape(y, (8, 8)))
        epoch = lambda state, _: (lambda s, v: (s, px.mean(v)))(*px.scan(step, state, batches))
        (params, _), losses = px.scan(epoch, (zero, zero), length=40)
        return params, losses

    params, losses = agree(train, (x, y), tolerance=1e-7, eager=False)
    np.testing.assert_allclose(params["w"], w, atol=1e-2)
    np.testing.assert_allclose(params["b"], 0.7, atol=1e-2)
    assert float(losses[-1]) < 1e-3 * float(losses[0])


def test_gradients_of_batches_of_loops_with_branches() -> None:
    def walk(x: Any, steps: Any) -> Any:
        def step(c: Any, s: Any) -> Any:
            c = px.cond(px.sum(c) > 0, lambda c: px.sin(c) * s, lambda c: c * c - s, c)
            return c, px.sum(c)

        last, seen = px.scan(step, x, steps)
        return px.sum(last) + px.sum(seen**2)

    x, steps = normal(5, 3), normal(4)
    by_batch = px.jit(px.vmap(px.grad(walk), in_axes=(0, None)))(x, steps)
    one_by_one = np.stack([np.asarray(px.jit(px.grad(walk))(row, steps)) for row in x])
    np.testing.assert_allclose(by_batch, one_by_one, rtol=1e-10)
    slopes(walk, (x[0], steps), tolerance=1e-4)
    second = px.jit(px.grad(lambda x: px.sum(px.grad(walk)(x, px.asarray(steps)) ** 2)))(x[0])
    shift = 1e-6 * np.eye(3)
    ends = [[float(np.sum(np.asarray(px.jit(px.grad(walk))(x[0] + s * d, steps)) ** 2)) for s in (1, -1)] for d in shift]
    np.testing.assert_allclose(second, [(a - b) / 2e-6 for a, b in ends], rtol=1e-4, atol=1e-6)


def test_batches_of_positions_keys_and_windows() -> None:
    x, at = normal(6, 20), np.array([0, 3, 19, -1, 7, 25], np.int32)
    expected = np.stack([row[min(max(a, 0), 16):][:4] for row, a in zip(x, at, strict=True)])
    agree(px.vmap(lambda row, a: px.dynamic_slice(row, (a,), (4,))), (x, at), expected, tolerance=0.0)
    agree(px.vmap(lambda row, a: row.at[px.clip(a, 0, 19)].add(10.0)), (x, at),
          x + 10 * (np.arange(20) == np.clip(at, 0, 19)[:, None]), tolerance=1e-15)
    keys = px.random.split(px.random.key(3), 6)
    drawn = px.jit(px.vmap(lambda key: px.random.normal(key, (4,))))(keys)
    for row, key in zip(np.asarray(drawn), np.asarray(keys), strict=True):
        np.testing.assert_array_equal(row, px.random.normal(px.asarray(key), (4,)))
    lengths = np.array([0, 5, 2, 7, 1, 3], np.int32)
    agree(px.vmap(lambda n, row: px.fori_loop(0, n, lambda i, c: c * 0.5 + row[i], px.sum(row * 0))), (lengths, x),
          np.array([sum(0.5 ** (n - 1 - i) * row[i] for i in range(n)) for n, row in zip(lengths, x, strict=True)]),
          tolerance=1e-12, eager=False)


# numba: the guide's loops as array programs.


def test_monte_carlo_pi() -> None:
    def pi(key: Any) -> Any:
        x, y = px.random.split(key)
        inside = px.random.uniform(x, (100_000,)) ** 2 + px.random.uniform(y, (100_000,)) ** 2 < 1.0
        return 4.0 * px.sum(px.astype(inside, px.int32)) / 100_000

    assert abs(float(np.asarray(agree(pi, (np.asarray(px.random.key(0)),), tolerance=1e-6))) - math.pi) < 0.02


def test_black_scholes_and_its_slope() -> None:
    def cumulative(x: Any) -> Any:
        k = 1 / (1 + 0.2316419 * px.abs(x))
        tail = 0.3989422804 * px.exp(-0.5 * x * x) * k * (0.31938153 + k * (-0.356563782 + k * (
            1.781477937 + k * (-1.821255978 + k * 1.330274429))))
        return px.where(x > 0, 1 - tail, tail)

    def call(price: Any, strike: Any, years: Any) -> Any:
        d1 = (px.log(price / strike) + (0.02 + 0.5 * 0.3 * 0.3) * years) / (0.3 * px.sqrt(years))
        return price * cumulative(d1) - strike * px.exp(-0.02 * years) * cumulative(d1 - 0.3 * px.sqrt(years))

    generator = np.random.default_rng(0)
    price, strike, years = (generator.uniform(low, high, 5000) for low, high in ((5, 30), (1, 100), (0.25, 10)))
    agree(call, (price, strike, years), tolerance=1e-12)
    price_slope = px.jit(px.vmap(px.grad(call)))(price, strike, years)
    above, below = (np.asarray(px.jit(call)(price + step, strike, years)) for step in (1e-5, -1e-5))
    np.testing.assert_allclose(price_slope, (above - below) / 2e-5, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("window", [1, 3, 10])
def test_moving_average(window: int) -> None:
    x = normal(50, dtype=np.float32)
    total = lambda x: px.cumulative_sum(px.concat([px.zeros(1, dtype=x.dtype), x]))
    agree(lambda x: (total(x)[window:] - total(x)[:-window]) / window, (x,),
          np.convolve(x, np.ones(window) / window, "valid"), tolerance=1e-5)


# Nx: the introduction, vectorisation, hooks.


def test_nx_introduction() -> None:
    def factorial(x: Any) -> Any:
        return px.while_loop(lambda s: s[1] > 1, lambda s: (s[0] * s[1], s[1] - 1), (1, x))[0]

    assert int(px.jit(factorial)(5)) == 120
    assert px.jit(px.vmap(factorial))(np.array([1, 3, 6], np.int32)).tolist() == [1, 6, 720]
    table = np.arange(12, dtype=np.int32).reshape(3, 4)
    agree(lambda t: (t[1:, ::2], t[..., -1], t.T @ t, px.tile(t, [2, 1]), px.clip(t, 2, 7), px.reshape(t, (2, -1))), (table,),
          (table[1:, ::2], table[..., -1], table.T @ table, np.tile(table, [2, 1]), table.clip(2, 7), table.reshape(2, -1)),
          tolerance=0.0)


@pytest.mark.parametrize("index", [-5, 0, 1, 2, 3, 99])
def test_a_chain_of_conditions(index: int) -> None:
    def choose(i: Any, x: Any) -> Any:
        last = lambda x: px.cond(i == 2, px.exp, px.negative, x)
        return px.cond(i == 0, px.sin, lambda x: px.cond(i == 1, px.cos, last, x), x)

    function = {0: np.sin, 1: np.cos, 2: np.exp}.get(index, np.negative)
    agree(choose, (np.int32(index), normal(7)), function(normal(7)), tolerance=1e-12)


# torch: fitting a sine with a polynomial; a layer of convolutions over time.


def test_sine_by_a_polynomial() -> None:
    def fit(x: Any, y: Any) -> Any:
        powers = px.stack([x**n for n in range(4)], axis=1)
        objective = lambda c: px.sum((powers @ c - y) ** 2)
        return px.fori_loop(0, 400, lambda _, c: c - 1e-6 * px.grad(objective)(c), px.zeros(4, dtype=px.float64))

    x = np.linspace(-math.pi, math.pi, 200)
    coefficients = np.asarray(agree(fit, (x, np.sin(x)), tolerance=1e-9, eager=False))
    powers = np.stack([x**n for n in range(4)], 1)
    expected = np.zeros(4)
    for _ in range(400):
        expected -= 2e-6 * powers.T @ (powers @ expected - np.sin(x))
    np.testing.assert_allclose(coefficients, expected, rtol=1e-8, atol=1e-12)


# IREE: edges of an image, sums of named sizes, a counter with state.


def sobel(image: Any) -> Any:
    padded = px.pad(image, 0.0, [(1, 1, 0), (1, 1, 0)])
    rows, columns = image.shape
    part = lambda i, j: padded[i:i + rows, j:j + columns]
    gx = part(0, 2) - part(0, 0) + 2 * (part(1, 2) - part(1, 0)) + part(2, 2) - part(2, 0)
    gy = part(2, 0) - part(0, 0) + 2 * (part(2, 1) - part(0, 1)) + part(2, 2) - part(0, 2)
    return px.sqrt(gx * gx + gy * gy)


def numpy_sobel(image: Array) -> Array:
    p = np.pad(image, 1)
    gx = p[:-2, 2:] - p[:-2, :-2] + 2 * (p[1:-1, 2:] - p[1:-1, :-2]) + p[2:, 2:] - p[2:, :-2]
    gy = p[2:, :-2] - p[:-2, :-2] + 2 * (p[2:, 1:-1] - p[:-2, 1:-1]) + p[2:, 2:] - p[:-2, 2:]
    return np.sqrt(gx * gx + gy * gy)


@pytest.mark.parametrize("shape", [(1, 1), (3, 200), (64, 65)])
def test_edges(shape: tuple[int, int]) -> None:
    agree(sobel, (normal(*shape, dtype=np.float32),), numpy_sobel(normal(*shape, dtype=np.float32)), tolerance=1e-5)


def test_named_sizes() -> None:
    total = px.compile(lambda x: (px.sum(x), px.sum(x, axis=0), x + 1), "i32[n,3]")
    edges = px.compile(sobel, "f32[rows,columns]")
    for rows in (0, 1, 2, 17):
        values = np.arange(3 * rows, dtype=np.int32).reshape(rows, 3)
        for found, expected in zip(leaves(total(values)), (values.sum(), values.sum(0), values + 1), strict=True):
            np.testing.assert_array_equal(found, expected)
        image = normal(rows, 2 * rows + 1, dtype=np.float32)
        np.testing.assert_allclose(edges(image), numpy_sobel(image), rtol=1e-5, atol=1e-5)


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
def test_exported(tmp_path: Path) -> None:
    exported(lambda x, y: (sobel(x), px.cumulative_sum(y), px.argmax(x, axis=1)),
             (normal(30, 41, dtype=np.float32), normal(99)), tmp_path)
