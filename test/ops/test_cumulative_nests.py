"""Running sums, products, maxima and minima over sizes around the block lengths of their loop nests."""

from __future__ import annotations

import numpy as np
import pytest

import phalanx as px
from phalanx.runtime.threads import limit_threads

UFUNCS = {"add": np.add, "multiply": np.multiply, "min": np.minimum, "max": np.maximum}
SHAPES = [(1,), (2,), (16,), (17,), (40,), (1, 18), (7, 2), (8, 17), (9, 33), (3, 1, 20), (2, 9, 18), (4, 5, 1), (2, 3, 4, 5),
          (520, 259), (130, 3, 400)]


def _reference(x: np.ndarray, axis: int, combine: str, reverse: bool) -> np.ndarray:
    ordered = np.flip(x, axis) if reverse else x
    with np.errstate(over="ignore", invalid="ignore"):
        found = UFUNCS[combine].accumulate(ordered, axis=axis, dtype=x.dtype)
    return np.flip(found, axis) if reverse else found


def _check(x: np.ndarray, axis: int, combine: str, reverse: bool) -> None:
    got = px.defn(lambda t: px.cumulative(t, axis, combine, reverse=reverse))(x).numpy()
    np.testing.assert_array_equal(got, _reference(x, axis, combine, reverse))
    assert got.dtype == x.dtype


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_in_order_whatever_the_size(shape: tuple[int, ...], reverse: bool) -> None:
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    for axis in range(len(shape)):
        _check(x, axis, "add", reverse)


@pytest.mark.parametrize("combine", list(UFUNCS))
@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "int32", "uint32", "int64", "uint64", "float16", "float32",
                                   "float64"])
def test_dtypes(dtype: str, combine: str) -> None:
    x = np.random.default_rng(1).integers(1, 4, (9, 21)).astype(dtype)
    _check(x, 0, combine, False)
    _check(x, 1, combine, True)


@pytest.mark.parametrize("axis", [0, 1])
def test_special_values(axis: int) -> None:
    x = np.full((9, 20), -0.0, np.float32)
    got = px.cumulative_sum(px.asarray(x), axis=axis).numpy()
    assert np.signbit(got).all()
    x[4, 7] = np.nan
    x[2, 3] = np.inf
    for combine in UFUNCS:
        _check(x, axis, combine, False)


@pytest.mark.parametrize("axis", [0, 1])
def test_strided_operands(axis: int) -> None:
    x = np.random.default_rng(2).standard_normal((18, 37)).astype(np.float32)
    got = px.defn(lambda t: px.cumulative_sum(px.transpose(t)[::2, 1:], axis=axis))(x).numpy()
    np.testing.assert_array_equal(got, np.cumsum(x.T[::2, 1:], axis, dtype=np.float32))


@pytest.mark.parametrize("axis", [0, 1])
def test_named_sizes(axis: int) -> None:
    run = px.defn(lambda t: px.cumulative_sum(t, axis=axis)).compile("f32[n,m]")
    for shape in ((1, 1), (1, 19), (9, 1), (17, 34), (5, 0), (0, 5)):
        x = np.random.default_rng(3).standard_normal(shape).astype(np.float32)
        np.testing.assert_array_equal(run(x).numpy(), np.cumsum(x, axis, dtype=np.float32))


def test_any_number_of_threads() -> None:
    x = np.random.default_rng(4).standard_normal((700, 701)).astype(np.float32)
    for axis in (0, 1):
        run = px.defn(lambda t, axis=axis: px.cumulative_sum(t, axis=axis), static=("axis",))
        for count in (1, 2, 3):
            with limit_threads(count):
                np.testing.assert_array_equal(run(x).numpy(), np.cumsum(x, axis, dtype=np.float32))
