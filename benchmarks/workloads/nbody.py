"""Gravity between 2048 bodies, softened, one evaluation: a square of pairs that no one should store.

The pairs' differences are written per coordinate, the faster way for every array library.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.harness.workload import Case, Work

SOFTENING = np.float32(1e-2)
CASES = [Case("2048", {"n": 2048}, Work(flops=20 * 2048**2, bytes=28 * 2048))]
TINY = [Case("7", {"n": 7})]
RTOL, ATOL = 1e-3, 1e-2


def inputs(case: Case, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Bodies in a cube."""
    return {"positions": rng.random((case["n"], 3), np.float32), "masses": rng.random(case["n"], np.float32)}


def numpy(case: Case, a: dict[str, np.ndarray]) -> Callable[[], Any]:
    """Pairs as matrices."""
    positions, masses = a["positions"], a["masses"]

    def run() -> Any:
        differences = [c[None, :] - c[:, None] for c in positions.T]
        squares = differences[0] ** 2 + differences[1] ** 2 + differences[2] ** 2 + SOFTENING
        weights = masses / (squares * np.sqrt(squares))
        return np.stack([(d * weights).sum(axis=1) for d in differences], axis=1)

    return run


def phalanx(case: Case, a: dict[str, np.ndarray]) -> Callable[[], Any]:
    """The same text in Phalanx."""
    import phalanx as px

    def run(positions: Any, masses: Any) -> Any:
        columns = [positions[:, k] for k in range(3)]
        x, y, z = (c[None, :] - c[:, None] for c in columns)
        squares = x * x + y * y + z * z + SOFTENING
        weights = masses / (squares * px.sqrt(squares))
        return px.stack([px.sum(d * weights, axis=1) for d in (x, y, z)], axis=1)

    compiled = px.jit(run)
    positions, masses = px.asarray(a["positions"]), px.asarray(a["masses"])
    return lambda: compiled(positions, masses)


def jax(case: Case, a: dict[str, np.ndarray]) -> Callable[[], Any]:
    """The same text in JAX."""
    import jax
    import jax.numpy as jnp

    def run(positions: Any, masses: Any) -> Any:
        columns = [positions[:, k] for k in range(3)]
        x, y, z = (c[None, :] - c[:, None] for c in columns)
        squares = x * x + y * y + z * z + SOFTENING
        weights = masses / (squares * jnp.sqrt(squares))
        return jnp.stack([jnp.sum(d * weights, axis=1) for d in (x, y, z)], axis=1)

    compiled = jax.jit(run)
    positions, masses = jnp.asarray(a["positions"]), jnp.asarray(a["masses"])
    return lambda: jax.block_until_ready(compiled(positions, masses))


def torch(case: Case, a: dict[str, np.ndarray]) -> Callable[[], Any]:
    """The same text in torch."""
    import torch

    softening = float(SOFTENING)

    def run(positions: Any, masses: Any) -> Any:
        columns = [positions[:, k] for k in range(3)]
        x, y, z = (c[None, :] - c[:, None] for c in columns)
        squares = x * x + y * y + z * z + softening
        weights = masses / (squares * torch.sqrt(squares))
        return torch.stack([torch.sum(d * weights, dim=1) for d in (x, y, z)], dim=1)

    compiled = torch.compile(run)
    positions, masses = torch.from_numpy(a["positions"]), torch.from_numpy(a["masses"])

    def call() -> Any:
        with torch.inference_mode():
            return compiled(positions, masses)

    return call


def numba(case: Case, a: dict[str, np.ndarray]) -> Callable[[], Any]:
    """Two loops, bodies shared among threads; coordinates apart so that the inner loop reads them in order."""
    from numba import njit, prange

    softening = SOFTENING

    @njit(parallel=True, error_model="numpy")
    def run(positions, masses):  # type: ignore[no-untyped-def]
        n = positions.shape[0]
        xs, ys, zs = positions[:, 0].copy(), positions[:, 1].copy(), positions[:, 2].copy()
        forces = np.empty((n, 3), np.float32)
        for i in prange(n):
            fx = fy = fz = np.float32(0)
            for j in range(n):
                x, y, z = xs[j] - xs[i], ys[j] - ys[i], zs[j] - zs[i]
                square = x * x + y * y + z * z + softening
                weight = masses[j] / (square * np.sqrt(square))
                fx += x * weight
                fy += y * weight
                fz += z * weight
            forces[i, 0], forces[i, 1], forces[i, 2] = fx, fy, fz
        return forces

    positions, masses = a["positions"], a["masses"]
    return lambda: run(positions, masses)
