"""Softmax over the rows of a matrix: a reduction, an elementwise part and another reduction over the same row."""

from __future__ import annotations

from typing import Any

from numpy.random import Generator

from benchmarks.harness.workload import TRANSCENDENTAL, Arrays, Call, Case, Sizes, Work


def _work(sizes: Sizes) -> Work:
    count = sizes["rows"] * sizes["columns"]
    return Work(flops=(4 + TRANSCENDENTAL) * count, bytes=8 * count)


CASES = [Case("4096x1024", {"rows": 4096, "columns": 1024}, _work), Case("128x64", {"rows": 128, "columns": 64}, _work)]
TINY = [Case("ragged", {"rows": 5, "columns": 37}, _work), Case("one row", {"rows": 1, "columns": 3}, _work)]
RTOL, ATOL = 1e-5, 1e-8


def inputs(case: Case, rng: Generator) -> Arrays:
    return {"x": rng.normal(size=(case["rows"], case["columns"])).astype("float32") * 4}


def numpy(case: Case, a: Arrays) -> Call:
    import numpy as np

    def softmax(x: Any) -> Any:
        weights = np.exp(x - x.max(axis=1, keepdims=True))
        weights /= weights.sum(axis=1, keepdims=True)
        return weights

    x = a["x"]
    return lambda: softmax(x)


def phalanx(case: Case, a: Arrays) -> Call:
    import phalanx as px

    softmax = px.jit(lambda x: px.softmax(x, axis=1))
    x = px.asarray(a["x"])
    return lambda: softmax(x)


def jax(case: Case, a: Arrays) -> Call:
    import jax

    softmax = jax.jit(lambda x: jax.nn.softmax(x, axis=1))
    x = jax.device_put(a["x"])
    return lambda: softmax(x).block_until_ready()


def torch(case: Case, a: Arrays) -> Call:
    import torch

    softmax = torch.compile(lambda x: torch.softmax(x, dim=1))
    x = torch.from_numpy(a["x"])
    return lambda: softmax(x)


def numba(case: Case, a: Arrays) -> Call:
    import numpy as np
    from numba import njit, prange

    @njit(parallel=True)
    def softmax(x: Any) -> Any:
        rows, columns = x.shape
        out = np.empty_like(x)
        for i in prange(rows):
            largest = x[i, 0]
            for j in range(1, columns):
                largest = max(largest, x[i, j])
            total = np.float32(0)
            for j in range(columns):
                out[i, j] = np.exp(x[i, j] - largest)
                total += out[i, j]
            scale = np.float32(1) / total
            for j in range(columns):
                out[i, j] *= scale
        return out

    x = a["x"]
    return lambda: softmax(x)
