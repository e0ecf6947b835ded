"""What this machine can do: multiply-adds per second, and bytes per second from each level of its memory.

    python -m benchmarks.harness.limits 2

Measured as for `px.profile` (`compiler/profiling/rates.py`), with two vector widths, of which the better counts. A level is
measured with half its size in use; memory with eight times the last cache.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from benchmarks.harness.processes import ROOT, environment, processors
from benchmarks.harness.worker import pin
from benchmarks.harness.workload import Work

_KINDS = ("read", "copy", "triad")


def stream_call(total: int) -> Callable[[], np.ndarray[Any, Any]]:
    """One pass of scale-and-add over `total` bytes, by as many threads as there are processors.

    The yardstick of streaming workloads: memory is shared with other machines and its speed changes by the minute, so
    it takes turns with them.
    """
    from phalanx.compiler.profiling import rates

    threads = processors()
    _, make = rates.passes(rates.every_width()[-1], "triad_past_caches", total // threads, threads)
    jobs, nothing = make(1), np.zeros(0)

    def call() -> np.ndarray[Any, Any]:
        rates.together(jobs)
        return nothing

    return call


def measure(threads: int) -> dict[str, Any]:
    """Peaks and the bandwidth of every level with so many threads; sizes are of all threads together."""
    from phalanx.compiler.profiling import rates
    from phalanx.compiler.targets.isa import host

    isa, widths = host(), rates.every_width()
    levels: list[dict[str, Any]] = []
    for name, size in (("L1", isa.l1_bytes * threads), ("L2", isa.l2_bytes * threads), ("L3", isa.l3_bytes)):
        figures = {kind: max(rates.bandwidth(k, kind, size // 2 // threads, threads) for k in widths) for kind in _KINDS}
        levels.append({"name": name, "bytes": size, **figures})
    memory = {kind: rates.memory_bandwidth(widths, kind, threads) for kind in _KINDS}
    levels.append({"name": "memory", "bytes": None, **memory})
    return {"threads": threads,
            "flops": {dtype: max(rates.peak_flops(k, dtype, threads) for k in widths) for dtype in ("float32", "float64")},
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
    speed: float = max(level[kind] for kind in _KINDS)
    peak: float = limits["flops"][work.dtype]
    return max(work.flops / peak, work.bytes / speed)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("threads", type=int)
    count = parser.parse_args().threads
    pin(count)
    print(json.dumps(measure(count), indent=1))
