"""No compiled function reads or writes outside its arguments and results: all stand at the edge of unreadable memory."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
from guard import guarded, survives

import phalanx as px
from phalanx.runtime.allocator import HOST, Allocator, Memory

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="mprotect by its Linux numbers")

Array = np.ndarray[Any, Any]
SIZES = [(1, 1), (3, 17), (33, 31), (130, 257)]
DTYPES = ["float32", "float64", "float16", "bfloat16", "int8", "int32"]
FLOATS = DTYPES[:4]


def layer_norm(x: Any) -> Any:
    centred = x - px.mean(x, axis=-1, keepdims=True)
    return centred / px.sqrt(px.mean(centred * centred, axis=-1, keepdims=True) + 1)


def attention(x: Any) -> Any:
    return px.softmax(x @ px.matrix_transpose(x), axis=-1) @ x


def steps(x: Any) -> Any:
    def step(carry: Any, row: Any) -> Any:
        carry = px.maximum(carry * row, row)
        return carry, carry + px.sum(row)

    return px.scan(step, px.zeros(x.shape[1], dtype=x.dtype), x)


def scattered(x: Any) -> Any:
    rows = px.arange(x.shape[0]) % max(x.shape[0] // 2, 1)
    return px.zeros(x.shape, dtype=x.dtype).at[rows].add(x), x[rows], x[:, ::-1][::2]


#: what is computed, and of which dtypes
FUNCTIONS: dict[str, tuple[Callable[[Any], Any], list[str]]] = {
    "elementwise": (lambda x: (x + x * x, px.maximum(x, -x)), DTYPES),
    "mathematics": (lambda x: (px.exp(x), px.sin(x) * px.tanh(x)), FLOATS),
    "sums": (lambda x: (px.sum(x), px.sum(x, axis=0), px.sum(x, axis=1)), DTYPES),
    "extremes": (lambda x: (px.max(x), px.min(x, axis=0), px.max(x, axis=1)), DTYPES),
    "positions": (lambda x: (px.argmax(x), px.argmin(x, axis=0), px.argmax(x, axis=1)), DTYPES),
    "softmax": (lambda x: (px.softmax(x, axis=1), px.softmax(x, axis=0)), FLOATS),
    "layer norm": (layer_norm, FLOATS),
    "running sums": (lambda x: (px.cumulative_sum(x, axis=0), px.cumulative_sum(x, axis=1)), DTYPES),
    "scatter and gather": (scattered, DTYPES),
    "steps": (steps, DTYPES),
    "attention": (attention, FLOATS),
    "products": (lambda x: (x @ px.matrix_transpose(x), px.matrix_transpose(x) @ x, x @ x[0], x[:, 0] @ x), DTYPES),
    "transposes": (lambda x: (px.matrix_transpose(x) + 1, px.concat([x, x[::-1]]), px.reshape(x, (-1,)) * 2), DTYPES),
    "conversions": (lambda x: tuple(px.astype(x, dtype) for dtype in (px.float32, px.float16, px.bfloat16, px.int8)), DTYPES),
}


def array(dtype: str, shape: tuple[int, int]) -> Array:
    values = np.random.default_rng(0).integers(-3, 4, shape)
    return values.astype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)


def at_the_edge(allocate: Callable[[Allocator, int], Memory], edge: str) -> Callable[[Allocator, int], Memory]:
    """An `Allocator.allocate` of bytes between unreadable pages."""

    def guarded_memory(self: Allocator, nbytes: int) -> Memory:
        memory = guarded(np.full(nbytes, 0x77, np.uint8), edge=edge)
        return Memory(memory.__array_interface__["data"][0], nbytes, owner=memory)

    return guarded_memory


def run(case: tuple[str, str, tuple[int, int], int]) -> None:
    """Calls one function with arguments, results and scratch memory at both edges, and compares with NumPy's results."""
    name, dtype, shape, threads = case
    function, _ = FUNCTIONS[name]
    x = array(dtype, shape)
    expected = leaves(px.jit(function, compiler="evaluator", backend="numpy")(x))
    compiled = px.jit(function)
    usual = Allocator.allocate
    for edge in ("end", "start"):
        argument = guarded(x, edge=edge)
        with px.options(num_threads=threads):
            compiled(argument)  # compiled while memory is as ever
            Allocator.allocate = at_the_edge(usual, edge)  # type: ignore[method-assign]
            try:
                found = leaves(compiled(argument))
            finally:
                Allocator.allocate = usual  # type: ignore[method-assign]
        assert HOST.allocate(1).address
        for a, b in zip(found, expected, strict=True):
            wide = (a.astype(np.float64), b.astype(np.float64)) if a.dtype.kind not in "biu" else (a, b)
            tolerance = 1e-5 if a.dtype.itemsize > 2 or a.dtype.kind in "biu" else 0.1
            np.testing.assert_allclose(*wide, rtol=tolerance, atol=tolerance)


def leaves(results: Any) -> list[Array]:
    return [np.asarray(r) for r in results] if isinstance(results, (tuple, list)) else [np.asarray(results)]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_stay_inside_their_memory(name: str) -> None:
    _, dtypes = FUNCTIONS[name]
    survives(run, [(name, dtype, SIZES[(i + j) % len(SIZES)], 1 + (i + j) % 2)
                   for i, dtype in enumerate(dtypes) for j in (0, 1, 2)])


#: axes whose named size may be 0
NAMED: dict[str, Callable[[Any], Any]] = {
    "running sums": lambda x: (px.cumulative_sum(x, axis=0), px.cumulative_sum(x, axis=1, reverse=True)),
    "sums": lambda x: (px.sum(x), px.sum(x, axis=0), px.sum(x, axis=1)),
    "elementwise": lambda x: (x * x, px.exp(x[::-1])),
    "products": lambda x: (x @ px.matrix_transpose(x), px.matrix_transpose(x) @ x),
    "layout": lambda x: (px.matrix_transpose(x) + 1, px.concat([x, x], axis=1), px.flip(x, axis=0)),
    "gather": lambda x: (x[px.arange(x.shape[0])], px.zeros(x.shape).at[px.arange(x.shape[0])].add(x)),
}


def run_named(case: tuple[str, tuple[int, int]]) -> None:
    """Calls a function of two named sizes with everything at the edges of unreadable memory."""
    name, shape = case
    function = px.compile(NAMED[name], "f32[n,m]")
    x = array("float32", shape)
    expected = leaves(px.jit(NAMED[name], compiler="evaluator", backend="numpy")(x))
    usual = Allocator.allocate
    for edge in ("end", "start"):
        Allocator.allocate = at_the_edge(usual, edge)  # type: ignore[method-assign]
        try:
            found = leaves(function(px.Tensor.from_numpy(guarded(x, edge=edge), px.runtime.backends.get_backend("cpu"))))
        finally:
            Allocator.allocate = usual  # type: ignore[method-assign]
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", NAMED)
def test_named_sizes_may_be_zero(name: str) -> None:
    survives(run_named, [(name, shape) for shape in ((0, 0), (0, 5), (7, 0), (1, 1), (1, 9), (13, 18))])
