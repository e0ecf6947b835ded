"""The short way of a repeated call: taken when nothing changed, left when anything did."""

from __future__ import annotations

import gc
import time
import weakref
from typing import Any

import numpy as np
import pytest

import phalanx as px
from phalanx.compiler import api, config
from phalanx.compiler.trace.tree import flatten, map_leaves

X = np.arange(6, dtype=np.float32).reshape(2, 3)


@pytest.fixture
def long_ways(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A list that grows by one for every call that is looked up the long way."""
    seen: list[str] = []
    lookup = api.Defn._lookup

    def counted(self: Any, signature: Any) -> Any:
        seen.append(self.name)
        return lookup(self, signature)

    monkeypatch.setattr(api.Defn, "_lookup", counted)
    return seen


@pytest.mark.parametrize("argument", [px.asarray(X), X, 2.5, 3, True])
def test_a_call_like_the_last_takes_it(argument: Any, long_ways: list[str]) -> None:
    f = px.jit(lambda x, y: x * 2 + y)
    first = f(argument, px.asarray(X))
    second = f(argument, px.asarray(X + 1))
    np.testing.assert_array_equal(second.numpy(), first.numpy() + 1)
    assert len(long_ways) == 1


@pytest.mark.parametrize(("first", "second"), [
    (px.asarray(X), px.asarray(X.astype(np.float64))),
    (px.asarray(X), px.asarray(X[:1])),
    (px.asarray(X), X),
    (X, X.astype(np.int32)),
    (X, X[:, :2]),
    (X, X.astype(">f4")),
    (X, X.tolist()),
    (2, 2.0),
    (2, True),
    (2, 1 << 40),
    (1 << 40, 2),
    ({"a": X}, {"b": X}),
    ([X, X], [X]),
])
def test_any_difference_leaves_it(first: Any, second: Any, long_ways: list[str]) -> None:
    f = px.jit(lambda tree: map_leaves(lambda x: x + 1, tree))
    fresh = px.jit(f.function)
    f(first)
    got, expected = f(second), fresh(second)
    assert len(long_ways) == 3
    leaves, structure = flatten(expected)
    others, same = flatten(got)
    assert same == structure
    for a, b in zip(others, leaves, strict=True):
        assert a.dtype is b.dtype
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_containers_and_keywords_are_compared(long_ways: list[str]) -> None:
    f = px.jit(lambda p, scale: {"out": p["w"] * scale})
    for value in (1.0, 2.0, 3.0):
        out = f({"w": X}, scale=value)
        np.testing.assert_array_equal(out["out"].numpy(), X * np.float32(value))
    assert len(long_ways) == 1
    np.testing.assert_array_equal(f({"w": X}, 4.0)["out"].numpy(), X * 4)


def test_static_arguments_are_compared(long_ways: list[str]) -> None:
    f = px.defn(lambda x, n: x * n, static=("n",))
    assert float(f(px.asarray(1.0), 2)) == 2.0
    assert float(f(px.asarray(1.0), 3)) == 3.0
    assert float(f(px.asarray(2.0), 3)) == 6.0
    assert len(long_ways) == 2


def test_options_leave_it(long_ways: list[str]) -> None:
    f = px.jit(lambda x: x + 1)
    x = px.asarray(X)
    f(x)
    with px.options(compiler="evaluator"):
        np.testing.assert_array_equal(f(x).numpy(), X + 1)
    f(x)
    config.reload()
    f(x)
    px.set_default_options(opt_level=0)
    f(x)
    assert len(long_ways) == 4
    f(x)
    assert len(long_ways) == 4


def test_a_few_signatures_take_turns(long_ways: list[str]) -> None:
    f = px.jit(lambda x: x + 1)
    arguments = [X, X[:1], X.astype(np.int32), 3]
    for _ in range(25):
        for x in arguments:
            np.testing.assert_array_equal(f(x).numpy(), np.add(x, 1))
    assert len(long_ways) == len(arguments)


def test_options_of_the_function_keep_it(long_ways: list[str]) -> None:
    f = px.defn(lambda x: x + 1, num_threads=1)
    for _ in range(3):
        np.testing.assert_array_equal(f(px.asarray(X)).numpy(), X + 1)
    assert len(long_ways) == 1


def test_captured_tensors_are_passed() -> None:
    weight = px.asarray(X)
    f = px.jit(lambda x: x * weight)
    for value in (1.0, 2.0):
        np.testing.assert_array_equal(f(px.asarray(np.float32(value))).numpy(), X * value)


def test_calls_of_python_have_no_short_way(long_ways: list[str]) -> None:
    f = px.jit(lambda x: px.io_call(x, lambda _: None) + 1)
    for _ in range(3):
        np.testing.assert_array_equal(f(px.asarray(X)).numpy(), X + 1)
    assert len(long_ways) == 3


def test_donation_has_a_short_way(long_ways: list[str]) -> None:
    donating = px.defn(lambda x: x + 1, donate=("x",))
    for _ in range(3):
        x = px.asarray(X)
        np.testing.assert_array_equal(donating(x).numpy(), X + 1)
        assert x.is_deleted
    assert len(long_ways) == 1
    with pytest.raises(px.DeviceError, match=r"donated at .*test_warm\.py"):
        x = px.asarray(X)
        donating(x)
        donating(x)


def test_a_function_dies_with_its_last_reference() -> None:
    weight = px.asarray(X)
    f = px.jit(lambda p, x: p["w"] * x + weight)
    for _ in range(40):
        f({"w": X}, x=X)
    watched = weakref.ref(f)
    gc.disable()
    try:
        del f
        for _ in range(100):  # without the collector, but a thread may still be letting go of it
            if watched() is None:
                break
            time.sleep(0.05)
        assert watched() is None, gc.get_referrers(watched())
    finally:
        gc.enable()


def test_memory_that_is_gone_is_noticed(long_ways: list[str]) -> None:
    f = px.jit(lambda x: x + 1)
    x = px.asarray(X)
    f(x)
    x.deallocate()
    with pytest.raises(px.DeviceError):
        f(x)
    assert len(long_ways) == 1


def test_other_backends_go_the_long_way() -> None:
    f = px.jit(lambda x: x + 1)
    with px.use_backend("numpy"):
        x = px.asarray(X)
    for _ in range(2):
        result = f(x)
        assert result.backend.name == "numpy"
        np.testing.assert_array_equal(result.numpy(), X + 1)


@pytest.fixture
def compiled_ways(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A list that grows by one for every call of a compiled function that goes the long way."""
    seen: list[str] = []
    run = px.compiler.execution.Compiled.run

    def counted(self: Any, leaves: Any) -> Any:
        seen.append(self.traced.name)
        return run(self, leaves)

    monkeypatch.setattr(px.compiler.execution.Compiled, "run", counted)
    return seen


def test_a_compiled_function_has_one_too(compiled_ways: list[str]) -> None:
    compiled = px.compile(lambda x: x + 1, px.spec("f32[2,3]"))
    for value in (0, 1, 2):
        np.testing.assert_array_equal(compiled(px.asarray(X + value)).numpy(), X + value + 1)
    assert len(compiled_ways) == 1
    with pytest.raises(px.ShapeError):
        compiled(px.asarray(X[:1]))
    np.testing.assert_array_equal(compiled(X).numpy(), X + 1)


def test_a_compiled_function_of_containers(compiled_ways: list[str]) -> None:
    compiled = px.compile(lambda p, x: p["w"] * x, {"w": px.spec("f32[2,3]")}, px.spec("f32[]"))
    for value in range(40):
        np.testing.assert_array_equal(compiled({"w": X + value}, x=2.0).numpy(), (X + value) * 2)
    assert len(compiled_ways) == 1
    with pytest.raises(px.TraceError, match="another structure"):
        compiled({"v": X}, x=2.0)


def test_named_sizes_have_a_way_for_each_of_a_few(compiled_ways: list[str]) -> None:
    compiled = px.compile(lambda x, y: x @ y, px.spec("f32[n,3]"), px.spec("f32[3,m]"))
    for _ in range(40):
        for rows in (1, 2):
            found = compiled(px.asarray(X[:rows]), np.ones((3, rows), np.float32))
            np.testing.assert_array_equal(found.numpy(), X[:rows] @ np.ones((3, rows), np.float32))
    assert len(compiled_ways) == 2
    with pytest.raises(px.ShapeError):
        compiled(px.asarray(X), np.ones((2, 2), np.float32))


def test_named_sizes_of_size_zero(compiled_ways: list[str]) -> None:
    compiled = px.compile(lambda x: px.sum(x, axis=0), px.spec("f32[n,3]"))
    for _ in range(40):
        assert compiled(np.zeros((0, 3), np.float32)).tolist() == [0, 0, 0]
        assert compiled(X).tolist() == X.sum(axis=0).tolist()
    assert len(compiled_ways) == 2


def test_assumptions_hold_at_every_call() -> None:
    def f(x: Any) -> Any:
        px.assume(x.shape[0] % 2 == 0, "an even number")
        return x + 1

    compiled = px.compile(f, px.spec("f32[n]"))
    for _ in range(40):
        assert compiled(np.zeros(4, np.float32)).tolist() == [1] * 4
        with pytest.raises(px.PhalanxError):
            compiled(np.zeros(3, np.float32))


@pytest.mark.parametrize("argument", [np.float32(2.5), np.int32(3), np.float64(-0.0), np.bool_(True), X.T, X[::-1], X[:, ::2],
                                      np.frombuffer(bytearray(25), np.uint8)[1:].view(np.float32), X.astype(">f4")])
def test_scalars_and_arrays_that_are_not_dense(argument: Any) -> None:
    f = px.jit(lambda p, x: p["w"] + x)
    expected = px.jit(f.function)({"w": X[0, 0]}, argument)
    for _ in range(50):
        found = f({"w": X[0, 0]}, argument)
        assert found.dtype is expected.dtype
        assert found.shape == expected.shape
        np.testing.assert_array_equal(found.numpy(), expected.numpy())


@pytest.mark.parametrize(("first", "second"), [
    (1, True), (2, 2.0), (0.0, -0.0), ((1,), (True,)), ((0.0, "a"), (-0.0, "a")), (None, 0), ("1", 1), (1j, complex(-0.0, 1)),
])
def test_static_arguments_that_only_look_equal(first: Any, second: Any) -> None:
    seen: list[Any] = []

    def body(x: Any, n: Any) -> Any:
        seen.append(n)
        return x + len(seen)

    f = px.jit(body, static=("n",))
    x = px.asarray(1.0)
    for _ in range(40):
        assert (float(f(x, first)), float(f(x, second)), float(f(x, n=first))) == (2.0, 3.0, 2.0)
    assert [repr(n) for n in seen] == [repr(first), repr(second)]


def test_not_a_number_is_one_static_argument() -> None:
    f = px.jit(lambda x, n: x * n, static=("n",))
    f(px.asarray(1.0), float("nan"))
    f(px.asarray(1.0), float("nan"))
    assert len(f.compiled) == 1


def test_static_arguments_of_a_compiled_function() -> None:
    compiled = px.jit(lambda x, n: x * n, static=("n",)).compile(px.spec("f32[]"), n=3)
    for _ in range(40):
        assert float(compiled(px.asarray(2.0), 3)) == float(compiled(2.0, n=3)) == 6.0
        with pytest.raises(px.TraceError, match=r"got n=4, expected n=3"):
            compiled(px.asarray(2.0), 4)
