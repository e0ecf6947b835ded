"""Candidates take turns: every round measures each one once, in an order that rotates from round to round.

A machine that gets slower or faster does so for all of them. While one is measured the others' threads sleep.
"""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness.processes import Process, WorkerFailed, wait_until_asleep
from benchmarks.harness.workload import OURS, YARDSTICKS, Workload, disagreement

#: when the calls of one case add up to so many seconds, a slow candidate sits the remaining rounds out
ENOUGH = 8.0
#: when the middle half of the rounds differs by more than this part of the median, more rounds are worth their time
STEADY = 0.04
#: how many times slower than the fastest a candidate may be to be measured again for a steadier figure
CLOSE = 1.3


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
    """The processes of one workload at one number of threads; a candidate that cannot start is a message.

    One that ended in the middle of a case is `broken` for the rest of it, and started again by `revive`.
    """

    workload: Workload
    threads: int
    folder: Path
    processes: dict[str, Process] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)
    pythons: dict[str, str] = field(default_factory=dict)

    def start(self, pythons: Mapping[str, str], candidates: Sequence[str]) -> None:
        """Start a process for each candidate; those that cannot start are remembered as broken."""
        for name in candidates:
            self.processes[name] = Process(pythons[name], self.workload.name, name, self.threads, self.folder)
        for name in candidates:
            try:
                self.processes[name].wait()
                self.pythons[name] = pythons[name]
            except WorkerFailed as error:
                self.broken[name] = str(error)

    def revive(self) -> None:
        """Start those again that had started and then ended."""
        for name in self.pythons.keys() & self.broken.keys():
            del self.broken[name]
            self.processes[name].close()
            self.start({name: self.pythons.pop(name)}, [name])

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


def unsteady(racing: Sequence[Figure]) -> list[Figure]:
    """The figures that more rounds would make steadier and that decide something: ours, and those near the fastest."""
    if not racing:
        return []
    medians = {figure.candidate: statistics.median(figure.rounds) for figure in racing}
    near = CLOSE * min(medians.values())
    chosen = [figure for figure in racing if figure.candidate == OURS or medians[figure.candidate] <= near]
    for figure in chosen:
        ordered = sorted(figure.rounds)
        middle = ordered[3 * (len(ordered) - 1) // 4] - ordered[len(ordered) // 4]
        if middle > STEADY * medians[figure.candidate]:
            return chosen
    return []


def alternate(field_: Field, figures: Sequence[Figure], rounds: int, seconds: float,
              may_go_on: Callable[[], bool] = lambda: False) -> None:
    """Measure the candidates that are right, in turns; the figures get their medians.

    Figures that are unsteady after all rounds get up to as many more, one by one, as long as `may_go_on`.
    """
    racing = [figure for figure in figures if figure.status == "ok"]
    minima: dict[str, list[float]] = {figure.candidate: [] for figure in racing}
    for turn in range(2 * rounds):
        chosen = racing
        if turn >= rounds:
            chosen = unsteady([figure for figure in racing if figure.status == "ok"]) if may_go_on() else []
            if not chosen:
                break
        shift = turn % max(len(chosen), 1)
        for figure in [*chosen[shift:], *chosen[:shift]]:
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


def run_case(field_: Field, case: str, candidates: Sequence[str], referee: str, rounds: int, seconds: float,
             may_go_on: Callable[[], bool] = lambda: False) -> list[Figure]:
    """All figures of one case; `referee` is the candidate whose process computes the reference."""
    field_.revive()
    expected = _arrays(field_.ask(referee, "reference", case=case)["result"])
    figures = prepare(field_, case, candidates, expected)
    del expected
    alternate(field_, figures, rounds, seconds, may_go_on)
    for name in candidates:
        with contextlib.suppress(WorkerFailed):  # then it is started again for the next case
            field_.ask(name, "release")
    return figures
