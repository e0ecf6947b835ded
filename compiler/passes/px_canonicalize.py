"""px-canonicalize: operations that change nothing, or undo each other, go away.

    %0 = "px.transpose"(%x) <axes [1, 0]>
    %1 = "px.transpose"(%0) <axes [1, 0]>     // every use becomes %x

Only rewrites that hold for every value are made: `x + 0.0` stays, since it turns -0.0 into 0.0, but
`x - 0.0` and `x + -0.0` go. Stops and identities matter to gradients, so this runs after them. What is left
without uses is px-dce's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from mlir import ir

from phalanx.compiler.pipeline.registry import pass_
from phalanx.dialects import dtypes
from phalanx.dialects.attributes import decode, encode
from phalanx.dialects.dtypes import DType

Rule = Callable[["ir.Operation"], "ir.Value | None"]


@pass_("px-canonicalize", "drop px operations that change nothing or undo each other")
def px_canonicalize(module: ir.Module) -> None:
    """Visit operations in order, so that operands are already in their simplest form."""
    _visit_regions(module.operation)


def _visit_regions(operation: ir.Operation) -> None:
    for region in operation.regions:
        for block in region.blocks:
            for view in list(block.operations):
                _visit(view.operation)


def _visit(operation: ir.Operation) -> None:
    name: str = operation.name
    if not name.startswith("px."):
        _visit_regions(operation)
        return
    rule = RULES.get(name.removeprefix("px."))
    replacement = rule(operation) if rule else None
    if replacement is None:
        return
    operation.results[0].replace_all_uses_with(replacement)
    operation.erase()


# Reading the IR.
def _defining(value: ir.Value, name: str) -> ir.Operation | None:
    """The op that computes `value`, when it is `px.<name>`."""
    owner = value.owner
    if isinstance(owner, ir.Block):
        return None
    found: ir.Operation = owner.operation
    return found if found.name == f"px.{name}" else None


def _attribute(operation: ir.Operation, name: str) -> Any:
    return decode(operation.attributes[name])


def _dtype(value: ir.Value) -> DType:
    return dtypes.from_element(str(ir.RankedTensorType(value.type).element_type))


def _is_static(value: ir.Value) -> bool:
    kind = ir.RankedTensorType(value.type)
    return bool(kind.has_static_shape)


def _uniform(value: ir.Value) -> Any:
    """The one value all elements of a constant have, as a NumPy scalar; None for anything else."""
    constant = _defining(value, "constant")
    if constant is not None:
        array = _attribute(constant, "value")
        first = array.reshape(-1)[0] if array.size else None
        same = first is not None and array.tobytes() == np.full_like(array, first).tobytes()
        return first if same else None
    for name in ("broadcast", "reshape"):
        moved = _defining(value, name)
        if moved is not None:
            return _uniform(moved.operands[0])
    return None


def _same_type(operation: ir.Operation, value: ir.Value) -> ir.Value | None:
    """`value`, if it can stand for the result as it is."""
    return value if value.type == operation.results[0].type else None


# Rules: each returns the value to use instead, or None.
def _neutral(is_neutral: Callable[[Any, DType], bool], *, either_side: bool) -> Rule:
    """`x op c` is `x` when `c` is neutral; with `either_side`, `c op x` too."""

    def rule(operation: ir.Operation) -> ir.Value | None:
        left, right = operation.operands
        sides = [(left, right), (right, left)] if either_side else [(left, right)]
        for kept, other in sides:
            value = _uniform(other)
            if value is not None and is_neutral(value, _dtype(other)) and _same_type(operation, kept) is not None:
                return kept
        return None

    return rule


def _is_zero(value: Any, dtype: DType) -> bool:
    return bool(value == 0)


def _is_one(value: Any, dtype: DType) -> bool:
    return bool(value == 1)


def _adds_nothing(value: Any, dtype: DType) -> bool:
    """-0.0 is neutral for every float, 0.0 is not: -0.0 + 0.0 is 0.0."""
    return bool(value == 0) and (not dtype.is_float or bool(np.signbit(value)))


def _subtracts_nothing(value: Any, dtype: DType) -> bool:
    return bool(value == 0) and not (dtype.is_float and bool(np.signbit(value)))


def _all_ones(value: Any, dtype: DType) -> bool:
    return bool(value) if dtype.is_bool else int(value) in (-1, 2**dtype.bits - 1)


def _identity(operation: ir.Operation) -> ir.Value | None:
    return _same_type(operation, operation.operands[0])


def _undoes_itself(operation: ir.Operation) -> ir.Value | None:
    """`f(f(x))` is `x`."""
    inner = _defining(operation.operands[0], operation.name.removeprefix("px."))
    return _same_type(operation, inner.operands[0]) if inner else None


def _once_is_enough(operation: ir.Operation) -> ir.Value | None:
    """`f(f(x))` is `f(x)`, and rounding an integer is nothing."""
    operand = operation.operands[0]
    rounds = operation.name != "px.abs"
    if (rounds and not _dtype(operand).is_float) or _defining(operand, operation.name.removeprefix("px.")):
        return _same_type(operation, operand)
    return None


def _of_equal_operands(operation: ir.Operation) -> ir.Value | None:
    """`f(x, x)` is `x`."""
    left, right = operation.operands
    return _same_type(operation, left) if left == right else None


def _first_of(*rules: Rule) -> Rule:
    def rule(operation: ir.Operation) -> ir.Value | None:
        return next((found for r in rules if (found := r(operation)) is not None), None)

    return rule


def _holds(wide: DType, narrow: DType) -> bool:
    """Whether every value of `narrow` survives a stay in `wide`."""
    if narrow.is_bool or wide is narrow:
        return True
    if narrow.is_float:
        return wide.is_float and wide.bits > narrow.bits
    magnitude = narrow.bits - (narrow.kind == "i")
    if wide.is_float:
        mantissa = {"float16": 11, "bfloat16": 8, "float32": 24, "float64": 53}[wide.name]
        return magnitude <= mantissa
    if narrow.kind == "i" and wide.kind == "u":
        return False
    return not wide.is_bool and wide.bits - (wide.kind == "i") >= magnitude


def _convert(operation: ir.Operation) -> ir.Value | None:
    operand = operation.operands[0]
    if _same_type(operation, operand) is not None:
        return operand
    inner = _defining(operand, "convert")
    if inner is None:
        return None
    source = inner.operands[0]
    return _same_type(operation, source) if _holds(_dtype(operand), _dtype(source)) else None


def _bitcast(operation: ir.Operation) -> ir.Value | None:
    inner = _defining(operation.operands[0], "bitcast")
    return _same_type(operation, inner.operands[0] if inner else operation.operands[0])


def _static_identity(operation: ir.Operation) -> ir.Value | None:
    """A move whose result has the type of its operand; with named sizes equal types say too little."""
    operand = operation.operands[0]
    return _same_type(operation, operand) if _is_static(operand) else None


def _rebuilt(operation: ir.Operation, operand: ir.Value, attributes: dict[str, Any]) -> ir.Value:
    """The same op on another operand, at the same place and location."""
    made = ir.Operation.create(
        operation.name, results=[operation.results[0].type], operands=[operand],
        attributes={name: encode(value) for name, value in attributes.items()},
        loc=operation.location, ip=ir.InsertionPoint(operation))
    result: ir.Value = made.results[0]
    return result


def _reshape(operation: ir.Operation) -> ir.Value | None:
    same = _static_identity(operation)
    if same is not None:
        return same
    inner = _defining(operation.operands[0], "reshape")
    if inner is None:
        return None
    source = inner.operands[0]
    if _is_static(source) and _same_type(operation, source) is not None:
        return source
    return _rebuilt(operation, source, {"shape": _attribute(operation, "shape")})


def _transpose(operation: ir.Operation) -> ir.Value | None:
    axes, source = _attribute(operation, "axes"), operation.operands[0]
    inner = _defining(source, "transpose")
    if inner is not None:
        before = _attribute(inner, "axes")
        axes, source = tuple(before[a] for a in axes), inner.operands[0]
    if list(axes) == list(range(len(axes))):
        return source
    return _rebuilt(operation, source, {"axes": axes}) if inner is not None else None


def _reverse(operation: ir.Operation) -> ir.Value | None:
    axes = set(_attribute(operation, "axes"))
    if not axes:
        return operation.operands[0]
    inner = _defining(operation.operands[0], "reverse")
    return inner.operands[0] if inner is not None and set(_attribute(inner, "axes")) == axes else None


def _broadcast(operation: ir.Operation) -> ir.Value | None:
    axes = _attribute(operation, "axes")
    return _static_identity(operation) if list(axes) == list(range(len(axes))) else None


def _concatenate(operation: ir.Operation) -> ir.Value | None:
    operands: Sequence[ir.Value] = operation.operands
    return operands[0] if len(operands) == 1 else None


def _slice(operation: ir.Operation) -> ir.Value | None:
    steps = _attribute(operation, "strides")
    return _static_identity(operation) if all(step == 1 for step in steps) else None


def _pad(operation: ir.Operation) -> ir.Value | None:
    amounts = [a for name in ("low", "high", "interior") for a in _attribute(operation, name)]
    return operation.operands[0] if all(isinstance(a, int) and a == 0 for a in amounts) else None


def _select(operation: ir.Operation) -> ir.Value | None:
    condition, yes, no = operation.operands
    if yes == no:
        return _same_type(operation, yes)
    known = _uniform(condition)
    return None if known is None else _same_type(operation, yes if known else no)


RULES: dict[str, Rule] = {
    "add": _neutral(_adds_nothing, either_side=True),
    "subtract": _neutral(_subtracts_nothing, either_side=False),
    "multiply": _neutral(_is_one, either_side=True),
    "divide": _neutral(_is_one, either_side=False),
    "quotient": _neutral(_is_one, either_side=False),
    "power": _neutral(_is_one, either_side=False),
    "bitwise_and": _first_of(_neutral(_all_ones, either_side=True), _of_equal_operands),
    "bitwise_or": _first_of(_neutral(_is_zero, either_side=True), _of_equal_operands),
    "bitwise_xor": _neutral(_is_zero, either_side=True),
    "bitwise_left_shift": _neutral(_is_zero, either_side=False),
    "bitwise_right_shift": _neutral(_is_zero, either_side=False),
    "logical_and": _first_of(_neutral(_all_ones, either_side=True), _of_equal_operands),
    "logical_or": _first_of(_neutral(_is_zero, either_side=True), _of_equal_operands),
    "logical_xor": _neutral(_is_zero, either_side=True),
    "maximum": _of_equal_operands,
    "minimum": _of_equal_operands,
    "negative": _undoes_itself,
    "logical_not": _undoes_itself,
    "bitwise_invert": _undoes_itself,
    "positive": _identity,
    "stop_gradient": _identity,
    "abs": _once_is_enough,
    "floor": _once_is_enough,
    "ceil": _once_is_enough,
    "trunc": _once_is_enough,
    "round": _once_is_enough,
    "convert": _convert,
    "bitcast": _bitcast,
    "reshape": _reshape,
    "transpose": _transpose,
    "reverse": _reverse,
    "broadcast": _broadcast,
    "concatenate": _concatenate,
    "slice": _slice,
    "pad": _pad,
    "select": _select,
}
