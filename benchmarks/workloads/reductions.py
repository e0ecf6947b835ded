"""Sum, maximum, mean and variance of a matrix along its columns, along its rows and of all of it."""

from __future__ import annotations

from typing import Any

from numpy.random import Generator

from benchmarks.harness.workload import Arrays, Call, Case, Sizes, Work


def _work(sizes: Sizes) -> Work:
    count = sizes["rows"] * sizes["columns"]
    return Work(flops=(3 if sizes["kind"] == "var" else 1) * count, bytes=4 * count)


def _cases(rows: int, columns: int) -> list[Case]:
    return [Case(f"{kind} {'of all' if axis is None else f'axis {axis}'}",
                 {"rows": rows, "columns": columns, "kind": kind, "axis": axis}, _work)
            for kind in ("sum", "max", "mean", "var") for axis in (0, 1, None)]


CASES = _cases(4096, 1024)
TINY = [Case(f"tiny {case.name}", case.sizes, _work) for case in _cases(5, 37)]
RTOL, ATOL = 1e-4, 1e-4


def inputs(case: Case, rng: Generator) -> Arrays:
    return {"x": rng.standard_normal((case["rows"], case["columns"]), dtype="float32") + 0.5}


def reference(case: Case, a: Arrays) -> Any:
    import numpy as np

    return getattr(np, case["kind"])(a["x"].astype("float64"), axis=case["axis"])


def numpy(case: Case, a: Arrays) -> Call:
    import numpy as np

    x, axis = a["x"], case["axis"]
    function = getattr(np, case["kind"])
    return lambda: function(x, axis=axis)


def phalanx(case: Case, a: Arrays) -> Call:
    import phalanx as px

    reduce, axis = getattr(px, case["kind"]), case["axis"]
    function = px.jit(lambda x: reduce(x, axis=axis))
    x = px.asarray(a["x"])
    return lambda: function(x)


def jax(case: Case, a: Arrays) -> Call:
    import jax
    import jax.numpy as jnp

    reduce, axis = getattr(jnp, case["kind"]), case["axis"]
    function = jax.jit(lambda x: reduce(x, axis=axis))
    x = jax.device_put(a["x"])
    return lambda: function(x).block_until_ready()


def torch(case: Case, a: Arrays) -> Call:
    import torch

    axis = case["axis"]
    reduce = {"sum": torch.sum, "mean": torch.mean, "max": torch.amax,
              "var": lambda x, dim: torch.var(x, dim=dim, correction=0)}[case["kind"]]
    function = torch.compile(lambda x: reduce(x, dim=(0, 1) if axis is None else axis))
    x = torch.from_numpy(a["x"])
    return lambda: function(x)


def numba(case: Case, a: Arrays) -> Call:
    """Loops over blocks of rows for columns and for all; sums in float64, which costs nothing in these loops."""
    import numpy as np
    from numba import get_num_threads, njit, prange

    kind, axis, blocks = case["kind"], case["axis"], get_num_threads()
    wide, zero, smallest = np.float64, 0.0, np.float32(-np.inf)

    @njit
    def along(row: Any, kind: Any) -> Any:
        if kind == "max":
            largest = smallest
            for value in row:
                largest = max(largest, value)
            return wide(largest)
        total = zero
        for value in row:
            total += value
        if kind == "sum":
            return total
        mean = total / row.size
        if kind == "mean":
            return mean
        squares = zero
        for value in row:
            squares += (value - mean) ** 2
        return squares / row.size

    @njit(parallel=True)
    def rows(x: Any, kind: Any) -> Any:
        out = np.empty(x.shape[0], x.dtype)
        for i in prange(x.shape[0]):
            out[i] = along(x[i], kind)
        return out

    @njit
    def add_rows(into: Any, x: Any, kind: Any) -> Any:
        for row in x:
            for j in range(row.size):
                if kind == "max":
                    into[j] = max(into[j], row[j])
                else:
                    into[j] += row[j]

    @njit
    def add_squares(into: Any, x: Any, means: Any) -> Any:
        for row in x:
            for j in range(row.size):
                into[j] += (row[j] - means[j]) ** 2

    @njit(parallel=True)
    def column_sums(x: Any, kind: Any) -> Any:
        parts = np.full((blocks, x.shape[1]), -np.inf if kind == "max" else 0.0)
        for b in prange(blocks):
            add_rows(parts[b], x[b * x.shape[0] // blocks:(b + 1) * x.shape[0] // blocks], kind)
        total = parts[0].copy()
        for b in range(1, blocks):
            total = np.maximum(total, parts[b]) if kind == "max" else total + parts[b]
        return total

    @njit(parallel=True)
    def column_squares(x: Any, means: Any) -> Any:
        parts = np.zeros((blocks, x.shape[1]))
        for b in prange(blocks):
            add_squares(parts[b], x[b * x.shape[0] // blocks:(b + 1) * x.shape[0] // blocks], means)
        return parts.sum(axis=0)

    @njit
    def columns(x: Any, kind: Any) -> Any:
        out = column_sums(x, kind)
        if kind == "mean" or kind == "var":
            out = out / x.shape[0]
        if kind == "var":
            out = column_squares(x, out) / x.shape[0]
        return out.astype(np.float32)

    @njit(parallel=True)
    def everything(x: Any, kind: Any) -> Any:
        flat = x.reshape(-1)
        if kind == "max":
            return flat.max()
        total = zero
        for i in prange(flat.size):
            total += flat[i]
        if kind == "sum":
            return np.float32(total)
        mean = total / flat.size
        if kind == "mean":
            return np.float32(mean)
        squares = zero
        for i in prange(flat.size):
            squares += (flat[i] - mean) ** 2
        return np.float32(squares / flat.size)

    x = a["x"]
    function = {0: columns, 1: rows, None: everything}[axis]
    return lambda: function(x, kind)
