"""px.asarray and px.from_dlpack: what becomes a tensor, of which dtype, with or without a copy."""

from __future__ import annotations

import array
from typing import Any

import numpy as np
import pytest

import phalanx as px
from phalanx.dialects import dtypes


@pytest.mark.parametrize(("value", "dtype"), [
    (1, px.int32), (True, px.bool), (1.5, px.float32), (2**40, px.int64), (2**63, px.uint64),
    ([1, 2], px.int32), ([1, 2.5], px.float32), ([True, False], px.bool), ([], px.float32), ([2**40], px.int64),
    (np.float64(1.5), px.float64), ([np.float64(1.5)], px.float64), (np.arange(3, dtype=np.uint8), px.uint8),
    (array.array("h", [1, 2]), px.int16), (memoryview(b"ab"), px.uint8), (range(3), px.int32),
])
def test_dtypes(value: Any, dtype: px.DType) -> None:
    assert px.asarray(value).dtype is dtype


def test_wanted_dtype() -> None:
    assert px.asarray([1.5, 2], dtype="bf16").dtype is px.bfloat16
    assert px.asarray(3.7, dtype=px.int32).item() == 3
    assert px.asarray(np.arange(3), dtype=px.float32).tolist() == [0.0, 1.0, 2.0]
    assert px.asarray(px.asarray([1, 2]), dtype=px.float64).dtype is px.float64


@pytest.mark.parametrize("view", [
    lambda a: a[::2], lambda a: a[::-1], lambda a: a.reshape(3, 4).T, lambda a: a[1:], lambda a: a.astype(">f4"),
    lambda a: np.broadcast_to(a[:1], (5, 1)), lambda a: a[:0],
    lambda a: np.frombuffer(b"\0" + a.tobytes(), np.uint8)[1:].view(np.float32),
], ids=["strided", "reversed", "transposed", "offset", "big endian", "broadcast", "empty", "misaligned"])
def test_any_memory_layout(view: Any) -> None:
    source = view(np.arange(12, dtype=np.float32))
    assert np.array_equal(px.asarray(source).numpy(), source)


def test_later_writes_do_not_reach_the_tensor() -> None:
    source = np.arange(3)
    x = px.asarray(source)
    locked = source.view()
    locked.flags.writeable = False
    y = px.asarray(locked)
    source[0] = 99
    assert x[0].item() == 0 and y[0].item() == 0


def test_sharing_on_request() -> None:
    memory = np.zeros(64 + 16, np.uint8)
    start = -memory.ctypes.data % 64
    source = memory[start:start + 16].view(np.float32)
    x = px.asarray(source, copy=False)
    assert x.storage.pointer == source.ctypes.data
    assert px.asarray(x, copy=False) is x
    assert px.asarray(x) is x
    assert px.asarray(x, copy=True) is not x


def test_lists_with_tensors_inside() -> None:
    row = px.asarray([1.0, 2.0])
    assert px.asarray([row, [3, 4]]).tolist() == [[1.0, 2.0], [3.0, 4.0]]
    made = px.asarray([px.asarray(1, dtype=px.int8), 2])
    assert made.dtype is px.int8 and made.tolist() == [1, 2]
    assert px.asarray([px.asarray(1), 2.5]).dtype is px.float32


def test_lists_as_operands() -> None:
    x = px.asarray(1.0)
    assert px.sum([x, 2.5]).dtype is px.float32
    assert px.add(px.asarray([1.0, 2.0]), [x, 3]).tolist() == [2.0, 5.0]
    assert px.jit(lambda a, b: px.add(a, [b, 3]))(px.asarray([1.0, 2.0]), x).tolist() == [2.0, 5.0]


def test_inside_a_traced_function() -> None:
    found = px.jit(lambda a: px.asarray([a, a * 2, 0.5]))(px.asarray(3.0))
    assert found.tolist() == [3.0, 6.0, 0.5]
    assert px.jit(lambda a: px.asarray(a, dtype=px.int32))(2.5).tolist() == 2


@pytest.mark.parametrize("backend", ["cpu", "numpy", "array_api_strict"])
@pytest.mark.parametrize("view", [lambda a: a, lambda a: a.T, lambda a: a[::-1, ::2], lambda a: a[1:, 1:]])
def test_dlpack_in(backend: str, view: Any) -> None:
    source = view(np.arange(12, dtype=np.float32).reshape(3, 4))
    with px.use_backend(backend):
        x = px.from_dlpack(source)
        assert x.backend.name == backend
        assert np.array_equal(x.numpy(), source)


def test_dlpack_read_only_producer() -> None:
    source = np.arange(4.0)
    source.flags.writeable = False
    assert px.from_dlpack(source).tolist() == [0.0, 1.0, 2.0, 3.0]


@pytest.mark.parametrize("dtype", dtypes.ALL, ids=str)
def test_dlpack_between_tensors(dtype: px.DType) -> None:
    x = px.asarray(np.arange(6).reshape(2, 3).astype(dtype.numpy))
    shared, copied = px.from_dlpack(x), px.from_dlpack(x, copy=True)
    assert shared.dtype is dtype and shared.storage.pointer == x.storage.pointer
    assert copied.storage.pointer != x.storage.pointer
    assert np.array_equal(copied.numpy(), x.numpy())


@pytest.mark.parametrize("backend", ["cpu", "numpy", "array_api_strict"])
def test_dlpack_out(backend: str) -> None:
    x = px.asarray([1.0, 2.0]).to(backend)
    array = np.from_dlpack(x)
    assert array.tolist() == [1.0, 2.0]
    assert not array.flags.writeable
    assert x.__dlpack_device__() == (1, 0)


def test_torch_both_ways() -> None:
    torch = pytest.importorskip("torch")
    source = torch.arange(6, dtype=torch.bfloat16).reshape(2, 3).T
    x = px.asarray(source)
    assert x.dtype is px.bfloat16 and x.shape == (3, 2)
    assert x.tolist() == source.tolist()
    assert torch.from_dlpack(x).tolist() == source.tolist()
