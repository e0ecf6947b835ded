"""Tensor as a Python and NumPy object: printing, numbers, iteration, pickling, conversions, operators."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import phalanx as px
from phalanx.dialects import dtypes
from phalanx.dialects.dtypes import DType


@pytest.mark.parametrize(("value", "text"), [
    (5.0, "px.Tensor(5., dtype=float32)"),
    (True, "px.Tensor(True, dtype=bool)"),
    (-3, "px.Tensor(-3, dtype=int32)"),
    ([1.0, 2.5], "px.Tensor([1.  2.5], dtype=float32)"),
    ([], "px.Tensor([], dtype=float32)"),
    (np.zeros((0, 3), np.int8), "px.Tensor([], shape=(0, 3), dtype=int8)"),
    ([[1, 2], [3, 4]], "px.Tensor([[1 2]\n           [3 4]], dtype=int32)"),
    (np.asarray([1.5, 2], dtypes.bfloat16.numpy), "px.Tensor([1.5 2. ], dtype=bfloat16)"),
    (np.asarray([0.1], np.float16), "px.Tensor([0.1], dtype=float16)"),
])
def test_repr(value: Any, text: str) -> None:
    assert repr(px.asarray(value)) == text


def test_repr_of_many_elements_is_short() -> None:
    assert repr(px.asarray(np.arange(5000))) == "px.Tensor([   0    1    2 ... 4997 4998 4999], dtype=int64)"


def test_printing_follows_numpys_options() -> None:
    with np.printoptions(precision=2):
        assert repr(px.asarray([1 / 3])) == "px.Tensor([0.33], dtype=float32)"


def test_printing_keeps_memory_exclusive() -> None:
    x = px.asarray([1.0, 2.0])
    repr(x), x.tolist(), x[0].item()
    assert x.storage.exclusive
    x.numpy()
    assert not x.storage.exclusive


def test_properties() -> None:
    x = px.asarray(np.zeros((2, 3), np.int16))
    assert (x.shape, x.ndim, x.size, x.itemsize, x.nbytes) == ((2, 3), 2, 6, 2, 12)
    assert x.dtype is px.int16 and x.dtype == np.int16
    assert str(x.device) == "cpu:0" and x.backend.name == "cpu"
    assert len(x) == 2


def test_python_numbers() -> None:
    assert float(px.asarray(1.5)) == 1.5
    assert int(px.asarray(2.9)) == 2
    assert complex(px.asarray(2.0)) == 2 + 0j
    assert bool(px.asarray(0.0)) is False
    assert ["a", "b"][px.asarray(1)] == "b"
    assert px.asarray([[7]]).item() == 7
    assert type(px.asarray(2.0).item()) is float
    assert px.asarray([[1, 2], [3, 4]]).tolist() == [[1, 2], [3, 4]]


def test_format() -> None:
    assert f"{px.asarray(1.23456):.2f}" == "1.23"
    assert f"{px.asarray(7):04d}" == "0007"
    assert f"{px.asarray([1, 2])}" == "px.Tensor([1 2], dtype=int32)"
    assert f"{px.asarray(1.5).astype(px.bfloat16):.1f}" == "1.5"


def test_iteration_gives_rows_and_ends() -> None:
    rows = list(px.asarray([[1, 2], [3, 4]]))
    assert [row.tolist() for row in rows] == [[1, 2], [3, 4]]
    first, second = px.asarray([5, 6])
    assert (int(first), int(second)) == (5, 6)


def test_contains() -> None:
    x = px.asarray([[1, 2], [3, 4]])
    assert 3 in x
    assert 9 not in x


def test_hash_is_identity_and_equality_elementwise() -> None:
    x, y = px.asarray([1, 2]), px.asarray([1, 3])
    assert (x == y).tolist() == [True, False]
    assert (x != y).tolist() == [False, True]
    assert len({x, y, x}) == 2
    assert (x == "text") is False
    assert (x == None) is False  # noqa: E711


def test_updates_leave_the_original() -> None:
    x = px.asarray([1, 2, 3])
    assert x.at[1].set(9).tolist() == [1, 9, 3]
    assert x.at[1:].add(10).tolist() == [1, 12, 13]
    assert x.tolist() == [1, 2, 3]
    y = x
    y += 1
    assert (x.tolist(), y.tolist()) == ([1, 2, 3], [2, 3, 4])


@pytest.mark.parametrize("dtype", dtypes.ALL, ids=str)
def test_pickle_and_deepcopy(dtype: DType) -> None:
    x = px.asarray(np.arange(6).reshape(2, 3).astype(dtype.numpy))
    for made in (pickle.loads(pickle.dumps(x)), copy.deepcopy({"x": x})["x"]):
        assert made is not x
        assert made.dtype is dtype and made.backend is x.backend
        assert np.array_equal(made.numpy(), x.numpy())
    assert copy.copy(x) is x


def test_pickle_keeps_the_backend() -> None:
    made = pickle.loads(pickle.dumps(px.asarray([1.0]).to("numpy")))
    assert made.backend.name == "numpy"


def test_numpy_view_is_read_only_and_shares_memory() -> None:
    x = px.asarray([1.0, 2.0])
    array = np.asarray(x)
    assert array.ctypes.data == x.storage.pointer
    assert not array.flags.writeable
    assert np.array(x).flags.writeable
    assert np.asarray(x, dtype=np.float64).dtype == np.float64
    with pytest.raises(ValueError, match="has to be converted to float64"):
        np.asarray(x, dtype=np.float64, copy=False)


def test_operators_beside_numpy_give_tensors_and_numpy_functions_arrays() -> None:
    x, array = px.asarray([1.0, 2.0]), np.asarray([10.0, 20.0], np.float32)
    for found in (x + array, array + x, np.float32(1) + x, np.asarray([10.0, 20.0]).tolist() + x):
        assert isinstance(found, px.Tensor)
        assert found.dtype is px.float32
    assert (array - x).tolist() == [9.0, 18.0]
    assert isinstance(np.add(x, 1), np.ndarray)
    assert isinstance(np.sin(x), np.ndarray)


def test_numbers_stay_with_the_tensor_they_meet() -> None:
    """Not with the backend in force, which is another one here."""
    x = px.asarray([1.0, 2.0]).to("numpy")
    found = 2 * x + np.ones(2, np.float32)
    assert found.backend.name == "numpy"
    assert found.tolist() == [3.0, 5.0]


def test_repeated_numbers_keep_their_sign_and_kind() -> None:
    one = px.asarray([1.0])
    assert px.copysign(one, 0.0).tolist() == [1.0]
    assert px.copysign(one, -0.0).tolist() == [-1.0]
    assert (px.asarray([5]) + True).tolist() == [6]
    assert (px.asarray([5]) + 1).tolist() == [6]


def test_namespace() -> None:
    x = px.asarray([1.0])
    assert x.__array_namespace__() is px
    assert x.__array_namespace__(api_version=px.__array_api_version__) is px


def test_methods_and_views() -> None:
    x = px.asarray(np.arange(6, dtype=np.float32).reshape(2, 3))
    assert x.T.tolist() == [[0.0, 3.0], [1.0, 4.0], [2.0, 5.0]]
    assert x.mT.shape == (3, 2)
    assert x.sum(axis=1).tolist() == [3.0, 12.0]
    assert x.astype(px.int8).dtype is px.int8
    assert x.reshape(3, 2).shape == (3, 2)
    duplicate = x.copy()
    assert duplicate.storage.pointer != x.storage.pointer
    assert x.to_device("cpu:0") is x


def test_numpy_functions_that_call_methods():
    x = px.asarray(np.arange(6, dtype=np.float32).reshape(2, 3))
    for name in ("mean", "sum", "max", "min", "prod", "argmax"):
        found = getattr(np, name)(x, axis=1)
        np.testing.assert_allclose(np.asarray(found), getattr(np, name)(x.numpy(), axis=1), rtol=1e-6)
