"""Where CPython, NumPy and our own classes keep what the native entry reads: measured on live objects, never assumed.

Every offset is found (or confirmed) by looking at objects whose contents are known. Whatever does not look as
expected switches the native entry off, and calls go through Python as they would without it.
"""

from __future__ import annotations

import ctypes
import functools
import struct
import sys
import sysconfig
import weakref
from dataclasses import dataclass
from typing import Any

import numpy as np

from phalanx.compiler.tensor import Tensor
from phalanx.dialects.aval import Aval
from phalanx.runtime.allocator import Memory, address_of
from phalanx.runtime.buffer import Buffer

VERSIONS = ((3, 11), (3, 12), (3, 13), (3, 14))
_WORD = 8
_TYPE = 8  # offset of ob_type, confirmed by `_object_head_is_known`
# PyArrayObject; confirmed by `_array_layout_is_known`.
ARRAY_DATA, ARRAY_RANK, ARRAY_SIZES, ARRAY_STRIDES, ARRAY_DTYPE, ARRAY_FLAGS = 16, 24, 32, 40, 56, 64
ARRAY_DENSE = 0x1 | 0x100  # NPY_ARRAY_C_CONTIGUOUS | NPY_ARRAY_ALIGNED
# Where a ctypes object keeps the address of its memory; confirmed by `_foreign_memory_is_known`.
FOREIGN_ADDRESS = 16


class Unknown(Exception):
    """An object does not look as it should: no native entry in this interpreter."""


@dataclass(frozen=True)
class Slots:
    """Offsets of the slots the native entry reads and writes, and of the lists of weak references."""

    tensor_storage: int
    tensor_aval: int
    tensor_backend: int
    tensor_weak: int
    aval_shape: int
    aval_dtype: int
    buffer_memory: int
    buffer_gone: int
    buffer_device: int
    buffer_weak: int
    memory_address: int
    memory_shared: int
    memory_weak: int


@functools.cache
def slots() -> Slots | None:
    """The offsets, or None where the interpreter or NumPy is not one we know."""
    if not _is_known_interpreter():
        return None
    try:
        _object_head_is_known()
        _foreign_memory_is_known()
        _array_layout_is_known()
        tensor = _offsets(Tensor, "storage", "aval", "backend")
        aval = _offsets(Aval, "shape", "dtype")
        buffer = _offsets(Buffer, "_memory", "_gone", "device")
        memory = _offsets(Memory, "address", "shared", "_block", "_allocator")
        return Slots(
            tensor["storage"], tensor["aval"], tensor["backend"], _weak_offset(Tensor),
            aval["shape"], aval["dtype"],
            buffer["_memory"], buffer["_gone"], buffer["device"], _weak_offset(Buffer),
            memory["address"], memory["shared"], _weak_offset(Memory))
    except Unknown:
        return None


def _is_known_interpreter() -> bool:
    return (sys.implementation.name == "cpython" and sys.version_info[:2] in VERSIONS and sys.byteorder == "little"
            and struct.calcsize("P") == _WORD and not sysconfig.get_config_var("Py_GIL_DISABLED")
            and not hasattr(sys, "gettotalrefcount"))


def _require(fact: bool, what: str) -> None:
    if not fact:
        raise Unknown(what)


def _word(address: int) -> int:
    return ctypes.c_uint64.from_address(address).value


def _half_word(address: int) -> int:
    return ctypes.c_uint32.from_address(address).value


def _object_head_is_known() -> None:
    """A reference count of 32 bits that counts up (immortal objects aside), then the type."""
    held = [Unknown()]
    address = id(held[0])
    _require(_half_word(address) == 1, "reference count of an object in a list")
    more = [held[0]] * 5
    _require(_half_word(address) == 1 + len(more), "reference count of an object in two lists")
    _require(_word(address + _TYPE) == id(Unknown), "type of an object")


def _foreign_memory_is_known() -> None:
    for size in (1, 100):
        memory = (ctypes.c_uint64 * size)()
        _require(_word(id(memory) + FOREIGN_ADDRESS) == ctypes.addressof(memory), "memory of a ctypes array")


def _array_layout_is_known() -> None:
    _require(np.ndarray.__basicsize__ >= ARRAY_FLAGS + _WORD, "size of an array")
    base = np.arange(24, dtype=np.float32)
    read_only = base.reshape(2, 3, 4)
    read_only.flags.writeable = False
    odd = np.frombuffer(bytearray(33), np.uint8)[1:].view(np.float64)
    turned = np.asfortranarray(np.ones((3, 5), np.int64))
    arrays: tuple[np.ndarray[Any, Any], ...] = (
        base, base.reshape(4, 6), base.reshape(4, 6).T, base[::2], read_only, np.zeros(()), np.zeros((0, 3), np.int8), odd,
        turned, np.ones(7, np.bool_), np.ones((2, 1), np.float16))
    for array in arrays:
        at = id(array)
        _require(_word(at + ARRAY_DATA) == address_of(array), "data of an array")
        _require(ctypes.c_int32.from_address(at + ARRAY_RANK).value == array.ndim, "rank of an array")
        _require(_word(at + ARRAY_DTYPE) == id(array.dtype), "dtype of an array")
        bits, flags = _half_word(at + ARRAY_FLAGS), array.flags
        expected = (flags.c_contiguous, flags.f_contiguous, flags.aligned, flags.writeable)
        _require(tuple(bool(bits & bit) for bit in (0x1, 0x2, 0x100, 0x400)) == expected, "flags of an array")
        if array.ndim:  # sizes and strides are one piece of memory, which tells their pointers from any others
            sizes = _word(at + ARRAY_SIZES)
            _require(_word(at + ARRAY_STRIDES) == sizes + _WORD * array.ndim, "strides of an array")
            found = tuple((ctypes.c_int64 * array.ndim).from_address(sizes))
            _require(found == array.shape, "sizes of an array")


def _offsets(cls: type[Any], *names: str) -> dict[str, int]:
    """Where instances of a class keep the values of these slots."""
    found: dict[str, int] = {}
    instance = object.__new__(cls)
    words = cls.__basicsize__ // _WORD
    for name in names:
        slot = vars(cls)[name]
        value = Unknown(name)
        slot.__set__(instance, value)
        places = [i * _WORD for i in range(2, words) if _word(id(instance) + i * _WORD) == id(value)]
        _require(len(places) == 1, f"{cls.__name__}.{name}")
        slot.__set__(instance, None)  # which a finalizer of the class can live with
        _require(_word(id(instance) + places[0]) == id(None), f"{cls.__name__}.{name} of None")
        found[name] = places[0]
    return found


def _weak_offset(cls: type[Any]) -> int:
    """Where instances of a class keep their weak references (in front of the object in newer interpreters)."""
    instance = object.__new__(cls)
    for name in ("_block", "_allocator"):
        if name in vars(cls):
            vars(cls)[name].__set__(instance, None)
    offset: int = cls.__weakrefoffset__
    _require(_word(id(instance) + offset) == 0, f"weak references to a {cls.__name__} before there is one")
    reference = weakref.ref(instance)
    _require(_word(id(instance) + offset) == id(reference), f"weak references to a {cls.__name__}")
    return offset
