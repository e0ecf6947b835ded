"""Values that are inserted into an array and read as well, in other shapes than they were inserted in."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from agreement import check

import phalanx as px

Array = np.ndarray[Any, Any]


def flat(x: Any, u: Any) -> Any:
    """The value in one dimension, the array it went into likewise."""
    value = u * 2.0 + 1.0
    whole = x.at[:, 1:3].set(value)
    return whole, px.reshape(value, (-1,)) + px.reshape(whole, (-1,))[:2 * x.shape[0]]


def flat_reference(x: Array, u: Array) -> tuple[Array, Array]:
    value, whole = u * 2.0 + 1.0, x.copy()
    whole[:, 1:3] = value
    return whole, value.reshape(-1) + whole.reshape(-1)[:2 * x.shape[0]]


@pytest.mark.parametrize(("rows", "columns"), [(4, 4), (1, 4), (5, 3), (7, 19)])
def test_read_flat(rows: int, columns: int) -> None:
    x, u = np.arange(float(rows * columns)).reshape(rows, columns), np.arange(2.0 * rows).reshape(rows, 2)
    check(flat, (x, u), flat_reference(x, u), 0)


def test_read_flat_in_a_loop() -> None:
    def loop(x: Any, sums: Any) -> Any:
        def step(_: Any, state: tuple[Any, Any]) -> tuple[Any, Any]:
            x, sums = state
            value = px.reshape(sums, (4, 2)) + x[:, 1:3]
            x = x.at[:, 1:3].set(value)
            return x, sums + px.sum(px.reshape(value, (8,)) * px.reshape(x, (16,))[:8])

        return px.fori_loop(0, 2, step, (x, sums))

    x, sums = np.arange(16.0).reshape(4, 4), np.arange(8.0)
    expected, total = x.copy(), sums.copy()
    for _ in range(2):
        value = total.reshape(4, 2) + expected[:, 1:3]
        expected[:, 1:3] = value
        total = total + np.sum(value.reshape(8) * expected.reshape(16)[:8])
    check(loop, (x, sums), (expected, total), 0)


@pytest.mark.parametrize("count", [2, 4, 6])
def test_some_of_each_row(count: int) -> None:
    """Loops that stay inside a row of the value, and such that go on in the next."""

    def program(x: Any, u: Any) -> Any:
        value = u - 0.5
        whole = x.at[1:, :4].set(value)
        return whole, px.reshape(value, (-1, count))[:2] + px.reshape(whole[:4], (-1, count))[:2]

    x, u = np.arange(35.0).reshape(5, 7)[:, :6].copy(), np.arange(16.0).reshape(4, 4)
    value, whole = u - 0.5, x.copy()
    whole[1:, :4] = value
    if count == 6:
        u = np.arange(16.0).reshape(4, 4)[:3]
        value, whole, x = u - 0.5, x.copy()[:4], x[:4]
        whole[1:, :4] = value
    expected = value.reshape(-1, count)[:2] + whole[:4].reshape(-1, count)[:2]
    check(program, (x, u), (whole, expected), 0)
