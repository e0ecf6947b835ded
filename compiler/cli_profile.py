"""`phalanx profile`: where the time of a function goes, cluster by cluster."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.console import Console

from phalanx.compiler.cli_inspect import Arguments, Output, Target, write
from phalanx.dialects.errors import ArgumentError


def profile(
    target: Target,
    arg: Arguments = None,
    inputs: Annotated[str, typer.Option(help="Arguments by name from an .npz file; random numbers without.")] = "",
    seconds: Annotated[float, typer.Option(help="How long to run it.")] = 1.0,
    trace: Annotated[str, typer.Option(metavar="FILE", help="Write the calls for Perfetto or Chrome's trace viewer.")] = "",
    format: Annotated[str, typer.Option(help="table or json.")] = "table",
    output: Output = "",
) -> None:
    """Time per cluster with your line, GFLOP/s and GB/s against what the machine can do.

    Example: phalanx profile model.py:predict --arg x=f32[8,64] --trace predict.json
    """
    from phalanx.compiler import bench, profiling  # MLIR is loaded only when it is needed
    from phalanx.compiler.inspect.target import load, named_inputs, specs

    if format not in ("table", "json"):
        raise ArgumentError(f"--format: expected table or json, got {format!r}")
    function = load(target)
    if inputs:
        arguments = named_inputs(function, inputs)
    else:
        arguments = list(bench.arrays_for(function.signature_of(**specs(function, arg or [])).avals))
    report = profiling.profile(function, *arguments, seconds=seconds)
    if trace:
        report.write_trace(trace)
    if format == "json":
        write(f"{report.json()}\n", output)
    elif output or not sys.stdout.isatty():
        write(f"{report}\n", output)
    else:
        Console().print(report, highlight=False, markup=False)
