"""Pointers, sizes and scalars of the driver, and the life of every buffer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from mlir import ir

from phalanx.compiler.clusters import build, sizes
from phalanx.compiler.clusters.model import BYTES, Buffer, Place, Tensor
from phalanx.compiler.clusters.plan import ALIGNMENT, ArenaPlan, aligned, plan_arena
from phalanx.compiler.clusters.read import Reader
from phalanx.compiler.clusters.sizes import Apply, Leaf, Size
from phalanx.dialects.attributes import decode_array
from phalanx.dialects.errors import CompileError


class Emitter:
    """Writes sizes and scalar constants at the insertion point; equal ones once per nesting level."""

    def __init__(self, reader: Reader, entry: Any, values: dict[Any, Any]) -> None:
        self.reader = reader
        self.entry = entry  # the block that holds constants
        self.values = values  # scalar of the original function -> scalar here
        self.scopes: list[dict[Any, Any]] = [{}]
        self._constants: dict[Any, Any] = {}
        self.index = ir.IndexType.get()

    def remembered(self, key: Any) -> Any:
        for scope in reversed(self.scopes):
            if key in scope:
                return scope[key]
        return None

    def remember(self, key: Any, value: Any) -> Any:
        self.scopes[-1][key] = value
        return value

    def literal(self, attribute: Any) -> Any:
        """A constant, at the top of the function."""
        known = self._constants.get(attribute)
        if known is None:
            with ir.InsertionPoint.at_block_begin(self.entry):
                known = build.create("arith.constant", [attribute.type], [], {"value": attribute}).result
            self._constants[attribute] = known
        return known

    def size(self, size: Size) -> Any:
        """An index value."""
        if isinstance(size, int):
            return self.literal(ir.IntegerAttr.get(self.index, size))
        known = self.remembered(size)
        if known is not None:
            return known
        total: Any = None
        for monomial, factor in size.terms:
            term: Any = None if factor == 1 and monomial else self.size(factor)
            for atom in monomial:
                term = self._combine("arith.muli", term, self._atom(atom))
            total = self._combine("arith.addi", total, term)
        return self.remember(size, total)

    def _combine(self, name: str, lhs: Any, rhs: Any) -> Any:
        return rhs if lhs is None else build.create(name, [self.index], [lhs, rhs]).result

    def _atom(self, atom: Leaf | Apply) -> Any:
        if isinstance(atom, Leaf):
            known = self.values.get(self.reader.resolve(atom.value))
            if known is None:
                raise CompileError(f"a temporary's size depends on {atom.value}, not on the sizes of the arguments alone")
            return known
        return build.create(atom.name, [self.index], [self.size(atom.lhs), self.size(atom.rhs)]).result

    def scalar(self, value: Any) -> Any:
        """The driver's value for a scalar of the original function."""
        value = self.reader.resolve(value)
        if value in self.values:
            return self.values[value]
        if value in self.reader.constants:
            return self.literal(self.reader.constants[value])
        return self.size(self.reader.sizes[value])


