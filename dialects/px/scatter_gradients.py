"""The gradients of scatter, one rule per way of combining."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from phalanx.dialects.dims import product
from phalanx.dialects.dtypes import int32, int64
from phalanx.dialects.kinds import emit
from phalanx.dialects.opdef import Axes, lookup
from phalanx.dialects.px.shape import filled, zeros_like
from phalanx.dialects.px.slicing import size_tensor
from phalanx.dialects.records import record


@record
class Site:
    """The positions of one scatter."""

    indices: list[Any]
    axes: Axes
    mode: str

    def read(self, x: Any) -> Any:
        """What `x` holds at the positions."""
        return emit(lookup("gather"), [x, *self.indices], {"axes": self.axes})

    def write(self, x: Any, updates: Any, combine: str) -> Any:
        """Another scatter at the same positions."""
        return emit(lookup("scatter"), [x, updates, *self.indices],
                    {"axes": self.axes, "combine": combine, "mode": self.mode})

    def inside(self, x: Any) -> Any:
        """Which updates are in range; None when all count."""
        if self.mode == "clip" or not self.indices:
            return None
        found: Any = None
        for index, axis in zip(self.indices, self.axes, strict=True):
            wide = lookup("convert")(index, int64)
            here = (wide >= 0) & (wide < size_tensor(x.shape[axis], int64))
            found = here if found is None else found & here
        rest = x.ndim - len(self.axes)
        return lookup("reshape")(found, (*found.shape, *[1] * rest))


def _masked(condition: Any, value: Any) -> Any:
    """`value` where the condition holds (everywhere when it is None), else 0."""
    return value if condition is None else lookup("select")(condition, value, zeros_like(value))


def _add(site: Site, ct: Any, out: Any, x: Any, updates: Any) -> tuple[Any, Any]:
    return ct, _masked(site.inside(x), site.read(ct))


def _set(site: Site, ct: Any, out: Any, x: Any, updates: Any) -> tuple[Any, Any]:
    # Only the last update of a position counts: number them, write the numbers, see which are still there.
    lead = updates.shape[: updates.ndim - (x.ndim - len(site.axes))]
    numbers = lookup("iota")((product(lead),), axis=0, dtype=int32) + 1
    numbers = lookup("reshape")(numbers, (*lead, *[1] * (updates.ndim - len(lead))))
    order = emit(lookup("broadcast"), [numbers], {"shape": updates.shape, "axes": tuple(range(updates.ndim))})
    written = site.write(filled(x.shape, 0, int32), order, "set")
    return site.write(ct, zeros_like(updates), "set"), _masked(site.read(written) == order, site.read(ct))


def _multiply(site: Site, ct: Any, out: Any, x: Any, updates: Any) -> tuple[Any, Any]:
    # The product of the other updates at a position, right where some are zero.
    zero = updates == 0
    factors = lookup("select")(zero, filled(updates.shape, 1, updates.dtype), updates)
    ones = filled(x.shape, 1, x.dtype)
    together = site.read(site.write(ones, factors, "multiply"))
    zeros = site.read(site.write(filled(x.shape, 0, int32), lookup("convert")(zero, int32), "add"))
    without_zero = _masked(zeros == 0, together / factors)
    others = lookup("select")(zero, _masked(zeros == 1, together), without_zero)
    du = _masked(site.inside(x), site.read(ct * x) * others)
    return ct * site.write(ones, updates, "multiply"), du


def _extreme(site: Site, ct: Any, out: Any, x: Any, updates: Any) -> tuple[Any, Any]:
    # Everything equal to the result shares the cotangent.
    from_x = x == out
    from_updates = updates == site.read(out)
    inside = site.inside(x)
    if inside is not None:
        from_updates = from_updates & inside
    convert = lookup("convert")
    count = emit(lookup("scatter"), [convert(from_x, ct.dtype), convert(from_updates, ct.dtype), *site.indices],
                 {"axes": site.axes, "combine": "add", "mode": site.mode})
    share = ct / lookup("maximum")(count, 1)
    return _masked(from_x, share), _masked(from_updates, site.read(share))


_RULES: dict[str, Callable[..., tuple[Any, Any]]] = {
    "add": _add, "set": _set, "multiply": _multiply, "min": _extreme, "max": _extreme}


def scatter_gradients(ct: Any, out: Any, x: Any, updates: Any, site: Site, combine: str) -> tuple[Any, Any]:
    """The cotangents of `x` and of `updates`."""
    return _RULES[combine](site, ct, out, x, updates)
