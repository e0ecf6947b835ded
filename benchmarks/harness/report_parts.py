"""The parts of RESULTS.md around its tables of times: how it was measured, first calls, the machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.harness.report import Row, duration, table
from benchmarks.harness.workload import CANDIDATES

_GIGA = 1e9


def introduction(data: Mapping[str, Any]) -> str:
    """What the columns mean."""
    return (
        f"Written by `make bench` on {data['environment'].get('date', 'an unknown day')}, commit "
        f"{data['environment'].get('commit') or 'unknown'}. Every candidate runs in a process of its own; they take turns "
        f"over {data.get('rounds', '?')} rounds of {data.get('seconds per round', '?')} s (up to twice as many where the "
        "figures are unsteady), in an order that rotates, while the others sleep. A time is the median over the rounds of "
        "the median within a round. *ratio* is the time of the best peer over ours: above 1 we are faster. *of the limit* "
        "is the least time the machine needs for the arithmetic and the memory traffic that no implementation can avoid, "
        "over ours. A result that disagrees with the reference is called wrong and not ranked. "
        "[docs/benchmarking.md](../docs/benchmarking.md) "
        "says more.")


def first_calls(found: list[Row]) -> str:
    """Trace, compile and run once, in the processes of the highest number of threads."""
    threads = max((row.threads for row in found), default=0)
    shown = [name for name in CANDIDATES if name != "numpy"]
    body = [[f"{row.workload} {row.case}",
             *(duration(row.figures[name]["first_call"]) if name in row.figures else "" for name in shown)]
            for row in found if row.threads == threads]
    text = ("Seconds from the first call to its result: tracing, compiling and running, without imports, no cache of "
            "compiled code. The first case of a workload also pays for what a library loads on its first use.")
    return f"{text}\n\n{table(['workload', *shown], body)}"


def machine(data: Mapping[str, Any]) -> str:
    """Limits, processor and versions."""
    body = []
    for limits in data["limits"].values():
        for dtype, speed in limits["flops"].items():
            body.append([f"multiply-add, {dtype}", str(limits["threads"]), f"{speed / _GIGA:.0f} GFLOP/s", "", ""])
        for level in limits["levels"]:
            body.append([f"bandwidth of {level['name']}", str(limits["threads"]),
                         *(f"{level[kind] / _GIGA:.0f} GB/s" for kind in ("read", "copy", "triad"))])
    text = ("Limits, measured in the same run with loops in LLVM IR (`compiler/profiling/kernels.py`): the best of several "
            "tries; each byte counts once, read or written.")
    parts = [text, table(["limit", "threads", "read", "copy", "triad"], body)]
    about = data["environment"]
    lines = [f"- {name}: {_plain(value)}" for name, value in about.items() if value not in ({}, None)]
    return "\n\n".join([*parts, "\n".join(lines)])


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_plain(part)}" for key, part in value.items())
    if isinstance(value, list):
        return ", ".join(f"{part:.2f}" for part in value)
    return str(value)
