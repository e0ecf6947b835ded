"""The loop nests of running sums, products, maxima and minima.

A running value is a chain: each step waits for the one before. Along the last axis several rows are walked by
turns, so that the processor has other steps to do meanwhile; along any other axis a whole row of running values is
combined with the next row, in vectors.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from phalanx.dialects import dims
from phalanx.dialects.dims import Size
from phalanx.dialects.px.scatter_nests import combine_scalars
from phalanx.dialects.px.shape import is_size
from phalanx.dialects.records import record

ROWS = 8
"""Rows walked by turns along the last axis: more than an addition takes cycles."""

STEPS = 16
"""Steps of one row at a turn: about a cache line, so that rows a power of two apart do not push each other out."""

COLUMNS = 256
"""Columns a thread takes at a time where the axis is the outermost one."""

LEAST_PARALLEL = 1 << 17
"""Elements below which one thread is faster."""


@record
class Running:
    """One cumulative op to be lowered."""

    b: Any
    x: Any
    axis: int
    combine: str
    reverse: bool

    @property
    def shape(self) -> Sequence[Size]:
        """The sizes of the operand."""
        shape: Sequence[Size] = self.x.aval.shape
        return shape

    @property
    def large(self) -> bool:
        """Whether threads pay: only where the sizes are known to say so."""
        return self.x.aval.is_static and math.prod(n.__index__() for n in self.shape) >= LEAST_PARALLEL

    def start(self, target: Any, body: Callable[[Any], Any]) -> Any:
        """What `body` makes of `target` where the axis has a first element: a named size may be 0."""
        if self.x.aval.is_static or isinstance(self.shape[self.axis], int):
            return body(target)
        s = self.b.scalars
        there = s.arith("minsi", self.b.size(self.shape[self.axis]), s.index_constant(1))
        return self.b.for_loop(s.index_constant(0), there, [target], lambda _, carried: [body(carried)])[0]

    def at(self, position: Sequence[Any]) -> list[Any]:
        """A position in walking order as one in memory."""
        found = list(position)
        if self.reverse:
            last = self.b.size(self.shape[self.axis] - 1)
            found[self.axis] = self.b.scalars.arith("subi", last, found[self.axis])
        return found

    def load(self, position: Sequence[Any]) -> Any:
        """An element of the operand."""
        return self.b.scalars.extract(self.x, self.at(position))

    def rounded(self, value: Any) -> Any:
        """A compute value as it is after a way through memory: every step rounds."""
        s, dtype = self.b.scalars, self.x.aval.dtype
        return s.load(s.store(value, dtype), dtype)

    def step(self, running: Any, position: Sequence[Any]) -> Any:
        """The next running value."""
        return self.rounded(combine_scalars(self.b.scalars, self.combine, running, self.load(position), self.x.aval.dtype))

    def store(self, value: Any, target: Any, position: Sequence[Any]) -> Any:
        """The result with one more element."""
        return self.b.insert_element(value, self.b.wrap(target, self.x.aval), self.at(position))


def lower_cumulative(run: Running) -> Any:
    """The result of a cumulative op whose axis has at least two elements and whose operand is not empty."""
    target = run.b.uninitialised(run.x.aval).value
    inner = [axis for axis in range(run.axis + 1, len(run.shape)) if not is_size(run.shape[axis], 1)]
    made = _by_rows(run, target, inner[-1]) if inner else _by_chains(run, target)
    return run.b.wrap(made, run.x.aval)


def _loops(run: Running, axes: Sequence[int], position: list[Any], target: Any, body: Callable[[list[Any], Any], Any],
           root: bool = True, parallel: bool = False) -> Any:
    """Nested loops over whole axes; the outermost is the root of an opaque nest with `root`."""
    if not axes:
        return body(position, target)
    axis, *rest = axes
    zero = run.b.scalars.index_constant(0)

    def inside(at: Any, carried: Any) -> list[Any]:
        return [_loops(run, rest, _with(position, axis, at), carried, body, root=False)]

    return run.b.for_loop(zero, run.b.size(run.shape[axis]), [target], inside, opaque=root, parallel=root and parallel)[0]


def _with(position: Sequence[Any], axis: int, at: Any) -> list[Any]:
    return [at if a == axis else old for a, old in enumerate(position)]


# Along the last axis.


def _by_chains(run: Running, target: Any) -> Any:
    """Chains of running values, of several rows by turns along the axis before the last."""
    b, s = run.b, run.b.scalars
    zero, one = s.index_constant(0), s.index_constant(1)
    start = [zero] * len(run.shape)
    end = b.size(run.shape[run.axis])
    others = [axis for axis in range(len(run.shape)) if axis != run.axis and not is_size(run.shape[axis], 1)]
    if not others:
        def whole(_: Any, carried: Any) -> list[Any]:
            return [run.start(carried, lambda t: _chain(run, start, run.load(start), run.store(run.load(start), t, start),
                                                        one, end))]

        return b.for_loop(zero, one, [target], whole, opaque=True)[0]
    *outer, across = others

    def rows(position: list[Any], carried: Any, root: bool = False) -> Any:
        def block(number: Any, t: Any) -> list[Any]:
            low, high = _block(run, number, ROWS, zero, b.size(run.shape[across]))
            return [_rows(run, position, across, low, high, t)]

        return b.for_loop(zero, b.size(_blocks(run.shape[across], ROWS)), [carried], block, opaque=root,
                          parallel=root and run.large)[0]

    return _loops(run, outer, start, target, rows, parallel=run.large) if outer else rows(start, target, root=True)


def _blocks(size: Size, length: int) -> Size:
    return dims.floor_divide(size + (length - 1), length)


def _block(run: Running, number: Any, length: int, low: Any, high: Any) -> tuple[Any, Any]:
    """The bounds of a block of `length` from `low` on."""
    s = run.b.scalars
    first = s.arith("addi", low, s.arith("muli", number, s.index_constant(length)))
    return first, s.arith("minsi", s.arith("addi", first, s.index_constant(length)), high)


def _rows(run: Running, position: list[Any], across: int, low: Any, high: Any, target: Any) -> Any:
    """Rows `low` to `high`, a cache line of each by turns: chains of several rows are then under way at a time."""
    b, s = run.b, run.b.scalars
    zero, one = s.index_constant(0), s.index_constant(1)
    size = run.shape[run.axis]

    def first(row: Any, carried: Any) -> list[Any]:
        place = _with(position, across, row)
        return [run.store(run.load(place), carried, place)]

    def turn(number: Any, carried: Any) -> list[Any]:
        start, stop = _block(run, number, STEPS, one, b.size(size))

        def part(row: Any, t: Any) -> list[Any]:
            place = _with(position, across, row)
            before = _with(place, run.axis, s.arith("subi", start, one))
            running = s.extract(b.wrap(t, run.x.aval), run.at(before))
            return [_chain(run, place, running, t, start, stop)]

        return b.for_loop(low, high, [carried], part)

    target = run.start(target, lambda t: b.for_loop(low, high, [t], first)[0])
    return b.for_loop(zero, b.size(_blocks(size - 1, STEPS)), [target], turn)[0]


def _chain(run: Running, position: list[Any], running: Any, target: Any, low: Any, high: Any) -> Any:
    """One chain from `low` to `high` along the axis."""
    def step(at: Any, carried: Any, old: Any) -> list[Any]:
        here = _with(position, run.axis, at)
        value = run.step(old, here)
        return [run.store(value, carried, here), value]

    return run.b.for_loop(low, high, [target, running], step)[0]


# Along any other axis.


def _by_rows(run: Running, target: Any, columns: int) -> Any:
    """A row of running values combined with the next row; `columns` is the innermost axis with more than one element."""
    b, s = run.b, run.b.scalars
    zero, one = s.index_constant(0), s.index_constant(1)
    start = [zero] * len(run.shape)
    before = [axis for axis in range(run.axis) if not is_size(run.shape[axis], 1)]
    behind = [axis for axis in range(run.axis + 1, len(run.shape)) if not is_size(run.shape[axis], 1)]

    def first(position: list[Any], carried: Any) -> Any:
        return run.store(run.load(position), carried, position)

    def following(position: list[Any], carried: Any) -> Any:
        previous = _with(position, run.axis, s.arith("subi", position[run.axis], one))
        running = s.extract(b.wrap(carried, run.x.aval), run.at(previous))
        return run.store(run.step(running, position), carried, position)

    def plane(position: list[Any], carried: Any, low: Any, high: Any) -> Any:
        """All steps, over the inner axes; of the innermost one only `low` to `high`."""
        def inner(place: list[Any], t: Any, body: Callable[[list[Any], Any], Any]) -> Any:
            def row(spot: list[Any], u: Any) -> Any:
                return b.for_loop(low, high, [u], lambda at, v: [body(_with(spot, columns, at), v)])[0]

            return _loops(run, behind[:-1], place, t, row, root=False)

        carried = run.start(carried, lambda t: inner(position, t, first))
        end = b.size(run.shape[run.axis])
        return b.for_loop(one, end, [carried], lambda at, t: [inner(_with(position, run.axis, at), t, following)])[0]

    width = b.size(run.shape[columns])
    if before:
        return _loops(run, before, start, target, lambda p, t: plane(p, t, zero, width), parallel=run.large)
    blocks = -(-run.shape[columns].__index__() // COLUMNS) if run.large else 1

    def block(number: Any, carried: Any) -> list[Any]:
        low, high = (zero, width) if blocks == 1 else _block(run, number, COLUMNS, zero, width)
        return [plane(start, carried, low, high)]

    return b.for_loop(zero, s.index_constant(blocks), [target], block, opaque=True, parallel=blocks > 1)[0]
