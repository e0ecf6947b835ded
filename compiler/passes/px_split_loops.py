"""px-split-loops: loops with sin or cos look at a block of arguments first, and take short code where all are small.

    scf.for %i = %a to %b { %y = math.sin %x[%i] }
    ->  scf.for %start = %a to %b step 1024 {
          %large = does any argument of the block exceed SMALL?
          scf.if %large { the loop as it was, over the block } else { the loop with math.sin {px.small}, over the block }
        }

The reduction of any float modulo 2 pi costs three times what the function itself does, and a vectorised loop has no
branch of its own. Looking costs one load and three integer instructions per vector, so it is done where the argument is
close to memory: loops that compute it at length, or from what they carry, stay as they are.
"""

from __future__ import annotations

from typing import Any

from mlir import ir
from mlir.dialects import arith, scf

from phalanx.compiler.mathlib.trigonometric import SMALL_32
from phalanx.compiler.passes.px_fast_math import has_flag
from phalanx.compiler.pipeline.registry import pass_

SMALL = "px.small"
BLOCK = 1024
SHORTEST = 64
"""Loops known to be shorter are not worth a look."""

LONGEST_SLICE = 12
"""Operations that may stand between memory and an argument."""

_ADDRESSES = frozenset({"memref.reinterpret_cast", "memref.view", "memref.cast", "memref.subview"})
_SPLIT = frozenset({"math.sin", "math.cos"})


@pass_("px-split-loops", "short code for blocks of a loop in which every argument of sin and cos is small")
def split_loops(module: ir.Module) -> None:
    """Splits innermost loops; `px-expand-math` reads the mark on the operations."""
    loops: list[Any] = []

    def visit(operation: Any) -> ir.WalkResult:
        if operation.name == "scf.for":
            loops.append(operation)
        elif operation.name in _SPLIT and has_flag(operation, "afn") and _is_single(operation):
            operation.attributes[SMALL] = ir.UnitAttr.get(operation.context)
        return ir.WalkResult.ADVANCE

    module.operation.walk(visit)
    for loop in loops:
        found = _calls(loop)
        if found and _long_enough(loop):
            needed = _slice(loop, [call.operands[0] for call in found])
            if needed is not None and _reads_are_stable(loop, needed):
                with loop.location, ir.InsertionPoint(loop):
                    _split(loop, found, needed)


def _is_single(operation: Any) -> bool:
    return isinstance(operation.operands[0].type, ir.F32Type)


def _body(loop: Any) -> list[Any]:
    return [operation.operation for operation in loop.regions[0].blocks[0].operations]


def _calls(loop: Any) -> list[Any]:
    """The functions of a loop to look at the arguments of; none when other loops or branches stand in it."""
    operations = _body(loop)
    if any(len(operation.regions) for operation in operations):
        return []
    wanted = [operation for operation in operations if operation.name in _SPLIT and SMALL not in operation.attributes]
    return wanted if all(_is_single(operation) for operation in wanted) else []


def _constant(value: Any) -> int | None:
    owner = value.owner
    if isinstance(owner, ir.Block) or owner.name != "arith.constant":
        return None
    return int(ir.IntegerAttr(owner.attributes["value"]).value)


def _long_enough(loop: Any) -> bool:
    low, high, step = (_constant(value) for value in list(loop.operands)[:3])
    if step != 1 or not isinstance(loop.operands[0].type, ir.IndexType):
        return False
    return low is None or high is None or high - low >= SHORTEST


def _slice(loop: Any, arguments: list[Any]) -> list[Any] | None:
    """What computes the arguments, in order; None when that is too much, or depends on what the loop carries."""
    block = loop.regions[0].blocks[0]
    _, *carried = list(block.arguments)
    inside = set(_body(loop))
    needed: set[Any] = set()
    pending = list(arguments)
    while pending:
        value = pending.pop()
        if value in carried:
            return None
        if isinstance(value.owner, ir.Block) or value.owner.operation not in inside - needed:
            continue
        owner = value.owner.operation
        if not owner.name.startswith("arith.") and owner.name not in ("memref.load", "math.fma", "math.absf", *_ADDRESSES):
            return None
        needed.add(owner)
        pending += list(owner.operands)
        if len(needed) > LONGEST_SLICE:
            return None
    return [operation for operation in _body(loop) if operation in needed]


def _base(memory: Any) -> Any:
    """The value a view was made from."""
    while not isinstance(memory.owner, ir.Block) and memory.owner.name in _ADDRESSES:
        memory = memory.owner.operands[0]
    return memory


