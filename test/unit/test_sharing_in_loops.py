"""Clusters that a loop calls again and again are shared among threads for less work than those that run once."""

from __future__ import annotations

import numpy as np
import pytest

import phalanx as px

SIZE = 1 << 16


def cell(x):
    return px.tanh(px.sin(x)) * 1.1


def cheap(x):
    return x * 1.5 + 0.5


def report(function, *specs):
    return str(px.compile(function, *specs).explain())


def test_work_of_a_loop_is_shared_earlier():
    with px.options(isa="x86-64-v3"):
        once = report(cell, f"f32[{SIZE // 2}]")
        often = report(lambda x: px.fori_loop(0, 9, lambda i, s: cell(s), x), f"f32[{SIZE // 2}]")
        idle = report(lambda x: px.fori_loop(0, 9, lambda i, s: cheap(s), x), f"f32[{SIZE // 4}]")
    assert "shared among threads" not in once
    assert "shared among threads" in often
    assert "shared among threads" not in idle


def wrapped(x):
    """Neighbours round the edges: the columns at the edges are a cluster of their own."""
    return x + 0.1 * (px.roll(x, 1, axis=0) + px.roll(x, -1, axis=0) + px.roll(x, 1, axis=1) + px.roll(x, -1, axis=1))


def narrow(x):
    return x.at[:, :1].add(1.0)


def test_columns_beside_shared_work_are_shared_too():
    with px.options(isa="x86-64-v3"):
        beside = report(lambda x: px.fori_loop(0, 9, lambda i, s: wrapped(s), x), "f32[260, 260]")
        alone = report(lambda x: px.fori_loop(0, 9, lambda i, s: narrow(s), x), "f32[260, 260]")
    assert beside.count("one loop nest over 258;") == beside.count("one loop nest over 258; shared among threads") == 1
    assert "shared among threads" not in alone


@pytest.mark.parametrize("shape", [(260, 260), (300, 131), (40, 700)])
def test_shared_columns_change_nothing(shape):
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    found = []
    for threads in (1, 2, 3):
        with px.options(num_threads=threads):
            found.append(np.asarray(px.jit(lambda x: px.fori_loop(0, 6, lambda i, s: wrapped(s), x))(x)))
    expected = x
    for _ in range(6):
        expected = expected + np.float32(0.1) * (
            np.roll(expected, 1, 0) + np.roll(expected, -1, 0) + np.roll(expected, 1, 1) + np.roll(expected, -1, 1))
    np.testing.assert_allclose(found[0], expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


@pytest.mark.parametrize("spec", [f"f32[{SIZE}]", "f32[n]"])
def test_threads_change_nothing(spec):
    def run(x):
        return px.fori_loop(0, 5, lambda i, s: cell(s) + px.sum(s) * 1e-6, x)

    x = np.linspace(-2, 2, SIZE, dtype=np.float32)
    found = []
    for threads in (1, 2, 3):
        with px.options(num_threads=threads):
            found.append(np.asarray(px.compile(run, spec)(x)))
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])
