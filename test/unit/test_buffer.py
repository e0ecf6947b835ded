"""Buffers: making them from every kind of NumPy array, reading them, and their end."""

from __future__ import annotations

import gc

import numpy as np
import pytest

from phalanx.dialects import dtypes
from phalanx.dialects.dtypes import DType
from phalanx.dialects.errors import ArgumentError, DeviceError, DTypeError, ShapeError
from phalanx.runtime.allocator import Allocator
from phalanx.runtime.buffer import Buffer


def aligned(shape: tuple[int, ...], dtype: type = np.float32, *, offset: int = 0) -> np.ndarray:
    """A NumPy array whose address is `offset` bytes past a multiple of 64."""
    nbytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
    raw = np.zeros(nbytes + 128, np.uint8)
    start = -raw.ctypes.data % 64 + offset
    return raw[start : start + nbytes].view(dtype).reshape(shape)


@pytest.mark.parametrize("dtype", dtypes.ALL, ids=str)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 4), (2, 3, 4)])
def test_round_trip(dtype: DType, shape: tuple[int, ...]) -> None:
    array = np.arange(np.prod(shape)).reshape(shape).astype(dtype.numpy)
    buffer = Buffer.from_numpy(array)
    assert (buffer.shape, buffer.dtype, buffer.nbytes, buffer.size) == (shape, dtype, array.nbytes, array.size)
    assert buffer.pointer % 64 == 0
    back = buffer.to_numpy()
    assert back.dtype == array.dtype
    assert np.array_equal(back, array)


def odd_arrays() -> dict[str, np.ndarray]:
    base = np.arange(24, dtype=np.float32).reshape(4, 6)
    read_only = base.copy()
    read_only.flags.writeable = False
    misaligned = np.zeros(97, np.uint8)[1:97].view(np.float32).reshape(4, 6)
    misaligned[...] = base
    return {
        "transposed": base.T,
        "strided": base[::2, ::3],
        "reversed": base[::-1, ::-1],
        "broadcast": np.broadcast_to(base[0], (5, 6)),
        "fortran": np.asfortranarray(base),
        "byte-swapped": base.astype(">f4"),
        "read-only": read_only,
        "misaligned": misaligned,
    }


@pytest.mark.parametrize("name", odd_arrays())
def test_odd_arrays_are_copied_rightly(name: str) -> None:
    array = odd_arrays()[name]
    back = Buffer.from_numpy(array).to_numpy()
    assert np.array_equal(back, array)
    assert back.dtype == np.float32


def test_asarray_copies_unless_told_otherwise() -> None:
    array = aligned((2, 3))
    buffer = Buffer.from_numpy(array)
    array[...] = 5
    assert (buffer.to_numpy() == 0).all()


def test_sharing_memory() -> None:
    array = aligned((2, 3))
    shared = Buffer.from_numpy(array, copy=False)
    assert shared.pointer == array.ctypes.data
    assert not shared.exclusive
    assert Buffer.from_numpy(array, copy=None).pointer != array.ctypes.data  # somebody may write to it
    array.flags.writeable = False
    assert Buffer.from_numpy(array, copy=None).pointer == array.ctypes.data


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (aligned((4, 4)).T, "not contiguous"),
        (aligned((4,), offset=4), "not 64-byte aligned"),
        (aligned((4,)).view(">f4"), "byte-swapped"),
    ],
)
def test_copy_false_says_why_not(array: np.ndarray, reason: str) -> None:
    with pytest.raises(ArgumentError, match=reason):
        Buffer.from_numpy(array, copy=False)


def test_truth_values_are_zero_or_one_in_memory() -> None:
    odd = aligned((4,), np.uint8)
    odd[...] = [0, 1, 2, 255]
    truth = odd.view(np.bool_)
    assert list(Buffer.from_numpy(truth).to_numpy().view(np.uint8)) == [0, 1, 1, 1]
    with pytest.raises(ArgumentError, match="neither 0 nor 1"):
        Buffer.from_numpy(truth, copy=False)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.array([1, "a", None], dtype=object), "Python objects have no element type, got dtype object"),
        (np.array(["a", "bc"]), "text is not numbers, got dtype <U2"),
        (np.zeros(2, [("x", "f4")]), "records are not numbers"),
        (np.ma.masked_array([1.0, 2.0], [True, False]), "masked arrays"),
        (np.zeros(2, np.complex64), "no element type dtype\\('complex64'\\)"),
        (np.array(["2020-01-01"], "datetime64[D]"), "no element type"),
        ([1, 2], "not a NumPy array, got list"),
    ],
)
def test_arrays_without_numbers_are_refused(value: object, message: str) -> None:
    with pytest.raises(DTypeError, match=message):
        Buffer.from_numpy(value)  # type: ignore[arg-type]


def test_negative_size_is_refused() -> None:
    with pytest.raises(ShapeError, match=r"negative size, got shape \(2, -1\)"):
        Buffer.empty((2, -1), dtypes.float32)


def test_views_are_read_only() -> None:
    view = Buffer.from_numpy(np.zeros(3)).to_numpy()
    with pytest.raises(ValueError, match="read-only"):
        view[0] = 1
    with pytest.raises(ValueError, match="WRITEABLE"):
        view.flags.writeable = True


def test_copy_belongs_to_the_caller() -> None:
    buffer = Buffer.from_numpy(np.zeros(3))
    mine = buffer.to_numpy(copy=True)
    mine[0] = 1
    assert buffer.exclusive
    assert buffer.to_numpy()[0] == 0
    assert not buffer.exclusive


def test_view_outlives_the_buffer() -> None:
    allocator = Allocator()
    buffer = Buffer.from_numpy(np.arange(1000.0), allocator=allocator)
    view = buffer.to_numpy()
    assert buffer.deallocate()
    assert allocator.statistics().live_bytes > 0
    assert not np.shares_memory(view, Buffer.empty((1000,), dtypes.float64, allocator).to_numpy())
    assert np.array_equal(view, np.arange(1000.0))
    del view, buffer
    gc.collect()
    assert allocator.statistics().live_bytes == 0


def test_use_after_deallocate() -> None:
    buffer = Buffer.from_numpy(np.zeros((2, 3), np.float32))
    assert buffer.deallocate()
    assert not buffer.deallocate()
    assert buffer.deleted
    with pytest.raises(DeviceError, match=r"float32\[2, 3\] cannot be read, it was deallocated"):
        buffer.to_numpy()


def test_use_after_donation_names_the_call() -> None:
    buffer = Buffer.from_numpy(np.zeros(3))
    assert buffer.donate("x", "step", "train.py:12:4")
    assert not buffer.donate("x", "step")
    message = "argument 'x' of 'step' was donated at train.py:12:4"
    for use in (lambda: buffer.pointer, buffer.to_numpy, buffer.copy, lambda: buffer.reshaped((3, 1))):
        with pytest.raises(DeviceError, match=message) as caught:
            use()
        assert "copy" in (caught.value.hint or "")
    assert message in repr(buffer)


def test_reshaped_shares_and_checks() -> None:
    buffer = Buffer.from_numpy(np.arange(6))
    other = buffer.reshaped((2, 3))
    assert other.pointer == buffer.pointer
    assert not other.exclusive
    with pytest.raises(ShapeError, match=r"6 elements do not fill shape \(4,\)"):
        buffer.reshaped((4,))


def test_copy_is_independent() -> None:
    buffer = Buffer.from_numpy(np.arange(6))
    other = buffer.copy()
    assert other.pointer != buffer.pointer
    assert buffer.exclusive
    buffer.deallocate()
    assert np.array_equal(other.to_numpy(), np.arange(6))
