"""Loop carries that are written over row by row: what they start from is never read and need not exist."""

from __future__ import annotations

from phalanx.compiler.clusters.model import Carry, Control, Insert, Ref, Tensor
from phalanx.compiler.clusters.sizes import Apply, Size, Symbolic, apply, leaves, product

MOST_TRIPS = 4096
"""The rows written are looked at one by one; longer loops keep their start."""


def written_over(control: Control, carry: Carry) -> bool:
    """Whether a counted loop inserts every row of a carried tensor, and does nothing else with it."""
    old, trips = carry.inside, control.trips
    if not isinstance(old, Tensor) or not old.sizes or trips is None or not 0 < trips <= MOST_TRIPS:
        return False
    if old.sizes[0] != trips or control.bounds != (0, trips, 1) or not all(isinstance(n, int) for n in old.sizes):
        return False
    body = control.blocks[0]
    following = body.results[carry.index]
    node = following.tensor.node if isinstance(following, Ref) and following.whole else None
    if node is None or not isinstance(node.payload, Insert) or old.readers != [node]:
        return False
    if any(isinstance(value, Ref) and value.tensor is old for value in body.results) or any(
        isinstance(inner.payload, Control) for inner in body.nodes
    ):
        return False
    insert = node.payload
    row = product(old.sizes[1:])
    if insert.into is None or not insert.into.whole or insert.into.tensor is not old or insert.source.tensor is old:
        return False
    region = insert.region
    if not isinstance(row, int) or product(region.sizes) != row or not region.contiguous:
        return False
    return _offsets(control, region.offset, trips) == {number * row for number in range(trips)}


def _offsets(control: Control, offset: Size, trips: int) -> set[int]:
    """Where the loop inserts; nothing when that depends on more than its variable."""
    if any(leaf.value != control.variable for leaf in leaves(offset)):
        return set()
    found = [_at(offset, number) for number in range(trips)]
    return {place for place in found if isinstance(place, int)}


def _at(size: Size, number: int) -> Size:
    """A size in the trip of that number, when all its leaves are the loop's variable."""
    if not isinstance(size, Symbolic):
        return size
    total = 0
    for monomial, factor in size.terms:
        for atom in monomial:
            value = apply(atom.name, _at(atom.lhs, number), _at(atom.rhs, number)) if isinstance(atom, Apply) else number
            if not isinstance(value, int):
                return size
            factor *= value
        total += factor
    return total
