"""The start of a carried tensor that a loop writes over whole is not made; any other one is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import phalanx as px


def _fills(function: Callable[..., Any], *arguments: Any) -> int:
    """Clusters that write a tensor of the stacked shape before the loop."""
    compiled = px.defn(function).compile(*map(px.asarray, arguments))
    text = compiled.text("clusters")
    return text[: text.index("scf.for")].count("call @")


def _stack(steps: int) -> Callable[..., Any]:
    return lambda xs: px.scan(lambda c, x: (c + x, (c * x, x + 1)), px.zeros((16,)), xs[:steps])


@pytest.mark.parametrize("steps", [2, 3, 9])
def test_rows_of_a_scan(steps: int) -> None:
    x = np.random.default_rng(0).random((9, 16), np.float32)
    total, (products, following) = px.defn(_stack(steps))(x)
    sums = np.concatenate([np.zeros((1, 16), np.float32), np.cumsum(x[:steps], 0, dtype=np.float32)])
    np.testing.assert_array_equal(total.numpy(), sums[-1])
    np.testing.assert_array_equal(products.numpy(), sums[:-1] * x[:steps])
    np.testing.assert_array_equal(following.numpy(), x[:steps] + 1)
    assert _fills(_stack(steps), x) <= 1  # the zeros of the sum


@pytest.mark.parametrize(("low", "high"), [(0, 5), (1, 6), (2, 4), (0, 0), (0, 1)])
def test_rows_left_alone_keep_their_start(low: int, high: int) -> None:
    x = np.random.default_rng(1).random((6, 16), np.float32)

    def run_at(x: Any) -> Any:
        step = lambda i, ys: px.dynamic_update_slice(ys, px.dynamic_slice(x, [i, 0], (1, 16)) * 2, [i, 0])
        return px.fori_loop(low, high, step, px.ones((6, 16)))

    want = np.ones((6, 16), np.float32)
    want[low:high] = x[low:high] * 2
    np.testing.assert_array_equal(px.defn(run_at)(x).numpy(), want)


def test_rows_written_twice_and_rows_read() -> None:
    x = np.random.default_rng(2).random((6, 16), np.float32)

    def halves(x: Any) -> Any:
        step = lambda i, ys: px.dynamic_update_slice(ys, px.dynamic_slice(x, [i, 0], (1, 16)), [i // 2, 0])
        return px.fori_loop(0, 6, step, px.ones((6, 16)))

    def previous(x: Any) -> Any:
        step = lambda i, ys: px.dynamic_update_slice(
            ys, px.dynamic_slice(ys, [i - 1, 0], (1, 16)) + px.dynamic_slice(x, [i, 0], (1, 16)), [i, 0])
        return px.fori_loop(0, 6, step, px.ones((6, 16)))

    want = np.ones((6, 16), np.float32)
    want[:3] = x[1::2]
    np.testing.assert_array_equal(px.defn(halves)(x).numpy(), want)
    want = np.ones((6, 16), np.float32)
    for i in range(6):
        want[i] = want[max(i - 1, 0)] + x[i]
    np.testing.assert_array_equal(px.defn(previous)(x).numpy(), want)


def test_backwards() -> None:
    x = np.random.default_rng(3).random((7, 16), np.float32)
    got = px.defn(lambda xs: px.scan(lambda c, x: (c + x, c + x), px.zeros((16,)), xs, reverse=True)[1])(x)
    np.testing.assert_array_equal(got.numpy(), np.cumsum(x[::-1], 0, dtype=np.float32)[::-1])
