"""Seconds of the first call of every workload, from the call to its result: trace, compile, run, in a new process.

    python -m benchmarks.first_call [--only NAME,...] [--rounds 5] [--quick] [--peers-python PYTHON] [--json FILE]

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
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import children
from benchmarks.harness import workload as workloads

LONG = "5000 operations"
COLUMNS = ("phalanx", "cached", "jax", "phalanx whole", "jax whole", "phalanx second", "jax second")
#: the processes that are measured; the columns "whole" come from the first and the third
PROCESSES = ("phalanx", "cached", "jax", "phalanx second", "jax second")
#: of what the targets leave out fewer rounds are enough
COMPARED, FEWER = frozenset(PROCESSES) - {"cached"}, 3
#: pairs of columns that are compared
PAIRS = {"first in the process": ("jax", "phalanx"), "from start": ("jax whole", "phalanx whole"),
         "second": ("jax second", "phalanx second")}
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


def one(name: str, candidate: str, how: str = "") -> tuple[float, float]:
    """Seconds of the first call of a workload's first case, and since the start of this process; `how` is "" or "second"."""
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
    return time.perf_counter() - start, since_start()


def measure(name: str, process: str, python: str, folder: Path, threads: int) -> tuple[float, float]:
    """The same in a process of its own."""
    candidate, _, how = process.partition(" ")
    variables = {"PHALANX_DISK_CACHE": "1", "PHALANX_CACHE_DIR": str(folder / "cache")} if process == "cached" else {}
    words = [name, "jax" if candidate == "jax" else "phalanx", how]
    call, whole = children.child("first_call", words, threads, python=python, folder=folder, variables=variables)
    return call, whole


def medians(name: str, options: argparse.Namespace) -> dict[str, float]:
    """A workload's row, the processes taking turns; raises ChildFailed."""
    everyone = name == LONG or "jax" in workloads.load(name).candidates
    processes = [process for process in PROCESSES if everyone or not process.startswith("jax")]
    samples: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(-1, options.rounds):
            for process in processes:
                first, last = -1 if process == "cached" else 0, options.rounds if process in COMPARED else FEWER
                if turn not in range(first, last):  # turn -1 fills the cache
                    continue
                python = options.peers_python if process.startswith("jax") else sys.executable
                call, whole = measure(name, process, python, Path(folder), options.threads)
                if turn >= 0:
                    samples.setdefault(process, []).append(call)
                    samples.setdefault(f"{process} whole", []).append(whole)
    return {column: statistics.median(samples[column]) for column in COLUMNS if column in samples}


def table(rows: dict[str, dict[str, float]]) -> str:
    """The medians as Markdown."""
    ratios = [f"jax / phalanx, {how}" for how in PAIRS]
    lines = [f"| workload | {', ms | '.join(TITLES)}, ms | {' | '.join(ratios)} |",
             "|---|" + "---:|" * (len(TITLES) + len(PAIRS))]
    for name, row in rows.items():
        cells = [f"{1e3 * row[c]:.0f}" if c in row else "" for c in COLUMNS]
        found = [f"{row[theirs] / row[ours]:.2f}" if theirs in row else "" for theirs, ours in PAIRS.values()]
        lines.append(f"| {name} | {' | '.join([*cells, *found])} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, print the table, write the JSON."""
    options = children.arguments(__doc__, 3, peers=True)
    if options.one:
        print(json.dumps(one(*options.one)))
        return
    rows: dict[str, dict[str, float]] = {}
    failures: list[str] = []
    for name in children.chosen(options.only, [LONG]):
        try:
            rows[name] = medians(name, options)
            print(name, {c: f"{s:.3f}" for c, s in rows[name].items()}, file=sys.stderr, flush=True)
        except children.ChildFailed as error:
            failures.append(children.failed(name, "first call", error))
    children.write(options, table(rows), rounds=options.rounds, seconds=rows, failed=failures)


if __name__ == "__main__":
    main()
