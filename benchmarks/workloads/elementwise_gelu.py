"""gelu in its tanh form: a polynomial, a hyperbolic tangent and no second operand."""

from __future__ import annotations

from typing import Any

from numpy.random import Generator

from benchmarks.harness.workload import TRANSCENDENTAL, Arrays, Call, Case, Sizes, Work
from benchmarks.workloads._stream import stream as stream


def _work(sizes: Sizes) -> Work:
    return Work(flops=(8 + TRANSCENDENTAL) * sizes["n"], bytes=8 * sizes["n"])


CASES = [Case(name, {"n": n}, _work) for name, n in (("4K", 1 << 12), ("1M", 1 << 20), ("16M", 1 << 24))]
TINY = [Case("ragged", {"n": 37}, _work)]
SKIP = {"stream": ("4K", "1M")}
RTOL, ATOL = 1e-5, 2e-6

_SCALE, _CUBIC = 0.7978845608028654, 0.044715


def inputs(case: Case, rng: Generator) -> Arrays:
    return {"x": 2 * rng.standard_normal(case["n"], dtype="float32")}


def numpy(case: Case, a: Arrays) -> Call:
    import numpy as np

    x = a["x"]
    scale, cubic, half = np.float32(_SCALE), np.float32(_CUBIC), np.float32(0.5)

    def call() -> Any:
        out = x * x
        out *= cubic
        out += 1
        out *= x
        out *= scale
        np.tanh(out, out=out)
        out += 1
        out *= x
        out *= half
        return out

    return call


def phalanx(case: Case, a: Arrays) -> Call:
    import phalanx as px

    function = px.jit(lambda x: px.gelu(x, approximate="tanh"))
    x = px.asarray(a["x"])
    return lambda: function(x)


def jax(case: Case, a: Arrays) -> Call:
    import jax

    function = jax.jit(lambda x: jax.nn.gelu(x, approximate=True))
    x = jax.device_put(a["x"])
    return lambda: function(x).block_until_ready()


def torch(case: Case, a: Arrays) -> Call:
    import torch

    function = torch.compile(lambda x: torch.nn.functional.gelu(x, approximate="tanh"))
    x = torch.from_numpy(a["x"])
    return lambda: function(x)


def numba(case: Case, a: Arrays) -> Call:
    import numpy as np
    from numba import njit, prange

    scale, cubic, half, one = np.float32(_SCALE), np.float32(_CUBIC), np.float32(0.5), np.float32(1)

    @njit(parallel=True)
    def function(x: Any) -> Any:
        out = np.empty_like(x)
        for i in prange(x.size):
            inner = scale * (x[i] + cubic * x[i] * x[i] * x[i])
            out[i] = half * x[i] * (one + np.tanh(inner))
        return out

    x = a["x"]
    return lambda: function(x)
