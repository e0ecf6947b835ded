"""Arguments nobody should pass: each gives an error of ours or the right result, never a crash."""

from __future__ import annotations

import collections
import os
import signal
import threading
from typing import Any

import numpy as np
import pytest
from numpy.lib.stride_tricks import as_strided

import phalanx as px

BASE = np.arange(24, dtype=np.float32).reshape(2, 3, 4)


def read_only() -> np.ndarray[Any, Any]:
    array = BASE.copy()
    array.flags.writeable = False
    return array


@pytest.mark.parametrize("array", [
    BASE[::-1], BASE[:, ::-1, ::2], BASE.T, np.broadcast_to(BASE[0, 0], (5, 4)), as_strided(BASE, (3, 3), (4, 4)),
    np.frombuffer(b"\0" + BASE.tobytes(), np.uint8)[1:].view(np.float32), read_only(), BASE.astype(">f4"),
    np.asfortranarray(BASE), BASE[:0], BASE[..., None][::-1], np.broadcast_to(np.float32(3), (2, 3))])
@pytest.mark.parametrize("backend", ["cpu", "numpy"])
def test_memory_of_any_layout(array: np.ndarray[Any, Any], backend: str) -> None:
    def function(x: Any) -> Any:
        return px.asarray(x) * 2 + 1

    with px.use_backend(backend):
        for found in (px.jit(function)(array), function(array)):
            np.testing.assert_array_equal(found, np.asarray(array, np.float32) * 2 + 1)


@pytest.mark.parametrize("value", [
    np.array([object()]), np.array("abc"), np.array("2020-01-01", dtype="M8[D]"), np.zeros(2, [("a", "f4")]),
    np.zeros(2, np.longdouble), np.zeros(2, np.complex64), 2**64, -2**63 - 1, 1j, "a", b"a", object(), {1, 2}, Ellipsis,
    np.ma.array([1.0, 2.0], mask=[0, 1])], ids=lambda value: f"{type(value).__name__}-{getattr(value, 'dtype', '')}")
def test_values_that_are_no_tensors(value: Any) -> None:
    for call in (px.asarray, px.jit(lambda x: x)):
        with pytest.raises(px.PhalanxError):
            call(value)


@pytest.mark.parametrize("axis", [
    3, -4, 1.0, True, float("nan"), "0", (0, 0), (0, -3), (0, 1.5), 2**70, ..., slice(1)], ids=repr)
@pytest.mark.parametrize("function", [px.sum, px.max, px.flip, px.softmax, px.squeeze, px.expand_dims, px.var])
def test_axes_out_of_their_mind(function: Any, axis: Any) -> None:
    if function is px.expand_dims and axis in (3, -4, (0, -3)):
        pytest.skip("an axis of the result")
    with pytest.raises(px.ShapeError, match="axis"):
        function(px.ones((2, 3, 4)), axis=axis)


@pytest.mark.parametrize("text", [
    "", "f32[", "f32]", "f32[1,]", "f32[-1]", "f32[1.5]", "f99[2]", "f32[2][3]", "f32[1e3]", "f32[__import__('os')]",
    "f32[?]", "f32\0[2]", "complex64[2]", 5, None, b"f32[2]", ("f32", (2,))], ids=repr)
def test_specs_that_are_none(text: Any) -> None:
    with pytest.raises(px.PhalanxError):
        px.spec(text)


def test_containers_of_any_kind() -> None:
    same = px.jit(lambda tree: tree)
    one = px.ones(1)
    for tree in ({1: one, "a": one}, {None: one}, {(1, 2): one, frozenset(): one}, [None, one], (), None,
                 collections.OrderedDict(b=one, a=one), collections.deque([one])):
        assert type(same(tree)) is type(tree)
    deep: Any = one
    for _ in range(200_000):
        deep = (deep,)
    cyclic: dict[str, Any] = {}
    cyclic["itself"] = cyclic
    for tree in (deep, cyclic):
        with pytest.raises(px.ArgumentError, match="holds itself"):
            same(tree)


class Boom(Exception):
    """The user's own."""


@pytest.mark.parametrize("failure", [Boom, KeyboardInterrupt, RecursionError, SystemExit])
def test_what_user_code_raises_leaves_nothing_behind(failure: type[BaseException]) -> None:
    def fail(*_: Any) -> Any:
        raise failure

    for function in (fail, lambda x: px.cond(x[0] > 0, fail, lambda c: c, x), lambda x: px.fori_loop(0, 3, fail, x),
                     lambda x: px.vmap(fail)(x), lambda x: px.grad(fail)(x), lambda x: px.io_call(x, fail)):
        with pytest.raises(failure):
            px.jit(function)(px.ones(2))
        assert px.jit(lambda x: px.sum(x * 2))(px.ones(3)) == 6


