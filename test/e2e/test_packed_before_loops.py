"""Matrices of products inside of loops are packed once, before the loop: where, where not, and with the same results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import phalanx as px

PACKED = "the matrix of this product is packed once, before the loop"
FUNCTION = "panels of a matrix for the products of a loop"
LEFT = "the matrix of this product is not packed before the loop"


def numbers(*shape: int, dtype: str = "float32") -> np.ndarray[Any, Any]:
    values = np.random.default_rng(sum(shape)).standard_normal(shape)
    return (values * 8).astype(dtype) if dtype[0] == "i" else values.astype(dtype)


def report(compiled: Any) -> str:
    return str(compiled.explain())


def recurrent(xs: Any, weights: Any) -> Any:
    """A state that is multiplied in every step."""

    def step(state: Any, x: Any) -> tuple[Any, Any]:
        state = px.tanh((state + x) @ weights / 100)
        return state, state

    return px.scan(step, px.zeros(xs.shape[1:], dtype=xs.dtype), xs)


def plainly(xs: np.ndarray[Any, Any], weights: np.ndarray[Any, Any]) -> tuple[Any, Any]:
    state, states = np.zeros(xs.shape[1:]), []
    for x in xs:
        state = np.tanh((state + x) @ weights / 100)
        states.append(state)
    return state, np.array(states)


def forth_and_back(xs: Any, weights: Any) -> Any:
    """A state that is multiplied with a matrix, and what comes out with its transpose."""
    return px.scan(lambda c, x: (px.tanh(c @ weights + x) @ weights.T, c), px.zeros(xs.shape[1:]), xs)[0]


def check(found: Any, expected: Any, tolerance: float = 2e-5) -> None:
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(np.asarray(one), other, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rows", [2, 5, 16, 31])
@pytest.mark.parametrize("size", [128, 131])
def test_recurrent_products(dtype: str, rows: int, size: int) -> None:
    xs, weights = numbers(30, rows, size, dtype=dtype), numbers(size, size, dtype=dtype)
    compiled = px.compile(recurrent, xs, weights)
    assert PACKED in report(compiled)
    check(compiled(xs, weights), plainly(xs, weights))


@pytest.mark.parametrize("rows", [1, 3, 100])
@pytest.mark.parametrize("size", [64, 97])
def test_transposed_matrices(rows: int, size: int) -> None:
    xs, weights = numbers(5, rows, size), numbers(size, size)
    compiled = px.compile(lambda xs, weights: recurrent(xs, weights.T), xs, weights)
    assert (PACKED in report(compiled)) is (rows > 1)
    check(compiled(xs, weights), plainly(xs, weights.T))


@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_integers_are_exact(dtype: str) -> None:
    start, weights = numbers(3, 96, dtype=dtype), numbers(96, 96, dtype=dtype)
    compiled = px.compile(lambda s, w: px.fori_loop(0, 20, lambda i, s: s @ w.T + i, s), start, weights)
    expected = start
    for i in range(20):
        expected = (expected @ weights.T + i).astype(dtype)
    assert PACKED in report(compiled)
    np.testing.assert_array_equal(compiled(start, weights).numpy(), expected)


@pytest.mark.parametrize("isa", ["x86-64-v2", "x86-64-v3", "host"])
@pytest.mark.parametrize("columns", [33, 40, 70, 129])
def test_every_register_block_gives_the_bits_of_one_step(isa: str, columns: int) -> None:
    """Panels are the matrix in another order: a step in a loop and a step on its own round alike."""
    xs, weights = numbers(20, 6, columns), numbers(columns, columns)

    def step(x: Any, weights: Any) -> Any:
        return px.relu(x @ weights.T + 1)

    with px.options(isa=isa):
        loop = px.compile(lambda xs, w: px.scan(lambda c, x: (c, step(x, w)), np.float32(0), xs)[1], xs, weights)
        single = px.compile(step, xs[0], weights)
        assert PACKED in report(loop)
        found = loop(xs, weights).numpy()
        for row, x in zip(found, xs, strict=True):
            np.testing.assert_array_equal(row, single(x, weights).numpy())


def test_not_numbers_and_infinity() -> None:
    xs, weights = numbers(12, 4, 65), numbers(80, 65)
    weights[3, 4], weights[64, 0], weights[10, 64] = np.nan, np.inf, -np.inf
    xs[2, 1, 7], xs[3, 0] = np.nan, -0.0
    compiled = px.compile(lambda xs, w: px.scan(lambda c, x: (c, x @ w.T), np.float32(0), xs)[1], xs, weights)
    assert PACKED in report(compiled)
    with np.errstate(invalid="ignore"):
        expected = xs @ weights.T
    np.testing.assert_allclose(compiled(xs, weights).numpy(), expected, rtol=1e-4, atol=1e-4)


def test_loops_of_unknown_length_and_their_conditions() -> None:
    start, weights = numbers(4, 128), numbers(128, 128) / 12

    def run(start: Any, weights: Any, most: Any) -> Any:
        return px.while_loop(lambda s: (s[1] < most) & (px.sum(s[0] @ weights.T) < 1e30),
                             lambda s: (px.tanh(s[0] @ weights), s[1] + 1), (start, 0))

    compiled = px.compile(run, start, weights, np.int32(0))
    assert PACKED in report(compiled)
    for most in (0, 1, 7):
        expected = start
        for _ in range(most):
            expected = np.tanh(expected @ weights)
        found, count = compiled(start, weights, np.int32(most))
        assert int(count) == most
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4, atol=1e-4)


def test_loops_in_loops() -> None:
    """One matrix per layer is packed once in each trip of the outer loop, and one for all before it."""
    xs, layers, shared = numbers(25, 3, 72), numbers(4, 72, 72) / 8, numbers(72, 72) / 8

    def run(xs: Any, layers: Any, shared: Any) -> Any:
        def layer(h: Any, weights: Any) -> tuple[Any, Any]:
            def step(state: Any, x: Any) -> tuple[Any, Any]:
                state = px.tanh(state @ weights.T + x @ shared.T)
                return state, state

            return px.scan(step, px.zeros((3, 72)), h)[1], np.float32(0)

        return px.scan(layer, xs, layers)[0]

    compiled = px.compile(run, xs, layers, shared)
    assert report(compiled).count(FUNCTION) == 2
    expected = xs
    for weights in layers:
        state, states = np.zeros((3, 72), np.float32), []
        for x in expected:
            state = np.tanh(state @ weights.T + x @ shared.T)
            states.append(state)
        expected = np.array(states)
    np.testing.assert_allclose(compiled(xs, layers, shared).numpy(), expected, rtol=1e-4, atol=1e-4)


def test_two_products_of_one_matrix() -> None:
    xs, weights = numbers(20, 4, 128), numbers(128, 128) / 12
    both = px.compile(forth_and_back, xs, weights)
    assert report(both).count(FUNCTION) == 2
    expected = np.zeros((4, 128), np.float32)
    for x in xs:
        expected = np.tanh(expected @ weights + x) @ weights.T
    np.testing.assert_allclose(both(xs, weights).numpy(), expected, rtol=1e-4, atol=1e-4)


def test_matrices_made_before_the_loop() -> None:
    xs, weights = numbers(20, 4, 128), numbers(128, 128)
    compiled = px.compile(lambda xs, w: recurrent(xs, px.exp(-w * w)), xs, weights)
    assert PACKED in report(compiled)
    check(compiled(xs, weights), plainly(xs, np.exp(-weights * weights)))


def test_matrices_that_change_are_not_packed() -> None:
    xs, weights = numbers(20, 4, 128), numbers(128, 128) / 12
    compiled = px.compile(lambda xs, w: px.scan(lambda w, x: (w * 0.9, x @ w), w, xs)[1], xs, weights)
    assert PACKED not in report(compiled)
    expected = np.array([x @ (weights * np.float32(0.9) ** i) for i, x in enumerate(xs)])
    np.testing.assert_allclose(compiled(xs, weights).numpy(), expected, rtol=1e-4, atol=1e-4)


def test_products_of_a_branch_are_not_packed_for() -> None:
    xs, weights = numbers(20, 4, 128), numbers(128, 128)
    compiled = px.compile(lambda xs, w: px.scan(
        lambda c, x: (c, px.cond(px.sum(x) > 0, lambda: x @ w, lambda: x)), np.float32(0), xs)[1], xs, weights)
    assert PACKED not in report(compiled)
    expected = np.array([x @ weights if x.sum() > 0 else x for x in xs])
    np.testing.assert_allclose(compiled(xs, weights).numpy(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("trips", "rows"), [(0, 4), (1, 4), (2, 4), (20, 300), (20, 4)])
def test_it_has_to_pay(trips: int, rows: int) -> None:
    xs, weights = numbers(trips, rows, 128), numbers(128, 128)
    compiled = px.compile(recurrent, xs, weights)
    assert (PACKED in report(compiled)) is (trips == 20 and rows == 4)
    if (trips, rows) == (20, 300):
        assert f"{LEFT} of line 34: with 300 rows that saves next to nothing" in report(compiled)
    check(compiled(xs, weights), plainly(xs, weights) if trips else (np.zeros((rows, 128)), np.zeros((0, rows, 128))))


def test_named_sizes() -> None:
    """Any number of rows; a matrix of a named size stays where it is."""
    xs, weights = numbers(20, 7, 128), numbers(128, 128)
    rows = px.compile(recurrent, "f32[20,n,128]", weights)
    assert PACKED in report(rows)
    for count in (1, 7, 40):
        some = numbers(20, count, 128)
        check(rows(some, weights), plainly(some, weights))
    matrix = px.compile(recurrent, "f32[20,7,n]", "f32[n,n]")
    assert PACKED not in report(matrix)
    assert "of line 34: its size, or how it stands in memory, is not known" in report(matrix)
    check(matrix(xs, weights), plainly(xs, weights))


def test_captured_matrices_are_packed_ahead_of_the_call() -> None:
    weights, xs = px.asarray(numbers(128, 128)), numbers(20, 7, 128)
    compiled = px.compile(lambda xs: recurrent(xs, weights), xs)
    assert PACKED not in report(compiled)
    check(compiled(xs), plainly(xs, weights.numpy()))
    twice = px.compile(lambda xs: forth_and_back(xs, weights), xs)
    assert report(twice).count(FUNCTION) == 2


def test_gradients() -> None:
    xs, weights = numbers(9, 3, 64, dtype="float64"), numbers(64, 64, dtype="float64")

    def loss(weights: Any, xs: Any) -> Any:
        return px.sum(recurrent(xs, weights)[1] ** 2)

    compiled = px.compile(px.grad(loss), weights, xs)
    assert PACKED in report(compiled)
    found = compiled(weights, xs).numpy()
    direction, step = numbers(64, 64, dtype="float64") * 0.1, 1e-6
    sides = [float((plainly(xs, weights + sign * step * direction)[1] ** 2).sum()) for sign in (1, -1)]
    assert np.sum(found * direction) == pytest.approx((sides[0] - sides[1]) / (2 * step), rel=1e-6)


def test_any_number_of_threads_gives_the_same_bits() -> None:
    xs, weights = numbers(20, 16, 512), numbers(512, 512)
    compiled = px.compile(recurrent, xs, weights)
    results = []
    for threads in (1, 2, 3):
        with px.options(num_threads=threads):
            results.append(compiled(xs, weights)[1].numpy())
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])
    check(compiled(xs, weights), plainly(xs, weights), 2e-4)


def test_exported(tmp_path: Path) -> None:
    xs, weights = numbers(20, 6, 100), numbers(100, 100)
    path = tmp_path / "recurrent.so"
    px.export(px.jit(recurrent), path, xs, weights)
    check(px.load(path)(xs, weights), plainly(xs, weights))


def test_profile_and_text() -> None:
    xs, weights = numbers(20, 4, 128), numbers(128, 128)
    compiled = px.compile(recurrent, xs, weights)
    shown = report(compiled)
    assert FUNCTION in shown
    assert "the right one before the loop" in shown
    assert "pack_L" in str(px.profile(px.jit(recurrent), xs, weights, seconds=0.01))
