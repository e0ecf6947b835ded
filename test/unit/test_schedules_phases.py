"""Reductions in parts: chained ones phase by phase, searches for the position of an extreme, any number of threads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import phalanx as px

Array = np.ndarray[Any, Any]


def _array(*shape: int, dtype: Any = np.float32, scale: float = 1.0) -> Array:
    return (np.random.default_rng(7).standard_normal(shape) * scale).astype(dtype)


def _both(function: Any, *arrays: Array) -> list[Array]:
    """The results with one and with three threads, which must have equal bits."""
    compiled = px.defn(function)
    found = []
    for count in (1, 3):
        with px.options(num_threads=count):
            results = compiled(*[px.asarray(a) for a in arrays])
        found.append([np.asarray(r) for r in (results if isinstance(results, tuple) else (results,))])
    for one, three in zip(*found, strict=True):
        assert one.tobytes() == three.tobytes()
    return found[0]


LARGE = (1900, 1100)  # enough work for threads, sizes that no part divides


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, np.int32, np.int8, np.uint8, np.bool_])
@pytest.mark.parametrize("axis", [None, 0, 1])
@pytest.mark.parametrize("name", ["argmax", "argmin"])
def test_positions_of_extremes(name: str, axis: int | None, dtype: Any) -> None:
    x = _array(*LARGE, scale=60.0).astype(dtype)
    (found,) = _both(lambda x: getattr(px, name)(x, axis=axis), x)
    assert np.array_equal(found, getattr(np, name)(x, axis=axis))


@pytest.mark.parametrize("name", ["argmax", "argmin"])
@pytest.mark.parametrize("count", [1, 31, 1023, 1024, 1025, 2047, 2048, 4097, 2_000_003])
def test_equal_extremes_give_the_first(name: str, count: int) -> None:
    x = np.zeros(count, np.float32)
    places = [place for place in (count - 1, count * 2 // 3, count // 3) if place]
    for place in places:
        x[place] = 5.0 if name == "argmax" else -5.0
        (found,) = _both(getattr(px, name), x)
        assert found == getattr(np, name)(x)


@pytest.mark.parametrize("name", ["argmax", "argmin"])
def test_nan_and_infinity(name: str) -> None:
    x = _array(*LARGE)
    x[1000, 7] = np.nan
    x[1500, 3] = np.nan
    x[20, 3] = np.inf if name == "argmax" else -np.inf
    (found,) = _both(getattr(px, name), x)
    assert found == 1000 * LARGE[1] + 7
    worst = np.full(LARGE, -np.inf if name == "argmax" else np.inf, np.float32)
    (found,) = _both(getattr(px, name), worst)
    assert found == 0


def test_position_in_a_computed_value() -> None:
    x, y = _array(*LARGE), _array(*LARGE)[::-1].copy()
    (found,) = _both(lambda x, y: px.argmax(x * y), x, y)
    assert found == np.argmax(x * y)


def test_position_in_transposed_rows() -> None:
    x = _array(*LARGE)
    (found,) = _both(lambda x: px.argmax(px.transpose(x)), x)
    assert found == np.argmax(x.T)


def test_position_under_a_named_size() -> None:
    compiled = px.compile(lambda x: (px.argmax(x), px.argmin(x, axis=1)), "f32[n, m]")
    for shape in [(1, 1), (3, 5000), (700, 3), LARGE]:
        x = _array(*shape)
        full, rows = compiled(x)
        assert np.asarray(full) == np.argmax(x)
        assert np.array_equal(np.asarray(rows), np.argmin(x, axis=1))


def _close(found: Array, wanted: Array) -> None:
    np.testing.assert_allclose(found.astype(np.float64), wanted, rtol=2e-5, atol=1e-4)


@pytest.mark.parametrize(("shape", "axis"), [(LARGE, None), ((2, 900_000), 1), ((900_000, 3), 0), ((40, 1000, 50), (0, 1))])
def test_chained_reductions(shape: tuple[int, ...], axis: Any) -> None:
    x = _array(*shape)
    exact = x.astype(np.float64)

    def normalised(x: Any) -> Any:
        centred = x - px.mean(x, axis=axis, keepdims=True)
        return centred / px.sqrt(px.mean(centred * centred, axis=axis, keepdims=True) + 1e-3), px.var(x, axis=axis)

    scaled, variance = _both(normalised, x)
    deviation = exact - exact.mean(axis=axis, keepdims=True)
    _close(scaled, deviation / np.sqrt((deviation**2).mean(axis=axis, keepdims=True) + 1e-3))
    _close(variance, exact.var(axis=axis))


def test_softmax_over_everything() -> None:
    x = _array(*LARGE)

    def softmax(x: Any) -> Any:
        grown = px.exp(x - px.max(x))
        return grown / px.sum(grown), px.max(x)

    parts, top = _both(softmax, x)
    grown = np.exp(x.astype(np.float64) - x.max())
    np.testing.assert_allclose(parts, grown / grown.sum(), rtol=3e-6)
    assert top == x.max()


def test_nan_passes_through_phases() -> None:
    x = _array(*LARGE)
    x[3, 3] = np.nan
    scaled, mean = _both(lambda x: (x - px.mean(x), px.mean(x)), x)
    assert np.isnan(scaled).all() and np.isnan(mean)


def test_sixteen_bit_sums_are_shared() -> None:
    x = _array(*LARGE, dtype=np.float16, scale=0.1)
    (total,) = _both(px.sum, x)
    assert abs(float(total) - x.astype(np.float64).sum()) < 0.2


def test_tall_columns() -> None:
    x = _array(5000, 700)
    total, top, rest = _both(lambda x: (px.sum(x, axis=0), px.max(x, axis=0), px.sum(px.exp(x), axis=0)), x)
    _close(total, x.astype(np.float64).sum(axis=0))
    assert np.array_equal(top, x.max(axis=0))
    np.testing.assert_allclose(rest, np.exp(x.astype(np.float64)).sum(axis=0), rtol=2e-6)


def test_donated_input_is_written_in_the_last_phase() -> None:
    x = _array(*LARGE)
    compiled = px.jit(lambda x: (x - px.mean(x)) * px.max(x), donate=("x",))
    exact = x.astype(np.float64)
    _close(np.asarray(compiled(px.asarray(x))), (exact - exact.mean()) * exact.max())
