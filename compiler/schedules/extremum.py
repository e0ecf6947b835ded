"""argmax and argmin as the schedules see them: a reduction to the extreme, and one to the first position that holds it.

    %m = max over i of x[i]        %k = min over i of (x[i] == %m ? i : none)

The second needs the result of the first, so it looks like another walk over the whole input. But its answer lies where
the extreme was met first: a walk that remembers the block in which the extreme last grew needs to search only that
block, and threads that each searched a part of the input combine what they found.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mlir import ir

from phalanx.compiler.schedules.cluster import Cluster, Node, Operand, Positions, Value
from phalanx.compiler.schedules.positions import without_sources
from phalanx.compiler.schedules.scalar import Body, ScalarOp
from phalanx.compiler.schedules.text import Writer
from phalanx.dialects.records import record

# By the op that picks the extreme: the comparison that says a number is more extreme, or not a number.
_FLOAT_BETTER = {"arith.maximumf": "ugt", "arith.minimumf": "ult"}
_INTEGER_BETTER = {
    "arith.maxsi": "sgt",
    "arith.minsi": "slt",
    "arith.maxui": "ugt",
    "arith.minui": "ult",
    "arith.ori": "ugt",
    "arith.andi": "ult",
}
_EQUAL = {"arith.cmpf": 1, "arith.cmpi": 0}
_UNORDERED = 14


@record
class Search:
    """`index` is the first position at which the input of `extreme` equals its result."""

    extreme: Node
    index: Node
    element: Any
    """The SSA value of the index's body that is compared with the extreme."""

    def combining_body(self) -> Body:
        """The index's body with an extreme and a position of one part in the place of element and position."""
        body = self.index.body
        return Body([self.element, *body.arguments[1:]], without_sources(body, self.element, 0).ops, body.yields)

    def better(self, writer: Writer, candidate: str, best: str) -> str:
        """Whether a block's extreme beats the best so far, so that an equal one later does not; NaN beats all but NaN."""
        element, name = self.extreme.values[0].element, _picks(self.extreme).name
        if name in _INTEGER_BETTER:
            return writer.value(f"arith.cmpi {_INTEGER_BETTER[name]}, {candidate}, {best} : {element}", "b")
        beats = writer.value(f"arith.cmpf {_FLOAT_BETTER[name]}, {candidate}, {best} : {element}", "b")
        number = writer.value(f"arith.cmpf ord, {best}, {best} : {element}", "b")
        return writer.value(f"arith.andi {beats}, {number} : i1", "b")


def find_searches(cluster: Cluster) -> dict[Node, Search]:
    """The searches of a cluster by the node that finds the position."""
    found: dict[Node, Search] = {}
    for node in cluster.nodes:
        search = _search(node)
        if search is not None:
            found[node] = search
    return found


def _search(node: Node) -> Search | None:
    if not node.is_reduction or len(node.operands) != 3 or len(node.values) != 1:
        return None
    element, extreme, position = node.operands
    source = extreme.source
    if not isinstance(position.source, Positions) or not isinstance(source, Value) or not source.node.is_reduction:
        return None
    chosen = source.node
    if len(chosen.operands) != 1 or len(chosen.values) != 1 or not _same(chosen.operands[0], element):
        return None
    if _picks(chosen).name not in _FLOAT_BETTER | _INTEGER_BETTER:
        return None
    compared = _compared(node.body)
    return None if compared is None else Search(chosen, node, compared)


def _picks(extreme: Node) -> ScalarOp:
    return extreme.body.ops[-1]


def _same(a: Operand, b: Operand) -> bool:
    if isinstance(a.source, Value) and isinstance(b.source, Value):
        return a.source.key == b.source.key and a.source.dims == b.source.dims and a.map == b.map
    return a == b


def _compared(body: Body) -> Any | None:
    """What the body compares with the extreme, when it is min(running, equal or NaN ? position : none)."""
    made = {op.result: op for op in body.ops}
    _, extreme, position, running = body.arguments
    last = made.get(body.yields[0])
    if last is None or last.name != "arith.minsi" or running not in last.operands:
        return None
    choice = _only(made, [value for value in last.operands if value != running], "arith.select")
    if choice is None or choice.operands[1] != position or not _constant(made, choice.operands[2]):
        return None
    hit = made.get(choice.operands[0])
    tests = [hit] if hit is not None and hit.name in _EQUAL else _either(made, hit)
    for test in tests:
        if test.name in _EQUAL and extreme in test.operands and _predicate(test) == _EQUAL[test.name]:
            (element,) = [value for value in test.operands if value != extreme] or [None]
            others = [other for other in tests if other is not test]
            if element is not None and all(_is_nan(other, element) for other in others):
                return element
    return None


def _either(made: dict[Any, ScalarOp], op: ScalarOp | None) -> list[ScalarOp]:
    if op is None or op.name != "arith.ori":
        return []
    sides = [made.get(operand) for operand in op.operands]
    return [side for side in sides if side is not None and side.name in _EQUAL] if all(sides) else []


def _only(made: dict[Any, ScalarOp], values: Sequence[Any], name: str) -> ScalarOp | None:
    op = made.get(values[0]) if len(values) == 1 else None
    return op if op is not None and op.name == name else None


def _constant(made: dict[Any, ScalarOp], value: Any) -> bool:
    op = made.get(value)
    return op is None or op.name == "arith.constant"


def _predicate(op: ScalarOp) -> int:
    return int(ir.IntegerAttr(op.op.attributes["predicate"]).value)


def _is_nan(op: ScalarOp, element: Any) -> bool:
    return op.name == "arith.cmpf" and _predicate(op) == _UNORDERED and list(op.operands) == [element, element]
