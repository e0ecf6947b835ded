"""px-verify: px operations written as text are held to what tracing guarantees.

IRDL checks that attributes are there and that operands are tensors. This pass runs every op's own inference
on its operands, so that shapes, dtypes and attributes fit and the result types are the ones the op gives:

    %0 = "px.add"(%x, %y) : (tensor<2xf32>, tensor<3xf32>) -> tensor<2xf32>
    // add: shapes do not broadcast, got [2] and [3]
"""

from __future__ import annotations

from mlir import ir

from phalanx.compiler.pipeline import diagnostics
from phalanx.compiler.pipeline.registry import pass_
from phalanx.dialects.analysis import Avals, is_tensor, op_of
from phalanx.dialects.errors import CompileError, PhalanxError, ShapeError
from phalanx.dialects.registration import attributes_of
from phalanx.dialects.types import tensor_type

# What inference meets when an attribute is of another kind than the op's field.
_MISFITS = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError)


@pass_("px-verify", "hold px operations to their own shape and dtype rules")
def px_verify(module: ir.Module) -> None:
    """Raise CompileError at the first operation that its class would not have made."""
    for view in module.body.operations:
        function = view.operation
        if function.name == "func.func" and len(function.regions[0].blocks) and _holds_px(function):
            _check(function)


def _check(function: ir.Operation) -> None:
    for argument in function.regions[0].blocks[0].arguments:
        if not is_tensor(argument):
            raise diagnostics.at_operation(f"px functions take tensors only, got {argument.type}", function)
    try:
        _CheckedAvals(function)
    except CompileError:
        raise
    except PhalanxError as error:  # an argument type: the operations have their own message
        raise diagnostics.at_operation(error.message, function, hint=error.hint) from None


def _holds_px(function: ir.Operation) -> bool:
    found = False

    def visit(operation: ir.Operation) -> ir.WalkResult:
        nonlocal found
        found = operation.name.startswith("px.")
        return ir.WalkResult.INTERRUPT if found else ir.WalkResult.ADVANCE

    function.walk(visit, ir.WalkOrder.PRE_ORDER)
    return found


# Attributes by what they hold, whatever the op.
_AXES = ("axis", "axes")
_PAIRED_AXES = ("contract", "batch_axes")
_SIZES = ("shape", "sizes", "size", "start", "limit", "interior")


def _check_axes(op: str, name: str, axes: tuple[int, ...], rank: int) -> None:
    if not all(0 <= axis < rank for axis in axes) or len(set(axes)) != len(axes):
        raise ShapeError(f"{op}: {name} are different numbers from 0 to {rank - 1}, got {axes}")


class _CheckedAvals(Avals):
    """Inference along a function that says where it fails, and compares with the types written down."""

    def _operation(self, operation: ir.Operation) -> None:
        try:
            super()._operation(operation)
            self._attributes(operation)
        except CompileError:
            raise
        except PhalanxError as error:
            raise diagnostics.at_operation(error.message, operation, hint=error.hint) from None
        except _MISFITS as error:
            raise diagnostics.at_operation(f"{operation.name}: operands or attributes do not fit, {error}",
                                           operation) from None
        if op_of(operation) is not None:
            self._compare(operation)

    def _attributes(self, operation: ir.Operation) -> None:
        """Hold axes and sizes to the form calls give them; inference and lowering rely on it."""
        op = op_of(operation)
        if op is None or not op.attributes:
            return
        attributes, operands = attributes_of(op, operation), [self.known[o] for o in operation.operands]
        for name, value in attributes.items():
            if name in _AXES and value is not None:
                rank = len(attributes["shape"]) if "shape" in attributes else operands[0].ndim
                _check_axes(op.name, name, value if isinstance(value, tuple) else (value,), rank)
            elif name in _PAIRED_AXES:
                for axes, operand in zip(value, operands, strict=True):
                    _check_axes(op.name, name, axes, operand.ndim)
            elif name in _SIZES and any(isinstance(size, int) and size < 0 for size in value):
                raise ShapeError(f"{op.name}: {name} cannot be negative, got {value}")

    def _compare(self, operation: ir.Operation) -> None:
        for result in operation.results:
            aval = self.known[result]
            expected = tensor_type(aval.shape, aval.dtype)
            if result.type != expected:
                raise diagnostics.at_operation(
                    f"{operation.name.removeprefix('px.')}: the result is {aval}, got {result.type}", operation,
                    hint=f"write {expected}")
