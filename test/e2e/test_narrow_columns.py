"""Columns of narrow arrays, whose rows are joined to runs, and elementwise loops of a few points, which are written out."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

import phalanx as px

Array = np.ndarray[Any, Any]

WIDTHS = [1, 2, 3, 4, 5, 8, 16, 17]


def values(shape: tuple[int, ...], dtype: str = "float32", seed: int = 0) -> Array:
    random = np.random.default_rng(seed)
    if dtype == "bool":
        return random.integers(0, 2, shape).astype(bool)
    if dtype == "bfloat16":
        return random.standard_normal(shape).astype(ml_dtypes.bfloat16)
    if np.dtype(dtype).kind in "iu":
        return random.integers(0, 50, shape).astype(dtype)
    return random.standard_normal(shape).astype(dtype)


def softmax(x: Any) -> Any:
    e = px.exp(x - px.max(x, axis=0, keepdims=True))
    return e / px.sum(e, axis=0, keepdims=True)


def softmax_numpy(x: Array) -> Array:
    e = np.exp(x - np.max(x, axis=0, keepdims=True))
    return e / np.sum(e, axis=0, keepdims=True)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("reduce", ["sum", "max", "min", "prod", "argmax", "argmin", "var"])
def test_every_reduction(reduce: str, width: int) -> None:
    x = values((2053, width)) * (1 if reduce != "prod" else np.float32(0.2)) + (1 if reduce == "prod" else 0)
    got = px.jit(lambda x: getattr(px, reduce)(x, axis=0))(x)
    want = getattr(np, reduce)(x.astype(np.float64), axis=0)
    np.testing.assert_allclose(got, want, rtol=3e-4 if reduce == "prod" else 2e-6, atol=3e-4 if reduce == "sum" else 1e-30)


@pytest.mark.parametrize("rows", [0, 1, 63, 64, 65, 1000, 5003])
def test_every_number_of_rows(rows: int) -> None:
    x = values((rows, 3), "int64")
    assert np.array_equal(px.jit(lambda x: px.sum(x, axis=0))(x), np.sum(x, axis=0))
    if rows:
        assert np.array_equal(px.jit(lambda x: px.max(x, axis=0))(x), np.max(x, axis=0))
        assert np.array_equal(px.jit(lambda x: px.argmax(x, axis=0))(x), np.argmax(x, axis=0))


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "float16", "bfloat16", "float64", "bool"])
def test_every_type(dtype: str) -> None:
    x = values((777, 3), dtype)
    kinds = {"bool": ("any", "all"), "int8": ("max", "argmin"), "uint8": ("max", "argmin")}
    names = kinds.get(dtype, ("sum", "max", "argmin"))
    for name in names:
        got = np.asarray(px.jit(lambda x, name=name: getattr(px, name)(x, axis=0))(x)).astype(np.float64)
        want = getattr(np, name)(x if dtype == "bool" else x.astype(np.float64), axis=0)
        tolerance = 0.05 if dtype in ("float16", "bfloat16") and name == "sum" else 1e-5
        np.testing.assert_allclose(got, want, rtol=tolerance, atol=20 * tolerance)


def test_the_first_of_equal_extremes() -> None:
    x = np.zeros((500, 3), np.float32)
    x[[17, 300], 1] = 2
    x[[499, 20], 2] = np.nan
    assert px.jit(lambda x: px.argmax(x, axis=0))(x).tolist() == [0, 17, 20]


def test_special_values() -> None:
    x = np.ones((640, 4), np.float32)
    x[123, 0], x[5, 1], x[600, 2], x[601, 2] = np.nan, np.inf, np.inf, -np.inf
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(px.jit(lambda x: px.sum(x, axis=0))(x), np.sum(x, axis=0))
    np.testing.assert_array_equal(px.jit(lambda x: px.max(x, axis=0))(x), np.max(x, axis=0))


@pytest.mark.parametrize("width", WIDTHS)
def test_several_levels(width: int) -> None:
    x = values((1234, width))
    np.testing.assert_allclose(px.jit(softmax)(x), softmax_numpy(x), rtol=4e-6)
    scaled = px.jit(lambda x: (x - px.mean(x, axis=0)) / px.sqrt(px.var(x, axis=0) + 1e-5))(x)
    np.testing.assert_allclose(scaled, (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5), rtol=1e-4, atol=2e-6)


def test_with_operands_of_columns_and_of_rows() -> None:
    x, column, row = values((900, 3)), values((3,), seed=1), values((900, 1), seed=2)
    got = px.jit(lambda x, c: px.sum((x - c) * (x - c), axis=0))(x, column)
    np.testing.assert_allclose(got, ((x - column) ** 2).sum(0), rtol=1e-5)
    got = px.jit(lambda x, r: px.sum(x * r, axis=0))(x, row)
    np.testing.assert_allclose(got, (x * row).sum(0), rtol=1e-4, atol=1e-4)


def test_views_and_outer_dimensions() -> None:
    x = values((4, 600, 6))
    reduced = px.jit(lambda x: px.sum(x, axis=1))
    np.testing.assert_allclose(reduced(x[:, :, ::2]), x[:, :, ::2].sum(1), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(reduced(x[:, ::-1, :3]), x[:, :, :3].sum(1), rtol=1e-4, atol=1e-4)
    together = px.jit(lambda x: px.sum(x[..., :3], axis=(0, 1)))(x)
    np.testing.assert_allclose(together, x[..., :3].sum((0, 1)), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(reduced(x), x.sum(1), rtol=1e-4, atol=1e-4)


def test_rows_whose_number_is_a_name() -> None:
    compiled = px.compile(lambda x: (px.sum(x, axis=0), px.argmax(x, axis=0), softmax(x)), "f32[n, 3]")
    for rows in (1, 5, 160, 161, 4000):
        x = values((rows, 3), seed=rows)
        total, position, weights = compiled(x)
        np.testing.assert_allclose(total, x.sum(0), rtol=1e-4, atol=1e-4)
        assert np.array_equal(position, x.argmax(0))
        np.testing.assert_allclose(weights, softmax_numpy(x), rtol=4e-6)


def test_the_same_with_every_number_of_threads() -> None:
    x = values((400_000, 3))
    results = []
    for threads in (1, 2):
        with px.options(num_threads=threads):
            compiled = px.jit(lambda x: (px.sum(x, axis=0), px.var(x, axis=0), px.argmax(x, axis=0), softmax(x)))
            results.append([np.asarray(result) for result in compiled(x)])
    for one, two in zip(*results, strict=True):
        assert np.array_equal(one, two)


@pytest.mark.parametrize("width", [2, 3, 4, 5])
def test_transpositions_and_broadcasts(width: int) -> None:
    x, row = values((width, 301)), values((width,), seed=1)
    assert np.array_equal(px.jit(lambda x: px.permute_dims(x, (1, 0)))(x), x.T)
    assert np.array_equal(px.jit(lambda x: px.permute_dims(x, (1, 0)))(x.T.copy()), x)
    assert np.array_equal(px.jit(lambda x, r: x.T * r)(x, row), x.T * row)
    assert np.array_equal(px.jit(lambda x, r: x.T[::-1, ::-1] * r)(x, row), x.T[::-1, ::-1] * row)
    assert np.array_equal(px.jit(lambda x, y: px.stack([x, y], axis=-1))(x, -x), np.stack([x, -x], -1))


LINES = [((5, 6, 7, 16), (1, 3)), ((9, 4, 33), (0, 2)), ((3, 2, 128), (0, 2)), ((0, 4, 20), (0, 2))]


@pytest.mark.parametrize(("shape", "axis"), LINES)
def test_rows_of_several_lines(shape: tuple[int, ...], axis: tuple[int, ...]) -> None:
    x = values(shape)
    names = ("sum", "max", "var", "prod") if x.size else ("sum", "prod")
    for name in names:
        got = px.jit(lambda x, name=name: getattr(px, name)(x, axis=axis))(x)
        np.testing.assert_allclose(got, getattr(np, name)(x.astype(np.float64), axis=axis), rtol=1e-4, atol=1e-5)
    if x.size:
        got = px.jit(lambda x: px.softmax(x, axis=axis))(x)
        e = np.exp(x - x.max(axis, keepdims=True))
        np.testing.assert_allclose(got, e / e.sum(axis, keepdims=True), rtol=4e-6)
        x[0, 1, ..., 3] = np.nan
        np.testing.assert_array_equal(px.jit(lambda x: px.max(x, axis=axis))(x), x.max(axis))
        whole = values(shape, "int32")
        assert np.array_equal(px.jit(lambda x: px.sum(x, axis=axis))(whole), whole.sum(axis))
