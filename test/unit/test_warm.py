"""The short way of a repeated call: taken when nothing changed, left when anything did."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import phalanx as px
from phalanx.compiler import api, config
from phalanx.compiler.trace.tree import flatten, map_leaves
from phalanx.compiler.warm import Warm

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


def test_donation_and_python_calls_have_no_short_way() -> None:
    donating = px.defn(lambda x: x + 1, donate=("x",))
    donating(px.asarray(X))
    assert donating._warm is None
    with pytest.raises(px.DeviceError, match=r"donated at .*test_warm\.py"):
        x = px.asarray(X)
        donating(x)
        donating(x)


def test_memory_that_is_gone_is_noticed() -> None:
    f = px.jit(lambda x: x + 1)
    x = px.asarray(X)
    f(x)
    assert isinstance(f._warm, Warm)
    x.deallocate()
    with pytest.raises(px.DeviceError):
        f(x)


def test_other_backends_go_the_long_way() -> None:
    f = px.jit(lambda x: x + 1)
    with px.use_backend("numpy"):
        x = px.asarray(X)
    for _ in range(2):
        result = f(x)
        assert result.backend.name == "numpy"
        np.testing.assert_array_equal(result.numpy(), X + 1)


def test_a_compiled_function_has_one_too() -> None:
    compiled = px.compile(lambda x: x + 1, px.spec("f32[2,3]"))
    for value in (0, 1, 2):
        np.testing.assert_array_equal(compiled(px.asarray(X + value)).numpy(), X + value + 1)
    assert isinstance(compiled._warm, Warm)
    with pytest.raises(px.ShapeError):
        compiled(px.asarray(X[:1]))
    np.testing.assert_array_equal(compiled(X).numpy(), X + 1)


def test_named_sizes_take_the_long_way() -> None:
    compiled = px.compile(lambda x: x + 1, px.spec("f32[n,3]"))
    for rows in (1, 2):
        np.testing.assert_array_equal(compiled(px.asarray(X[:rows])).numpy(), X[:rows] + 1)
    assert compiled._warm is None
