"""Branches that only choose between arrays of named sizes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import phalanx as px


@pytest.mark.parametrize("shape", [(2, 3), (0, 4), (1, 1), (33, 17)])
@pytest.mark.parametrize("which", [0, 2])
def test_one_of_two(shape: tuple[int, int], which: int) -> None:
    def choose(x: Any, y: Any, which: Any) -> Any:
        one, other = px.cond(px.greater(which, 1), lambda: (x, y), lambda: (y, x))
        return px.cond(px.greater(which, 1), lambda: y, lambda: x), one - 2.0 * other

    x, y = np.random.default_rng(1).standard_normal((2, *shape))
    found = px.compile(choose, "f64[n, m]", "f64[n, m]", "i32[]")(x, y, np.int32(which))
    np.testing.assert_array_equal(found[0].numpy(), y if which > 1 else x)
    np.testing.assert_array_equal(found[1].numpy(), x - 2.0 * y if which > 1 else y - 2.0 * x)


@pytest.mark.parametrize("first", [-1, 0, 1, 7])
def test_in_a_loop(first: int) -> None:
    def loop(x: Any, y: Any, first: Any) -> Any:
        return px.fori_loop(0, 3, lambda i, s: px.cond(px.greater(i, first), lambda: y, lambda: s * 2.0), x)

    x, y = np.random.default_rng(2).standard_normal((2, 5, 3))
    expected = x
    for i in range(3):
        expected = y if i > first else expected * 2.0
    found = px.compile(loop, "f64[n, m]", "f64[n, m]", "i32[]")(x, y, np.int32(first))
    np.testing.assert_array_equal(found.numpy(), expected)


def test_gradients() -> None:
    def total(x: Any, y: Any, which: Any) -> Any:
        return px.sum(px.cond(px.greater(which, 1), lambda: y, lambda: x) * x)

    x, y = np.random.default_rng(3).standard_normal((2, 4, 6))
    compiled = px.compile(px.grad(total), "f64[n, m]", "f64[n, m]", "i32[]")
    np.testing.assert_array_equal(compiled(x, y, np.int32(2)).numpy(), y)
    np.testing.assert_array_equal(compiled(x, y, np.int32(1)).numpy(), 2.0 * x)
