"""Avals to MLIR types and back."""

from __future__ import annotations

from mlir import ir

from phalanx.dialects import dtypes
from phalanx.dialects.aval import Aval, Shape
from phalanx.dialects.dtypes import DType

#: what MLIR writes for a size that is not known; asking it here would load it
DYNAMIC = -(1 << 63)


_FLOATS = {"f16": "F16Type", "bf16": "BF16Type", "f32": "F32Type", "f64": "F64Type"}


def _named(text: str) -> ir.Type:
    """A scalar type by its name; MLIR's parser takes several times as long, and large programs ask ten thousand times."""
    if text in _FLOATS:
        return getattr(ir, _FLOATS[text]).get()
    if text.startswith("ui"):
        return ir.IntegerType.get_unsigned(int(text[2:]))
    if text[0] == "i" and text[1:].isdigit():
        return ir.IntegerType.get_signless(int(text[1:]))
    return ir.Type.parse(text)


def element_type(dtype: DType) -> ir.Type:
    """How `dtype` is spelled inside the px dialect."""
    return _named(dtype.element)


def storage_type(dtype: DType) -> ir.Type:
    """How `dtype` lies in memory after lowering."""
    return _named(dtype.storage)


def compute_type(dtype: DType) -> ir.Type:
    """How scalar code holds a `dtype`."""
    return _named(dtype.compute)


def _ranked(shape: Shape, element: ir.Type) -> ir.Type:
    sizes = [s if isinstance(s, int) else DYNAMIC for s in shape]
    return ir.RankedTensorType.get(sizes, element, loc=ir.Location.unknown())


def tensor_type(shape: Shape, dtype: DType) -> ir.Type:
    """The px tensor type; named sizes become `?`."""
    return _ranked(shape, element_type(dtype))


def storage_tensor_type(shape: Shape, dtype: DType) -> ir.Type:
    """The tensor type after lowering."""
    return _ranked(shape, storage_type(dtype))


def aval_of_type(kind: ir.Type) -> Aval | None:
    """The aval of a static px tensor type; None for anything else, a dynamic size included."""
    if not isinstance(kind, ir.RankedTensorType) or not kind.has_static_shape:
        return None
    return Aval(tuple(kind.shape), dtypes.from_element(str(kind.element_type)))
