"""Trace and compile time at 10, 100, 1000 and 5000 operations: compile time must grow linearly.

    python benchmarks/compile_time.py [count ...]

The program repeats matrix products, elementwise chains and reductions on 64x64 tensors. Each size runs in a
process of its own; times are in milliseconds, `passes` and `llvm` are the two halves of a compile.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

COUNTS = (10, 100, 1000, 5000)


def program(count: int) -> Callable[[Any], Any]:
    """A function of about `count` array operations."""
    import phalanx as px

    def body(x: Any) -> Any:
        made = 0
        while made < count:
            y = px.tanh(x * 0.5 + 0.1)
            z = y - px.max(y, axis=1, keepdims=True)
            x = px.exp(z) * x + y
            made += 8
            if made % 80 == 0:
                x = x @ y * 0.01
                made += 2
        return x

    return body


def measure(count: int) -> dict[str, float]:
    """Phases of one first call, after a small function has loaded the machinery."""
    import numpy as np

    import phalanx as px

    px.set_default_options(unroll_warning=0, disk_cache=False)
    px.jit(lambda x: x + 1)(np.ones(3, np.float32))
    compiled = px.compile(program(count), px.spec("f32[64,64]"))
    result = compiled(np.linspace(-1, 1, 4096, dtype=np.float32).reshape(64, 64))
    assert result.shape == (64, 64)
    return {"operations": compiled.traced.op_count, **{k: v * 1e3 for k, v in compiled.seconds.items()}}


def main() -> None:
    """Print one row per size."""
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(measure(int(sys.argv[2]))))
        return
    counts = [int(a) for a in sys.argv[1:]] or list(COUNTS)
    print(f"{'ops':>6} {'trace':>9} {'passes':>9} {'llvm':>9} {'total':>9} {'us/op':>7}")
    for count in counts:
        output = subprocess.run([sys.executable, __file__, "--one", str(count)], capture_output=True, text=True,
                                check=True).stdout
        row = json.loads(output.splitlines()[-1])
        operations = row.pop("operations")
        total = sum(row.values())
        print(f"{operations:>6.0f} {row['trace']:>9.1f} {row['passes']:>9.1f} {row['llvm']:>9.1f} {total:>9.1f} "
              f"{total / operations * 1e3:>7.0f}")


if __name__ == "__main__":
    main()
