"""Matrix products through the public functions: dtypes, layouts, ragged and named sizes, epilogues, threads."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

import phalanx as px

Array = np.ndarray[Any, Any]

DTYPES = ["float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8"]
SHAPES = [(1, 17, 33), (50, 3, 3), (3, 5, 7), (13, 33, 70), (100, 10, 200), (40, 1, 130), (67, 129, 600)]


def values(dtype: str, *shape: int, seed: int = 0) -> Array:
    rng = np.random.default_rng(seed)
    if dtype.startswith("float"):
        return rng.standard_normal(shape).astype(dtype)
    return rng.integers(0 if dtype[0] == "u" else -100, 100, shape).astype(dtype)


def agree(found: Any, a: Array, b: Array, after: Callable[[Array], Array] = lambda c: c) -> None:
    """Integers wrap, so they are equal; floats are summed in another order than NumPy's."""
    found = np.asarray(found)
    assert found.dtype == a.dtype
    if a.dtype.kind != "f":
        np.testing.assert_array_equal(found, after((a.astype(np.int64) @ b.astype(np.int64)).astype(a.dtype)))
        return
    expected = after(a.astype(np.float64) @ b.astype(np.float64))
    size = np.sqrt(a.shape[-1])
    error = {2: 2e-3, 4: 4e-6, 8: 1e-14}[a.dtype.itemsize]
    np.testing.assert_allclose(found.astype(np.float64), expected, rtol=error, atol=error * size)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", ["a @ b", "a @ b.T", "a.T @ b", "a.T @ b.T"])
def test_ragged_products_of_every_dtype_and_layout(dtype: str, layout: str) -> None:
    left, right = (side.endswith(".T") for side in layout.split(" @ "))

    @px.defn
    def product(a: Any, b: Any) -> Any:
        return (a.T if left else a) @ (b.T if right else b)

    for m, n, k in SHAPES[3:5] if dtype in ("int8", "int16", "uint8") else SHAPES:
        a, b = values(dtype, m, k), values(dtype, k, n, seed=1)
        stored = np.ascontiguousarray(a.T) if left else a, np.ascontiguousarray(b.T) if right else b
        agree(product(*map(px.asarray, stored)), a, b)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32"])
@pytest.mark.parametrize("columns", [33, 34, 36, 37, 40, 47, 49, 52, 56, 65])
def test_columns_left_over_touch_nothing_beside_them(dtype: str, columns: int) -> None:
    """Whatever stands beside the columns of the operand and of the result stays out of it."""
    a, wide = values(dtype, 14, 9), values(dtype, 9, columns + 3, seed=1)
    wide[:, columns:] = np.nan if wide.dtype.kind == "f" else 99

    @px.defn
    def into(a: Any, b: Any, around: Any) -> Any:
        return px.concatenate([around, a @ b[:, :columns], around], axis=1)

    found = np.asarray(into(px.asarray(a), px.asarray(wide), px.ones((14, 2), dtype=dtype)))
    agree(px.asarray(found[:, 2:-2]), a, np.ascontiguousarray(wide[:, :columns]))
    assert (found[:, :2] == 1).all() and (found[:, -2:] == 1).all()


@pytest.mark.parametrize("depth", [1, 2, 3, 4, 5, 6, 7, 9, 257])
def test_depths_of_any_length_are_packed(depth: int) -> None:
    """Of operands whose depth stands side by side, between others that must not be read."""
    for rows, columns in ((5, 70), (14, 33), (200, 40)):
        a, b = values("float32", rows, depth), values("float32", depth, columns, seed=1)
        walled = np.full((columns, depth + 2), np.nan, np.float32)
        walled[:, 1:-1] = b.T
        agree(px.defn(lambda a, b: a @ b[:, 1:-1].T)(px.asarray(a), px.asarray(walled)), a, b)


@pytest.mark.parametrize("dtype", ["float16", "float32", "int32"])
def test_what_follows_is_applied_once(dtype: str) -> None:
    @px.defn
    def layer(a: Any, b: Any, bias: Any) -> Any:
        return px.maximum(a @ b + bias, 0), a @ b

    for m, n, k in SHAPES:
        a, b, bias = values(dtype, m, k), values(dtype, k, n, seed=1), values(dtype, n, seed=2)
        found, plain = layer(*map(px.asarray, (a, b, bias)))
        agree(plain, a, b)
        agree(np.asarray(found), a, b, partial(_biased, bias))


def _biased(bias: Array, c: Array) -> Array:
    found: Array = np.maximum(c + bias, 0)
    return found


