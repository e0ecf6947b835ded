"""DLPack in and out of host arrays, on top of NumPy's implementation.

NumPy reads and writes capsules rightly but knows no bfloat16 and cannot say "read-only" to consumers of the
old protocol. bfloat16 travels as uint16 with the element type code changed inside the capsule; old
consumers get a copy, since they would believe that they may write.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from phalanx.dialects.dtypes import bfloat16
from phalanx.dialects.errors import DeviceError

HOST_DEVICE = (1, 0)  # kDLCPU
_CODE_UINT, _CODE_BFLOAT = 1, 4

# Where DLDataType (code: u8, bits: u8, lanes: u16) stands in the managed structure behind each capsule name.
_TYPE_OFFSET = {b"dltensor": 20, b"dltensor_versioned": 52}

_capsule_name = ctypes.pythonapi.PyCapsule_GetName
_capsule_name.restype, _capsule_name.argtypes = ctypes.c_char_p, [ctypes.py_object]
_capsule_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_capsule_pointer.restype, _capsule_pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]


def _element_type(capsule: object) -> Any:
    """The (code, bits) bytes of a capsule that nobody consumed yet, as a ctypes array to read and change."""
    name = _capsule_name(capsule)
    if name not in _TYPE_OFFSET:
        raise BufferError(f"from_dlpack: not a DLPack capsule, got {name!r}")
    return (ctypes.c_uint8 * 2).from_address(_capsule_pointer(capsule, name) + _TYPE_OFFSET[name])


class _Carrier:
    """Hands a finished capsule to `np.from_dlpack`."""

    def __init__(self, capsule: object) -> None:
        self.capsule = capsule

    def __dlpack__(self, **_: object) -> object:
        return self.capsule

    def __dlpack_device__(self) -> tuple[int, int]:
        return HOST_DEVICE


def export(
    array: np.ndarray[Any, Any],
    *,
    stream: object = None,
    max_version: tuple[int, int] | None = None,
    dl_device: tuple[int, int] | None = None,
    copy: bool | None = None,
) -> object:
    """A capsule of a read-only array.

    Raises BufferError for a stream, for another device, and when `copy=False` meets a consumer that
    cannot be told that the memory is read-only.
    """
    if stream is not None:
        raise BufferError(f"__dlpack__: host memory has no streams, got stream={stream!r}")
    if dl_device is not None and tuple(dl_device) != HOST_DEVICE:
        raise BufferError(f"__dlpack__: only host memory (1, 0) is offered, got dl_device={tuple(dl_device)}")
    knows_read_only = max_version is not None and tuple(max_version) >= (1, 0)
    if not knows_read_only and copy is False:
        raise BufferError(
            "__dlpack__: copy=False is not possible, tensors are immutable and DLPack before 1.0 cannot say so"
        )
    if copy or not knows_read_only:
        array = array.copy()
    is_bfloat = array.dtype == bfloat16.numpy
    source = array.view(np.uint16) if is_bfloat else array
    capsule = source.__dlpack__(max_version=max_version) if knows_read_only else source.__dlpack__()
    if is_bfloat:
        _element_type(capsule)[0] = _CODE_BFLOAT
    return capsule


def import_array(value: Any, *, device: object = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
    """The NumPy view of a DLPack producer's memory, with its strides.

    Raises DeviceError when the producer's memory is not the host's, BufferError when it cannot be offered.
    """
    if not hasattr(value, "__dlpack__") or not hasattr(value, "__dlpack_device__"):
        raise TypeError(f"from_dlpack: no __dlpack__, got {type(value).__name__}")
    if device is not None and str(device) not in ("cpu", "cpu:0"):
        raise DeviceError(f"from_dlpack: device {device} is not host memory", hint='device="cpu"')
    where = tuple(value.__dlpack_device__())
    wanted: dict[str, Any] = {}
    if where[0] != HOST_DEVICE[0]:
        if copy is False or device is None:
            raise DeviceError(
                f"from_dlpack: the memory is on DLPack device {(int(where[0]), where[1])}, not on the host",
                hint='copy it: px.from_dlpack(x, device="cpu")',
            )
        wanted["dl_device"] = HOST_DEVICE
    capsule = _request(value, wanted, copy)
    element = _element_type(capsule)
    is_bfloat = tuple(element) == (_CODE_BFLOAT, 16)
    if is_bfloat:
        element[0] = _CODE_UINT
    carrier: Any = _Carrier(capsule)  # NumPy's stub knows only the protocol before 1.0
    array = np.from_dlpack(carrier)
    return array.view(bfloat16.numpy) if is_bfloat else array


def _request(value: Any, wanted: dict[str, Any], copy: bool | None) -> object:
    """Ask for a capsule of protocol 1.0; producers that know no keywords are asked the old way."""
    # Our own copy follows where one is needed, so the producer is asked for one only across devices.
    if copy is False:
        wanted["copy"] = False
    try:
        return value.__dlpack__(max_version=(1, 0), **wanted)
    except TypeError:
        if "dl_device" in wanted:
            raise
        return value.__dlpack__()
