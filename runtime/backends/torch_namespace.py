"""What differs for torch: crossing to NumPy, bit patterns, and element types it only stores."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

from phalanx.dialects.dtypes import DType, bfloat16, uint16, uint32, uint64
from phalanx.dialects.errors import DTypeError
from phalanx.runtime.backends.namespace import Array, Namespace


class TorchNamespace(Namespace):
    """torch through array-api-compat.

    torch stores uint16, uint32 and uint64 but has almost no arithmetic on them; operations that meet one
    run on NumPy, which sees the same memory.
    """

    host_dtypes = frozenset({uint16, uint32, uint64})

    def __init__(self, module: ModuleType) -> None:
        super().__init__(module)
        self._bits = module.int16

    def to_numpy(self, array: Array) -> np.ndarray[Any, Any]:
        host = array.detach().cpu()
        if host.dtype == self.native(bfloat16):
            found: np.ndarray[Any, Any] = host.view(self._bits).numpy().view(bfloat16.numpy)
        else:
            found = host.numpy()
        return found

    def from_numpy(self, array: np.ndarray[Any, Any]) -> Array:
        # torch takes no read-only memory and no negative strides.
        taken = array.flags.writeable and min(array.strides, default=0) >= 0
        usable = array if taken else array.copy(order="C")
        if usable.dtype == bfloat16.numpy:
            return self.module.asarray(usable.view(np.int16)).view(self.native(bfloat16))
        return self.module.asarray(usable)

    def bitcast(self, array: Array, dtype: DType) -> Array:
        if self.dtype_of(array).itemsize != dtype.itemsize:
            raise DTypeError(f"bitcast: sizes differ, got {self.dtype_of(array)} and {dtype}")
        return array.view(self.native(dtype))
