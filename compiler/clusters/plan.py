"""The arena: every temporary gets an offset so that buffers alive at the same time never overlap.

Static buffers are packed by size, largest first, each at the lowest offset that is free during its
life. Buffers whose size is known only at run time follow them, one slot per set of equal sizes.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass

from phalanx.compiler.clusters.model import Buffer
from phalanx.compiler.clusters.sizes import Size

ALIGNMENT = 64
PACK_LIMIT = 600  # above this many buffers first fit by time, which stays linear


def aligned(nbytes: int) -> int:
    """Rounded up to a cache line; an empty buffer still gets an address."""
    return max(ALIGNMENT, -(-nbytes // ALIGNMENT) * ALIGNMENT)


@dataclass
class ArenaPlan:
    """Offsets of the static buffers, slots of the dynamic ones."""

    offsets: dict[Buffer, int]
    static_bytes: int
    slots: list[tuple[Size, list[Buffer]]]


def plan_arena(buffers: Sequence[Buffer]) -> ArenaPlan:
    """Place every touched arena buffer."""
    used = [b for b in buffers if b.first is not None]
    static = [b for b in used if isinstance(b.nbytes, int)]
    offsets = _pack(static) if len(static) <= PACK_LIMIT else _first_fit_by_time(static)
    top = max((offset + aligned(int(b.nbytes)) for b, offset in offsets.items() if isinstance(b.nbytes, int)), default=0)
    return ArenaPlan(offsets, top, _slots([b for b in used if not isinstance(b.nbytes, int)]))


def _life(buffer: Buffer) -> tuple[int, int]:
    assert buffer.first is not None and buffer.last is not None
    return buffer.first, buffer.last


def _bytes(buffer: Buffer) -> int:
    assert isinstance(buffer.nbytes, int)
    return aligned(buffer.nbytes)


def _pack(buffers: Sequence[Buffer]) -> dict[Buffer, int]:
    placed: list[tuple[int, int, int, int]] = []  # offset, end, first, last; sorted by offset
    offsets: dict[Buffer, int] = {}
    for buffer in sorted(buffers, key=lambda b: (-_bytes(b), _life(b))):
        first, last = _life(buffer)
        need = _bytes(buffer)
        offset = 0
        for start, end, other_first, other_last in placed:
            if other_last < first or last < other_first:
                continue
            if offset + need <= start:
                break
            offset = max(offset, end)
        offsets[buffer] = offset
        insort(placed, (offset, offset + need, first, last))
    return offsets


def _first_fit_by_time(buffers: Sequence[Buffer]) -> dict[Buffer, int]:
    """Allocate in order of first use from the gaps that dead buffers left."""
    offsets: dict[Buffer, int] = {}
    live: list[tuple[int, int, int]] = []  # offset, end, last
    for buffer in sorted(buffers, key=_life):
        first, last = _life(buffer)
        live = [item for item in live if item[2] >= first]
        offset = 0
        for start, end, _ in live:
            if offset + _bytes(buffer) <= start:
                break
            offset = max(offset, end)
        offsets[buffer] = offset
        insort(live, (offset, offset + _bytes(buffer), last))
    return offsets


def _slots(buffers: Sequence[Buffer]) -> list[tuple[Size, list[Buffer]]]:
    slots: list[tuple[Size, list[Buffer]]] = []
    ends: list[int] = []
    by_size: dict[Size, list[int]] = {}
    for buffer in sorted(buffers, key=_life):
        first, last = _life(buffer)
        candidates = by_size.setdefault(buffer.nbytes, [])
        free = next((k for k in candidates if ends[k] < first), None)
        if free is None:
            free = len(slots)
            slots.append((buffer.nbytes, []))
            ends.append(-1)
            candidates.append(free)
        slots[free][1].append(buffer)
        ends[free] = last
    return slots
