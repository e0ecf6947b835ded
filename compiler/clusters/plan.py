"""The arena: every temporary gets an offset so that buffers alive at the same time never overlap.

Static buffers are packed by size, largest first, each at the lowest offset that is free during its
life: in the memory of a result that is written only later, else in the arena. Buffers whose size is
known only at run time follow them, one slot per set of equal sizes.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Collection, Sequence

from phalanx.compiler.clusters.model import Buffer
from phalanx.compiler.clusters.sizes import Size
from phalanx.dialects.records import field, record

ALIGNMENT = 64
PACK_LIMIT = 600  # above this many buffers first fit by time, which stays linear


def aligned(nbytes: int) -> int:
    """Rounded up to a cache line; an empty buffer still gets an address."""
    return max(ALIGNMENT, -(-nbytes // ALIGNMENT) * ALIGNMENT)


@record(frozen=False)
class ArenaPlan:
    """Offsets of the static buffers, slots of the dynamic ones, and the result whose memory holds a buffer."""

    offsets: dict[Buffer, int]
    static_bytes: int
    slots: list[tuple[Size, list[Buffer]]]
    hosts: dict[Buffer, Buffer] = field(default_factory=dict)


def plan_arena(buffers: Sequence[Buffer], results: Sequence[Buffer] = (),
               bound: Collection[Buffer] = frozenset()) -> ArenaPlan:
    """Place every touched arena buffer; those that are `bound` to the arena not in a result."""
    used = [b for b in buffers if b.first is not None]
    static = [b for b in used if isinstance(b.nbytes, int)]
    slots = _slots([b for b in used if not isinstance(b.nbytes, int)])
    hosts: dict[Buffer, Buffer] = {}
    if len(static) > PACK_LIMIT:
        offsets = _first_fit_by_time(static)
    else:
        offsets, hosts = _pack(static, results, bound)
    ends = (offset + _bytes(b) for b, offset in offsets.items() if b not in hosts)
    return ArenaPlan(offsets, max(ends, default=0), slots, hosts)


def _life(buffer: Buffer) -> tuple[int, int]:
    assert buffer.first is not None and buffer.last is not None
    return buffer.first, buffer.last


def _bytes(buffer: Buffer) -> int:
    assert isinstance(buffer.nbytes, int)
    return aligned(buffer.nbytes)


class _Room:
    """Memory being filled: the arena, or a result up to its first write."""

    def __init__(self, result: Buffer | None = None) -> None:
        self.result = result
        self.placed: list[tuple[int, int, int, int]] = []  # offset, end, first, last; sorted by offset

    def takes(self, buffer: Buffer) -> bool:
        """Whether the buffer is dead when the result is written, and aligned in it as it must be."""
        if self.result is None:
            return True
        assert self.result.first is not None
        return _life(buffer)[1] < self.result.first and buffer.item <= self.result.item

    def offset(self, buffer: Buffer) -> int | None:
        """The lowest offset free during the buffer's life, None when it does not fit."""
        first, last = _life(buffer)
        need, offset = _bytes(buffer), 0
        for start, end, other_first, other_last in self.placed:
            if other_last < first or last < other_first:
                continue
            if offset + need <= start:
                break
            offset = max(offset, end)
        if self.result is not None and offset + int(buffer.nbytes) > int(self.result.nbytes):  # type: ignore[arg-type]
            return None
        return offset

    def put(self, buffer: Buffer, offset: int) -> None:
        """Take the room."""
        insort(self.placed, (offset, offset + _bytes(buffer), *_life(buffer)))


def _pack(buffers: Sequence[Buffer], results: Sequence[Buffer],
          bound: Collection[Buffer]) -> tuple[dict[Buffer, int], dict[Buffer, Buffer]]:
    rooms = [_Room(result) for result in results if isinstance(result.nbytes, int)]
    arena = _Room()
    offsets: dict[Buffer, int] = {}
    hosts: dict[Buffer, Buffer] = {}
    for buffer in sorted(buffers, key=lambda b: (-_bytes(b), _life(b))):
        for room in [arena] if buffer in bound else [*rooms, arena]:
            offset = room.offset(buffer) if room.takes(buffer) else None
            if offset is not None:
                room.put(buffer, offset)
                offsets[buffer] = offset
                if room.result is not None:
                    hosts[buffer] = room.result
                break
    return offsets, hosts


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
