"""Layer normalisation of the rows of a matrix, with scale and shift: two dependent reductions of one row."""

from __future__ import annotations

from typing import Any

from numpy.random import Generator

from benchmarks.harness.workload import Arrays, Call, Case, Sizes, Work

_EPSILON = 1e-5


def _work(sizes: Sizes) -> Work:
    count = sizes["rows"] * sizes["columns"]
    return Work(flops=8 * count, bytes=8 * count + 8 * sizes["columns"])


CASES = [Case("4096x1024", {"rows": 4096, "columns": 1024}, _work), Case("128x64", {"rows": 128, "columns": 64}, _work)]
TINY = [Case("ragged", {"rows": 5, "columns": 37}, _work)]
RTOL, ATOL = 1e-4, 1e-5


def inputs(case: Case, rng: Generator) -> Arrays:
    columns = case["columns"]
    return {"x": 2 * rng.standard_normal((case["rows"], columns), dtype="float32") + 1,
            "scale": rng.standard_normal(columns, dtype="float32"), "shift": rng.standard_normal(columns, dtype="float32")}


def numpy(case: Case, a: Arrays) -> Call:
    import numpy as np

    x, scale, shift = a["x"], a["scale"], a["shift"]

    def call() -> Any:
        out = x - x.mean(axis=1, keepdims=True)
        variance = np.mean(out * out, axis=1, keepdims=True)
        out /= np.sqrt(variance + np.float32(_EPSILON))
        out *= scale
        out += shift
        return out

    return call


def phalanx(case: Case, a: Arrays) -> Call:
    import phalanx as px

    @px.jit
    def function(x: Any, scale: Any, shift: Any) -> Any:
        centred = x - px.mean(x, axis=1, keepdims=True)
        variance = px.mean(centred * centred, axis=1, keepdims=True)
        return centred * px.rsqrt(variance + _EPSILON) * scale + shift

    x, scale, shift = (px.asarray(a[name]) for name in ("x", "scale", "shift"))
    return lambda: function(x, scale, shift)


def jax(case: Case, a: Arrays) -> Call:
    import jax
    import jax.numpy as jnp

    @jax.jit
    def function(x: Any, scale: Any, shift: Any) -> Any:
        centred = x - jnp.mean(x, axis=1, keepdims=True)
        variance = jnp.mean(centred * centred, axis=1, keepdims=True)
        return centred * jax.lax.rsqrt(variance + _EPSILON) * scale + shift

    x, scale, shift = (jax.device_put(a[name]) for name in ("x", "scale", "shift"))
    return lambda: function(x, scale, shift).block_until_ready()


def torch(case: Case, a: Arrays) -> Call:
    import torch

    function = torch.compile(
        lambda x, scale, shift: torch.nn.functional.layer_norm(x, (x.shape[1],), scale, shift, _EPSILON))
    x, scale, shift = (torch.from_numpy(a[name]) for name in ("x", "scale", "shift"))
    return lambda: function(x, scale, shift)


def numba(case: Case, a: Arrays) -> Call:
    import numpy as np
    from numba import njit, prange

    zero, one, epsilon = np.float32(0), np.float32(1), np.float32(_EPSILON)

    @njit(parallel=True)
    def function(x: Any, scale: Any, shift: Any) -> Any:
        rows, columns = x.shape
        out = np.empty_like(x)
        count = np.float32(columns)
        for i in prange(rows):
            total = zero
            for j in range(columns):
                total += x[i, j]
            mean = total / count
            squares = zero
            for j in range(columns):
                squares += (x[i, j] - mean) * (x[i, j] - mean)
            factor = one / np.sqrt(squares / count + epsilon)
            for j in range(columns):
                out[i, j] = (x[i, j] - mean) * factor * scale[j] + shift[j]
        return out

    x, scale, shift = a["x"], a["scale"], a["shift"]
    return lambda: function(x, scale, shift)
