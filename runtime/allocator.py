"""Host memory in 64-byte-aligned blocks, kept in size classes for reuse.

A fresh 64 MB block costs more in page faults than most kernels that fill it (66 ms against 18 ms when the
block is reused), so blocks that come back are kept, up to `keep_bytes`, and handed out again.
"""

from __future__ import annotations

import mmap
import os
import threading
import weakref
from collections import deque
from typing import Any

import numpy as np

from phalanx.dialects.errors import DeviceError
from phalanx.runtime.device import CPU, Device, MemoryCounter, MemoryStatistics, parse_device

ALIGNMENT = 64
_SMALLEST = 64
_MAPPED_FROM = 1 << 20  # blocks of this size come straight from the kernel, page-aligned
_HUGE_FROM = 4 << 20


def size_class(nbytes: int) -> int:
    """Capacity of the block that serves `nbytes`: multiples of 64, then four classes per power of two.

    >>> size_class(1), size_class(1000), size_class(5000)
    (64, 1024, 5120)
    """
    if nbytes <= _SMALLEST:
        return _SMALLEST
    step = 1 << max((nbytes - 1).bit_length() - 3, 6)
    return (nbytes + step - 1) & -step


def address_of(array: np.ndarray[Any, Any]) -> int:
    """Address of an array's first element."""
    return int(array.__array_interface__["data"][0])


