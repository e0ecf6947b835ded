"""results.json: written after every case, so that an interrupted run can go on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.harness.rounds import Figure
from benchmarks.harness.workload import Workload


class Results:
    """The figures of a run and what they were measured on; `keep` starts from what the file holds."""

    def __init__(self, path: Path, *, keep: bool) -> None:
        self.path = path
        self.data: dict[str, Any] = {"environment": {}, "limits": {}, "workloads": {}, "figures": []}
        if keep and path.exists():
            self.data.update(json.loads(path.read_text()))

    def describe(self, environment: dict[str, Any], rounds: int, seconds: float) -> None:
        """How this run measures; the commits of earlier runs whose figures are kept stay named."""
        commits = [*self.data["environment"].get("commit", "").split(", "), environment["commit"]]
        environment["commit"] = ", ".join(dict.fromkeys(commit for commit in commits if commit))
        self.data.update({"environment": environment, "rounds": rounds, "seconds per round": seconds})

    def put(self, workload: Workload, case: str, threads: int, figures: Sequence[Figure]) -> None:
        """Take the figures of a case in place of what was there of the same candidates."""
        about = self.data["workloads"].setdefault(workload.name, {"summary": workload.summary, "cases": {}})
        about["summary"] = workload.summary
        about["cases"][case] = asdict(workload.case(case).least_work())
        fresh = {figure.candidate for figure in figures}
        self.data["figures"] = [
            old for old in self.data["figures"]
            if not (_is(old, workload.name, case, threads) and old["candidate"] in fresh)
        ] + [figure.record() for figure in figures]

    def complete(self, workload: str, case: str, threads: int, candidates: Sequence[str]) -> bool:
        """Whether there is a figure of every candidate."""
        have = {old["candidate"] for old in self.data["figures"] if _is(old, workload, case, threads)}
        return set(candidates) <= have

    def save(self) -> None:
        """Write the file, all of it or nothing."""
        temporary = self.path.with_suffix(".tmp")
        temporary.write_text(json.dumps(self.data, indent=1) + "\n")
        temporary.replace(self.path)


def _is(figure: dict[str, Any], workload: str, case: str, threads: int) -> bool:
    return (figure["workload"], figure["case"], figure["threads"]) == (workload, case, threads)
