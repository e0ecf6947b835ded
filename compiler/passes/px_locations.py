"""px-locations: operations that folding left without a location get one of their neighbours'.

    %c = arith.constant 0 : index loc(unknown)     // hoisted by canonicalize
    %0 = arith.addi %n, %c : index loc("f"("user.py":7:11))

`%c` takes the location of its first user; an operation without users that of its parent. C++ passes merge
constants of several lines into one of no line; reports and dumps must name a line of the user's all the same.
"""

from __future__ import annotations

from mlir import ir

from phalanx.compiler.pipeline.registry import pass_


@pass_("px-locations", "give operations without a location that of their first user or parent")
def px_locations(module: ir.Module) -> None:
    """Users stand after what they use, so later operations are settled first."""
    unknown = ir.Location.unknown()
    lost: list[ir.Operation] = []

    def visit(operation: ir.Operation) -> ir.WalkResult:
        if operation.location == unknown:
            lost.append(operation)
        return ir.WalkResult.ADVANCE

    module.operation.walk(visit, ir.WalkOrder.PRE_ORDER)
    for operation in reversed(lost):
        operation.location = _neighbour(operation, unknown)


def _neighbour(operation: ir.Operation, unknown: ir.Location) -> ir.Location:
    for result in operation.results:
        for use in result.uses:
            if use.owner.location != unknown:
                return use.owner.location
    parent = operation.parent
    while parent is not None:
        if parent.location != unknown:
            return parent.location
        parent = parent.operation.parent
    return unknown
