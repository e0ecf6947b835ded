"""What a cluster has to do at least: floating-point operations, and bytes that must come from or go to memory.

Counted on the array operations of the clusters stage, where every loop has its bounds. A multiply-add is two operations; a
function such as exp counts as one, so that time lost in such functions shows as a low rate. An operand is counted once,
however often the loops read it; one that is broadcast is counted at its own size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from mlir import ir

_ELEMENT_BITS_OF_INDEX = 64


@dataclass(frozen=True)
class Work:
    """One call of a cluster; None where sizes are known at run time only."""

    flops: int | None
    nbytes: int | None


def work_of(function: Any) -> Work:
    """The work of one cluster function of the clusters stage."""
    flops: int | None = 0
    for view in function.regions[0].blocks[0].operations:
        operation = view.operation
        if operation.name == "linalg.generic":
            points = _points(operation)
            flops = None if points is None or flops is None else flops + points * _scalar_flops(operation)
        elif operation.name.startswith("scf."):
            flops = None  # a loop nest of its own form; its trip counts are not looked at
    return Work(flops, _bytes(function))


def _scalar_flops(operation: Any) -> int:
    """Floating-point operations of a body."""
    count = 0
    for view in operation.regions[0].blocks[0].operations:
        inner = view.operation
        floating = inner.results and isinstance(inner.results[0].type, ir.FloatType)
        if floating and inner.name.startswith(("arith.", "math.")) and inner.name not in _FREE:
            count += 2 if inner.name == "math.fma" else 1
    return count


_FREE = frozenset({"arith.constant", "arith.select", "arith.bitcast", "arith.extf", "arith.truncf"})


def _points(operation: Any) -> int | None:
    """Iterations of a linalg.generic: the size of each loop is read off an operand that runs along it."""
    maps = [ir.AffineMapAttr(m).value for m in ir.ArrayAttr(operation.attributes["indexing_maps"])]
    sizes: dict[int, int | None] = {}
    for operand, indexing in zip(operation.operands, maps, strict=True):
        shape = _shape(operand.type)
        for position, result in enumerate(indexing.results):
            if isinstance(result, ir.AffineDimExpr) and shape is not None:
                sizes[result.position] = shape[position]
    loops = [sizes.get(loop) for loop in range(maps[0].n_dims)]
    known = [size for size in loops if size is not None]
    return math.prod(known) if len(known) == len(loops) else None


def _shape(type_: Any) -> list[int | None] | None:
    if not isinstance(type_, ir.ShapedType) or not type_.has_rank:
        return None
    return [None if type_.is_dynamic_dim(n) else type_.get_dim_size(n) for n in range(type_.rank)]


def _bytes(function: Any) -> int | None:
    """Elements of every window the function reads or writes, each window of an argument once."""
    total = 0
    seen: set[tuple[Any, str]] = set()
    for view in function.regions[0].blocks[0].operations:
        operation = view.operation
        if operation.name != "memref.reinterpret_cast":
            continue
        window = operation.results[0].type
        key = (ir.BlockArgument(operation.operands[0]).arg_number if isinstance(operation.operands[0].owner, ir.Block)
               else operation.operands[0], str(window))
        if key in seen:
            continue
        seen.add(key)
        shape = _shape(window)
        strides, _ = window.get_strides_and_offset()
        if shape is None or None in shape:
            return None
        # Along a stride of 0 the same element is read again.
        elements = math.prod(size or 0 for size, stride in zip(shape, strides, strict=True) if stride != 0)
        total += elements * _element_bytes(window.element_type)
    return total


def _element_bytes(element: Any) -> int:
    bits = getattr(element, "width", _ELEMENT_BITS_OF_INDEX)
    return -(-int(bits) // 8)
