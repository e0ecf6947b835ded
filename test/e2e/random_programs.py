"""Run many random programs and report every mismatch, error and crash as Python code.

    python test/e2e/random_programs.py --count 5000 --seed 0

Programs run in child processes, a slice each: one that ends the interpreter is named, cut down and printed.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).resolve().parent)]

from programs.generator import Generator, Program  # noqa: E402
from programs.running import Options, check, options_for  # noqa: E402

SLICE = 20
TIME_LIMIT = 60  # seconds for one program


@dataclass
class Outcome:
    """What happened to one program: nothing, or a kind of failure and its text."""

    seed: int
    kind: str = ""
    text: str = ""


@dataclass
class Report:
    """Counts so far."""

    run: int = 0
    failures: list[Outcome] = field(default_factory=list)

    @property
    def kinds(self) -> Counter[str]:
        return Counter(o.kind for o in self.failures)


def program_of(seed: int) -> Program:
    """The program of a seed: 1 to 30 statements."""
    rng = random.Random(seed)
    return Generator(rng).program(rng.choice((1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30)))


def attempt(program: Program, options: Options) -> tuple[str, str]:
    """Check one program in this process: kind of failure and text, or two empty strings."""
    try:
        wrong = check(program, options)
    except Exception as error:  # noqa: BLE001  what a program raises is the finding
        return "error", f"{type(error).__name__}: {error}"
    return ("mismatch", wrong) if wrong else ("", "")


def in_children(seeds: list[int]) -> list[Outcome]:
    """Check the programs of `seeds`, going on in a new child after one that ended its process."""
    found: list[Outcome] = []
    rest = list(seeds)
    while rest:
        done, status = _child(rest)
        found += done
        rest = rest[len(done):]
        if status and rest:
            found.append(Outcome(rest.pop(0), "crash", _how(status)))
    return found


def _how(status: int) -> str:
    if os.WIFSIGNALED(status):
        return f"ended by {signal.Signals(os.WTERMSIG(status)).name}"
    return f"ended with exit code {os.WEXITSTATUS(status)}"


def _child(seeds: list[int]) -> tuple[list[Outcome], int]:
    reader, writer = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(reader)
        _work(seeds, writer)
    os.close(writer)
    with os.fdopen(reader) as lines:
        done = [Outcome(int(s), kind, text.replace("\\n", "\n"))
                for s, kind, text in (line.rstrip("\n").split("\t", 2) for line in lines)]
    return done, os.waitpid(process, 0)[1]


def _work(seeds: list[int], writer: int) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # LLVM's stack dump of a crash is long; the program is printed
    for seed in seeds:
        signal.alarm(TIME_LIMIT)
        kind, text = attempt(program_of(seed), options_for(seed))
        line = f"{seed}\t{kind}\t" + text.replace("\n", "\\n").replace("\t", " ")
        os.write(writer, (line[:4000] + "\n").encode())
    os._exit(0)


def _fails_alike(program: Program, options: Options, kind: str, text: str) -> bool:
    """Whether the program still fails the same way, tried in a child."""
    reader, writer = os.pipe()
    process = os.fork()
    if process == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        signal.alarm(TIME_LIMIT)
        found, message = attempt(program, options)
        os.write(writer, f"{found}\t{_essence(message)}".encode()[:4000])
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as stream:
        said = stream.read()
    status = os.waitpid(process, 0)[1]
    if kind == "crash":
        return bool(status)
    return said == f"{kind}\t{_essence(text)}" if kind == "error" else said.startswith("mismatch")


def _essence(message: str) -> str:
    words = [w for w in message.split("\n")[0].split() if not w.startswith("0x")]
    return "".join(c for c in " ".join(words) if not c.isdigit())[:160]


def shrink(program: Program, options: Options, kind: str, text: str, budget: float = 60.0) -> Program:
    """Drop outputs and statements as long as the program fails the same way."""
    end = time.monotonic() + budget
    for output in program.outputs:
        smaller = Program(program.arguments, program.statements, [output])
        if len(program.outputs) > 1 and _fails_alike(smaller, options, kind, text):
            program = smaller
            break
    for output in program.outputs:
        smaller = Program(program.arguments, program.statements, [o for o in program.outputs if o != output])
        if len(program.outputs) > 1 and _fails_alike(smaller, options, kind, text):
            program = smaller
    position = len(program.statements) - 1
    while position >= 0 and time.monotonic() < end:
        dropped = program.statements[position]
        rest = program.statements[:position] + program.statements[position + 1:]
        needed = "\n".join(line for s in rest for line in s.lines) + " ".join(program.outputs)
        if not any(_mentions(needed, n) for n in dropped.names):
            smaller = Program(program.arguments, rest, program.outputs)
            if _fails_alike(smaller, options, kind, text):
                program = smaller
        elif len(dropped.names) == 1:
            smaller = _output_earlier(program, position)
            if smaller is not None and _fails_alike(smaller, options, kind, text):
                program = smaller
                position = len(program.statements)
        position -= 1
    return program


def _output_earlier(program: Program, position: int) -> Program | None:
    """The program cut off after a statement, returning it."""
    if program.outputs == list(program.statements[position].names):
        return None
    return Program(program.arguments, program.statements[:position + 1], list(program.statements[position].names))


def _mentions(text: str, name: str) -> bool:
    words = "".join(c if c.isalnum() or c == "_" else " " for c in text).split()
    return name in words


def show(outcome: Outcome, shrinking: bool) -> None:
    """Print one failure and its program."""
    options = options_for(outcome.seed)
    program = program_of(outcome.seed)
    if shrinking:
        program = shrink(program, options, outcome.kind, outcome.text)
    print(f"--- seed {outcome.seed}: {outcome.kind} ({options})\n{outcome.text}\n{program.script}", flush=True)


def main() -> int:
    """The command line; exit code 1 when anything failed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-shrink", action="store_true")
    chosen = parser.parse_args()
    attempt(program_of(0), options_for(0))  # loads everything once, before the forks
    report = Report()
    seen: Counter[str] = Counter()
    for start in range(chosen.seed, chosen.seed + chosen.count, SLICE):
        outcomes = in_children(list(range(start, min(start + SLICE, chosen.seed + chosen.count))))
        report.run += len(outcomes)
        for outcome in outcomes:
            if outcome.kind:
                report.failures.append(outcome)
                key = outcome.kind if outcome.kind != "error" else _essence(outcome.text)
                seen[key] += 1
                if seen[key] <= 3 or outcome.kind != "error":
                    show(outcome, not chosen.no_shrink)
        counts = ", ".join(f"{n} {k}" for k, n in report.kinds.items()) or "no failures"
        print(f"{report.run} programs, {counts}", flush=True)
    for key, count in seen.most_common():
        print(f"{count:5d}  {key}")
    return 1 if report.failures else 0


if __name__ == "__main__":
    sys.exit(main())
