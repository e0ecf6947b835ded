"""DLPack both ways: strides, read-only memory, versions, bfloat16, devices."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from phalanx.dialects import dtypes
from phalanx.dialects.dtypes import DType
from phalanx.dialects.errors import DeviceError
from phalanx.runtime.buffer import Buffer, buffer_from_dlpack
from phalanx.runtime.dlpack import HOST_DEVICE


class Legacy:
    """A producer that knows none of the keywords of DLPack 1.0."""

    def __init__(self, array: Any) -> None:
        self.array = array

    def __dlpack__(self) -> Any:
        return self.array.__dlpack__()

    def __dlpack_device__(self) -> tuple[int, int]:
        return HOST_DEVICE


class Elsewhere(Legacy):
    def __dlpack_device__(self) -> tuple[int, int]:
        return (2, 0)


@pytest.mark.parametrize("dtype", [d for d in dtypes.ALL if d is not dtypes.bfloat16], ids=str)
@pytest.mark.parametrize("shape", [(), (0, 3), (2, 3)])
def test_numpy_reads_us_without_a_copy(dtype: DType, shape: tuple[int, ...]) -> None:
    buffer = Buffer.from_numpy(np.ones(shape, dtype.numpy))
    array = np.from_dlpack(buffer)
    assert array.dtype == dtype.numpy
    assert array.shape == shape
    assert array.size == 0 or array.ctypes.data == buffer.pointer
    assert not array.flags.writeable
    assert not buffer.exclusive


@pytest.mark.parametrize("dtype", dtypes.ALL, ids=str)
def test_buffer_to_buffer_shares(dtype: DType) -> None:
    source = Buffer.from_numpy(np.arange(6).reshape(2, 3).astype(dtype.numpy))
    target = buffer_from_dlpack(source)
    assert (target.dtype, target.shape, target.pointer) == (dtype, (2, 3), source.pointer)
    assert buffer_from_dlpack(source, copy=True).pointer != source.pointer
    source.deallocate()
    assert np.array_equal(target.to_numpy(), np.arange(6).reshape(2, 3).astype(dtype.numpy))


@pytest.mark.parametrize(
    "view", [lambda a: a.T, lambda a: a[:, ::2], lambda a: a[::-1], lambda a: a[1:, 1:]], ids=range(4)
)
def test_strides_are_honoured(view: Any) -> None:
    array = view(np.arange(24.0).reshape(4, 6))
    assert np.array_equal(buffer_from_dlpack(array).to_numpy(), array)
    assert np.array_equal(buffer_from_dlpack(Legacy(array)).to_numpy(), array)
    with pytest.raises(BufferError, match="copy=False is not possible"):
        buffer_from_dlpack(array, copy=False)


def test_consumers_of_the_old_protocol_get_a_copy() -> None:
    buffer = Buffer.from_numpy(np.zeros(4))
    array = np.from_dlpack(Legacy(buffer))
    assert array.ctypes.data != buffer.pointer
    with pytest.raises(BufferError, match="DLPack before"):
        buffer.__dlpack__(copy=False)


def test_keywords_of_the_standard() -> None:
    buffer = Buffer.from_numpy(np.zeros(4))
    assert buffer.__dlpack_device__() == (1, 0)
    assert buffer.__dlpack__(max_version=(1, 0), dl_device=(1, 0), copy=False) is not None
    copied = np.from_dlpack(buffer, copy=True)
    assert copied.ctypes.data != buffer.pointer
    with pytest.raises(BufferError, match="no streams, got stream=1"):
        buffer.__dlpack__(stream=1)
    with pytest.raises(BufferError, match=r"only host memory .* got dl_device=\(2, 0\)"):
        buffer.__dlpack__(max_version=(1, 0), dl_device=(2, 0))


def test_producers_elsewhere_are_refused() -> None:
    with pytest.raises(DeviceError, match=r"on DLPack device \(2, 0\), not on the host"):
        buffer_from_dlpack(Elsewhere(np.zeros(2)))
    with pytest.raises(DeviceError, match="device cuda is not host memory"):
        buffer_from_dlpack(np.zeros(2), device="cuda")
    with pytest.raises(TypeError, match="no __dlpack__, got list"):
        buffer_from_dlpack([1, 2])


def test_memory_outlives_the_producer() -> None:
    array = np.arange(100_000.0)
    buffer = buffer_from_dlpack(array)
    del array
    assert buffer.to_numpy().sum() == np.arange(100_000.0).sum()


def test_donated_buffers_are_not_exported() -> None:
    buffer = Buffer.from_numpy(np.zeros(4))
    buffer.donate("x", "step")
    with pytest.raises(DeviceError, match="was donated"):
        np.from_dlpack(buffer)


def test_torch_both_ways() -> None:
    torch = pytest.importorskip("torch")
    for name in ("float32", "bfloat16", "bool", "int64", "uint8"):
        tensor = torch.arange(6).reshape(2, 3).to(getattr(torch, name))
        buffer = buffer_from_dlpack(tensor.T)
        assert buffer.dtype.name == name
        assert buffer.shape == (3, 2)
        back = torch.from_dlpack(buffer)
        assert torch.equal(back, tensor.T)
