"""px-split-pieces: elementwise ops on padded, rolled and concatenated tensors work on the parts instead.

    %p = insert %x into (fill 0)[1] [n]           the middle of y:  generic(%x[1..], %x[..-1])
    %y = generic(%p[0] [n], %p[2] [n])      ->    its two ends:     generic on single elements and 0
                                                  %y = insert the three

The padded tensor is then never written. Ops that depend on each other are cut at the same places, so that each part
stays one loop nest. Only where every reader can be cut, sizes are known, and the parts are few or one is nearly all.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from mlir import ir

from phalanx.compiler.passes.pieces import Box, Pieces, assembled, cells_of, complete, follow, part_of
from phalanx.compiler.pipeline.registry import pass_

LEAST_ELEMENTS = 4096
"""Below this a copy costs less than the calls of several parts."""

FEW_PARTS = 4
MOST_PARTS = 27
NEARLY_ALL = 0.75
"""More than FEW_PARTS parts, up to MOST_PARTS, are made when the largest has this share of the elements."""

MOST_OPS = 600
"""Most ops a block may be cut into."""

_WHOLE_READERS = frozenset({"scf.yield", "func.return", "tensor.extract_slice", "tensor.insert_slice"})


@pass_("px-split-pieces", "elementwise ops on padded, rolled or concatenated tensors read the parts where they are")
def split_pieces(module: ir.Module) -> None:
    """Each block on its own."""
    with ir.Location.unknown(module.context):
        for block in list(_blocks(module.operation)):
            _Block(block).rewrite()


def _blocks(operation: Any) -> Iterator[Any]:
    for region in operation.regions:
        for block in region.blocks:
            yield block
            for view in block.operations:
                if not view.operation.name.startswith("linalg."):
                    yield from _blocks(view.operation)


class _Block:
    """One block: which values are made of pieces, which ops are cut, and the cutting."""

    def __init__(self, block: Any) -> None:
        self.block = block
        self.pieces: dict[Any, Pieces] = {}
        self.candidates: dict[Any, Any] = {}  # result -> elementwise op
        self.chosen: dict[Any, Any] = {}

    def rewrite(self) -> None:
        others: list[Any] = []
        for view in self.block.operations:
            op = view.operation
            found = follow(op, self.pieces)
            if found is not None:
                self.pieces[op.results[0]] = found
            else:
                others.append(op)
        if not self.pieces:
            return
        self.candidates = {op.results[0]: op for op in others if _is_elementwise(op)}
        self._choose()
        for shape in sorted({tuple(ir.RankedTensorType(value.type).shape) for value in self.chosen}):
            self._cut(shape)
        _erase_unused(self.block)

    # Which.

    def _choose(self) -> None:
        """Drop values with a reader that needs them whole, until what is left holds together."""
        while True:
            self.chosen = self._reached()
            lost = [value for value in self.pieces if not self._only_cut(value)]
            if not lost:
                return
            for value in lost:
                del self.pieces[value]
            if not self.pieces:
                self.chosen = {}
                return

    def _reached(self) -> dict[Any, Any]:
        """The ops that read pieces, directly or through each other, and those that only they read."""
        found: dict[Any, Any] = {}
        for value, op in self.candidates.items():
            reads = [operand for operand in _inputs(op) if operand in self.pieces or operand in found]
            known = all(operand in found or complete(self.pieces[operand]) for operand in reads)
            if reads and known and all(_identity(op, operand) for operand in reads) and self._readers_fit(value):
                found[value] = op
        for value, op in reversed(self.candidates.items()):
            users = [use.owner for use in value.uses]
            inside = all(user.operation.results[0] in found for user in users if len(user.operation.results) == 1)
            alike = all(len(u.operation.results) == 1 and _identity(u.operation, value) for u in users)
            if value not in found and users and inside and alike:
                found[value] = op
        return {value: found[value] for value in self.candidates if value in found}

    def _readers_fit(self, value: Any) -> bool:
        """Every reader takes the parts, or the whole put together from them without a loss."""
        for use in value.uses:
            user = use.owner.operation
            if user.name in _WHOLE_READERS and user.block == self.block:
                continue
            if len(user.results) != 1 or user.results[0] not in self.candidates or not _identity(user, value):
                return False
        return True

    def _only_cut(self, value: Any) -> bool:
        """Whether all that read a value made of pieces are cut, or pieces themselves."""
        for use in value.uses:
            user = use.owner.operation
            result = user.results[0] if len(user.results) == 1 else None
            if result not in self.pieces and result not in self.chosen:
                return False
        return True

    # Cutting.

    def _cut(self, shape: tuple[int, ...]) -> None:
        ops = {value: op for value, op in self.chosen.items() if tuple(ir.RankedTensorType(value.type).shape) == shape}
        read = [self.pieces[operand] for op in ops.values() for operand in _inputs(op) if operand in self.pieces]
        cells = cells_of(shape, read)
        total = math.prod(shape)
        largest = max(math.prod(high - low for low, high in cell) for cell in cells)
        pays = len(cells) <= FEW_PARTS or (len(cells) <= MOST_PARTS and largest >= NEARLY_ALL * total)
        if total < LEAST_ELEMENTS or not pays or len(cells) * len(ops) > MOST_OPS:
            return
        made: dict[Any, list[tuple[Box, Any]]] = {}
        for value, op in ops.items():
            with op.location, ir.InsertionPoint(op):
                made[value] = [(cell, _part(op, cell, made, self.pieces, number)) for number, cell in enumerate(cells)]
        for value, op in ops.items():
            outside = [use for use in value.uses if use.owner.operation not in list(ops.values())]
            if outside:
                with op.location, ir.InsertionPoint(op):
                    whole = assembled(value.type, made[value])
                for use in outside:
                    use.owner.operation.operands[use.operand_number] = whole


def _inputs(op: Any) -> list[Any]:
    return list(op.operands)[: len(op.operands) - 1]


def _maps(op: Any) -> list[Any]:
    return [attribute.value for attribute in op.attributes["indexing_maps"]]


def _is_elementwise(op: Any) -> bool:
    """One static result, every loop one of its dims, every operand read along some of them or at 0."""
    if op.name != "linalg.generic" or len(op.results) != 1 or "px.kind" in op.attributes:
        return False
    shaped = ir.RankedTensorType(op.results[0].type)
    body = op.regions[0].blocks[0]
    if not shaped.has_static_shape or shaped.rank == 0 or len(list(body.arguments[len(op.operands) - 1].uses)):
        return False
    if any("parallel" not in str(kind) for kind in op.attributes["iterator_types"]):
        return False
    if any(view.operation.name in ("linalg.index", "tensor.extract") for view in body.operations):
        return False
    *reads, write = _maps(op)
    plain = (ir.AffineDimExpr, ir.AffineConstantExpr)
    return _is_identity(write) and all(isinstance(e, plain) for map_ in reads for e in map_.results)


def _is_identity(map_: Any) -> bool:
    return bool(map_ == ir.AffineMap.get_identity(map_.n_dims))


def _identity(op: Any, value: Any) -> bool:
    """Whether an elementwise op reads a value (everywhere it does) at the point it computes."""
    if op.name != "linalg.generic":
        return False
    reads = list(op.operands)
    return all(_is_identity(map_) for map_, operand in zip(_maps(op), reads, strict=True) if operand == value)


def _part(op: Any, cell: Box, made: dict[Any, list[tuple[Box, Any]]], pieces: dict[Any, Pieces], number: int) -> Any:
    """The op on one cell."""
    operands = []
    for operand, map_ in zip(_inputs(op), _maps(op), strict=False):
        if operand in made:
            operands.append(made[operand][number][1])
        elif operand in pieces:
            operands.append(pieces[operand].part(cell))
        else:
            operands.append(part_of(operand, _box_along(cell, map_, operand)))
    kind = ir.RankedTensorType.get([high - low for low, high in cell], ir.RankedTensorType(op.results[0].type).element_type)
    empty = ir.Operation.create("tensor.empty", results=[kind]).result
    clone = op.clone()
    for position, value in enumerate([*operands, empty]):
        clone.operands[position] = value
    made_op = ir.Operation.create(
        "linalg.generic", results=[kind], operands=list(clone.operands),
        attributes={name: clone.attributes[name] for name in clone.attributes}, regions=1)
    clone.regions[0].blocks[0].append_to(made_op.regions[0])
    clone.erase()
    return made_op.result


def _box_along(cell: Box, map_: Any, operand: Any) -> Box:
    """What an operand shows of a cell: along dims the cell's range, at constants one element."""
    found = []
    for expression, size in zip(map_.results, ir.RankedTensorType(operand.type).shape, strict=True):
        if isinstance(expression, ir.AffineDimExpr):
            found.append(cell[expression.position])
        else:
            found.append((0, size))
    return tuple(found)


def _erase_unused(block: Any) -> None:
    """What only the ops before the cut needed."""
    for view in reversed(list(block.operations)):
        op = view.operation
        pure = op.name in ("linalg.generic", "linalg.fill") or op.name.startswith("tensor.")
        if pure and not any(len(list(result.uses)) for result in op.results):
            op.erase()

