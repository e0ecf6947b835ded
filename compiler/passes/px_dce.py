"""px-dce: operations whose results nobody uses go away.

    %0 = "px.exp"(%x)        // no use: erased
    %1 = "px.print"(%x)      // side effect: kept

Loops and branches go as a whole when nothing inside has a side effect, since C++ passes know nothing about
px ops and keep every region that holds one. An endless loop counts as having no side effect.
"""

from __future__ import annotations

from mlir import ir

from phalanx.compiler.pipeline.registry import pass_
from phalanx.dialects.opdef import REGISTRY

CONTROL = ("scf.if", "scf.for", "scf.while")
PURE_DIALECTS = ("arith.", "math.", "tensor.", "complex.")


@pass_("px-dce", "erase px operations and control flow without uses or side effects")
def px_dce(module: ir.Module) -> None:
    """Visit blocks backwards, so that one visit removes whole chains."""
    for operation in module.body.operations:
        _visit_regions(operation.operation)


def _visit_regions(operation: ir.Operation) -> None:
    for region in operation.regions:
        for block in region.blocks:
            for view in reversed(list(block.operations)):
                _visit(view.operation)


def _visit(operation: ir.Operation) -> None:
    _visit_regions(operation)  # inside first: a region may turn out to be free of side effects
    if _used(operation) or not _removable(operation):
        return
    operation.erase()


def _used(operation: ir.Operation) -> bool:
    return any(next(iter(result.uses), None) is not None for result in operation.results)


def _removable(operation: ir.Operation) -> bool:
    """Whether dropping the operation changes nothing but its results."""
    name: str = operation.name
    if name.startswith("px."):
        definition = REGISTRY.get(name.removeprefix("px."))
        return definition is not None and not definition.side_effect
    if name in CONTROL:
        return all(
            _is_terminator(inner.operation) or _removable(inner.operation)
            for region in operation.regions for block in region.blocks for inner in block.operations
        )
    return name.startswith(PURE_DIALECTS)


def _is_terminator(operation: ir.Operation) -> bool:
    return operation.name in ("scf.yield", "scf.condition")
