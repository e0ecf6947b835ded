"""What importing costs: NumPy, Phalanx, and the first trace, compile and call; medians over child processes.

    python benchmarks/import_time.py [--runs 9] [--limit 1.5]

With `--limit` the exit code says whether `import phalanx` (NumPy included) took at most that many times `import numpy`.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

_CHILD = """
import sys, time
start = time.perf_counter()
{}
print(time.perf_counter() - start)
"""

#: what is timed, and what runs before the clock starts
CASES = {
    "import numpy": "import numpy",
    "import phalanx": "import phalanx; assert 'mlir' not in sys.modules",
    "... and the first trace": "import phalanx as px; px.jit(lambda x: px.exp(x) + 1).trace('f32[8]')",
    "... and the first call, compiled": (
        "import os; os.environ['PHALANX_DISK_CACHE'] = '0'\n"
        "import phalanx as px; px.jit(lambda x: px.exp(x) + 1)(px.asarray([1.0]))"),
    "... and the first call, evaluated": (
        "import phalanx as px\n"
        "with px.options(compiler='evaluator', backend='numpy'): px.jit(lambda x: px.exp(x) + 1)(px.asarray([1.0]))"),
}

# Without compiled bytecode at hand, importing would measure Python's compiler.
_ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}

#: not needed to use Phalanx, so not loaded by importing it
FOREIGN = ("mlir", "rich", "typer", "torch", "array_api_compat", "importlib.metadata", "scipy")


def seconds(code: str) -> float:
    """How long `code` takes in a fresh interpreter, without the start of the interpreter."""
    done = subprocess.run([sys.executable, "-c", _CHILD.format(code)], capture_output=True, text=True, check=True,
                          env=_ENVIRONMENT)
    return float(done.stdout)


def foreign_modules() -> list[str]:
    """Modules of FOREIGN that `import phalanx` loads and a bare interpreter with NumPy does not."""
    code = "import numpy, sys; before = set(sys.modules); import phalanx; print(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return sorted(set(FOREIGN) & set(done.stdout.split()))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--limit", type=float)
    parser.add_argument("--json", type=Path, help="a file for the medians, in seconds")
    arguments = parser.parse_args()
    for code in CASES.values():  # files into the page cache, bytecode written
        seconds(code)
    measured: dict[str, list[float]] = {name: [] for name in CASES}
    for _ in range(arguments.runs):
        for name, code in CASES.items():
            measured[name].append(seconds(code))
    found = {name: statistics.median(times) for name, times in measured.items()}
    base = found["import numpy"]
    for name, value in found.items():
        print(f"{name:36} {value * 1e3:7.0f} ms   {value / base:5.2f} x import numpy")
    print(f"loaded needlessly: {', '.join(foreign_modules()) or 'nothing'}")
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")
    ratio = found["import phalanx"] / base
    return int(arguments.limit is not None and ratio > arguments.limit)


if __name__ == "__main__":
    sys.exit(main())
