"""relu(a @ b + bias): a layer of a network, in which the epilogue should cost nothing beside the product.

The yardstick `openblas` is the product alone, into an existing result. The loop of numba is not parallel: its threads
and those of OpenBLAS, which `np.dot` calls, would wait for each other's processors for milliseconds.
"""

from __future__ import annotations

from typing import Any

from numpy.random import Generator

from benchmarks.harness.workload import Arrays, Call, Case
from benchmarks.workloads._products import CASES, TINY, bare_product, matrices

__all__ = ["CASES", "TINY"]
RTOL, ATOL = 1e-4, 1e-3


def inputs(case: Case, rng: Generator) -> Arrays:
    return {**matrices(case, rng), "bias": rng.standard_normal(case["n"], dtype=case["dtype"])}


def numpy(case: Case, a: Arrays) -> Call:
    import numpy as np

    left, right, bias = a["a"], a["b"], a["bias"]

    def call() -> Any:
        out = left @ right
        out += bias
        return np.maximum(out, 0, out=out)

    return call


def openblas(case: Case, a: Arrays) -> Call:
    return bare_product(a)


def phalanx(case: Case, a: Arrays) -> Call:
    import phalanx as px

    function = px.jit(lambda a, b, bias: px.relu(a @ b + bias))
    left, right, bias = (px.asarray(a[name]) for name in ("a", "b", "bias"))
    return lambda: function(left, right, bias)


def jax(case: Case, a: Arrays) -> Call:
    import jax

    function = jax.jit(lambda a, b, bias: jax.nn.relu(a @ b + bias))
    left, right, bias = (jax.device_put(a[name]) for name in ("a", "b", "bias"))
    return lambda: function(left, right, bias).block_until_ready()


def torch(case: Case, a: Arrays) -> Call:
    import torch

    function = torch.compile(lambda a, b, bias: torch.relu(torch.addmm(bias, a, b)))
    left, right, bias = (torch.from_numpy(a[name]) for name in ("a", "b", "bias"))
    return lambda: function(left, right, bias)


def numba(case: Case, a: Arrays) -> Call:
    import numpy as np
    from numba import njit

    zero = a["bias"].dtype.type(0)

    @njit
    def function(left: Any, right: Any, bias: Any) -> Any:
        out = np.dot(left, right)
        for i in range(out.shape[0]):
            for j in range(out.shape[1]):
                out[i, j] = max(out[i, j] + bias[j], zero)
        return out

    left, right, bias = a["a"], a["b"], a["bias"]
    return lambda: function(left, right, bias)
