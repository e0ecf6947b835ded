"""Walking and copying blocks of a trace: what grad and vmap share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from mlir import ir

from phalanx.compiler.trace.tracing import Trace
from phalanx.dialects.analysis import is_tensor, op_of

Mapping = dict["ir.Value", "ir.Value"]  # in quotes: importing this module loads no library


def operations(block: ir.Block) -> list[ir.Operation]:
    """The operations of a block, as they are now."""
    return [o.operation for o in block.operations]


def terminator(block: ir.Block) -> ir.Operation:
    """The last operation of a block."""
    return operations(block)[-1]


def clone_operation(trace: Trace, operation: ir.Operation, mapping: Mapping) -> ir.Operation:
    """Copy one operation, regions included, to the end of the current scope; `mapping` renames its operands."""
    made = operation.clone(ip=trace.scope.insertion).operation
    rename(made, mapping)
    pairs = [(operation, made)]
    while pairs:
        old, new = pairs.pop()
        for old_result, new_result in zip(old.results, new.results, strict=True):
            _copy_aval(trace, old_result, new_result)
        for old_region, new_region in zip(old.regions, new.regions, strict=True):
            for old_block, new_block in zip(old_region.blocks, new_region.blocks, strict=True):
                for a, b in zip(old_block.arguments, new_block.arguments, strict=True):
                    _copy_aval(trace, a, b)
                pairs += zip(operations(old_block), operations(new_block), strict=True)
    mapping.update(zip(operation.results, made.results, strict=True))
    return made


def _copy_aval(trace: Trace, old: ir.Value, new: ir.Value) -> None:
    if old in trace.avals:
        trace.avals[new] = trace.avals[old]


def rename(operation: ir.Operation, mapping: Mapping) -> None:
    """Replace operands of an operation and of everything inside it."""
    for position, operand in enumerate(operation.operands):
        if operand in mapping:
            operation.operands[position] = mapping[operand]
    for inner in inside(operation):
        for position, operand in enumerate(inner.operands):
            if operand in mapping:
                inner.operands[position] = mapping[operand]


def inside(operation: ir.Operation) -> Iterator[ir.Operation]:
    """Every operation in the regions of one, outer before inner."""
    for region in operation.regions:
        for block in region.blocks:
            for inner in operations(block):
                yield inner
                yield from inside(inner)


def has_effects(operation: ir.Operation) -> bool:
    """Whether an operation, or one inside it, calls the host."""
    op = op_of(operation)
    return bool(op and op.side_effect) or any(has_effects(i) for i in inside(operation))


def clone_block(trace: Trace, block: ir.Block, arguments: Sequence[ir.Value], *, effects: bool = True,
                mapping: Mapping | None = None) -> tuple[list[ir.Operation], list[ir.Value]]:
    """Copy a block's operations to the current scope; returns the copies and the renamed terminator operands.

    Without `effects`, host calls are left out: a recomputation must not print twice.
    """
    mapping = {} if mapping is None else mapping
    mapping.update(zip(block.arguments, arguments, strict=True))
    copies = []
    *body, last = operations(block)
    for operation in body:
        if not effects and has_effects(operation):
            if not operation.results:
                continue
            copies.append(_clone_without_effects(trace, operation, mapping))
            continue
        copies.append(clone_operation(trace, operation, mapping))
    return copies, [mapping.get(o, o) for o in last.operands]


def _clone_without_effects(trace: Trace, operation: ir.Operation, mapping: Mapping) -> ir.Operation:
    made = clone_operation(trace, operation, mapping)
    for inner in list(inside(made)):
        op = op_of(inner)
        if op is not None and op.side_effect:
            inner.erase()
    return made


def captured(operation: ir.Operation) -> list[ir.Value]:
    """Values from outside that the regions of an operation use, each once, in order of first use."""
    own: set[ir.Value] = set()
    found: dict[ir.Value, None] = {}

    def visit(block: ir.Block) -> None:
        own.update(block.arguments)
        for inner in operations(block):
            for operand in inner.operands:
                if operand not in own:
                    found.setdefault(operand)
            own.update(inner.results)
            for region in inner.regions:
                for nested in region.blocks:
                    visit(nested)

    for region in operation.regions:
        for block in region.blocks:
            visit(block)
    return [v for v in found if v not in own]


def tensors(values: Iterable[ir.Value]) -> list[ir.Value]:
    """Those of tensor type."""
    return [v for v in values if is_tensor(v)]


def erase_dead(block: ir.Block, watched: Sequence[ir.Operation] = ()) -> list[bool]:
    """Drop the pure operations of a block nobody reads, last first; says which of `watched` are still there."""
    alive = [True] * len(watched)
    for operation in reversed(operations(block)[:-1]):
        if any(True for r in operation.results for _ in r.uses) or has_effects(operation):
            continue
        for position, one in enumerate(watched):
            if alive[position] and one == operation:
                alive[position] = False
        operation.erase()
    return alive
