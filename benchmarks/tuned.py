"""How far the default arrangement of code is from the best one that `tune=True` finds, on every workload of the suite.

    python -m benchmarks.tuned [--only NAME,...] [--json FILE]

Both run in one process and take turns; a ratio is the default's time over the tuned one's, medians of nine rounds. A choice
that does not hold up when measured again shows as a ratio under 1.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.harness import workload as workloads
from benchmarks.harness.processes import ROOT, environment

ROUNDS, SECONDS = 9, 0.03


def chosen() -> list[str]:
    """What the tuned functions of this process chose, those that chose anything but the default."""
    import gc

    from phalanx.compiler.tuning import Tuned

    found = (tuned.chosen for tuned in gc.get_objects() if isinstance(tuned, Tuned))
    return [", ".join(f"{name}={value}" for name, value in choice.items()) for choice in found if choice]


def seconds(call: Callable[[], Any]) -> float:
    """The median of calls made in a row."""
    samples: list[float] = []
    stop = time.perf_counter() + SECONDS
    while not samples or time.perf_counter() < stop:
        start = time.perf_counter()
        call()
        samples.append(time.perf_counter() - start)
    return statistics.median(samples)


def one(name: str) -> dict[str, dict[str, Any]]:
    """The cases of a workload, in this process."""
    import phalanx as px

    workload = workloads.load(name)
    found: dict[str, dict[str, Any]] = {}
    for case in workload.cases:
        inputs = workload.inputs(case)
        calls = []
        for tune in (False, True):
            px.set_default_options(tune=tune)
            call = workload.build("phalanx", case, inputs)
            call()
            calls.append(call)
        times: list[list[float]] = [[], []]
        for _ in range(ROUNDS):
            for tune, call in enumerate(calls):
                px.set_default_options(tune=bool(tune))  # a defn looks its code up under the options in force
                call()
                times[tune].append(seconds(call))
        default, tuned = (statistics.median(row) for row in times)
        found[case.name] = {"default": default, "tuned": tuned, "chosen": chosen()}
        del calls, call
    return found


def table(rows: dict[str, dict[str, dict[str, Any]]]) -> str:
    """The ratios as Markdown."""
    lines = ["| workload | case | default over tuned | chosen |", "|---|---|---:|---|"]
    ratios = []
    for name, cases in rows.items():
        for case, row in cases.items():
            ratios.append(row["default"] / row["tuned"])
            lines.append(f"| {name} | {case} | {ratios[-1]:.2f} | {'; '.join(row['chosen']) or 'default'} |")
    mean = math.exp(statistics.fmean(map(math.log, ratios))) if ratios else 1.0
    far = sum(ratio > 1.05 for ratio in ratios)
    return "\n".join([*lines, "", f"geometric mean {mean:.3f}; more than 5 % from the tuned time: {far} of {len(ratios)}"])


def main() -> None:
    """Measure, print the table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--one")
    parser.add_argument("--only", default="")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(one(arguments.one)))
        return
    rows = {}
    for name in [name for name in arguments.only.split(",") if name] or workloads.names():
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run([sys.executable, "-m", "benchmarks.tuned", "--one", name], cwd=ROOT, text=True, check=True,
                                  env=environment(arguments.threads, Path(folder)), capture_output=True)
        rows[name] = json.loads(done.stdout.splitlines()[-1])
    print(table(rows))
    if arguments.json:
        arguments.json.write_text(json.dumps({"threads": arguments.threads, "seconds": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
