"""Avals to MLIR types and back."""

from __future__ import annotations

from mlir import ir

from phalanx.dialects import dtypes
from phalanx.dialects.aval import Aval, Shape
from phalanx.dialects.dtypes import DType

#: what MLIR writes for a size that is not known; asking it here would load it
DYNAMIC = -(1 << 63)


def _parse(text: str) -> ir.Type:
    return ir.Type.parse(text)


def element_type(dtype: DType) -> ir.Type:
    """How `dtype` is spelled inside the px dialect."""
    return _parse(dtype.element)


def storage_type(dtype: DType) -> ir.Type:
    """How `dtype` lies in memory after lowering."""
    return _parse(dtype.storage)


def compute_type(dtype: DType) -> ir.Type:
    """How scalar code holds a `dtype`."""
    return _parse(dtype.compute)


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
