"""Elementwise code on padded, rolled and concatenated tensors, large enough to be cut into parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import phalanx as px

X = np.random.default_rng(0).integers(-8, 9, (70, 80)).astype(np.float32)
Y = np.random.default_rng(1).integers(-8, 9, (70, 80)).astype(np.float32)


def _concat(xp: Any, parts: list[Any], axis: int) -> Any:
    return px.concatenate(parts, axis) if xp is px else np.concatenate(parts, axis)


def _pad(xp: Any, x: Any, widths: list[tuple[int, int]], value: float = 0.0) -> Any:
    if xp is px:
        return px.pad(x, value, [(low, high, 0) for low, high in widths])
    return np.pad(x, widths, constant_values=value)


def heat(xp: Any, x: Any, y: Any) -> Any:
    p = _pad(xp, x, [(1, 1), (1, 1)])
    return x + 2 * (p[:-2, 1:-1] + p[2:, 1:-1] + p[1:-1, :-2] + p[1:-1, 2:] - 4 * x) * y


def wave(xp: Any, x: Any, y: Any) -> Any:
    return xp.roll(x, 1, axis=0) + xp.roll(x, -3, axis=1) * y - xp.roll(y, (2, 5), axis=(0, 1))


def turned_halves(xp: Any, x: Any, y: Any) -> Any:
    return x * y + _concat(xp, [-x[:, 40:], x[:, :40]], 1) * (y + 1)


def edges_repeated(xp: Any, x: Any, y: Any) -> Any:
    p = _concat(xp, [x[:1], x, x[-1:]], 0)
    return p[:-2] + p[2:] - y


def rows_and_columns(xp: Any, x: Any, y: Any) -> Any:
    return _pad(xp, x, [(0, 0), (2, 0)], 3.0)[:, :-2] * y[:1] + y[:, :1]


def summed(xp: Any, x: Any, y: Any) -> Any:
    return xp.sum(_pad(xp, x, [(1, 0), (0, 1)], 1.0), axis=1)


def padded_twice(xp: Any, x: Any, y: Any) -> Any:
    p = _pad(xp, _pad(xp, x, [(1, 1), (0, 0)], 5.0), [(0, 0), (1, 1)], 7.0)
    return p[:-2, 2:] + 3 * p[2:, :-2]


def two_steps(xp: Any, x: Any, y: Any) -> Any:
    for _ in range(2):
        x = x + xp.roll(x, 1, axis=0) * y
    return x


PROGRAMS = [heat, wave, turned_halves, edges_repeated, rows_and_columns, summed, padded_twice, two_steps]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.__name__)
def test_once(program: Callable[..., Any]) -> None:
    got = px.defn(lambda x, y: program(px, x, y))(X, Y).numpy()
    np.testing.assert_allclose(got, program(np, X, Y), rtol=1e-6)


@pytest.mark.parametrize("steps", [0, 1, 2, 5])
@pytest.mark.parametrize("program", [p for p in PROGRAMS if p is not summed], ids=lambda p: p.__name__)
def test_in_a_loop(program: Callable[..., Any], steps: int) -> None:
    def run(x: Any, y: Any) -> Any:
        return px.fori_loop(0, steps, lambda i, state: px.minimum(px.maximum(program(px, state, y), -9.0), 9.0), x)

    want = X
    for _ in range(steps):
        want = np.minimum(np.maximum(program(np, want, Y), -9), 9).astype(np.float32)
    np.testing.assert_allclose(px.defn(run)(X, Y).numpy(), want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("program", [heat, wave], ids=lambda p: p.__name__)
def test_donated(program: Callable[..., Any]) -> None:
    got = px.defn(lambda x, y: px.fori_loop(0, 3, lambda i, s: program(px, s, y) / 64, x), donate=("x",))(px.asarray(X), Y)
    want = X
    for _ in range(3):
        want = program(np, want, Y) / 64
    np.testing.assert_allclose(got.numpy(), want, rtol=1e-5, atol=1e-5)


def test_gradient() -> None:
    got = px.grad(lambda x, y: px.sum(wave(px, x, y) * wave(px, x, y)))(px.asarray(X), px.asarray(Y)).numpy()
    w = wave(np, X, Y)
    want = 2 * (np.roll(w, -1, 0) + np.roll(w * Y, 3, 1))
    np.testing.assert_allclose(got, want, rtol=1e-5)


def test_several_readers_of_one_roll() -> None:
    def both(x: Any) -> Any:
        rolled = px.roll(x, 1, axis=0)
        return rolled + x, rolled * 2, px.sum(rolled)

    first, second, third = px.defn(both)(X)
    rolled = np.roll(X, 1, 0)
    np.testing.assert_array_equal(first.numpy(), rolled + X)
    np.testing.assert_array_equal(second.numpy(), rolled * 2)
    np.testing.assert_array_equal(third.numpy(), rolled.sum())


@pytest.mark.parametrize("dtype", ["int8", "uint16", "int32", "float16", "float64", "bool"])
def test_dtypes(dtype: str) -> None:
    x = (X > 0) if dtype == "bool" else X.astype(dtype)
    got = px.defn(lambda t: px.where(px.roll(t, 1, axis=1) == t, t, px.roll(t, -1, axis=0)))(x).numpy()
    np.testing.assert_array_equal(got, np.where(np.roll(x, 1, 1) == x, x, np.roll(x, -1, 0)))


@pytest.mark.parametrize("steps", [0, 1, 2, 3, 10])
def test_stencil_in_place_of_a_part(steps: int) -> None:
    def step(_: Any, p: Any) -> Any:
        return p.at[1:-1, 1:-1].set((p[:-2, 1:-1] + p[2:, 1:-1] + p[1:-1, :-2] + p[1:-1, 2:]) / 4)

    want = X.copy()
    for _ in range(steps):
        new = want.copy()
        new[1:-1, 1:-1] = (want[:-2, 1:-1] + want[2:, 1:-1] + want[1:-1, :-2] + want[1:-1, 2:]) / 4
        want = new
    run = px.defn(lambda x, n: (px.fori_loop(0, steps, step, x), px.fori_loop(0, n, step, x)))
    for got in run(X, np.int32(steps)):
        np.testing.assert_allclose(got.numpy(), want, rtol=1e-6, atol=1e-6)
