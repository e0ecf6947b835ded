"""Products: every rank pairing of matmul, einsum forms, accumulation, wrapping, errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import phalanx as px


@pytest.fixture(autouse=True)
def evaluator() -> Any:
    with px.use_backend("numpy"), px.options(compiler="evaluator"):
        yield


def draw(*shape: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(len(shape)).standard_normal(shape)


@pytest.mark.parametrize(("left", "right"), [
    ((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 4)), ((2, 3), (3, 4)), ((5, 2, 3), (5, 3, 4)), ((2, 3), (5, 3, 4)),
    ((5, 2, 3), (3, 4)), ((5, 2, 3), (3,)), ((3,), (5, 3, 4)), ((6, 1, 2, 3), (5, 3, 4)), ((1, 2, 3), (5, 3, 4)),
    ((5, 2, 1), (5, 1, 4)), ((5, 1, 1, 2, 3), (5, 6, 1, 3, 2)), ((0, 3), (3, 2)), ((2, 0), (0, 2))])
def test_matmul(left: tuple[int, ...], right: tuple[int, ...]) -> None:
    x, y = draw(*left), draw(*right)
    found = (px.asarray(x) @ y).numpy()
    assert found.shape == (x @ y).shape
    np.testing.assert_allclose(found, x @ y, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("subscripts", "shapes"), [
    ("ij,jk->ik", [(2, 3), (3, 4)]), ("ii->i", [(3, 3)]), ("ii", [(3, 3)]), ("ba", [(2, 3)]), ("iii->i", [(3, 3, 3)]),
    ("ij->", [(2, 3)]), ("i,j->ji", [(3,), (2,)]), ("...ij,...jk->...ik", [(5, 2, 3), (3, 4)]),
    ("...ij,...jk", [(5, 2, 3), (6, 1, 3, 4)]), ("i...->...", [(2, 3, 4)]), ("iij,jk->ik", [(3, 3, 2), (2, 4)]),
    ("bij,bjk,kl->bil", [(2, 3, 4), (2, 4, 5), (5, 2)]), ("ij,ij->ij", [(1, 3), (2, 1)]), (",ij->ij", [(), (2, 3)]),
    ("ijk,ilm,njm,nlk,abc->", [(2, 3, 4), (2, 5, 3), (6, 3, 3), (6, 5, 4), (2, 2, 2)]),
    ("ij,kj->ik", [(0, 3), (2, 3)]), ("ab,bc,cd,de->ae", [(2, 3), (3, 4), (4, 5), (5, 6)])])
def test_einsum(subscripts: str, shapes: list[tuple[int, ...]]) -> None:
    operands = [draw(*s) for s in shapes]
    expected = np.einsum(subscripts, *operands)
    found = px.jit(lambda *xs: px.einsum(subscripts, *xs))(*operands).numpy()
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


def test_a_diagonal_of_a_named_size() -> None:
    x = draw(3, 3)
    traced = px.compile(lambda x: px.einsum("ii->i", x @ x.T), px.spec("f64[n,3]"))
    np.testing.assert_allclose(traced(x).numpy(), np.diag(x @ x.T), rtol=1e-12)


def test_the_other_products() -> None:
    x, y = draw(2, 3, 4), draw(4, 3, 5)
    np.testing.assert_allclose(px.tensordot(x, y, axes=((1, 2), (1, 0))).numpy(), np.tensordot(x, y, ((1, 2), (1, 0))))
    np.testing.assert_allclose(px.vecdot(x, draw(3, 4)).numpy(), np.vecdot(x, draw(3, 4)))
    np.testing.assert_allclose(px.inner(x, draw(5, 4)).numpy(), np.inner(x, draw(5, 4)))
    np.testing.assert_allclose(px.outer(x, draw(3)).numpy(), np.outer(x, draw(3)))
    np.testing.assert_allclose(px.dot(x, draw(4, 5)).numpy(), np.dot(x, draw(4, 5)))


def test_halves_are_summed_in_float32_and_rounded_once() -> None:
    ones = np.ones(4096, np.float16)
    assert float(px.dot(ones, ones)) == 4096  # a float16 running sum stops at 2048
    with px.options(compiler="mlir"), px.use_backend("cpu"):
        assert float(px.dot(ones, ones)) == 4096


def test_integers_wrap() -> None:
    assert int(px.dot(np.full(2, 100, np.int8), np.full(2, 1, np.int8))) == -56


@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda: px.matmul(draw(2, 3), draw(4, 2)), px.ShapeError, r"inner sizes differ, got f64\[2,3\] and f64\[4,2\]"),
    (lambda: px.matmul(draw(2, 3), 2.0), px.ShapeError, r"matmul: needs at least one axis on each side"),
    (lambda: px.dot_general(draw(2), draw(2), contract=((0,), ())), px.ArgumentError, r"of equal length"),
    (lambda: px.dot_general(draw(2, 2), draw(2), contract=((0, 0), (0, 0))), px.ShapeError, r"an axis is used twice"),
    (lambda: px.einsum("ij,jk", draw(2, 3)), px.ArgumentError, r"names 2 operands, got 1"),
    (lambda: px.einsum("ij->ik", draw(2, 3)), px.ArgumentError, r"must have letters of the operands, each once"),
    (lambda: px.einsum("ij,ij", draw(2, 3), draw(4, 3)), px.ShapeError, r"'i' in 'ij,ij' has sizes 2 and 4"),
    (lambda: px.einsum("i", draw(2, 3)), px.ArgumentError, r"names 1 axes of a tensor of rank 2"),
    (lambda: px.einsum("i1", draw(2, 3)), px.ArgumentError, r"cannot read 'i1'"),
    (lambda: px.tensordot(draw(2), draw(2), axes=2), px.ShapeError, r"cannot sum over 2 axes"),
])
def test_errors(call: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_gradients_of_a_batched_product() -> None:
    x, y = draw(5, 2, 3), draw(3, 4)
    dx, dy = px.grad(lambda x, y: px.sum((x @ y) ** 2.0), argnums=(0, 1))(x, y)
    product = 2 * (x @ y)
    np.testing.assert_allclose(dx.numpy(), product @ y.T, rtol=1e-12)
    np.testing.assert_allclose(dy.numpy(), np.einsum("bij,bik->jk", x, product), rtol=1e-12)
