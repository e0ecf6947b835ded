"""Batching rules at work: gradients of single examples, a Jacobian and a Hessian, all by `px.vmap` and `px.grad`.

    python examples/per_example_gradients.py
"""

from __future__ import annotations

import numpy as np

import phalanx as px


def loss(w: px.Tensor, x: px.Tensor, y: px.Tensor) -> px.Tensor:
    """Squared error of one example."""
    return (px.tanh(x @ w) - y) ** 2


def jacobian(w: px.Tensor, inputs: px.Tensor) -> px.Tensor:
    """Rows are the gradients of the single results: the pullback mapped over unit cotangents."""
    _, pullback = px.vjp(lambda w: px.tanh(inputs @ w), w)
    rows: px.Tensor = px.vmap(lambda unit: pullback(unit)[0])(px.eye(inputs.shape[0]))
    return rows


def hessian(w: px.Tensor, x: px.Tensor, y: px.Tensor) -> px.Tensor:
    """The gradient of the gradient, in every direction."""
    gradient = px.grad(loss)
    rows: px.Tensor = px.vmap(lambda along: px.grad(lambda w: px.sum(gradient(w, x, y) * along))(w))(px.eye(w.shape[0]))
    return rows


def main() -> None:
    rng = np.random.default_rng(0)
    w = rng.normal(size=3).astype(np.float32)
    x, y = rng.normal(size=(5, 3)).astype(np.float32), rng.normal(size=5).astype(np.float32)

    per_example = px.jit(px.vmap(px.grad(loss), in_axes=(None, 0, 0)))(w, x, y)
    print("gradient of each example:", per_example, sep="\n")
    slope = 1 - np.tanh(x @ w) ** 2
    np.testing.assert_allclose(per_example, (2 * (np.tanh(x @ w) - y) * slope)[:, None] * x, rtol=1e-4, atol=1e-5)

    whole = px.jit(px.grad(lambda w, x, y: px.sum(px.vmap(loss, in_axes=(None, 0, 0))(w, x, y))))(w, x, y)
    np.testing.assert_allclose(whole, per_example.numpy().sum(axis=0), rtol=1e-4, atol=1e-5)

    rows = px.jit(jacobian)(w, x)
    np.testing.assert_allclose(rows, slope[:, None] * x, rtol=1e-4, atol=1e-5)

    curvature = px.jit(hessian)(w, x[0], y[0]).numpy()
    print("hessian of the first example:", curvature, sep="\n")
    np.testing.assert_allclose(curvature, curvature.T, rtol=1e-4, atol=1e-5)
    step = np.float32(1e-3) * w
    difference = (px.grad(loss)(w + step, x[0], y[0]) - px.grad(loss)(w - step, x[0], y[0])) / 2e-3
    np.testing.assert_allclose(curvature @ w, difference, rtol=1e-2, atol=1e-3)


if __name__ == "__main__":
    main()
