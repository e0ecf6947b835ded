"""Small helpers over the bindings: the handful of ops this stage creates, without one import per dialect."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mlir import ir

from phalanx.compiler.clusters.sizes import Size
from phalanx.compiler.clusters.view import View


def create(
    name: str,
    results: Sequence[Any] = (),
    operands: Sequence[Any] = (),
    attributes: dict[str, Any] | None = None,
    regions: int = 0,
) -> Any:
    """An op at the current insertion point and location."""
    return ir.Operation.create(
        name, results=list(results), operands=list(operands), attributes=attributes or {}, regions=regions
    )


def numbers(values: Sequence[int]) -> Any:
    return ir.DenseI64ArrayAttr.get(list(values))


def static_shape(extents: Sequence[Size]) -> list[int]:
    """Sizes for a type: the dynamic marker where only run time knows."""
    dynamic = ir.ShapedType.get_dynamic_size()
    return [n if isinstance(n, int) else dynamic for n in extents]


def pointer_type(element: Any) -> Any:
    """`memref<element>`: a bare pointer."""
    return ir.MemRefType.get([], element)


def bytes_type(count: int | None = None) -> Any:
    """`memref<?xi8>`, the type of every base pointer of the driver."""
    extent = ir.ShapedType.get_dynamic_size() if count is None else count
    return ir.MemRefType.get([extent], ir.IntegerType.get_signless(8))


def reinterpret(source: Any, view: View, element: Any, extents: Sequence[Any], strides: Sequence[Any]) -> Any:
    """`memref.reinterpret_cast` of a bare pointer; `extents` and `strides` are int or index values."""
    dynamic_size = ir.ShapedType.get_dynamic_size()
    dynamic_stride = ir.ShapedType.get_dynamic_stride_or_offset()
    static_sizes = [n if isinstance(n, int) else dynamic_size for n in extents]
    static_strides = [n if isinstance(n, int) else dynamic_stride for n in strides]
    if view.contiguous:
        result = ir.MemRefType.get(static_sizes, element)
    else:
        result = ir.MemRefType.get(static_sizes, element, ir.StridedLayoutAttr.get(0, static_strides))
    size_values = [n for n in extents if not isinstance(n, int)]
    stride_values = [n for n in strides if not isinstance(n, int)]
    return create(
        "memref.reinterpret_cast",
        [result],
        [source, *size_values, *stride_values],
        {
            "static_offsets": numbers([0]),
            "static_sizes": numbers(static_sizes),
            "static_strides": numbers(static_strides),
            "operandSegmentSizes": ir.DenseI32ArrayAttr.get([1, 0, len(size_values), len(stride_values)]),
        },
    ).result


def to_tensor(memref: Any, writable: bool = False) -> Any:
    """`bufferization.to_tensor ... restrict`."""
    shaped = memref.type
    attributes: dict[str, Any] = {"restrict": ir.UnitAttr.get()}
    if writable:
        attributes["writable"] = ir.UnitAttr.get()
    result = ir.RankedTensorType.get(list(shaped.shape), shaped.element_type)
    return create("bufferization.to_tensor", [result], [memref], attributes).result


def materialise(tensor: Any, memref: Any) -> None:
    """`bufferization.materialize_in_destination ... restrict writable`."""
    attributes = {"restrict": ir.UnitAttr.get(), "writable": ir.UnitAttr.get()}
    create("bufferization.materialize_in_destination", [], [tensor, memref], attributes)


def copy_op(op: Any, mapping: dict[Any, Any]) -> Any:
    """Clone an op at the current insertion point with its operands (nested ones too) replaced."""
    clone = op.clone()
    remap(clone, mapping)
    mapping.update(zip(op.results, clone.results, strict=True))
    return clone


def remap(op: Any, mapping: dict[Any, Any]) -> None:
    """Replace operands, in nested regions too."""
    for number, value in enumerate(op.operands):
        new = mapping.get(value)
        if new is not None:
            op.operands[number] = new
    for region in op.regions:
        for block in region.blocks:
            for inner in block.operations:
                remap(inner.operation, mapping)
