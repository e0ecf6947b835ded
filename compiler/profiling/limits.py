"""The two limits a profile holds clusters against: multiply-adds in registers, and streams from memory.

A stream is the triad `a = b + s * c` of the STREAM benchmark (McCalpin 1995), counted as two reads and one write.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

from phalanx.compiler.profiling.rates import every_width, memory_bandwidth, peak_flops
from phalanx.runtime import threads


@dataclass(frozen=True)
class Limits:
    """Rates that nothing on this machine exceeds for long.

    `flops_f32`, `flops_f64` are floating-point operations a second (a multiply-add is two), `read_bytes` and
    `stream_bytes` bytes of memory a second: read only, and two reads with one write.
    """

    threads: int
    flops_f32: float
    flops_f64: float
    read_bytes: float
    stream_bytes: float

    def __str__(self) -> str:
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        return (f"{threads}: {self.flops_f32 / 1e9:.0f} GFLOP/s in f32, {self.flops_f64 / 1e9:.0f} in f64; memory "
                f"{self.read_bytes / 1e9:.1f} GB/s read, {self.stream_bytes / 1e9:.1f} GB/s streamed")


@functools.cache
def measure_limits(count: int | None = None) -> Limits:
    """The limits of `count` threads (default: the number in force), measured once per process in a few seconds.

    >>> limits = measure_limits(1)
    >>> limits.flops_f32 > 0 and limits.stream_bytes > 0
    True
    """
    wanted = threads.get_threads() if count is None else count
    widths = every_width()
    single, double = (max(peak_flops(kernels, dtype, wanted) for kernels in widths) for dtype in ("float32", "float64"))
    read, stream = (memory_bandwidth(widths, kind, wanted) for kind in ("read", "triad"))
    return Limits(wanted, single, double, read, stream)
