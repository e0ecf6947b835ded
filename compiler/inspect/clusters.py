"""The clusters of a compiled function: the user's lines in each, who calls it, the schedule it gets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mlir import ir

from phalanx.compiler import config
from phalanx.compiler.context import context
from phalanx.compiler.inspect.record import Recording
from phalanx.compiler.pipeline.diagnostics import UserLine, user_line
from phalanx.compiler.schedules.chain import Chain
from phalanx.compiler.schedules.kernel import Kernel
from phalanx.compiler.schedules.loops import Fused
from phalanx.compiler.schedules.prepacked import Captures
from phalanx.compiler.schedules.routine import Shared
from phalanx.compiler.schedules.sharing import Sharing, share
from phalanx.compiler.targets.isa import isa as instruction_set
from phalanx.runtime import threads


@dataclass(frozen=True)
class ClusterInfo:
    """One cluster function; `lines` are the user's, in the order of its operations."""

    name: str
    kind: str
    lines: tuple[UserLine, ...]
    operations: tuple[str, ...]
    calls: int
    schedule: str
    workspace: int


def clusters_of(recording: Recording) -> list[ClusterInfo]:
    """Every cluster of the function, in the order of the module."""
    target = instruction_set(config.get("isa"))
    found: list[ClusterInfo] = []
    with context():
        module = ir.Module.parse(recording.stage_text("clusters"))
        calls = _calls(module)
        captures = Captures(module) if config.get("prepack") else None
        functions = {
            ir.StringAttr(view.operation.attributes["sym_name"]).value: view.operation
            for view in module.body.operations
            if "px.cluster" in view.operation.attributes
        }
        kernels = {
            name: Kernel(function, target, Shared(), captures.of(name) if captures is not None else frozenset())
            for name, function in functions.items()
        }
        sharings = share(module, kernels, target) if threads.openmp_available() else {}
        for name, function in functions.items():
            kind = ir.StringAttr(function.attributes["px.cluster"]).value
            lines, operations = _contents(function)
            words = _schedule(kernels[name], sharings.get(name))
            found.append(ClusterInfo(name, kind, lines, operations, calls.get(name, 0), words, kernels[name].workspace.bytes))
    return found


def _calls(module: Any) -> dict[str, int]:
    """How often each function is called from the text of the module (in a loop once)."""
    counts: dict[str, int] = {}

    def visit(operation: ir.Operation) -> ir.WalkResult:
        if operation.name == "func.call":
            callee = ir.FlatSymbolRefAttr(operation.attributes["callee"]).value
            counts[callee] = counts.get(callee, 0) + 1
        return ir.WalkResult.ADVANCE

    module.operation.walk(visit)
    return counts


def _contents(function: Any) -> tuple[tuple[UserLine, ...], tuple[str, ...]]:
    """The user's lines of the array operations in a function, each once, and what those operations are."""
    lines: dict[str, UserLine] = {}
    operations: list[str] = []
    for view in function.regions[0].blocks[0].operations:
        operation = view.operation
        if not operation.name.startswith(("linalg.", "scf.")):
            continue
        line = user_line(operation.location)
        if line is not None:
            lines.setdefault(f"{line.file}:{line.line}", line)
        operations.append(operation.name)
    return tuple(lines.values()), tuple(operations)


def _schedule(kernel: Kernel, sharing: Sharing | None) -> str:
    """What the scheduled stage does with a cluster, in words."""
    loops = kernel.loops
    if kernel.cluster.kind == "pack":
        return "panels of a matrix for the products of a loop"
    if loops is None:
        return "loops as written"
    if isinstance(loops, Fused):
        names = "x".join(str(size) if isinstance(size, int) else "?" for size in loops.domain.sizes) or "scalar"
        passes = loops.plan.last + 1
        words = f"one loop nest over {names}" + (f", {passes} sweeps" if passes > 1 else "")
        if loops.plan.kept:
            words += f", {len(loops.plan.kept)} values kept between sweeps"
    elif isinstance(loops, Chain):
        words = loops.describe()
    else:
        words = loops.describe()
    if sharing is None:
        return f"{words}; one thread"
    if sharing.cut is None:
        return f"{words}; one thread, too little work for more"
    return f"{words}; shared among threads in {sharing.cut.parts} parts of loop {sharing.cut.loop}"