def _reads_are_stable(loop: Any, needed: list[Any]) -> bool:
    """Whether looking ahead reads what the loop itself will read: nothing else of the block writes there before."""
    loads = [operation for operation in needed if operation.name == "memref.load"]
    for write in _body(loop):
        if write.name == "memref.load" or write.name.startswith(("arith.", "math.", "scf.yield")) or write.name in _ADDRESSES:
            continue
        if write.name != "memref.store":
            return False
        target = write.operands[1]
        for read in loads:
            source = read.operands[0]
            same_place = source == target and list(read.operands)[1:] == list(write.operands)[2:]
            if not same_place and not _apart(_base(source), _base(target)):
                return False
    return True


def _apart(one: Any, other: Any) -> bool:
    """Whether two pointers are different arguments, of which one is promised to have its memory for itself."""
    if one == other or not isinstance(one.owner, ir.Block) or not isinstance(other.owner, ir.Block):
        return False
    function = one.owner.owner
    if one.owner != other.owner or "arg_attrs" not in function.attributes:
        return False
    arguments = list(one.owner.arguments)
    rows = ir.ArrayAttr(function.attributes["arg_attrs"])
    return any("llvm.noalias" in ir.DictAttr(rows[arguments.index(value)]) for value in (one, other))


def _split(loop: Any, calls: list[Any], needed: list[Any]) -> None:
    low, high, step, *inits = list(loop.operands)
    index = ir.IndexType.get()
    length = arith.ConstantOp(index, ir.IntegerAttr.get(index, BLOCK)).result
    outer = scf.ForOp(low, high, length, inits)
    with ir.InsertionPoint(outer.body):
        start, *carried = list(outer.body.arguments)
        stop = arith.MinSIOp(arith.AddIOp(start, length).result, high).result
        large = _any_large(loop, [call.operands[0] for call in calls], needed, start, stop, step)
        choice = scf.IfOp(large, [value.type for value in inits], has_else=True)
        for block, marked in ((choice.then_block, []), (choice.else_block, calls)):
            with ir.InsertionPoint(block):
                scf.YieldOp(_copy(loop, marked, start, stop, step, carried))
        scf.YieldOp(choice.results)
    for old, new in zip(loop.results, outer.results, strict=True):
        old.replace_all_uses_with(new)
    loop.erase()


def _any_large(loop: Any, arguments: list[Any], needed: list[Any], start: Any, stop: Any, step: Any) -> Any:
    """A flag: the sign of SMALL minus the magnitude, both as integers, over all arguments; NaN and inf count as large."""
    integer = ir.IntegerType.get_signless(32)

    def number(value: int) -> Any:
        return arith.ConstantOp(integer, ir.IntegerAttr.get(integer, value)).result

    zero, mask, limit = number(0), number(0x7FFFFFFF), number(SMALL_32)
    scan = scf.ForOp(start, stop, step, [zero])
    with ir.InsertionPoint(scan.body):
        position, flags = list(scan.body.arguments)
        mapping = {loop.regions[0].blocks[0].arguments[0]: position}
        for operation in needed:
            _clone(operation, mapping)
        for argument in dict.fromkeys(arguments):
            bits = arith.BitcastOp(integer, mapping.get(argument, argument)).result
            beyond = arith.SubIOp(limit, arith.AndIOp(bits, mask).result).result
            flags = arith.OrIOp(flags, beyond).result
        scf.YieldOp([flags])
    return arith.CmpIOp(2, scan.results[0], zero).result


def _copy(loop: Any, marked: list[Any], start: Any, stop: Any, step: Any, carried: list[Any]) -> list[Any]:
    """The loop over a block; the calls in `marked` get the mark."""
    copy = scf.ForOp(start, stop, step, carried)
    mapping = dict(zip(loop.regions[0].blocks[0].arguments, copy.body.arguments, strict=True))
    with ir.InsertionPoint(copy.body):
        for operation in _body(loop):
            clone = _clone(operation, mapping)
            if operation in marked:
                clone.attributes[SMALL] = ir.UnitAttr.get(clone.context)
    return list(copy.results)


def _clone(operation: Any, mapping: dict[Any, Any]) -> Any:
    with operation.location:
        clone = operation.clone()
    for number, operand in enumerate(operation.operands):
        if operand in mapping:
            clone.operands[number] = mapping[operand]
    mapping.update(zip(operation.results, clone.results, strict=True))
    return clone
