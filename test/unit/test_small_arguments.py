"""sin and cos in loops that look at a block of arguments first: the same error everywhere, also beside huge arguments."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import phalanx as px

LIMIT = 1.6  # ulp, as docs/accuracy.md says


def _error(found: Any, exact: Any) -> float:
    unit = np.spacing(np.abs(exact).astype(np.float32)).astype(np.float64)
    return float(np.max(np.abs(np.asarray(found).astype(np.float64) - exact) / unit))


@pytest.mark.parametrize("name", ["sin", "cos"])
@pytest.mark.parametrize("largest", [0.01, 1.0, 30.0, 65536.0, 65600.0, 1e9, 3e38])
@pytest.mark.parametrize("count", [5, 64, 1024, 1025, 70_001])
def test_error(name: str, largest: float, count: int) -> None:
    x = (np.random.default_rng(3).uniform(-1, 1, count) * largest).astype(np.float32)
    x[: min(count, 3)] = [largest, -largest, -0.0][: min(count, 3)]
    assert _error(px.jit(getattr(px, name))(x), getattr(np, name)(x.astype(np.float64))) <= LIMIT


@pytest.mark.parametrize("name", ["sin", "cos"])
def test_near_multiples_of_a_quarter_turn(name: str) -> None:
    x = (np.arange(-41_700, 41_700) * (np.pi / 2)).astype(np.float32)
    x = np.concatenate([x, np.nextafter(x, np.float32(np.inf)), np.nextafter(x, np.float32(-np.inf))])
    exact = getattr(np, name)(x.astype(np.longdouble)).astype(np.float64)
    assert _error(px.jit(getattr(px, name))(x), exact) <= LIMIT


@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf, 1e30, -0.0, 1e-40, -1e-45])
@pytest.mark.parametrize("place", [0, 1023, 1024, 2999])
def test_special_arguments_among_small_ones(special: float, place: int) -> None:
    x = np.linspace(-9, 9, 3000).astype(np.float32)
    x[place] = special
    found = np.asarray(px.jit(px.sin)(x))
    with np.errstate(invalid="ignore"):
        wanted = np.sin(x.astype(np.float64))
    np.testing.assert_allclose(found, wanted, rtol=2e-7, atol=1e-45)
    assert np.signbit(found[place]) == np.signbit(wanted[place]) or np.isnan(wanted[place])


def test_in_larger_functions() -> None:
    x = np.random.default_rng(5).standard_normal((300, 70)).astype(np.float32) * 100
    x[7, 7] = 1e20

    def function(x: Any, y: Any) -> Any:
        return px.sum(px.sin(x) * px.cos(x + y), axis=1), px.sin(px.exp(y)), px.sin(px.transpose(x))

    rows, grown, crossed = px.jit(function)(x, x * 0.01)
    wide, other = x.astype(np.float64), (x * 0.01).astype(np.float32)
    total = (x + other).astype(np.float64)
    np.testing.assert_allclose(rows, (np.sin(wide) * np.cos(total)).sum(axis=1), atol=1e-4)
    np.testing.assert_allclose(crossed, np.sin(wide.T), atol=1e-6)
    assert np.asarray(grown).shape == x.shape


def test_donated_memory() -> None:
    x = np.random.default_rng(5).standard_normal(5000).astype(np.float32)
    found = px.jit(lambda x: px.sin(px.sin(x)) + px.cos(x), donate=("x",))(px.asarray(x))
    wide = x.astype(np.float64)
    np.testing.assert_allclose(found, np.sin(np.sin(wide)) + np.cos(wide), atol=1e-6)


def test_levels_without_fused_multiply_add() -> None:
    with px.options(isa="x86-64-v2"):
        compiled = px.compile(px.sin, "f32[4096]")
    x = np.linspace(-1000, 1000, 4096).astype(np.float32)
    assert _error(compiled(x), np.sin(x.astype(np.float64))) <= LIMIT
