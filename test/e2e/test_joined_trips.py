"""Loops that make several trips at once: same values as one trip after the other, for every number of trips."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import phalanx as px


def joined(compiled: Any) -> bool:
    """Whether a loop of the program makes steps of more than one."""
    text = compiled.text("px")
    return any(f"step %c{count}" in text for count in (2, 4))


def numbers(*shape: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(sum(shape)).uniform(0.1, 0.9, shape).astype(np.float32)


@pytest.mark.parametrize("trips", [0, 1, 3, 4, 5, 8, 101])
@pytest.mark.parametrize("threads", [1, 2])
def test_every_number_of_trips(trips: int, threads: int) -> None:
    x = numbers(131, 257)
    compiled = px.compile(lambda x: px.fori_loop(0, trips, lambda i, x: x * 1.5 * (1 - x), x), x)
    assert joined(compiled) is (trips >= 8)  # a single joined trip needs no loop
    expected = x.astype(np.float64)
    for _ in range(trips):
        expected = expected * 1.5 * (1 - expected)
    with px.options(num_threads=threads):
        np.testing.assert_allclose(compiled(x).numpy(), expected, rtol=1e-4)


def test_trips_of_a_number_known_at_run_time() -> None:
    x = np.arange(30_000, dtype=np.int64)
    compiled = px.compile(lambda x, n: px.fori_loop(2, n, lambda i, x: (x ^ i) + 3 * i, x), x, np.int64(0))
    for trips in (-3, 0, 2, 3, 6, 7, 23):
        expected = x
        for i in range(2, trips):
            expected = (expected ^ i) + 3 * i
        np.testing.assert_array_equal(compiled(x, np.int64(trips)).numpy(), expected)


def test_several_states_exchange() -> None:
    """Integers are exact; every state sees those of the trip before."""
    x, y = np.arange(40_000, dtype=np.int32), np.arange(40_000, dtype=np.int32)[::-1].copy()
    compiled = px.compile(lambda x, y: px.fori_loop(0, 11, lambda i, s: (s[1] - s[0], s[0] + 2, s[2] + 1), (x, y, 0)), x, y)
    assert joined(compiled)
    a, b = x, y
    for _ in range(11):
        a, b = b - a, a + 2
    found = compiled(x, y)
    np.testing.assert_array_equal(found[0].numpy(), a)
    np.testing.assert_array_equal(found[1].numpy(), b)
    assert int(found[2]) == 11


def test_rows_of_what_a_scan_reads() -> None:
    xs, start = numbers(23, 20_000), numbers(20_000)
    compiled = px.compile(lambda xs, s: px.scan(lambda s, x: (s * 0.5 + x, None), s, xs)[0], xs, start)
    assert joined(compiled)
    expected = start.astype(np.float64)
    for x in xs:
        expected = expected * 0.5 + x
    np.testing.assert_allclose(compiled(xs, start).numpy(), expected, rtol=1e-5)


def test_not_numbers_infinity_and_signed_zeros() -> None:
    x = np.resize(np.array([np.nan, np.inf, -np.inf, -0.0, 1e-42, 2.0], np.float32), 20_000)
    compiled = px.compile(lambda x: px.fori_loop(0, 9, lambda i, x: px.minimum(-x, 5.0), x), x)
    assert joined(compiled)
    expected = x
    for _ in range(9):
        expected = np.minimum(-expected, np.float32(5))
    found = compiled(x).numpy()
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(np.signbit(found[~np.isnan(found)]), np.signbit(expected[~np.isnan(expected)]))


@pytest.mark.parametrize("dtype", ["float64", "float16", "int8", "uint16"])
def test_dtypes(dtype: str) -> None:
    x = (numbers(70_000) * 4).astype(dtype)
    compiled = px.compile(lambda x: px.fori_loop(0, 6, lambda i, x: x + x, x), x)
    np.testing.assert_array_equal(compiled(x).numpy(), (x * np.asarray(64, dtype)).astype(dtype))


@pytest.mark.parametrize("body", [
    lambda i, x: px.roll(x, 1) * 0.5,
    lambda i, x: x - px.mean(x),
    lambda i, x: px.sin(x),
    lambda i, x: x[::-1] * 0.5,
])
def test_bodies_that_stay_as_they_are(body: Any) -> None:
    x = numbers(20_000)
    compiled = px.compile(lambda x: px.fori_loop(0, 6, body, x), x)
    assert not joined(compiled)
    once = px.jit(lambda x: body(0, x))
    expected = x
    for _ in range(6):
        expected = once(expected).numpy()
    np.testing.assert_allclose(compiled(x).numpy(), expected, rtol=1e-5)


def test_host_calls_stay_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    def body(i: Any, x: Any) -> Any:
        px.print(i)
        return x + 1

    x = np.zeros(20_000, np.float32)
    assert float(px.jit(lambda x: px.fori_loop(0, 4, body, x))(x)[0]) == 4
    assert capsys.readouterr().out.split() == ["0", "1", "2", "3"]
