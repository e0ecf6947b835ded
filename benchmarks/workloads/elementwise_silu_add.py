"""silu(x) + y: one exponential and one division an element."""

from __future__ import annotations

from typing import Any

from numpy.random import Generator

from benchmarks.harness.workload import TRANSCENDENTAL, Arrays, Call, Case, Sizes, Work
from benchmarks.workloads._stream import stream as stream


def _work(sizes: Sizes) -> Work:
    return Work(flops=(4 + TRANSCENDENTAL) * sizes["n"], bytes=12 * sizes["n"])


CASES = [Case(name, {"n": n}, _work) for name, n in (("4K", 1 << 12), ("1M", 1 << 20), ("16M", 1 << 24))]
TINY = [Case("ragged", {"n": 37}, _work)]
SKIP = {"stream": ("4K", "1M")}
RTOL, ATOL = 1e-5, 1e-6


def inputs(case: Case, rng: Generator) -> Arrays:
    return {name: 3 * rng.standard_normal(case["n"], dtype="float32") for name in ("x", "y")}


def numpy(case: Case, a: Arrays) -> Call:
    import numpy as np

    x, y = a["x"], a["y"]

    def call() -> Any:
        out = np.negative(x)
        np.exp(out, out=out)
        out += 1
        np.divide(x, out, out=out)
        out += y
        return out

    return call


def phalanx(case: Case, a: Arrays) -> Call:
    import phalanx as px

    function = px.jit(lambda x, y: px.silu(x) + y)
    x, y = px.asarray(a["x"]), px.asarray(a["y"])
    return lambda: function(x, y)


def jax(case: Case, a: Arrays) -> Call:
    import jax

    function = jax.jit(lambda x, y: jax.nn.silu(x) + y)
    x, y = jax.device_put(a["x"]), jax.device_put(a["y"])
    return lambda: function(x, y).block_until_ready()


def torch(case: Case, a: Arrays) -> Call:
    import torch

    function = torch.compile(lambda x, y: torch.nn.functional.silu(x) + y)
    x, y = torch.from_numpy(a["x"]), torch.from_numpy(a["y"])
    return lambda: function(x, y)


def numba(case: Case, a: Arrays) -> Call:
    import numpy as np
    from numba import njit, prange

    one = np.float32(1)

    @njit(parallel=True)
    def function(x: Any, y: Any) -> Any:
        out = np.empty_like(x)
        for i in prange(x.size):
            out[i] = x[i] / (one + np.exp(-x[i])) + y[i]
        return out

    x, y = a["x"], a["y"]
    return lambda: function(x, y)
