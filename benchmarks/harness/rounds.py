"""Candidates take turns: every round measures each one once, in an order that rotates from round to round.

A machine that gets slower or faster does so for all of them. While one is measured the others' threads sleep.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness.processes import Process, WorkerFailed, wait_until_asleep
from benchmarks.harness.workload import YARDSTICKS, Workload, disagreement

#: when the calls of one case add up to so many seconds, a slow candidate sits the remaining rounds out
ENOUGH = 4.0


@dataclass
class Figure:
    """What became of one candidate on one case: `status` is ok, wrong or failed, and `message` says why."""

    workload: str
    case: str
    threads: int
    candidate: str
    status: str = "ok"
    message: str = ""
    seconds: float | None = None
    minimum: float | None = None
    first_call: float | None = None
    rounds: list[float] = field(default_factory=list)

    def record(self) -> dict[str, Any]:
        """As it is kept in results.json."""
        return asdict(self)


@dataclass
class Field:
    """The processes of one workload at one number of threads; a candidate that cannot start is a message."""

    workload: Workload
    threads: int
    folder: Path
    processes: dict[str, Process] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)

    def start(self, pythons: Mapping[str, str], candidates: Sequence[str]) -> None:
        """Start a process for each candidate; those that cannot start are remembered as broken."""
        for name in candidates:
            self.processes[name] = Process(pythons[name], self.workload.name, name, self.threads, self.folder)
        for name in candidates:
            try:
                self.processes[name].wait()
            except WorkerFailed as error:
                self.broken[name] = str(error)

    def close(self) -> None:
        """End every process."""
        for process in self.processes.values():
            process.close()

    def ask(self, name: str, do: str, **request: Any) -> dict[str, Any]:
        """Ask a candidate; one whose process is gone says again why."""
        if name in self.broken:
            raise WorkerFailed(self.broken[name])
        try:
            return self.processes[name].ask(do, **request)
        except WorkerFailed as error:
            if not self.processes[name].alive:
                self.broken[name] = str(error)
            raise

    def settle(self) -> None:
        """Wait until no process spins."""
        wait_until_asleep(list(self.processes.values()))


def _arrays(path: str) -> list[np.ndarray[Any, Any]]:
    with np.load(path) as file:
        found = [file[name] for name in file.files]
    Path(path).unlink()
    return found


def prepare(field_: Field, case: str, candidates: Sequence[str], reference: list[np.ndarray[Any, Any]]) -> list[Figure]:
    """First calls, each checked against the reference before anything is timed."""
    figures = []
    for name in candidates:
        figure = Figure(field_.workload.name, case, field_.threads, name)
        figures.append(figure)
        field_.settle()
        try:
            answer = field_.ask(name, "prepare", case=case)
        except WorkerFailed as error:
            figure.status, figure.message = "failed", str(error)
            continue
        figure.first_call = answer["first_call"]
        found = _arrays(answer["result"])
        if name not in YARDSTICKS and (why := disagreement(found, reference, *field_.workload.tolerance)):
            figure.status, figure.message = "wrong", why
    return figures


def alternate(field_: Field, figures: Sequence[Figure], rounds: int, seconds: float) -> None:
    """Measure the candidates that are right, in turns; the figures get their medians."""
    racing = [figure for figure in figures if figure.status == "ok"]
    minima: dict[str, list[float]] = {figure.candidate: [] for figure in racing}
    for turn in range(rounds):
        shift = turn % max(len(racing), 1)
        for figure in [*racing[shift:], *racing[:shift]]:
            if figure.status != "ok" or sum(figure.rounds) > ENOUGH:
                continue
            field_.settle()
            try:
                answer = field_.ask(figure.candidate, "measure", seconds=seconds)
            except WorkerFailed as error:
                figure.status, figure.message = "failed", str(error)
                continue
            figure.rounds.append(answer["seconds"])
            minima[figure.candidate].append(answer["minimum"])
    for figure in racing:
        if figure.status == "ok":
            figure.seconds, figure.minimum = statistics.median(figure.rounds), min(minima[figure.candidate])


def run_case(field_: Field, case: str, candidates: Sequence[str], referee: str, rounds: int,
             seconds: float) -> list[Figure]:
    """All figures of one case; `referee` is the candidate whose process computes the reference."""
    expected = _arrays(field_.ask(referee, "reference", case=case)["result"])
    figures = prepare(field_, case, candidates, expected)
    del expected
    alternate(field_, figures, rounds, seconds)
    for name in candidates:
        if name not in field_.broken:
            field_.ask(name, "release")
    return figures
