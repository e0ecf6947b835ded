"""One SGD step of a two-layer classifier (batch 256, 784-512-10): loss, gradient and update in one function.

Three large products, three small ones, a softmax cross-entropy and an update that reads and writes every weight.
torch: the whole step under one `torch.compile` (torch.func), not eager autograd around a compiled forward pass.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.harness.workload import Case, Work

BATCH, INPUTS, HIDDEN, CLASSES = 256, 784, 512, 10
RATE = np.float32(0.1)

# Forward, gradient of the weights, gradient of the hidden layer; the first layer's input needs none.
_FLOPS = 2 * BATCH * (2 * INPUTS * HIDDEN + 3 * HIDDEN * CLASSES)
_WEIGHTS = INPUTS * HIDDEN + HIDDEN + HIDDEN * CLASSES + CLASSES
CASES = [Case("256x784-512-10", {"batch": BATCH}, Work(flops=_FLOPS, bytes=4 * (2 * _WEIGHTS + BATCH * INPUTS)))]
RTOL, ATOL = 1e-4, 1e-5


def inputs(case: Case, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Images, classes, and weights as Glorot would draw them."""
    return {
        "x": rng.random((BATCH, INPUTS), np.float32),
        "labels": rng.integers(0, CLASSES, BATCH).astype(np.int32),
        "w1": (rng.standard_normal((INPUTS, HIDDEN)) * (2 / (INPUTS + HIDDEN)) ** 0.5).astype(np.float32),
        "b1": np.zeros(HIDDEN, np.float32),
        "w2": (rng.standard_normal((HIDDEN, CLASSES)) * (2 / (HIDDEN + CLASSES)) ** 0.5).astype(np.float32),
        "b2": np.zeros(CLASSES, np.float32),
    }


def numpy(case: Case, a: dict[str, np.ndarray]) -> Callable[[], Any]:
    """The gradient by hand."""
    x, labels, w1, b1, w2, b2 = (a[name] for name in ("x", "labels", "w1", "b1", "w2", "b2"))
    rows = np.arange(BATCH)

    def step() -> tuple[Any, ...]:
        hidden = np.maximum(x @ w1 + b1, 0)
        logits = hidden @ w2 + b2
        logits -= logits.max(axis=1, keepdims=True)
        exponentials = np.exp(logits)
        totals = exponentials.sum(axis=1, keepdims=True)
        loss = np.mean(np.log(totals[:, 0]) - logits[rows, labels])
        error = exponentials / totals
        error[rows, labels] -= 1
        error /= BATCH
        back = (error @ w2.T) * (hidden > 0)
        return (loss, w1 - RATE * (x.T @ back), b1 - RATE * back.sum(axis=0),
                w2 - RATE * (hidden.T @ error), b2 - RATE * error.sum(axis=0))

    return step


def phalanx(case: Case, a: dict[str, np.ndarray]) -> Callable[[], Any]:
    """`px.value_and_grad` and the update in one compiled function."""
    import phalanx as px

    def loss(parameters: tuple[Any, ...], x: Any, labels: Any) -> Any:
        w1, b1, w2, b2 = parameters
        logits = px.relu(x @ w1 + b1) @ w2 + b2
        wanted = px.take_along_axis(logits, labels[:, None], axis=1)[:, 0]
        return px.mean(px.logsumexp(logits, axis=1) - wanted)

    def step(parameters: tuple[Any, ...], x: Any, labels: Any) -> tuple[Any, ...]:
        value, gradient = px.value_and_grad(loss)(parameters, x, labels)
        return value, *(p - RATE * g for p, g in zip(parameters, gradient, strict=True))

    compiled = px.jit(step)
    x, labels, w1, b1, w2, b2 = (px.asarray(a[name]) for name in ("x", "labels", "w1", "b1", "w2", "b2"))
    return lambda: compiled((w1, b1, w2, b2), x, labels)


