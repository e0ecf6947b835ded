"""Fused loops for elementwise, reduction and copy clusters: domain, plan and nest in one object."""

from __future__ import annotations

from phalanx.compiler.schedules.cluster import Cluster
from phalanx.compiler.schedules.domain import DomainBuilder
from phalanx.compiler.schedules.fused import plan_levels
from phalanx.compiler.schedules.nest import TALL_ROWS, Nest, scratch_possible
from phalanx.compiler.schedules.parallel import PARTS_PER_CORE, Cut, cut_kept, cut_reduced, work_of
from phalanx.compiler.schedules.phases import phases_possible, reduction_parts
from phalanx.compiler.schedules.streams import Streams, stream_lanes
from phalanx.compiler.schedules.text import Index
from phalanx.compiler.schedules.workspace import Workspace
from phalanx.compiler.targets.isa import Isa


class Fused:
    """One loop nest for everything in a cluster."""

    def __init__(self, cluster: Cluster, workspace: Workspace, isa: Isa | None = None) -> None:
        """`isa` is the machine whose caches decide whether results go past them."""
        self.cluster = cluster
        self.workspace = workspace
        builder = DomainBuilder(cluster)
        self.domain = builder.build()
        self.placed = builder.placed
        self.plan = plan_levels(cluster, builder.placed, builder.reduced, scratch_possible(self.domain))
        self.isa = isa
        self.lanes = 0 if isa is None else stream_lanes(cluster, self.domain, isa)

    def emit(self, bounds: dict[int, tuple[Index, Index]] | None = None) -> None:
        """Writes the nest; `bounds` restricts some loops to a part."""
        if self.lanes:
            streams = Streams(self.cluster, self.domain, self.placed, self.plan, self.workspace, bounds)
            streams.lanes = self.lanes
            streams.emit()
        else:
            nest = Nest(self.cluster, self.domain, self.placed, self.plan, self.workspace, bounds)
            nest.vector_bytes = 0 if self.isa is None else self.isa.vector_bits // 8
            nest.emit()

    def size(self, loop: int) -> Index:
        return self.domain.sizes[loop]

    def work(self) -> Index:
        """Estimated picoseconds for one thread."""
        return work_of(self.cluster, self.domain)

    def cached_work(self) -> Index:
        """The same where the arrays are in a cache."""
        return work_of(self.cluster, self.domain, cached=True)

    def cut(self, cores: int) -> Cut | None:
        """The loop to share among threads."""
        kept = cut_kept(self.domain, PARTS_PER_CORE * cores)
        if (kept is None or self._is_tall()) and phases_possible(self.cluster):
            return cut_reduced(self.domain, reduction_parts(self.cluster)) or kept
        return kept

    def _is_tall(self) -> bool:
        """Whether many whole rows are reduced to one: parts of the rows then read memory in order, parts of a row do not.

        Rows whose number is not known yet are many when the work turns out to pay for threads.
        """
        domain = self.domain
        if not domain.sizes or domain.reduced[-1] or True not in domain.reduced:
            return False
        rows = domain.sizes[domain.reduced.index(True)]
        return isinstance(rows, str) or rows >= TALL_ROWS
