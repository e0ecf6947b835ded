"""The loop nests of scatter: one update after the other, or parts of them into bins of their own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from phalanx.dialects.aval import Aval
from phalanx.dialects.dtypes import DType
from phalanx.dialects.px.host_indexing import unindexed
from phalanx.dialects.px.shape import is_size
from phalanx.dialects.records import record

PARTS = 8
"""Parts of a scatter with bins of their own: fixed, so that sums do not depend on the number of threads."""

LEAST_UPDATES = 1 << 16
"""Fewer elements of updates are done in less time than it takes to share them."""

UPDATES_PER_BIN = 2
"""Least updates per element of all the bins together: they must be filled, and combined afterwards."""

_FLOAT = {"add": "addf", "multiply": "mulf", "min": "minimumf", "max": "maximumf"}


def combine_scalars(s: Any, combine: str, old: Any, new: Any, dtype: DType) -> Any:
    """One step of combining, in compute types."""
    if combine == "set":
        return new
    if dtype.is_float:
        return s.arith(_FLOAT[combine], old, new)
    sign = "s" if dtype.kind == "i" else "u"
    return s.arith({"add": "addi", "multiply": "muli", "min": f"min{sign}i", "max": f"max{sign}i"}[combine], old, new)


def clamp(s: Any, index: Any, last: Any, dtype: DType) -> Any:
    """An index value of 0 to `last`; huge unsigned ones are at the far end."""
    if dtype.kind == "u":
        return s.arith("minui", index, last)
    return s.arith("maxsi", s.arith("minsi", index, last), s.index_constant(0))


@record
class Scatter:
    """One scatter to be lowered, and what is known of its shapes."""

    b: Any
    x: Any
    updates: Any
    indices: Sequence[Any]
    axes: tuple[int, ...]
    combine: str
    mode: str

    @property
    def rest(self) -> tuple[int, ...]:
        """The axes of the target that are not indexed."""
        return tuple(unindexed(self.x.aval.ndim, self.axes))

    @property
    def lead(self) -> int:
        """How many axes of the updates come from the indices."""
        return len(self.updates.aval.shape) - len(self.rest)

    def raw_indices(self, loops: Sequence[Any]) -> list[Any]:
        """The index of every indexed axis for one update, as it is given."""
        s = self.b.scalars
        zero = s.index_constant(0)
        spread = self.updates.aval.with_shape(self.updates.aval.shape[:self.lead])
        found = []
        for index in self.indices:
            entries = self.b.broadcast_map(index.aval, spread)
            at = [zero if isinstance(e, tuple) else loops[e] for e in entries]
            found.append(s.to_index(s.element(index, at), index.aval.dtype))
        return found

    def update(self, loops: Sequence[Any]) -> Any:
        """The update at a position, in its compute type."""
        if self.updates.splat is not None:
            return self.b.scalars.constant(self.updates.splat, self.updates.aval.dtype)
        return self.b.scalars.extract(self.updates, loops)


def lower_scatter(site: Scatter) -> Any:
    """The target after the updates."""
    return _in_parts(site) if _parts_pay(site) else _in_order(site)


# One after the other.


def _in_order(site: Scatter) -> Any:
    """A nest over the updates; one out of range writes the old value back, so that the body has no branch."""
    b, x, s = site.b, site.x, site.b.scalars
    shape = site.updates.aval.shape
    sizes = [b.size(x.aval.shape[a]) for a in site.axes]
    zero, one = s.index_constant(0), s.index_constant(1)
    bounds = [b.size(n) for n in shape]
    if not x.aval.is_static and bounds:
        bounds[0] = _none_when_empty(b, x.aval, bounds[0])

    def element(loops: Sequence[Any], target: Any) -> Any:
        position: list[Any] = [None] * x.aval.ndim
        inside = None
        for axis, raw, index, size in zip(site.axes, site.raw_indices(loops), site.indices, sizes, strict=True):
            last = s.arith("subi", size, one)
            if site.mode == "clip":
                position[axis] = clamp(s, raw, last, index.aval.dtype)
            else:
                position[axis] = s.arith("minui", raw, last)  # a negative one is huge without its sign
                here = s.cmpi("eq", position[axis], raw)
                inside = here if inside is None else s.arith("andi", inside, here)
        for loop, axis in enumerate(site.rest, site.lead):
            position[axis] = loops[loop]
        current = b.wrap(target, x.aval)
        old = s.extract(current, position)
        value = combine_scalars(s, site.combine, old, site.update(loops), x.aval.dtype)
        if inside is not None:
            value = s.select(inside, value, old)
        return b.insert_element(value, current, position)

    def nest(loops: list[Any], target: Any) -> Any:
        depth = len(loops)
        if depth == len(shape):
            return element(loops, target)
        return b.for_loop(zero, bounds[depth], [target], lambda i, t: [nest([*loops, i], t)], opaque=depth == 0)[0]

    if not shape:  # one update still is a nest, so that the target is updated in place
        return b.wrap(b.for_loop(zero, one, [x.value], lambda _, t: [element([], t)], opaque=True)[0], x.aval)
    return b.wrap(nest([], x.value), x.aval)


def _none_when_empty(b: Any, aval: Aval, bound: Any) -> Any:
    """`bound`, or 0 when the tensor turns out to be empty: there is nothing to clamp to."""
    s = b.scalars
    return s.select(s.cmpi("eq", b.size(aval.size), s.index_constant(0)), s.index_constant(0), bound)


# In parts.


def _parts_pay(site: Scatter) -> bool:
    """Whether combining is free of order, and many updates meet few elements."""
    shape = site.updates.aval.shape
    if site.combine == "set" or not site.indices or not (site.x.aval.is_static and site.updates.aval.is_static):
        return False
    if site.lead == 0 or any(is_size(n, 0) for n in (*shape, *site.x.aval.shape)):
        return False
    updates = math.prod(n.__index__() for n in shape)
    bins = PARTS * math.prod(n.__index__() for n in site.x.aval.shape)
    return updates >= LEAST_UPDATES and shape[0].__index__() >= PARTS and updates >= UPDATES_PER_BIN * bins


def _in_parts(site: Scatter) -> Any:
    """Every part of the updates goes to bins of its own; these are combined into the target, in order.

    The bins have one more place along the indexed axes, where updates out of range end.
    """
    b, x, s = site.b, site.x, site.b.scalars
    indexed = [x.aval.shape[a].__index__() for a in site.axes]
    places = math.prod(indexed)
    rest = [x.aval.shape[a].__index__() for a in site.rest]
    bins = Aval((PARTS, places + 1, *rest), x.aval.dtype)
    shape = [n.__index__() for n in site.updates.aval.shape]
    length = -(-shape[0] // PARTS)
    zero = s.index_constant(0)

    def place(loops: Sequence[Any]) -> Any:
        """The number of the place, row-major over the indexed axes; `places` when out of range."""
        found, inside = zero, None
        last = s.index_constant(places)
        for raw, index, size in zip(site.raw_indices(loops), site.indices, indexed, strict=True):
            at = raw
            if site.mode == "clip":
                at = clamp(s, raw, s.index_constant(size - 1), index.aval.dtype)
            elif len(indexed) == 1:
                return s.arith("minui", raw, last)  # a negative one is huge without its sign
            else:
                here = s.cmpi("ult", raw, s.index_constant(size))
                inside = here if inside is None else s.arith("andi", inside, here)
            found = s.arith("addi", s.arith("muli", found, s.index_constant(size)), at)
        return found if inside is None else s.select(inside, found, last)

    def clear(part: Any, loops: list[Any], target: Any) -> Any:
        depth = len(loops)
        if depth == bins.ndim - 1:
            return b.insert_element(_neutral(s, site.combine, x.aval.dtype), b.wrap(target, bins), [part, *loops])
        bound = s.index_constant(bins.shape[depth + 1].__index__())
        return b.for_loop(zero, bound, [target], lambda i, t: [clear(part, [*loops, i], t)])[0]

    def fill(part: Any, loops: list[Any], at: Any, target: Any) -> Any:
        depth = len(loops)
        if depth == site.lead and at is None:
            at = place(loops)
        if depth == len(shape):
            current, position = b.wrap(target, bins), [part, at, *loops[site.lead:]]
            value = combine_scalars(s, site.combine, s.extract(current, position), site.update(loops), x.aval.dtype)
            return b.insert_element(value, current, position)
        low, high = zero, s.index_constant(shape[depth])
        if depth == 0:
            low = s.arith("muli", part, s.index_constant(length))
            low, high = s.arith("minsi", low, high), s.arith("minsi", s.arith("addi", low, s.index_constant(length)), high)
        return b.for_loop(low, high, [target], lambda i, t: [fill(part, [*loops, i], at, t)])[0]

    made = b.for_loop(zero, s.index_constant(PARTS), [b.empty(bins)],
                      lambda part, t: [fill(part, [], None, clear(part, [], t))], opaque=True, parallel=True)[0]
    return _combined(site, b.wrap(made, bins), places, indexed, rest)


def _combined(site: Scatter, bins: Any, places: int, indexed: list[int], rest: list[int]) -> Any:
    """The target combined with the bins of every part."""
    b, x = site.b, site.x
    inside = b.slice(bins, [0] * bins.aval.ndim, bins.aval.with_shape((PARTS, places, *rest)))
    if len(indexed) > 1:
        groups = [[0], list(range(1, 1 + len(indexed))), *([k + 1 + len(indexed)] for k in range(len(rest)))]
        inside = b.expand(inside, groups, bins.aval.with_shape((PARTS, *indexed, *rest)))
    rank = x.aval.ndim
    return b.generic(
        [(inside, [rank, *site.axes, *site.rest])], [x.aval],
        lambda value, total: combine_scalars(b.scalars, site.combine, total, value, x.aval.dtype),
        loops=rank + 1, reductions=[rank], output_maps=[range(rank)], inits=[x])[0]


def _neutral(s: Any, combine: str, dtype: DType) -> Any:
    """What changes nothing when it is combined."""
    if dtype.is_bool:
        return s.constant(combine == "min", dtype)
    if dtype.is_float:
        return s.constant({"add": -0.0, "multiply": 1.0, "min": math.inf, "max": -math.inf}[combine], dtype)
    low = -(1 << (dtype.bits - 1)) if dtype.kind == "i" else 0
    return s.constant({"add": 0, "multiply": 1, "min": low + (1 << dtype.bits) - 1, "max": low}[combine], dtype)
