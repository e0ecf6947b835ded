"""Which aval every tensor of a px function has, named sizes included, found by running `infer` along the IR."""

from __future__ import annotations

from typing import Any

from mlir import ir

from phalanx.dialects.attributes import decode
from phalanx.dialects.aval import Aval
from phalanx.dialects.dims import Dim
from phalanx.dialects.dtypes import from_element
from phalanx.dialects.errors import CompileError
from phalanx.dialects.opdef import Op, infer, lookup
from phalanx.dialects.registration import attributes_of


def op_of(operation: ir.Operation) -> type[Op] | None:
    """The op class of a px operation; None for operations of other dialects."""
    name = operation.name
    return lookup(name[3:]) if name.startswith("px.") else None


def is_tensor(value: ir.Value) -> bool:
    return isinstance(value.type, ir.RankedTensorType)


def argument_avals(function: ir.Operation) -> list[Aval]:
    """Avals of a function's arguments: named sizes come from the `px.shape` argument attributes.

    A `?` without a name gets one of its own: `d<argument>_<axis>`.
    """
    rows = list(ir.ArrayAttr(function.attributes["arg_attrs"])) if "arg_attrs" in function.attributes else []
    found: list[Aval] = []
    for position, argument in enumerate(function.regions[0].blocks[0].arguments):
        kind = ir.RankedTensorType(argument.type)
        dtype = from_element(str(kind.element_type))
        row = ir.DictAttr(rows[position]) if position < len(rows) else None
        if row is not None and "px.shape" in row:
            found.append(Aval(tuple(decode(row["px.shape"])), dtype))
            continue
        shape: tuple[Any, ...] = tuple(
            Dim.named(f"d{position}_{axis}") if kind.is_dynamic_dim(axis) else kind.get_dim_size(axis)
            for axis in range(kind.rank))
        found.append(Aval(shape, dtype))
    return found


def dim_names(avals: list[Aval]) -> list[str]:
    """Every size name the arguments use, sorted: the order of the index arguments after lowering."""
    return sorted({n for a in avals for s in a.shape if isinstance(s, Dim) for n in s.names()})


class Avals:
    """Avals of the values of one px function, looked up by SSA value."""

    def __init__(self, function: ir.Operation) -> None:
        self.known: dict[ir.Value, Aval] = {}
        block = function.regions[0].blocks[0]
        self.arguments = argument_avals(function)
        for argument, aval in zip(block.arguments, self.arguments, strict=True):
            self.known[argument] = aval
        self._block(block)

    def __getitem__(self, value: ir.Value) -> Aval:
        return self.known[value]

    def get(self, value: ir.Value) -> Aval | None:
        return self.known.get(value)

    def _block(self, block: ir.Block) -> None:
        for operation in block.operations:
            self._operation(operation.operation)

    def _operation(self, operation: ir.Operation) -> None:
        op = op_of(operation)
        if op is not None:
            operands = [self.known[o] for o in operation.operands]
            for result, aval in zip(operation.results, infer(op, operands, attributes_of(op, operation)), strict=True):
                self.known[result] = aval
            return
        name = operation.name
        if name == "scf.for":
            self._for(operation, list(operation.operands)[3:])
        elif name == "scf.while":
            self._while(operation)
        elif name == "scf.if":
            for region in operation.regions:
                for block in region.blocks:
                    self._block(block)
            self._copy(self._yielded(operation.regions[0].blocks[0]), list(operation.results))
        elif name == "arith.select" and is_tensor(operation.results[0]):  # what canonicalize makes of some scf.if
            self._copy([operation.operands[1]], list(operation.results))
        else:
            for result in operation.results:
                if is_tensor(result):
                    self._static(result)

    def _static(self, value: ir.Value) -> None:
        kind = ir.RankedTensorType(value.type)
        if not kind.has_static_shape:
            raise CompileError(f"a tensor of type {kind} has no named sizes; only px ops may make dynamic tensors")
        self.known[value] = Aval(tuple(kind.shape), from_element(str(kind.element_type)))

    def _for(self, operation: ir.Operation, inits: list[ir.Value]) -> None:
        block = operation.regions[0].blocks[0]
        self._copy(inits, list(block.arguments)[1:])
        self._block(block)
        self._copy(inits, list(operation.results))

    def _while(self, operation: ir.Operation) -> None:
        """What the condition forwards need not be the carries: canonicalize drops and adds some."""
        before, after = (region.blocks[0] for region in operation.regions)
        self._copy(list(operation.operands), list(before.arguments))
        self._block(before)
        forwarded = self._yielded(before)[1:]
        self._copy(forwarded, list(after.arguments))
        self._block(after)
        self._copy(forwarded, list(operation.results))

    def _copy(self, sources: list[ir.Value], targets: list[ir.Value]) -> None:
        for source, target in zip(sources, targets, strict=True):
            if source in self.known:
                self.known[target] = self.known[source]

    @staticmethod
    def _yielded(block: ir.Block) -> list[ir.Value]:
        return list(block.operations[len(block.operations) - 1].operands)


def evaluate_attributes(attrs: dict[str, Any], values: dict[str, int]) -> dict[str, Any]:
    """Attributes with every named size replaced by its value."""
    return {k: _evaluate(v, values) for k, v in attrs.items()}


def _evaluate(value: Any, values: dict[str, int]) -> Any:
    if isinstance(value, Dim):
        return value.evaluate(values)
    if isinstance(value, tuple):
        return tuple(_evaluate(v, values) for v in value)
    return value


def has_names(attrs: dict[str, Any]) -> bool:
    """Whether any attribute holds a named size."""
    return any(isinstance(v, Dim) or (isinstance(v, tuple) and has_names({str(i): e for i, e in enumerate(v)}))
               for v in attrs.values())


__all__ = ["Avals", "argument_avals", "dim_names", "evaluate_attributes", "has_names", "is_tensor", "op_of"]
