"""Opaque clusters (scatter, sort, cumulative ops): the loop nest as written, its carried tensors updated in place.

The nest is in single-assignment form on tensors; each carried tensor is given one buffer, an insert becomes a
store and an extract a load. That is right only when no older version of a tensor is looked at after a newer one
exists, which is checked here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from mlir import ir

from phalanx.compiler.schedules.cluster import Source, Splat, View, load, refuse, store
from phalanx.compiler.schedules.scalar import copy_scalar_op
from phalanx.compiler.schedules.text import Index, Writer


class InPlace:
    """Emits scf code on tensors as scf code on memory."""

    def __init__(self, writer: Writer, scalars: dict[Any, str], tensors: dict[Any, Source]) -> None:
        self.writer = writer
        self.scalars = scalars
        self.tensors = tensors
        self.overwritten: set[Any] = set()

    def emit(self, op: Any) -> None:
        """One operation of the nest."""
        self.writer.location = str(op.location)
        method = _METHODS.get(op.name)
        if method is not None:
            method(self, op)
        elif op.name.startswith(("arith.", "math.", "index.")):
            copy_scalar_op(op, self.writer, self.scalars, movable=False)
        else:
            raise refuse(op, f"{op.name} cannot stand in an opaque loop nest")

    def _block(self, block: Any) -> Any:
        """All operations but the terminator, which is returned."""
        *ops, end = [op.operation for op in block.operations]
        for op in ops:
            self.emit(op)
        self.writer.location = str(end.location)
        return end

    # -- tensors -----------------------------------------------------------------------------------

    def _view(self, op: Any, value: Any) -> View:
        source = self.tensors[value]
        if value in self.overwritten:
            raise refuse(op, "an older version of a tensor that is updated in place is used after the update")
        if not isinstance(source, View):
            raise refuse(op, "a tensor of an opaque loop nest is not in memory")
        return source

    def _address(self, view: View, positions: Sequence[Any]) -> Index:
        address: Index = view.offset
        for position, stride in zip(positions, view.strides, strict=True):
            address = self.writer.add(address, self.writer.mul(self.scalars[position], stride))
        return address

    def _extract(self, op: Any) -> None:
        source = self.tensors[op.operands[0]]
        if isinstance(source, Splat) and source.scalar is not None:
            self.scalars[op.results[0]] = source.scalar
            return
        view = self._view(op, op.operands[0])
        address = self._address(view, list(op.operands)[1:])
        self.scalars[op.results[0]] = load(self.writer, view, address, movable=False)

    def _insert(self, op: Any) -> None:
        view = self._view(op, op.operands[1])
        store(self.writer, view, self._address(view, list(op.operands)[2:]), self.scalars[op.operands[0]])
        self.overwritten.add(op.operands[1])
        self.tensors[op.results[0]] = view

    def _dim(self, op: Any) -> None:
        source = self.tensors[op.operands[0]]
        owner = op.operands[1].owner
        if isinstance(owner, ir.Block) or owner.name != "arith.constant":
            raise refuse(op, "tensor.dim of a dim that is not constant")
        dim = int(ir.IntegerAttr(owner.attributes["value"]).value)
        self.scalars[op.results[0]] = self.writer.index(source.sizes[dim])

    # -- control flow ------------------------------------------------------------------------------

    def _carry(self, op: Any, inits: Sequence[Any], arguments: Sequence[Any]) -> list[int]:
        """Tensors keep their buffer; returns the numbers of the scalar ones."""
        numbers = []
        for number, (init, argument) in enumerate(zip(inits, arguments, strict=True)):
            if isinstance(argument.type, ir.RankedTensorType):
                self.tensors[argument] = self._view(op, init)
            else:
                numbers.append(number)
        return numbers

    def _yielded(self, end: Any, values: Sequence[Any], expected: Sequence[View | None]) -> list[str]:
        """The scalars a region yields; its tensors must be in the buffers expected of them."""
        names = []
        for value, view in zip(values, expected, strict=True):
            if view is None:
                names.append(self.scalars[value])
            elif self._view(end, value) != view:
                raise refuse(end, "a loop nest that swaps the tensors it carries")
        return names

    def _finish(self, op: Any, inits: Sequence[Any], views: Sequence[View | None], names: Sequence[str]) -> None:
        """What a loop leaves behind: results in their buffers, older versions of them gone."""
        self._bind(op.results, views, names)
        self.overwritten |= {init for init, view in zip(inits, views, strict=True) if view is not None}

    def _for(self, op: Any) -> None:
        low, high, step, *inits = list(op.operands)
        block = op.regions[0].blocks[0]
        variable, *arguments = list(block.arguments)
        numbers = self._carry(op, inits, arguments)
        views = [self._buffer(argument) for argument in arguments]
        if "px.parallel" in op.attributes:
            if numbers:
                raise refuse(op, "a parallel loop that carries a scalar")
            self._parallel(op, variable, block, views)
            self._finish(op, inits, views, [])
            return

        def body(name: str, carried: list[str]) -> list[str]:
            self.scalars[variable] = name
            self.scalars.update(zip((arguments[number] for number in numbers), carried, strict=True))
            end = self._block(block)
            return self._yielded(end, list(end.operands), views)

        types = [str(arguments[number].type) for number in numbers]
        starts = [self.scalars[inits[number]] for number in numbers]
        first, last, by = (self.scalars[value] for value in (low, high, step))
        kind = str(low.type)
        names = self.writer.loop(first, last, by, body, starts, types, bound_type=kind)
        self.writer.location = str(op.location)
        self._finish(op, inits, views, names)

    def _parallel(self, op: Any, variable: Any, block: Any, views: Sequence[View | None]) -> None:
        """Iterations that share nothing but what they read: from 0 in steps of 1, for any thread."""

        def one(name: str) -> None:
            self.scalars[variable] = name
            end = self._block(block)
            self._yielded(end, list(end.operands), views)

        self.writer.parallel(self.scalars[op.operands[1]], one)
        self.writer.location = str(op.location)

    def _buffer(self, value: Any) -> View | None:
        source = self.tensors.get(value) if isinstance(value.type, ir.RankedTensorType) else None
        return source if isinstance(source, View) else None

    def _if(self, op: Any) -> None:
        before = set(self.overwritten)
        seen = set(before)
        views: list[View | None] = []
        types = [str(result.type) for result in op.results if not isinstance(result.type, ir.RankedTensorType)]

        def branch(block: Any) -> list[str]:
            nonlocal seen
            self.overwritten = set(before)
            end = self._block(block)
            if not views:
                views.extend(self._buffer(value) for value in end.operands)
            names = self._yielded(end, list(end.operands), views)
            seen |= self.overwritten
            return names

        blocks = [region.blocks[0] for region in op.regions if len(region.blocks)]
        names = self.writer.choose(self.scalars[op.operands[0]], [partial(branch, block) for block in blocks], types)
        self.overwritten = seen
        self.writer.location = str(op.location)
        self._bind(op.results, views, names)

    def _bind(self, values: Iterable[Any], views: Sequence[View | None], names: Sequence[str]) -> None:
        """What values stand for: tensors for their buffers, scalars for names."""
        supply = iter(names)
        for value, view in zip(values, views, strict=True):
            if view is None:
                self.scalars[value] = next(supply)
            else:
                self.tensors[value] = view

    def _while(self, op: Any) -> None:
        inits = list(op.operands)
        before, after = (region.blocks[0] for region in op.regions)
        numbers = self._carry(op, inits, list(before.arguments))
        views = [self._buffer(argument) for argument in before.arguments]
        passed: list[View | None] = []

        def test(carried: list[str]) -> tuple[str, list[str], list[str]]:
            self.scalars.update(zip((before.arguments[number] for number in numbers), carried, strict=True))
            end = self._block(before)
            condition, *forwarded = list(end.operands)
            passed.extend(self._buffer(value) for value in forwarded)
            names = self._yielded(end, forwarded, passed)
            kinds = [str(value.type) for value, view in zip(forwarded, passed, strict=True) if view is None]
            return self.scalars[condition], names, kinds

        def body(carried: list[str]) -> list[str]:
            self._bind(after.arguments, passed, carried)
            end = self._block(after)
            return self._yielded(end, list(end.operands), views)

        types = [str(before.arguments[number].type) for number in numbers]
        starts = [self.scalars[inits[number]] for number in numbers]
        names = self.writer.repeat(starts, types, test, body)
        self.writer.location = str(op.location)
        self._bind(op.results, passed, names)
        self.overwritten |= {init for init, view in zip(inits, views, strict=True) if view is not None}


_METHODS = {
    "tensor.extract": InPlace._extract,
    "tensor.insert": InPlace._insert,
    "tensor.dim": InPlace._dim,
    "scf.for": InPlace._for,
    "scf.if": InPlace._if,
    "scf.while": InPlace._while,
}