def test_calls_from_callbacks() -> None:
    seen: list[float] = []
    total = px.jit(lambda x: px.sum(x) * 3)
    function = px.jit(lambda x: px.fori_loop(
        0, 3, lambda i, c: px.io_call(c + 1, lambda v: seen.append(float(total(v) + px.sum(px.asarray(v))))) * 2, x))
    np.testing.assert_array_equal(function(px.ones(4)), [22.0] * 4)
    assert seen == [32.0, 80.0, 176.0]


def test_many_arguments_results_axes_and_levels() -> None:
    values = [px.full(3, float(i)) for i in range(200)]
    np.testing.assert_array_equal(px.jit(lambda *a: sum(a[1:], a[0]))(*values), [19900.0] * 3)
    assert float(px.jit(lambda x: [x + i for i in range(300)])(px.ones(3))[299][1]) == 300
    array = np.arange(2**16, dtype=np.float32).reshape((2,) * 16)
    np.testing.assert_array_equal(px.jit(lambda x: px.flip(px.transpose(x)) + x[..., :1])(array),
                                  np.flip(array.T) + array[..., :1])

    def nested(level: int, x: Any) -> Any:
        if not level:
            return px.sin(x) + 1
        if level % 2:
            return px.fori_loop(0, 2, lambda _, c: nested(level - 1, c), x)
        return px.cond(px.sum(x) > 0, lambda c: nested(level - 1, c), lambda c: c * 2, x)

    with px.options(compiler="evaluator"):
        expected = px.jit(lambda x: nested(8, x))(px.ones(3))
    np.testing.assert_allclose(px.jit(lambda x: nested(8, x))(px.ones(3)), expected, rtol=1e-5)


def test_positions_out_of_range_stay_inside_the_memory() -> None:
    x = np.arange(10, dtype=np.int32)
    for dtype in ("int8", "uint8", "int32", "int64", "uint64"):
        ends = np.asarray([np.iinfo(dtype).max, np.iinfo(dtype).min], dtype)
        read, written, window = px.jit(lambda x, i: (
            px.take(x, i), x.at[i].set(7), px.dynamic_slice(x, (i[0],), (3,))))(x, ends)
        assert set(read.tolist()) <= {0, 9} and window.tolist() == [7, 8, 9]
        assert written.tolist() == (x.tolist() if np.iinfo(dtype).min else [7, *x[1:].tolist()])


def test_integer_division_without_a_result_does_not_trap() -> None:
    for dtype in ("int8", "int32", "int64", "uint32"):
        least = np.iinfo(dtype).min
        left = np.asarray([least, 5, least], dtype)
        right = np.asarray([0, 0, -1 if least else 1], dtype)
        quotient, rest = px.jit(lambda a, b: (a // b, a % b))(left, right)
        np.testing.assert_array_equal(quotient, [0, 0, least])
        np.testing.assert_array_equal(rest, [0, 0, 0])


def test_calls_of_many_threads() -> None:
    function = px.jit(lambda x: px.sum(px.sin(x)) * 2)
    failures: list[BaseException] = []

    def work(first: int) -> None:
        try:
            for size in range(first, first + 6):
                assert np.isclose(float(function(px.ones(size))), np.sin(1) * 2 * size, rtol=1e-5)
        except BaseException as error:  # noqa: BLE001 - shown by the assertion below
            failures.append(error)

    threads = [threading.Thread(target=work, args=(first,)) for first in (1, 4, 7, 10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_compiling_and_running_after_fork() -> None:
    function = px.jit(lambda x: px.sum(px.sin(x) @ x))
    x = px.ones((200, 200))
    function(x)
    child = os.fork()
    if not child:
        signal.alarm(60)
        function(x)
        px.jit(lambda x: x @ x + 3)(x)
        os._exit(0 if float(px.sum(px.ones(5) + 1)) == 10 else 1)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize(("call", "message"), [
    (lambda: px.pad(px.ones(2), 1), "pad: missing a required argument: 'config'"),
    (lambda: px.sum(), "sum: missing a required argument: 'x'"),
    (lambda: px.sum(px.ones(2), 0, 0, 0), "sum: too many positional arguments"),
    (lambda: px.reshape(px.ones((2, 3)), (-1, -1)), "reshape"),
    (lambda: px.grad(lambda x: px.sum(x), argnums="x")(px.ones(2)), "argnums are positions"),  # type: ignore[arg-type]
    (lambda: px.set_threads(0), "an integer >= 1"),
    (lambda: px.zeros((2**62, 8)), "full: no memory has that many elements"), (lambda: px.arange(0, 1e30), "no memory has"),
    (lambda: px.jit(lambda: px.sum(px.zeros((2**33, 2**33))))(), "no memory has"),
    (lambda: px.zeros(2**70), "no memory has")])
def test_calls_that_do_not_fit(call: Any, message: str) -> None:
    with pytest.raises(px.PhalanxError, match=message):
        call()
