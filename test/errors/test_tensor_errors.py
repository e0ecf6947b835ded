"""Misused tensors: each message, its class, its hint, and a traceback without our frames."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import phalanx as px
from phalanx.compiler import config

X = np.ones((3, 4), np.float32)


def cyclic() -> list[Any]:
    found: list[Any] = [px.asarray(1)]
    found.append(found)
    return found


def assign(x: Any, key: Any) -> None:
    x[key] = 1


CASES: list[tuple[Callable[[], Any], type[Exception], str, str]] = [
    # what becomes no tensor
    (lambda: px.asarray(["a", "b"]), px.DTypeError, "asarray: a list of dtype <U1 is not numeric", "pass numbers"),
    (lambda: px.asarray([object()]), px.DTypeError, "of dtype object is not numeric", "pass numbers"),
    (lambda: px.asarray(None), px.DTypeError, "a NoneType of dtype object", "pass numbers"),
    (lambda: px.asarray({"a": 1}), px.DTypeError, "a dict of dtype object", "pass numbers"),
    (lambda: px.asarray(np.zeros(2, "M8[s]")), px.DTypeError, r"datetime64\[s\] is not numeric", "pass numbers"),
    (lambda: px.asarray(np.ma.masked_array([1, 2], [0, 1])), px.DTypeError, "masked arrays", "filled"),
    (lambda: px.asarray(np.zeros(2, "f4,i4")), px.DTypeError, "is not numeric", "pass numbers"),
    (lambda: px.asarray([[1], [1, 2]]), px.DTypeError, "cannot make a tensor", "equal lengths"),
    (lambda: px.asarray([px.asarray([1]), [1, 2]]), px.DTypeError, "cannot make a tensor", "equal lengths"),
    (lambda: px.asarray(cyclic()), px.DTypeError, "lists nested more than 64 deep", "does a list hold itself"),
    (lambda: px.asarray(1j), px.DTypeError, "complex numbers are not supported", "real and imaginary"),
    (lambda: px.asarray(np.ones(2, complex)), px.DTypeError, "complex numbers are not supported", "real and imaginary"),
    (lambda: px.asarray(2**70), px.DTypeError, "does not fit any integer type", ""),
    (lambda: px.asarray([300], dtype="u8"), px.DTypeError, "values do not fit uint8", "gives int32"),
    (lambda: px.asarray(1, dtype="float31"), px.DTypeError, "no element type 'float31'", "one of bool, int8"),
    (lambda: px.asarray([1], copy=False), px.ArgumentError, "copy=False is not possible, a list", "copy=None"),
    (lambda: px.asarray(X, dtype="i8", copy=False), px.ArgumentError, "float32 has to be converted", "copy=None"),
    (lambda: px.asarray(X.T, copy=False), px.ArgumentError, "not contiguous", "copy=True"),
    (lambda: px.asarray(X, device="cuda:1"), px.DeviceError, "cpu: the backend has no device cuda:1", "it has cpu:0"),
    (lambda: px.asarray(X, device="gpu nr 1"), px.DeviceError, "device: cannot read 'gpu nr 1'", 'write "cpu"'),
    (lambda: px.from_dlpack([1.0]), px.DTypeError, "from_dlpack: a list has no __dlpack__", "px.asarray"),
    (lambda: px.from_dlpack(X, device="cuda:0"), px.DeviceError, "has no device cuda:0", "it has cpu:0"),
    # tensors that are no numbers
    (lambda: bool(px.asarray(X)), px.ShapeError, r"the truth value of f32\[3,4\] is ambiguous", "px.any"),
    (lambda: float(px.asarray(X)), px.ShapeError, r"float: only a rank-0 tensor is a number, got f32\[3,4\]", "x[0]"),
    (lambda: int(px.asarray([1])), px.ShapeError, "int: only a rank-0 tensor", "x[0]"),
    (lambda: [1, 2][px.asarray(1.0)], px.DTypeError, r"is an integer, got f32\[\]", "astype"),
    (lambda: px.asarray(X).item(), px.ShapeError, "item: only a tensor of one element", "x[i, j].item()"),
    (lambda: f"{px.asarray(X):.2f}", px.ShapeError, "format: only a rank-0 tensor takes a format", "numpy()"),
    # assignment and indexing
    (lambda: assign(px.asarray(X), 0), px.ImmutableError, "setitem: tensors are immutable", "x.at[key].set(value)"),
    (lambda: px.jit(lambda x: assign(x, 0))(X), px.ImmutableError, "setitem: tensors are immutable", ".at[key]"),
    (lambda: px.asarray(X)[3], px.OutOfRangeError, "index: 3 is out of range for axis 0 of size 3", ""),
    (lambda: px.asarray(X)[0, 0, 0], px.OutOfRangeError, "too many indices, got 3 for a tensor of rank 2", ""),
    (lambda: px.asarray(X)["a"], px.DTypeError, "a str cannot index a tensor", "integers, slices"),
    (lambda: px.asarray(X)[1.0], px.DTypeError, "a float cannot index a tensor", "integers, slices"),
    # operands
    (lambda: px.asarray(X) + np.ones(7), px.ShapeError, r"add: shapes do not broadcast, got \[3,4\] and \[7\]", ""),
    (lambda: px.asarray(X) @ X, px.ShapeError, "matmul", ""),
    (lambda: px.sum(px.asarray(X), axis=2), px.ShapeError, "sum: axis 2 is out of range for a tensor of rank 2", ""),
    (lambda: px.reshape(px.asarray(X), (5,)), px.ShapeError, "reshape: the number of elements differs", ""),
    (lambda: px.zeros((-1,)), px.ShapeError, "a size cannot be negative, got -1", ""),
    (lambda: px.asarray(X).to("nump"), px.ArgumentError, "backend: unknown name, got 'nump'", "did you mean 'numpy'"),
    (lambda: px.asarray(X).to("numpy") + px.asarray(X), px.DeviceError,
     "add: operands live on different backends, got numpy and cpu", 'x.to("numpy")'),
]


@pytest.mark.parametrize(("call", "kind", "message", "hint"), CASES, ids=[c[2][:40] for c in CASES])
def test_message(call: Callable[[], Any], kind: type[Exception], message: str, hint: str) -> None:
    with pytest.raises(kind, match=message) as caught:
        call()
    assert isinstance(caught.value, px.PhalanxError)
    assert hint in (caught.value.hint or "")


def test_rank_0_is_no_sequence() -> None:
    x = px.asarray(1.0)
    with pytest.raises(TypeError, match=r"len\(\) of a rank-0 tensor"):
        len(x)
    with pytest.raises(TypeError, match="iteration over a rank-0 tensor"):
        iter(x)
    with pytest.raises(AttributeError, match=r"a px.Tensor has no attribute 'shap'"):
        x.shap


def helper(x: Any) -> Any:
    return x + np.ones(7, np.float32)


@pytest.mark.parametrize("entry", [
    lambda: px.asarray(X) + np.ones(7),
    lambda: px.asarray(X)[9],
    lambda: px.add(px.asarray(X), np.ones(7)),
    lambda: px.jit(helper)(X),
    lambda: px.compile(helper, "f32[7]")(X),
    lambda: px.grad(lambda x: px.sum(helper(x)))(X),
    lambda: px.vmap(helper)(X),
], ids=["operator", "index", "op", "defn", "compiled", "grad", "vmap"])
def test_only_entry_frames_of_ours_are_left(entry: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(px.PhalanxError) as caught:
        entry()
    assert caught.value.location is not None and "test_tensor_errors.py" in caught.value.location
    files = [frame.filename for frame in traceback.extract_tb(caught.value.__traceback__)]
    ours = [f for f in files if "test_tensor_errors" not in f]
    assert len(ours) <= 3, files
    monkeypatch.setenv("PHALANX_FULL_TRACEBACK", "1")
    config.reload()
    with pytest.raises(px.PhalanxError) as whole:
        entry()
    assert len(traceback.extract_tb(whole.value.__traceback__)) > len(files)
