"""What a backend is: where tensors live and what runs one operation; and the registry of backends."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from phalanx.dialects.dtypes import DType
from phalanx.dialects.errors import ArgumentError, DeviceError, DTypeError
from phalanx.dialects.records import record
from phalanx.runtime.device import Device

Storage = Any  # whatever a backend keeps a tensor in
Array = np.ndarray[Any, Any]


class ResultType(NamedTuple):
    """What an operation's inference says about one result."""

    dtype: DType
    shape: tuple[int, ...]


class Typed(Protocol):
    """Anything with a dtype and sizes: an aval, a buffer, a ResultType."""

    @property
    def dtype(self) -> DType: ...

    @property
    def shape(self) -> tuple[Any, ...]: ...


class Operation(Protocol):
    """What a backend needs to know of an op definition: its name and its meaning."""

    name: str

    @property
    def eval(self) -> Callable[..., Any]:
        """`eval(xp, *arrays, **attributes)` in terms of an array namespace."""


@record
class Statistics:
    """What a backend did so far; bytes are 0 where its library does not tell."""

    operations: int = 0
    live_bytes: int = 0
    peak_bytes: int = 0
    allocations: int = 0


class Backend(ABC):
    """Owner of tensors: makes, reads, copies and frees storages and runs single operations on them.

    A storage belongs to the backend that made it. Storages are never changed after they are returned.
    """

    name: str
    dtypes: Collection[DType]

    @property
    @abstractmethod
    def devices(self) -> tuple[Device, ...]:
        """The devices this backend can put tensors on; the first is the default."""

    @abstractmethod
    def asarray(self, array: Array, *, copy: bool | None = True, device: Device | None = None) -> Storage:
        """A storage with the elements of a NumPy array; `copy` as in `Buffer.from_numpy`."""

    @abstractmethod
    def to_numpy(self, storage: Storage) -> Array:
        """The elements on the host, read-only where they are shared."""

    @abstractmethod
    def dtype(self, storage: Storage) -> DType:
        """The element type."""

    @abstractmethod
    def shape(self, storage: Storage) -> tuple[int, ...]:
        """The sizes."""

    @abstractmethod
    def device(self, storage: Storage) -> Device:
        """Where the storage is."""

    @abstractmethod
    def allocate(self, shape: Sequence[int], dtype: DType, *, device: Device | None = None) -> Storage:
        """A storage with undefined contents, e.g. for the results of an executable."""

    @abstractmethod
    def copy(self, storage: Storage) -> Storage:
        """A storage of its own with equal elements."""

    @abstractmethod
    def deallocate(self, storage: Storage) -> bool:
        """Free the storage now; False when it was free already or the library frees it by itself."""

    @abstractmethod
    def run_op(
        self,
        operation: Operation,
        operands: Sequence[Storage],
        attributes: Mapping[str, Any],
        results: Sequence[Typed] | None = None,
    ) -> tuple[Storage, ...]:
        """Run one operation. `results`, where given, are the inferred types, and hold afterwards."""

    def synchronize(self) -> None:  # noqa: B027
        """Wait for everything that was started; host libraries have nothing to wait for."""

    def statistics(self) -> Statistics:
        """Counts and bytes since the start."""
        return Statistics()

    def transfer(self, storage: Storage, target: Backend, *, device: Device | None = None) -> Storage:
        """The same elements as a storage of `target`."""
        if target is self and (device is None or device == self.device(storage)):
            return self.copy(storage)
        return target.asarray(self.to_numpy(storage), device=device)

    def check_dtype(self, dtype: DType) -> None:
        """Raise DTypeError when this backend has no such element type."""
        if dtype not in self.dtypes:
            raise DTypeError(
                f"{self.name}: the backend has no {dtype}",
                hint="it has " + ", ".join(sorted(d.name for d in self.dtypes)),
            )

    def check_device(self, device: Device | None) -> Device:
        """`device`, or the default one; raises DeviceError when it is not this backend's."""
        devices = self.devices
        if device is None:
            return devices[0]
        if device not in devices:
            known = ", ".join(str(d) for d in devices)
            raise DeviceError(f"{self.name}: the backend has no device {device}", hint=f"it has {known}")
        return device

    def __repr__(self) -> str:
        return f"<backend {self.name}>"


class Unavailable(Exception):
    """Raised by a factory whose library is not installed; the text says why and what would help."""


@record
class Availability:
    """One registered backend; `reason` says why it is absent and is empty when it is there."""

    name: str
    summary: str
    reason: str = ""

    @property
    def available(self) -> bool:
        return not self.reason


class Registry:
    """Backends by name, each made once, at first use."""

    def __init__(self) -> None:
        self._factories: dict[str, tuple[str, Callable[[], Backend]]] = {}
        self._patterns: dict[str, Callable[[str], Backend]] = {}
        self._made: dict[str, Backend] = {}
        self._lock = threading.RLock()

    def register(self, name: str, summary: str, factory: Callable[[], Backend]) -> None:
        """Add a backend; `factory` imports its library and raises Unavailable when it cannot."""
        with self._lock:
            if name in self._factories:
                raise ArgumentError(f"backend: {name!r} is registered twice")
            self._factories[name] = (summary, factory)

    def register_prefix(self, prefix: str, factory: Callable[[str], Backend]) -> None:
        """Let every name `prefix:rest` be made by `factory(rest)`."""
        with self._lock:
            self._patterns[prefix] = factory

    def names(self) -> tuple[str, ...]:
        """Registered names, available or not."""
        return tuple(self._factories)

    def get(self, name: str) -> Backend:
        """The backend called `name`.

        Raises ArgumentError with the nearest names for an unknown one, DeviceError with the reason for
        one whose library is missing.
        """
        if not isinstance(name, str):
            raise ArgumentError(f"backend: a name is a string, got {name!r}")
        name = name.replace("-", "_")
        with self._lock:
            made = self._made.get(name)
            if made is None:
                try:
                    made = self._made[name] = self._factory(name)()
                except Unavailable as absent:
                    raise DeviceError(f"backend: {name!r} is not available here, {absent}") from absent
            return made

    def check(self, name: str) -> None:
        """Raise ArgumentError with the nearest names when there is no such backend; loads nothing."""
        self._factory(name)

    def _factory(self, name: str) -> Callable[[], Backend]:
        if name in self._factories:
            return self._factories[name][1]
        prefix, colon, rest = name.partition(":")
        if colon and rest and prefix in self._patterns:
            pattern = self._patterns[prefix]
            return lambda: pattern(rest)
        import difflib  # for errors only

        near = difflib.get_close_matches(name, self.names(), n=3, cutoff=0.4)
        known = ", ".join([*self.names(), *(f"{p}:<module>" for p in self._patterns)])
        hint = f"did you mean {' or '.join(repr(n) for n in near)}? " if near else ""
        raise ArgumentError(f"backend: unknown name, got {name!r}", hint=f"{hint}known: {known}")

    def availability(self) -> tuple[Availability, ...]:
        """Every registered backend with the reason why it is absent; tries to load each one."""
        rows = []
        for name, (summary, _) in self._factories.items():
            reason = ""
            try:
                self.get(name)
            except DeviceError as error:
                reason = str(error.__cause__ or error)
            rows.append(Availability(name, summary, reason))
        return tuple(rows)


REGISTRY = Registry()
get_backend = REGISTRY.get
