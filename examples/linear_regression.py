"""Fit a line by gradient descent: the whole of training is one compiled program.

    python examples/linear_regression.py
"""

from __future__ import annotations

from typing import Any

import numpy as np

import phalanx as px

Params = dict[str, Any]
STEPS, RATE = 300, 0.1


def loss(params: Params, x: px.Tensor, y: px.Tensor) -> px.Tensor:
    """Mean squared error of a line."""
    return px.mean((x @ params["w"] + params["b"] - y) ** 2)


@px.defn(static=("steps",))
def fit(params: Params, x: px.Tensor, y: px.Tensor, steps: int) -> tuple[Params, px.Tensor]:
    """Gradient descent inside one loop; the losses of all steps come along."""

    def step(params: Params, _: Any) -> tuple[Params, px.Tensor]:
        value, gradient = px.value_and_grad(loss)(params, x, y)
        return {name: params[name] - RATE * gradient[name] for name in params}, value

    return px.scan(step, params, None, length=steps)


def main() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 3)).astype(np.float32)
    slope = np.array([2.0, -1.0, 0.5], np.float32)
    y = x @ slope + 3.0 + rng.normal(scale=0.01, size=200).astype(np.float32)
    params, losses = fit({"w": px.zeros(3), "b": px.zeros(())}, x, y, steps=STEPS)
    print("slope", params["w"].numpy().round(3), "offset", round(float(params["b"]), 3))
    print(f"loss from {float(losses[0]):.3f} to {float(losses[-1]):.6f}")
    np.testing.assert_allclose(params["w"], slope, atol=0.01)
    assert abs(float(params["b"]) - 3.0) < 0.01


if __name__ == "__main__":
    main()
