"""Scatter with bins of its own for every part of many updates: the same as one update after the other."""

from __future__ import annotations

import numpy as np
import pytest

import phalanx as px
from phalanx.dialects.px.host_indexing import host_scatter
from phalanx.runtime.threads import limit_threads

N = 70_001  # many, and not a multiple of the number of parts


def _case(dtype: str, target: tuple[int, ...], axes: tuple[int, ...], seed: int = 0) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    rest = tuple(n for a, n in enumerate(target) if a not in axes)
    count = N // max(1, int(np.prod(rest)))
    kind = np.dtype(dtype)
    if kind.kind == "f":
        x, updates = rng.integers(-4, 5, target).astype(kind), rng.integers(-4, 5, (count, *rest)).astype(kind)
    elif kind.kind == "b":
        x, updates = rng.random(target) < 0.5, rng.random((count, *rest)) < 0.01
    else:
        info = np.iinfo(kind)
        x = rng.integers(info.min, info.max, target, kind, endpoint=True)
        updates = rng.integers(info.min, info.max, (count, *rest), kind, endpoint=True)
    indices = [rng.integers(-3, target[a] + 3, count).astype(np.int32) for a in axes]
    return x, updates, *indices


def _check(x: np.ndarray, updates: np.ndarray, indices: list[np.ndarray], axes: tuple[int, ...], combine: str,
           mode: str) -> None:
    run = px.defn(lambda x, u, *i: px.scatter(x, u, list(i), axes, combine=combine, mode=mode))
    with np.errstate(over="ignore", invalid="ignore"):
        want = host_scatter(x, updates, *indices, axes=axes, combine=combine, mode=mode)
    got = run(x, updates, *indices).numpy()
    np.testing.assert_array_equal(got, want)
    assert got.dtype == want.dtype


@pytest.mark.parametrize("mode", ["drop", "clip"])
@pytest.mark.parametrize(("target", "axes"), [((13,), (0,)), ((5, 7), (0,)), ((5, 7), (1,)), ((5, 7), (0, 1)),
                                               ((5, 7), (1, 0)),
                                         ((3, 4, 5), (2, 0)), ((1,), (0,))])
def test_sums_of_whole_numbers(target: tuple[int, ...], axes: tuple[int, ...], mode: str) -> None:
    x, updates, *indices = _case("float64", target, axes)
    _check(x, updates, indices, axes, "add", mode)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32",
                                   "float64"])
@pytest.mark.parametrize("combine", ["add", "min", "max"])
def test_dtypes(dtype: str, combine: str) -> None:
    x, updates, *indices = _case(dtype, (11,), (0,))
    _check(x, updates, indices, (0,), combine, "drop")


@pytest.mark.parametrize("combine", ["min", "max"])
def test_bool(combine: str) -> None:
    x, updates, *indices = _case("bool", (11,), (0,))
    _check(x, updates, indices, (0,), combine, "drop")


def test_products_of_integers_wrap() -> None:
    x, updates, *indices = _case("int32", (11,), (0,))
    _check(x, updates | 1, indices, (0,), "multiply", "drop")


@pytest.mark.parametrize("combine", ["add", "min", "max"])
def test_nan_and_infinity(combine: str) -> None:
    x, updates, indices = _case("float32", (11,), (0,))
    updates[indices == 3] = np.nan
    updates[indices == 5] = np.inf
    _check(x, updates, [indices], (0,), combine, "drop")


def test_sums_of_negative_zeros_stay_negative() -> None:
    x, updates = np.full(4, -0.0, np.float32), np.full(N, -0.0, np.float32)
    got = px.defn(lambda x, u, i: px.scatter(x, u, [i], combine="add"))(x, updates, np.arange(N, dtype=np.int32) % 3)
    assert np.signbit(got.numpy()).all()


def test_unsigned_indices_and_one_update_for_all() -> None:
    indices = (np.arange(N) % 40).astype(np.uint8)
    count = px.defn(lambda i: px.scatter(px.zeros((32,), dtype="int32"), px.ones(i.shape, dtype="int32"), [i], combine="add"))
    np.testing.assert_array_equal(count(indices).numpy(), np.bincount(indices, minlength=40)[:32])


def test_sums_do_not_depend_on_the_number_of_threads() -> None:
    rng = np.random.default_rng(1)
    places, weights = rng.integers(0, 100, N).astype(np.int32), rng.standard_normal(N).astype(np.float32)
    run = px.defn(lambda p, w: px.scatter(px.zeros((100,)), w, [p], combine="add"))
    results = []
    for count in (1, 2, 3, 5):
        with limit_threads(count):
            results.append(run(places, weights).numpy())
    for other in results[1:]:
        np.testing.assert_array_equal(other, results[0])
    np.testing.assert_allclose(results[0], np.bincount(places, weights, 100), rtol=1e-3, atol=1e-3)
