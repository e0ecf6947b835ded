"""Compiling on from edited text: any stage of a compiled function can be replaced."""

from __future__ import annotations

import linecache
from collections.abc import Mapping
from typing import Any

from mlir import ir

from phalanx.compiler import config, native, versions
from phalanx.compiler.context import context
from phalanx.compiler.execution import Compiled
from phalanx.compiler.inspect.stages import FIRST, LAST, check_stage, stage_names
from phalanx.compiler.pipeline import diagnostics
from phalanx.compiler.pipeline.stages import check_contract, run_stages, stage_named
from phalanx.dialects.errors import CompileError


def resume(compiled: Compiled, stage: str, text: str, file: str = "") -> Compiled:
    """`compiled` as it comes out when `text` takes the place of what `stage` left.

    `file` is where the text came from, for errors. Raises CompileError when the text does not parse or verify,
    lacks @main, or holds what the stage must not leave.
    """
    name = file or f"<edited {stage}>"
    traced, seconds = compiled.traced, {"trace": 0.0}
    with config.options(**compiled.options), context():
        check_stage(stage)
        if stage == LAST:
            raise CompileError("assembly cannot be compiled on from", hint="edit the stage llvm instead")
        module = parse(text, f"{stage} stage, edited", name)
        if stage == FIRST:
            runner = native.resume(module, None, traced, compiled.signature, compiled.donated, seconds)
        else:
            try:
                check_contract(module, stage_named(native.stages(), stage))
            except CompileError as error:
                raise _at(error, name, f"{stage} stage, edited: {error.message}") from None
            runner = native.resume(module, stage, traced, compiled.signature, compiled.donated, seconds)
    made = Compiled(traced, compiled.signature, runner, "mlir", f"edited {stage}", seconds, compiled.donated)
    made.flatten, made.structure, made.options = compiled.flatten, compiled.structure, compiled.options
    return made


def parse(text: str, doing: str, name: str) -> Any:
    """A module from text, verified; raises CompileError at the line of `name`, with a note when others wrote it."""
    if "__elided__" in text:
        raise CompileError(f"{doing}: the text has constants that were left out when it was printed",
                           hint="start from compiled.text(stage) or `phalanx ir`, which print them in full")
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    try:
        module = ir.Module.parse(text)
    except ir.MLIRError as error:
        raise _at(diagnostics.from_mlir(error, doing), name, note=versions.foreign(text)) from None
    symbols = [str(op.attributes["sym_name"]).strip('"') for op in module.body.operations if "sym_name" in op.attributes]
    if "main" not in symbols:
        raise CompileError(f"{doing}: there is no function @main", location=f"{name}:1:1")
    return module


def _at(error: CompileError, name: str, message: str = "", note: str | None = None) -> CompileError:
    """The error with MLIR's name for handed-in text replaced by the file's."""
    if error.location and error.location.startswith("-:"):
        error.location = name + error.location[1:]
    error.message = message or error.message
    error.note = "\n".join(filter(None, (error.note, note))) or None
    return error


def replaced_stages(compiled: Compiled, stage: str, text: str, file: str) -> Mapping[str, str]:
    """The texts of all stages from `stage` on, as they are when `text` takes its place."""
    with config.options(**compiled.options):
        names = list(stage_names())
        check_stage(stage)
        texts = {stage: text}
        with context():
            module = parse(text, f"{stage} stage, edited", file)

            def keep(name: str, after: Any) -> None:
                texts[name] = str(after)

            rest = [name for name in names[names.index(stage) + 1:] if name != LAST]
            if rest:
                run_stages(module, native.stages(), first=rest[0], label=compiled.traced.name, after_stage=keep)
            texts[LAST] = native.assembly(module, compiled.signature)
    return texts
