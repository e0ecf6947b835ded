"""What all emitters of products share: loops around the product, blocks of a loop, the cut for threads."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial

from phalanx.compiler.schedules.cluster import Cluster
from phalanx.compiler.schedules.domain import Access
from phalanx.compiler.schedules.parallel import PICOSECONDS_PER_MULTIPLY_ADD, Cut
from phalanx.compiler.schedules.product import Contracted, static
from phalanx.compiler.schedules.routine import Shared
from phalanx.compiler.schedules.text import Index, Writer
from phalanx.compiler.schedules.workspace import Workspace
from phalanx.dialects.records import record

SMALLER_GROUPS = (4, 1)
"""What is left of the rows of a register block: as fast as they have sums, and few to compile."""

NAMED_GROUPS = (4, 2, 1)
"""The same where the number of rows is not known: there may be no others, and each group reads the whole matrix."""


@record
class Range:
    """Part of a loop: where it starts and how long it is."""

    start: Index
    length: Index


def longest(size: Index, cut: Cut) -> Index:
    """The longest part of a loop that is cut."""
    if isinstance(size, str):
        return size
    grains = -(-size // (cut.parts * cut.grain))
    return grains * cut.grain


def uneven(size: Index, cut: Cut) -> float:
    """How much longer the longest part is than all parts on average, as a fraction."""
    part = longest(size, cut)
    return part * cut.parts / size - 1 if isinstance(size, int) and isinstance(part, int) else 0.0


class ProductLoops(ABC):
    """Base of the emitters."""

    def __init__(self, cluster: Cluster, contracted: Contracted, workspace: Workspace, shared: Shared) -> None:
        self.cluster = cluster
        self.contracted = contracted
        self.workspace = workspace
        self.shared = shared
        self.writer: Writer = cluster.writer
        self.sizes = contracted.domain.sizes
        self.depth = contracted.depth
        self.positions: list[Index | None] = [None] * len(self.sizes)
        self.bounds: dict[int, tuple[Index, Index]] = {}

    def emit(self, bounds: dict[int, tuple[Index, Index]] | None = None) -> None:
        """Writes the loops; `bounds` restricts some of them to a part."""
        self.writer.location = self.contracted.node.location
        self.bounds = bounds or {}
        self._outer(self.contracted.outer)

    def size(self, loop: int) -> Index:
        return self.sizes[loop]

    def work(self) -> Index:
        """Estimated picoseconds for one thread."""
        total: Index = PICOSECONDS_PER_MULTIPLY_ADD
        for size in self.sizes:
            total = self.writer.mul(total, size)
        return total

    def cut(self, cores: int) -> Cut | None:
        """The loop to share among threads: an outer one, else the one that costs least of those long enough for all."""
        for loop in self.contracted.outer:
            size = self.sizes[loop]
            if isinstance(size, str) or size >= 2 * cores:
                return Cut(loop, cores)
        cuts = [Cut(loop, cores, grain) for loop, grain in self._cuts() if static(self.sizes[loop]) >= cores * grain]
        return min(cuts, key=lambda cut: (self._lost(cut), -static(self.sizes[cut.loop])), default=None)

    def _lost(self, cut: Cut) -> float:
        """About which part of the time a cut costs."""
        return uneven(self.sizes[cut.loop], cut)

    @abstractmethod
    def describe(self) -> str:
        """The schedule in words."""

    @abstractmethod
    def _cuts(self) -> Sequence[tuple[int, int]]:
        """Loops of the product that may be shared, with what parts are multiples of."""

    @abstractmethod
    def _inside(self) -> None:
        """Write one product at the current position of the outer loops."""

    def _range(self, loop: int) -> tuple[Index, Index]:
        return self.bounds.get(loop, (0, self.sizes[loop]))

    def _outer(self, loops: list[int]) -> None:
        if not loops:
            self._inside()
            return
        first, *rest = loops

        def inner(variable: str, _: list[str]) -> None:
            self.positions[first] = variable
            self._outer(rest)

        low, high = self._range(first)
        self.writer.loop(low, high, 1, inner)

    def _blocks(self, low: Index, high: Index, step: int, body: Callable[[Range], None]) -> None:
        """`body(range)` for every block; no loop when one static block covers everything."""
        if isinstance(low, int) and isinstance(high, int) and high - low <= step:
            body(Range(low, high - low))
            return

        def one(start: str, _: list[str]) -> None:
            if isinstance(low, int) and isinstance(high, int) and (high - low) % step == 0:
                body(Range(start, step))
            else:
                body(Range(start, self.writer.min(step, self.writer.sub(high, start))))

        self.writer.loop(low, high, step, one)

    def _blocks_of(self, loop: int, step: int, body: Callable[[Range], None]) -> None:
        """`body(range)` for every block of a loop, or of the part of it that is wanted."""
        low, high = self._range(loop)
        if static(self.sizes[loop]) <= step:
            body(Range(low, self.writer.sub(high, low)))
        else:
            self._blocks(low, high, step, body)

    def _groups(
        self,
        length: Index,
        step: int,
        multiple: int,
        body: Callable[[int, Index], None],
        smaller: Sequence[int] = SMALLER_GROUPS,
    ) -> None:
        """`body(count, position)` for groups of `step`, then for what is left in `smaller` ones: few kernels serve all.

        The length is known to be a multiple of `multiple`.
        """
        at: Index = 0
        for count in [step, *(count for count in smaller if count < step)]:
            end = self.writer.add(at, self.writer.floor_to(self.writer.sub(length, at), count))
            if isinstance(at, int) and isinstance(end, int) and end <= at + count:
                if end > at:
                    body(count, at)
            else:
                self.writer.loop(at, end, count, partial(self._group, body, count))
            at = end
            if multiple % count == 0:
                return

    @staticmethod
    def _group(body: Callable[[int, Index], None], count: int, position: str, _: list[str]) -> None:
        body(count, position)

    def _address(self, access: Access, positions: dict[int, Index | None]) -> Index:
        """Where an access is at these positions of loops, and the current ones of the others."""
        for loop, position in positions.items():
            self.positions[loop] = position
        return access.address(self.writer, self.positions)

    def _outer_bounds(self) -> dict[int, tuple[Index, Index]]:
        """The current position of every outer loop, as a range of one."""
        bounds: dict[int, tuple[Index, Index]] = {}
        for loop in self.contracted.outer:
            position = self.positions[loop]
            assert position is not None
            bounds[loop] = position, self.writer.add(position, 1)
        return bounds
