"""Loops whose condition looks at whole arrays: computed with the next state, for every kind of state and of end."""

from __future__ import annotations

import numpy as np
import pytest

import phalanx as px


def halvings(x):
    """Halves until no element is above 1; how often, and what is left."""
    return px.while_loop(lambda s: px.any(s[1] > 1.0), lambda s: (s[0] + 1, s[1] / 2), (0, x))


@pytest.mark.parametrize("shape", [(), (1,), (7,), (0,), (3, 5), (300, 400)])
@pytest.mark.parametrize("threads", [1, 2])
def test_trips_and_state(shape, threads):
    rng = np.random.default_rng(3)
    x = rng.uniform(0, 40, shape).astype(np.float32)
    count, wanted = 0, x.copy()
    while (wanted > 1).any():
        count, wanted = count + 1, wanted / 2
    with px.options(num_threads=threads):
        trips, left = px.jit(halvings)(x)
    assert int(trips) == count
    np.testing.assert_array_equal(np.asarray(left), wanted)


def test_a_condition_false_at_once_leaves_the_start():
    x = np.array([0.5, -3.0], np.float32)
    trips, left = px.jit(halvings)(x)
    assert int(trips) == 0
    np.testing.assert_array_equal(np.asarray(left), x)


def test_nan_ends_a_comparison():
    trips, left = px.jit(halvings)(np.array([np.nan, -0.0], np.float32))
    assert int(trips) == 0
    assert np.isnan(np.asarray(left)[0]) and np.signbit(np.asarray(left)[1])


def test_named_sizes():
    compiled = px.compile(halvings, "f32[n]")
    for size in (1, 5, 100_000):
        x = np.linspace(32, 30, size, dtype=np.float32)
        trips, left = compiled(x)
        assert int(trips) == 5
        np.testing.assert_array_equal(np.asarray(left), x / 32)


def test_a_condition_on_two_arrays_and_a_counter():
    def run(x, y):
        def going(state):
            step, a, b = state
            return (step < 50) & (px.all(a < 100) | px.any(b < 0))

        return px.while_loop(going, lambda s: (s[0] + 1, s[1] * s[2], s[2] + 1), (0, x, y))

    x, y = np.ones(1000, np.float64), np.linspace(-3, 1, 1000)
    step, a, b = 0, x, y
    while step < 50 and ((a < 100).all() or (b < 0).any()):
        step, a, b = step + 1, a * b, b + 1
    found = px.jit(run)(x, y)
    assert int(found[0]) == step
    np.testing.assert_array_equal(np.asarray(found[1]), a)
    np.testing.assert_array_equal(np.asarray(found[2]), b)


def test_a_loop_in_a_loop():
    def run(x):
        def inner(a):
            return px.while_loop(lambda b: px.max(b) > 4.0, lambda b: b - 1.0, a)

        return px.while_loop(lambda a: px.sum(a) > 2.0, lambda a: inner(a) * 0.5, x)

    x = np.array([9.0, 3.0], np.float32)
    wanted = x.copy()
    while wanted.sum() > 2:
        while wanted.max() > 4:
            wanted = wanted - 1
        wanted = wanted * np.float32(0.5)
    np.testing.assert_array_equal(np.asarray(px.jit(run)(x)), wanted)


def test_a_host_call_in_the_condition_comes_as_often_and_in_order():
    seen = []

    def going(a):
        px.io_call(px.sum(a), lambda v: seen.append(float(v)))
        return px.sum(a) > 2.0

    px.jit(lambda x: px.while_loop(going, lambda a: a * 0.5, x))(np.array([5.0, 3.0], np.float32))
    assert seen == [8.0, 4.0, 2.0]


@pytest.mark.parametrize("threads", [1, 2])
def test_one_walk_for_state_and_condition(threads):
    """The update in place and the condition are one loop nest."""
    def run(x):
        return px.while_loop(lambda s: (s[0] < 9) & px.any(s[1] < 50.0), lambda s: (s[0] + 1, s[1] * 1.5), (0, x))[1]

    text = px.compile(run, "f32[600,500]").text("clusters")
    body = text[text.index("scf.while"):text.index("scf.yield")]
    assert body.count("func.call") == 1
    x = np.random.default_rng(0).uniform(1, 40, (600, 500)).astype(np.float32)
    wanted = x
    for _ in range(9):
        if not (wanted < 50).any():
            break
        wanted = wanted * np.float32(1.5)
    with px.options(num_threads=threads):
        np.testing.assert_array_equal(np.asarray(px.jit(run)(x)), wanted)
