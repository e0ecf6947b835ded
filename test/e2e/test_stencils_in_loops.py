"""Loops over stencils: parts of a state are written where they stand, once, and nothing else is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from agreement import check

import phalanx as px

Array = np.ndarray[Any, Any]


def random(*shape: int, seed: int = 0, dtype: Any = np.float64) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def temporaries(function: Callable[..., Any], *arguments: Any) -> int:
    """Bytes the compiled function needs beside its arguments and results."""
    text = px.jit(function).compile(*map(px.asarray, arguments)).text("clusters")
    return int(text.split("px.arena = ")[1].split(" ")[0])


def heat(a: Any, b: Any) -> Any:
    def step(_: Any, state: Any) -> Any:
        a, b = state
        b = b.at[1:-1].set(0.125 * (a[2:] - 2.0 * a[1:-1] + a[:-2]) + a[1:-1])
        return a.at[1:-1].set(0.125 * (b[2:] - 2.0 * b[1:-1] + b[:-2]) + b[1:-1]), b

    return px.fori_loop(0, 5, step, (a, b))


def heat_reference(a: Array, b: Array) -> tuple[Array, Array]:
    a, b = a.copy(), b.copy()
    for _ in range(5):
        b[1:-1] = 0.125 * (a[2:] - 2.0 * a[1:-1] + a[:-2]) + a[1:-1]
        a[1:-1] = 0.125 * (b[2:] - 2.0 * b[1:-1] + b[:-2]) + b[1:-1]
    return a, b


@pytest.mark.parametrize("shape", [(3,), (4,), (40,), (5, 0), (5, 1), (9, 38), (6, 7, 11)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_two_states_from_each_other(shape: tuple[int, ...], dtype: Any) -> None:
    arrays = random(*shape, dtype=dtype), random(*shape, seed=1, dtype=dtype)
    check(heat, arrays, heat_reference(*arrays), 1e-5 if dtype is np.float32 else 1e-12)
    assert temporaries(heat, *arrays) == 0


def fields(ex: Any, ey: Any, hz: Any, source: Any) -> Any:
    def step(t: Any, state: Any) -> Any:
        ex, ey, hz = state
        ey = ey.at[0].set(source[t])
        ey = ey.at[1:].add(-0.5 * (hz[1:] - hz[:-1]))
        ex = ex.at[:, 1:].add(-0.5 * (hz[:, 1:] - hz[:, :-1]))
        hz = hz.at[:-1, :-1].add(-0.7 * (ex[:-1, 1:] - ex[:-1, :-1] + ey[1:, :-1] - ey[:-1, :-1]))
        return ex, ey, hz

    return px.fori_loop(0, 4, step, (ex, ey, hz))


def fields_reference(ex: Array, ey: Array, hz: Array, source: Array) -> tuple[Array, ...]:
    ex, ey, hz = ex.copy(), ey.copy(), hz.copy()
    for t in range(4):
        ey[0] = source[t]
        ey[1:] -= 0.5 * (hz[1:] - hz[:-1])
        ex[:, 1:] -= 0.5 * (hz[:, 1:] - hz[:, :-1])
        hz[:-1, :-1] -= 0.7 * (ex[:-1, 1:] - ex[:-1, :-1] + ey[1:, :-1] - ey[:-1, :-1])
    return ex, ey, hz


@pytest.mark.parametrize("shape", [(2, 2), (9, 1), (1, 9), (20, 24), (33, 17)])
def test_parts_changed_by_their_own_old_contents(shape: tuple[int, int]) -> None:
    arrays = *(random(*shape, seed=n) for n in range(3)), random(4)
    check(fields, arrays, fields_reference(*arrays), 1e-12)
    if min(shape) > 1:
        assert temporaries(fields, *arrays) == 0


def test_named_sizes() -> None:
    def sweep(x: Any) -> Any:
        return px.fori_loop(0, 3, lambda _, x: x.at[1:, 2:].multiply(x[1:, 2:]).at[:, :1].add(1.0), x)

    compiled = px.compile(sweep, "f64[n,m]")
    for shape in ((1, 2), (4, 3), (9, 21)):
        x = random(*shape)
        expected = x.copy()
        for _ in range(3):
            expected[1:, 2:] *= expected[1:, 2:]
            expected[:, :1] += 1.0
        np.testing.assert_allclose(compiled(x).numpy(), expected, rtol=1e-12)


def shifted_beside_itself(x: Any) -> Any:
    """Reads the part it replaces and what is beside it: not to be done in place."""
    return px.fori_loop(0, 4, lambda _, x: x.at[1:].add(0.5 * x[:-1]), x)


def old_part_is_wanted_later(x: Any) -> Any:
    def step(_: Any, state: Any) -> Any:
        x, total = state
        changed = x.at[:, 1:].multiply(-0.5)
        return changed, total + changed[:, 1:] * x[:, :-1] + x[:, 1:]

    return px.fori_loop(0, 4, step, (x, 0.0 * x[:, 1:]))


def parts_that_overlap(x: Any) -> Any:
    return px.fori_loop(0, 4, lambda _, x: x.at[2:].add(1.0).at[:5].multiply(1.5).at[1::2].add(-0.5), x)


def one_value_in_two_states(x: Any) -> Any:
    def step(_: Any, state: Any) -> Any:
        x, y = state
        value = 0.5 * x[1:] + y[:-1]
        return x.at[1:].set(value), y.at[:-1].set(value)

    return px.fori_loop(0, 4, step, (x, 2.0 * x))


def a_row_at_a_time(x: Any) -> Any:
    return px.fori_loop(0, 6, lambda i, x: x.at[i].add(2.0 * x[5 - i]).at[i, 1:].multiply(0.5), x)


def reductions_of_the_part(x: Any) -> Any:
    def step(_: Any, x: Any) -> Any:
        part = x[:, 1:]
        return x.at[:, 1:].set(part / (1.0 + px.sum(part * part, axis=1, keepdims=True)))

    return px.fori_loop(0, 4, step, x)


@pytest.mark.parametrize("function", [
    shifted_beside_itself, old_part_is_wanted_later, parts_that_overlap, one_value_in_two_states, a_row_at_a_time,
    reductions_of_the_part], ids=lambda f: f.__name__)
@pytest.mark.parametrize("shape", [(6, 7), (11, 40), (80, 90)])
def test_states_read_in_other_ways(function: Callable[..., Any], shape: tuple[int, int]) -> None:
    check(function, (random(*shape),), None, 1e-12)


@pytest.mark.parametrize("columns", [2, 3, 9, 10, 17, 31, 34, 38, 40, 257])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int8, np.int32])
def test_rows_of_every_length(columns: int, dtype: Any) -> None:
    """Elements that whole vectors leave over, in place and not."""
    x = (random(7, columns) * 9).astype(dtype)
    check(lambda x: (x[:, 1:] - x[:, :-1], x.at[1:, 1:].add(x[1:, 1:])), (x,), None, 0.0)


@pytest.mark.parametrize("function", [
    lambda x: x[1:] - x[:-1], lambda x: x[2:] - 2.0 * x[1:-1] + x[:-2], lambda x: x[1::2] + x[1:][::2],
    lambda x: x[3:-2:3] * 2.0, lambda x: x.at[1:].add(x[:-1]), lambda x: x.at[1:-1].set(0.5 * (x[2:] + x[:-2])),
    lambda x: x[-2:], lambda x: x[1:3]])
@pytest.mark.parametrize("compiler", ["mlir", "evaluator"])
def test_parts_of_named_sizes_meet(function: Callable[..., Any], compiler: str) -> None:
    with px.options(compiler=compiler):
        compiled = px.compile(function, "f64[n]")
        for size in (1, 2, 3, 4, 5, 6, 9, 40):
            x = random(size)
            with px.use_backend("numpy"), px.options(compiler="evaluator"):
                expected = function(px.asarray(x)).numpy()
            found = compiled(x).numpy()
            assert found.shape == expected.shape
            np.testing.assert_allclose(found, expected, rtol=1e-14)
