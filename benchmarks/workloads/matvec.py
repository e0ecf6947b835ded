"""A matrix times a vector, from either side: every element of the matrix is used once, so memory decides.

numba's `np.dot` calls the same library as NumPy, so it has no entry of its own.
"""

from __future__ import annotations

from typing import Any

from numpy.random import Generator

from benchmarks.harness.workload import Arrays, Call, Case, Sizes, Work


def _work(sizes: Sizes) -> Work:
    n = sizes["n"]
    return Work(flops=2 * n * n, bytes=4 * (n * n + 2 * n))


CASES = [Case(f"{side} {n}", {"n": n, "side": side}, _work) for side in ("Ax", "xA") for n in (1024, 2048)]
TINY = [Case(f"tiny {side}", {"n": 19, "side": side}, _work) for side in ("Ax", "xA")]
RTOL, ATOL = 1e-4, 1e-3


def inputs(case: Case, rng: Generator) -> Arrays:
    n = case["n"]
    return {"matrix": rng.standard_normal((n, n), dtype="float32"), "vector": rng.standard_normal(n, dtype="float32")}


def _sides(case: Case, a: Arrays) -> tuple[Any, Any]:
    matrix, vector = a["matrix"], a["vector"]
    return (matrix, vector) if case["side"] == "Ax" else (vector, matrix)


def numpy(case: Case, a: Arrays) -> Call:
    left, right = _sides(case, a)
    return lambda: left @ right


def phalanx(case: Case, a: Arrays) -> Call:
    import phalanx as px

    function = px.jit(lambda a, b: a @ b)
    left, right = (px.asarray(array) for array in _sides(case, a))
    return lambda: function(left, right)


def jax(case: Case, a: Arrays) -> Call:
    import jax

    function = jax.jit(lambda a, b: a @ b)
    left, right = (jax.device_put(array) for array in _sides(case, a))
    return lambda: function(left, right).block_until_ready()


def torch(case: Case, a: Arrays) -> Call:
    import torch

    function = torch.compile(lambda a, b: a @ b)
    left, right = (torch.from_numpy(array) for array in _sides(case, a))
    return lambda: function(left, right)
