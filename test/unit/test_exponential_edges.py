"""exp where its result stops being a normal number, on both sides, and for every kind of NaN."""

from __future__ import annotations

import numpy as np
import pytest

import phalanx as px

LARGEST = {"float32": 88.72283172607422, "float64": 709.782712893384}
SMALLEST_NORMAL = {"float32": -87.33654, "float64": -708.3964185322641}
ZERO_FROM = {"float32": -104.0, "float64": -745.2}
UNSIGNED = {"float32": np.uint32, "float64": np.uint64}


@px.defn
def exp(x):
    return px.exp(x)


@pytest.mark.parametrize("dtype", LARGEST)
@pytest.mark.parametrize("size", [1, 37])
def test_the_largest_finite_result(dtype: str, size: int) -> None:
    last = np.full(size, LARGEST[dtype], dtype)
    found = np.asarray(exp(last))
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, np.exp(last), rtol=4 * np.finfo(dtype).eps)
    assert np.isposinf(np.asarray(exp(np.nextafter(last, last * 2)))).all()
    assert np.isposinf(np.asarray(exp(np.full(size, np.finfo(dtype).max, dtype)))).all()


@pytest.mark.parametrize("dtype", LARGEST)
def test_results_between_normal_numbers_and_zero(dtype: str) -> None:
    x = np.linspace(SMALLEST_NORMAL[dtype] + 2, ZERO_FROM[dtype], 5001, dtype=dtype)
    smallest = np.nextafter(np.asarray(0, dtype), np.asarray(1, dtype))
    np.testing.assert_allclose(np.asarray(exp(x)), np.exp(x), rtol=4 * np.finfo(dtype).eps, atol=float(smallest))
    below = np.array([ZERO_FROM[dtype] - 1, -1e30, -np.finfo(dtype).max, -np.inf], dtype)
    np.testing.assert_array_equal(np.asarray(exp(below)).view(UNSIGNED[dtype]), 0)


@pytest.mark.parametrize("dtype", LARGEST)
@pytest.mark.parametrize("function", ["exp", "tanh", "erf"])
def test_a_nan_stays_one_whatever_its_payload(function: str, dtype: str) -> None:
    unsigned = UNSIGNED[dtype]
    quiet = int(np.asarray(np.nan, dtype).view(unsigned))
    bits = np.array([quiet | payload for payload in (0, 1, 2, 0x1FF, 0x155, 0xFFFFF)] * 7, unsigned)
    x = np.concatenate([bits, bits | unsigned(1 << (8 * unsigned().itemsize - 1))]).view(dtype)
    assert np.isnan(np.asarray(px.jit(getattr(px, function))(x))).all()
