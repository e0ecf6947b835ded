"""Loops that keep earlier states beside the present one: pointers move, arrays do not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from agreement import check

import phalanx as px

Array = np.ndarray[Any, Any]
Function = Callable[..., Any]


def random(*shape: int, seed: int = 0, dtype: Any = np.float64) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def clusters(function: Function, *arguments: Any) -> str:
    return px.jit(function).compile(*map(px.asarray, arguments)).text("clusters")


def neighbours(x: Any) -> Any:
    return px.roll(x, 1) + px.roll(x, -1) - 2.0 * x


def steps(trips: int, depth: int, backwards: bool = False) -> Function:
    """`depth` states, each the one before of the state in front; handed over in either order."""

    def function(*states: Any) -> Any:
        def step(_: Any, states: Any) -> Any:
            states = states[::-1] if backwards else states
            following = (0.3 * neighbours(states[0]) + 0.5 * states[-1], *states[:-1])
            return following[::-1] if backwards else following

        return px.fori_loop(0, trips, step, states)

    return function


@pytest.mark.parametrize("trips", [0, 1, 2, 3, 4, 5, 6, 7, 12])
@pytest.mark.parametrize("depth", [2, 3, 4])
@pytest.mark.parametrize("backwards", [False, True])
def test_every_number_of_trips(trips: int, depth: int, backwards: bool) -> None:
    arrays = tuple(random(23, seed=n) for n in range(depth))
    check(steps(trips, depth, backwards), arrays, None, 1e-12)


@pytest.mark.parametrize("shape", [(0,), (1,), (2, 3), (5, 0), (33, 17)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32])
def test_shapes_and_dtypes(shape: tuple[int, ...], dtype: Any) -> None:
    def function(u: Any, old: Any) -> Any:
        return px.fori_loop(0, 5, lambda _, s: (px.roll(s[0], 1, axis=0) - s[1], s[0]), (u, old))

    check(function, ((random(*shape) * 9).astype(dtype), (random(*shape, seed=1) * 9).astype(dtype)), None, 1e-5)


@pytest.mark.parametrize("depth", [2, 3, 4])
def test_nothing_is_copied(depth: int) -> None:
    def function(*states: Any) -> Any:
        return px.fori_loop(0, 20, lambda _, s: (0.3 * s[0] + s[-1] * s[-1], *s[:-1]), states)

    arrays = tuple(random(300, seed=n) for n in range(depth))
    text = clusters(function, *arrays)
    assert "@copy_" not in text
    assert int(text.split("px.arena = ")[1].split(" ")[0]) < 2 * arrays[0].nbytes  # one buffer more than results


def parts_of_a_state(u: Any, old: Any) -> Any:
    """The edges of the new state are those of the present one, which both buffers get once."""

    def step(_: Any, state: Any) -> Any:
        u, old = state
        return u.at[1:-1].set(2.0 * u[1:-1] - old[1:-1] + 0.1 * (u[2:] - 2.0 * u[1:-1] + u[:-2])), u

    return px.fori_loop(0, 7, step, (u, old))


def the_same_start_twice(u: Any, old: Any) -> Any:
    return px.fori_loop(0, 6, lambda _, s: (neighbours(s[0]) * 0.2 - s[1] + old, s[0]), (u, u))


def two_states_behind_one(u: Any, old: Any) -> Any:
    return px.fori_loop(0, 5, lambda _, s: (neighbours(s[0]) * 0.2 + s[1] - s[2], s[0], s[0]), (u, old, 2.0 * old))


def two_chains(u: Any, old: Any) -> Any:
    def step(_: Any, state: Any) -> Any:
        a, b, c, d, _older = state
        return neighbours(a) * 0.2 + d, a, neighbours(c) * 0.1 - b, c, d

    return px.fori_loop(0, 6, step, (u, old, old, u, u + old))


def exchanged(u: Any, old: Any) -> Any:
    return px.fori_loop(0, 5, lambda _, s: (s[1], s[0], s[2] + s[0] * s[1]), (u, old, u))


def three_in_a_circle(u: Any, old: Any) -> Any:
    return px.fori_loop(0, 5, lambda _, s: (s[1], s[2], s[0], s[3] + s[0] * s[1]), (u, old, u - old, u))


def behind_one_that_stays(u: Any, old: Any) -> Any:
    return px.fori_loop(0, 5, lambda _, s: (s[0], s[0], s[1], s[2] + 1.0), (u, old, 2.0 * u, old))


def only_the_older_is_wanted(u: Any, old: Any) -> Any:
    return px.fori_loop(0, 4, lambda _, s: (neighbours(s[0]) * 0.2 - s[1], s[0]), (u, old))[1]


def stacked(u: Any, old: Any) -> Any:
    def step(state: Any, _: Any) -> Any:
        u, old = state
        following = neighbours(u) * 0.2 - old
        return (following, u), (following, u)

    return px.scan(step, (u, old), None, length=5)


def until_small(u: Any, old: Any) -> Any:
    def condition(state: Any) -> Any:
        return (px.max(px.abs(state[0])) > 0.05) & (state[3] < 50)

    def step(state: Any) -> Any:
        u, old, older, count = state
        return 0.3 * neighbours(u) + 0.1 * old + 0.1 * older, u, old, count + 1

    return px.while_loop(condition, step, (u, old, u + old, 0))


def until_a_count(limit: int) -> Function:
    def function(u: Any, old: Any) -> Any:
        def step(state: Any) -> Any:
            u, old, older, count = state
            return 0.3 * neighbours(u) + 0.1 * old + 0.1 * older, u, old, count + 1

        return px.while_loop(lambda s: s[3] < px.sum(old > -1e9) - old.size + limit, step, (u, old, u + old, 0))

    function.__name__ = f"until_{limit}"
    return function


def in_another_loop(u: Any, old: Any) -> Any:
    def inner(_: Any, state: Any) -> Any:
        return neighbours(state[0]) * 0.2 - state[1], state[0]

    def outer(_: Any, state: Any) -> Any:
        u, old, total = state
        u, old = px.fori_loop(0, 3, inner, (u, old))
        return old, u, total + u

    return px.fori_loop(0, 4, outer, (u, old, u))


def in_a_branch(u: Any, old: Any) -> Any:
    return px.cond(px.sum(u) > 1e9, lambda: (old, u), lambda: steps(5, 2)(u, old))


def other_readers_of_the_start(u: Any, old: Any) -> Any:
    first = u * 2.0
    a, b = steps(4, 2)(first, old * 3.0)
    return a, b, first + a


@pytest.mark.parametrize("function", [
    parts_of_a_state, the_same_start_twice, two_states_behind_one, two_chains, exchanged, three_in_a_circle,
    behind_one_that_stays, only_the_older_is_wanted, stacked, until_small, until_a_count(0), until_a_count(1),
    until_a_count(2), until_a_count(3), until_a_count(8), in_another_loop, in_a_branch, other_readers_of_the_start,
], ids=lambda f: f.__name__)
@pytest.mark.parametrize("size", [3, 40, 300])
def test_ways_to_keep_states(function: Function, size: int) -> None:
    check(function, (random(size), random(size, seed=1)), None, 1e-12)


def test_named_sizes() -> None:
    compiled = px.compile(steps(7, 3), "f64[n]", "f64[n]", "f64[n]")
    for size in (1, 2, 9, 70):
        arrays = [random(size, seed=n) for n in range(3)]
        with px.use_backend("numpy"), px.options(compiler="evaluator"):
            expected = [part.numpy() for part in steps(7, 3)(*map(px.asarray, arrays))]
        for found, wanted in zip(compiled(*arrays), expected, strict=True):
            np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-12, atol=1e-12)
