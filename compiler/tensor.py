"""Tensor: an immutable array of one dtype on one backend; operators and methods come from the op table."""

from __future__ import annotations

from typing import Any

import numpy as np

from phalanx.compiler import config
from phalanx.dialects import dtypes
from phalanx.dialects.aval import Aval, numpy_of
from phalanx.dialects.dtypes import DType
from phalanx.runtime.backends import Backend, get_backend


class Tensor:
    """An immutable tensor. Make one with `px.asarray`; read it with `.numpy()`.

    >>> px.asarray([1.0, 2.0]) * 2
    px.Tensor([2. 4.], dtype=float32)
    """

    __slots__ = ("__weakref__", "aval", "backend", "storage")
    __array_priority__ = 1000

    def __init__(self, storage: Any, aval: Aval, backend: Backend) -> None:
        self.storage = storage
        self.aval = aval
        self.backend = backend

    @classmethod
    def from_numpy(cls, array: np.ndarray[Any, Any], backend: Backend | None = None) -> Tensor:
        """A tensor with a copy of `array` on `backend` (the current one when None)."""
        backend = backend or get_backend(config.get("backend"))
        dtype = dtypes.dtype_of(array.dtype)
        return cls(backend.asarray(array), Aval(tuple(array.shape), dtype), backend)

    @classmethod
    def of(cls, value: Any) -> Tensor:
        """`value` as a Tensor: itself when it is one, else a copy of the array-like.

        Raises DTypeError for arrays of objects, strings and other dtypes outside the table.
        """
        if isinstance(value, Tensor):
            return value
        return cls.from_numpy(numpy_of(value))

    @property
    def shape(self) -> tuple[int, ...]:
        return self.aval.shape  # type: ignore[return-value]

    @property
    def dtype(self) -> DType:
        return self.aval.dtype

    @property
    def ndim(self) -> int:
        return self.aval.ndim

    @property
    def size(self) -> int:
        return self.aval.size  # type: ignore[return-value]

    def numpy(self) -> np.ndarray[Any, Any]:
        """The values as a read-only NumPy array."""
        return self.backend.to_numpy(self.storage)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        array = self.numpy()
        if dtype is not None and np.dtype(dtype) != array.dtype:
            return array.astype(dtype)
        return array.copy() if copy else array

    def __repr__(self) -> str:
        return f"px.Tensor({self.numpy()}, dtype={self.dtype.name})"

    def __bool__(self) -> bool:
        return bool(self.numpy())

    def __float__(self) -> float:
        return float(self.numpy())

    def __int__(self) -> int:
        return int(self.numpy())

    def __index__(self) -> int:
        return self.numpy().__index__()

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of a rank-0 tensor")
        return self.shape[0]

    __hash__ = object.__hash__
