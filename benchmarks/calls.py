"""What a call costs: three operations on four elements, with tensors, with NumPy arrays and by the native entry.

    python benchmarks/calls.py [--json FILE]

Each figure is the fastest of several batches: what the machine does besides only adds to it.
"""

from __future__ import annotations

import argparse
import json
import timeit
from collections.abc import Callable
from pathlib import Path

import numpy as np

import phalanx as px

_BATCH, _BATCHES = 20_000, 15


def seconds(call: Callable[[], object]) -> float:
    """Seconds per call, without the loop around it."""
    timer, empty = timeit.Timer(call), timeit.Timer(lambda: None)
    timer.timeit(1000)
    best, nothing = (min(t.repeat(_BATCHES, _BATCH)) / _BATCH for t in (timer, empty))
    return best - nothing


def measure() -> dict[str, float]:
    """All figures, in seconds."""
    def step(x: px.Tensor, y: px.Tensor, z: px.Tensor) -> px.Tensor:
        return px.maximum(x * y + z, 0.0)

    arrays = [np.linspace(start, 1, 4, dtype=np.float32) for start in (-1, 0, -2)]
    tensors = [px.asarray(array) for array in arrays]
    jitted = px.jit(step)
    entry = px.compile(step, *(px.spec("f32[4]") for _ in tensors)).entry
    return {
        "tensors": seconds(lambda: jitted(*tensors)),
        "arrays": seconds(lambda: jitted(*arrays)),
        "entry": seconds(lambda: entry(*tensors)),
        "numpy": seconds(lambda: np.maximum(arrays[0] * arrays[1] + arrays[2], 0)),
    }


def main() -> None:
    """Print the figures, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    found = measure()
    for name, value in found.items():
        print(f"{name:8} {value * 1e9:7.0f} ns")
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
