"""Operands walked with a stride again and again are copied together before the nest that reads them."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import phalanx as px
from phalanx.compiler.clusters import dense
from phalanx.compiler.clusters.order import Order

REMARK = "copied together first"


def pairs(points: Any) -> Any:
    """Sums over all pairs of a function of the columns."""
    x, y = points[:, 0], points[:, 1]
    return px.sum((x[None, :] - x[:, None]) * y[None, :] + y[:, None], axis=1)


def pairs_by_numpy(p: np.ndarray) -> np.ndarray:
    x, y = p[:, 0].astype(np.float64), p[:, 1].astype(np.float64)
    return ((x[None, :] - x[:, None]) * y[None, :] + y[:, None]).sum(axis=1)


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Copies also for nests too small to be worth one."""
    monkeypatch.setattr(dense, "LEAST_POINTS", 1)
    monkeypatch.setattr(dense, "LEAST_REUSE", 2)


def data(*shape: int) -> np.ndarray:
    return np.random.default_rng(3).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("count", [1, 2, 7, 256])
def test_columns_of_pairs(count: int, eager: None) -> None:
    points = data(count, 3)
    with px.options(disk_cache=False):
        np.testing.assert_allclose(px.jit(pairs)(points), pairs_by_numpy(points), rtol=1e-4, atol=1e-3)


def test_only_what_is_read_often_is_copied() -> None:
    large, small = px.compile(pairs, px.spec("f32[256,3]")), px.compile(pairs, px.spec("f32[20,3]"))
    assert REMARK in str(large.explain())
    assert REMARK not in str(small.explain())
    assert REMARK not in str(px.compile(lambda x: x[:, 0] * 2.0, px.spec("f32[100000,3]")).explain())
    assert REMARK not in str(px.compile(pairs, px.spec("f32[n,3]")).explain())


def test_columns_of_a_state_that_a_loop_replaces(eager: None) -> None:
    def run(points: Any) -> Any:
        return px.fori_loop(0, 3, lambda _, p: p * 0.5 + px.reshape(pairs(p), (-1, 1)) * 0.01, points)

    points = data(9, 2)
    expected = points.astype(np.float64)
    for _ in range(3):
        expected = expected * 0.5 + pairs_by_numpy(expected)[:, None] * 0.01
    with px.options(disk_cache=False):
        np.testing.assert_allclose(px.jit(run)(points), expected, rtol=1e-4, atol=1e-4)


def test_steps_are_inserted_before_others() -> None:
    order = Order()
    first, second, third = order.append(), order.append(), order.append()
    assert order.edge(first, second)
    new = order.insert(second)
    assert new is not None
    assert order.edge(first, new)
    sequence = order.sequence()
    assert sequence.index(first) < sequence.index(new) < sequence.index(second)
    assert sorted(sequence) == [first, second, third, new]


def test_a_search_that_is_too_wide_leaves_the_order_alone() -> None:
    order = Order(window=2)
    steps = [order.append() for _ in range(6)]
    for before, after in pairwise(steps):
        assert order.edge(before, after)
    assert order.insert(steps[0]) is None
    assert order.sequence() == steps
