"""Buffer: dense row-major host memory with a dtype and a shape."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from phalanx.dialects.dtypes import DType, dtype_of
from phalanx.dialects.errors import ArgumentError, DeviceError, DTypeError, ShapeError
from phalanx.runtime import dlpack
from phalanx.runtime.allocator import ALIGNMENT, HOST, Allocator, Memory, address_of
from phalanx.runtime.device import Device

Shape = tuple[int, ...]


class Buffer:
    """Elements of one dtype in row-major order, at a 64-byte-aligned address of one device.

    >>> buffer = Buffer.from_numpy(np.arange(6, dtype=np.int32).reshape(2, 3))
    >>> buffer.shape, buffer.nbytes, buffer.pointer % 64
    ((2, 3), 24, 0)

    Reading a buffer after `deallocate` or after its donation raises DeviceError.
    """

    __slots__ = ("__weakref__", "_gone", "_memory", "device", "dtype", "shape")

    def __init__(self, memory: Memory, dtype: DType, shape: Shape, device: Device) -> None:
        self.device = device
        self.dtype = dtype
        self.shape = shape
        self._memory: Memory | None = memory
        self._gone = ""

    @classmethod
    def empty(cls, shape: Sequence[int], dtype: DType, allocator: Allocator = HOST) -> Buffer:
        """A buffer with undefined contents."""
        sizes = tuple(shape)
        if any(size < 0 for size in sizes):
            raise ShapeError(f"buffer: negative size, got shape {sizes}")
        memory = allocator.allocate(math.prod(sizes) * dtype.itemsize)
        return cls(memory, dtype, sizes, allocator.device)

    @classmethod
    def from_numpy(
        cls, array: np.ndarray[Any, Any], *, copy: bool | None = True, allocator: Allocator = HOST
    ) -> Buffer:
        """A buffer with the elements of `array`, whatever its strides, alignment and byte order.

        `copy=True` copies. `copy=False` shares the memory, or raises ArgumentError saying why it cannot;
        the caller then promises not to write to it. `copy=None` shares read-only memory where possible.
        Raises DTypeError for object, string, structured and masked arrays.
        """
        dtype = checked_dtype(array)
        if copy is not True:
            obstacle = _why_not_shared(array, dtype)
            if obstacle is None and (copy is False or not array.flags.writeable):
                return cls.sharing(array, dtype, allocator.device)
            if copy is False:
                raise ArgumentError(
                    f"asarray: copy=False is not possible, {obstacle}", hint="use copy=True or copy=None"
                )
        buffer = cls.empty(array.shape, dtype, allocator)
        # Memory viewed as bool may hold any byte; compiled code relies on 0 and 1.
        buffer.writable_view()[...] = array.view(np.uint8) if dtype.is_bool else array
        return buffer

    @classmethod
    def sharing(cls, array: np.ndarray[Any, Any], dtype: DType, device: Device) -> Buffer:
        """A buffer over the memory of a suitable array, which it keeps alive."""
        memory = Memory(address_of(array), array.nbytes, owner=array, shared=True)
        return cls(memory, dtype, array.shape, device)

    @property
    def memory(self) -> Memory:
        """The bytes; raises DeviceError once they are gone."""
        memory = self._memory
        if memory is None:
            raise DeviceError(
                f"buffer: {self.dtype}{list(self.shape)} cannot be read, {self._gone}",
                hint="use the result of that call, or pass a copy to it" if "donated" in self._gone else None,
            )
        return memory

    @property
    def pointer(self) -> int:
        """Address of the first element."""
        return self.memory.address

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Size of the elements in bytes."""
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def deleted(self) -> bool:
        """Whether the memory was deallocated or donated."""
        return self._memory is None

    @property
    def gone(self) -> str:
        """Why the memory is not there any more; empty while it is."""
        return self._gone

    @property
    def exclusive(self) -> bool:
        """Whether nobody else looks at the bytes, so that they may be overwritten once donated."""
        return self._memory is not None and not self._memory.shared

    def deallocate(self) -> bool:
        """Give the memory up now; False when it was gone already.

        Arrays handed out by `to_numpy` keep their view: the bytes are reused after the last one dies.
        """
        return self._release("it was deallocated")

    def donate(self, argument: str, function: str, location: str | None = None) -> bool:
        """Mark the memory as given away to a call: `argument` of `function`, called at `location`."""
        return self._release(donation(argument, function, location))

    def _release(self, reason: str) -> bool:
        if self._memory is None:
            return False
        self._memory = None
        self._gone = reason
        return True

    def writable_view(self) -> np.ndarray[Any, Any]:
        """The elements as a writable array; only for whoever fills the buffer before it is published."""
        return self.memory.bytes_view(writable=True).view(self.dtype.numpy).reshape(self.shape)

    def to_numpy(self, *, copy: bool = False) -> np.ndarray[Any, Any]:
        """The elements as a read-only view, or as an array of the caller's own."""
        memory = self.memory
        view = memory.bytes_view().view(self.dtype.numpy).reshape(self.shape)
        if copy:
            return view.copy()
        memory.shared = True
        return view

    def reshaped(self, shape: Sequence[int]) -> Buffer:
        """The same memory under another shape of equal size."""
        sizes = tuple(shape)
        if math.prod(sizes) != self.size:
            raise ShapeError(f"reshape: {self.size} elements do not fill shape {sizes}, got {self.shape}")
        memory = self.memory
        memory.shared = True
        return Buffer(memory, self.dtype, sizes, self.device)

    def copy(self, allocator: Allocator = HOST) -> Buffer:
        """A buffer of its own with equal elements."""
        return Buffer.from_numpy(self.to_numpy_unshared(), copy=True, allocator=allocator)

    def to_numpy_unshared(self) -> np.ndarray[Any, Any]:
        """A read-only view for use inside one call, after which nobody keeps it."""
        return self.memory.bytes_view().view(self.dtype.numpy).reshape(self.shape)

    def __dlpack__(
        self,
        *,
        stream: object = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> object:
        """A DLPack capsule of the elements (array API standard)."""
        return dlpack.export(self.to_numpy(), stream=stream, max_version=max_version, dl_device=dl_device, copy=copy)

    def __dlpack_device__(self) -> tuple[int, int]:
        """(device type, device number) of DLPack; host memory is (1, 0)."""
        return dlpack.HOST_DEVICE

    def __repr__(self) -> str:
        state = f", {self._gone}" if self.deleted else ""
        return f"Buffer({self.dtype}{list(self.shape)} on {self.device}{state})"


def donation(argument: str, function: str, location: str | None = None) -> str:
    """Why memory is gone after a call took it."""
    return f"argument '{argument}' of '{function}' was donated{f' at {location}' if location else ''}"


def buffer_from_dlpack(value: Any, *, device: object = None, copy: bool | None = None) -> Buffer:
    """A buffer from any object with `__dlpack__`; strides are honoured, by copying.

    `copy=None` shares memory when it is dense and aligned, `copy=False` raises BufferError when it is not.
    """
    array = dlpack.import_array(value, device=device, copy=copy)
    dtype = checked_dtype(array)
    obstacle = _why_not_shared(array, dtype)
    if obstacle is None and copy is not True:
        return Buffer.sharing(array, dtype, HOST.device)
    if copy is False:
        raise BufferError(f"from_dlpack: copy=False is not possible, {obstacle}")
    return Buffer.from_numpy(array)


def checked_dtype(array: Any) -> DType:
    """The dtype of an array that can become a buffer.

    Raises DTypeError with a hint for arrays of objects, strings, records, dates, and masked arrays.
    """
    if not isinstance(array, np.ndarray):
        raise DTypeError(f"asarray: not a NumPy array, got {type(array).__name__}")
    if type(array) is not np.ndarray and isinstance(array, np.ma.MaskedArray):
        raise DTypeError("asarray: masked arrays have no dense memory", hint="fill it first: x.filled(0)")
    found = array.dtype
    if found.hasobject:
        raise DTypeError(
            f"asarray: Python objects have no element type, got dtype {found} and shape {array.shape}",
            hint="rows must hold numbers and have equal lengths: np.asarray(x, np.float32)",
        )
    if found.kind in "SUT":
        raise DTypeError(f"asarray: text is not numbers, got dtype {found}", hint="convert it: x.astype(np.float32)")
    if found.names is not None:
        raise DTypeError(f"asarray: records are not numbers, got dtype {found}", hint='pass one field: x["name"]')
    return dtype_of(found)


def _why_not_shared(array: np.ndarray[Any, Any], dtype: DType) -> str | None:
    """Why the memory of `array` cannot serve as a buffer; None when it can."""
    if not array.dtype.isnative:
        return f"the elements are byte-swapped ({array.dtype.str})"
    if not array.flags.c_contiguous:
        return f"the array is not contiguous in row-major order (strides {array.strides})"
    address = address_of(array)
    if address % ALIGNMENT:
        return f"the memory is not {ALIGNMENT}-byte aligned (address {address:#x})"
    if dtype.is_bool and array.size and bool(np.any(array.view(np.uint8) > 1)):
        return "some truth values are neither 0 nor 1"
    return None
