"""Comparisons and tests of NaN, signed zeros, unsigned extremes and bools."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

import phalanx as px

COMPILERS = ["evaluator", "mlir"]
RELATIONS = {"equal": np.equal, "not_equal": np.not_equal, "less": np.less, "less_equal": np.less_equal,
             "greater": np.greater, "greater_equal": np.greater_equal}


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("values", [
    np.float32([0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan]), np.uint8([0, 1, 127, 128, 255]),
    np.int8([-128, -1, 0, 127]), np.uint64([0, 2**63, 2**64 - 1]), np.array([False, True])], ids=lambda v: str(v.dtype))
def test_every_relation_of_every_pair(values: Any, compiler: str) -> None:
    x, y = (a.copy() for a in np.meshgrid(values, values))
    function = px.jit(lambda a, b: tuple(getattr(px, n)(a, b) for n in RELATIONS), compiler=compiler)
    for found, reference in zip(function(px.asarray(x), px.asarray(y)), RELATIONS.values(), strict=True):
        assert found.dtype is px.bool
        np.testing.assert_array_equal(found.numpy(), reference(x, y))


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32, np.float64])
def test_kinds_of_numbers(dtype: Any, compiler: str) -> None:
    x = np.array([0.0, -0.0, 1.5, -1.5, np.inf, -np.inf, np.nan, -np.nan], dtype)
    function = px.jit(lambda a: (px.isnan(a), px.isinf(a), px.isfinite(a), px.signbit(a)), compiler=compiler)
    for found, reference in zip(function(px.asarray(x)), (np.isnan, np.isinf, np.isfinite, np.signbit), strict=True):
        np.testing.assert_array_equal(found.numpy(), reference(x))


def test_integers_are_always_finite() -> None:
    x = px.asarray([1, -2])
    assert not px.isnan(x).numpy().any()
    assert not px.isinf(x).numpy().any()
    assert px.isfinite(x).numpy().all()


def test_operands_meet_in_one_dtype() -> None:
    assert (px.asarray(np.int8([-1])) < px.asarray(np.uint8([255]))).numpy().all()
    assert (px.asarray([1, 2]) < 1.5).numpy().tolist() == [True, False]
    assert (px.asarray(1.5) >= px.asarray([1, 2])).numpy().tolist() == [True, False]
