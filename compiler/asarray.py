"""px.asarray and px.from_dlpack: the ways from other libraries' arrays and Python numbers to tensors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from phalanx.compiler import config, dispatch
from phalanx.compiler.tensor import Tensor
from phalanx.compiler.trace.tracer import Tracer
from phalanx.dialects.aval import Aval, numpy_of
from phalanx.dialects.dtypes import DType, dtype_of
from phalanx.dialects.errors import ArgumentError, DeviceError, DTypeError
from phalanx.dialects.opdef import lookup
from phalanx.dialects.px.rearrange import stack
from phalanx.runtime import dlpack
from phalanx.runtime.backends import Backend, get_backend
from phalanx.runtime.buffer import buffer_from_dlpack, checked_dtype
from phalanx.runtime.device import Device, parse_device

_MAX_RANK = 64  # NumPy's own limit; a list nested deeper holds itself


def asarray(obj: Any, /, *, dtype: Any = None, device: Device | str | None = None, copy: bool | None = None) -> Any:
    """A tensor of anything array-like: numbers, nested lists (tensors inside too), NumPy arrays, DLPack objects.

    >>> px.asarray([[1, 2], [3, 4]], dtype=px.float32)
    px.Tensor([[1. 2.]
               [3. 4.]], dtype=float32)

    The tensor lives on the backend in force; a Tensor stays where it is. Python numbers get the default dtypes
    (bool, int32 or int64 when needed, float32). `copy=None` copies NumPy arrays, since they can change later, and
    gives tensors back as they are; `copy=False` shares memory or raises ArgumentError saying why it cannot.
    Raises DTypeError for text, Python objects, complex numbers and lists of unequal lengths.
    """
    wanted = None if dtype is None else dtype_of(dtype)
    if isinstance(obj, (Tensor, Tracer)):
        return _from_tensor(obj, wanted, device, copy)
    if _holds_tensors(obj):
        _no_sharing(copy, "a list has no memory of its own")
        return _stack_all(obj, wanted)
    backend = get_backend(config.get("backend"))
    place = None if device is None else backend.check_device(parse_device(device))
    if hasattr(obj, "__dlpack__") and not isinstance(obj, (np.ndarray, np.generic)):
        found = from_dlpack(obj, copy=copy if wanted is None else None)
        return found if wanted is None else _from_tensor(found, wanted, None, copy)
    array = _array_of(list(obj) if isinstance(obj, range) else obj, wanted, copy)
    made = backend.asarray(array, copy=copy is not False, device=place)
    return Tensor(made, Aval(tuple(array.shape), dtype_of(array.dtype)), backend)


def _from_tensor(tensor: Any, dtype: DType | None, device: Device | str | None, copy: bool | None) -> Any:
    if dtype is not None and dtype is not tensor.dtype:
        _no_sharing(copy, f"{tensor.dtype} has to be converted to {dtype}")
        tensor = lookup("convert")(tensor, dtype)
        copy = None
    if isinstance(tensor, Tracer):
        return tensor
    if device is not None:
        tensor = tensor.to_device(device)
    return tensor.copy() if copy else tensor


def _no_sharing(copy: bool | None, reason: str) -> None:
    if copy is False:
        raise ArgumentError(f"asarray: copy=False is not possible, {reason}", hint="use copy=None")


def _array_of(obj: Any, dtype: DType | None, copy: bool | None) -> np.ndarray[Any, Any]:
    """`obj` as a NumPy array of `dtype`, or of the dtype its elements ask for."""
    if isinstance(obj, (complex, np.complexfloating)) or getattr(getattr(obj, "dtype", None), "kind", "") == "c":
        raise DTypeError("asarray: complex numbers are not supported", hint="pass the real and imaginary parts apart")
    if type(obj) is not np.ndarray and isinstance(obj, np.ma.MaskedArray):  # numpy.ma takes 8 ms to import
        checked_dtype(obj)  # refuses it: NumPy would drop the mask without a word
    if dtype is None or isinstance(obj, (np.ndarray, np.generic)):
        array = numpy_of(obj)
        if copy is False and array is not obj:
            _no_sharing(copy, f"a {type(obj).__name__} has no array memory")
        if dtype is None or array.dtype == dtype.numpy:
            return array
        _no_sharing(copy, f"{array.dtype} has to be converted to {dtype}")
        with np.errstate(over="ignore", invalid="ignore"):
            return array.astype(dtype.numpy)
    _no_sharing(copy, f"a {type(obj).__name__} has no array memory")
    found = numpy_of(obj)  # refuses what is no number at all, with the reason
    try:
        return np.asarray(obj, dtype=dtype.numpy)
    except (OverflowError, TypeError, ValueError) as error:
        raise DTypeError(f"asarray: values do not fit {dtype}, {error}",
                         hint=f"let the values choose: px.asarray(x) gives {dtype_of(found.dtype)}") from None


def _leaves(obj: Any, depth: int = 0) -> Iterator[Any]:
    """Everything in nested lists that is not a list."""
    if not isinstance(obj, (list, tuple)):
        yield obj
        return
    if depth == _MAX_RANK:
        raise DTypeError(f"asarray: lists nested more than {_MAX_RANK} deep", hint="does a list hold itself?")
    for entry in obj:
        yield from _leaves(entry, depth + 1)


def _holds_tensors(obj: Any) -> bool:
    return isinstance(obj, (list, tuple)) and any(isinstance(leaf, (Tensor, Tracer)) for leaf in _leaves(obj))


def _stack_all(obj: Any, dtype: DType | None = None) -> Any:
    """Nested lists with tensors inside as one tensor, of the dtype they meet in."""
    return _stacked(obj, dtype or dispatch.common_dtype([dispatch.as_value(leaf, "asarray") for leaf in _leaves(obj)]))


def _stacked(obj: Any, dtype: DType) -> Any:
    if not isinstance(obj, (list, tuple)):
        return dispatch.cast(dispatch.as_value(obj, "asarray"), dtype, "asarray")
    if not obj:
        return dispatch.cast(Tensor.from_numpy(np.empty(0, dtype.numpy)), dtype, "asarray")
    parts = [_stacked(entry, dtype) for entry in obj]
    shapes: Sequence[Any] = sorted({p.shape for p in parts}, key=str)
    if len(shapes) > 1:
        raise DTypeError(f"asarray: cannot make a tensor, entries have shapes {' and '.join(map(str, shapes))}",
                         hint="nested lists must have equal lengths")
    return stack(parts)


def from_dlpack(x: Any, /, *, device: Device | str | None = None, copy: bool | None = None) -> Tensor:
    """A tensor from any object with `__dlpack__`, on the backend in force.

    Strides are honoured, by copying. `copy=None` shares dense aligned memory: the producer must not change it
    afterwards. `copy=False` raises BufferError where sharing is not possible, `copy=True` always copies.

    >>> px.from_dlpack(np.arange(3, dtype=np.int32))
    px.Tensor([0 1 2], dtype=int32)

    Raises DeviceError when the memory is not on the host and `device` does not ask for a copy there.
    """
    if not hasattr(x, "__dlpack__"):
        raise DTypeError(f"from_dlpack: a {type(x).__name__} has no __dlpack__", hint="px.asarray takes lists and numbers")
    backend: Backend = get_backend(config.get("backend"))
    if device is not None and parse_device(device) not in backend.devices:
        known = ", ".join(map(str, backend.devices))
        raise DeviceError(f"from_dlpack: the {backend.name} backend has no device {device}", hint=f"it has {known}")
    if backend.name == "cpu":
        buffer = buffer_from_dlpack(x, device=device, copy=copy)
        return Tensor(buffer, Aval(buffer.shape, buffer.dtype), backend)
    array = dlpack.import_array(x, device=device, copy=copy)
    made = backend.asarray(array, copy=copy is not False)
    return Tensor(made, Aval(tuple(array.shape), dtype_of(array.dtype)), backend)


dispatch.install_list_reader(lambda value: _stack_all(value) if _holds_tensors(value) else value)
