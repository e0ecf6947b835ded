"""Indexing as NumPy's, updates, gather and scatter: placement of axes, repeated and out-of-range positions, errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import phalanx as px

X = np.arange(120.0).reshape(2, 3, 4, 5)
I = np.array([0, 1, 0])  # noqa: E741 - the usual name of an index
J = np.array([[2], [0]])
MASK = np.zeros((3, 4), bool)
MASK[0, 1] = MASK[2, 3] = MASK[1, 0] = True
ALL = slice(None)

KEYS: list[Any] = [
    0, -1, (0, 1), (0, 0, 0, 0), slice(None, None, -1), (ALL, slice(2, 0, -1)), (..., -1), (..., None), slice(0, 0),
    (None, 1, ..., slice(1, None, 2)), (I,), (ALL, I), (ALL, I, I), (I, ALL, I), (0, ALL, I), (ALL, 0, I),
    (ALL, 0, J, I), (ALL, 0, None, I), (I, J), (I, None, J), (slice(1, None), ALL, I, slice(None, None, -2)),
    (ALL, MASK), (ALL, [0, 2]), ([],), (ALL, None, I), (..., I, 0), (slice(None, None, 2), 1, slice(3, None, -1), I),
    (np.int64(1), np.array(2)), (I - 2, 1)]


@pytest.fixture(autouse=True)
def evaluator() -> Any:
    with px.use_backend("numpy"), px.options(compiler="evaluator"):
        yield


def with_tensors(key: Any) -> Any:
    def turn(item: Any) -> Any:
        return px.asarray(item) if isinstance(item, np.ndarray) and item.dtype.kind == "i" else item

    return tuple(map(turn, key)) if isinstance(key, tuple) else turn(key)


@pytest.mark.parametrize("key", KEYS, ids=repr)
@pytest.mark.parametrize("form", ["array", "tensor", "traced"])
def test_reading_as_numpy(key: Any, form: str) -> None:
    expected = X[key]
    if form == "traced":
        found = px.jit(lambda x: x[with_tensors(key)])(X).numpy()
    else:
        found = px.asarray(X)[key if form == "array" else with_tensors(key)].numpy()
    assert found.shape == expected.shape
    np.testing.assert_array_equal(found, expected)


UFUNCS = {"add": np.add, "multiply": np.multiply, "min": np.minimum, "max": np.maximum}


@pytest.mark.parametrize("key", KEYS, ids=repr)
@pytest.mark.parametrize("combine", ["set", *UFUNCS])
def test_updates_as_numpy(key: Any, combine: str) -> None:
    value = np.asarray(np.random.default_rng(0).uniform(0, 100, np.shape(X[key])))
    expected = X.copy()
    if combine == "set":
        expected[key] = value
    else:
        UFUNCS[combine].at(expected, key, value)
    found = px.jit(lambda x, v: getattr(x.at[with_tensors(key)], combine)(v))(X, value)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)


def test_values_broadcast_and_take_the_dtype_of_the_tensor() -> None:
    x = px.zeros((2, 3), dtype=px.float32)
    assert x.at[:, [0, 2]].set([1, 2]).numpy().tolist() == [[1, 0, 2], [1, 0, 2]]
    assert x.at[..., None, 1].set(4).dtype is px.float32
    assert float(px.sum(x.at[1].add(2.5))) == 7.5


def test_positions_out_of_range_are_clamped_when_read_and_dropped_when_written() -> None:
    x = px.asarray([1.0, 2.0, 3.0])
    far = px.asarray([-9, 1, 9])
    assert x[far].numpy().tolist() == [1, 2, 3]
    assert x.at[far].add(10.0).numpy().tolist() == [1, 12, 3]
    assert x.at[far].add(10.0, mode="clip").numpy().tolist() == [11, 12, 13]
    assert px.take(x, far).numpy().tolist() == [1, 2, 3]
    assert px.indexed_add(x, px.asarray([[7]]), px.asarray([1.0])).numpy().tolist() == [1, 2, 4]
    assert px.gather(x, [np.array([2**63], np.uint64)]).numpy().tolist() == [3]


def test_of_repeated_positions_the_last_one_stays() -> None:
    for backend in ("numpy", "cpu"):
        with px.use_backend(backend), px.options(compiler="mlir" if backend == "cpu" else "evaluator"):
            x = px.zeros((2,))
            assert px.jit(lambda x: x.at[[1, 1, 1]].set([5.0, 6.0, 7.0]))(x).numpy().tolist() == [0, 7]
            assert px.jit(lambda x: x.at[[1, 1, 1]].add([5.0, 6.0, 7.0]))(x).numpy().tolist() == [0, 18]


def test_gradient_of_set_goes_to_the_update_that_stayed() -> None:
    def loss(x: Any, v: Any) -> Any:
        return px.sum(x.at[px.asarray([1, 1, 5])].set(v) * np.array([1.0, 10.0]))

    dx, dv = px.grad(loss, argnums=(0, 1))(np.zeros(2), np.array([3.0, 4.0, 5.0]))
    assert dx.numpy().tolist() == [1, 0]
    assert dv.numpy().tolist() == [0, 10, 0]


def test_gradient_of_multiply_with_zeros() -> None:
    gradient = px.grad(lambda v: px.sum(px.asarray([2.0]).at[px.asarray([0, 0])].multiply(v)))
    assert gradient(np.array([0.0, 3.0], np.float32)).numpy().tolist() == [6, 0]
    assert gradient(np.array([0.0, 0.0], np.float32)).numpy().tolist() == [0, 0]


def test_iteration_ends() -> None:
    assert [float(v) for v in px.asarray([1.0, 2.0])] == [1, 2]
    first, second = px.asarray([[1, 2], [3, 4]])
    assert second.numpy().tolist() == [3, 4]
    assert first.shape == (2,)


def test_nx_forms() -> None:
    t = px.asarray(np.arange(6.0).reshape(2, 3))
    assert px.gather(t, np.array([[0, 2], [1, 0]])).numpy().tolist() == [2, 3]
    assert px.gather(t, np.array([[2]]), axes=(1,)).numpy().tolist() == [[2, 5]]
    assert px.indexed_put(t, np.array([[0]]), np.full((1, 3), 9.0)).numpy().tolist() == [[9, 9, 9], [3, 4, 5]]
    assert px.take_along_axis(t, np.array([[-1], [0]]), axis=1).numpy().tolist() == [[2], [3]]


def test_reading_nothing_from_an_empty_tensor() -> None:
    empty = px.zeros((0, 3))
    assert empty[px.zeros((0,), dtype=px.int32)].shape == (0, 3)
    with pytest.raises(px.ShapeError, match="nothing to read along an empty axis"):
        empty[px.asarray([0])]
    assert empty.at[px.asarray([0])].add(1.0).shape == (0, 3)


@pytest.mark.parametrize(("key", "error", "message"), [
    (5, IndexError, r"index: 5 is out of range for axis 0 of size 2"),
    ((0, 0, 0, 0, 0), IndexError, r"too many indices, got 5 for a tensor of rank 4"),
    (np.array([7]), IndexError, r"a position is out of range for axis 0 of size 2"),
    (np.zeros(4, bool), IndexError, r"the mask has size 4 where the tensor has 2"),
    ("a", px.DTypeError, r"a str cannot index a tensor"),
    (1.5, px.DTypeError, r"a float cannot index a tensor"),
    (np.array([0.5]), px.DTypeError, r"positions are integers"),
    ((..., ...), px.ShapeError, r"can stand only once"),
    (slice(None, None, 0), px.ShapeError, r"a step cannot be 0"),
])
def test_errors(key: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        px.asarray(X)[key]


def test_a_traced_mask_is_refused_with_the_right_form() -> None:
    with pytest.raises(px.TraceError, match=r"(?s)boolean mask.*px\.where\(mask, x, other\)"):
        px.jit(lambda x: x[x > 0])(X)


def test_updates_that_do_not_fit_are_refused() -> None:
    with pytest.raises(px.DTypeError, match=r"(?s)a float32 value does not fit into a int32 tensor.*astype"):
        px.asarray([1, 2]).at[0].set(0.5)
    with pytest.raises(px.ShapeError, match=r"does not fit"):
        px.asarray([1, 2]).at[:].set([1, 2, 3])
    with pytest.raises(px.ArgumentError, match=r"mode one of clip, drop"):
        px.asarray([1, 2]).at[px.asarray([0])].set(1, mode="wrap")
    with pytest.raises(px.DTypeError, match=r"cannot add bool"):
        px.scatter(px.asarray([True]), px.asarray([True]), [px.asarray([0])], combine="add")
