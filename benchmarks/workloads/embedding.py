"""8192 rows of 256 gathered from a table of 30000: bound by memory, one row is one copy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.harness.workload import Case, Work

CASES = [Case("8192 of 30000x256", {"rows": 30000, "width": 256, "n": 8192}, Work(bytes=4 * 8192 * (2 * 256 + 1)))]
TINY = [Case("5 of 11x3", {"rows": 11, "width": 3, "n": 5})]
RTOL, ATOL = 0.0, 0.0


def inputs(case: Case, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Uniform rows."""
    return {"table": rng.standard_normal((case["rows"], case["width"])).astype(np.float32),
            "ids": rng.integers(0, case["rows"], case["n"]).astype(np.int32)}


def numpy(case: Case, a: dict[str, np.ndarray]) -> Callable[[], Any]:
    """`np.take`."""
    table, ids = a["table"], a["ids"]
    return lambda: np.take(table, ids, axis=0)


def phalanx(case: Case, a: dict[str, np.ndarray]) -> Callable[[], Any]:
    """`px.take`."""
    import phalanx as px

    compiled = px.jit(lambda table, ids: px.take(table, ids, axis=0))
    table, ids = px.asarray(a["table"]), px.asarray(a["ids"])
    return lambda: compiled(table, ids)


def jax(case: Case, a: dict[str, np.ndarray]) -> Callable[[], Any]:
    """`jnp.take` that trusts its indices, as fast as JAX can."""
    import jax
    import jax.numpy as jnp

    compiled = jax.jit(lambda table, ids: jnp.take(table, ids, axis=0, mode="clip"))
    table, ids = jnp.asarray(a["table"]), jnp.asarray(a["ids"])
    return lambda: jax.block_until_ready(compiled(table, ids))


def torch(case: Case, a: dict[str, np.ndarray]) -> Callable[[], Any]:
    """`torch.nn.functional.embedding`."""
    import torch

    compiled = torch.compile(lambda table, ids: torch.nn.functional.embedding(ids, table))
    table, ids = torch.from_numpy(a["table"]), torch.from_numpy(a["ids"])

    def call() -> Any:
        with torch.inference_mode():
            return compiled(table, ids)

    return call


def numba(case: Case, a: dict[str, np.ndarray]) -> Callable[[], Any]:
    """A copy per row, rows shared among threads."""
    from numba import njit, prange

    @njit(parallel=True)
    def run(table, ids):  # type: ignore[no-untyped-def]
        result = np.empty((len(ids), table.shape[1]), table.dtype)
        for i in prange(len(ids)):
            result[i] = table[ids[i]]
        return result

    table, ids = a["table"], a["ids"]
    return lambda: run(table, ids)
