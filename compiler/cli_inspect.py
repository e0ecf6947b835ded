"""`phalanx ir | view | explain | bisect`: looking at what the compiler makes of a function."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from phalanx.compiler import versions
from phalanx.dialects.errors import ArgumentError

Target = Annotated[str, typer.Argument(metavar="FILE_OR_MODULE:FUNCTION")]
Arguments = Annotated[list[str] | None, typer.Option(
    "--arg", help="What an argument looks like: x=f32[8,64], x=f32[n,64]; annotations say it too.")]
Output = Annotated[str, typer.Option("-o", "--output", help="Write there instead of standard output.")]


def ir(
    target: Target,
    arg: Arguments = None,
    stage: Annotated[str, typer.Option(help="traced, px, linalg, clusters, scheduled, buffers, llvm, asm or all.")] = "px",
    debug_info: Annotated[bool, typer.Option("--debug-info", help="Print the user's line of every operation.")] = False,
    replace: Annotated[str, typer.Option(metavar="STAGE=FILE", help="Go on from edited IR of a stage.")] = "",
    diff: Annotated[str, typer.Option(metavar="STAGE", help="The difference from this stage to --stage.")] = "",
    emit_checks: Annotated[bool, typer.Option("--emit-checks", help="Write a lit test that expects today's IR.")] = False,
    output: Output = "",
) -> None:
    """The IR of a function at a stage, as text that `phalanx-opt` and --replace take.

    Example: phalanx ir model.py:predict --arg x=f32[8,64] --stage linalg
    """
    from phalanx.compiler.inspect import checks, edit  # MLIR is loaded only when it is needed
    from phalanx.compiler.inspect.stages import LAST, check_stage, stage_names
    from phalanx.compiler.inspect.target import compile_target

    wanted = list(stage_names()) if stage == "all" else [check_stage(name) for name in stage.split(",")]
    compiled = compile_target(target, arg or [])
    stages = compiled.stages
    if replace and (debug_info or diff or emit_checks):
        raise ArgumentError("--replace goes with --stage only")
    if replace:
        name, equals, file = replace.partition("=")
        if not equals:
            raise ArgumentError(f"--replace: expected STAGE=FILE, got {replace!r}", hint="--replace linalg=edited.mlir")
        stages = edit.replaced_stages(compiled, name, _read(file), file)
        early = [n for n in wanted if n not in stages]
        if early and stage != "all":
            raise ArgumentError(f"--replace: {early[0]} comes before {name}")
        wanted = [n for n in wanted if n in stages]
    if diff:
        text = stages.diff(check_stage(diff), wanted[-1]) + "\n"
    elif emit_checks:
        text = checks.lit_test(target, arg or [], wanted[0], stages[wanted[0]])
    else:
        texts = [stages.with_locations(n) if debug_info else stages[n] for n in wanted]
        heads = [f"{versions.stamp() if n != LAST else '#'} {n} of {compiled.traced.name}" for n in wanted]
        text = "".join(f"{head}\n{body.rstrip()}\n" for head, body in zip(heads, texts, strict=True))
    write(text, output)


def view(
    target: Target,
    output: Annotated[str, typer.Option("-o", "--output", help="The HTML file.")] = "phalanx.html",
    arg: Arguments = None,
    against: Annotated[str, typer.Option(metavar="FILE_OR_MODULE:FUNCTION", help="A second function to compare.")] = "",
    against_option: Annotated[list[str] | None, typer.Option(
        help="Compile again with another option to compare, e.g. fuse=0.")] = None,
) -> None:
    """One HTML file with the IR after every pass, differences, the source beside it, clusters, memory and remarks.

    Example: phalanx view model.py:predict --arg x=f32[8,64] -o predict.html
    """
    from phalanx.compiler import config
    from phalanx.compiler.inspect.target import compile_target
    from phalanx.compiler.viewer.page import page

    compilations = [(target.rpartition(":")[2], compile_target(target, arg or []))]
    if against or against_option:
        other = against or target
        with config.options(**config.from_words(against_option or [])):
            label = ", ".join([other.rpartition(":")[2], *(against_option or [])])
            compilations.append((label, compile_target(other, arg or [])))
    text = page(compilations, target, arg or [])
    write(text, output)
    print(f"wrote {output}, {len(text) / 1024:.0f} KiB")


def explain(target: Target, arg: Arguments = None) -> None:
    """Why clusters were formed or not, their schedules, copies and memory, each at the user's line.

    Example: phalanx explain model.py:predict --arg x=f32[8,64]
    """
    from phalanx.compiler.inspect.target import compile_target

    print(compile_target(target, arg or []).explain())


def _read(file: str) -> str:
    try:
        return Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ArgumentError(f"cannot read {file}: {error}") from None


def write(text: str, output: str) -> None:
    """To a file, or to standard output; raises ArgumentError when the file cannot be written."""
    if not output or output == "-":
        print(text, end="")
        return
    try:
        Path(output).write_text(text, encoding="utf-8")
    except OSError as error:
        raise ArgumentError(f"cannot write {output}: {error.strerror}") from None


def bisect(
    target: Target,
    inputs: Annotated[str, typer.Option(help="Arguments by name from an .npz file; random numbers without.")] = "",
    arg: Arguments = None,
    rtol: Annotated[float, typer.Option(help="How far a result may be off, relative to the largest.")] = 1e-4,
) -> None:
    """Find the pass that changes the result: run after each, compare with the evaluator. Exit code 1 when there is one.

    Example: phalanx bisect model.py:predict --inputs x.npz
    """
    from phalanx.compiler.bench import arrays_for
    from phalanx.compiler.inspect.bisect import bisect as find_pass
    from phalanx.compiler.inspect.target import load, named_inputs, specs

    function = load(target)
    if inputs:
        arrays = named_inputs(function, inputs)
    else:
        arrays = arrays_for(function.signature_of(**specs(function, arg or [])).avals)
    verdict = find_pass(function, *arrays, rtol=rtol)
    print(verdict)
    if verdict.culprit:
        raise typer.Exit(1)
