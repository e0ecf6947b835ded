"""Captured matrices that products read packed: the caller packs them once, before the first call.

What a function captures is the same at every call. Where one product alone reads such a matrix, its panels are made
when the code is first run (`runtime/prepacked.py`) and passed in the place of the matrix.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlir import ir

from phalanx.compiler.schedules.product import Product
from phalanx.compiler.schedules.workspace import element_bytes
from phalanx.dialects.records import record, replace
from phalanx.runtime.prepacked import Panels

CAPTURED = "px.captured"
"""Of `main`: the numbers of its arguments that are captured."""

PREPACKED = "px.prepacked"
"""Of `main`: what is expected packed, `Panels` after `Panels`."""

LEAST_BYTES = 1 << 14
"""Smaller matrices are packed at every call: that is a few microseconds at most."""


def panels_of(product: Product, width: int, captured: frozenset[int]) -> Panels | None:
    """The right operand as panels; None where it is not a captured matrix of a known size in the type of the sums."""
    access, element = product.right, product.element
    columns, depth = product.size(product.columns), product.size(product.depth)
    column_step, depth_step = access.coefficients[product.columns], access.coefficients[product.depth]
    if any(access.coefficients[loop] != 0 for loop in product.outer) or access.view.element != element:
        return None
    if not (isinstance(columns, int) and isinstance(depth, int) and isinstance(access.offset, int)):
        return None
    argument = next((number for number in captured if access.view.pointer == f"%p{number}"), None)
    nbytes = element_bytes(element)
    if argument is None or columns * depth * nbytes < LEAST_BYTES:
        return None
    if not (isinstance(column_step, int) and isinstance(depth_step, int)):
        return None
    return Panels(argument, nbytes, access.offset * nbytes, columns, column_step, depth, depth_step, width)


@record(eq=False)
class Capture:
    """Argument `argument` of `main`, its first `start` bytes left out by `view`, as an operand of `call`."""

    argument: int
    call: Any
    operand: int
    view: Any
    start: int

    def skip_nothing(self) -> None:
        """Pass the argument from its first byte on."""
        if self.start:
            with self.view.location, ir.InsertionPoint(self.view):
                self.view.operands[1] = ir.Operation.create(
                    "arith.constant", results=[ir.IndexType.get()],
                    attributes={"value": ir.IntegerAttr.get(ir.IndexType.get(), 0)}).result


class Captures:
    """The captured arguments of `main` that one cluster function alone reads, in one call."""

    def __init__(self, module: ir.Module) -> None:
        self.main = next((op.operation for op in module.body.operations
                          if "sym_name" in op.attributes and ir.StringAttr(op.attributes["sym_name"]).value == "main"), None)
        self.calls: dict[str, list[list[Capture | None]]] = {}
        if self.main is not None and CAPTURED in self.main.attributes:
            self._read()

    def _read(self) -> None:
        assert self.main is not None
        arguments = self.main.regions[0].blocks[0].arguments
        places: dict[tuple[Any, int], Capture] = {}
        for number in ir.DenseI64ArrayAttr(self.main.attributes[CAPTURED]):
            found = _only_read(number, arguments[number])
            if found is not None:
                places[found.call, found.operand] = found

        def visit(op: Any) -> ir.WalkResult:
            if op.name == "func.call":
                name = ir.FlatSymbolRefAttr(op.attributes["callee"]).value
                self.calls.setdefault(name, []).append([places.get((op, k)) for k in range(len(op.operands))])
            return ir.WalkResult.ADVANCE

        if places:
            self.main.walk(visit)

    def of(self, function: str) -> frozenset[int]:
        """The arguments of a cluster function that are such captures in every call of it."""
        calls = self.calls.get(function, [])
        count = len(calls[0]) if calls else 0
        return frozenset(k for k in range(count) if all(call[k] is not None for call in calls))

    def note(self, prepacked: Mapping[str, Panels]) -> None:
        """Say on `main` what cluster functions expect packed."""
        numbers: list[int] = []
        for function, panels in prepacked.items():
            for call in self.calls[function]:
                found = call[panels.argument]
                assert found is not None
                numbers += replace(panels, argument=found.argument, start=panels.start + found.start).numbers()
                found.skip_nothing()
        if numbers:
            assert self.main is not None
            with self.main.context:
                self.main.attributes[PREPACKED] = ir.DenseI64ArrayAttr.get(numbers)


def _only_read(number: int, argument: Any) -> Capture | None:
    """The call an argument goes to; None for other uses, or more of them."""
    value = argument
    for name in ("memref.reinterpret_cast", "memref.view", "func.call"):
        uses = list(value.uses)
        if len(uses) != 1 or uses[0].owner.operation.name != name:
            return None
        op = uses[0].owner.operation
        if name == "func.call":
            shift = value.owner.operands[1].owner
            if isinstance(shift, ir.Block) or shift.name != "arith.constant":
                return None
            start = ir.IntegerAttr(shift.attributes["value"]).value
            return Capture(number, op, uses[0].operand_number, value.owner, start)
        value = op.results[0]
    return None
