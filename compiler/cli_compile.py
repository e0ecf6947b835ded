"""`phalanx compile`: a function of a file or module -> a library, a header, or what the compiler makes on the way."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from phalanx.compiler.aot.public import KINDS
from phalanx.dialects.errors import ArgumentError


def compile_command(
    function: Annotated[str, typer.Argument(metavar="FILE_OR_MODULE:FUNCTION", help="Several functions: a,b.")],
    arg: Annotated[list[str] | None, typer.Option(help="An argument, e.g. x=f32[8,64] or x=f32[n,64].")] = None,
    output: Annotated[str, typer.Option("-o", "--output", help="The library; other files get its stem.")] = "",
    target: Annotated[str, typer.Option(help="Levels of one library, e.g. x86-64-v2,x86-64-v3; host; aarch64.")] = "",
    emit: Annotated[str, typer.Option(help=f"Files to write: {','.join(KINDS)}.")] = "so,h",
    name: Annotated[str, typer.Option(help="Name of the C function, when there is one; its own without.")] = "",
    weights: Annotated[str, typer.Option(help="Large captured tensors: embedded, or external in a file.")] = "embedded",
    assume: Annotated[list[str] | None, typer.Option(help="A fact about named sizes, e.g. 'n % 8 == 0'.")] = None,
) -> None:
    """Compile functions ahead of time into a shared library with a C header.

    Example: phalanx compile model.py:predict --arg x=f32[n,64] -o predict.so
    """
    from phalanx.compiler.aot.export import export  # the compiler, with MLIR
    from phalanx.compiler.inspect.target import load, parts, words

    place, attributes = parts(function)
    names = attributes.split(",")
    if name and len(names) > 1:
        raise ArgumentError("compile: --name is for one function, and several are given")
    specs = words(arg or [])
    functions = [(name or n, load(f"{place}:{n}"), specs) for n in names]
    print(export(functions, Path(output or f"{functions[0][0]}.so"), specs=(), keyword_specs={}, target=target or None,
                 name=None, weights=weights, emit=emit, assume=assume or ()))
