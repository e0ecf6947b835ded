"""`phalanx compile`: a function of a file or module -> a library, a header, or what the compiler makes on the way."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

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
    source, _, attributes = function.rpartition(":")
    if not source or not attributes:
        raise ArgumentError(f"compile: cannot read {function!r}", hint="phalanx compile model.py:predict --arg x=f32[n,64]")
    names = attributes.split(",")
    if name and len(names) > 1:
        raise ArgumentError("compile: --name is for one function, and several are given")
    specs = _specs(arg or [])
    module = load_source(source)
    functions = [(name or n, function_of(module, source, n), specs) for n in names]
    from phalanx.compiler.aot.export import export  # the compiler, with MLIR

    print(export(functions, Path(output or f"{functions[0][0]}.so"), specs=(), keyword_specs={}, target=target or None,
                 name=None, weights=weights, emit=emit, assume=assume or ()))


def _specs(words: Sequence[str]) -> dict[str, str]:
    """`x=f32[n]` -> {"x": "f32[n]"}."""
    found: dict[str, str] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or not name.strip().isidentifier():
            raise ArgumentError(f"compile: cannot read the argument {word!r}", hint="--arg x=f32[8,64]")
        found[name.strip()] = text.strip()
    return found


def load_source(source: str) -> Any:
    """The module a file or a dotted name stands for."""
    path = Path(source)
    if path.suffix != ".py" and not path.exists():
        sys.path.insert(0, "")  # like `python -m`: modules of the current folder can be named
        try:
            return importlib.import_module(source)
        except ModuleNotFoundError as error:
            raise ArgumentError(f"compile: there is no file or module {source!r}: {error}") from None
    if not path.is_file():
        raise ArgumentError(f"compile: there is no file {source!r}")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ArgumentError(f"compile: {source!r} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    sys.path.insert(0, str(path.parent.resolve()))
    spec.loader.exec_module(module)
    return module


def function_of(module: Any, source: str, name: str) -> Any:
    value = module
    for part in name.split("."):
        if not hasattr(value, part):
            raise ArgumentError(f"compile: {source} has no function {name!r}")
        value = getattr(value, part)
    if not callable(value):
        raise ArgumentError(f"compile: {name} of {source} is a {type(value).__name__}, not a function")
    return value
