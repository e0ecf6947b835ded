"""Bytes of temporary memory every workload takes at its peak: our arena and workspace against XLA's temporaries.

    python -m benchmarks.memory [--only NAME,...] [--peers-python PYTHON] [--json FILE]

Arguments and results are left aside on both sides. XLA's figure is `memory_analysis().temp_size_in_bytes`; what the
libraries it calls allocate is not in it.
"""

from __future__ import annotations

import gc
import json
import sys
from typing import Any

from benchmarks import children
from benchmarks.harness import workload as workloads


def phalanx_bytes(workload: workloads.Workload, case: workloads.Case) -> int:
    """The scratch memory of the largest compiled function."""
    from phalanx.compiler.api import Defn
    from phalanx.compiler.native import NativeRunner

    call = workload.build("phalanx", case, workload.inputs(case))
    call()
    runners = [c.runner for known in gc.get_objects() if isinstance(known, Defn) for c in known.compiled]
    return max(runner.executable.arena_bytes(()) for runner in runners if isinstance(runner, NativeRunner))


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
        for case, ours in found.get("phalanx", {}).items():
            theirs = found.get("jax", {}).get(case)
            verdict = "" if theirs is None or ours <= theirs else "more"
            lines.append(f"| {name} | {case} | {ours} | {'' if theirs is None else theirs} | {verdict} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, print the table, write the JSON."""
    options = children.arguments(__doc__, 2, peers=True)
    if options.one:
        print(json.dumps(one(*options.one)))
        return
    rows: dict[str, dict[str, dict[str, int]]] = {}
    failures: list[str] = []
    for name in children.chosen(options.only):
        rows[name] = {}
        for candidate, python in (("phalanx", sys.executable), ("jax", options.peers_python)):
            if candidate in workloads.load(name).candidates:
                try:
                    rows[name][candidate] = children.child("memory", [name, candidate], options.threads, python=python)
                except children.ChildFailed as error:
                    failures.append(children.failed(name, candidate, error))
    children.write(options, table(rows), bytes=rows, failed=failures)


if __name__ == "__main__":
    main()
