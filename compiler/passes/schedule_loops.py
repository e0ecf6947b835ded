"""px-schedule-loops: every cluster function becomes a loop nest on memory."""

from __future__ import annotations

from mlir import ir

from phalanx.compiler.pipeline.registry import pass_
from phalanx.compiler.schedules.schedule import schedule
from phalanx.compiler.targets.isa import isa as isa_named


@pass_("px-schedule-loops", "cluster functions on tensors become loop nests on memory")
def schedule_loops(module: ir.Module, *, isa: str = "host", threads: bool = False, prepack: bool = False) -> None:
    """Schedules for the instruction set `isa`.

    `threads` lets worthwhile loops run in parallel, `prepack` lets products expect captured matrices packed.
    """
    schedule(module, isa_named(isa), threads=threads, prepack=prepack)
