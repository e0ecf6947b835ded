"""Escape times of 512x512 points, at most 200 steps: a `while_loop` over a whole picture that ends when all left.

The last bit decides when a point near the edge leaves, so the result is the mean of each row.
numba: a loop per point that stops at once, which the others, one loop for all points, cannot do.
torch: the step is compiled and the loop is Python, since `torch.compile` cannot end a loop by a value.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.harness.workload import Case, Work

SIZE, LIMIT = 512, 200
CASES = [Case("512x512, 200 steps", {"size": SIZE, "limit": LIMIT},
              Work(flops=10 * LIMIT * SIZE * SIZE, bytes=8 * SIZE * SIZE))]
TINY = [Case("8x8, 20 steps", {"size": 8, "limit": 20})]
RTOL, ATOL = 1e-2, 1e-2


def inputs(case: Case, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """The usual picture."""
    real, imaginary = np.meshgrid(np.linspace(-2.1, 0.7, case["size"], dtype=np.float32),
                                  np.linspace(-1.2, 1.2, case["size"], dtype=np.float32))
    return {"real": np.ascontiguousarray(real), "imaginary": np.ascontiguousarray(imaginary)}


def numpy(case: Case, a: dict[str, np.ndarray]) -> Callable[[], Any]:
    """All points in every step."""
    real, imaginary, limit = a["real"], a["imaginary"], case["limit"]

    def run() -> Any:
        x, y = np.zeros_like(real), np.zeros_like(real)
        times = np.zeros(real.shape, np.int32)
        with np.errstate(over="ignore", invalid="ignore"):
            for _ in range(limit):
                inside = x * x + y * y <= 4
                if not inside.any():
                    break
                times += inside
                x, y = x * x - y * y + real, 2 * x * y + imaginary
        return times.mean(axis=1, dtype=np.float32)

    return run


def phalanx(case: Case, a: dict[str, np.ndarray]) -> Callable[[], Any]:
    """`px.while_loop`."""
    import phalanx as px

    limit = case["limit"]

    def run(real: Any, imaginary: Any) -> Any:
        def going(state: tuple[Any, ...]) -> Any:
            step, x, y, _ = state
            return (step < limit) & px.any(x * x + y * y <= 4.0)

        def advance(state: tuple[Any, ...]) -> tuple[Any, ...]:
            step, x, y, times = state
            inside = x * x + y * y <= 4.0
            return step + 1, x * x - y * y + real, 2.0 * x * y + imaginary, times + px.astype(inside, px.int32)

        start = px.zeros_like(real)
        times = px.while_loop(going, advance, (0, start, start, px.zeros(real.shape, dtype=px.int32)))[3]
        return px.mean(px.astype(times, px.float32), axis=1)

    compiled = px.jit(run)
    real, imaginary = px.asarray(a["real"]), px.asarray(a["imaginary"])
    return lambda: compiled(real, imaginary)


def jax(case: Case, a: dict[str, np.ndarray]) -> Callable[[], Any]:
    """`jax.lax.while_loop`."""
    import jax
    import jax.numpy as jnp

    limit = case["limit"]

    def run(real: Any, imaginary: Any) -> Any:
        def going(state: tuple[Any, ...]) -> Any:
            step, x, y, _ = state
            return (step < limit) & jnp.any(x * x + y * y <= 4.0)

        def advance(state: tuple[Any, ...]) -> tuple[Any, ...]:
            step, x, y, times = state
            inside = x * x + y * y <= 4.0
            return step + 1, x * x - y * y + real, 2.0 * x * y + imaginary, times + inside.astype(jnp.int32)

        start = jnp.zeros_like(real)
        times = jax.lax.while_loop(going, advance, (0, start, start, jnp.zeros(real.shape, jnp.int32)))[3]
        return jnp.mean(times.astype(jnp.float32), axis=1)

    compiled = jax.jit(run)
    real, imaginary = jnp.asarray(a["real"]), jnp.asarray(a["imaginary"])
    return lambda: jax.block_until_ready(compiled(real, imaginary))


def torch(case: Case, a: dict[str, np.ndarray]) -> Callable[[], Any]:
    """A compiled step in place, asked after each whether a point is left."""
    import torch

    limit = case["limit"]

    def advance(x: Any, y: Any, times: Any, real: Any, imaginary: Any) -> Any:
        inside = x * x + y * y <= 4.0
        times.add_(inside)
        next_x, next_y = x * x - y * y + real, 2.0 * x * y + imaginary
        x.copy_(next_x)
        y.copy_(next_y)
        return (next_x * next_x + next_y * next_y <= 4.0).any()

    compiled = torch.compile(advance)
    real, imaginary = torch.from_numpy(a["real"]), torch.from_numpy(a["imaginary"])

    def run() -> Any:
        with torch.inference_mode():
            x, y = torch.zeros_like(real), torch.zeros_like(real)
            times = torch.zeros(real.shape, dtype=torch.int32)
            for _ in range(limit):
                if not compiled(x, y, times, real, imaginary):
                    break
            return times.to(torch.float32).mean(dim=1)

    return run


def numba(case: Case, a: dict[str, np.ndarray]) -> Callable[[], Any]:
    """A loop per point, rows shared among threads."""
    from numba import njit, prange

    limit = case["limit"]

    @njit(parallel=True)
    def run(real, imaginary):  # type: ignore[no-untyped-def]
        rows, columns = real.shape
        means = np.empty(rows, np.float32)
        for i in prange(rows):
            total = 0
            for j in range(columns):
                x = y = np.float32(0)
                step = 0
                while step < limit and x * x + y * y <= np.float32(4):
                    x, y = x * x - y * y + real[i, j], np.float32(2) * x * y + imaginary[i, j]
                    step += 1
                total += step
            means[i] = np.float32(total) / np.float32(columns)
        return means

    real, imaginary = a["real"], a["imaginary"]
    return lambda: run(real, imaginary)
