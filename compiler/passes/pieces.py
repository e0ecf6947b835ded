"""Tensors seen as boxes, each a part of another tensor or one scalar: what pad, roll and concatenate make."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise, product
from typing import Any

from mlir import ir

from phalanx.dialects.records import record

Box = tuple[tuple[int, int], ...]
"""A range (first, end) per dim."""


@record
class Piece:
    """A box of a tensor: `source` is a tensor, whose element `start` is the box's first, or a scalar."""

    box: Box
    source: Any
    start: tuple[int, ...] | None

    def narrowed(self, box: Box) -> Piece:
        """The part of the piece in a smaller box."""
        if self.start is None:
            return Piece(box, self.source, None)
        start = tuple(s + low - old for s, (low, _), (old, _) in zip(self.start, box, self.box, strict=True))
        return Piece(box, self.source, start)

    def moved(self, by: Sequence[int]) -> Piece:
        """The same elements at other places."""
        return Piece(tuple((low + d, high + d) for (low, high), d in zip(self.box, by, strict=True)), self.source, self.start)


@record
class Pieces:
    """A tensor as pieces that do not overlap and cover it."""

    shape: tuple[int, ...]
    element: Any
    pieces: tuple[Piece, ...]

    def part(self, cell: Box) -> Any:
        """The value of a cell that lies in one piece: a slice, or a filled tensor."""
        whole = next(piece for piece in self.pieces if intersection(piece.box, cell) == cell)
        piece = whole.narrowed(cell)
        if piece.start is not None:
            box = tuple((s, s + high - low) for s, (low, high) in zip(piece.start, cell, strict=True))
            return part_of(piece.source, box)
        kind = ir.RankedTensorType.get([high - low for low, high in cell], self.element)
        empty = ir.Operation.create("tensor.empty", results=[kind]).result
        made = ir.Operation.create(
            "linalg.fill", results=[kind], operands=[piece.source, empty],
            attributes={"operandSegmentSizes": ir.DenseI32ArrayAttr.get([1, 1])}, regions=1)
        block = made.regions[0].blocks.append(self.element, self.element)
        with ir.InsertionPoint(block):
            ir.Operation.create("linalg.yield", operands=[block.arguments[0]])
        return made.result


def intersection(first: Box, second: Box) -> Box | None:
    """What two boxes share, None for nothing."""
    found = tuple((max(a, c), min(b, d)) for (a, b), (c, d) in zip(first, second, strict=True))
    return None if any(low >= high for low, high in found) else found


def without(piece: Piece, box: Box) -> list[Piece]:
    """A piece less a box, as pieces."""
    shared = intersection(piece.box, box)
    if shared is None:
        return [piece]
    left: list[Piece] = []
    rest = list(piece.box)
    for dim, ((low, high), (first, end)) in enumerate(zip(piece.box, shared, strict=True)):
        for part in ((low, first), (end, high)):
            if part[0] < part[1]:
                left.append(piece.narrowed((*rest[:dim], part, *rest[dim + 1:])))
        rest[dim] = (first, end)
    return left


def follow(op: Any, known: dict[Any, Pieces]) -> Pieces | None:
    """The pieces of what an insert_slice or extract_slice makes; None when it is not made of pieces."""
    if op.name == "tensor.insert_slice":
        return _inserted(op, known)
    if op.name == "tensor.extract_slice" and op.operands[0] in known:
        return _extracted(op, known[op.operands[0]])
    return None


def _region(op: Any, tensors: int) -> Box | None:
    """The box of a slice op with steps of 1 and everything known, that keeps the rank."""
    offsets, sizes, steps = (list(op.attributes[f"static_{name}"]) for name in ("offsets", "sizes", "strides"))
    small = op.results[0] if tensors == 1 else op.operands[0]
    if len(op.operands) > tensors or any(step != 1 for step in steps) or list(small.type.shape) != sizes:
        return None
    return tuple((offset, offset + size) for offset, size in zip(offsets, sizes, strict=True))


def _inserted(op: Any, known: dict[Any, Pieces]) -> Pieces | None:
    source, target = op.operands[0], op.operands[1]
    region = _region(op, 2)
    shaped = ir.RankedTensorType(target.type)
    if region is None or not shaped.has_static_shape or 0 in shaped.shape or any(low == high for low, high in region):
        return None
    shape = tuple(shaped.shape)
    old = known[target].pieces if target in known else _start(target, shape)
    if old is None:
        return None
    offset = [low for low, _ in region]
    if source in known:
        new = [piece.moved(offset) for piece in known[source].pieces]
    else:
        new = [Piece(region, source, (0,) * len(shape))]
    kept = [part for piece in old for part in without(piece, region)]
    return Pieces(shape, shaped.element_type, (*kept, *new))


def _start(target: Any, shape: tuple[int, ...]) -> tuple[Piece, ...] | None:
    """The pieces of a tensor that is all one scalar, or of which nothing is written yet."""
    owner = target.owner
    if isinstance(owner, ir.Block):
        return None
    whole = tuple((0, n) for n in shape)
    if owner.name == "linalg.fill":
        return (Piece(whole, owner.operands[0], None),)
    return (Piece(whole, None, None),) if owner.name == "tensor.empty" else None


def _extracted(op: Any, whole: Pieces) -> Pieces | None:
    region = _region(op, 1)
    if region is None or any(low == high for low, high in region):
        return None
    back = [-low for low, _ in region]
    parts = [(piece, intersection(piece.box, region)) for piece in whole.pieces]
    found = tuple(piece.narrowed(box).moved(back) for piece, box in parts if box is not None)
    return Pieces(tuple(high - low for low, high in region), whole.element, found)


def complete(pieces: Pieces) -> bool:
    """Whether every element is known."""
    return all(piece.source is not None for piece in pieces.pieces)


def cells_of(shape: tuple[int, ...], tensors: Sequence[Pieces]) -> list[Box]:
    """The grid that the edges of all pieces make of a shape: every cell lies in one piece of each tensor."""
    ranges = []
    for dim, size in enumerate(shape):
        edges = {0, size} | {edge for tensor in tensors for piece in tensor.pieces for edge in piece.box[dim]}
        ranges.append(list(pairwise(sorted(edges))))
    return list(product(*ranges))


def part_of(value: Any, box: Box) -> Any:
    """A slice of a tensor, itself when that is all of it."""
    shaped = ir.RankedTensorType(value.type)
    if all((low, high) == (0, size) for (low, high), size in zip(box, shaped.shape, strict=True)):
        return value
    sizes = [high - low for low, high in box]
    return _slice_op("tensor.extract_slice", [value], [low for low, _ in box], sizes,
                     ir.RankedTensorType.get(sizes, shaped.element_type))


def assembled(kind: Any, parts: Sequence[tuple[Box, Any]]) -> Any:
    """A tensor put together from the values of its cells."""
    whole = ir.Operation.create("tensor.empty", results=[kind]).result
    for box, value in parts:
        whole = _slice_op("tensor.insert_slice", [value, whole], [low for low, _ in box],
                          [high - low for low, high in box], kind)
    return whole


def _slice_op(name: str, operands: list[Any], offsets: list[int], sizes: list[int], kind: Any) -> Any:
    array = ir.DenseI64ArrayAttr.get
    return ir.Operation.create(name, results=[kind], operands=operands, attributes={
        "static_offsets": array(offsets), "static_sizes": array(sizes), "static_strides": array([1] * len(sizes)),
        "operandSegmentSizes": ir.DenseI32ArrayAttr.get([*([1] * len(operands)), 0, 0, 0])}).result
