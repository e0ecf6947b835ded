"""What scripts that measure every workload in processes of its own share: options, child processes, output.

A script runs itself as `python -m benchmarks.NAME --one WORD...`; the child prints its figures as one line of JSON. A child
that fails or takes too long is an entry of the report, and the others go on.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.harness import workload as workloads
from benchmarks.harness.processes import ROOT, environment

#: seconds a child may take
PATIENCE = 180.0


class ChildFailed(Exception):
    """A child ended without figures; the message is the last line it wrote."""


def arguments(text: str | None, words: int, *, peers: bool = False) -> argparse.Namespace:
    """The command line of a script: `words` is how many words tell a child what to measure."""
    parser = argparse.ArgumentParser(description=(text or "").split("\n", 1)[0])
    parser.add_argument("--one", nargs=words, help=argparse.SUPPRESS)
    parser.add_argument("--only", default="", help="workloads, parted by commas")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", dest="rounds", action="store_const", const=1, help="one round")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", type=Path, help="a file for the figures")
    if peers:
        parser.add_argument("--peers-python", default=str(ROOT / ".venv-peers" / "bin" / "python"),
                            help="a Python that has JAX")
    return parser.parse_args()


def chosen(only: str, more: Sequence[str] = ()) -> list[str]:
    """The names of `--only`, by default every workload and `more`."""
    known = [*workloads.names(), *more]
    wanted = [name for name in only.split(",") if name]
    if unknown := [name for name in wanted if name not in known]:
        raise SystemExit(f"no workload {', '.join(unknown)}; there are {', '.join(known)}")
    return wanted or known


def child(script: str, words: Sequence[str], threads: int, *, python: str = sys.executable, folder: Path | None = None,
          variables: Mapping[str, str] | None = None) -> Any:
    """What `python -m benchmarks.SCRIPT --one WORD...` printed; raises ChildFailed.

    `folder` keeps what a compiler leaves behind for the next child; by default every child has its own.
    """
    with tempfile.TemporaryDirectory() as own:
        inherited = environment(threads, folder or Path(own))
        inherited.pop("PYTHONDONTWRITEBYTECODE", None)  # installed libraries come with their bytecode
        try:
            done = subprocess.run([python, "-m", f"benchmarks.{script}", "--one", *words], cwd=ROOT, text=True,
                                  env={**inherited, **(variables or {})}, capture_output=True, timeout=PATIENCE, check=False)
        except subprocess.TimeoutExpired as error:
            raise ChildFailed(f"no answer after {PATIENCE:.0f} s") from error
    if done.returncode:
        written = [line for line in done.stderr.splitlines() if line.strip()]
        raise ChildFailed(written[-1][:300] if written else f"ended with {done.returncode}")
    return json.loads(done.stdout.splitlines()[-1])


def failed(name: str, what: str, error: ChildFailed) -> str:
    """A line about a child that failed, also written to standard error."""
    line = f"{name}, {what}: {error}"
    print(f"failed: {line}", file=sys.stderr, flush=True)
    return line


def write(options: argparse.Namespace, text: str, **figures: Any) -> None:
    """Print the report, and write the figures where `--json` says."""
    print(text)
    if options.json:
        options.json.write_text(json.dumps({"threads": options.threads, **figures}, indent=1) + "\n")
