"""Measure workloads and write results.json and RESULTS.md.

    python -m benchmarks.harness                              # everything; half an hour
    python -m benchmarks.harness --only softmax,matmul --peers phalanx,jax --threads 1
    python -m benchmarks.harness --resume                     # what an interrupted run has left
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.harness import environment, limits, report
from benchmarks.harness.processes import ROOT, WorkerFailed, processors
from benchmarks.harness.results import Results
from benchmarks.harness.rounds import Field, Figure, run_case
from benchmarks.harness.workload import CANDIDATES, YARDSTICKS, Workload, load, names

#: makes its results the reference; started for every workload
_REFEREE = "numpy"
#: run in this environment, the others in that of the peers
_OURS = ("phalanx", "stream")
_SECONDS, _QUICK_SECONDS = 0.08, 0.04


def _arguments(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.harness", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--only", default="", help="workloads, or workload/case, parted by commas")
    parser.add_argument("--peers", default="", help="candidates to run, parted by commas; all by default")
    parser.add_argument("--peers-python", default="", help="interpreter with the peers; .venv-peers by default")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", default="1,all", help="numbers of threads, parted by commas")
    parser.add_argument("--seconds", type=float, default=None, help="of samples per candidate and round")
    parser.add_argument("--minutes", type=float, default=30.0, help="while in time, unsteady figures get more rounds")
    parser.add_argument("--quick", action="store_true", help="three short rounds: for a first look")
    parser.add_argument("--resume", action="store_true", help="keep what the output already holds, run the rest")
    parser.add_argument("--update", action="store_true", help="keep what the output already holds, replace what is run")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results.json")
    parser.add_argument("--report", type=Path, default=None, help="RESULTS.md beside the output by default")
    parser.add_argument("--report-only", action="store_true", help="measure nothing, write RESULTS.md from the output")
    parser.add_argument("--list", action="store_true", help="show the workloads and their cases")
    return parser.parse_args(words)


def peers_python(given: str) -> str | None:
    """The interpreter with JAX and the others, None when it is not there."""
    path = Path(given) if given else ROOT / ".venv-peers" / "bin" / "python"
    return str(path) if path.exists() else None


def selected(only: str) -> list[tuple[Workload, list[str]]]:
    """Workloads and the names of their cases that `--only` means."""
    wanted = [word.strip() for word in only.split(",") if word.strip()]
    unknown = [word for word in wanted if word.split("/")[0] not in names()]
    if unknown:
        raise SystemExit(f"no workload {', '.join(unknown)}; there are {', '.join(names())}")
    chosen = []
    for name in sorted({word.split("/")[0] for word in wanted}) or names():
        workload = load(name)
        cases = [case.name for case in workload.cases]
        if wanted and name not in wanted:
            cases = [case for case in cases if f"{name}/{case}" in wanted]
        if not cases:
            raise SystemExit(f"{name} has no such case; it has {', '.join(case.name for case in workload.cases)}")
        chosen.append((workload, cases))
    return chosen


def _show(figure: Figure) -> None:
    text = f"{figure.seconds * 1e6:12.2f} us" if figure.seconds is not None else f"{figure.status}: {figure.message}"
    first = f"   first {figure.first_call:.2f} s" if figure.first_call is not None else ""
    print(f"  {figure.workload}/{figure.case} x{figure.threads} {figure.candidate:12} {text}{first}", flush=True)


@dataclass
class Pace:
    """Whether a run is in time: its share of the minutes is not used up."""

    minutes: float
    cases: int
    done: int = 0
    started: float = field(default_factory=time.perf_counter)

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.perf_counter() - self.started

    def in_time(self) -> bool:
        """Whether the cases so far, this one included, took no more than their share."""
        return self.seconds * self.cases < 60 * self.minutes * (self.done + 1)


@dataclass(frozen=True)
class Run:
    """What is the same for all workloads of a run."""

    candidates: frozenset[str]
    pythons: Mapping[str, str]
    rounds: int
    seconds: float
    results: Results
    folder: Path
    pace: Pace

    def workload(self, workload: Workload, cases: list[str], threads: int) -> None:
        """All of these cases of a workload at one number of threads."""
        own = self.folder / f"{workload.name}-{threads}"
        own.mkdir()
        field_ = Field(workload, threads, own)
        try:
            field_.start(self.pythons, list(dict.fromkeys([_REFEREE, *self.of(workload)])))
            for case in cases:
                self._case(field_, case)
        finally:
            field_.close()

    def _case(self, field_: Field, case: str) -> None:
        racing = self.of(field_.workload, case)
        try:
            figures = run_case(field_, case, racing, _REFEREE, self.rounds, self.seconds, self.pace.in_time)
        except (WorkerFailed, OSError) as error:
            why = f"no reference: {error}"
            figures = [Figure(field_.workload.name, case, field_.threads, name, "failed", why) for name in racing]
        for figure in figures:
            _show(figure)
        self.results.put(field_.workload, case, field_.threads, figures)
        self.results.save()
        self.pace.done += 1

    def of(self, workload: Workload, case: str = "") -> list[str]:
        """The candidates of a workload, or of one case of it, that take part."""
        return [name for name in workload.candidates if name in self.candidates and workload.takes_part(name, case)]


def _write_report(results: Results, given: Path | None) -> None:
    path = given or results.path.with_name("RESULTS.md")
    path.write_text(report.markdown(results.data, results.path.parent))
    print(f"{path} written")


def _measure_limits(results: Results, threads: int) -> None:
    try:
        results.data["limits"][str(threads)] = limits.measured(threads)
        results.save()
    except subprocess.CalledProcessError as error:
        print(f"the limits of {threads} threads could not be measured: {(error.stderr or '').strip()[-300:]}", flush=True)


def main(words: list[str] | None = None) -> int:
    """Run what the arguments say."""
    arguments = _arguments(words)
    chosen = selected(arguments.only)
    if arguments.list:
        for workload, cases in chosen:
            print(f"{workload.name:20} {', '.join(cases)}")
        return 0
    if arguments.report_only:
        _write_report(Results(arguments.output, keep=True), arguments.report)
        return 0
    rounds, seconds = (3, _QUICK_SECONDS) if arguments.quick else (arguments.rounds, _SECONDS)
    seconds = arguments.seconds or seconds
    peers = peers_python(arguments.peers_python)
    everybody = [*CANDIDATES, *YARDSTICKS]
    wanted = {name for name in arguments.peers.split(",") if name} or set(everybody)
    if peers is None:
        print("No peers: `make bench-peers` installs them, --peers-python names an interpreter that has them.\n"
              "Running Phalanx and NumPy alone.")
        wanted &= {"phalanx", _REFEREE, *YARDSTICKS}
    pythons = {name: sys.executable if name in _OURS or peers is None else peers for name in everybody}
    every = processors()
    counts = sorted({every if word == "all" else int(word) for word in arguments.threads.split(",")})

    keep = arguments.resume or arguments.update
    results = Results(arguments.output, keep=keep)
    results.describe(environment.describe(sys.executable, peers), rounds, seconds)
    pace = Pace(arguments.minutes, sum(len(cases) for _, cases in chosen) * len(counts))
    with tempfile.TemporaryDirectory(prefix="phalanx-bench-") as folder:
        run = Run(frozenset(wanted), pythons, rounds, seconds, results, Path(folder), pace)
        for threads in counts:
            if not (keep and str(threads) in results.data["limits"]):
                _measure_limits(results, threads)
            for workload, cases in chosen:
                left = [case for case in cases
                        if not (arguments.resume and results.complete(workload.name, case, threads, run.of(workload, case)))]
                pace.cases -= len(cases) - len(left)
                if left:
                    print(f"{workload.name}, {threads} thread{'s' * (threads > 1)}, {pace.seconds:.0f} s", flush=True)
                    run.workload(workload, left, threads)
    _write_report(results, arguments.report)
    print(f"{arguments.output} written after {pace.seconds:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
