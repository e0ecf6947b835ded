"""The default backend: aligned host buffers; single operations run as cached one-op executables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from phalanx.dialects.dtypes import ALL, DType
from phalanx.dialects.errors import DeviceError
from phalanx.runtime.allocator import HOST
from phalanx.runtime.backends.base import Array, Backend, Operation, Statistics, Typed
from phalanx.runtime.buffer import Buffer
from phalanx.runtime.device import CPU, Device

EagerRunner = Callable[[Operation, Sequence[Buffer], Mapping[str, Any], Sequence[Typed] | None], Sequence[Buffer]]

_runner: EagerRunner | None = None
_load: Callable[[], EagerRunner] | None = None


def install_eager(load: Callable[[], EagerRunner]) -> None:
    """Say who knows how one operation runs on buffers, asked at the first one; the compiler layer calls this."""
    global _runner, _load
    _runner, _load = None, load


def _loaded_runner() -> EagerRunner | None:
    global _runner
    if _load is not None:
        _runner = _load()
    return _runner


class CpuBackend(Backend):
    """Owner of `Buffer`s.

    >>> backend = CpuBackend()
    >>> backend.shape(backend.asarray(np.zeros((2, 3), np.float32)))
    (2, 3)
    """

    name = "cpu"
    dtypes = ALL

    def __init__(self) -> None:
        self._operations = 0

    @property
    def devices(self) -> tuple[Device, ...]:
        return (CPU,)

    def asarray(self, array: Array, *, copy: bool | None = True, device: Device | None = None) -> Buffer:
        self.check_device(device)
        return Buffer.from_numpy(array, copy=copy)

    def to_numpy(self, storage: Buffer) -> Array:
        return storage.to_numpy()

    def dtype(self, storage: Buffer) -> DType:
        return storage.dtype

    def shape(self, storage: Buffer) -> tuple[int, ...]:
        return storage.shape

    def device(self, storage: Buffer) -> Device:
        return storage.device

    def allocate(self, shape: Sequence[int], dtype: DType, *, device: Device | None = None) -> Buffer:
        self.check_device(device)
        return Buffer.empty(shape, dtype)

    def copy(self, storage: Buffer) -> Buffer:
        return storage.copy()

    def deallocate(self, storage: Buffer) -> bool:
        return storage.deallocate()

    def run_op(
        self,
        operation: Operation,
        operands: Sequence[Buffer],
        attributes: Mapping[str, Any],
        results: Sequence[Typed] | None = None,
    ) -> tuple[Buffer, ...]:
        runner = _runner or _loaded_runner()
        if runner is None:
            raise DeviceError(
                f"{operation.name}: the cpu backend has no compiler to run single operations with",
                hint="import phalanx, or use the numpy backend",
            )
        self._operations += 1
        return tuple(runner(operation, operands, attributes, results))

    def statistics(self) -> Statistics:
        memory = HOST.statistics()
        return Statistics(self._operations, memory.live_bytes, memory.peak_bytes, memory.allocations)