class Block:
    """One aligned piece of raw memory; `storage` keeps it mapped."""

    __slots__ = ("address", "capacity", "storage")

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.storage: Any
        if capacity >= _MAPPED_FROM:
            # Private, so that a forked child gets its own copy on write.
            mapping = mmap.mmap(-1, capacity, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            if capacity >= _HUGE_FROM and hasattr(mmap, "MADV_HUGEPAGE"):
                mapping.madvise(mmap.MADV_HUGEPAGE)
            self.storage = np.frombuffer(mapping, dtype=np.uint8)
            self.address = address_of(self.storage)
        else:
            self.storage = np.empty(capacity + ALIGNMENT, dtype=np.uint8)
            start = address_of(self.storage)
            self.address = start + (-start) % ALIGNMENT

    def parts(self, count: int) -> list[Block]:
        """This block cut into `count` equal ones, which keep all of it mapped."""
        size = self.capacity // count
        made = []
        for number in range(count):
            part = object.__new__(Block)
            part.capacity, part.storage, part.address = size, self.storage, self.address + number * size
            made.append(part)
        return made


class Memory:
    """Bytes that live as long as this object; its block goes back to the pool afterwards.

    Arrays that look at the bytes hold this object, never the block, so memory in use is never handed out
    again. `shared` says that somebody besides the buffer looks at the bytes: they must not be overwritten.
    """

    __slots__ = ("__weakref__", "_allocator", "_block", "address", "nbytes", "owner", "shared")

    def __init__(
        self,
        address: int,
        nbytes: int,
        block: Block | None = None,
        allocator: Allocator | None = None,
        *,
        owner: object = None,
        shared: bool = False,
    ) -> None:
        self.address = address
        self.nbytes = nbytes
        self.owner = owner
        self.shared = shared
        self._block = block
        self._allocator = allocator

    def __del__(self) -> None:
        if self._block is not None and self._allocator is not None:
            self._allocator.give_back(self._block)

    def bytes_view(self, *, writable: bool = False) -> np.ndarray[Any, Any]:
        """The bytes as a NumPy array that keeps this memory alive."""
        return np.asarray(_Window(self, writable))


class _Window:
    """What NumPy asks for the address of some memory; the array made from it keeps it as its base."""

    __slots__ = ("__array_interface__", "memory")

    def __init__(self, memory: Memory, writable: bool) -> None:
        self.memory = memory
        self.__array_interface__ = {
            "version": 3,
            "shape": (memory.nbytes,),
            "typestr": "|u1",
            "data": (memory.address, not writable),
        }


def default_keep_bytes() -> int:
    """How much returned memory a pool keeps: 1 GiB, or an eighth of a small machine's memory."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min(1 << 30, physical // 8)


class Allocator:
    """Aligned host memory for one device, safe to use from any thread and from finalizers.

    >>> memory = Allocator(CPU).allocate(100)
    >>> memory.address % 64
    0
    """

    def __init__(self, device: Device = CPU, *, keep_bytes: int | None = None) -> None:
        self.device = device
        self.keep_bytes = default_keep_bytes() if keep_bytes is None else keep_bytes
        self._free: dict[int, list[Block]] = {}
        self._pooled_bytes = 0
        self._counter = MemoryCounter()
        self._lock = threading.Lock()
        _allocators.add(self)
        # Finalizers run at any moment, also while this thread holds the lock: they only append here.
        self._returned: deque[Block] = deque()

    def allocate(self, nbytes: int) -> Memory:
        """`nbytes` of uninitialised memory, 64-byte aligned; 0 bytes get an address too.

        Raises DeviceError when the system has no memory of that size.
        """
        if nbytes < 0:
            raise DeviceError(f"allocate: negative size, got {nbytes}")
        capacity = size_class(nbytes)
        with self._lock:
            if self._returned:
                self._collect()
            waiting = self._free.get(capacity)
            block = waiting.pop() if waiting else None
            if block is not None:
                self._pooled_bytes -= capacity
            self._counter.add(capacity)
        if block is None:
            block = self._fresh(capacity)
        return Memory(block.address, nbytes, block, self)

    def allocate_many(self, nbytes: int, count: int) -> list[Memory]:
        """`count` pieces of `nbytes` for less than as many calls take; meant for small ones, which are cut from one block.

        Raises DeviceError as `allocate` does.
        """
        capacity = size_class(nbytes)
        with self._lock:
            if self._returned:
                self._collect()
            waiting = self._free.get(capacity, [])
            blocks = [waiting.pop() for _ in range(min(count, len(waiting)))]
            self._pooled_bytes -= capacity * len(blocks)
            self._counter.add(capacity * count, count)
        if missing := count - len(blocks):
            try:
                blocks += self._fresh(capacity * missing).parts(missing)
            except DeviceError:
                for block in blocks:
                    self.give_back(block)
                raise
        return [Memory(block.address, nbytes, block, self) for block in blocks]

    def _fresh(self, capacity: int) -> Block:
        try:
            return Block(capacity)
        except (MemoryError, OSError, OverflowError, ValueError):
            self.trim()
        try:
            return Block(capacity)
        except (MemoryError, OSError, OverflowError, ValueError):
            with self._lock:
                self._counter.remove(capacity)
                live = self._counter.live_bytes
            raise DeviceError(
                f"allocate: {self.device} has no {capacity} bytes left, {live} bytes are in use",
                hint="deallocate tensors that are no longer needed, or donate arguments",
            ) from None

    def give_back(self, block: Block) -> None:
        """Return a block; takes no lock, since it is called by finalizers."""
        self._returned.append(block)

    def _collect(self) -> None:
        """Sort returned blocks into the pool; the caller holds the lock."""
        while True:
            try:
                block = self._returned.popleft()
            except IndexError:
                return
            self._counter.remove(block.capacity)
            if self._pooled_bytes + block.capacity <= self.keep_bytes:
                self._free.setdefault(block.capacity, []).append(block)
                self._pooled_bytes += block.capacity

    def trim(self) -> int:
        """Give all pooled memory back to the system; returns how many bytes that was."""
        with self._lock:
            self._collect()
            dropped, self._free = self._free, {}
            freed, self._pooled_bytes = self._pooled_bytes, 0
        dropped.clear()
        return freed

    def statistics(self) -> MemoryStatistics:
        """Live, peak and pooled bytes (in capacities handed out) and the number of allocations."""
        with self._lock:
            self._collect()
            counter = self._counter
            return MemoryStatistics(counter.live_bytes, counter.peak_bytes, self._pooled_bytes, counter.allocations)

    def reset_peak(self) -> None:
        """Measure the peak anew from now on."""
        with self._lock:
            self._collect()
            self._counter.reset_peak()


_allocators: weakref.WeakSet[Allocator] = weakref.WeakSet()
_held_by_fork: list[Allocator] = []
_fork_turn = threading.Lock()  # two threads that fork at once must not share the list above


def _before_fork() -> None:
    """Wait until no thread is inside an allocator, so that the child finds all of them consistent."""
    _fork_turn.acquire()
    _held_by_fork.extend(_allocators)
    for allocator in _held_by_fork:
        allocator._lock.acquire()


def _after_fork() -> None:
    for allocator in _held_by_fork:
        allocator._lock.release()
    _held_by_fork.clear()
    _fork_turn.release()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)

HOST = Allocator(CPU)
_BY_DEVICE = {CPU: HOST}


def allocator_of(device: Device | str) -> Allocator:
    """The allocator of a device, for its statistics.

    >>> allocator_of("cpu").statistics().live_bytes
    0

    Raises DeviceError for a device without memory of ours.
    """
    found = _BY_DEVICE.get(parse_device(device))
    if found is None:
        known = ", ".join(str(d) for d in _BY_DEVICE)
        raise DeviceError(f"device: no memory of ours on {device}", hint=f"known: {known}")
    return found
