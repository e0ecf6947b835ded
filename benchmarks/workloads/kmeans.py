"""One step of k-means, 65536 points of 16 dimensions and 64 centroids: assign to the nearest, move to the mean.

The distances come from a matrix product without the points' own squares, which change no comparison.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.harness.workload import Case, Work

CASES = [Case("65536x16, 64", {"points": 65536, "dims": 16, "centroids": 64},
              Work(flops=65536 * (2 * 16 * 64 + 2 * 64 + 17), bytes=4 * 65536 * (16 + 1)))]
TINY = [Case("50x3, 4", {"points": 50, "dims": 3, "centroids": 4})]
RTOL, ATOL = 1e-3, 1e-4


def inputs(case: Case, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Blobs far enough apart that rounding moves no point to another centroid."""
    centres = 10 * rng.standard_normal((case["centroids"], case["dims"]))
    points = centres[rng.integers(0, case["centroids"], case["points"])] + rng.standard_normal((case["points"], case["dims"]))
    moved = centres + 0.1 * rng.standard_normal(centres.shape)
    return {"points": points.astype(np.float32), "centroids": moved.astype(np.float32)}


def numpy(case: Case, a: dict[str, np.ndarray]) -> Callable[[], Any]:
    """Sums by `np.bincount`, one per dimension."""
    points, centroids = a["points"], a["centroids"]
    count, dims = centroids.shape

    def step() -> tuple[Any, ...]:
        distances = (centroids * centroids).sum(axis=1) - 2 * points @ centroids.T
        nearest = np.argmin(distances, axis=1)
        sizes = np.bincount(nearest, minlength=count).astype(np.float32)
        sums = np.stack([np.bincount(nearest, points[:, k], minlength=count) for k in range(dims)], axis=1)
        return np.where(sizes[:, None] > 0, sums / np.maximum(sizes, 1)[:, None], centroids), nearest.astype(np.int32)

    return step


def phalanx(case: Case, a: dict[str, np.ndarray]) -> Callable[[], Any]:
    """Sums by `at[...].add`."""
    import phalanx as px

    def step(points: Any, centroids: Any) -> tuple[Any, ...]:
        distances = px.sum(centroids * centroids, axis=1) - 2.0 * points @ centroids.T
        nearest = px.argmin(distances, axis=1)
        sizes = px.zeros(centroids.shape[0]).at[nearest].add(1.0)
        sums = px.zeros_like(centroids).at[nearest].add(points)
        return px.where(sizes[:, None] > 0, sums / px.maximum(sizes, 1.0)[:, None], centroids), nearest

    compiled = px.jit(step)
    points, centroids = px.asarray(a["points"]), px.asarray(a["centroids"])
    return lambda: compiled(points, centroids)


def jax(case: Case, a: dict[str, np.ndarray]) -> Callable[[], Any]:
    """Sums by `jax.ops.segment_sum`."""
    import jax
    import jax.numpy as jnp

    def step(points: Any, centroids: Any) -> tuple[Any, ...]:
        count = centroids.shape[0]
        distances = jnp.sum(centroids * centroids, axis=1) - 2.0 * points @ centroids.T
        nearest = jnp.argmin(distances, axis=1)
        sizes = jax.ops.segment_sum(jnp.ones(points.shape[0], jnp.float32), nearest, count)
        sums = jax.ops.segment_sum(points, nearest, count)
        return jnp.where(sizes[:, None] > 0, sums / jnp.maximum(sizes, 1.0)[:, None], centroids), nearest

    compiled = jax.jit(step)
    points, centroids = jnp.asarray(a["points"]), jnp.asarray(a["centroids"])
    return lambda: jax.block_until_ready(compiled(points, centroids))


def torch(case: Case, a: dict[str, np.ndarray]) -> Callable[[], Any]:
    """Sums by `index_add`."""
    import torch

    def step(points: Any, centroids: Any) -> tuple[Any, ...]:
        distances = torch.sum(centroids * centroids, dim=1) - 2.0 * points @ centroids.T
        nearest = torch.argmin(distances, dim=1)
        sizes = torch.zeros(centroids.shape[0]).index_add(0, nearest, torch.ones(points.shape[0]))
        sums = torch.zeros_like(centroids).index_add(0, nearest, points)
        return torch.where(sizes[:, None] > 0, sums / torch.clamp(sizes, min=1.0)[:, None], centroids), nearest

    compiled = torch.compile(step)
    points, centroids = torch.from_numpy(a["points"]), torch.from_numpy(a["centroids"])

    def call() -> Any:
        with torch.inference_mode():
            return compiled(points, centroids)

    return call


def numba(case: Case, a: dict[str, np.ndarray]) -> Callable[[], Any]:
    """The product by BLAS; sums of its own for every thread."""
    from numba import get_num_threads, njit, prange

    @njit(parallel=True)
    def step(points, centroids):  # type: ignore[no-untyped-def]
        n, dims = points.shape
        count, threads = len(centroids), get_num_threads()
        squares = (centroids * centroids).sum(axis=1)
        products = np.dot(points, centroids.T)
        nearest = np.empty(n, np.int32)
        sizes, sums = np.zeros((threads, count), np.float32), np.zeros((threads, count, dims), np.float32)
        for thread in prange(threads):
            for i in range(n * thread // threads, n * (thread + 1) // threads):
                best, place = squares[0] - 2 * products[i, 0], 0
                for j in range(1, count):
                    distance = squares[j] - 2 * products[i, j]
                    if distance < best:
                        best, place = distance, j
                nearest[i] = place
                sizes[thread, place] += 1
                for k in range(dims):
                    sums[thread, place, k] += points[i, k]
        moved = centroids.copy()
        for j in range(count):
            size = sizes[:, j].sum()
            if size > 0:
                for k in range(dims):
                    moved[j, k] = sums[:, j, k].sum() / size
        return moved, nearest

    points, centroids = a["points"], a["centroids"]
    return lambda: step(points, centroids)
