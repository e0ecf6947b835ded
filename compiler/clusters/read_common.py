"""What all readers of ops share: entries of the value table, small questions about values."""

from __future__ import annotations

from typing import Any

from mlir import ir

from phalanx.compiler.clusters.model import Empty, Fill, Ref
from phalanx.compiler.clusters.sizes import Size
from phalanx.dialects.errors import CompileError

Entry = Ref | Fill | Empty


def is_tensor(value: Any) -> bool:
    """True for values of ranked tensor type."""
    return isinstance(value.type, ir.RankedTensorType)


def unsupported(op: Any) -> CompileError:
    """The error for an op this stage has no rule for."""
    return CompileError(
        f"{op.name}: the clusters stage has no rule for this op", location=str(op.location), note=str(op)[:400]
    )


def sizes_of(entry: Entry) -> tuple[Size, ...]:
    """The sizes of a value, with storage or without."""
    return entry.view.sizes if isinstance(entry, Ref) else entry.sizes


def element_of(entry: Entry) -> Any:
    """The element type of a value."""
    return entry.tensor.element if isinstance(entry, Ref) else entry.element


def zero_of(element: Any) -> Any:
    """The zero of an element type, as an attribute."""
    if str(element).startswith(("f", "bf")):
        return ir.FloatAttr.get(element, 0.0)
    return ir.IntegerAttr.get(element, 0)