def test_deep_products_are_summed_block_by_block() -> None:
    @px.defn
    def layer(a: Any, b: Any, c: Any) -> Any:
        return c + a @ b * 2

    for m, n, k in [(70, 90, 1500), (2, 40, 3000), (300, 7, 2500), (1, 300, 2500), (300, 1, 2500)]:
        a, b, c = values("float32", m, k), values("float32", k, n, seed=1), values("float32", m, n, seed=2)
        expected = c + (a.astype(np.float64) @ b) * 2
        np.testing.assert_allclose(np.asarray(layer(*map(px.asarray, (a, b, c)))), expected, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_nothing_to_sum_gives_zeros(dtype: str) -> None:
    @px.defn
    def layer(a: Any, b: Any) -> Any:
        return a @ b + 1

    for m, n in [(5, 6), (1, 40), (40, 1), (0, 4), (4, 0)]:
        found = np.asarray(layer(px.asarray(values(dtype, m, 0)), px.asarray(values(dtype, 0, n))))
        np.testing.assert_array_equal(found, np.ones((m, n), dtype))


@pytest.mark.parametrize("shape", [(13, 33, 70), (100, 10, 200), (1, 50, 130), (50, 1, 130), (40, 70, 700)])
def test_nan_and_infinity_stay_in_their_rows_and_columns(shape: tuple[int, int, int]) -> None:
    """Also those in the last row, column and depth, next to what fills up registers."""
    m, n, k = shape
    a, b = values("float32", m, k), values("float32", k, n, seed=1)
    a[m - 1, k - 1], b[k - 1, n - 1], b[0, 0] = np.inf, np.nan, -np.inf
    with np.errstate(invalid="ignore"):
        expected = a.astype(np.float64) @ b.astype(np.float64)
    found = np.asarray(px.defn(lambda a, b: a @ b)(px.asarray(a), px.asarray(b)))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "shape", [(130, 150, 140), (40, 700, 300), (700, 9, 300), (1, 900, 800), (900, 1, 800), (96, 96, 96)]
)
def test_results_do_not_depend_on_the_number_of_threads(shape: tuple[int, int, int]) -> None:
    m, n, k = shape
    a, b = px.asarray(values("float32", m, k)), px.asarray(values("float32", k, n, seed=1))
    layer = px.defn(lambda a, b: px.tanh(a @ b))
    found = []
    for threads in (1, 2, 3):
        with px.options(num_threads=threads):
            found.append(np.asarray(layer(a, b)))
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])
    agree(found[0], np.asarray(a), np.asarray(b), np.tanh)


def test_one_executable_of_named_sizes_serves_all() -> None:
    def layer(a: Any, b: Any) -> Any:
        return px.maximum(a @ b, 0), a @ b[:, 0], a[0] @ b

    compiled = px.compile(layer, px.spec("f32[m,k]"), px.spec("f32[k,n]"))
    for m, n, k in [*SHAPES, (200, 300, 700)]:
        a, b = values("float32", m, k), values("float32", k, n, seed=1)
        found, column, row = compiled(px.asarray(a), px.asarray(b))
        agree(found, a, b, lambda c: np.maximum(c, 0))
        agree(column, a, b[:, 0])
        agree(row, a[0], b)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_batches_share_an_operand_or_not(dtype: str) -> None:
    product = px.defn(lambda a, b: a @ b)
    plain, right_only, broadcast = ((5, 13, 20), (5, 20, 33)), ((13, 20), (5, 20, 33)), ((2, 1, 4, 9), (3, 9, 8))
    for left, right in [plain, ((5, 13, 20), (20, 33)), right_only, broadcast]:
        a, b = values(dtype, *left), values(dtype, *right, seed=1)
        agree(product(px.asarray(a), px.asarray(b)), a, b)


def test_strided_operands_are_read_where_they_stand() -> None:
    a, b = values("float32", 60, 120), values("float32", 120, 80, seed=1)

    @px.defn
    def product(a: Any, b: Any) -> Any:
        return a[::2, ::3] @ b[::3, 1::2], a[::2, ::3] @ b[::3, 5], a[4, ::3] @ b[::3, ::-1]

    found = product(px.asarray(a), px.asarray(b))
    agree(found[0], a[::2, ::3], b[::3, 1::2])
    agree(found[1], a[::2, ::3], b[::3, 5])
    agree(found[2], a[4, ::3], b[::3, ::-1])


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(("rows", "depth", "columns"), [(300, 70, 97), (131, 384, 70), (130, 1100, 40)])
def test_result_written_over_what_is_added(rows: int, depth: int, columns: int, threads: int) -> None:
    @px.defn
    def layer(x: Any, square: Any, y: Any, weight: Any, bias: Any) -> Any:
        added = x @ square  # used once: its memory becomes that of the sum
        return (y @ weight.T + bias + added) @ square

    x, square, y = values("float32", rows, columns), values("float32", columns, columns) / 9, values("float32", rows, depth)
    weight, bias = values("float32", columns, depth, seed=1), values("float32", columns)
    with px.options(num_threads=threads):
        found = layer(x, square, y, weight, bias)
    wide = [array.astype(np.float64) for array in (x, square, y, weight, bias)]
    expected = (wide[2] @ wide[3].T + wide[4] + wide[0] @ wide[1]) @ wide[1]
    np.testing.assert_allclose(np.asarray(found), expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())
