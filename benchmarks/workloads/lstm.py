"""An LSTM over 128 steps of 16 sequences, 256 inputs and 256 units: products too small to hide what surrounds them.

The inputs' product for all steps is taken out of the loop by hand everywhere, as cuDNN and its users do.
torch: `torch.nn.LSTM`, what a torch user takes; `torch.compile` leaves it to ATen's own loop.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.harness.workload import Case, Work

STEPS, BATCH, UNITS = 128, 16, 256
CASES = [
    Case("128 steps, 256 units", {"steps": STEPS, "batch": BATCH, "units": UNITS},
         Work(flops=2 * 2 * STEPS * BATCH * UNITS * 4 * UNITS, bytes=4 * (2 * STEPS * BATCH * UNITS + 8 * UNITS * UNITS))),
]
TINY = [Case("3 steps, 5 units", {"steps": 3, "batch": 2, "units": 5})]
RTOL, ATOL = 1e-4, 1e-4


def inputs(case: Case, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Gates in the order in, forget, value, out, which is torch's."""
    steps, batch, units = (case[name] for name in ("steps", "batch", "units"))

    def uniform(*shape: int) -> np.ndarray:
        return rng.uniform(-(units**-0.5), units**-0.5, shape).astype(np.float32)

    return {
        "sequence": rng.standard_normal((steps, batch, units)).astype(np.float32),
        "from_input": uniform(units, 4 * units),
        "from_state": uniform(units, 4 * units),
        "bias": uniform(4 * units),
    }


def numpy(case: Case, a: dict[str, np.ndarray]) -> Callable[[], Any]:
    """A Python loop around the cell."""
    sequence, from_input, from_state, bias = (a[name] for name in ("sequence", "from_input", "from_state", "bias"))
    units = from_state.shape[0]

    def sigmoid(x: np.ndarray) -> np.ndarray:
        result: np.ndarray = 1 / (1 + np.exp(-x))
        return result

    def run() -> tuple[Any, ...]:
        projected = sequence @ from_input + bias
        output = memory = np.zeros(sequence.shape[1:], np.float32)
        outputs = np.empty_like(sequence)
        for step, row in enumerate(projected):
            gates = row + output @ from_state
            enter, forget, value, leave = (gates[:, i * units:(i + 1) * units] for i in range(4))
            memory = sigmoid(forget) * memory + sigmoid(enter) * np.tanh(value)
            output = sigmoid(leave) * np.tanh(memory)
            outputs[step] = output
        return outputs, memory

    return run


def phalanx(case: Case, a: dict[str, np.ndarray]) -> Callable[[], Any]:
    """`px.scan`."""
    import phalanx as px

    def run(sequence: Any, from_input: Any, from_state: Any, bias: Any) -> tuple[Any, ...]:
        def cell(state: tuple[Any, Any], row: Any) -> tuple[tuple[Any, Any], Any]:
            output, memory = state
            enter, forget, value, leave = px.split(row + output @ from_state, 4, axis=-1)
            memory = px.sigmoid(forget) * memory + px.sigmoid(enter) * px.tanh(value)
            output = px.sigmoid(leave) * px.tanh(memory)
            return (output, memory), output

        start = px.zeros(sequence.shape[1:])
        (_, memory), outputs = px.scan(cell, (start, start), sequence @ from_input + bias)
        return outputs, memory

    compiled = px.jit(run)
    values = tuple(px.asarray(a[name]) for name in ("sequence", "from_input", "from_state", "bias"))
    return lambda: compiled(*values)


def jax(case: Case, a: dict[str, np.ndarray]) -> Callable[[], Any]:
    """`jax.lax.scan`."""
    import jax
    import jax.numpy as jnp

    def run(sequence: Any, from_input: Any, from_state: Any, bias: Any) -> tuple[Any, ...]:
        def cell(state: tuple[Any, Any], row: Any) -> tuple[tuple[Any, Any], Any]:
            output, memory = state
            enter, forget, value, leave = jnp.split(row + output @ from_state, 4, axis=-1)
            memory = jax.nn.sigmoid(forget) * memory + jax.nn.sigmoid(enter) * jnp.tanh(value)
            output = jax.nn.sigmoid(leave) * jnp.tanh(memory)
            return (output, memory), output

        start = jnp.zeros(sequence.shape[1:], jnp.float32)
        (_, memory), outputs = jax.lax.scan(cell, (start, start), sequence @ from_input + bias)
        return outputs, memory

    compiled = jax.jit(run)
    values = tuple(jnp.asarray(a[name]) for name in ("sequence", "from_input", "from_state", "bias"))
    return lambda: jax.block_until_ready(compiled(*values))


def torch(case: Case, a: dict[str, np.ndarray]) -> Callable[[], Any]:
    """`torch.nn.LSTM` in inference mode."""
    import torch

    module = torch.nn.LSTM(a["from_input"].shape[0], a["from_state"].shape[0])
    with torch.no_grad():
        module.weight_ih_l0.copy_(torch.from_numpy(a["from_input"]).T)
        module.weight_hh_l0.copy_(torch.from_numpy(a["from_state"]).T)
        module.bias_ih_l0.copy_(torch.from_numpy(a["bias"]))
        module.bias_hh_l0.zero_()
    compiled = torch.compile(module)
    sequence = torch.from_numpy(a["sequence"])

    def run() -> tuple[Any, ...]:
        with torch.inference_mode():
            outputs, (_, memory) = compiled(sequence)
        return outputs, memory[0]

    return run


def numba(case: Case, a: dict[str, np.ndarray]) -> Callable[[], Any]:
    """Products by BLAS, the gates in an explicit loop; threads for the gates get in the way of those of BLAS."""
    from numba import njit

    one = np.float32(1)

    @njit
    def run(sequence, from_input, from_state, bias):  # type: ignore[no-untyped-def]
        steps, batch, units = sequence.shape
        projected = np.dot(sequence.reshape(steps * batch, units), from_input)
        output = np.zeros((batch, units), np.float32)
        memory = np.zeros((batch, units), np.float32)
        outputs = np.empty_like(sequence)
        for step in range(steps):
            gates = np.dot(output, from_state)
            for i in range(batch):
                for j in range(units):
                    row = step * batch + i
                    enter = one / (one + np.exp(-(gates[i, j] + projected[row, j] + bias[j])))
                    k = units + j
                    forget = one / (one + np.exp(-(gates[i, k] + projected[row, k] + bias[k])))
                    k += units
                    value = np.tanh(gates[i, k] + projected[row, k] + bias[k])
                    k += units
                    leave = one / (one + np.exp(-(gates[i, k] + projected[row, k] + bias[k])))
                    memory[i, j] = forget * memory[i, j] + enter * value
                    output[i, j] = leave * np.tanh(memory[i, j])
                    outputs[step, i, j] = output[i, j]
        return outputs, memory

    values = tuple(a[name] for name in ("sequence", "from_input", "from_state", "bias"))
    return lambda: run(*values)
