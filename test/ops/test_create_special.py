"""Fills, counting, ranges, triangles and diagonals, with fixed and with named sizes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import phalanx as px
from phalanx.dialects.px.create import constant

COMPILERS = ["evaluator", "mlir"]


def run(function: Any, compiler: str) -> np.ndarray[Any, Any]:
    found: np.ndarray[Any, Any] = px.jit(function, compiler=compiler)().numpy()
    return found


def test_dtypes() -> None:
    assert px.full(2, 1).dtype is px.int32
    assert px.full(2, 1.0).dtype is px.float32
    assert px.full(2, True).dtype is px.bool
    assert px.full(2, 1, dtype="float16").dtype is px.float16
    assert px.full(2, px.asarray(np.uint8(3))).dtype is px.uint8
    assert px.zeros(2).dtype is px.float32
    assert px.ones_like(px.asarray(np.int8([1]))).dtype is px.int8
    assert px.full_like(px.asarray([1, 2]), 0.5, dtype="float64").dtype is px.float64


def test_values_that_do_not_fit() -> None:
    with pytest.raises(px.DTypeError, match="full: the value does not fit int8, got 300"):
        px.full(2, 300, dtype="int8")
    with pytest.raises(px.ShapeError, match="full: the value is a scalar"):
        px.full(2, px.asarray([1.0, 2.0]))
    with pytest.raises(px.ShapeError, match="a size cannot be negative"):
        px.zeros(-1)
    with pytest.raises(px.DTypeError, match="iota: cannot count in bool"):
        px.iota(3, dtype="bool")


@pytest.mark.parametrize("compiler", COMPILERS)
def test_constants_keep_every_bit(compiler: str) -> None:
    for values in (np.float32([0.0, -0.0, np.nan, 1e-45]), np.uint8([255, 0, 128]), np.array([True, False, True]),
                   np.int64([-(2**63), 2**63 - 1]), np.float16([[1.5, 2.5]]), np.full((2, 2), -0.0)):
        found = run(lambda v=values: px.reshape(constant(value=v), (-1, 1)), compiler)
        assert found.tobytes() == values.tobytes()


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize(("shape", "axis"), [((), None), ((5,), None), ((2, 3), None), ((2, 3), 0), ((2, 3), -1),
                                             ((0, 3), None), ((2, 0), 0)])
@pytest.mark.parametrize("dtype", ["int32", "uint8", "float16", "float64"])
def test_iota(shape: Any, axis: Any, dtype: str, compiler: str) -> None:
    found = run(lambda: px.iota(shape, axis=axis, dtype=dtype), compiler)
    expected = np.arange(np.prod(shape)).reshape(shape) if axis is None else np.indices(shape)[axis]
    assert found.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("arguments", [(5,), (0,), (-3,), (2, 10, 3), (10, 2, -3), (0, 1, 0.25), (1.0, 0.0, -0.3), (3.5,),
                                       (5, 5), (-2, 3)])
def test_arange(arguments: Any) -> None:
    found, expected = px.arange(*arguments), np.arange(*arguments)
    assert found.dtype is (px.float32 if expected.dtype.kind == "f" else px.int32)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6)


def test_arange_into_another_dtype() -> None:
    np.testing.assert_array_equal(px.arange(0, 3, 0.5, dtype="int32").numpy(), [0, 0, 1, 1, 2, 2])
    np.testing.assert_array_equal(px.arange(2047, 2052, dtype="float16").numpy(), np.arange(2047, 2052).astype(np.float16))
    with pytest.raises(px.ArgumentError, match="arange: the step cannot be 0"):
        px.arange(0, 1, 0)
    with pytest.raises(px.ArgumentError, match="arange: bounds are Python numbers or sizes"):
        px.arange(px.asarray(3))


@pytest.mark.parametrize("count", [0, 1, 2, 5, 50])
@pytest.mark.parametrize("endpoint", [True, False])
def test_linspace(count: int, endpoint: bool) -> None:
    found = px.linspace(-1.5, 4.7, count, endpoint=endpoint)
    np.testing.assert_allclose(found.numpy(), np.linspace(-1.5, 4.7, count, endpoint=endpoint), rtol=1e-6, atol=1e-6)
    if endpoint and count > 1:
        assert found.numpy()[-1] == np.float32(4.7)


def test_linspace_has_a_gradient() -> None:
    by_start, by_stop = px.grad(lambda a, b: px.sum(px.linspace(a, b, 5)), argnums=(0, 1))(0.0, 1.0)
    np.testing.assert_allclose([by_start.numpy(), by_stop.numpy()], [2.5, 2.5])


@pytest.mark.parametrize("k", [-4, -1, 0, 1, 5])
def test_triangles_and_diagonals(k: int) -> None:
    x = np.arange(1.0, 13.0).reshape(3, 4)
    tensor = px.asarray(x)
    np.testing.assert_array_equal(px.eye(3, 4, k=k).numpy(), np.eye(3, 4, k))
    np.testing.assert_array_equal(px.tri(3, 4, k=k).numpy(), np.tri(3, 4, k))
    np.testing.assert_array_equal(px.tril(tensor, k=k).numpy(), np.tril(x, k))
    np.testing.assert_array_equal(px.triu(tensor, k=k).numpy(), np.triu(x, k))
    np.testing.assert_array_equal(px.diag(tensor, k=k).numpy(), np.diag(x, k))
    np.testing.assert_array_equal(px.diag(tensor[0], k=k).numpy(), np.diag(x[0], k))
    stacked = px.take_diagonal(px.asarray(np.stack([x, -x])), offset=k)
    np.testing.assert_array_equal(stacked.numpy(), np.stack([np.diag(x, k), -np.diag(x, k)]))


def test_triangles_drop_nan() -> None:
    x = px.asarray(np.float32([[1, np.nan], [2, 3]]))
    assert px.tril(x).numpy().tolist() == [[1, 0], [2, 3]]
    assert px.tril(px.asarray([[True, True], [True, True]])).dtype is px.bool
    with pytest.raises(px.ShapeError, match=r"tril: needs at least two axes, got f32\[2\]"):
        px.tril(px.asarray([1.0, 2.0]))


def test_gradient_of_a_fill_is_the_sum() -> None:
    assert px.grad(lambda v: px.sum(px.full((2, 3), v) * 2))(px.asarray(1.0)).numpy() == 12


def test_fill_under_vmap() -> None:
    found = px.vmap(lambda v: px.full((2,), v))(px.asarray([1.0, 2.0, 3.0]))
    assert found.numpy().tolist() == [[1, 1], [2, 2], [3, 3]]


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("rows", [0, 1, 4])
def test_named_sizes(rows: int, compiler: str) -> None:
    def everything(x: Any) -> Any:
        n = x.shape[0]
        return (px.dim_size(2 * n + 1), px.arange(n), px.arange(1, n + 1, 2), px.linspace(0, 1, n), px.eye(n),
                px.tril(x, k=-1), px.iota(x.shape), px.full(n, 7), px.make_diagonal(x[:, 0]))

    compiled = px.compile(px.jit(everything, compiler=compiler), px.spec("f32[n,3]"))
    x = np.arange(3.0 * rows, dtype=np.float32).reshape(rows, 3)
    expected = (2 * rows + 1, np.arange(rows), np.arange(1, rows + 1, 2), np.linspace(0, 1, rows), np.eye(rows),
                np.tril(x, -1), np.arange(3 * rows).reshape(rows, 3), np.full(rows, 7), np.diag(x[:, 0]))
    for found, wanted in zip(compiled(px.asarray(x)), expected, strict=True):
        np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-6)
