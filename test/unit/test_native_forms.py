"""Calls with keywords, containers, static and donated arguments and named sizes, by the entry in machine code."""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict, namedtuple
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import phalanx as px
from phalanx.compiler import api
from phalanx.compiler.entry import layout

pytestmark = pytest.mark.skipif(layout.slots() is None, reason="no native entry in this interpreter")

X = np.arange(6, dtype=np.float32).reshape(2, 3)
OFTEN = 40


@pytest.fixture
def in_python(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A list that grows by one for every call of a defn that machine code did not take."""
    seen: list[str] = []
    call = api.Defn._call_in_python

    def counted(self: Any, args: Any, kwargs: Any) -> Any:
        seen.append(self.name)
        return call(self, args, kwargs)

    monkeypatch.setattr(api.Defn, "_call_in_python", counted)
    return seen


def calls_in_python(seen: list[str], call: Any) -> int:
    """How many of some calls go through Python, once there have been many."""
    for _ in range(OFTEN):
        call()
    seen.clear()
    for _ in range(10):
        call()
    return len(seen)


@pytest.mark.parametrize("call", [
    lambda f, x: f(x, y=x), lambda f, x: f(y=x, x=x), lambda f, x: f(x=x, y=x), lambda f, x: f(x, x),
    lambda f, x: f(x, y=x, scale=2.0), lambda f, x: f(x, x, 3.0), lambda f, x: f(*[x], y=x, scale=x),
])
def test_keywords(call: Any, in_python: list[str]) -> None:
    f = px.jit(lambda x, y, scale=1.0: x * 2 + y * scale)
    x = px.asarray(X)
    expected = call(lambda x, y, scale=1.0: x * 2 + y * scale, X)
    for value in (x, X):
        assert calls_in_python(in_python, lambda: call(f, value)) == 0  # noqa: B023
        np.testing.assert_array_equal(call(f, value).numpy(), expected)


def test_orders_of_keywords_take_one_way(in_python: list[str]) -> None:
    f = px.jit(lambda x, y, z: x - y * z)
    assert calls_in_python(in_python, lambda: f(z=X, x=X, y=X)) == 0
    np.testing.assert_array_equal(f(y=X, z=X + 1, x=X).numpy(), X - X * (X + 1))
    np.testing.assert_array_equal(f(x=X + 2, y=X, z=X + 1).numpy(), X + 2 - X * (X + 1))
    assert in_python == []


def test_wrong_keywords_raise_as_ever() -> None:
    f = px.jit(lambda x, y: x - y)
    for _ in range(OFTEN):
        f(X, y=X)
    for args, kwargs in (((X,), {}), ((X,), {"z": X}), ((X, X), {"y": X}), ((X,), {"y": X, "z": X}), ((), {"y": X})):
        with pytest.raises(px.ArgumentError):
            f(*args, **kwargs)
    np.testing.assert_array_equal(f(X, y=X).numpy(), X - X)


Pair = namedtuple("Pair", "w b")

TREES: dict[str, Any] = {
    "dict": {"w": X, "b": X + 1}, "order": {"z": X, "a": X + 1, "m": X + 2}, "list": [X, X + 1], "tuple": (X, X + 1, X + 2),
    "nested": {"layers": [{"w": X, "b": (X + 1, None)}, {"w": X + 2, "b": (X + 3, None)}], "scale": 2.0},
    "empty": {"none": {}, "list": [], "tuple": (), "nothing": None, "x": X}, "one": [[[{"deep": (X,)}]]],
    "numbers": {"i": 3, "f": 2.5, "t": True, "x": X},
}


def add_all(tree: Any, y: Any) -> Any:
    import optree

    total = y
    for leaf in optree.tree_leaves(tree):
        total = total * 2 + leaf
    return total


@pytest.mark.parametrize("name", TREES)
def test_containers(name: str, in_python: list[str]) -> None:
    f, tree = px.jit(add_all), TREES[name]
    assert calls_in_python(in_python, lambda: f(tree, X)) == 0
    np.testing.assert_allclose(f(tree, X).numpy(), add_all(tree, X), rtol=1e-6)
    assert calls_in_python(in_python, lambda: f(y=px.asarray(X), tree=tree)) == 0
    np.testing.assert_allclose(f(y=X, tree=tree).numpy(), add_all(tree, X), rtol=1e-6)


def test_the_order_of_a_dictionary_does_not_matter(in_python: list[str]) -> None:
    f = px.jit(lambda p: p["a"] - p["b"])
    assert calls_in_python(in_python, lambda: f({"a": X, "b": X + 1})) == 0
    assert f({"b": X + 1, "a": X}).tolist() == (X - (X + 1)).tolist()
    assert in_python == []


@pytest.mark.parametrize("tree", [
    Pair(X, X + 1), OrderedDict(w=X, b=X + 1), {1: X, 2: X + 1}, type("D", (dict,), {})(w=X), {"w": X, 3.5: X},
], ids=["namedtuple", "ordered", "numbers", "subclass", "mixed"])
def test_other_containers_go_through_python(tree: Any) -> None:
    def f(tree: Any) -> Any:
        import optree

        return [leaf + 1 for leaf in optree.tree_leaves(tree)]

    try:
        expected = [leaf.tolist() for leaf in px.jit(f)(tree)]
    except (px.PhalanxError, TypeError) as error:
        with pytest.raises(type(error)):
            px.jit(f)(tree)
        return
    jitted = px.jit(f)
    for _ in range(OFTEN):
        assert [leaf.tolist() for leaf in jitted(tree)] == expected


@pytest.mark.parametrize("other", [
    {"w": X}, {"w": X, "c": X}, {"w": X, "b": X, "c": X}, {"w": X, "b": [X]}, {"w": X, "b": None}, {"w": X[:1], "b": X[:1]},
    {"w": X.astype(np.float64), "b": X}, [X, X], (X, X), X, None, OrderedDict(w=X, b=X), {"w": X, "b": "text"},
    {"w": X, "b": 2.0}, {1: X, 2: X}, {"w": X, "b": X, None: X}, {}, Pair(X, X), "text",
])
def test_another_structure_is_noticed(other: Any) -> None:
    def f(p: Any) -> Any:
        import optree

        return [leaf + 1 for leaf in optree.tree_leaves(p)]

    jitted = px.jit(f)
    for _ in range(OFTEN):
        jitted({"w": X, "b": X})
    results = []
    for function in (jitted, px.jit(f)):
        try:
            results.append([leaf.tolist() for leaf in function(other)])
        except (px.PhalanxError, TypeError) as error:
            results.append(type(error))
    assert results[0] == results[1]
    assert [leaf.tolist() for leaf in jitted({"w": X, "b": X})] == [(X + 1).tolist()] * 2


def test_keys_that_are_hostile() -> None:
    class Key:
        def __hash__(self) -> int:
            return hash("w")

        def __eq__(self, other: object) -> bool:
            raise RuntimeError("compared")

    f = px.jit(lambda p: p["w"] + 1)
    for _ in range(OFTEN):
        f({"w": X})
    with pytest.raises((RuntimeError, px.PhalanxError, KeyError, TypeError)):
        f({Key(): X})
    assert f({"w": X}).tolist() == (X + 1).tolist()


def test_static_arguments(in_python: list[str]) -> None:
    f = px.jit(lambda x, n, *, kind="a": x * n if kind == "a" else x - n, static=("n", "kind"))
    assert calls_in_python(in_python, lambda: f(X, 2)) == 0
    assert calls_in_python(in_python, lambda: f(X, n=3, kind="b")) == 0
    assert calls_in_python(in_python, lambda: f(X, int("1000"))) == 0  # equal, not identical
    shape = (2, 3)
    assert calls_in_python(in_python, lambda: f(X, n=2, kind=shape)) == 0
    assert f(X, 2).tolist() == (X * 2).tolist()
    assert f(X, n=3, kind="b").tolist() == (X - 3).tolist()
    assert f(X, 3).tolist() == (X * 3).tolist()
    assert f(X, True).tolist() == X.tolist()
    assert f(X, 2.0, kind="a").tolist() == (X * 2).tolist()


def test_inside_a_trace_it_is_traced() -> None:
    f = px.jit(lambda p, *, y: p["x"] * y)
    for _ in range(OFTEN):
        f({"x": X}, y=2.0)
    whole = px.jit(lambda x: f({"x": x}, y=x) + 1)
    assert whole(X).tolist() == (X * X + 1).tolist()


def test_a_compiled_function_of_containers() -> None:
    compiled = px.compile(lambda p, x: p["w"] * x, {"w": px.spec("f32[2,3]")}, px.spec("f32[2,3]"))
    for value in range(OFTEN):
        assert compiled({"w": X + value}, x=X).tolist() == ((X + value) * X).tolist()
    assert compiled.ways.entries


def test_named_sizes() -> None:
    compiled = px.compile(lambda x, y: (x @ y, px.sum(x, axis=1)), px.spec("f32[n,k]"), px.spec("f32[k,m]"))
    for _ in range(OFTEN):
        for n, k, m in ((2, 3, 4), (1, 1, 1), (5, 0, 2)):
            a, b = np.ones((n, k), np.float32), np.full((k, m), 2, np.float32)
            product, total = compiled(a, px.asarray(b))
            assert product.tolist() == (a @ b).tolist()
            assert total.tolist() == a.sum(axis=1).tolist()
    assert len(compiled.ways.entries) == 3
    with pytest.raises(px.ShapeError):
        compiled(np.ones((2, 3), np.float32), np.ones((4, 2), np.float32))


# Donation.

def test_donated_memory_is_used_again(in_python: list[str]) -> None:
    f = px.jit(lambda x: x + 1, donate=("x",))
    held = [px.asarray(X)]
    addresses = set()

    def call() -> None:
        before = held[0]
        held[0] = f(before)
        assert before.is_deleted
        addresses.add(held[0].storage.pointer)

    assert calls_in_python(in_python, call) == 0
    assert held[0].tolist() == (X + OFTEN + 10).tolist()
    assert len(addresses) == 1


def test_a_donated_tensor_says_so() -> None:
    f = px.jit(lambda params, x: {k: v * x for k, v in params.items()}, donate=("params",))
    params = {"w": px.asarray(X), "b": px.asarray(X)}
    for _ in range(OFTEN):
        before, params = params, f(params, 1.0)
    for gone in before.values():
        with pytest.raises(px.DeviceError, match=r"argument 'params\['.'\]' of '<lambda>' was donated"):
            gone.numpy()
    with pytest.raises(px.DeviceError, match="was donated"):
        f(before, 1.0)
    assert params["w"].tolist() == X.tolist()


def test_results_of_donation_survive_what_follows() -> None:
    f = px.jit(lambda x, y: (x + y, px.sum(x)), donate=("x",))
    kept = []
    for number in range(3 * OFTEN):
        total, alone = f(px.asarray(X + number), X)
        kept.append((total, alone))
    for number, (total, alone) in enumerate(kept):
        assert total.tolist() == (X + number + X).tolist()
        assert float(alone) == (X + number).sum()


def test_memory_others_look_at_is_not_taken() -> None:
    f = px.jit(lambda x: x + 1, donate=("x",))
    for _ in range(OFTEN):
        f(px.asarray(X))
    for _ in range(3):
        x = px.asarray(X)
        view = x.numpy()
        assert f(x).tolist() == (X + 1).tolist()
        assert view.tolist() == X.tolist()
        assert x.is_deleted
    array = X.copy()
    assert f(array).tolist() == (X + 1).tolist()
    assert array.tolist() == X.tolist()


def test_one_tensor_passed_twice() -> None:
    f = px.jit(lambda x, y: (x + 1, x * y), donate=("x",))
    for _ in range(OFTEN):
        f(px.asarray(X), px.asarray(X))
    for _ in range(3):
        x = px.asarray(X)
        more, square = f(x, x)
        assert more.tolist() == (X + 1).tolist()
        assert square.tolist() == (X * X).tolist()
        assert x.is_deleted


def test_donated_without_a_result_to_take_it(in_python: list[str]) -> None:
    f = px.jit(lambda x: px.sum(x), donate=("x",))
    tensors = [px.asarray(X) for _ in range(OFTEN + 10)]
    remaining = iter(tensors)
    assert calls_in_python(in_python, lambda: f(next(remaining))) == 0
    assert all(tensor.is_deleted for tensor in tensors)


@pytest.mark.parametrize("size", [4, 300, 700])  # many rows at once, some rows, rows that move
def test_donation_of_every_size(size: int) -> None:
    f = px.jit(lambda x, y: (x + y, x * 2), donate=("x",))
    x, total = px.zeros((size, size)), 0
    ones = px.ones((size, size))
    for number in range(OFTEN):
        x, twice = f(x, ones)
        assert float(twice[size - 1, 0]) == 2 * number
        total += 1
    assert float(x[0, size - 1]) == total


def test_donated_memory_is_given_back() -> None:
    f = px.jit(lambda x: x + 1, donate=("x",))
    x = px.asarray(X)
    for _ in range(OFTEN):
        x = f(x)
    watched = weakref.ref(x.storage.memory)
    x = f(x)
    assert watched() is x.storage.memory
    del x
    for _ in range(OFTEN):
        f(px.asarray(X))
    assert watched() is None


def test_results_that_were_given_away_again() -> None:
    f = px.jit(lambda x: x * 2, donate=("x",))
    g = px.jit(lambda x: x + 1, donate=("x",))
    for number in range(2 * OFTEN):
        assert f(g(f(px.asarray(X + number)))).tolist() == (((X + number) * 2 + 1) * 2).tolist()


def test_threads_donate_their_own() -> None:
    def step(params: Any, x: Any) -> Any:
        return {name: px.tanh(value) * 0 + value + x for name, value in params.items()}

    f = px.jit(step, donate=("params",))
    start = threading.Barrier(4)

    def work(number: int) -> None:
        params = {"a": px.full((40, 30), float(number)), "b": px.zeros((40, 30))}
        start.wait()
        for _ in range(200):
            params = f(params, 1.0)
        assert float(params["a"][39, 29]) == number + 200
        assert float(params["b"][0, 0]) == 200

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(work, number) for number in range(4)]:
            done.result()
