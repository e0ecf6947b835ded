"""The stages of a compile: one flat list of passes per target, and what each stage promises.

    px -> linalg -> clusters -> scheduled -> buffers -> llvm

A stage can be printed, dumped, entered from text, stopped after, or replaced by name.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from mlir import ir

from phalanx.compiler import config
from phalanx.compiler.pipeline import diagnostics, parse, registry
from phalanx.compiler.pipeline import run as runner
from phalanx.compiler.pipeline.concerns import Contents
from phalanx.compiler.pipeline.instruments import Dump, Instrument, Reporter
from phalanx.compiler.targets.cpu import llvm_pipeline
from phalanx.compiler.targets.isa import isa as instruction_set
from phalanx.dialects.errors import CompileError
from phalanx.dialects.records import record, replace

Pass = tuple[str, str]  # text and reason

# Levels where a fused multiply-add would be a call of libm.
WITHOUT_FMA = ("x86-64", "x86-64-v2")


@record
class Stage:
    """A named list of passes, and the dialects (or single ops) that may be left afterwards."""

    name: str
    passes: tuple[Pass, ...]
    forbids: tuple[str, ...] = ()
    only: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The stage as a pipeline for `phalanx-opt --pass-pipeline`."""
        return ",".join(text for text, _ in self.passes)

    def __str__(self) -> str:
        width = max((len(text) for text, _ in self.passes), default=0)
        return "\n".join([f"{self.name}:", *(f"  {text:<{min(width, 50)}}  {why}" for text, why in self.passes)])


def cpu_stages(*, isa: str = "host", threads: bool = True, fuse: bool = True, fastmath: str = "",
               prepack: bool = False) -> tuple[Stage, ...]:
    """Everything between a traced module and the LLVM dialect of a CPU; `fastmath` is a list of flags with commas.

    `prepack` lets products expect captured matrices packed, which is then for the caller to do.
    """
    allowed = ((f"px-fast-math{{flags={fastmath.replace(',', '+')}}}", "what the option of that name allows"),)
    fma = instruction_set(isa).level not in WITHOUT_FMA
    return (
        Stage("px", (
            ("px-inline", "functions with a gradient rule of their own were calls up to here"),
            ("px-verify", "text input is checked as tracing checks: shapes, dtypes, attributes"),
            ("px-canonicalize", "drop what changes nothing"),
            ("px-rotate-loops", "conditions on whole arrays are fused with what makes the next state"),
            ("px-join-trips", "elements of large states make several trips while they are in registers"),
            ("cse", "constants and sizes first, so that equal px ops have equal operands"),
            ("px-cse", "C++ cse does not touch px ops"),
            ("px-dce", "gradients leave values nobody asked for"),
            ("canonicalize", "unused results and carries of loops and branches go"),
            ("px-dce", "and what computed them"),
        )),
        Stage("linalg", (
            ("convert-px-to-linalg", "every op by its own `lower`"),
            ("canonicalize", "fold casts, sizes and constants of the lowering"),
            ("cse", "one copy of every size computation and fill"),
            ("px-split-pieces", "what is padded, rolled or concatenated is read where it is, not written first"),
            ("px-locations", "folded constants have lost theirs"),
            *(allowed if fastmath else ()),
        ), forbids=("px",)),
        Stage("clusters", (
            (f"px-form-clusters{{fuse={_word(fuse)}}}", "group array ops into loop nests, plan memory, write driver"),
            ("px-loop-ranges", "indices made from counters of loops need no bounds where the counter has them"),
        ), forbids=("px",)),
        Stage("scheduled", (
            (f"px-schedule-loops{{isa={isa} threads={_word(threads)} prepack={_word(prepack)}}}",
             "loops, tiles and vectors of every cluster"),
        ), forbids=("px", "linalg", "tensor", "bufferization")),
        Stage("buffers", (
            ("canonicalize", "fold views and index arithmetic before they become pointers"),
            ("cse", "before lowering, while loads and views are still visible as such"),
            ("px-locations", "folded constants have lost theirs"),
        ), forbids=("px", "linalg", "tensor", "bufferization")),
        Stage("llvm", (
            *((("px-split-loops", "sin and cos of small arguments are short, and most arguments are small"),) if fma else ()),
            (f"px-expand-math{{fma={_word(fma)}}}", "our own vectorisable functions instead of libm calls"),
            *llvm_pipeline(openmp=threads),
            ("px-locations", "debug info and profiles need a line for everything"),
        ), only=("llvm", "builtin", "omp") if threads else ("llvm", "builtin")),
    )


def _word(flag: bool) -> str:
    return "true" if flag else "false"


def stage_named(stages: Sequence[Stage], name: str) -> Stage:
    """The stage of that name; raises CompileError with the nearest names."""
    for stage in stages:
        if stage.name == name:
            return stage
    raise CompileError(f"pipeline: no stage {name!r}", hint=registry.nearest(name, [s.name for s in stages]))


