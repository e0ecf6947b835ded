"""Where the largest entry is, along either axis of 4096x1024 and in 4 M: a reduction that carries a place along."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.harness.workload import Case, Work

_WORK = Work(flops=1 << 22, bytes=4 * (1 << 22))
CASES = [
    Case("4096x1024 axis 0", {"shape": (4096, 1024), "axis": 0}, _WORK),
    Case("4096x1024 axis 1", {"shape": (4096, 1024), "axis": 1}, _WORK),
    Case("4M", {"shape": (1 << 22,), "axis": 0}, _WORK),
]
TINY = [Case("5x7 axis 0", {"shape": (5, 7), "axis": 0}), Case("5x7 axis 1", {"shape": (5, 7), "axis": 1}),
        Case("35", {"shape": (35,), "axis": 0})]


def inputs(case: Case, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Normal numbers."""
    return {"x": rng.standard_normal(case["shape"]).astype(np.float32)}


def numpy(case: Case, a: dict[str, np.ndarray]) -> Callable[[], Any]:
    """`np.argmax`."""
    x, axis = a["x"], case["axis"]
    return lambda: np.argmax(x, axis=axis).astype(np.int32)


def phalanx(case: Case, a: dict[str, np.ndarray]) -> Callable[[], Any]:
    """`px.argmax`."""
    import phalanx as px

    axis = case["axis"]
    compiled = px.jit(lambda x: px.argmax(x, axis=axis))
    x = px.asarray(a["x"])
    return lambda: compiled(x)


def jax(case: Case, a: dict[str, np.ndarray]) -> Callable[[], Any]:
    """`jnp.argmax`."""
    import jax
    import jax.numpy as jnp

    axis = case["axis"]
    compiled = jax.jit(lambda x: jnp.argmax(x, axis=axis))
    x = jnp.asarray(a["x"])
    return lambda: jax.block_until_ready(compiled(x))


def torch(case: Case, a: dict[str, np.ndarray]) -> Callable[[], Any]:
    """`torch.argmax`."""
    import torch

    axis = case["axis"]
    compiled = torch.compile(lambda x: torch.argmax(x, dim=axis))
    x = torch.from_numpy(a["x"])

    def call() -> Any:
        with torch.inference_mode():
            return compiled(x)

    return call


def numba(case: Case, a: dict[str, np.ndarray]) -> Callable[[], Any]:
    """Loops in the order of memory, a part for every thread."""
    from numba import get_num_threads, njit, prange

    @njit(parallel=True)
    def rows(x):  # type: ignore[no-untyped-def]
        places = np.empty(x.shape[0], np.int32)
        for i in prange(x.shape[0]):
            best, place = x[i, 0], 0
            for j in range(x.shape[1]):
                if x[i, j] > best:
                    best, place = x[i, j], j
            places[i] = place
        return places

    @njit(parallel=True)
    def columns(x):  # type: ignore[no-untyped-def]
        threads, n = get_num_threads(), x.shape[1]
        places = np.zeros(n, np.int32)
        for thread in prange(threads):
            first, end = n * thread // threads, n * (thread + 1) // threads
            best = x[0, first:end].copy()
            for i in range(x.shape[0]):
                for j in range(first, end):
                    if x[i, j] > best[j - first]:
                        best[j - first] = x[i, j]
                        places[j] = i
        return places

    @njit(parallel=True)
    def flat(x):  # type: ignore[no-untyped-def]
        threads, n = get_num_threads(), len(x)
        places = np.zeros(threads, np.int32)
        for thread in prange(threads):
            first, end = n * thread // threads, n * (thread + 1) // threads
            place = first
            for i in range(first, end):
                if x[i] > x[place]:
                    place = i
            places[thread] = place
        place = places[0]
        for other in places:
            if x[other] > x[place]:
                place = other
        return np.int32(place)

    x = a["x"]
    run = flat if x.ndim == 1 else columns if case["axis"] == 0 else rows
    return lambda: run(x)
