"""Loads the px dialect into an MLIR context and gives each op a typed view."""

from __future__ import annotations

import functools
from typing import Any

from mlir import ir
from mlir.dialects import _ods_common, irdl

from phalanx.dialects import px as family
from phalanx.dialects.attributes import decode
from phalanx.dialects.irdl_emit import dialect_text
from phalanx.dialects.opdef import REGISTRY, Op

_views: dict[str, type[Any]] = {}


class _Dialect(ir.Dialect):
    DIALECT_NAMESPACE = "px"


def load(context: ir.Context) -> None:
    """Register every px op in `context`."""
    with context, ir.Location.unknown(context):
        module = ir.Module.parse(dialect_text())
        irdl.load_dialects(module)
    if not _views:
        _ods_common._cext.register_dialect(_Dialect)
        for op in REGISTRY.values():
            _views[op.name] = _register_view(op)


def _register_view(op: type[Op]) -> type[Any]:
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
    _ods_common._cext.register_operation(_Dialect)(view)
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
