"""Reductions along axes of a handful of elements, whose rows are written out point by point."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import phalanx as px

Array = np.ndarray[Any, Any]

LENGTHS = [1, 2, 3, 4, 7, 8, 9]


def values(shape: tuple[int, ...], dtype: str, seed: int = 0) -> Array:
    random = np.random.default_rng(seed)
    if dtype == "bool":
        return random.integers(0, 2, shape).astype(bool)
    if np.dtype(dtype).kind in "iu":
        return random.integers(0, 50, shape).astype(dtype)
    return random.standard_normal(shape).astype(dtype)


def softmax(x: Any, axis: int = -1) -> Any:
    e = px.exp(x - px.max(x, axis=axis, keepdims=True))
    return e / px.sum(e, axis=axis, keepdims=True)


def softmax_numpy(x: Array, axis: int = -1) -> Array:
    e = np.exp(x - np.max(x, axis=axis, keepdims=True))
    return e / np.sum(e, axis=axis, keepdims=True)


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("reduce", ["sum", "max", "min", "prod", "argmax", "argmin", "var"])
def test_every_reduction(reduce: str, length: int) -> None:
    x = values((53, length), "float32")
    got = px.jit(lambda x: getattr(px, reduce)(x, axis=1))(x)
    np.testing.assert_allclose(got, getattr(np, reduce)(x, axis=1), rtol=2e-6, atol=1e-7)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "int64", "float16", "float64"])
@pytest.mark.parametrize("rows", [0, 1, 17, 200])
def test_every_type(dtype: str, rows: int) -> None:
    x = values((rows, 3), dtype)
    for reduce in ("sum", "max", "argmax"):
        got = px.jit(lambda x, name=reduce: getattr(px, name)(x, axis=1))(x)
        want = getattr(np, reduce)(x, axis=1)
        tolerance = 4e-3 if dtype == "float16" else 1e-12
        np.testing.assert_allclose(np.asarray(got, np.float64), want.astype(np.float64), rtol=tolerance)


@pytest.mark.parametrize("length", LENGTHS)
def test_several_levels(length: int) -> None:
    x = values((1009, length), "float32")
    np.testing.assert_allclose(px.jit(softmax)(x), softmax_numpy(x), rtol=2e-6)
    logarithms = np.log(np.sum(np.exp(x.astype(np.float64)), axis=1))
    np.testing.assert_allclose(px.jit(lambda x: px.logsumexp(x, axis=1))(x), logarithms, rtol=3e-6, atol=1e-6)


def test_any_and_all() -> None:
    x = values((77, 3), "bool")
    assert np.array_equal(px.jit(lambda x: px.any(x, axis=1))(x), np.any(x, axis=1))
    assert np.array_equal(px.jit(lambda x: px.all(x, axis=1))(x), np.all(x, axis=1))


def test_special_values() -> None:
    row = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, 1e-45], np.float32)
    x = np.stack([np.roll(row, shift)[:3] for shift in range(7)])
    for reduce in ("max", "min", "argmax", "argmin"):
        got = px.jit(lambda x, name=reduce: getattr(px, name)(x, axis=1))(x)
        np.testing.assert_array_equal(got, getattr(np, reduce)(x, axis=1))
    with np.errstate(invalid="ignore"):
        np.testing.assert_allclose(px.jit(softmax)(x), softmax_numpy(x), rtol=2e-6)


@pytest.mark.parametrize("view", [lambda x: x[::-1, ::-1], lambda x: x[::3, 1:], lambda x: x[5:13].T])
def test_views(view: Callable[[Array], Array]) -> None:
    x = values((40, 6), "float32")
    np.testing.assert_allclose(px.jit(softmax)(view(x)), softmax_numpy(view(x)), rtol=2e-6)
    np.testing.assert_allclose(px.jit(lambda x: softmax(view(x)))(x), softmax_numpy(view(x)), rtol=2e-6)


def test_rows_whose_number_is_a_name() -> None:
    compiled = px.compile(softmax, "f32[n, 5]")
    for rows in (0, 1, 15, 16, 33):
        x = values((rows, 5), "float32", rows)
        np.testing.assert_allclose(compiled(x), softmax_numpy(x), rtol=2e-6)


def test_rows_of_more_dimensions() -> None:
    x = values((5, 6, 7, 4), "float32")
    np.testing.assert_allclose(px.jit(softmax)(x), softmax_numpy(x), rtol=2e-6)
    np.testing.assert_allclose(px.jit(lambda x: softmax(x, 1))(x), softmax_numpy(x, 1), rtol=2e-6)


def test_a_result_over_its_argument() -> None:
    x = values((301, 4), "float32")
    given = px.asarray(x.copy())
    got = px.jit(softmax, donate=["x"])(given)
    np.testing.assert_allclose(got, softmax_numpy(x), rtol=2e-6)


def test_the_same_with_every_number_of_threads() -> None:
    x = values((200_000, 3), "float32")
    results = []
    for threads in (1, 2):
        with px.options(num_threads=threads):
            results.append(np.asarray(px.jit(lambda x: (softmax(x), px.sum(x, axis=1)))(x)[0]))
    assert np.array_equal(*results)
