"""Reductions: accumulation dtypes, NaN, empty axes, ties, gradients of products with zeros."""

from __future__ import annotations

import itertools
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import phalanx as px

COMPILERS = ["evaluator", "mlir"]
ACCUMULATION = {"bool": "int32", "int8": "int32", "int16": "int32", "int32": "int32", "int64": "int64",
                "uint8": "uint32", "uint16": "uint32", "uint32": "uint32", "uint64": "uint64",
                "float16": "float16", "bfloat16": "bfloat16", "float32": "float32", "float64": "float64"}


def run(function: Any, *arrays: Any, compiler: str) -> Any:
    return px.jit(function, compiler=compiler)(*[px.asarray(a) for a in arrays])


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("dtype", ACCUMULATION)
def test_result_dtypes_of_sum_and_prod(dtype: str, compiler: str) -> None:
    x = np.ones((3, 200), bool).astype(px.dtype(dtype).numpy)
    total, product = run(lambda a: (px.sum(a, axis=1), px.prod(a, axis=1)), x, compiler=compiler)
    assert (total.dtype.name, product.dtype.name) == (ACCUMULATION[dtype],) * 2
    assert total.numpy().tolist() == [200] * 3


@pytest.mark.parametrize("compiler", COMPILERS)
def test_a_dtype_may_be_asked_for(compiler: str) -> None:
    x = np.int8([100, 100, 100])
    narrow, wide = run(lambda a: (px.sum(a, dtype=px.int8), px.sum(a, dtype="float64")), x, compiler=compiler)
    assert (narrow.dtype, int(narrow.numpy())) == (px.int8, 44)
    assert (wide.dtype, float(wide.numpy())) == (px.float64, 300)
    with pytest.raises(px.DTypeError, match="sum: the result cannot be bool"):
        px.sum(px.asarray([True]), dtype=bool)


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_narrow_floats_are_summed_in_float32(dtype: Any, compiler: str) -> None:
    # Added one by one in 16 bits the sum would stop growing at 2048 (float16) or 256 (bfloat16).
    assert float(run(px.sum, np.ones(4096, dtype), compiler=compiler).numpy()) == 4096


@pytest.mark.parametrize("compiler", COMPILERS)
def test_nan_propagates(compiler: str) -> None:
    x = np.float32([[1, np.nan, 3], [4, 5, -np.inf]])
    for function, reference in [(px.max, np.max), (px.min, np.min), (px.sum, np.sum), (px.prod, np.prod)]:
        found = run(lambda a, f=function: f(a, axis=1), x, compiler=compiler)
        np.testing.assert_array_equal(found.numpy(), reference(x, axis=1))


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("dtype", [np.float32, np.int8, np.uint16, ml_dtypes.bfloat16])
def test_first_extreme_wins(dtype: Any, compiler: str) -> None:
    x = np.array([[3, 1, 3, 1], [0, 0, 0, 0], [1, 2, 3, 3]]).astype(dtype)
    high, low = run(lambda a: (px.argmax(a, axis=1), px.argmin(a, axis=1)), x, compiler=compiler)
    assert high.dtype is px.int32
    assert high.numpy().tolist() == [0, 0, 2]
    assert low.numpy().tolist() == [1, 0, 0]


@pytest.mark.parametrize("compiler", COMPILERS)
def test_first_nan_is_the_extreme(compiler: str) -> None:
    x = np.float32([[1, np.nan, np.inf, np.nan], [-np.inf] * 4, [np.inf] * 4])
    for function, reference in [(px.argmax, np.argmax), (px.argmin, np.argmin)]:
        found = run(lambda a, f=function: f(a, axis=1), x, compiler=compiler)
        np.testing.assert_array_equal(found.numpy(), reference(x, axis=1))


@pytest.mark.parametrize("compiler", COMPILERS)
def test_index_over_several_axes_is_in_row_major_order(compiler: str) -> None:
    x = np.random.default_rng(0).standard_normal((3, 4, 5)).astype(np.float32)
    whole, pair, kept = run(
        lambda a: (px.argmax(a), px.argmax(a, axis=(0, 2), dtype="int64"), px.argmin(a, keepdims=True)), x,
        compiler=compiler)
    assert whole.numpy() == x.argmax()
    assert pair.dtype is px.int64
    np.testing.assert_array_equal(pair.numpy(), x.transpose(1, 0, 2).reshape(4, 15).argmax(1))
    assert kept.numpy().tolist() == [[[x.argmin()]]]


@pytest.mark.parametrize("compiler", COMPILERS)
def test_empty_axes(compiler: str) -> None:
    x = np.zeros((0, 2), np.float32)
    found = run(lambda a: (px.sum(a, axis=0), px.prod(a, axis=0), px.any(a, axis=0), px.all(a, axis=0),
                           px.sum(a, axis=1)), x, compiler=compiler)
    assert [t.numpy().tolist() for t in found] == [[0, 0], [1, 1], [False, False], [True, True], []]


