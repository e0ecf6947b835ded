"""px-loop-ranges: what is known of the counters of loops settles comparisons and bounds of indices made from them.

    for i = 0 to 300 { %j = trunc i;  select(%j < 0, %j + 300, %j);  min(.., 299);  max(.., 0) }     every one is %j

An index counts from the end when it is negative, and stays inside the array: for the counter of a loop over the array both
are settled while compiling. What is left are plain addresses, which LLVM moves out of loops and forwards stores through.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from mlir import ir

from phalanx.compiler.pipeline.registry import pass_

Range = tuple[int, int]
"""The least and the greatest value, both included."""

_ORDERED: dict[int, Callable[[Range, Range], bool | None]] = {
    2: lambda a, b: True if a[1] < b[0] else False if a[0] >= b[1] else None,  # slt
    3: lambda a, b: True if a[1] <= b[0] else False if a[0] > b[1] else None,  # sle
    4: lambda a, b: True if a[0] > b[1] else False if a[1] <= b[0] else None,  # sgt
    5: lambda a, b: True if a[0] >= b[1] else False if a[1] < b[0] else None,  # sge
}


@pass_("px-loop-ranges", "comparisons and bounds that the counters of loops settle go away")
def px_loop_ranges(module: ir.Module) -> None:
    """Counted loops of the driver and everything in them."""
    for view in module.body.operations:
        function = view.operation
        if function.name != "func.func" or ir.StringAttr(function.attributes["sym_name"]).value != "main":
            continue
        for block in function.regions[0].blocks:
            _Ranges().visit(block, inside=False)


class _Ranges:
    """Ranges of integer values, found in the order of the program."""

    def __init__(self) -> None:
        self.known: dict[ir.Value, Range] = {}

    def visit(self, block: ir.Block, inside: bool) -> None:
        for view in list(block.operations):
            operation = view.operation
            if operation.name in _RULES:
                if inside:
                    self._apply(operation)
                continue
            if operation.name == "scf.for":
                self._enter(operation)
            for region in operation.regions:
                for inner in region.blocks:
                    self.visit(inner, inside or operation.name == "scf.for")

    def _enter(self, loop: ir.Operation) -> None:
        low, high = self.range(loop.operands[0]), self.range(loop.operands[1])
        if low is not None and high is not None and low[0] < high[1]:
            self.known[loop.regions[0].blocks[0].arguments[0]] = low[0], high[1] - 1

    def range(self, value: ir.Value) -> Range | None:
        found = self.known.get(value)
        if found is None and not isinstance(value.owner, ir.Block) and value.owner.operation.name == "arith.constant":
            attribute = value.owner.operation.attributes["value"]
            if isinstance(attribute, (ir.IntegerAttr, ir.BoolAttr)):
                number = int(attribute.value)
                found = self.known[value] = number, number
        return found

    def _apply(self, operation: ir.Operation) -> None:
        found = _RULES[operation.name](operation, [self.range(operand) for operand in operation.operands])
        result = operation.results[0]
        if isinstance(found, tuple):
            if not _fits(found, result.type):
                return
            if found[0] != found[1]:
                self.known[result] = found
                return
            found = _constant(operation, found[0])
        if found is not None:
            result.replace_all_uses_with(found)
            operation.erase()


def _constant(operation: ir.Operation, number: int) -> ir.Value:
    """A number in front of an operation, of its result's type."""
    kind = operation.results[0].type
    made = ir.Operation.create("arith.constant", results=[kind], attributes={"value": ir.IntegerAttr.get(kind, number)},
                               loc=operation.location, ip=ir.InsertionPoint(operation))
    result: ir.Value = made.results[0]
    return result


def _fits(found: Range, kind: Any) -> bool:
    """Whether every value is one of the type; bits without a sign (i1) are 0 and 1."""
    bits = 64 if isinstance(kind, ir.IndexType) else ir.IntegerType(kind).width
    low, high = (0, 1) if bits == 1 else (-(1 << (bits - 1)), (1 << (bits - 1)) - 1)
    return low <= found[0] and found[1] <= high


Found: TypeAlias = "Range | ir.Value | None"


def _same(operation: ir.Operation, ranges: list[Range | None]) -> Found:
    """Casts that keep every value that fits the result."""
    return None if _is_bit(operation.operands[0]) else ranges[0]


def _unsigned(operation: ir.Operation, ranges: list[Range | None]) -> Found:
    found = ranges[0]
    if found is None:
        return (0, 1) if _is_bit(operation.operands[0]) else None
    return found if found[0] >= 0 else None


def _is_bit(value: ir.Value) -> bool:
    return isinstance(value.type, ir.IntegerType) and ir.IntegerType(value.type).width == 1


def _sum(operation: ir.Operation, ranges: list[Range | None]) -> Found:
    a, b = ranges
    return None if a is None or b is None or _is_bit(operation.results[0]) else (a[0] + b[0], a[1] + b[1])


def _difference(operation: ir.Operation, ranges: list[Range | None]) -> Found:
    a, b = ranges
    return None if a is None or b is None or _is_bit(operation.results[0]) else (a[0] - b[1], a[1] - b[0])


def _product(operation: ir.Operation, ranges: list[Range | None]) -> Found:
    a, b = ranges
    if a is None or b is None or _is_bit(operation.results[0]):
        return None
    corners = [x * y for x in a for y in b]
    return min(corners), max(corners)


def _least(operation: ir.Operation, ranges: list[Range | None]) -> Found:
    a, b = ranges
    if a is None or b is None:
        return None
    if a[1] <= b[0]:
        return ir.Value(operation.operands[0])
    return ir.Value(operation.operands[1]) if b[1] <= a[0] else (min(a[0], b[0]), min(a[1], b[1]))


def _greatest(operation: ir.Operation, ranges: list[Range | None]) -> Found:
    a, b = ranges
    if a is None or b is None:
        return None
    if a[0] >= b[1]:
        return ir.Value(operation.operands[0])
    return ir.Value(operation.operands[1]) if b[0] >= a[1] else (max(a[0], b[0]), max(a[1], b[1]))


def _comparison(operation: ir.Operation, ranges: list[Range | None]) -> Found:
    a, b = ranges
    predicate = ir.IntegerAttr(operation.attributes["predicate"]).value
    if a is None or b is None or _is_bit(operation.operands[0]):
        return None
    if predicate in (0, 1):  # eq, ne
        apart = a[1] < b[0] or b[1] < a[0]
        equal = False if apart else True if a == b and a[0] == a[1] else None
        settled = equal if predicate == 0 or equal is None else not equal
    else:
        settled = _ORDERED[predicate](a, b) if predicate in _ORDERED else None
    return None if settled is None else (int(settled), int(settled))


def _choice(operation: ir.Operation, ranges: list[Range | None]) -> Found:
    condition, a, b = ranges
    if condition is not None and condition[0] == condition[1]:
        return ir.Value(operation.operands[1 if condition[0] else 2])
    return None if a is None or b is None else (min(a[0], b[0]), max(a[1], b[1]))


_RULES: dict[str, Callable[[ir.Operation, list[Range | None]], Found]] = {
    "arith.index_cast": _same,
    "arith.trunci": _same,
    "arith.extsi": _same,
    "arith.extui": _unsigned,
    "arith.addi": _sum,
    "arith.subi": _difference,
    "arith.muli": _product,
    "arith.minsi": _least,
    "arith.maxsi": _greatest,
    "arith.cmpi": _comparison,
    "arith.select": _choice,
}
