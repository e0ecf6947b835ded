"""px-cse: equal px ops become one.

    %0 = "px.exp"(%x)
    %1 = "px.exp"(%x)        // every use becomes %0

Two ops are equal when name, operands, attributes and result types are. An op inside a loop or branch may
take the value of one outside; values never leave a region. Ops with side effects stay. The location kept
is the first op's. Upstream ops are the C++ `cse` pass's, which runs beside this one.
"""

from __future__ import annotations

from typing import Any

from mlir import ir

from phalanx.compiler.pipeline.registry import pass_
from phalanx.dialects.opdef import REGISTRY

Known = dict[Any, "ir.Operation"]


@pass_("px-cse", "merge equal px operations, which C++ cse does not touch")
def px_cse(module: ir.Module) -> None:
    """Visit every region with the equal-operation tables of the regions around it."""
    for operation in module.body.operations:
        _visit_regions(operation.operation, [])


def _visit_regions(operation: ir.Operation, outer: list[Known]) -> None:
    for region in operation.regions:
        for block in region.blocks:
            _visit_block(block, outer)


def _visit_block(block: ir.Block, outer: list[Known]) -> None:
    tables = [*outer, {}]
    for view in list(block.operations):
        operation = view.operation
        if not operation.name.startswith("px."):
            _visit_regions(operation, tables)
            continue
        definition = REGISTRY.get(operation.name.removeprefix("px."))
        if definition is None or definition.side_effect:
            continue
        key = _key(operation)
        equal = next((table[key] for table in reversed(tables) if key in table), None)
        if equal is None:
            tables[-1][key] = operation
            continue
        for old, new in zip(operation.results, equal.results, strict=True):
            old.replace_all_uses_with(new)
        operation.erase()


def _key(operation: ir.Operation) -> Any:
    """What makes two operations equal."""
    attributes = tuple(sorted(((a, operation.attributes[a]) for a in operation.attributes), key=lambda pair: pair[0]))
    return (operation.name, tuple(operation.operands), attributes, tuple(r.type for r in operation.results))
