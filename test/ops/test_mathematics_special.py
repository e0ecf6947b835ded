"""Mathematical functions at the edges of their domains, and their derivatives there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.special

import phalanx as px

COMPILERS = ["evaluator", "mlir"]


def run(function: Any, *arrays: Any, compiler: str) -> np.ndarray[Any, Any]:
    found: np.ndarray[Any, Any] = px.jit(function, compiler=compiler)(*[px.asarray(a) for a in arrays]).numpy()
    return found


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("dtype", ["int8", "int32", "int64", "uint16"])
def test_integer_powers(dtype: str, compiler: str) -> None:
    info = np.iinfo(dtype)
    bases = np.array([0, 1, 2, 3, info.max, info.min, *([-1, -2, -3] if info.min else [])], dtype)
    exponents = np.array([0, 1, 2, 3, 31, info.max], dtype)
    x, y = (a.copy() for a in np.meshgrid(bases, exponents))
    expected = [pow(int(a), int(b), 1 << info.bits) for a, b in zip(x.flat, y.flat, strict=True)]
    wrapped = np.array(expected, np.uint64).astype(dtype).reshape(x.shape)
    np.testing.assert_array_equal(run(px.power, x, y, compiler=compiler), wrapped)


@pytest.mark.parametrize("compiler", COMPILERS)
def test_negative_integer_exponents_divide(compiler: str) -> None:
    base, exponent = np.int32([1, -1, -1, 2, -5, 0]), np.int32([-3, -3, -4, -1, -2, -1])
    np.testing.assert_array_equal(run(px.power, base, exponent, compiler=compiler), [1, -1, 1, 0, 0, 0])


@pytest.mark.parametrize("exponent", range(1, 9))
def test_small_whole_exponents_become_products(exponent: int) -> None:
    x = np.float64([-2.0, 0.0, 1.5])
    np.testing.assert_allclose((px.asarray(x) ** exponent).numpy(), x**exponent)
    np.testing.assert_allclose((px.asarray(x) ** float(exponent)).numpy(), x**exponent)
    slope = px.grad(lambda a: px.sum(a**exponent))(px.asarray(x))
    np.testing.assert_allclose(slope.numpy(), exponent * x ** (exponent - 1))


def test_integers_to_a_float_power_are_floats() -> None:
    assert (px.asarray([2, 3]) ** 2).dtype is px.int32
    assert (px.asarray([2, 3]) ** 2.0).dtype is px.float32


def test_gradient_of_power_at_zero() -> None:
    by_base, by_exponent = px.grad(lambda b, e: px.sum(px.power(b, e)), argnums=(0, 1))(
        px.asarray([0.0, 0.0, 0.0, 2.0]), px.asarray([1.0, 2.0, 0.0, 0.0]))
    np.testing.assert_array_equal(by_base.numpy(), [1, 0, 0, 0])
    np.testing.assert_allclose(by_exponent.numpy(), [0, 0, 0, np.log(2)], rtol=1e-6)


def test_second_derivative_of_power_is_finite_at_exponent_zero() -> None:
    second = px.grad(lambda b: px.grad(lambda c: px.sum(px.power(c, px.asarray(0.0))))(b))(px.asarray(0.0))
    assert second.numpy() == 0


def test_no_gradient_through_a_root_that_was_not_chosen() -> None:
    def safe_root(x: Any) -> Any:
        return px.sum(px.where(x > 0, px.sqrt(x), 0.0))

    np.testing.assert_array_equal(px.grad(safe_root)(px.asarray([0.0, 4.0])).numpy(), [0, 0.25])


@pytest.mark.parametrize("compiler", COMPILERS)
def test_hypot_neither_overflows_nor_vanishes(compiler: str) -> None:
    x = np.float32([3e38, 1e-30, 0.0, np.inf, np.nan, np.nan])
    y = np.float32([1e38, 1e-30, 0.0, np.nan, 1.0, -np.inf])
    np.testing.assert_allclose(run(px.hypot, x, y, compiler=compiler), np.hypot(x, y), rtol=1e-6)


def test_gradient_of_hypot_and_atan2_at_the_origin_is_zero() -> None:
    for function in (px.hypot, px.atan2):
        slopes = px.grad(lambda a, b, f=function: f(a, b), argnums=(0, 1))(px.asarray(0.0), px.asarray(0.0))
        assert [float(s.numpy()) for s in slopes] == [0, 0]


@pytest.mark.parametrize("compiler", COMPILERS)
def test_logaddexp_of_infinities(compiler: str) -> None:
    x = np.float32([np.inf, -np.inf, -np.inf, np.inf, 1e4, np.nan])
    y = np.float32([np.inf, -np.inf, 2.0, -np.inf, 1e4, 0.0])
    with np.errstate(invalid="ignore"):
        expected = np.logaddexp(x, y)
    np.testing.assert_allclose(run(px.logaddexp, x, y, compiler=compiler), expected, rtol=1e-6)


def test_gradient_of_logaddexp_is_the_softmax() -> None:
    x, y = px.asarray(np.float64([0.0, 3.0, -1000.0])), px.asarray(np.float64([0.0, 1.0, 1000.0]))
    slope = px.grad(lambda a, b: px.sum(px.logaddexp(a, b)))(x, y)
    np.testing.assert_allclose(slope.numpy(), scipy.special.expit([0.0, 2.0, -2000.0]))


@pytest.mark.parametrize("compiler", COMPILERS)
def test_sigmoid_at_both_ends(compiler: str) -> None:
    x = np.float32([-1e4, -80.0, 0.0, 80.0, 1e4, np.nan])
    np.testing.assert_allclose(run(px.sigmoid, x, compiler=compiler), scipy.special.expit(x), rtol=2e-6)


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-5), (np.float64, 1e-13)])
def test_erfinv(dtype: Any, tolerance: float, compiler: str) -> None:
    # Near 1 the rounding of 1 - x*x costs digits in float32, as in Nx and JAX.
    x = np.concatenate([np.linspace(-0.9999, 0.9999, 201), [1 - 2.0**-20, 2.0**-40, 0.0]]).astype(dtype)
    np.testing.assert_allclose(run(px.erfinv, x, compiler=compiler), scipy.special.erfinv(x), rtol=tolerance)
    edges = run(px.erfinv, np.array([1, -1, 1.5, np.nan], dtype), compiler=compiler)
    np.testing.assert_array_equal(edges, [np.inf, -np.inf, np.nan, np.nan])


@pytest.mark.parametrize("name", ["exp", "log", "sin", "tanh", "sqrt"])
def test_integers_and_bools_become_float32(name: str) -> None:
    function = getattr(px, name)
    assert function(px.asarray([1, 2])).dtype is px.float32
    assert function(px.asarray([True])).dtype is px.float32
    assert function(px.asarray(np.float16([1]))).dtype is px.float16


@pytest.mark.parametrize("name", ["sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "asinh", "atanh",
                                  "exp", "expm1", "log1p", "erf", "erfc", "erfinv", "sigmoid", "exp2", "cbrt", "rsqrt",
                                  "sqrt", "log", "log2", "log10", "reciprocal", "square"])
def test_second_derivatives(name: str) -> None:
    function, x, step = getattr(px, name), 0.4, 1e-5
    first = px.grad(lambda a: function(a))
    points = [float(first(px.asarray(np.float64(p))).numpy()) for p in (x + step, x - step)]
    second = px.grad(lambda a: px.grad(lambda b: function(b))(a))(px.asarray(np.float64(x)))
    np.testing.assert_allclose(second.numpy(), (points[0] - points[1]) / (2 * step), rtol=1e-6)
