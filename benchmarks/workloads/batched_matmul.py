"""Many small products at once: 64 of 128x128 by 128x64.

numba shares the products among its threads, so OpenBLAS, which `np.dot` calls, is told to use one.
"""

from __future__ import annotations

from typing import Any

from numpy.random import Generator

from benchmarks.harness.workload import Arrays, Call, Case, Sizes, Work
from benchmarks.workloads.matmul import jax, numpy, phalanx, torch

__all__ = ["jax", "numpy", "phalanx", "torch"]  # the same lines as for two matrices


def _work(sizes: Sizes) -> Work:
    batch, m, k, n = (sizes[name] for name in "bmkn")
    return Work(flops=2 * batch * m * k * n, bytes=4 * batch * (m * k + k * n + m * n))


CASES = [Case("64x128x128x64", {"b": 64, "m": 128, "k": 128, "n": 64}, _work)]
TINY = [Case("ragged", {"b": 3, "m": 7, "k": 19, "n": 5}, _work)]
RTOL, ATOL = 1e-4, 1e-3


def inputs(case: Case, rng: Generator) -> Arrays:
    batch, m, k, n = (case[name] for name in "bmkn")
    return {"a": rng.standard_normal((batch, m, k), dtype="float32"),
            "b": rng.standard_normal((batch, k, n), dtype="float32")}


def numba(case: Case, a: Arrays) -> Call:
    import numpy as np
    import scipy.linalg.cython_blas  # noqa: F401  (the OpenBLAS that numba calls has to be there to be limited)
    from numba import njit, prange
    from threadpoolctl import threadpool_limits

    threadpool_limits(1, user_api="blas")

    @njit(parallel=True)
    def function(left: Any, right: Any) -> Any:
        out = np.empty((left.shape[0], left.shape[1], right.shape[2]), left.dtype)
        for i in prange(left.shape[0]):
            np.dot(left[i], right[i], out[i])
        return out

    left, right = a["a"], a["b"]
    return lambda: function(left, right)
