"""Devices and what their memory holds: `Device("cpu", 0)`, live and peak bytes, allocation counts."""

from __future__ import annotations

import re

from phalanx.dialects.errors import DeviceError
from phalanx.dialects.records import record


@record
class Device:
    """One place where tensors live.

    >>> str(Device("cpu", 0))
    'cpu:0'
    """

    kind: str
    index: int = 0

    def __str__(self) -> str:
        return f"{self.kind}:{self.index}"


CPU = Device("cpu", 0)


def parse_device(value: Device | str) -> Device:
    """The Device named by `"cpu"` or `"cuda:1"`; a Device passes through.

    Raises DeviceError when the text is not `kind` or `kind:index`.
    """
    if isinstance(value, Device):
        return value
    match = re.fullmatch(r"([a-z_]+)(?::(\d+))?", value) if isinstance(value, str) else None
    if match is None:
        raise DeviceError(f"device: cannot read {value!r}", hint='write "cpu" or "cpu:0"')
    return Device(match.group(1), int(match.group(2) or 0))


@record
class MemoryStatistics:
    """A snapshot of one device's memory, in bytes; `allocations` counts every request since the start."""

    live_bytes: int
    peak_bytes: int
    pooled_bytes: int
    allocations: int


class MemoryCounter:
    """Live and peak bytes of one device, updated by its allocator under the allocator's lock."""

    __slots__ = ("allocations", "live_bytes", "peak_bytes")

    def __init__(self) -> None:
        self.live_bytes = 0
        self.peak_bytes = 0
        self.allocations = 0

    def add(self, nbytes: int, allocations: int = 1) -> None:
        """Record allocations of `nbytes` together."""
        self.allocations += allocations
        self.live_bytes += nbytes
        if self.live_bytes > self.peak_bytes:
            self.peak_bytes = self.live_bytes

    def remove(self, nbytes: int) -> None:
        """Record that `nbytes` came back."""
        self.live_bytes -= nbytes

    def reset_peak(self) -> None:
        """Start measuring the peak anew from what is live now."""
        self.peak_bytes = self.live_bytes
