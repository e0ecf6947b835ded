"""What this machine can do: multiply-adds per second, and bytes per second from each level of its memory.

    python -m benchmarks.harness.limits 2

Measured by loops written in LLVM IR (`kernels.py`), each thread on memory of its own, the best of several tries and of
two vector widths: a limit is what was reached once. Copy and scale-and-add count each byte read or written once, and
run with stores through and past the caches, of which the better counts. A level is measured with half its size in use;
memory with eight times the last cache.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from benchmarks.harness.kernels import CHAINS, UNROLL, module
from benchmarks.harness.processes import ROOT, environment, processors
from benchmarks.harness.worker import pin
from benchmarks.harness.workload import Work

_Kernel = Callable[[int, int, int, int, int], None]
_Jobs = list[Callable[[], None]]
_TRIES = 7
_SECONDS = 0.02
_LINE = 64


class _Kernels:
    """The compiled loops for one vector width."""

    def __init__(self, bits: int) -> None:
        from phalanx.compiler.targets.isa import host
        from phalanx.compiler.targets.llvm_c import TargetMachine, parse
        from phalanx.runtime.jit import load

        isa = host()
        self.lanes = bits // 32
        with parse(module(self.lanes)) as llvm, TargetMachine(isa.triple, isa.cpu, isa.features) as machine:
            llvm.set_target(machine)
            llvm.add_attributes([("prefer-vector-width", str(bits))])
            self._code = load(llvm.emit_object(machine))

    def __getitem__(self, name: str) -> _Kernel:
        pointer = ctypes.c_void_p
        kernel: _Kernel = self._code.function(name, None, pointer, pointer, pointer, ctypes.c_int64,
                                               ctypes.c_int64)
        return kernel


def _aligned(size: int) -> np.ndarray[Any, Any]:
    """`size` bytes on a cache line, written once so that they are there."""
    raw = np.zeros(size + _LINE, np.uint8)
    start = -raw.ctypes.data % _LINE
    block = raw[start:start + size]
    block.view(np.float32)[:] = 1.0
    return block


def _together(jobs: _Jobs) -> float:
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


def _rate(amount: float, make: Callable[[int], _Jobs]) -> float:
    """The best `amount` per second of jobs that repeat their work so often that they take some milliseconds."""
    repeats = 1
    while (seconds := _together(make(repeats))) < _SECONDS:
        repeats = max(2 * repeats, int(repeats * _SECONDS / max(seconds, 1e-9) * 0.6))
    return max(amount * repeats / _together(make(repeats)) for _ in range(_TRIES))


def peak_flops(kernels: _Kernels, name: str, threads: int) -> float:
    """Floating-point operations per second in registers."""
    kernel, iterations = kernels[name], 20_000
    lanes = kernels.lanes if name == "fma32" else kernels.lanes // 2
    seeds = [_aligned(_LINE * CHAINS) for _ in range(threads)]
    for seed in seeds:
        seed.view(np.float32 if name == "fma32" else np.float64)[:] = 0.5

    def make(repeats: int) -> _Jobs:
        return [lambda a=seed.ctypes.data: kernel(a, a, a, iterations * repeats, 1) for seed in seeds]  # type: ignore[misc]

    return _rate(2.0 * lanes * CHAINS * 4 * iterations * threads, make)


def _passes(kernels: _Kernels, kind: str, total: int, threads: int) -> tuple[float, Callable[[int], _Jobs]]:
    """Bytes that one pass of a stream kernel moves over `total` bytes per thread, and the jobs of so many passes."""
    arrays = {"read": 1, "copy": 2, "triad": 3}[kind.split("_")[0]]
    step = UNROLL * kernels.lanes * 4
    size = max(step, total // arrays // step * step)
    blocks = [[_aligned(size) for _ in range(arrays)] for _ in range(threads)]
    vectors, kernel = size // (kernels.lanes * 4), kernels[kind]
    sinks = [_aligned(_LINE) for _ in range(threads)]

    def job(sink: np.ndarray[Any, Any], own: list[np.ndarray[Any, Any]], repeats: int) -> Callable[[], None]:
        out, first = (sink, own[0]) if arrays == 1 else (own[0], own[1])
        return lambda: kernel(out.ctypes.data, first.ctypes.data, own[-1].ctypes.data, vectors, repeats)

    def make(repeats: int) -> _Jobs:
        return [job(sink, own, repeats) for sink, own in zip(sinks, blocks, strict=True)]

    return float(size * arrays * threads), make


def bandwidth(kernels: _Kernels, kind: str, total: int, threads: int) -> float:
    """Bytes per second of a stream kernel over `total` bytes per thread, all arrays together."""
    moved, make = _passes(kernels, kind, total, threads)
    return _rate(moved, make)


def stream_call(total: int) -> Callable[[], np.ndarray[Any, Any]]:
    """One pass of scale-and-add over `total` bytes, by as many threads as there are processors.

    The yardstick of streaming workloads: memory is shared with other machines and its speed changes by the minute, so
    it takes turns with them.
    """
    from phalanx.compiler.targets.isa import host

    threads = processors()
    _, make = _passes(_Kernels(host().vector_bits), "triad_past_caches", total // threads, threads)
    jobs, nothing = make(1), np.zeros(0)

    def call() -> np.ndarray[Any, Any]:
        _together(jobs)
        return nothing

    return call


def measure(threads: int) -> dict[str, Any]:
    """Peaks and the bandwidth of every level with so many threads; sizes are of all threads together."""
    from phalanx.compiler.targets.isa import host

    isa = host()
    widths = [_Kernels(bits) for bits in sorted({isa.vector_bits, min(isa.vector_bits, 256)})]
    levels: list[dict[str, Any]] = []
    for name, size in (("L1", isa.l1_bytes * threads), ("L2", isa.l2_bytes * threads), ("L3", isa.l3_bytes)):
        figures = {kind: max(bandwidth(k, kind, size // 2 // threads, threads) for k in widths)
                   for kind in ("read", "copy", "triad")}
        levels.append({"name": name, "bytes": size, **figures})
    memory = max(8 * isa.l3_bytes, 64 << 20) // threads
    figures = {"read": max(bandwidth(k, "read", memory, threads) for k in widths)}
    for kind in ("copy", "triad"):
        figures[kind] = max(bandwidth(k, kind + way, memory, threads) for k in widths for way in ("", "_past_caches"))
    levels.append({"name": "memory", "bytes": None, **figures})
    return {"threads": threads,
            "flops": {dtype: max(peak_flops(k, name, threads) for k in widths)
                      for dtype, name in (("float32", "fma32"), ("float64", "fma64"))},
            "levels": levels}


def measured(threads: int) -> dict[str, Any]:
    """`measure` in a process of its own, pinned like a worker."""
    done = subprocess.run([sys.executable, "-m", "benchmarks.harness.limits", str(threads)], cwd=ROOT, text=True,
                          env=environment(threads), capture_output=True, check=True)
    limits: dict[str, Any] = json.loads(done.stdout)
    return limits


def least_seconds(work: Work, limits: Mapping[str, Any]) -> float:
    """How long the work takes on a machine that does nothing else: by its operations or by its bytes.

    Bytes count at the speed of the smallest level that holds them all.
    """
    level = next(level for level in limits["levels"] if level["bytes"] is None or work.bytes <= level["bytes"])
    speed: float = max(level[kind] for kind in ("read", "copy", "triad"))
    peak: float = limits["flops"][work.dtype]
    return max(work.flops / peak, work.bytes / speed)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("threads", type=int)
    count = parser.parse_args().threads
    pin(count)
    print(json.dumps(measure(count), indent=1))
