"""Seconds of the first call of every workload, from the call to its result: trace, compile, run, in a new process.

    python -m benchmarks.first_call [--only NAME,...] [--rounds 5] [--peers-python PYTHON] [--json FILE]

Libraries are imported before the clock starts; what they load at the first trace counts. Caches on disk are off but
in the column `cached`, a process that finds what an earlier one left; bytecode of modules is kept. Candidates
alternate; each figure is a median. Two more pairs of columns: from the start of the interpreter to the first result,
imports included, and the first call of the workload in a process that has compiled another small function before.
The last row is a program of 5000 operations.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import workload as workloads
from benchmarks.harness.processes import ROOT, environment

LONG = "5000 operations"
COLUMNS = ("phalanx", "cached", "jax", "phalanx whole", "jax whole", "phalanx second", "jax second")
TITLES = ("phalanx", "from disk", "jax", "phalanx from start", "jax from start", "phalanx second", "jax second")


def long_program(xp: Any, x: Any, count: int = 5000) -> Any:
    """A program of about `count` operations in a library of NumPy's names: chains, row reductions, some products."""
    made = 0
    while made < count:
        y = xp.tanh(x * 0.5 + 0.1)
        z = y - xp.max(y, axis=1, keepdims=True)
        x = xp.exp(z) * x + y
        made += 8
        if made % 80 == 0:
            x = x @ y * 0.01
            made += 2
    return x


def long_call(candidate: str) -> Callable[[], Any]:
    """The long program on 64x64, ready for its first call."""
    values = np.linspace(-1, 1, 4096, dtype=np.float32).reshape(64, 64)
    if candidate == "jax":
        import jax
        import jax.numpy as jnp

        compiled, x = jax.jit(lambda x: long_program(jnp, x)), jnp.asarray(values)
        return lambda: jax.block_until_ready(compiled(x))
    import phalanx as px

    px.set_default_options(unroll_warning=0)
    defn, tensor = px.jit(lambda x: long_program(px, x)), px.asarray(values)
    return lambda: defn(tensor)


def compile_another(candidate: str) -> None:
    """Compile and run a small function that no workload has."""
    values = np.linspace(0, 1, 35, dtype=np.float32).reshape(5, 7)
    if candidate == "jax":
        import jax
        import jax.numpy as jnp

        jax.block_until_ready(jax.jit(lambda x: jnp.sqrt(x) - 3.0 * x)(jnp.asarray(values)))
        return
    import phalanx as px

    px.jit(lambda x: px.sqrt(x) - 3.0 * x)(px.asarray(values))


def since_start() -> float:
    """Seconds since the kernel started this process, to a hundredth; Linux only."""
    ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")


def one(name: str, candidate: str, how: str = "") -> float:
    """The first call of a workload's first case, in this process; `how` is "", "whole" or "second"."""
    if name == LONG:
        call = long_call(candidate)
    else:
        workload = workloads.load(name)
        case = workload.cases[0]
        call = workload.build(candidate, case, workload.inputs(case))
    if how == "second":
        compile_another(candidate)
    start = time.perf_counter()
    call()
    return since_start() if how == "whole" else time.perf_counter() - start


def measure(name: str, column: str, python: str, folder: Path, threads: int) -> float:
    """The same in a process of its own."""
    variables = environment(threads, folder)
    variables.pop("PYTHONDONTWRITEBYTECODE", None)  # installed libraries come with their bytecode
    if column == "cached":
        variables.update(PHALANX_DISK_CACHE="1", PHALANX_CACHE_DIR=str(folder / "cache"))
    candidate, _, how = column.partition(" ")
    command = [python, "-m", "benchmarks.first_call", "--one", name, "jax" if candidate == "jax" else "phalanx", how]
    output = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=True).stdout
    return float(json.loads(output.splitlines()[-1]))


def table(rows: dict[str, dict[str, float]]) -> str:
    """The medians as Markdown."""
    lines = [f"| workload | {', ms | '.join(TITLES)}, ms | jax / phalanx |", "|---|" + "---:|" * (len(TITLES) + 1)]
    for name, row in rows.items():
        cells = [f"{1e3 * row[c]:.0f}" if c in row else "" for c in COLUMNS]
        ratio = f"{row['jax'] / row['phalanx']:.2f}" if "jax" in row else ""
        lines.append(f"| {name} | {' | '.join(cells)} | {ratio} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, print the table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--one", nargs=3)
    parser.add_argument("--only", default="")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--peers-python", default=str(ROOT / ".venv-peers" / "bin" / "python"), help="a Python that has JAX")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(one(*arguments.one)))
        return
    chosen = [name for name in arguments.only.split(",") if name] or [*workloads.names(), LONG]
    rows: dict[str, dict[str, float]] = {}
    for name in chosen:
        columns = [c for c in COLUMNS if not c.startswith("jax") or name == LONG or "jax" in workloads.load(name).candidates]
        samples: dict[str, list[float]] = {column: [] for column in columns}
        with tempfile.TemporaryDirectory() as folder:
            for turn in range(-1, arguments.rounds):
                for column in columns:
                    if turn >= 0 or column == "cached":  # turn -1 fills the cache
                        python = arguments.peers_python if column.startswith("jax") else sys.executable
                        seconds = measure(name, column, python, Path(folder), arguments.threads)
                        samples[column] += [seconds] if turn >= 0 else []
        rows[name] = {column: statistics.median(found) for column, found in samples.items()}
        print(name, {c: f"{s:.3f}" for c, s in rows[name].items()}, file=sys.stderr, flush=True)
    print(table(rows))
    if arguments.json:
        arguments.json.write_text(json.dumps({"rounds": arguments.rounds, "threads": arguments.threads, "seconds": rows},
                                             indent=1) + "\n")


if __name__ == "__main__":
    main()
