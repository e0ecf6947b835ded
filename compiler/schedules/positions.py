"""Positions as operands: a reduction that asks for `linalg.index` in a linear way gets the number as an input.

    %i = linalg.index 0 ; %j = linalg.index 1 ; %p = arith.index_cast (%i * 1024 + %j)   ->   an operand `Positions`

A body that asks for the position along one dim keeps that dim from being walked together with its neighbours. The
number of an element in memory order is the same walked either way, so argmax over all axes becomes one long loop.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mlir import ir

from phalanx.compiler.schedules.cluster import Node, Operand, Positions
from phalanx.compiler.schedules.scalar import Body, ScalarOp
from phalanx.compiler.schedules.text import Index, Writer

Terms = dict[int, Index]


def lift_positions(node: Node, writer: Writer, index_of: Callable[[Any], Index]) -> None:
    """Replaces the positions a reduction's body computes by one more operand, when they are sums of products.

    `index_of` gives the size behind a value captured by the body.
    """
    if not node.is_reduction or not node.body.index_dims():
        return
    made = {op.result: op for op in node.body.ops}
    for op in node.body.ops:
        if op.name != "arith.index_cast" or str(op.operands[0].type) != "index":
            continue
        terms = _linear(op.operands[0], made, writer, index_of)
        if terms is None:
            continue
        last = _narrowed(op, node.body.ops)
        body = without_sources(node.body, last.result, len(node.operands))
        if body.index_dims():
            return
        source = Positions(str(last.result.type), tuple(sorted(terms.items())))
        node.operands.append(Operand(source, ()))
        node.body = body
        return


def _linear(value: Any, made: dict[Any, ScalarOp], writer: Writer, index_of: Callable[[Any], Index]) -> Terms | None:
    """The value as a sum of node dims times sizes; None when it is something else."""
    op = made.get(value)
    if op is None or op.name not in ("linalg.index", "arith.addi", "arith.muli"):
        return None
    if op.name == "linalg.index":
        return {int(ir.IntegerAttr(op.op.attributes["dim"]).value): 1}
    left, right = op.operands
    if op.name == "arith.muli":
        for factor, other in ((right, left), (left, right)):
            terms = _linear(other, made, writer, index_of)
            known = _size(factor, made, index_of)
            if terms is not None and known is not None:
                return {dim: writer.mul(step, known) for dim, step in terms.items()}
        return None
    sides = [_linear(side, made, writer, index_of) if _size(side, made, index_of) != 0 else {} for side in (left, right)]
    if sides[0] is None or sides[1] is None:
        return None
    total = dict(sides[0])
    for dim, step in sides[1].items():
        total[dim] = writer.add(total.get(dim, 0), step)
    return total


def _size(value: Any, made: dict[Any, ScalarOp], index_of: Callable[[Any], Index]) -> Index | None:
    """What a factor is when it is a constant or made outside the body (whose arguments are no positions)."""
    op = made.get(value)
    if op is None:
        return index_of(value)
    if op.name == "arith.constant":
        return int(ir.IntegerAttr(op.op.attributes["value"]).value)
    return None


def _narrowed(cast: ScalarOp, ops: list[ScalarOp]) -> ScalarOp:
    """The conversion of the cast's result to fewer bits, when that is all that is done with it."""
    users = [op for op in ops if cast.result in op.operands]
    return users[0] if len(users) == 1 and users[0].name == "arith.trunci" else cast


def without_sources(body: Body, argument: Any, position: int) -> Body:
    """The body with one of its values as argument number `position`, and no op that only served to make it."""
    needed = set(body.yields)
    ops: list[ScalarOp] = []
    for op in reversed(body.ops):
        if op.result in needed and op.result != argument:
            needed.update(op.operands)
            ops.insert(0, op)
    return Body([*body.arguments[:position], argument, *body.arguments[position:]], ops, body.yields)
