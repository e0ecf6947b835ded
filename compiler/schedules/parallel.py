"""Shares a cluster among threads: which loop is cut, when that pays, and the code that does it.

The work goes into a function of its own that takes the part of one loop it is to do; the cluster's function calls
it once, or for every part from an scf.parallel. Cutting a kept loop changes no result. Cutting a reduced loop does:
the parts are then a fixed number, whatever the number of threads, and their results are combined in order.
"""

from __future__ import annotations

from collections.abc import Callable

from phalanx.compiler.schedules.cluster import Cluster
from phalanx.compiler.schedules.domain import Domain
from phalanx.compiler.schedules.text import Index, Writer
from phalanx.dialects.records import record

THRESHOLD = 100_000_000
"""Picoseconds of estimated work from which a thread team pays, also on a busy machine."""

PICOSECONDS_PER_STREAM = 100
PICOSECONDS_PER_OP = 30
PICOSECONDS_PER_MULTIPLY_ADD = 25

PARTS_PER_CORE = 4
"""Parts of an elementwise nest per core: any number of threads then gets nearly equal shares."""

@record
class Cut:
    """A loop shared among threads: its parts are multiples of `grain`."""

    loop: int
    parts: int
    grain: int = 1


def work_of(cluster: Cluster, domain: Domain, cached: bool = False) -> Index:
    """Estimated picoseconds for one thread; arithmetic alone where the arrays are `cached`."""
    writer = cluster.writer
    points: Index = 1
    for size in domain.sizes:
        points = writer.mul(points, size)
    streams = len({access.view.pointer for access in domain.accesses.values()})
    cost = sum(node.body.cost for node in cluster.nodes)
    return writer.mul(points, (0 if cached else PICOSECONDS_PER_STREAM * streams) + PICOSECONDS_PER_OP * cost)


def cut_kept(domain: Domain, parts: int) -> Cut | None:
    """The outermost kept loop with enough iterations for every part."""
    kept = [loop for loop, gone in enumerate(domain.reduced) if not gone]
    for loop in kept:
        size = domain.sizes[loop]
        grain = 64 if loop == len(domain.sizes) - 1 else 1
        if isinstance(size, str) or size >= parts * grain:
            return Cut(loop, parts, grain)
    return None


def cut_reduced(domain: Domain, parts: int) -> Cut | None:
    """The outermost loop of a phase that has reductions, or has any size at all when it has none."""
    candidates = [loop for loop, gone in enumerate(domain.reduced) if gone] or list(range(len(domain.sizes)))
    for loop in candidates[:1]:
        size = domain.sizes[loop]
        if isinstance(size, str) or size >= parts:
            return Cut(loop, parts)
    return None


def emit_parts(writer: Writer, size: Index, cut: Cut, call: Callable[[Index, Index, Index], None]) -> None:
    """An scf.parallel that calls `call(part, low, high)` for every part of the loop."""
    length = writer.mul(writer.ceildiv(writer.ceildiv(size, cut.parts), cut.grain), cut.grain)

    def one(part: str) -> None:
        low = writer.min(writer.mul(part, length), size)
        call(part, low, writer.min(writer.add(low, length), size))

    writer.parallel(cut.parts, one)
