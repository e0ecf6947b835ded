"""An LSTM by `px.scan`, trained to remember: is the first number of a sequence positive?

    python examples/lstm.py
"""

from __future__ import annotations

from typing import Any

import numpy as np

import phalanx as px

Params = dict[str, Any]
SIZE, LENGTH, BATCH, STEPS, RATE, CLIP = 8, 8, 64, 120, 1.0, 0.05


def cell(params: Params, state: tuple[px.Tensor, px.Tensor], x: px.Tensor) -> tuple[px.Tensor, px.Tensor]:
    """One step: the four gates from the input and the last output."""
    output, memory = state
    gates = x @ params["input"] + output @ params["hidden"] + params["bias"]
    enter, forget, leave, value = px.split(gates, 4, axis=-1)
    memory = px.sigmoid(forget + 1.0) * memory + px.sigmoid(enter) * px.tanh(value)
    return px.sigmoid(leave) * px.tanh(memory), memory


def score(params: Params, sequences: px.Tensor) -> px.Tensor:
    """Log-odds per sequence; `sequences` is batch x length."""
    start = px.zeros((sequences.shape[0], SIZE)), px.zeros((sequences.shape[0], SIZE))

    def step(state: tuple[px.Tensor, px.Tensor], x: px.Tensor) -> tuple[tuple[px.Tensor, px.Tensor], None]:
        return cell(params, state, x[:, None]), None

    (output, _), _ = px.scan(step, start, sequences.T)
    log_odds: px.Tensor = (output @ params["read"])[:, 0]
    return log_odds


def loss(params: Params, sequences: px.Tensor, labels: px.Tensor) -> px.Tensor:
    """Mean logistic loss."""
    signs = px.where(labels, 1.0, -1.0)
    return px.mean(px.softplus(-signs * score(params, sequences)))


@px.defn
def train_step(params: Params, sequences: px.Tensor, labels: px.Tensor) -> tuple[Params, px.Tensor]:
    """One step of gradient descent through time; clipping keeps it from running away."""
    value, gradient = px.value_and_grad(loss)(params, sequences, labels)
    return {name: params[name] - RATE * px.clip(gradient[name], -CLIP, CLIP) for name in params}, value


def main() -> None:
    keys = px.random.split(px.random.key(0), 3)
    params: Params = {
        "input": px.random.normal(keys[0], (1, 4 * SIZE)),
        "hidden": px.random.normal(keys[1], (SIZE, 4 * SIZE)) * 0.3,
        "bias": px.zeros(4 * SIZE),
        "read": px.random.normal(keys[2], (SIZE, 1)),
    }
    rng = np.random.default_rng(0)
    for step in range(STEPS):
        sequences = rng.normal(size=(BATCH, LENGTH)).astype(np.float32)
        params, value = train_step(params, sequences, sequences[:, 0] > 0)
        if step % 40 == 0:
            print(f"step {step:3}  loss {float(value):.3f}")
    sequences = rng.normal(size=(500, LENGTH)).astype(np.float32)
    right = np.mean((px.jit(score)(params, sequences).numpy() > 0) == (sequences[:, 0] > 0))
    print(f"right on {right:.1%} of new sequences")
    assert right > 0.9


if __name__ == "__main__":
    main()
