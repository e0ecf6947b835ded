"""Gradient rules of one's own: a straight-through estimator, and the gradient of a solver without its steps.

    python examples/custom_gradient.py
"""

from __future__ import annotations

from typing import Any

import numpy as np

import phalanx as px


def quarters(x: px.Tensor) -> px.Tensor:
    """Round to quarters; the true gradient is 0 almost everywhere and teaches nothing."""
    return px.round(x * 4.0) / 4.0


quantize = px.custom_vjp(quarters)
quantize.defvjp(lambda x: (quarters(x), None), lambda _, cotangent: (cotangent,))


def newton(a: px.Tensor) -> px.Tensor:
    """The cube root of `a` by Newton's method, as many steps as it takes."""

    def step(state: tuple[px.Tensor, px.Tensor]) -> tuple[px.Tensor, px.Tensor]:
        x, _ = state
        return x - (x**3 - a) / (3.0 * x**2), x

    start = px.ones_like(a)
    return px.while_loop(lambda state: px.any(px.abs(state[0] - state[1]) > 1e-6), step, (start, start + 1.0))[0]


@px.custom_vjp
def cube_root(a: px.Tensor) -> px.Tensor:
    """The root by Newton's method; its gradient is known from the equation, no step is differentiated."""
    return newton(a)


def _forward(a: px.Tensor) -> tuple[px.Tensor, Any]:
    root = newton(a)
    return root, root


def _backward(root: px.Tensor, cotangent: px.Tensor) -> tuple[px.Tensor]:
    return (cotangent / (3.0 * root**2),)  # x³ = a, so 3 x² dx = da


cube_root.defvjp(_forward, _backward)


def main() -> None:
    x = px.asarray([0.3, 0.6])
    print("quantized", quantize(x), "gradient", px.grad(lambda x: px.sum(quantize(x) ** 2))(x))
    np.testing.assert_allclose(px.grad(lambda x: px.sum(quantize(x) ** 2))(x), [0.5, 1.0])

    a = px.asarray([1.0, 8.0, 27.0])
    root, gradient = px.jit(cube_root)(a), px.jit(px.grad(lambda a: px.sum(cube_root(a))))(a)
    print("cube roots", root, "gradient", gradient)
    np.testing.assert_allclose(root, [1.0, 2.0, 3.0], rtol=1e-5)
    np.testing.assert_allclose(gradient, [1 / 3, 1 / 12, 1 / 27], rtol=1e-5)


if __name__ == "__main__":
    main()
