"""The part of an array that an insert fills: as a place, and as the access of whoever computes what is inserted."""

from __future__ import annotations

from phalanx.compiler.clusters import sizes
from phalanx.compiler.clusters.model import Insert, Place
from phalanx.compiler.clusters.sizes import Size
from phalanx.compiler.clusters.view import Access


def region_place(insert: Insert, place: Place) -> Place:
    """The part of a result's place that an insert fills."""
    return Place(place.buffer, insert.region.strides, sizes.add(place.offset, insert.region.offset))


def strides_in(insert: Insert) -> tuple[Size, ...] | None:
    """The inserted tensor's strides in the region, which may have other dimensions of size 1; None when it is a part."""
    source, tensor = insert.source.view, insert.source.tensor
    shown = [n for n, size in enumerate(source.sizes) if size != 1]
    own = [n for n, size in enumerate(tensor.sizes) if size != 1]
    same = [(source.sizes[n], source.strides[n]) for n in shown] == [(tensor.sizes[n], tensor.strides[n]) for n in own]
    if not same or source.offset != 0:
        return None
    strides = list(tensor.strides)
    for n, m in zip(own, shown, strict=True):
        strides[n] = insert.region.strides[m]
    return tuple(strides)


def region_access(insert: Insert) -> Access | None:
    """How the maker of an inserted tensor writes the whole array, when it writes the region itself."""
    strides = strides_in(insert)
    return None if strides is None else Access(insert.region.offset, insert.source.tensor.store_at(strides).steps)
