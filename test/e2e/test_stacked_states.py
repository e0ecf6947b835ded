"""A scan that gives its state out as well: what makes the state writes both, and nothing is copied in a trip."""

from __future__ import annotations

import numpy as np
import pytest

import phalanx as px


def walk(x, reverse=False):
    def step(state, row):
        following = px.tanh(state * 0.5 + row)
        return following, following

    return px.scan(step, px.zeros_like(x[0]), x, reverse=reverse)


def wanted(x, reverse=False):
    state, found = np.zeros_like(x[0]), np.empty_like(x)
    for n in reversed(range(len(x))) if reverse else range(len(x)):
        state = found[n] = np.tanh(state * x.dtype.type(0.5) + x[n])
    return state, found


@pytest.mark.parametrize("shape", [(5,), (4, 1), (4, 7), (6, 1, 3), (6, 3, 1), (3, 1, 1), (2, 5, 4), (3, 0), (1, 9)])
@pytest.mark.parametrize("reverse", [False, True])
def test_state_and_stack(shape, reverse):
    x = np.random.default_rng(1).standard_normal(shape)
    last, stack = px.jit(lambda v: walk(v, reverse))(x)
    expected = wanted(x, reverse)
    np.testing.assert_allclose(np.asarray(last), expected[0], rtol=1e-12)
    np.testing.assert_allclose(np.asarray(stack), expected[1], rtol=1e-12)


def test_named_sizes():
    compiled = px.compile(walk, "f64[steps, n]")
    for shape in ((3, 1), (1, 5), (4, 6)):
        x = np.random.default_rng(2).standard_normal(shape)
        for found, expected in zip(compiled(x), wanted(x), strict=True):
            np.testing.assert_allclose(np.asarray(found), expected, rtol=1e-12)


@pytest.mark.parametrize("reverse", [False, True])
def test_no_copy_in_a_trip(reverse):
    text = px.compile(lambda v: walk(v, reverse), "f32[9,8,4]").text("clusters")
    body = text[text.index("scf.for"):]
    assert "@copy" not in body[:body.index("\n    }")]


def test_a_state_that_is_stacked_turned():
    """The stack wants other strides than the state has."""
    def step(state, row):
        following = state + row
        return following, px.transpose(following)

    x = np.arange(24, dtype=np.float32).reshape(4, 2, 3)
    last, stack = px.jit(lambda v: px.scan(step, px.zeros((2, 3)), v))(x)
    np.testing.assert_array_equal(np.asarray(stack), np.cumsum(x, axis=0).transpose(0, 2, 1))
    np.testing.assert_array_equal(np.asarray(last), x.sum(axis=0))
