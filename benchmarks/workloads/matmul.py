"""The product of two matrices and nothing else: against OpenBLAS, which NumPy calls.

numba's `np.dot` calls the same library, so it has no entry of its own.
"""

from __future__ import annotations

from numpy.random import Generator

from benchmarks.harness.workload import Arrays, Call, Case
from benchmarks.workloads._products import CASES, TINY, bare_product, matrices

__all__ = ["CASES", "TINY"]
RTOL, ATOL = 1e-4, 1e-3


def inputs(case: Case, rng: Generator) -> Arrays:
    return matrices(case, rng)


def numpy(case: Case, a: Arrays) -> Call:
    left, right = a["a"], a["b"]
    return lambda: left @ right


def openblas(case: Case, a: Arrays) -> Call:
    return bare_product(a)


def phalanx(case: Case, a: Arrays) -> Call:
    import phalanx as px

    function = px.jit(lambda a, b: a @ b)
    left, right = px.asarray(a["a"]), px.asarray(a["b"])
    return lambda: function(left, right)


def jax(case: Case, a: Arrays) -> Call:
    import jax

    function = jax.jit(lambda a, b: a @ b)
    left, right = jax.device_put(a["a"]), jax.device_put(a["b"])
    return lambda: function(left, right).block_until_ready()


def torch(case: Case, a: Arrays) -> Call:
    import torch

    function = torch.compile(lambda a, b: a @ b)
    left, right = torch.from_numpy(a["a"]), torch.from_numpy(a["b"])
    return lambda: function(left, right)
