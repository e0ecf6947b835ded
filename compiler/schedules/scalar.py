"""Scalar code copied from linalg bodies and driver glue into emitted text."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from mlir import ir

from phalanx.compiler.schedules.text import Writer
from phalanx.dialects.records import field, record

_DEFAULTS = frozenset({"#arith.fastmath<none>", "#arith.overflow<none>"})

# Relative cost of scalar ops once vectorised; anything not named costs 1.
_CHEAP_MATH = frozenset(
    {"math.absf", "math.absi", "math.fma", "math.floor", "math.ceil", "math.trunc", "math.roundeven", "math.copysign"}
)
_VECTOR_TYPES = frozenset({"f32", "f64", "i1", "i8", "i32", "i64"})
# Blocks of small arguments take a shorter form, which a loop of scalars can look for (px-split-loops).
_LOOKED_AT = frozenset({"math.sin", "math.cos"})
_TYPE = re.compile(r"\b(?:f32|f64|i1|i8|i32|i64)\b")
_DIVISIONS = frozenset({"arith.divf", "math.sqrt", "arith.divsi", "arith.divui", "arith.remsi", "arith.remui"})


def attribute_text(attribute: Any) -> str:
    return str(attribute)


def operation_cost(name: str) -> int:
    """Weight of one scalar op, in additions."""
    if name in _DIVISIONS or name == "tensor.extract":
        return 4
    if name.startswith("math.") and name not in _CHEAP_MATH:
        return 12
    return 1


@record(frozen=False, eq=False)
class ScalarOp:
    """One op of a body as a template: name, operands, and the rest of its generic form."""

    op: Any
    name: str
    operands: list[Any]
    result: Any
    tail: str
    location: str


@record(frozen=False, eq=False)
class Body:
    """The scalar function of a node."""

    arguments: list[Any]
    ops: list[ScalarOp]
    yields: list[Any]
    yield_numbers: list[int] = field(default_factory=list)

    @classmethod
    def of(cls, block: Any) -> Body:
        *ops, end = [op.operation for op in block.operations]
        return cls(list(block.arguments), [scalar_op(op) for op in ops], list(end.operands))

    @classmethod
    def copy(cls) -> Body:
        """The identity."""
        return cls([], [], [], [0])

    @property
    def cost(self) -> int:
        return sum(operation_cost(op.name) for op in self.ops)

    def reads(self, argument: int) -> bool:
        """Whether the body uses its argument of that number."""
        if self.yield_numbers:
            return argument in self.yield_numbers
        wanted = self.arguments[argument]
        return wanted in self.yields or any(wanted in op.operands for op in self.ops)

    def index_dims(self) -> set[int]:
        """The node dims whose position the body asks for."""
        return {int(ir.IntegerAttr(op.op.attributes["dim"]).value) for op in self.ops if op.name == "linalg.index"}

    @property
    def gathers(self) -> bool:
        return any(op.name == "tensor.extract" for op in self.ops)

    @property
    def widens(self) -> bool:
        """Whether `inline_wide` can emit the body."""
        return all(_widens(op) for op in self.ops)

    def inline_wide(self, writer: Writer, arguments: Sequence[str], captured: dict[Any, str], lanes: int) -> list[str]:
        """Emits the body on vectors of `lanes` elements."""
        if self.yield_numbers:
            return [arguments[number] for number in self.yield_numbers]
        local = dict(zip(self.arguments, arguments, strict=False))

        def name(value: Any) -> str:
            if value not in local:
                local[value] = splat(writer, captured[value], str(value.type), lanes)
            return local[value]

        previous = writer.location
        for op in self.ops:
            writer.location = op.location
            if op.name == "arith.constant":
                local[op.result] = splat(writer, writer.constant(op.tail), str(op.result.type), lanes)
            else:
                attributes, mark, types = op.tail.rpartition("} : ")
                tail = f"{attributes}{mark}{_TYPE.sub(lambda found: f'vector<{lanes}x{found[0]}>', types)}"
                local[op.result] = writer.value(f'"{op.name}"({", ".join(map(name, op.operands))}) {tail}')
        writer.location = previous
        return [name(value) for value in self.yields]

    def inline(
        self,
        writer: Writer,
        arguments: Sequence[str],
        captured: dict[Any, str],
        position: Callable[[int], str],
        gather: Callable[[Any, Sequence[str]], str],
    ) -> list[str]:
        """Emits the body on these arguments; returns the names of what it yields.

        `position(dim)` names the index of a node dim, `gather(op, positions)` reads a captured tensor.
        """
        if self.yield_numbers:
            return [arguments[number] for number in self.yield_numbers]
        local = dict(zip(self.arguments, arguments, strict=False))

        def name(value: Any) -> str:
            found = local.get(value)
            return found if found is not None else captured[value]

        previous = writer.location
        for op in self.ops:
            writer.location = op.location
            if op.name == "arith.constant":
                local[op.result] = writer.constant(op.tail)
            elif op.name == "linalg.index":
                local[op.result] = position(int(ir.IntegerAttr(op.op.attributes["dim"]).value))
            elif op.name == "tensor.extract":
                local[op.result] = gather(op.op, [name(operand) for operand in op.operands[1:]])
            else:
                local[op.result] = writer.value(f'"{op.name}"({", ".join(map(name, op.operands))}) {op.tail}')
        writer.location = previous
        return [name(value) for value in self.yields]


def splat(writer: Writer, scalar: str, element: str, lanes: int) -> str:
    """A vector whose every element is the scalar."""
    return writer.pure(f"vector.broadcast {scalar} : {element} to vector<{lanes}x{element}>", [scalar])


def _widens(op: ScalarOp) -> bool:
    types = {str(value.type) for value in [*op.operands, op.result]}
    return op.name.startswith(("arith.", "math.")) and op.name not in _LOOKED_AT and types <= _VECTOR_TYPES


def scalar_op(op: Any) -> ScalarOp:
    """The template of a single-result scalar op."""
    location = str(op.location)
    result = op.results[0] if len(op.results) else None
    if op.name == "arith.constant":
        return ScalarOp(op, op.name, [], result, attribute_text(op.attributes["value"]), location)
    operands = list(op.operands)
    types = ", ".join(str(operand.type) for operand in operands)
    results = ", ".join(str(value.type) for value in op.results)
    pairs = [(key, str(op.attributes[key])) for key in op.attributes]
    shown = ", ".join(f"{key} = {value}" for key, value in pairs if value not in _DEFAULTS)
    tail = f"{{{shown}}} : ({types}) -> ({results})"
    return ScalarOp(op, op.name, operands, result, tail, location)


def copy_scalar_op(op: Any, writer: Writer, names: dict[Any, str], *, movable: bool = True) -> None:
    """Emits one scalar op as it is and records the names of its results; `movable` lets it leave loops."""
    template = scalar_op(op)
    if op.name == "arith.constant":
        names[op.results[0]] = writer.constant(template.tail)
        return
    operands = [names[operand] for operand in op.operands]
    if len(op.results) == 1 and not movable:
        names[op.results[0]] = writer.value(f'"{op.name}"({", ".join(operands)}) {template.tail}')
        return
    if len(op.results) == 1:
        names[op.results[0]] = writer.pure(f'"{op.name}"({", ".join(operands)}) {template.tail}', operands)
        return
    results = [writer.name() for _ in op.results]
    writer.line(f'{", ".join(results)} = "{op.name}"({", ".join(operands)}) {template.tail}')
    names.update(zip(op.results, results, strict=True))
