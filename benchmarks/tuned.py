"""How far the default arrangement of code is from the best one that `tune=True` finds, on every workload of the suite.

    python -m benchmarks.tuned [--only NAME,...] [--json FILE]

Both run in one process and take turns; a ratio is the default's time over the tuned one's, medians over the rounds. A choice
that does not hold up when measured again shows as a ratio under 1.
"""

from __future__ import annotations

import json
import math
import statistics
import time
from collections.abc import Callable
from typing import Any

from benchmarks import children
from benchmarks.harness import workload as workloads

SECONDS = 0.03


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


def one(name: str, rounds: int) -> dict[str, dict[str, Any]]:
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
        for _ in range(rounds):
            for tune, call in zip((False, True), calls, strict=True):
                px.set_default_options(tune=tune)  # a defn looks its code up under the options in force
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
    options = children.arguments(__doc__, 1)
    if options.one:
        print(json.dumps(one(options.one[0], options.rounds)))
        return
    rows: dict[str, dict[str, dict[str, Any]]] = {}
    failures: list[str] = []
    for name in children.chosen(options.only):
        try:
            rows[name] = children.child("tuned", [name, "--rounds", str(options.rounds)], options.threads)
        except children.ChildFailed as error:
            failures.append(children.failed(name, "tuned", error))
    children.write(options, table(rows), seconds=rows, failed=failures)


if __name__ == "__main__":
    main()
