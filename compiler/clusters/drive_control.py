"""Loops and branches of the driver: carried tensors become pointers or nothing at all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mlir import ir

from phalanx.compiler.clusters import build, sizes
from phalanx.compiler.clusters.model import Block, Buffer, Carry, Control, Node, Place, Ref, Tensor

if TYPE_CHECKING:
    from phalanx.compiler.clusters.driver import Driver


def control(driver: Driver, node: Node, payload: Control) -> None:
    """Write one scf op."""
    if payload.kind == "if":
        _branch(driver, node, payload)
    else:
        _Loop(driver, node, payload).write()


def _scalar_result(driver: Driver, value: Any) -> Any:
    """The scalar that leaves a block: a loaded rank-0 tensor, or a scalar."""
    return driver.load(value.tensor, value.view.offset) if isinstance(value, Ref) else driver.scalar(value)


def _bind(driver: Driver, name: Any, value: Any) -> None:
    """Give a rank-0 tensor or an original scalar its value in the driver."""
    if isinstance(name, Tensor):
        driver.publish(name, value)
    else:
        driver.memory.values[name] = value


def _type(name: Any) -> Any:
    return name.element if isinstance(name, Tensor) else name.type


def _is_scalar(name: Any) -> bool:
    return not isinstance(name, Tensor) or not name.sizes


def _branch(driver: Driver, node: Node, payload: Control) -> None:
    names = [name for name in payload.results if _is_scalar(name)]
    condition = driver.scalar(payload.condition)
    for result in payload.results:
        if not _is_scalar(result):
            driver.touch(driver.home(result))
    op = build.create("scf.if", [_type(name) for name in names], [condition], regions=2)
    for number, region in enumerate(op.regions):
        if number >= len(payload.blocks):
            continue
        block = region.blocks.append(arg_locs=[])
        inner = payload.blocks[number]
        with ir.InsertionPoint(block):
            driver.memory.scopes.append({})
            driver.block(inner)
            leaving = [
                _scalar_result(driver, value)
                for value, result in zip(inner.results, payload.results, strict=True)
                if _is_scalar(result)
            ]
            build.create("scf.yield", [], leaving)
            driver.memory.scopes.pop()
    for result in payload.results:
        if not _is_scalar(result):
            driver.touch(driver.home(result))
    for name, value in zip(names, op.results, strict=True):
        _bind(driver, name, value)


class _Loop:
    """One scf.for or scf.while under construction.

    Every carry contributes values to the loop: a scalar one, in place none, ping-pong its current buffer and a
    ring of the buffers to write (the next iteration gets the first of the ring as current, and the ring turned by
    one), one that follows its current buffer (the next iteration gets that of the carry in front).
    """

    def __init__(self, driver: Driver, node: Node, payload: Control) -> None:
        self.driver = driver
        self.memory = driver.memory
        self.node = node
        self.payload = payload
        self.starts: list[Any] = []
        self.slots: list[int] = []  # first value of each carry
        self.forward_slots: list[int] = []

    def write(self) -> None:
        self.memory.step()
        for carry in self.payload.carries:
            self.slots.append(len(self.starts))
            if carry.mode == "scalar":
                self.starts.append(_scalar_result(self.driver, carry.init))
            elif carry.mode == "in place":
                self._start_in_place(carry)
            elif carry.mode == "follows":
                self._start_pointers(carry, [])
            else:
                self._start_rotating(carry)
        if self.payload.trips == 0:
            self._skip()
            return
        self.memory.enter_loop()
        self._touch_carries()
        results = self._write_for() if self.payload.kind == "for" else self._write_while()
        self._touch_carries()
        self.memory.leave_loop()
        self._touch_carries()
        self._finish(results)

    # Before the loop.

    def _start_in_place(self, carry: Carry) -> None:
        place = self._place(carry)
        self.driver.touch(place)
        if carry.copy_init:
            self.driver.copy(carry.init, place)

    def _start_rotating(self, carry: Carry) -> None:
        ring = self._ring(carry)
        if carry.mode == "preset":
            for place in ring:
                self.driver.copy(carry.init, place)
        if self.payload.trips == 0 and carry.mode == "ping-pong":
            self.driver.copy(carry.init, self._place(carry))
        self._start_pointers(carry, ring)

    def _ring(self, carry: Carry) -> list[Place]:
        """The buffers a rotating carry is written to, in order."""
        chain, inside, trips = (carry, *carry.followers), carry.inside, self.payload.trips
        ring = [Place(Buffer("arena", inside.nbytes), inside.strides) for _ in range(len(chain) + 1)]
        if trips is None and len(chain) == 1:
            ring[0] = self._place(carry)
        elif trips is not None:
            # With a known number of iterations the last ones write straight into the results.
            for age, member in enumerate(chain):
                ring[(trips - 1 - age) % len(ring)] = self._place(member)
        return ring

    def _start_pointers(self, carry: Carry, ring: list[Place]) -> None:
        home, inside = self.driver.place(carry.init.tensor), carry.inside
        self.driver.touch(home)  # keeps it alive until here
        begin = Place(home.buffer, inside.strides, sizes.add(home.offset, carry.init.view.offset))
        carry.places = (begin, *ring)
        self.starts += [self.memory.region(place, inside.nbytes, inside.element) for place in carry.places]

    def _place(self, carry: Carry) -> Place:
        assert carry.place is not None
        return carry.place

    def _touch_carries(self) -> None:
        for carry in self.payload.carries:
            if carry.mode == "in place":
                self.driver.touch(self._place(carry))
            for place in carry.places:
                self.driver.touch(place)
        for result in self.payload.results:
            if not _is_scalar(result):
                self.driver.touch(self.driver.home(result))

    def _skip(self) -> None:
        """No iteration: every result is its initial value."""
        for carry, result in zip(self.payload.carries, self.payload.results, strict=True):
            if carry.mode == "scalar":
                _bind(self.driver, result, self.starts[self.slots[self.payload.carries.index(carry)]])

    # The loop.

    def _enter(self, arguments: Sequence[Any]) -> None:
        """Bind the carried values at the start of an iteration."""
        for carry, slot in zip(self.payload.carries, self.slots, strict=True):
            if carry.mode == "scalar":
                if isinstance(carry.inside, Tensor):
                    carry.inside.scalar = arguments[slot]
                else:
                    self.memory.values[carry.inside] = arguments[slot]
            elif carry.mode != "in place":
                for buffer, pointer in zip(carry.buffers, arguments[slot:], strict=False):
                    buffer.pointer = pointer

    def _continue(self, body: Block, arguments: Sequence[Any]) -> list[Any]:
        """The values that start the next iteration."""
        leaving = list(arguments)
        for carry, slot in zip(self.payload.carries, self.slots, strict=True):
            if carry.mode == "scalar":
                leaving[slot] = _scalar_result(self.driver, body.results[carry.index])
            elif carry.mode in ("ping-pong", "preset"):
                first, *rest = arguments[slot + 1 : slot + len(carry.places)]
                leaving[slot : slot + len(carry.places)] = [first, *rest, first]
                front = slot
                for follower in carry.followers:
                    behind = self.slots[self.payload.carries.index(follower)]
                    leaving[behind], front = arguments[front], behind
        return leaving

    def _write_for(self) -> list[Any]:
        variable = self.payload.variable
        bounds = [self.driver.scalar(value) for value in list(self.node.op.operands)[:3]]
        types = [value.type for value in self.starts]
        op = build.create("scf.for", types, [*bounds, *self.starts], regions=1)
        block_types = [variable.type, *types]
        block = op.regions[0].blocks.append(*block_types, arg_locs=[self.node.location] * len(block_types))
        arguments = list(block.arguments)
        self.memory.values[variable] = arguments[0]
        self._body(self.payload.blocks[0], block, arguments[1:])
        return list(op.results)

    def _body(self, body: Block, block: Any, arguments: list[Any]) -> None:
        with ir.InsertionPoint(block):
            self.memory.scopes.append({})
            self._enter(arguments)
            self.driver.block(body)
            build.create("scf.yield", [], self._continue(body, arguments))
            self.memory.scopes.pop()

    def _write_while(self) -> list[Any]:
        types = [value.type for value in self.starts]
        before, after = self.payload.blocks
        passed = [name for name in self.payload.forwards if not isinstance(name, int) and _is_scalar(name)]
        out_types = types + [_type(name) for name in passed]
        op = build.create("scf.while", out_types, self.starts, regions=2)
        location = self.node.location
        first = op.regions[0].blocks.append(*types, arg_locs=[location] * len(types))
        with ir.InsertionPoint(first):
            self.memory.scopes.append({})
            arguments = list(first.arguments)
            self._enter(arguments)
            self.driver.block(before)
            computed = iter(before.results[1:])
            extra: list[Any] = []
            for name in self.payload.forwards:
                if not isinstance(name, int):
                    value = next(computed)
                    if _is_scalar(name):
                        extra.append(_scalar_result(self.driver, value))
            condition = self.driver.scalar(self.payload.condition)
            build.create("scf.condition", [], [condition, *arguments, *extra])
            self.memory.scopes.pop()
        second = op.regions[1].blocks.append(*out_types, arg_locs=[location] * len(out_types))
        arguments = list(second.arguments)
        for name, value in zip(passed, arguments[len(types) :], strict=True):
            if isinstance(name, Tensor):
                name.scalar = value
            else:
                self.memory.values[name] = value
        self._body(after, second, arguments[: len(types)])
        return list(op.results)

    # After the loop.

    def _finish(self, results: list[Any]) -> None:
        for carry, slot in zip(self.payload.carries, self.slots, strict=True):
            if carry.mode in ("ping-pong", "preset", "follows") and self.payload.trips is None:
                self._settle(carry, results[slot])
        extra = iter(results[len(self.starts) :])
        for number, result in enumerate(self.payload.results):
            forward = self.payload.forwards[number] if self.payload.kind == "while" else number
            if _is_scalar(result):
                if isinstance(forward, int):
                    _bind(self.driver, result, results[self.slots[forward]])
                else:
                    _bind(self.driver, result, next(extra))
        for result, carry in self.payload.copies:
            whole = Tensor(result.sizes, result.element, result.block, strides=result.strides, home=carry.place)
            self.driver.copy(Ref(whole, whole.view), self.driver.home(result))

    def _settle(self, carry: Carry, current: Any) -> None:
        """Unknown number of iterations: move the final value where it is wanted, unless it is there."""
        place, inside = self._place(carry), carry.inside
        buffer = Buffer("carried", inside.nbytes, pointer=current)
        final = Tensor(inside.sizes, inside.element, inside.block, strides=inside.strides)
        final.home = Place(buffer, inside.strides)
        name = "memref.extract_aligned_pointer_as_index"
        pointers = [self.memory.pointer(final.home, 0, inside.element), self.memory.pointer(place, 0, inside.element)]
        addresses = [build.create(name, [self.memory.index], [pointer]).result for pointer in pointers]
        differs = ir.IntegerAttr.get(ir.IntegerType.get_signless(64), 1)
        condition = build.create("arith.cmpi", [ir.IntegerType.get_signless(1)], addresses, {"predicate": differs})
        op = build.create("scf.if", [], [condition.result], regions=2)
        with ir.InsertionPoint(op.regions[0].blocks.append(arg_locs=[])):
            self.memory.scopes.append({})
            self.driver.copy(Ref(final, final.view), place)
            build.create("scf.yield")
            self.memory.scopes.pop()
