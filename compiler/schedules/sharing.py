"""Writes a cluster as two functions: one does a part of the work, the other hands the parts to threads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from phalanx.compiler.schedules.kernel import Kernel
from phalanx.compiler.schedules.loops import Fused
from phalanx.compiler.schedules.parallel import (
    THRESHOLD,
    Cut,
    combined_cluster,
    emit_parts,
    partial_cluster,
    partial_views,
)
from phalanx.compiler.schedules.text import Index, Writer
from phalanx.compiler.schedules.workspace import ALIGNMENT, Workspace
from phalanx.compiler.targets.isa import Isa

_PART = ("%part", "index"), ("%low", "index"), ("%high", "index")
_OWN = "%own", "memref<i8>"

PRODUCT_THRESHOLD = 6_000_000
"""Picoseconds of estimated work from which a team pays for a matrix product, whose work is known well."""


class Sharing:
    """The parallel form of a kernel, when there is one that pays."""

    def __init__(self, function: Any, kernel: Kernel, isa: Isa) -> None:
        assert kernel.loops is not None
        self.function = function
        self.kernel = kernel
        self.isa = isa
        self.loops = kernel.loops
        self.work = kernel.loops.work()
        self.threshold = THRESHOLD if isinstance(self.loops, Fused) else PRODUCT_THRESHOLD
        too_small = isinstance(self.work, int) and self.work < self.threshold
        self.cut: Cut | None = None if too_small else kernel.loops.cut(isa.cores)
        self.part_name = f"{kernel.name}_part"

    def emit(self) -> list[str]:
        """Both functions as text."""
        assert self.cut is not None
        if isinstance(self.loops, Fused) and self.loops.domain.reduced[self.cut.loop]:
            return self._emit_partial(self.loops, self.cut)
        return self._emit_kept(self.cut)

    def _emit_kept(self, cut: Cut) -> list[str]:
        """A kept loop is cut: every part writes results of its own."""
        part = Kernel(self.function, self.isa, self.kernel.shared)
        part.emit({cut.loop: ("%low", "%high")})
        share = _aligned(part.workspace.bytes)
        size = self.loops.size(cut.loop)

        def call(number: Index, low: Index, high: Index) -> None:
            self._call([number, low, high], self._slice(0, number, share))

        self._guarded(lambda: emit_parts(self._writer, size, cut, call), lambda: call(0, 0, size))
        return [self._part_text(part, _PART), self._whole_text(share * cut.parts)]

    def _emit_partial(self, loops: Fused, cut: Cut) -> list[str]:
        """A reduced loop is cut: parts leave partial results, which are combined in order afterwards."""
        part = Kernel(self.function, self.isa, self.kernel.shared)
        shared = Workspace(self.kernel.cluster.workspace)
        views = partial_views(self.kernel.cluster, shared)
        part_views = partial_views(part.cluster, Workspace(part.cluster.workspace))
        own = Workspace(_OWN[0])
        Fused(partial_cluster(part.cluster, part_views, "%part"), own).emit({cut.loop: ("%low", "%high")})
        share, behind = _aligned(own.bytes), shared.bytes

        def call(number: Index, low: Index, high: Index) -> None:
            self._call([number, low, high], self._slice(behind, number, share), self.kernel.cluster.workspace)

        def together() -> None:
            emit_parts(self._writer, loops.size(cut.loop), cut, call)
            rest = Workspace(self.kernel.cluster.workspace)
            rest.bytes = shared.bytes
            Fused(combined_cluster(self.kernel.cluster, views), rest).emit()
            shared.bytes = rest.bytes

        self._guarded(together, self.kernel.emit)
        total = max(behind + share * cut.parts, shared.bytes, self.kernel.workspace.bytes)
        return [self._part_text(part, (*_PART, _OWN)), self._whole_text(total)]

    # -- pieces ------------------------------------------------------------------------------------

    @property
    def _writer(self) -> Writer:
        return self.kernel.cluster.writer

    def _part_text(self, part: Kernel, extra: Sequence[tuple[str, str]]) -> str:
        return part.text(self.part_name, {"px.cluster": '"part"', "px.workspace": "0 : i64"}, extra)

    def _whole_text(self, workspace_bytes: int) -> str:
        return self.kernel.text(self.kernel.name, {"px.workspace": f"{workspace_bytes} : i64"})

    def _guarded(self, together: Callable[[], None], alone: Callable[[], None]) -> None:
        """Threads when the work is known to pay, or, for run-time sizes, when it turns out to."""
        if isinstance(self.work, int):
            together()
        else:
            self._writer.conditional(self._writer.compare("sgt", self.work, self.threshold), together, alone)

    def _slice(self, behind: int, number: Index, share: int) -> str:
        """The piece of the workspace that belongs to one part."""
        base = self._writer.add(behind, self._writer.mul(number, share))
        return Workspace(self.kernel.cluster.workspace, base).allocate(self._writer, "i8", 1).pointer

    def _call(self, indices: Sequence[Index], *memory: str) -> None:
        arguments = [*self.kernel.arguments(), *((self._writer.index(value), "index") for value in indices)]
        arguments += [(pointer, "memref<i8>") for pointer in memory]
        names = ", ".join(name for name, _ in arguments)
        types = ", ".join(kind for _, kind in arguments)
        self._writer.line(f"func.call @{self.part_name}({names}) : ({types}) -> ()")


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT
