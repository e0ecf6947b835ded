"""px-rotate-loops: a condition that looks at whole arrays is computed where the next state is, not in a walk of its own.

    while (c = any(x < 4)) { x = next(x) }
    ->  c = any(x < 4); while (c) { x = next(x); c = any(x < 4) }

The condition is then fused into the loop nests that make the state it looks at. It is evaluated as often and in the
same order as before, on the same values, so results keep their bits. Conditions on scalars alone stay where they are:
they cost nothing there. So do those that call the host, whose call would stand in the program twice.
"""

from __future__ import annotations

from mlir import ir

from phalanx.compiler.pipeline.registry import pass_
from phalanx.compiler.transforms import replay


@pass_("px-rotate-loops", "conditions of loops on whole arrays are computed with the next state")
def px_rotate_loops(module: ir.Module) -> None:
    """Rotates inner loops before the ones around them."""
    found: list[ir.Operation] = []

    def visit(operation: ir.Operation) -> ir.WalkResult:
        if operation.name == "scf.while" and _worth_it(operation):
            found.append(operation)
        return ir.WalkResult.ADVANCE

    module.operation.walk(visit)
    for loop in found:
        with loop.location, module.context:
            _rotate(loop)


def _worth_it(loop: ir.Operation) -> bool:
    """Whether the condition reads an array of the state, and nothing but the state goes on to the body."""
    before = loop.regions[0].blocks[0]
    *body, last = replay.operations(before)
    _, *passed = last.operands
    if passed != list(before.arguments) or any(replay.has_effects(operation) for operation in body):
        return False
    arrays = {value for value in before.arguments if isinstance(value.type, ir.RankedTensorType) and value.type.rank}
    return any(not arrays.isdisjoint(operation.operands) for top in body for operation in (top, *replay.inside(top)))


def _rotate(loop: ir.Operation) -> None:
    starts = list(loop.operands)
    types = [value.type for value in starts]
    before, after = (region.blocks[0] for region in loop.regions)
    first = _condition(before, starts, ir.InsertionPoint(loop))
    last = replay.terminator(after)
    again = _condition(before, list(last.operands), ir.InsertionPoint(last))
    made = ir.Operation.create("scf.while", types, [*starts, first], regions=2, ip=ir.InsertionPoint(loop))
    places = [loop.location] * len(types)
    head = made.regions[0].blocks.append(*types, first.type, arg_locs=[*places, loop.location])
    *state, going = head.arguments
    ir.Operation.create("scf.condition", operands=[going, *state], ip=ir.InsertionPoint(head))
    ir.Operation.create("scf.yield", operands=[*last.operands, again], loc=last.location, ip=ir.InsertionPoint(last))
    last.erase()
    after.append_to(made.regions[1])
    for old, new in zip(loop.results, made.results, strict=True):
        old.replace_all_uses_with(new)
    loop.erase()


def _condition(before: ir.Block, state: list[ir.Value], place: ir.InsertionPoint) -> ir.Value:
    """The condition computed for this state at this place."""
    mapping: replay.Mapping = dict(zip(before.arguments, state, strict=True))
    *body, last = replay.operations(before)
    for operation in body:
        copy = operation.clone(ip=place).operation
        replay.rename(copy, mapping)
        mapping.update(zip(operation.results, copy.results, strict=True))
    going = last.operands[0]
    return mapping.get(going, going)