class Memory(Emitter):
    """The driver's view of memory while it is being written."""

    def __init__(self, reader: Reader, module: Any, entry: Any, values: dict[Any, Any]) -> None:
        super().__init__(reader, entry, values)
        self.module = module
        self.position = 0
        self.buffers: list[Buffer] = []
        self.results: list[Buffer] = []
        self.loops: list[tuple[int, set[Buffer]]] = []
        self.arena: Any = None  # memref<?xi8>
        self._offsets: list[tuple[Any, Buffer, int]] = []  # constants to patch: op, buffer, bytes behind its start
        self._starts: dict[Buffer, Any] = {}  # placeholders of dynamic offsets
        self._bound: set[Buffer] = set()  # buffers whose offset is computed with: they stay in the arena
        self.calls_host = False
        self._table: Any = None
        self._table_size = 0
        self._constants_made = 0

    # Life.

    def step(self) -> None:
        self.position += 1

    def touch(self, buffer: Buffer) -> None:
        if buffer.kind == "result" and buffer.first is None:
            # The code of a loop that writes a result comes again: the whole loop counts.
            buffer.first = self.loops[0][0] if self.loops else self.position
            self.results.append(buffer)
        if buffer.kind != "arena":
            return
        if buffer.first is None:
            buffer.first = self.position
            self.buffers.append(buffer)
        buffer.last = self.position
        for _, seen in self.loops:
            seen.add(buffer)

    def enter_loop(self) -> None:
        self.step()
        self.loops.append((self.position, set()))

    def leave_loop(self) -> None:
        """Whatever was alive before a loop and is used inside lives until its end."""
        self.step()
        begin, seen = self.loops.pop()
        for buffer in seen:
            if buffer.first is not None and buffer.first <= begin:
                self.touch(buffer)

    # Addresses.

    def pointer(self, place: Place, offset: Size, element: Any) -> Any:
        """`memref<element>` at an element offset of a place."""
        self.touch(place.buffer)
        place.buffer.item = max(place.buffer.item, BYTES[str(element)])
        total = sizes.add(place.offset, offset)
        key = (place.buffer, total, element)
        known = self.remembered(key)
        if known is not None:
            return known
        base, shift = self._base(place.buffer, sizes.multiply(total, BYTES[str(element)]))
        view = build.create("memref.view", [build.pointer_type(element)], [base, shift]).result
        return self.remember(key, view)

    def region(self, place: Place, nbytes: Size, element: Any) -> Any:
        """`memref<?xi8>` that starts at a place: what loops carry."""
        self.touch(place.buffer)
        place.buffer.item = max(place.buffer.item, BYTES[str(element)])
        base, shift = self._base(place.buffer, sizes.multiply(place.offset, BYTES[str(element)]))
        return build.create("memref.view", [build.bytes_type()], [base, shift, self.size(nbytes)]).result

    def _base(self, buffer: Buffer, shift: Size) -> tuple[Any, Any]:
        if buffer.kind != "arena":
            return buffer.pointer, self.size(shift)
        if isinstance(buffer.nbytes, int) and isinstance(shift, int):
            return self.arena, self._patched(buffer, shift)
        start = self._start(buffer)
        if shift == 0:
            return self.arena, start
        return self.arena, build.create("arith.addi", [self.index], [start, self.size(shift)]).result

    def _patched(self, buffer: Buffer, shift: int) -> Any:
        key = ("offset", buffer, shift)
        known = self._constants.get(key)
        if known is None:
            with ir.InsertionPoint.at_block_begin(self.entry):
                op = build.create("arith.constant", [self.index], [], {"value": ir.IntegerAttr.get(self.index, -1)})
            self._offsets.append((op, buffer, shift))
            known = self._constants[key] = op.result
        return known

    def _start(self, buffer: Buffer) -> Any:
        if isinstance(buffer.nbytes, int):
            self._bound.add(buffer)
            return self._patched(buffer, 0)
        known = self._starts.get(buffer)
        if known is None:
            with ir.InsertionPoint.at_block_begin(self.entry):
                op = build.create("arith.constant", [self.index], [], {"value": ir.IntegerAttr.get(self.index, -1)})
            known = self._starts[buffer] = op.result
        return known

    def spill(self, tensor: Tensor) -> Place:
        """A rank-0 scalar stored in memory for a cluster that wants a pointer."""
        key = ("spill", tensor)
        known = self.remembered(key)
        if known is None:
            known = Place(Buffer("arena", tensor.nbytes), ())
            build.create("memref.store", [], [tensor.scalar, self.pointer(known, 0, tensor.element)])
            self.remember(key, known)
        self.touch(known.buffer)
        place: Place = known
        return place

    # Constants and host calls.

    def constant(self, attribute: Any, tensor: Tensor) -> Place:
        """A dense constant as a global byte array."""
        data = np.frombuffer(dense_bytes(attribute), dtype=np.uint8)
        i8 = ir.IntegerType.get_signless(8)
        type_ = ir.MemRefType.get([data.size], i8)
        name = f"px_constant_{self._constants_made}"
        self._constants_made += 1
        value = ir.DenseElementsAttr.get(data, type=ir.RankedTensorType.get([data.size], i8))
        with ir.InsertionPoint.at_block_begin(self.module.body):
            build.create(
                "memref.global",
                attributes={
                    "sym_name": ir.StringAttr.get(name),
                    "sym_visibility": ir.StringAttr.get("private"),
                    "type": ir.TypeAttr.get(type_),
                    "initial_value": value,
                    "constant": ir.UnitAttr.get(),
                    "alignment": ir.IntegerAttr.get(ir.IntegerType.get_signless(64), ALIGNMENT),
                },
            )
        buffer = Buffer("constant", int(data.size))
        got = build.create("memref.get_global", [type_], [], {"name": ir.FlatSymbolRefAttr.get(name)}).result
        buffer.pointer = build.create("memref.cast", [build.bytes_type()], [got]).result
        return Place(buffer, tensor.strides)

    def host_call(self, site: int, pointers: Sequence[Any]) -> None:
        """`px_host_call(site, table of addresses)`."""
        self.calls_host = True
        i64 = ir.IntegerType.get_signless(64)
        for number, pointer in enumerate(pointers):
            name = "memref.extract_aligned_pointer_as_index"
            address = build.create(name, [self.index], [pointer]).result
            word = build.create("arith.index_cast", [i64], [address]).result
            build.create("memref.store", [], [word, self._table_slots(), self.size(number)])
        self._table_size = max(self._table_size, len(pointers))
        site_value = self.literal(ir.IntegerAttr.get(i64, site))
        attributes = {"callee": ir.FlatSymbolRefAttr.get("px_host_call")}
        build.create("func.call", [], [site_value, self._table_start()], attributes)

    def _table_slots(self) -> Any:
        if self._table is None:
            i64 = ir.IntegerType.get_signless(64)
            dynamic = ir.MemRefType.get([ir.ShapedType.get_dynamic_size()], i64)
            with ir.InsertionPoint.at_block_begin(self.entry):
                count = build.create("arith.constant", [self.index], [], {"value": ir.IntegerAttr.get(self.index, 0)})
                segments = {"operandSegmentSizes": ir.DenseI32ArrayAttr.get([1, 0])}
                self._table = build.create("memref.alloca", [dynamic], [count.result], segments)
            self._table_count = count
        return self._table.result

    def _table_start(self) -> Any:
        slots = self._table_slots()
        return build.create(
            "memref.reinterpret_cast",
            [build.pointer_type(ir.IntegerType.get_signless(64))],
            [slots],
            {
                "static_offsets": build.numbers([0]),
                "static_sizes": build.numbers([]),
                "static_strides": build.numbers([]),
                "operandSegmentSizes": ir.DenseI32ArrayAttr.get([1, 0, 0, 0]),
            },
        ).result

    # The end.

    def finish(self) -> ArenaPlan:
        """Plan the arena and patch every offset that waited for it, and the base where that is a result's memory."""
        plan = plan_arena(self.buffers, self.results, self._bound)
        for op, buffer, shift in self._offsets:
            op.attributes["value"] = ir.IntegerAttr.get(self.index, plan.offsets[buffer] + shift)
            host = plan.hosts.get(buffer)
            if host is not None:
                for use in list(op.result.uses):
                    use.owner.operation.operands[0] = host.pointer
        if self._table is not None:
            self._table_count.attributes["value"] = ir.IntegerAttr.get(self.index, max(1, self._table_size))
        return plan

    def most_alive(self, plan: ArenaPlan) -> int:
        """The largest number of bytes of static temporaries in the arena alive at one position."""
        change: dict[int, int] = {}
        for buffer in self.buffers:
            if buffer in plan.hosts:
                continue
            if isinstance(buffer.nbytes, int) and buffer.first is not None and buffer.last is not None:
                room = aligned(buffer.nbytes)
                change[buffer.first] = change.get(buffer.first, 0) + room
                change[buffer.last + 1] = change.get(buffer.last + 1, 0) - room
        most = alive = 0
        for position in sorted(change):
            alive += change[position]
            most = max(most, alive)
        return most

    def patch_starts(self, slots: Sequence[tuple[Any, Sequence[Buffer]]]) -> None:
        """Replace the placeholders of dynamic offsets by the values now known."""
        for value, buffers in slots:
            for buffer in buffers:
                placeholder = self._starts.get(buffer)
                if placeholder is not None:
                    placeholder.replace_all_uses_with(value)
                    placeholder.owner.erase()


def dynamic_total(emitter: Emitter, plan: ArenaPlan) -> tuple[Any, list[tuple[Any, Sequence[Buffer]]]]:
    """Bytes of an arena with dynamic slots, and where each slot starts."""
    start = emitter.size(plan.static_bytes)
    slots: list[tuple[Any, Sequence[Buffer]]] = []
    for nbytes, buffers in plan.slots:
        slots.append((start, buffers))
        index = emitter.index
        raised = build.create("arith.addi", [index], [emitter.size(nbytes), emitter.size(2 * ALIGNMENT - 1)]).result
        lines = build.create("arith.divui", [index], [raised, emitter.size(ALIGNMENT)]).result
        room = build.create("arith.muli", [index], [lines, emitter.size(ALIGNMENT)]).result
        start = build.create("arith.addi", [index], [start, room]).result
    return start, slots


def dense_bytes(attribute: Any) -> bytes:
    """The elements of a dense constant as they lie in memory (little endian)."""
    element = str(attribute.type.element_type)
    if element == "bf16":
        return decode_array(attribute).tobytes()
    array = np.ascontiguousarray(np.array(attribute))
    if element == "i1":
        array = array.astype(np.uint8)
    return array.tobytes()
