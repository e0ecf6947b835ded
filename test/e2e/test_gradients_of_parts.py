"""Gradients of what loops read part by part: added to the part that was read, not to the whole."""

from __future__ import annotations

import numpy as np
import pytest

import phalanx as px

RNG = np.random.default_rng(5)
DTYPE = "float64"


def recurrent(xs, w):
    def step(h, x):
        h = px.tanh(x + h @ w)
        return h, h

    last, stack = px.scan(step, px.zeros_like(xs[0]), xs)
    return px.sum(stack * stack) + px.sum(last)


def windows(x):
    """Overlapping windows, and at the end some that are moved inside."""
    def step(i, total):
        return total + px.sum(px.dynamic_slice(x, [i], (3,)) ** 2) * (i + 1)

    return px.fori_loop(0, 9, step, px.zeros((), dtype=DTYPE))


def rows(table, index):
    """The same rows again and again, and positions outside of the table."""
    def step(i, total):
        return total + px.sum(px.gather(table, [index + i], axes=(0,)) ** 3)

    return px.fori_loop(0, 4, step, px.zeros((), dtype=DTYPE))


def also_read_whole(x):
    def step(i, total):
        return total + px.dynamic_slice(x, [i], (1,))[0] * px.sum(px.sin(x))

    return px.fori_loop(0, 5, step, px.zeros((), dtype=DTYPE))


PROGRAMS = {
    "recurrent": (recurrent, [RNG.normal(size=(7, 4)), RNG.normal(size=(4, 4)) / 2]),
    "windows": (windows, [RNG.normal(size=(8,))]),
    "rows": (rows, [RNG.normal(size=(5, 3)), np.array([0, 3, 3, -1])]),
    "also read whole": (also_read_whole, [RNG.normal(size=(6,))]),
}


def differences(function, arguments):
    """Central differences in the first argument, in float64."""
    x = np.asarray(arguments[0], np.float64)
    found = np.zeros_like(x)
    for place in np.ndindex(x.shape):
        ends = []
        for sign in (1, -1):
            moved = x.copy()
            moved[place] += sign * 1e-5
            ends.append(float(np.asarray(function(moved, *arguments[1:]))))
        found[place] = (ends[0] - ends[1]) / 2e-5
    return found


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("compiler", ["mlir", "evaluator"])
def test_gradients_agree_with_differences(name, compiler):
    function, arguments = PROGRAMS[name]
    with px.options(compiler=compiler):
        gradient = px.jit(px.grad(function))(*arguments)
    np.testing.assert_allclose(np.asarray(gradient), differences(px.jit(function), arguments), rtol=1e-5, atol=1e-6)


def test_a_scan_adds_to_the_row_of_each_step_only():
    xs, w = (np.ones(shape, np.float32) for shape in ((128, 64), (64, 64)))

    def loss(xs, w):
        def step(h, x):
            h = px.tanh(x + h @ w)
            return h, None

        return px.sum(px.scan(step, px.zeros((64,), dtype="float32"), xs)[0])

    compiled = px.compile(px.grad(loss), xs, w)
    whole = "tensor<128x64xf32>"
    adds = [line for line in compiled.text("px").splitlines() if '"px.add"' in line and whole in line]
    assert not adds
    assert compiled.text("px").count("px.dynamic_update_slice") >= 1
