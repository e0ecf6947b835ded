"""A million weights added into 1024 bins: scatter-add with many hits per place.

torch: `torch.bincount` with weights, which `torch.compile` leaves to ATen.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.harness.workload import Case, Work

CASES = [Case("1M into 1024", {"n": 1 << 20, "bins": 1024}, Work(flops=1 << 20, bytes=8 * (1 << 20)))]
TINY = [Case("100 into 7", {"n": 100, "bins": 7})]
RTOL, ATOL = 1e-4, 1e-3


def inputs(case: Case, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Uniform bins, uniform weights."""
    return {"places": rng.integers(0, case["bins"], case["n"]).astype(np.int32), "weights": rng.random(case["n"], np.float32)}


def numpy(case: Case, a: dict[str, np.ndarray]) -> Callable[[], Any]:
    """`np.bincount`, which adds in float64."""
    places, weights, bins = a["places"], a["weights"], case["bins"]
    return lambda: np.bincount(places, weights, minlength=bins).astype(np.float32)


def phalanx(case: Case, a: dict[str, np.ndarray]) -> Callable[[], Any]:
    """`at[...].add` on zeros."""
    import phalanx as px

    bins = case["bins"]
    compiled = px.jit(lambda places, weights: px.zeros(bins).at[places].add(weights))
    places, weights = px.asarray(a["places"]), px.asarray(a["weights"])
    return lambda: compiled(places, weights)


def jax(case: Case, a: dict[str, np.ndarray]) -> Callable[[], Any]:
    """`at[...].add` on zeros."""
    import jax
    import jax.numpy as jnp

    bins = case["bins"]
    compiled = jax.jit(lambda places, weights: jnp.zeros(bins, jnp.float32).at[places].add(weights))
    places, weights = jnp.asarray(a["places"]), jnp.asarray(a["weights"])
    return lambda: jax.block_until_ready(compiled(places, weights))


def torch(case: Case, a: dict[str, np.ndarray]) -> Callable[[], Any]:
    """`torch.bincount`."""
    import torch

    bins = case["bins"]
    compiled = torch.compile(lambda places, weights: torch.bincount(places, weights, minlength=bins))
    places, weights = torch.from_numpy(a["places"]), torch.from_numpy(a["weights"])

    def call() -> Any:
        with torch.inference_mode():
            return compiled(places, weights)

    return call


def numba(case: Case, a: dict[str, np.ndarray]) -> Callable[[], Any]:
    """Bins of its own for every thread, added up at the end."""
    from numba import get_num_threads, njit, prange

    bins = case["bins"]

    @njit(parallel=True)
    def run(places, weights):  # type: ignore[no-untyped-def]
        threads, n = get_num_threads(), len(places)
        parts = np.zeros((threads, bins), np.float32)
        for thread in prange(threads):
            for i in range(n * thread // threads, n * (thread + 1) // threads):
                parts[thread, places[i]] += weights[i]
        return parts.sum(axis=0)

    places, weights = a["places"], a["weights"]
    return lambda: run(places, weights)
