"""Three hundred operations on 32x32 tensors: what a call of a whole program costs when no operation does.

numba: loops over the rows, without threads, which cost more than they bring here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.harness.workload import Case, Work

# A round is 15 operations and 6 more transcendental ones' worth of polynomial; every fourth ends in a product.
CASES = [Case("300 ops on 32x32", {"n": 32, "rounds": 20}, Work(flops=20 * 50 * 32 * 32 + 5 * 2 * 32**3, bytes=8 * 32 * 32))]
TINY = [Case("30 ops on 3x3", {"n": 3, "rounds": 2})]
RTOL, ATOL = 1e-3, 1e-4


def inputs(case: Case, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Numbers around one half."""
    return {"x": rng.random((case["n"], case["n"]), np.float32), "w": rng.random((case["n"], case["n"]), np.float32)}


def _program(xp: Any, rounds: int, x: Any, w: Any) -> Any:
    """The program in a library of NumPy's names."""
    for index in range(rounds):
        y = xp.tanh(x * 0.5 + 0.1)
        y = y - xp.max(y, axis=1, keepdims=True)
        z = xp.exp(y)
        z = z / xp.sum(z, axis=1, keepdims=True)
        x = z * x + xp.sqrt(xp.abs(y)) * w
        x = xp.where(x > 0.5, x - 0.25, x)
        if index % 4 == 3:
            x = x @ w / x.shape[0]
    return x


def numpy(case: Case, a: dict[str, np.ndarray]) -> Callable[[], Any]:
    """The program in NumPy."""
    return lambda: _program(np, case["rounds"], a["x"], a["w"])


def phalanx(case: Case, a: dict[str, np.ndarray]) -> Callable[[], Any]:
    """The program in Phalanx."""
    import phalanx as px

    compiled = px.jit(lambda x, w: _program(px, case["rounds"], x, w))
    x, w = px.asarray(a["x"]), px.asarray(a["w"])
    return lambda: compiled(x, w)


def jax(case: Case, a: dict[str, np.ndarray]) -> Callable[[], Any]:
    """The program in JAX."""
    import jax
    import jax.numpy as jnp

    compiled = jax.jit(lambda x, w: _program(jnp, case["rounds"], x, w))
    x, w = jnp.asarray(a["x"]), jnp.asarray(a["w"])
    return lambda: jax.block_until_ready(compiled(x, w))


def torch(case: Case, a: dict[str, np.ndarray]) -> Callable[[], Any]:
    """The program in torch, whose names differ a little."""
    import torch

    rounds = case["rounds"]

    def program(x: Any, w: Any) -> Any:
        for index in range(rounds):
            y = torch.tanh(x * 0.5 + 0.1)
            y = y - torch.amax(y, dim=1, keepdim=True)
            z = torch.exp(y)
            z = z / torch.sum(z, dim=1, keepdim=True)
            x = z * x + torch.sqrt(torch.abs(y)) * w
            x = torch.where(x > 0.5, x - 0.25, x)
            if index % 4 == 3:
                x = x @ w / x.shape[0]
        return x

    compiled = torch.compile(program)
    x, w = torch.from_numpy(a["x"]), torch.from_numpy(a["w"])

    def call() -> Any:
        with torch.inference_mode():
            return compiled(x, w)

    return call


def numba(case: Case, a: dict[str, np.ndarray]) -> Callable[[], Any]:
    """The program as loops over rows."""
    from numba import njit

    rounds = case["rounds"]

    @njit
    def program(start, w):  # type: ignore[no-untyped-def]
        n = start.shape[0]
        half, quarter, tenth = np.float32(0.5), np.float32(0.25), np.float32(0.1)
        x = start.copy()
        y, z = np.empty(n, np.float32), np.empty(n, np.float32)
        for index in range(rounds):
            for i in range(n):
                for j in range(n):
                    y[j] = np.tanh(x[i, j] * half + tenth)
                largest, total = y.max(), np.float32(0)
                for j in range(n):
                    y[j] -= largest
                    z[j] = np.exp(y[j])
                    total += z[j]
                for j in range(n):
                    value = z[j] / total * x[i, j] + np.sqrt(np.abs(y[j])) * w[i, j]
                    x[i, j] = value - quarter if value > half else value
            if index % 4 == 3:
                x = np.dot(x, w) / np.float32(n)
        return x

    x, w = a["x"], a["w"]
    return lambda: program(x, w)