@pytest.mark.parametrize("name", ["max", "min", "argmax", "argmin"])
def test_no_extreme_of_nothing(name: str) -> None:
    with pytest.raises(px.ShapeError, match=f"{name}: no value for an empty reduction, got f32\\[0,2\\]"):
        getattr(px, name)(px.zeros((0, 2)), axis=0)
    assert getattr(px, name)(px.zeros((0, 2)), axis=1).shape == (0,)


def test_no_axes_leave_the_elements_alone() -> None:
    x = px.asarray(np.int8([100, 3]))
    assert px.sum(x, axis=()).numpy().tolist() == [100, 3]
    assert px.sum(x, axis=()).dtype is px.int32
    assert px.max(x, axis=()).dtype is px.int8


def test_wrong_axes() -> None:
    x = px.zeros((2, 3))
    with pytest.raises(px.ShapeError, match="sum: axis 2 is out of range for a tensor of rank 2"):
        px.sum(x, axis=2)
    with pytest.raises(px.ShapeError, match="max: an axis appears twice"):
        px.max(x, axis=(0, -2))
    with pytest.raises(px.DTypeError, match="argmax: an index is an integer"):
        px.argmax(x, dtype="float32")


def test_methods() -> None:
    x = px.asarray([[1.0, 2.0], [3.0, 0.0]])
    assert x.sum().numpy() == 6
    assert x.max(axis=0).numpy().tolist() == [3, 2]
    assert x.argmin().numpy() == 3
    assert x.all().numpy() == np.False_
    assert px.count_nonzero(x, axis=1).numpy().tolist() == [2, 1]


def _slopes_of_product(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.array([np.prod(np.delete(x, i)) for i in range(x.size)])


@pytest.mark.parametrize("zeros", [(), (2,), (0, 3), (0, 1, 2, 3, 4)])
@pytest.mark.parametrize("size", [5, 6])
def test_gradient_of_prod_with_zeros(zeros: tuple[int, ...], size: int) -> None:
    x = np.arange(1.0, size + 1)
    x[list(zeros)] = 0
    np.testing.assert_allclose(px.grad(px.prod)(px.asarray(x)).numpy(), _slopes_of_product(x))


def test_gradient_of_prod_over_some_axes() -> None:
    x = np.random.default_rng(1).integers(0, 3, (2, 3, 4)).astype(np.float64)
    slopes = px.grad(lambda a: px.sum(px.prod(a, axis=(0, 2))))(px.asarray(x)).numpy()
    for row in range(3):
        np.testing.assert_allclose(slopes[:, row].ravel(), _slopes_of_product(x[:, row].ravel()))


def test_second_derivative_of_prod_with_zeros() -> None:
    x = np.float64([2.0, 0.0, 3.0, 0.0, 5.0])
    for i, j in itertools.permutations(range(5), 2):
        mixed = px.grad(lambda a, i=i, j=j: px.grad(px.prod)(a)[i])(px.asarray(x)).numpy()[j]
        assert mixed == np.prod(np.delete(x, [i, j]))


@pytest.mark.parametrize("function", [px.max, px.min])
def test_equal_extremes_share_the_gradient(function: Any) -> None:
    x = px.asarray([[2.0, 2.0, 2.0, 2.0], [1.0, 5.0, 5.0, 1.0]])
    slopes = px.grad(lambda a: px.sum(function(a, axis=1) * px.asarray([1.0, 10.0])))(x).numpy()
    assert slopes[0].tolist() == [0.25] * 4
    assert slopes[1].tolist() == ([0, 5, 5, 0] if function is px.max else [5, 0, 0, 5])


@pytest.mark.parametrize("compiler", COMPILERS)
def test_named_sizes(compiler: str) -> None:
    x = np.float32([[1, 2, 0], [4, 5, 6]])

    def everything(a: Any) -> Any:
        product = px.grad(lambda b: px.sum(px.prod(b, axis=0)))(a)
        return px.sum(a, axis=0), px.argmax(a), px.all(a, axis=1), product, px.max(a, axis=0, keepdims=True)

    compiled = px.compile(px.jit(everything, compiler=compiler), px.spec("f32[n,3]"))
    total, place, every, product, highest = (t.numpy().tolist() for t in compiled(px.asarray(x)))
    assert total == [5, 7, 6]
    assert place == 5
    assert every == [False, True]
    assert product == [[4, 5, 6], [1, 2, 0]]
    assert highest == [[4, 5, 6]]


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("shape", [(5, 0), (0, 0), (300, 0), (0, 3)])
def test_columns_of_no_elements_or_no_columns(shape: tuple[int, int], compiler: str) -> None:
    x = np.ones(shape, np.float32)
    np.testing.assert_array_equal(run(lambda a: px.sum(a, axis=0), x, compiler=compiler).numpy(), x.sum(axis=0))
