"""One backend for every array library: tensors are the library's arrays, an op runs as its `eval` facet."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from phalanx.dialects.dtypes import DType
from phalanx.dialects.errors import DeviceError, ShapeError
from phalanx.runtime.backends.base import Array, Backend, Operation, Statistics, Storage, Typed, Unavailable
from phalanx.runtime.backends.namespace import Namespace, NumPyNamespace
from phalanx.runtime.backends.torch_namespace import TorchNamespace
from phalanx.runtime.buffer import checked_dtype
from phalanx.runtime.device import CPU, Device


class CupyNamespace(Namespace):
    """CuPy arrays are on the GPU; nothing copies them to the host unasked."""

    def to_numpy(self, array: Storage) -> Array:
        host: Array = array.get()
        return host


class ArrayApiBackend(Backend):
    """Tensors are arrays of one namespace of the array API standard.

    >>> backend = ArrayApiBackend("numpy", NumPyNamespace())
    >>> backend.shape(backend.asarray(np.zeros((2, 3), np.float32)))
    (2, 3)
    """

    def __init__(self, name: str, namespace: Namespace, device: Device = CPU) -> None:
        self.name = name
        self.namespace = namespace
        self.dtypes = namespace.dtypes
        self._device = device
        self._host = namespace if isinstance(namespace, NumPyNamespace) else NumPyNamespace()
        self._operations = 0

    @property
    def devices(self) -> tuple[Device, ...]:
        return (self._device,)

    def asarray(self, array: Array, *, copy: bool | None = True, device: Device | None = None) -> Storage:
        self.check_device(device)
        dtype = checked_dtype(array)
        self.check_dtype(dtype)
        if not array.dtype.isnative:
            array = array.astype(dtype.numpy)
        elif copy or (copy is None and array.flags.writeable):
            array = array.copy(order="C")
        return self.namespace.from_numpy(array)

    def to_numpy(self, storage: Storage) -> Array:
        view = self.namespace.to_numpy(storage).view()
        view.flags.writeable = False
        return view

    def dtype(self, storage: Storage) -> DType:
        return self.namespace.dtype_of(storage)

    def shape(self, storage: Storage) -> tuple[int, ...]:
        return tuple(storage.shape)

    def device(self, storage: Storage) -> Device:
        return self._device

    def allocate(self, shape: Sequence[int], dtype: DType, *, device: Device | None = None) -> Storage:
        self.check_device(device)
        self.check_dtype(dtype)
        return self.namespace.empty(tuple(shape), dtype=dtype)

    def copy(self, storage: Storage) -> Storage:
        return self.namespace.asarray(storage, copy=True)

    def deallocate(self, storage: Storage) -> bool:
        return False

    def run_op(
        self,
        operation: Operation,
        operands: Sequence[Storage],
        attributes: Mapping[str, Any],
        results: Sequence[Typed] | None = None,
    ) -> tuple[Storage, ...]:
        self._operations += 1
        namespace = self.namespace
        through_host = self._needs_host(operands, results)
        if through_host:
            namespace, operands = self._host, [self.namespace.to_numpy(x) for x in operands]
        with np.errstate(all="ignore"):
            value = operation.eval(namespace, *operands, **attributes)
            values = value if isinstance(value, (tuple, list)) else (value,)
            if results is not None:
                pairs = zip(values, results, strict=True)
                values = [self._as_inferred(namespace, operation, v, r) for v, r in pairs]
        if through_host or isinstance(namespace, NumPyNamespace):
            return tuple(self.namespace.from_numpy(np.asarray(v)) for v in values)
        return tuple(values)

    def _needs_host(self, operands: Sequence[Storage], results: Sequence[Typed] | None) -> bool:
        host_dtypes = self.namespace.host_dtypes
        if not host_dtypes:
            return False
        used = {self.dtype(x) for x in operands} | {r.dtype for r in results or ()}
        return bool(used & host_dtypes)

    def _as_inferred(self, namespace: Namespace, operation: Operation, value: Storage, result: Typed) -> Storage:
        if tuple(value.shape) != tuple(result.shape):
            raise ShapeError(
                f"{operation.name}: the {self.name} backend made shape {tuple(value.shape)}, "
                f"inferred was {result.shape}"
            )
        return namespace.astype(value, result.dtype, copy=False)

    def statistics(self) -> Statistics:
        return Statistics(operations=self._operations)


@dataclass(frozen=True, slots=True)
class Library:
    """A library that is known by name."""

    name: str
    module: str
    install: str
    namespace: Callable[[ModuleType], Namespace] = Namespace
    device: Device = CPU

    def open(self) -> Backend:
        """Import the library; raises Unavailable with the reason."""
        if self.name == "numpy":
            return ArrayApiBackend(self.name, NumPyNamespace())
        return ArrayApiBackend(self.name, self.namespace(_import(self.module, self.install)), self.device)


LIBRARIES = (
    Library("numpy", "numpy", "numpy"),
    Library("torch", "torch", "torch", TorchNamespace),
    Library("cupy", "cupy", "cupy-cuda12x", CupyNamespace, Device("cuda", 0)),
    Library("array_api_strict", "array_api_strict", "array-api-strict"),
)


def open_module(name: str) -> Backend:
    """The backend `array_api:<name>` over any importable module that follows the standard."""
    for library in LIBRARIES:
        if name == library.module:
            return library.open()
    module = _import(name, name.partition(".")[0])
    if not hasattr(module, "asarray") or not hasattr(module, "permute_dims"):
        raise DeviceError(
            f"backend: module {name!r} does not follow the array API standard",
            hint="it needs asarray, permute_dims, ...",
        )
    return ArrayApiBackend(f"array_api:{name}", Namespace(module))


def _import(name: str, install: str) -> ModuleType:
    """The standard namespace of a library: array-api-compat's where it has one."""
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise Unavailable(f"{error.name} is not installed (pip install {install})") from error
    except (ImportError, OSError) as error:  # a shared library of it is missing
        raise Unavailable(f"{name} does not load: {error}") from error
    wrapped = f"array_api_compat.{name}"
    has_wrapper = "." not in name and importlib.util.find_spec(wrapped) is not None
    return importlib.import_module(wrapped) if has_wrapper else module
