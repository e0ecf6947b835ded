"""Results that go past the caches: the same bits as results that do not, and never a byte beside them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import phalanx as px
from phalanx.compiler.targets.isa import isa, runs_here

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "support")]
from guard import guarded, survives  # noqa: E402
from schedules_runner import Array, Kernel, cluster_text  # noqa: E402
from test_schedules import affine, empty, generic  # noqa: E402

PAST = "l3_bytes=64"
THROUGH = "l3_bytes=1000000000"
SPECIAL = [np.nan, np.inf, -np.inf, -0.0, 0.0, 1e-42, -1e-42, 3.4e38]

FUNCTIONS: dict[str, Callable[[Any, Any], Any]] = {
    "square_add": lambda x, y: x * x + y,
    "negative": lambda x, y: -x,
    "silu": lambda x, y: x / (1 + px.exp(-x)) + y,
    "select": lambda x, y: px.where(x > 0, px.tanh(y), 2.0),
    "clip": lambda x, y: px.maximum(px.minimum(x, y), -0.5),
    "two results": lambda x, y: (x + y, x - y),
    "two types": lambda x, y: (x + y, px.astype(px.floor(x), "float64") * 0.5),
    "mask": lambda x, y: px.where((x > 0) & (y > x), x, y),
    "sine": lambda x, y: px.sin(x) + y,
}


def inputs(shape: tuple[int, ...], dtype: str = "float32") -> tuple[Any, Any]:
    generator = np.random.default_rng(3)
    x, y = (generator.standard_normal(shape).astype(dtype) for _ in range(2))
    if np.issubdtype(np.dtype(dtype), np.floating):
        x.reshape(-1)[: len(SPECIAL)] = SPECIAL
        y.reshape(-1)[5:13] = SPECIAL
    return x, y


def both(function: Callable[..., Any], *arguments: Any, level: str = "host") -> tuple[Any, Any, str]:
    """The function's results with stores past the caches and through them, and the code of the first."""
    found = []
    for way in (PAST, THROUGH):
        with px.options(isa=f"{level}+{way}"):
            compiled = px.compile(px.defn(lambda *values: function(*values)), *arguments)
        found.append((compiled(*arguments), compiled))
    (past, compiled), (through, _) = found
    return past, through, compiled.text("scheduled")


def same(past: Any, through: Any) -> None:
    ours, theirs = (value if isinstance(value, tuple) else (value,) for value in (past, through))
    for one, other in zip(ours, theirs, strict=True):
        one, other = np.asarray(one), np.asarray(other)
        np.testing.assert_array_equal(one.view(np.uint8), other.view(np.uint8))


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("size", [256, 271, 1000, 4097])
def test_the_bits_are_those_of_ordinary_stores(name: str, size: int) -> None:
    past, through, text = both(FUNCTIONS[name], *inputs((size,)))
    assert ("nontemporal" in text) == (name != "sine")
    same(past, through)


@pytest.mark.parametrize("dtype", ["float64", "int32", "int64"])
def test_other_element_types(dtype: str) -> None:
    past, through, text = both(lambda x, y: x * x + y, *inputs((1001,), dtype))
    assert "nontemporal" in text
    same(past, through)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "int8", "bool"])
def test_narrow_types_keep_their_plain_loops(dtype: str) -> None:
    x = px.astype(px.asarray(np.arange(3000) % 2), dtype)
    past, through, text = both(lambda x: px.where(x == x, x, x), x)
    assert "nontemporal" not in text
    same(past, through)


@pytest.mark.parametrize("shape", [(40, 257), (40, 512), (21, 300)])
def test_rows_that_are_not_aligned_take_scalars(shape: tuple[int, ...]) -> None:
    x, y = inputs(shape)
    past, through, text = both(lambda x, y, row, column: (x + row) * column - y, x, y, y[..., 0, :], x[..., :1])
    assert "nontemporal" in text
    same(past, through)
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(np.asarray(past), (x + y[..., 0, :]) * x[..., :1] - y)


@pytest.mark.parametrize("level", ["x86-64-v2", "x86-64-v3", "x86-64-v4"])
def test_every_level(level: str) -> None:
    if not runs_here(isa(level)):
        pytest.skip(f"this processor does not run {level}")
    past, through, text = both(lambda x, y: x * x + y, *inputs((1003,)), level=level)
    assert "nontemporal" in text
    same(past, through)


def test_threads_do_not_change_results() -> None:
    x, y = inputs((1 << 21,))
    with px.options(isa=f"host+{PAST}"):
        compiled = px.compile(px.defn(lambda x, y: x * x + y), x, y)
    assert "scf.parallel" in compiled.text("scheduled")
    for count in (1, 2, 3):
        with px.options(num_threads=count), np.errstate(all="ignore"):
            np.testing.assert_array_equal(np.asarray(compiled(x, y)), x * x + y)


def test_memory_of_an_argument_is_written_as_it_is_read() -> None:
    x, y = inputs((5000,))
    with px.options(isa=f"host+{PAST}"):
        function = px.defn(lambda x, y: x * x + y, donate=["x"])
        compiled = px.compile(function, px.asarray(x), px.asarray(y))
    assert "nontemporal" not in compiled.text("scheduled")


def test_results_that_fit_the_cache_stay_there() -> None:
    x, y = inputs((5000,))
    compiled = px.compile(px.defn(lambda x, y: x * x + y), x, y)
    assert "nontemporal" not in compiled.text("scheduled")


def edge(case: tuple[int, int, str]) -> None:
    """Arrays at the edge of memory that may not be touched, at any alignment."""
    size, shift, where = case
    array = Array("f32", (size,))
    body = empty("%e", array) + "\n" + generic(
        "%a", affine("i", "i", dims="i"), "p", f"%t0 : {array.tensor()}", f"%e : {array.tensor()}",
        "^bb0(%x: f32, %o: f32):\n%1 = arith.mulf %x, %x : f32\nlinalg.yield %1 : f32",
    )  # fmt: skip
    kernel = Kernel(cluster_text("elementwise", [array], [array], body, ["%a"], []), level=f"host+{PAST}")
    assert "nontemporal" in kernel.text
    x = guarded(np.arange(size + shift, dtype=np.float32), edge=where)
    out = guarded(np.full(size + shift, 77, np.float32), edge=where)
    start = slice(shift, None) if where == "start" else slice(None, size)
    kernel([x[start], out[start]], [])
    np.testing.assert_array_equal(out[start], x[start] ** 2)
    rest = out[:shift] if where == "start" else out[size:]
    np.testing.assert_array_equal(rest, np.full(shift, 77, np.float32))


@pytest.mark.skipif(sys.platform != "linux", reason="mprotect by its Linux numbers")
def test_nothing_is_touched_beside_the_result() -> None:
    survives(edge, [(size, shift, where) for size in (256, 263, 400) for shift in (0, 1, 16) for where in ("start", "end")])
