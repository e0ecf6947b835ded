"""A backend that runs nothing: it counts operations and bytes, for dry runs and for measuring dispatch."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from phalanx.dialects.dtypes import ALL, DType
from phalanx.dialects.errors import ArgumentError
from phalanx.runtime.backends.base import Array, Backend, Operation, Statistics, Typed
from phalanx.runtime.buffer import checked_dtype
from phalanx.runtime.device import Device, MemoryCounter

NOWHERE = Device("null", 0)


class Shadow:
    """A tensor without elements."""

    __slots__ = ("__weakref__", "counter", "dtype", "freed", "nbytes", "shape")

    def __init__(self, dtype: DType, shape: tuple[int, ...], counter: MemoryCounter) -> None:
        self.dtype = dtype
        self.shape = shape
        self.counter = counter
        self.nbytes = math.prod(shape) * dtype.itemsize  # modules are gone when the last tensors are freed at exit
        self.freed = False

    def free(self) -> bool:
        """Take the bytes off the count once."""
        if self.freed:
            return False
        self.freed = True
        self.counter.remove(self.nbytes)
        return True

    def __del__(self) -> None:
        self.free()


class NullBackend(Backend):
    """Shapes and dtypes only; `operations` counts runs by op name."""

    name = "null"
    dtypes = ALL

    def __init__(self) -> None:
        self.operations: Counter[str] = Counter()
        self._counter = MemoryCounter()

    @property
    def devices(self) -> tuple[Device, ...]:
        return (NOWHERE,)

    def asarray(self, array: Array, *, copy: bool | None = True, device: Device | None = None) -> Shadow:
        return self.allocate(array.shape, checked_dtype(array), device=device)

    def to_numpy(self, storage: Shadow) -> Array:
        """Zeros: there are no elements."""
        zero = np.zeros((), storage.dtype.numpy)
        return np.broadcast_to(zero, storage.shape)

    def dtype(self, storage: Shadow) -> DType:
        return storage.dtype

    def shape(self, storage: Shadow) -> tuple[int, ...]:
        return storage.shape

    def device(self, storage: Shadow) -> Device:
        return NOWHERE

    def allocate(self, shape: Sequence[int], dtype: DType, *, device: Device | None = None) -> Shadow:
        self.check_device(device)
        shadow = Shadow(dtype, tuple(shape), self._counter)
        self._counter.add(shadow.nbytes)
        return shadow

    def copy(self, storage: Shadow) -> Shadow:
        return self.allocate(storage.shape, storage.dtype)

    def deallocate(self, storage: Shadow) -> bool:
        return storage.free()

    def run_op(
        self,
        operation: Operation,
        operands: Sequence[Shadow],
        attributes: Mapping[str, Any],
        results: Sequence[Typed] | None = None,
    ) -> tuple[Shadow, ...]:
        if results is None:
            raise ArgumentError(f"{operation.name}: the null backend computes nothing, give the result types")
        self.operations[operation.name] += 1
        return tuple(self.allocate(result.shape, result.dtype) for result in results)

    def statistics(self) -> Statistics:
        counter = self._counter
        return Statistics(self.operations.total(), counter.live_bytes, counter.peak_bytes, counter.allocations)
