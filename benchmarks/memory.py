"""Bytes of temporary memory every workload takes at its peak: our arena and workspace against XLA's temporaries.

    python -m benchmarks.memory [--only NAME,...] [--peers-python PYTHON] [--json FILE]

Arguments and results are left aside on both sides. XLA's figure is `memory_analysis().temp_size_in_bytes`; what the
libraries it calls allocate is not in it.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.harness import workload as workloads
from benchmarks.harness.processes import ROOT, environment

CANDIDATES = ("phalanx", "jax")


def phalanx_bytes(workload: workloads.Workload, case: workloads.Case) -> int:
    """The scratch memory of the largest compiled function."""
    from phalanx.compiler.api import Defn

    call = workload.build("phalanx", case, workload.inputs(case))
    call()
    compiled = [c for known in gc.get_objects() if isinstance(known, Defn) for c in known.compiled]
    return max(c.runner.executable.arena_bytes(()) for c in compiled)


def jax_bytes(workload: workloads.Workload, case: workloads.Case) -> int:
    """The temporaries of the largest compiled function."""
    import jax
    import jax.numpy

    sizes: list[int] = []
    usual = jax.jit

    def watched(function: Any, **options: Any) -> Any:
        jitted = usual(function, **options)

        def run(*arguments: Any, **named: Any) -> Any:
            compiled = jitted.lower(*arguments, **named).compile()
            sizes.append(compiled.memory_analysis().temp_size_in_bytes)
            return compiled(*arguments, **named)

        return run

    jax.jit = watched
    try:
        call = workload.build("jax", case, workload.inputs(case))
    finally:
        jax.jit = usual
    call()
    return max(sizes)


def measure(name: str, candidate: str, python: str, threads: int) -> dict[str, int]:
    """Bytes by case, from a process of its own."""
    command = [python, "-m", "benchmarks.memory", "--one", name, candidate]
    with tempfile.TemporaryDirectory() as folder:
        output = subprocess.run(command, cwd=ROOT, env=environment(threads, Path(folder)), capture_output=True, text=True,
                                check=True).stdout
    found: dict[str, int] = json.loads(output.splitlines()[-1])
    return found


def one(name: str, candidate: str) -> dict[str, int]:
    """Bytes by case, in this process."""
    workload = workloads.load(name)
    of = phalanx_bytes if candidate == "phalanx" else jax_bytes
    found = {}
    for case in workload.cases:
        found[case.name] = of(workload, case)
        gc.collect()
    return found


def table(rows: dict[str, dict[str, dict[str, int]]]) -> str:
    """The bytes as Markdown."""
    lines = ["| workload | case | phalanx, bytes | XLA, bytes | |", "|---|---|---:|---:|---|"]
    for name, found in rows.items():
        for case, ours in found["phalanx"].items():
            theirs = found.get("jax", {}).get(case)
            verdict = "" if theirs is None or ours <= theirs else "more"
            lines.append(f"| {name} | {case} | {ours} | {'' if theirs is None else theirs} | {verdict} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, print the table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--one", nargs=2)
    parser.add_argument("--only", default="")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--peers-python", default=str(ROOT / ".venv-peers" / "bin" / "python"), help="a Python that has JAX")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(one(*arguments.one)))
        return
    chosen = [name for name in arguments.only.split(",") if name] or workloads.names()
    rows: dict[str, dict[str, dict[str, int]]] = {}
    for name in chosen:
        pythons = {"phalanx": sys.executable, "jax": arguments.peers_python}
        rows[name] = {candidate: measure(name, candidate, pythons[candidate], arguments.threads)
                      for candidate in CANDIDATES if candidate in workloads.load(name).candidates}
    print(table(rows))
    if arguments.json:
        arguments.json.write_text(json.dumps({"threads": arguments.threads, "bytes": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