def replaced(stages: Sequence[Stage], stage: Stage) -> tuple[Stage, ...]:
    """The same stages with `stage` in the place of the one of its name."""
    stage_named(stages, stage.name)
    return tuple(stage if old.name == stage.name else old for old in stages)


def extended(stages: Sequence[Stage], text: str) -> tuple[Stage, ...]:
    """The stages with passes of the user's at their ends: `linalg:my-pass,other{n=2};llvm:third`.

    Raises CompileError for a text of another form or a stage that does not exist.
    """
    for entry in filter(None, (part.strip() for part in text.split(";"))):
        name, colon, passes = entry.partition(":")
        if not colon or not passes.strip():
            raise CompileError(f"passes: expected <stage>:<pass>, got {entry!r}", hint="write linalg:my-pass")
        stage = stage_named(stages, name.strip())
        added = tuple((str(item), "asked for by the option `passes`") for item in parse.read(passes))
        stages = replaced(stages, replace(stage, passes=(*stage.passes, *added)))
    return tuple(stages)


def run_stages(
    module: ir.Module,
    stages: Sequence[Stage],
    *,
    first: str | None = None,
    last: str | None = None,
    instruments: Sequence[Instrument] = (),
    after_stage: Callable[[str, ir.Module], None] | None = None,
    label: str = "main",
    origin: Callable[[], ir.Module] | None = None,
) -> None:
    """Run `stages` from `first` to `last` on a module, in place, each one's contract checked afterwards.

    `after_stage(name, module)` sees the module at the end of each stage. With the option `dump_ir` the IR is written
    to `<dump_ir>/<label>/<stage>_<number>_<pass>.mlir`, as often as `dump_level` says; with `debug` of 2 a line per
    pass is printed. `origin` makes the module once more as it is now; only our own passes may be among the stages then.
    They run with as little else as possible, and what fails is found again on the module made anew.
    Raises CompileError at the user's line.
    """
    names = [stage.name for stage in stages]
    start = names.index(stage_named(stages, first).name) if first else 0
    stop = names.index(stage_named(stages, last).name) if last else len(names) - 1
    watchers = [*instruments, *([Reporter(sys.stderr)] if config.get("debug") >= 2 else [])]
    folder = _dump_folder(config.get("dump_ir"), label)
    level = config.get("dump_level")
    if origin is not None and not watchers and not folder:
        try:
            run_trusted(module, stages[start:stop + 1], after_stage)
            return
        except Exception as problem:
            module = origin()
            run_stages(module, stages, first=first, last=last, label=label)
            raise CompileError(f"pipeline: {type(problem).__name__}: {problem}") from problem
    for position in range(start, stop + 1):
        stage = stages[position]
        dumps = [Dump(folder, prefix=f"{position}-{stage.name}_", level=level)] if folder else []
        try:
            runner.run(module, stage.text, instruments=[*watchers, *dumps], thorough=bool(config.get("debug")))
            check_contract(module, stage)
        except CompileError as error:
            error.message = f"{stage.name} stage: {error.message}"
            raise
        for dump in dumps:
            dump.stage_done(module)
        if after_stage is not None:
            after_stage(stage.name, module)


def run_trusted(module: ir.Module, stages: Sequence[Stage],
                after_stage: Callable[[str, ir.Module], None] | None = None) -> None:
    """Run stages on IR that nobody else has written; `check_ir` verifies it and holds stages to their contracts."""
    checked = bool(config.get("check_ir"))
    with module.context:
        contents = Contents(module)
        for stage in stages:
            runner.run_trusted(module, stage.text, contents, checked=checked)
            if checked:
                check_contract(module, stage)
            if after_stage is not None:
                after_stage(stage.name, module)


def _dump_folder(base: str, label: str) -> Path | None:
    """A new folder for one compile: the label, with a number when that is taken."""
    if not base:
        return None
    folder, number = Path(base) / label, 1
    while folder.exists():
        number += 1
        folder = Path(base) / f"{label}-{number}"
    return folder


def check_contract(module: ir.Module, stage: Stage) -> None:
    """Raise CompileError at the user's line of the first operation the stage should not have left."""
    if not stage.forbids and not stage.only:
        return
    legal: dict[str, bool] = {}
    found: list[ir.Operation] = []

    def visit(operation: ir.Operation) -> ir.WalkResult:
        name = operation.name
        allowed = legal.get(name)
        if allowed is None:
            allowed = legal[name] = _allowed(name, stage)
        if allowed:
            return ir.WalkResult.ADVANCE
        found.append(operation)
        return ir.WalkResult.INTERRUPT

    module.operation.walk(visit, ir.WalkOrder.PRE_ORDER)
    if found:
        raise diagnostics.at_operation(f"{found[0].name} is left", found[0])


def _allowed(name: str, stage: Stage) -> bool:
    names = (name, name.partition(".")[0])
    if any(n in stage.forbids for n in names):
        return False
    return not stage.only or any(n in stage.only for n in names)
