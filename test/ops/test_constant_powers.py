"""`x ** c` for a number c: what it becomes agrees with C99's pow, special values included; gradients too."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import phalanx as px

EXPONENTS = [-0.5, 0.5, 1.5, -1.5, -1, -2, -3, -1.0, -2.0, np.float64(0.5)]
SPECIAL = [0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, -2.0, 4.0, 1e-310, 1e300, 1e-300, 5e-324, -1e-200, 1e160, 1e-104]


def expected(x: Any, exponent: float) -> Any:
    with np.errstate(all="ignore"):
        return np.power(x, np.full_like(x, exponent))


@pytest.mark.parametrize("exponent", EXPONENTS)
@pytest.mark.parametrize("compiler", ["mlir", "evaluator"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_special_values(exponent: float, compiler: str, dtype: Any) -> None:
    with np.errstate(over="ignore"):
        x = np.asarray(SPECIAL, dtype)
    with px.options(compiler=compiler), np.errstate(all="ignore"):
        found = px.jit(lambda x: x ** float(exponent))(x).numpy()
    want = expected(x, exponent)
    np.testing.assert_allclose(found, want, rtol=3 * np.finfo(dtype).eps)
    np.testing.assert_array_equal(np.signbit(found[~np.isnan(want)]), np.signbit(want[~np.isnan(want)]))


@pytest.mark.parametrize("exponent", EXPONENTS)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_within_three_units(exponent: float, dtype: Any) -> None:
    x = np.exp(np.random.default_rng(0).uniform(-2, 2, 1000)).astype(dtype)
    found = px.jit(lambda x: x**exponent)(x).numpy()
    assert found.dtype == (dtype if not isinstance(exponent, np.generic) else np.float64)
    units = np.abs(found.astype(np.float64) - expected(x.astype(np.float64), exponent)) / np.spacing(found).astype(np.float64)
    assert units.max() <= 3


@pytest.mark.parametrize("exponent", [-0.5, 0.5, 1.5, -1.5, -1, -2, -3])
def test_gradients(exponent: float) -> None:
    x = np.asarray([0.3, 1.0, 2.5, 40.0])
    found = px.jit(px.grad(lambda x: px.sum(x**exponent)))(x).numpy()
    np.testing.assert_allclose(found, exponent * x ** (exponent - 1), rtol=1e-14)
    at_zero = px.grad(lambda x: px.sum(x**exponent))(np.zeros(1)).numpy()
    np.testing.assert_array_equal(at_zero, [0.0] if exponent == 1.5 else [np.sign(exponent) * np.inf])


def test_integers() -> None:
    x = np.asarray([-3, -1, 1, 2, 5], np.int32)
    np.testing.assert_array_equal(px.jit(lambda x: x**-1)(x).numpy(), [0, -1, 1, 0, 0])
    np.testing.assert_allclose(px.jit(lambda x: x**-2.0)(x).numpy(), 1.0 / x.astype(np.float32) ** 2, rtol=1e-6)
    np.testing.assert_allclose(px.jit(lambda x: x**1.5)(x[2:]).numpy(), x[2:] ** np.float32(1.5), rtol=1e-6)


@pytest.mark.parametrize("number", [np.float32(2.5), np.int32(3), np.uint8(7), np.asarray(1.5, np.float32), np.bool_(True)])
def test_numbers_of_numpy_are_constants(number: Any) -> None:
    text = px.jit(lambda x: x * number).trace("f32[3]").text
    assert "captured" not in text and "px.constant" in text
    np.testing.assert_array_equal(px.jit(lambda x: x * number)(np.ones(3, np.float32)).numpy(), np.float32([number] * 3))
