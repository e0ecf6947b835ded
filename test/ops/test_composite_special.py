"""Composites: against NumPy and SciPy, at the extremes, in half precision, and their gradients."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import scipy.special as special

import phalanx as px

T = np.random.default_rng(0).standard_normal((3, 4))
INF = math.inf


@pytest.fixture(autouse=True)
def evaluator() -> Any:
    with px.use_backend("numpy"), px.options(compiler="evaluator"):
        yield


def close(found: Any, expected: Any, tolerance: float = 1e-12) -> None:
    found = found.numpy()
    assert found.shape == np.shape(expected)
    np.testing.assert_allclose(found.astype(np.float64), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("axis", [None, 0, -1, (0, 1)])
@pytest.mark.parametrize("keepdims", [False, True])
def test_statistics(axis: Any, keepdims: bool) -> None:
    close(px.mean(T, axis=axis, keepdims=keepdims), T.mean(axis, keepdims=keepdims))
    close(px.var(T, axis=axis, keepdims=keepdims, correction=1), T.var(axis, ddof=1, keepdims=keepdims))
    close(px.std(T, axis=axis, keepdims=keepdims), T.std(axis, keepdims=keepdims))
    close(px.logsumexp(T, axis=axis, keepdims=keepdims), special.logsumexp(T, axis, keepdims=keepdims))
    close(px.softmax(T, axis=axis), special.softmax(T, axis))
    close(px.log_softmax(T, axis=axis), special.log_softmax(T, axis))


@pytest.mark.parametrize("order", [0, 1, 2, 3, 0.5, INF, -INF])
def test_vector_norm(order: float) -> None:
    close(px.vector_norm(T, axis=1, ord=order), np.linalg.norm(T, order, 1))


@pytest.mark.parametrize(("found", "expected"), [
    (lambda: px.clip(T, -0.5, 0.5), T.clip(-0.5, 0.5)),
    (lambda: px.relu(T), np.maximum(T, 0)),
    (lambda: px.silu(T), T * special.expit(T)),
    (lambda: px.gelu(T), T * special.ndtr(T)),
    (lambda: px.gelu(T, approximate="tanh"),
     0.5 * T * (1 + np.tanh(math.sqrt(2 / math.pi) * (T + 0.044715 * T**3)))),
    (lambda: px.gelu(np.float64(-9.0)), -9 * special.ndtr(-9.0)),
    (lambda: px.leaky_relu(T), np.where(T > 0, T, 0.01 * T)),
    (lambda: px.elu(T, 2.0), np.where(T > 0, T, 2 * np.expm1(T))),
    (lambda: px.softplus(T), np.logaddexp(T, 0)),
    (lambda: px.diff(T, n=2, axis=0), np.diff(T, 2, 0)),
    (lambda: px.diff(T[0], prepend=np.zeros(1)), np.diff(T[0], prepend=0)),
    (lambda: px.cumulative_sum(T, axis=0, reverse=True), T[::-1].cumsum(0)[::-1]),
    (lambda: px.cumulative_sum(T, axis=1, include_initial=True), np.hstack([np.zeros((3, 1)), T.cumsum(1)])),
    (lambda: px.cumulative_prod(T, axis=1), T.cumprod(1)),
    (lambda: px.cumulative_min(T, axis=0), np.minimum.accumulate(T, 0)),
])
def test_as_numpy(found: Any, expected: Any) -> None:
    close(found(), expected)


def test_extremes_stay_finite_where_the_answer_is() -> None:
    big = np.array([1e4, -1e4, 0.0])
    close(px.softmax(big), [1, 0, 0])
    close(px.logsumexp(np.array([INF, 0.0])), INF)
    close(px.logsumexp(np.array([-INF, -INF])), -INF)
    close(px.softplus(big), [1e4, 0, math.log(2)])
    close(px.log_sigmoid(big), [0, -1e4, -math.log(2)])
    close(px.elu(big), [1e4, -1, 0])
    for function in (px.softmax, px.log_softmax, px.softplus, px.log_sigmoid, px.elu, px.silu, px.gelu):
        gradient = px.grad(lambda x, f=function: px.sum(f(x) * np.arange(3.0)))(big).numpy()
        assert np.isfinite(gradient).all(), function.__name__


def test_nan_goes_through() -> None:
    for function in (px.relu, px.clip, px.silu, px.gelu, px.softplus, px.leaky_relu, px.elu):
        assert np.isnan(float(function(np.float64(math.nan)))), function.__name__
    assert np.isnan(float(px.mean(np.zeros(0))))
    assert np.isnan(float(px.var(np.ones(1), correction=1)))


def test_half_precision_is_computed_in_float32() -> None:
    assert float(px.mean(np.full(100_000, 10, np.float16))) == 10  # the sum is beyond float16
    assert px.mean(np.ones(3, np.float16)).dtype is px.float16
    assert float(px.softmax(np.zeros(70_000, np.float16))[0]) == np.float16(1 / 70_000)


def test_integers_become_floats_and_widen() -> None:
    assert px.mean([1, 2]).dtype is px.float32
    assert px.cumulative_sum(np.array([100, 100], np.int8)).numpy().tolist() == [100, 200]
    assert px.cumulative_sum([True, True]).dtype is px.int32


def test_one_hot() -> None:
    assert px.one_hot([[1, 5], [0, 2]], 3).numpy().tolist() == [[[0, 1, 0], [0, 0, 0]], [[1, 0, 0], [0, 0, 1]]]
    assert px.one_hot([1, 0], 3, axis=0, dtype=px.int8).numpy().tolist() == [[0, 1], [1, 0], [0, 0]]
    assert float(px.sum(px.one_hot(np.array([200], np.uint8), 300))) == 1


def test_closeness() -> None:
    left, right = [1.0, INF, math.nan, INF, -INF], [1.0, INF, math.nan, 1.0, INF]
    assert px.isclose(left, right).numpy().tolist() == [True, True, False, False, False]
    assert bool(px.allclose([math.nan], [math.nan], equal_nan=True))


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("zeros", [0, 1, 2])
def test_gradient_of_a_running_product_with_zeros(reverse: bool, zeros: int) -> None:
    x = np.array([2.0, -1.5, 3.0, 0.5, 4.0])
    x[[1, 3][:zeros]] = 0
    weights = np.arange(1.0, 6.0)
    found = px.grad(lambda x: px.sum(px.cumulative_prod(x, reverse=reverse) * weights))(x).numpy()
    expected = np.zeros(5)
    for i in range(5):  # the product is linear in each element
        one, none = x.copy(), x.copy()
        one[i], none[i] = 1, 0
        order = slice(None, None, -1 if reverse else 1)
        expected[i] = ((one[order].cumprod() - none[order].cumprod())[order] * weights).sum()
    np.testing.assert_allclose(found, expected)


def test_gradient_of_a_running_maximum_goes_to_the_record() -> None:
    x = np.array([1.0, 3.0, 3.0, 2.0, 5.0])
    assert px.grad(lambda x: px.sum(px.cumulative_max(x)))(x).numpy().tolist() == [1, 3, 0, 0, 1]
    assert px.grad(lambda x: px.sum(px.cumulative_max(x, reverse=True)))(x).numpy().tolist() == [0, 0, 0, 0, 5]


def test_relu_is_flat_at_zero() -> None:
    assert px.grad(lambda x: px.sum(px.relu(x)))(np.array([-1.0, 0.0, 1.0])).numpy().tolist() == [0, 0, 1]


def test_errors() -> None:
    with pytest.raises(px.ArgumentError, match="approximate is 'none' or 'tanh'"):
        px.gelu(T, approximate="fast")
    with pytest.raises(px.ArgumentError, match="cumulative_sum: needs an axis"):
        px.cumulative_sum(T)
    with pytest.raises(px.ShapeError, match="mean: axis 2 is out of range|sum: axis 2 is out of range"):
        px.mean(T, axis=2)
