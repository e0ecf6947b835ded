"""`phalanx bench`: measure functions of files and modules against each other."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer
from rich.console import Console

from phalanx.compiler.cli_artifacts import bench_candidates, is_artifact
from phalanx.compiler.cli_inspect import write
from phalanx.dialects.errors import ArgumentError


def bench(
    targets: Annotated[list[str], typer.Argument(metavar="FILE_OR_MODULE:FUNCTION...")],
    arg: Annotated[list[str] | None, typer.Option("--arg", help="What an argument looks like: x=f32[8,64].")] = None,
    inputs: Annotated[str, typer.Option(help="Arguments by name from an .npz file; random numbers without.")] = "",
    size: Annotated[list[str] | None, typer.Option("--size", help="A named size of an exported file: n=64.")] = None,
    seconds: Annotated[float, typer.Option(help="Time for each candidate.")] = 1.0,
    evaluator: Annotated[bool, typer.Option("--evaluator", help="Measure each under the evaluator too.")] = False,
    plain: Annotated[bool, typer.Option("--plain", help="Call plain functions as they are, not compiled.")] = False,
    check: Annotated[bool, typer.Option(help="Refuse candidates that disagree.")] = True,
    format: Annotated[str, typer.Option(help="table, markdown or json.")] = "table",
    output: Annotated[str, typer.Option("-o", "--output", help="Write there instead of standard output.")] = "",
) -> None:
    """Measure one function or compare several: compile time apart from run time, results compared first.

    Exported files (.so, .pxa) are measured too, each of their functions.

    Example: phalanx bench model.py:predict model.py:predict_fast --arg x=f32[8,64]
    """
    from phalanx.compiler import bench as measuring  # NumPy and the clock only, but not at every start

    if format not in ("table", "markdown", "json"):
        raise ArgumentError(f"--format: expected table, markdown or json, got {format!r}")
    if any(is_artifact(target) for target in targets):
        if not all(is_artifact(target) for target in targets):
            raise ArgumentError("bench: exported files and functions of Python files are measured apart")
        candidates, arguments = bench_candidates(targets, size)
    else:
        candidates, arguments = _functions(targets, arg, inputs, evaluator=evaluator, plain=plain)
    report = measuring.run(candidates, arguments, seconds=seconds, check=check)
    if format == "table" and not output and sys.stdout.isatty():
        Console().print(report, highlight=False, markup=False)
        return
    text = {"table": f"{report}\n", "markdown": report.markdown(), "json": f"{report.json()}\n"}[format]
    write(text, output)


def _functions(targets: list[str], arg: list[str] | None, inputs: str, *, evaluator: bool, plain: bool,
               ) -> tuple[dict[str, Any], Any]:
    """The Python functions to measure, and their arguments."""
    from phalanx.compiler import bench as measuring
    from phalanx.compiler.api import Defn
    from phalanx.compiler.inspect.target import load, named_inputs, specs

    functions = [load(target) for target in targets]
    first = functions[0]
    if inputs:
        arguments = named_inputs(first, inputs)
    else:
        signature = first.signature_of(**specs(first, arg or []))
        arguments = measuring.arrays_for(signature.avals)
    candidates: dict[str, Any] = {}
    short = [target.rpartition(":")[2] for target in targets]
    names = short if len(set(short)) == len(short) else targets
    for name, function in zip(names, functions, strict=True):
        candidates[name] = function.function if plain else function
        if evaluator:
            candidates[f"{name} (evaluator)"] = Defn(function.function, static=function.static, compiler="evaluator")
    return candidates, arguments
