"""px-meet-once: threads that have done their share of a loop wait for each other once, not twice.

    omp.parallel { omp.wsloop { .. } }  ->  omp.parallel { omp.wsloop nowait { .. } }

The end of a parallel region is a barrier already. The one of a loop that is all the region does only repeats it.
"""

from __future__ import annotations

from mlir import ir

from phalanx.compiler.pipeline.registry import pass_


@pass_("px-meet-once", "a parallel region that is one loop has one barrier, at its end")
def px_meet_once(module: ir.Module) -> None:
    """Loops that are followed by nothing but the end of their region."""

    def visit(operation: ir.Operation) -> ir.WalkResult:
        if operation.name != "omp.parallel":
            return ir.WalkResult.ADVANCE
        blocks = list(operation.regions[0].blocks)
        inner = [view.operation for view in blocks[0].operations]
        if len(blocks) == 1 and [found.name for found in inner] == ["omp.wsloop", "omp.terminator"]:
            inner[0].attributes["nowait"] = ir.UnitAttr.get()
        return ir.WalkResult.SKIP

    with module.context:
        module.operation.walk(visit)
