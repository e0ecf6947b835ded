"""A thousand steps of a five-point stencil on 512x512: a loop whose state must not be copied at every step.

torch: the step is compiled and called from Python, since `torch.compile` would unroll a loop of a thousand.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.harness.workload import Case, Work

SIZE, STEPS = 512, 1000
RATE = np.float32(0.2)
CASES = [Case("512x512, 1000 steps", {"size": SIZE, "steps": STEPS},
              Work(flops=6 * STEPS * (SIZE - 2) ** 2, bytes=8 * SIZE * SIZE))]
TINY = [Case("9x9, 3 steps", {"size": 9, "steps": 3})]
RTOL, ATOL = 1e-4, 1e-5


def inputs(case: Case, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Uniform noise."""
    return {"plate": rng.random((case["size"], case["size"]), np.float32)}


def numpy(case: Case, a: dict[str, np.ndarray]) -> Callable[[], Any]:
    """Slices of the whole plate."""
    start, steps = a["plate"], case["steps"]

    def run() -> Any:
        p = start.copy()
        for _ in range(steps):
            p[1:-1, 1:-1] += RATE * (p[:-2, 1:-1] + p[2:, 1:-1] + p[1:-1, :-2] + p[1:-1, 2:] - 4 * p[1:-1, 1:-1])
        return p

    return run


def phalanx(case: Case, a: dict[str, np.ndarray]) -> Callable[[], Any]:
    """`px.fori_loop`."""
    import phalanx as px

    steps = case["steps"]

    def step(_: Any, p: Any) -> Any:
        around = p[:-2, 1:-1] + p[2:, 1:-1] + p[1:-1, :-2] + p[1:-1, 2:]
        return p.at[1:-1, 1:-1].add(RATE * (around - 4.0 * p[1:-1, 1:-1]))

    compiled = px.jit(lambda plate: px.fori_loop(0, steps, step, plate))
    plate = px.asarray(a["plate"])
    return lambda: compiled(plate)


def jax(case: Case, a: dict[str, np.ndarray]) -> Callable[[], Any]:
    """`jax.lax.fori_loop`."""
    import jax
    import jax.numpy as jnp

    steps = case["steps"]

    def step(_: Any, p: Any) -> Any:
        around = p[:-2, 1:-1] + p[2:, 1:-1] + p[1:-1, :-2] + p[1:-1, 2:]
        return p.at[1:-1, 1:-1].add(RATE * (around - 4.0 * p[1:-1, 1:-1]))

    compiled = jax.jit(lambda plate: jax.lax.fori_loop(0, steps, step, plate))
    plate = jnp.asarray(a["plate"])
    return lambda: jax.block_until_ready(compiled(plate))


def torch(case: Case, a: dict[str, np.ndarray]) -> Callable[[], Any]:
    """A compiled step that writes into the other of two plates."""
    import torch

    steps, rate = case["steps"], float(RATE)

    def step(p: Any, into: Any) -> None:
        around = p[:-2, 1:-1] + p[2:, 1:-1] + p[1:-1, :-2] + p[1:-1, 2:]
        into[1:-1, 1:-1] = p[1:-1, 1:-1] + rate * (around - 4.0 * p[1:-1, 1:-1])

    compiled = torch.compile(step)
    plate = torch.from_numpy(a["plate"])

    def run() -> Any:
        with torch.inference_mode():
            here, there = plate.clone(), plate.clone()
            for _ in range(steps):
                compiled(here, there)
                here, there = there, here
            return here

    return run


def numba(case: Case, a: dict[str, np.ndarray]) -> Callable[[], Any]:
    """Two plates in turn, rows shared among threads."""
    from numba import njit, prange

    rate, steps = RATE, case["steps"]

    @njit(parallel=True)
    def run(plate):  # type: ignore[no-untyped-def]
        rows, columns = plate.shape
        here, there = plate.copy(), plate.copy()
        for _ in range(steps):
            for i in prange(1, rows - 1):
                for j in range(1, columns - 1):
                    around = here[i - 1, j] + here[i + 1, j] + here[i, j - 1] + here[i, j + 1]
                    there[i, j] = here[i, j] + rate * (around - np.float32(4) * here[i, j])
            here, there = there, here
        return here

    plate = a["plate"]
    return lambda: run(plate)
