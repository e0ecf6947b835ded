"""Three operations on four elements: the cost of a call and nothing else.

Every library is given its own arrays; the conversion is not part of the call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.harness.workload import Case, Work

CASES = [Case("3 ops on 4", {"n": 4}, Work(flops=12, bytes=64))]


def inputs(case: Case, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Three vectors."""
    return {name: rng.random(case["n"], np.float32) for name in "xyz"}


def numpy(case: Case, a: dict[str, np.ndarray]) -> Callable[[], Any]:
    """Three calls of NumPy."""
    x, y, z = a["x"], a["y"], a["z"]
    return lambda: np.maximum(x * y + z, 0)


def phalanx(case: Case, a: dict[str, np.ndarray]) -> Callable[[], Any]:
    """One call on `px.Tensor`."""
    import phalanx as px

    compiled = px.jit(lambda x, y, z: px.maximum(x * y + z, 0.0))
    x, y, z = (px.asarray(a[name]) for name in "xyz")
    return lambda: compiled(x, y, z)


def jax(case: Case, a: dict[str, np.ndarray]) -> Callable[[], Any]:
    """One call on `jax.Array`, waiting for the result."""
    import jax
    import jax.numpy as jnp

    compiled = jax.jit(lambda x, y, z: jnp.maximum(x * y + z, 0.0))
    x, y, z = (jnp.asarray(a[name]) for name in "xyz")
    return lambda: compiled(x, y, z).block_until_ready()


def torch(case: Case, a: dict[str, np.ndarray]) -> Callable[[], Any]:
    """One call on `torch.Tensor`; the mode is entered outside, as a server would."""
    import torch

    torch.set_grad_enabled(False)
    compiled = torch.compile(lambda x, y, z: torch.clamp_min(x * y + z, 0.0))
    x, y, z = (torch.from_numpy(a[name]) for name in "xyz")
    return lambda: compiled(x, y, z)


def numba(case: Case, a: dict[str, np.ndarray]) -> Callable[[], Any]:
    """One call on NumPy arrays."""
    from numba import njit

    @njit
    def run(x, y, z):  # type: ignore[no-untyped-def]
        result = np.empty_like(x)
        for i in range(len(x)):
            result[i] = max(x[i] * y[i] + z[i], np.float32(0))
        return result

    x, y, z = a["x"], a["y"], a["z"]
    return lambda: run(x, y, z)
