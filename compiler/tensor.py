"""Tensor: an immutable array of one dtype on one backend; operators and methods come from the op table."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import Any, NoReturn

import numpy as np

from phalanx.compiler import config
from phalanx.compiler.described import Described
from phalanx.compiler.tensor_text import tensor_text
from phalanx.dialects import dtypes
from phalanx.dialects.aval import Aval, numpy_of
from phalanx.dialects.errors import ArgumentError, DeviceError, DTypeError, ImmutableError, ShapeError
from phalanx.runtime import dlpack
from phalanx.runtime.backends import Backend, get_backend
from phalanx.runtime.buffer import Buffer, donation
from phalanx.runtime.device import Device, parse_device

Array = np.ndarray[Any, Any]


class Tensor(Described[int]):
    """An immutable tensor. Make one with `px.asarray`; read it with `.numpy()`.

    >>> px.asarray([1.0, 2.0]) * 2
    px.Tensor([2. 4.], dtype=float32)

    Operators take tensors, NumPy arrays, lists and Python numbers and give tensors, whichever side the tensor
    is on (so `array += tensor` binds `array` to a new tensor). A NumPy function called on a tensor (`np.sin(t)`)
    reads it and gives a NumPy array; `px.sin` stays on the tensor's backend. Tensors hash by identity and compare
    elementwise.
    """

    __slots__ = ("__weakref__", "_gone", "aval", "backend", "storage")
    weak = False

    def __init__(self, storage: Any, aval: Aval, backend: Backend) -> None:
        self.storage = storage
        self.aval = aval
        self.backend = backend

    @classmethod
    def from_numpy(cls, array: Array, backend: Backend | None = None, *, copy: bool | None = True) -> Tensor:
        """A tensor with a copy of `array` on `backend` (the current one when None); `copy` as in `px.asarray`."""
        backend = backend or get_backend(config.get("backend"))
        dtype = dtypes.dtype_of(array.dtype)
        return cls(backend.asarray(array, copy=copy), Aval(tuple(array.shape), dtype), backend)

    @classmethod
    def of(cls, value: Any) -> Tensor:
        """`value` as a Tensor: itself when it is one, else a copy of the array-like.

        Raises DTypeError for arrays of objects, strings and other dtypes outside the table.
        """
        if isinstance(value, Tensor):
            return value
        return cls.from_numpy(numpy_of(value))

    def __getattr__(self, name: str) -> Any:
        """Only for attributes that are missing: the storage of a tensor that gave it up."""
        if name == "storage":
            raise DeviceError(f"tensor: {self.aval} cannot be read, {self._gone}",
                              hint="use the result of that call, or pass a copy to it" if "donated" in self._gone else None)
        raise AttributeError(f"a px.Tensor has no attribute {name!r}")

    # What it is, beside what its aval says.
    @property
    def itemsize(self) -> int:
        """Size of one element in bytes."""
        return self.aval.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """Size of all elements in bytes."""
        return self.size * self.itemsize

    @property
    def device(self) -> Device:
        """Where the elements are, e.g. `cpu:0`."""
        return self.backend.device(self.storage)

    @property
    def is_deleted(self) -> bool:
        """Whether the memory was deallocated, or donated to a call."""
        try:
            storage = self.storage
        except DeviceError:
            return True
        return isinstance(storage, Buffer) and storage.deleted

    # Values on the host.
    def numpy(self) -> Array:
        """The values as a read-only NumPy array; it shares the tensor's memory where it can."""
        return self.backend.to_numpy(self.storage)

    def _view(self) -> Array:
        """The values for a moment: unlike `numpy()`, does not keep the memory from being donated in place."""
        storage = self.storage
        return storage.to_numpy_unshared() if isinstance(storage, Buffer) else self.backend.to_numpy(storage)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        """NumPy's protocol: a read-only view by default, a copy of the caller's own with `copy=True`."""
        array = self.numpy()
        if dtype is not None and np.dtype(dtype) != array.dtype:
            if copy is False:
                raise ValueError(f"copy=False is not possible, {self.dtype} has to be converted to {np.dtype(dtype)}")
            return array.astype(dtype)
        return array.copy() if copy else array

    def item(self) -> Any:
        """The only element as a Python number.

        Raises ShapeError when there is not exactly one.
        """
        if self.size != 1:
            raise ShapeError(f"item: only a tensor of one element is a number, got {self.aval}", hint="x[i, j].item()")
        return self._view().item()

    def tolist(self) -> Any:
        """The values as nested lists of Python numbers."""
        return self._view().tolist()

    def _number(self, who: str) -> Array:
        """The rank-0 value a Python number is made of."""
        if self.aval.shape:
            raise ShapeError(f"{who}: only a rank-0 tensor is a number, got {self.aval}",
                             hint="choose an element first, e.g. x[0], or reduce: px.sum(x)")
        return self._view()

    def __bool__(self) -> bool:
        if self.aval.shape:
            raise ShapeError(f"bool: the truth value of {self.aval} is ambiguous", hint="use px.any(x) or px.all(x)")
        return bool(self._view())

    def __int__(self) -> int:
        return int(self._number("int"))

    def __float__(self) -> float:
        return float(self._number("float"))

    def __complex__(self) -> complex:
        return complex(float(self._number("complex")))

    def __index__(self) -> int:
        if not self.dtype.is_integer:
            raise DTypeError(f"index: a position or size is an integer, got {self.aval}", hint="x.astype(px.int32)")
        return operator.index(self._number("index").item())

    def __len__(self) -> int:
        if not self.aval.shape:
            raise TypeError("len() of a rank-0 tensor")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        if not self.aval.shape:
            raise TypeError("iteration over a rank-0 tensor")
        return (self[i] for i in range(self.shape[0]))

    def __contains__(self, value: Any) -> bool:
        return bool((self == value).any())

    def __repr__(self) -> str:
        if self.is_deleted:
            return f"px.Tensor(<{self._reason()}>, shape={self.shape}, dtype={self.dtype})"
        return tensor_text(self._view(), self.dtype)

    def _reason(self) -> str:
        """Why the elements cannot be read any more."""
        return self._gone if hasattr(self, "_gone") else str(self.storage.gone)

    def __format__(self, spec: str) -> str:
        """A rank-0 tensor formats like its number: f"{loss:.3f}"; others take no format."""
        if not spec:
            return str(self)
        if self.aval.shape:
            raise ShapeError(f"format: only a rank-0 tensor takes a format, got {self.aval} and {spec!r}",
                             hint="format x.numpy(), or one element")
        value = self._view()
        return format(float(value) if self.dtype.is_inexact else value.item(), spec)

    # Memory.
    def copy(self) -> Tensor:
        """A tensor of equal elements in memory of its own."""
        return Tensor(self.backend.copy(self.storage), self.aval, self.backend)

    def to(self, backend: str) -> Tensor:
        """The tensor on another backend; itself when it is there already.

        >>> px.asarray([1.0, 2.0]).to("numpy").backend
        <backend numpy>

        Raises ArgumentError for an unknown backend, DTypeError when it lacks the dtype.
        """
        target = get_backend(backend)
        if target is self.backend:
            return self
        target.check_dtype(self.dtype)
        return Tensor(self.backend.transfer(self.storage, target), self.aval, target)

    def transfer(self, backend: str) -> Tensor:
        """As `to`, and the memory here is given up: this tensor cannot be used afterwards."""
        moved = self.to(backend)
        if moved is not self:
            self._give_up(f"it was transferred to {moved.backend.name}")
        return moved

    def to_device(self, device: Device | str, /, *, stream: object = None) -> Tensor:
        """The tensor on another device of its backend (array API standard); itself when it is there already.

        Raises DeviceError when the backend has no such device.
        """
        if stream is not None:
            raise ArgumentError(f"to_device: {self.backend.name} has no streams, got stream={stream!r}")
        wanted = self.backend.check_device(parse_device(device))
        if wanted == self.device:
            return self
        return Tensor(self.backend.transfer(self.storage, self.backend, device=wanted), self.aval, self.backend)

    def deallocate(self) -> bool:
        """Free the memory now; False when it was free already. The tensor cannot be used afterwards."""
        if self.is_deleted:
            return False
        self._give_up("it was deallocated")
        return True

    def mark_donated(self, argument: str, function: str, location: str | None = None) -> None:
        """Say that a call took the memory as `argument`; on backends that keep it, the tensor is gone all the same."""
        if not self.is_deleted:
            self._leave(donation(argument, function, location))

    def _give_up(self, reason: str) -> None:
        self.backend.deallocate(self.storage)
        self._leave(reason)

    def _leave(self, reason: str) -> None:
        self._gone = reason
        del self.storage

    # Exchange.
    def __dlpack__(self, *, stream: object = None, max_version: tuple[int, int] | None = None,
                   dl_device: tuple[int, int] | None = None, copy: bool | None = None) -> object:
        """A DLPack capsule, marked read-only; consumers older than DLPack 1.0 get a copy."""
        if hasattr(self.storage, "__dlpack__") and self.device.kind != "cpu":
            return self.storage.__dlpack__(stream=stream, max_version=max_version, dl_device=dl_device, copy=copy)
        return dlpack.export(self.numpy(), stream=stream, max_version=max_version, dl_device=dl_device, copy=copy)

    def __dlpack_device__(self) -> tuple[int, int]:
        """(device type, device number) as DLPack counts them."""
        if hasattr(self.storage, "__dlpack_device__") and self.device.kind != "cpu":
            kind, number = self.storage.__dlpack_device__()
            return int(kind), int(number)
        return dlpack.HOST_DEVICE

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickled, (np.array(self._view()), self.backend.name)

    def __copy__(self) -> Tensor:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        return self.copy()


def _unpickled(array: Array, backend: str) -> Tensor:
    """A tensor back on the backend it was pickled from."""
    return Tensor.from_numpy(array, get_backend(backend))


def refuse_assignment(self: Any, key: Any, value: Any) -> NoReturn:
    """`x[key] = value` on a Tensor or Tracer."""
    raise ImmutableError(f"setitem: tensors are immutable, got {self.aval}",
                         hint="x = x.at[key].set(value); .add, .multiply, .min and .max combine instead")
