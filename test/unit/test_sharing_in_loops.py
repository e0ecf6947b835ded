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
        idle = report(lambda x: px.fori_loop(0, 9, lambda i, s: cheap(s), x), f"f32[{SIZE // 2}]")
    assert "shared among threads" not in once
    assert "shared among threads" in often
    assert "shared among threads" not in idle


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
