"""RESULTS.md from results.json: every candidate of every case, ratios, and how far the machine's limit is."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.harness.limits import least_seconds
from benchmarks.harness.workload import CANDIDATES, OURS, YARDSTICKS, Work

PEERS = tuple(name for name in CANDIDATES if name != OURS)

_Data = Mapping[str, Any]


class Row(NamedTuple):
    """One case at one number of threads: figures by candidate."""

    workload: str
    case: str
    threads: int
    figures: dict[str, dict[str, Any]]
    limit: float | None

    def seconds(self, candidate: str) -> float | None:
        """Median seconds per call, None when the candidate did not run or is wrong."""
        found = self.figures.get(candidate)
        return found["seconds"] if found and found["status"] == "ok" else None

    def best_peer(self) -> tuple[str, float] | None:
        """Name and time of the fastest peer."""
        times = [(seconds, name) for name in PEERS if (seconds := self.seconds(name)) is not None]
        return (min(times)[1], min(times)[0]) if times else None

    def ratio(self) -> float | None:
        """Time of the best peer over ours: above 1 we are faster."""
        ours, best = self.seconds(OURS), self.best_peer()
        return best[1] / ours if ours and best else None

    def ratio_of_minima(self) -> float | None:
        """The same from the fastest sample of each: steadier on a machine that does other things."""
        ours = self.figures.get(OURS)
        fastest = [figure["minimum"] for name, figure in self.figures.items() if name in PEERS and figure["status"] == "ok"]
        return min(fastest) / ours["minimum"] if ours and ours["status"] == "ok" and fastest else None

    def fraction(self) -> float | None:
        """The part of the machine's limit that we reach."""
        ours = self.seconds(OURS)
        return self.limit / ours if ours and self.limit else None


def rows(data: _Data) -> list[Row]:
    """Every case that was measured, workloads in order of their names."""
    found: dict[tuple[str, str, int], dict[str, dict[str, Any]]] = {}
    for figure in data["figures"]:
        found.setdefault((figure["workload"], figure["case"], figure["threads"]), {})[figure["candidate"]] = figure
    made = []
    for (workload, case, threads), figures in found.items():
        limits = data["limits"].get(str(threads))
        work = Work(**data["workloads"][workload]["cases"][case])
        limit = least_seconds(work, limits) if limits and (work.flops or work.bytes) else None
        made.append(Row(workload, case, threads, figures, limit))
    order = {(name, case): (name, place) for name, about in data["workloads"].items()
             for place, case in enumerate(about["cases"])}
    return sorted(made, key=lambda row: (row.threads, *order[row.workload, row.case]))


def geometric_mean(values: Iterable[float]) -> float | None:
    """None for no values."""
    logs = [math.log(value) for value in values]
    return math.exp(sum(logs) / len(logs)) if logs else None


def duration(seconds: float | None) -> str:
    """Three digits and a unit.

    >>> duration(0.00012345)
    '123 us'
    """
    if seconds is None:
        return ""
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}" if seconds < 999.5 * scale else f"{seconds / scale:.0f} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def table(header: list[str], body: Iterable[list[str]], *, words: bool = False) -> str:
    """Markdown; every column but the first is set to the right, unless they hold words."""
    lines = [header, ["---", *["---" if words else "---:"] * (len(header) - 1)], *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(row: Row, candidate: str) -> str:
    figure = row.figures.get(candidate)
    if figure is None:
        return ""
    return duration(figure["seconds"]) if figure["status"] == "ok" else f"**{figure['status']}**"


def _number(value: float | None, form: str = ".2f") -> str:
    return "" if value is None else f"{value:{form}}"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.0f} %"


def measurements(chosen: list[Row]) -> str:
    """The large table, for one number of threads."""
    shown = [name for name in (*CANDIDATES, *YARDSTICKS) if any(name in row.figures for row in chosen)]
    body = []
    for row in chosen:
        best = row.best_peer()
        body.append([f"{row.workload} {row.case}", *(_cell(row, name) for name in shown), best[0] if best else "",
                     _number(row.ratio()), _percent(row.fraction())])
    return table(["workload", *shown, "best peer", "ratio", "of the limit"], body)


def status(data: _Data) -> str:
    """A short table: ours, the best peer and the ratio."""
    body = []
    for row in rows(data):
        best = row.best_peer()
        body.append([f"{row.workload} {row.case}", str(row.threads), _cell(row, OURS) or "**none**",
                     f"{best[0]} {duration(best[1])}" if best else "", _number(row.ratio()), _number(row.ratio_of_minima()),
                     _percent(row.fraction())])
    return table(["workload", "threads", "ours", "best peer", "ratio", "of minima", "of the limit"], body)


def means(chosen: list[Row]) -> list[list[str]]:
    """Geometric means of the ratio to each peer and to the best one."""
    body = []
    for name in (*PEERS, "best peer"):
        ratios = []
        for row in chosen:
            ours = row.seconds(OURS)
            theirs = row.seconds(name) if name != "best peer" else (row.best_peer() or ("", None))[1]
            if ours and theirs:
                ratios.append(theirs / ours)
        if ratios:
            slower = sum(ratio < 1 for ratio in ratios)
            body.append([name, str(len(ratios)), f"{geometric_mean(ratios):.2f}", str(slower), f"{min(ratios):.2f}"])
    return body


def failures(found: list[Row]) -> list[str]:
    """A line for every candidate that failed or was wrong."""
    return [f"- {row.workload} {row.case}, {row.threads} thread{'s' * (row.threads > 1)}, {name}: {figure['status']}: "
            f"{figure['message']}"
            for row in found for name, figure in row.figures.items() if figure["status"] != "ok"]


def markdown(data: _Data, folder: Path | None = None) -> str:
    """The whole report."""
    from benchmarks.harness import report_parts, targets

    found = rows(data)
    parts = ["# Results", report_parts.introduction(data), "## Targets", targets.section(data, found, folder)]
    for threads in sorted({row.threads for row in found}):
        chosen = [row for row in found if row.threads == threads]
        parts += [f"## {threads} thread{'s' * (threads > 1)}", measurements(chosen),
                  table(["against", "cases", "geometric mean", "slower", "least"], means(chosen))]
    parts += ["## First calls", report_parts.first_calls(found), "## The machine", report_parts.machine(data)]
    if problems := failures(found):
        parts += ["## Failed or wrong", "\n".join(problems)]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    print(status(json.loads(Path(sys.argv[1]).read_text())))
