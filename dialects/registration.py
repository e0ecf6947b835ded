"""Loads the px dialect into an MLIR context and gives each op a typed view."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from mlir import ir

from phalanx.dialects import px as family
from phalanx.dialects.attributes import decode
from phalanx.dialects.irdl_emit import dialect_text
from phalanx.dialects.opdef import REGISTRY, Op

_views: dict[str, type[Any]] = {}


def load(context: ir.Context) -> None:
    """Register every px op in `context`."""
    from mlir._mlir_libs import _mlir, _mlirDialectsIRDL  # the op views of irdl are a module of their own

    with context, ir.Location.unknown(context):
        _mlirDialectsIRDL.load_dialects(ir.Module.parse(dialect_text()))
    if not _views:
        dialect = type("_Dialect", (ir.Dialect,), {"DIALECT_NAMESPACE": "px"})
        _mlir.register_dialect(dialect)
        for op in REGISTRY.values():
            _views[op.name] = _register_view(op, _mlir.register_operation(dialect))


def _register_view(op: type[Op], register: Callable[[type[Any]], Any]) -> type[Any]:
    """An `ir.OpView` with a property per operand and attribute."""
    members: dict[str, Any] = {"OPERATION_NAME": f"px.{op.name}", "_ODS_REGIONS": (0, True), "definition": op}
    for position, field in enumerate(op.operands):
        if field.variadic:
            members[field.name] = property(_operands)
        else:
            members[field.name] = property(functools.partial(_operand, position))
    for attribute in op.attributes:
        members[attribute.name] = property(functools.partial(_attribute, attribute.name))
    view = type(f"{op.name}_op", (ir.OpView,), members)
    register(view)
    setattr(family, f"{op.name}_op", view)
    return view


def _operand(position: int, view: Any) -> Any:
    return view.operation.operands[position]


def _operands(view: Any) -> Any:
    return list(view.operation.operands)


def _attribute(name: str, view: Any) -> Any:
    return decode(view.operation.attributes[name])


def attributes_of(op: type[Op], operation: ir.Operation) -> dict[str, Any]:
    """Every attribute of a px operation as Python values."""
    return {a.name: decode(operation.attributes[a.name]) for a in op.attributes}