def jax(case: Case, a: dict[str, np.ndarray]) -> Callable[[], Any]:
    """`jax.value_and_grad` and the update under one `jax.jit`."""
    import jax
    import jax.numpy as jnp

    def loss(parameters: tuple[Any, ...], x: Any, labels: Any) -> Any:
        w1, b1, w2, b2 = parameters
        logits = jax.nn.relu(x @ w1 + b1) @ w2 + b2
        wanted = jnp.take_along_axis(logits, labels[:, None], axis=1)[:, 0]
        return jnp.mean(jax.nn.logsumexp(logits, axis=1) - wanted)

    def step(parameters: tuple[Any, ...], x: Any, labels: Any) -> tuple[Any, ...]:
        value, gradient = jax.value_and_grad(loss)(parameters, x, labels)
        return value, *(p - RATE * g for p, g in zip(parameters, gradient, strict=True))

    compiled = jax.jit(step)
    x, labels, w1, b1, w2, b2 = (jnp.asarray(a[name]) for name in ("x", "labels", "w1", "b1", "w2", "b2"))
    return lambda: jax.block_until_ready(compiled((w1, b1, w2, b2), x, labels))


def torch(case: Case, a: dict[str, np.ndarray]) -> Callable[[], Any]:
    """`torch.func.grad_and_value` and the update under one `torch.compile`."""
    import torch

    def loss(parameters: tuple[Any, ...], x: Any, labels: Any) -> Any:
        w1, b1, w2, b2 = parameters
        logits = torch.relu(x @ w1 + b1) @ w2 + b2
        return torch.nn.functional.cross_entropy(logits, labels)

    rate = float(RATE)

    def step(parameters: tuple[Any, ...], x: Any, labels: Any) -> tuple[Any, ...]:
        gradient, value = torch.func.grad_and_value(loss)(parameters, x, labels)
        return value, *(p - rate * g for p, g in zip(parameters, gradient, strict=True))

    compiled = torch.compile(step)
    x, w1, b1, w2, b2 = (torch.from_numpy(a[name]) for name in ("x", "w1", "b1", "w2", "b2"))
    labels = torch.from_numpy(a["labels"].astype(np.int64))

    def run() -> Any:
        with torch.no_grad():
            return compiled((w1, b1, w2, b2), x, labels)

    return run


def numba(case: Case, a: dict[str, np.ndarray]) -> Callable[[], Any]:
    """Products by BLAS, everything else in explicit loops."""
    from numba import njit, prange

    rate = RATE

    @njit(parallel=True)
    def step(x, labels, w1, b1, w2, b2):  # type: ignore[no-untyped-def]
        batch, hidden_size, classes = x.shape[0], w1.shape[1], w2.shape[1]
        hidden = np.dot(x, w1)
        for i in prange(batch):
            for j in range(hidden_size):
                hidden[i, j] = max(hidden[i, j] + b1[j], np.float32(0))
        error = np.dot(hidden, w2)
        losses = np.empty(batch, np.float32)
        for i in prange(batch):
            for j in range(classes):
                error[i, j] += b2[j]
            largest = error[i].max()
            total = np.float32(0)
            for j in range(classes):
                total += np.exp(error[i, j] - largest)
            losses[i] = np.log(total) + largest - error[i, labels[i]]
            for j in range(classes):
                error[i, j] = np.exp(error[i, j] - largest) / total / np.float32(batch)
            error[i, labels[i]] -= np.float32(1) / np.float32(batch)
        back = np.dot(error, w2.T)
        for i in prange(batch):
            for j in range(hidden_size):
                if hidden[i, j] <= 0:
                    back[i, j] = 0
        new_w1, new_w2 = np.dot(x.T, back), np.dot(hidden.T, error)
        for i in prange(new_w1.shape[0]):
            for j in range(hidden_size):
                new_w1[i, j] = w1[i, j] - rate * new_w1[i, j]
        for i in range(hidden_size):
            for j in range(classes):
                new_w2[i, j] = w2[i, j] - rate * new_w2[i, j]
        new_b1, new_b2 = b1.copy(), b2.copy()
        for i in range(batch):
            for j in range(hidden_size):
                new_b1[j] -= rate * back[i, j]
            for j in range(classes):
                new_b2[j] -= rate * error[i, j]
        return losses.mean(), new_w1, new_b1, new_w2, new_b2

    values = tuple(a[name] for name in ("x", "labels", "w1", "b1", "w2", "b2"))
    return lambda: step(*values)
