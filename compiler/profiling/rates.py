"""How fast this machine multiplies and adds, and moves bytes: measured with loops that do nothing else.

The loops are LLVM IR (`kernels.py`) that no pass touches. Every thread works on memory of its own, and the best of several
tries counts: a limit is what was reached once. Bytes count once each, read or written.
"""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from phalanx.compiler.profiling.kernels import CHAINS, LINKS, UNROLL, module
from phalanx.compiler.targets.isa import isa as instruction_set
from phalanx.compiler.targets.llvm_c import TargetMachine, parse
from phalanx.runtime import jit

Kernel = Callable[[int, int, int, int, int], None]
Jobs = list[Callable[[], None]]

_TRIES = 7
_SECONDS = 0.02
_LINE = 64
_FEWEST_BYTES = 64 << 20
#: what a stream reads and writes: arrays of the same size
_ARRAYS = {"read": 1, "copy": 2, "triad": 3}


class Kernels:
    """The compiled loops for one vector width."""

    def __init__(self, bits: int) -> None:
        isa = instruction_set(None)
        self.lanes = bits // 32
        with parse(module(self.lanes), "rates") as llvm, TargetMachine(isa.triple, isa.cpu, isa.features) as machine:
            llvm.set_target(machine)
            llvm.add_attributes([("prefer-vector-width", str(bits))])
            llvm.verify()
            self._code = jit.load(llvm.emit_object(machine))

    def __getitem__(self, name: str) -> Kernel:
        pointer = ctypes.c_void_p
        kernel: Kernel = self._code.function(name, None, pointer, pointer, pointer, ctypes.c_int64, ctypes.c_int64)
        return kernel


def every_width() -> list[Kernels]:
    """Loops for the widest vectors, and for those of 256 bits: which is faster depends on the machine."""
    bits = instruction_set(None).vector_bits
    return [Kernels(width) for width in sorted({bits, min(bits, 256)})]


def aligned(size: int) -> np.ndarray[Any, Any]:
    """`size` bytes on a cache line, written once so that they are there."""
    raw = np.zeros(size + _LINE, np.uint8)
    start = -raw.ctypes.data % _LINE
    block = raw[start:start + size]
    block.view(np.float32)[:] = 1.0
    return block


def together(jobs: Jobs) -> float:
    """Seconds from the first start to the last end of all jobs, each in its own thread."""
    gate = threading.Barrier(len(jobs))
    times: list[tuple[float, float]] = []

    def run(job: Callable[[], None]) -> None:
        gate.wait()
        start = time.perf_counter()
        job()
        times.append((start, time.perf_counter()))

    workers = [threading.Thread(target=run, args=(job,)) for job in jobs]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return max(end for _, end in times) - min(start for start, _ in times)


def _best(amount: float, make: Callable[[int], Jobs]) -> float:
    """The best `amount` per second of jobs that repeat their work so often that they take some milliseconds."""
    repeats = 1
    while (seconds := together(make(repeats))) < _SECONDS:
        repeats = max(2 * repeats, int(repeats * _SECONDS / max(seconds, 1e-9) * 0.6))
    return max(amount * repeats / together(make(repeats)) for _ in range(_TRIES))


def peak_flops(kernels: Kernels, dtype: str, threads: int) -> float:
    """Floating-point operations per second in registers, of float32 or float64; a multiply-add is two."""
    wide = dtype == "float64"
    kernel, iterations = kernels["fma64" if wide else "fma32"], 20_000
    lanes = kernels.lanes // 2 if wide else kernels.lanes
    seeds = [aligned(_LINE * CHAINS) for _ in range(threads)]
    for seed in seeds:
        seed.view(dtype)[:] = 0.5

    def make(repeats: int) -> Jobs:
        return [lambda a=seed.ctypes.data: kernel(a, a, a, iterations * repeats, 1) for seed in seeds]  # type: ignore[misc]

    return _best(2.0 * lanes * CHAINS * LINKS * iterations * threads, make)


def passes(kernels: Kernels, kind: str, total: int, threads: int) -> tuple[float, Callable[[int], Jobs]]:
    """Bytes that one pass of a stream moves over `total` bytes per thread, and the jobs of so many passes."""
    arrays = _ARRAYS[kind.split("_")[0]]
    step = UNROLL * kernels.lanes * 4
    size = max(step, total // arrays // step * step)
    blocks = [[aligned(size) for _ in range(arrays)] for _ in range(threads)]
    vectors, kernel = size // (kernels.lanes * 4), kernels[kind]
    sinks = [aligned(_LINE) for _ in range(threads)]

    def job(sink: np.ndarray[Any, Any], own: list[np.ndarray[Any, Any]], repeats: int) -> Callable[[], None]:
        out, first = (sink, own[0]) if arrays == 1 else (own[0], own[1])
        return lambda: kernel(out.ctypes.data, first.ctypes.data, own[-1].ctypes.data, vectors, repeats)

    def make(repeats: int) -> Jobs:
        return [job(sink, own, repeats) for sink, own in zip(sinks, blocks, strict=True)]

    return float(size * arrays * threads), make


def bandwidth(kernels: Kernels, kind: str, total: int, threads: int) -> float:
    """Bytes per second of a stream over `total` bytes per thread, all arrays together."""
    moved, make = passes(kernels, kind, total, threads)
    return _best(moved, make)


def memory_bandwidth(widths: list[Kernels], kind: str, threads: int) -> float:
    """The same over far more than the caches hold, with stores through and past them, of which the better counts."""
    total = max(8 * instruction_set(None).l3_bytes, _FEWEST_BYTES) // threads
    ways = ("",) if kind == "read" else ("", "_past_caches")
    return max(bandwidth(kernels, kind + way, total, threads) for kernels in widths for way in ways)
