"""Shares a cluster among threads: which loop is cut, when that pays, and the code that does it.

The work goes into a function of its own that takes the part of one loop it is to do; the cluster's function calls
it once, or for every part from an scf.parallel. Cutting a kept loop changes no result. Cutting a reduced loop does:
the parts are then a fixed number, whatever the number of threads, and their results are combined in order.
"""

from __future__ import annotations

from collections.abc import Callable

from phalanx.compiler.schedules.blocking import LINE_BYTES
from phalanx.compiler.schedules.cluster import Cluster
from phalanx.compiler.schedules.domain import Access, Domain
from phalanx.compiler.schedules.text import Index, Writer
from phalanx.compiler.schedules.workspace import element_bytes
from phalanx.dialects.records import record

THRESHOLD = 100_000_000
"""Picoseconds of estimated work from which a thread team pays, also on a busy machine."""

PICOSECONDS_PER_STREAM = 100
PICOSECONDS_PER_OP = 30
PICOSECONDS_PER_MULTIPLY_ADD = 25

PICOSECONDS_PER_MOVED_LINE = 5_000
"""For a line that comes from the cache of another core; views of one array often meet in a line, so it is half of that."""

LEAST_PART = 16
"""Fewest elements of the innermost loop in a part of such work: the walks through columns are what takes time in it."""

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


def moved_work(domain: Domain) -> int:
    """Estimated picoseconds for fetching lines one by one; 0 when sizes or strides are not known yet.

    Lines that follow each other are fetched ahead and do not count.
    """
    points = 1
    for size in domain.sizes:
        points *= size if isinstance(size, int) else 0
    apart = sum(_skips_lines(access) for access in domain.accesses.values())
    return points * apart * PICOSECONDS_PER_MOVED_LINE


def _skips_lines(access: Access) -> bool:
    step = access.coefficients[-1] if access.coefficients else 0
    return isinstance(step, int) and abs(step) * element_bytes(access.view.element) >= LINE_BYTES


def cut_kept(domain: Domain, parts: int, least: int = 64) -> Cut | None:
    """The outermost kept loop with enough iterations for every part, `least` where it is the innermost one."""
    kept = [loop for loop, gone in enumerate(domain.reduced) if not gone]
    for loop in kept:
        size = domain.sizes[loop]
        grain = least if loop == len(domain.sizes) - 1 else 1
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
