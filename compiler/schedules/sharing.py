"""Writes a cluster as two functions: one does a part of the work, the other hands the parts to threads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mlir import ir

from phalanx.compiler.schedules.kernel import Kernel
from phalanx.compiler.schedules.loops import Fused
from phalanx.compiler.schedules.parallel import (
    THRESHOLD,
    Cut,
    cut_reduced,
    emit_parts,
)
from phalanx.compiler.schedules.phases import REDUCTION_PARTS, Phases
from phalanx.compiler.schedules.text import Index, Writer
from phalanx.compiler.schedules.workspace import ALIGNMENT, Workspace
from phalanx.compiler.targets.isa import Isa

_PART = ("%part", "index"), ("%low", "index"), ("%high", "index")
_OWN = "%own", "memref<i8>"

PRODUCT_THRESHOLD = 6_000_000
"""Picoseconds of estimated work from which a team pays for a matrix product, whose work is known well."""


REPEATED_THRESHOLD = 8_000_000
"""The same for arithmetic that a loop calls again and again: between two trips the team does not go to sleep."""


def repeated(module: ir.Module) -> frozenset[str]:
    """The cluster functions that `main` calls from loops.

    >>> repeated(module)
    frozenset({'con_L10_3', 'ew_L11_4'})
    """
    found: set[str] = set()

    def visit(operation: Any, inside: bool) -> None:
        for region in operation.regions:
            for block in region.blocks:
                for view in block.operations:
                    inner = view.operation
                    if inner.name.startswith("scf."):
                        visit(inner, inside or inner.name in ("scf.for", "scf.while"))
                    elif inside and inner.name == "func.call":
                        found.add(ir.FlatSymbolRefAttr(inner.attributes["callee"]).value)

    for op in module.body.operations:
        if "px.cluster" not in op.attributes:
            visit(op.operation, False)
    return frozenset(found)


class Sharing:
    """The parallel form of a kernel, when there is one that pays; `again` when a loop calls it."""

    def __init__(self, function: Any, kernel: Kernel, isa: Isa, again: bool = False) -> None:
        assert kernel.loops is not None
        self.function = function
        self.kernel = kernel
        self.isa = isa
        self.loops = kernel.loops
        self.work = kernel.loops.work()
        self.threshold = THRESHOLD if isinstance(self.loops, Fused) else PRODUCT_THRESHOLD
        if again and isinstance(self.loops, Fused) and self._is_less(self.work, self.threshold):
            self.work, self.threshold = self.loops.cached_work(), REPEATED_THRESHOLD
        self.cut: Cut | None = None if self._is_less(self.work, self.threshold) else kernel.loops.cut(isa.cores)

    @staticmethod
    def _is_less(work: Index, threshold: int) -> bool:
        return isinstance(work, int) and work < threshold

    def emit(self) -> list[str]:
        """Both functions as text."""
        assert self.cut is not None
        if isinstance(self.loops, Fused) and self.loops.domain.reduced[self.cut.loop]:
            return self._emit_phases()
        return self._emit_kept(self.cut)

    def _emit_kept(self, cut: Cut) -> list[str]:
        """A kept loop is cut: every part writes results of its own."""
        part = Kernel(self.function, self.isa, self.kernel.shared, self.kernel.captured)
        part.emit({cut.loop: ("%low", "%high")})
        share = _aligned(part.workspace.bytes)
        size = self.loops.size(cut.loop)

        def call(number: Index, low: Index, high: Index) -> None:
            self._call([number, low, high], self._slice(0, number, share))

        self._guarded(lambda: emit_parts(self._writer, size, cut, call), lambda: call(0, 0, size))
        return [self._part_text(part, _PART), self._whole_text(share * cut.parts)]

    def _emit_phases(self) -> list[str]:
        """A reduced loop is cut: parts leave partial results, which are combined in order, phase by phase."""
        shared = Workspace(self.kernel.cluster.workspace)
        phases = Phases(self.kernel.cluster, shared)
        texts, cuts, share = [], [], 0
        for phase in range(phases.last + 1):
            part = Kernel(self.function, self.isa, self.kernel.shared, self.kernel.captured)
            own = Workspace(_OWN[0])
            loops = Fused(Phases(part.cluster, Workspace(part.cluster.workspace)).part(phase, "%part"), own)
            cut = cut_reduced(loops.domain)
            loops.emit({cut.loop: ("%low", "%high")} if cut is not None else None)
            cuts.append(cut)
            share = max(share, _aligned(own.bytes))
            texts.append(self._part_text(part, (*_PART, _OWN), phase))
        behind = shared.bytes

        def together() -> None:
            for phase, cut in enumerate(cuts):
                self._phase(phases, phase, cut, behind, share)
                combined = phases.combined(phase)
                if combined is not None:
                    rest = Workspace(self.kernel.cluster.workspace)
                    rest.bytes = behind
                    Fused(combined, rest).emit()
                    shared.bytes = max(shared.bytes, rest.bytes)

        self._guarded(together, self.kernel.emit)
        total = max(behind + share * REDUCTION_PARTS, shared.bytes, self.kernel.workspace.bytes)
        return [*texts, self._whole_text(total)]

    def _phase(self, phases: Phases, phase: int, cut: Cut | None, behind: int, share: int) -> None:
        """The parts of one phase, among threads when its loop is long enough."""
        workspace = self.kernel.cluster.workspace

        def call(number: Index, low: Index, high: Index) -> None:
            self._call([number, low, high], self._slice(behind, number, share), workspace, phase=phase)

        if cut is None:
            call(0, 0, 0)
            return
        size = Fused(phases.part(phase, 0), Workspace(workspace)).size(cut.loop)
        emit_parts(self._writer, size, cut, call)

    # -- pieces ------------------------------------------------------------------------------------

    @property
    def _writer(self) -> Writer:
        return self.kernel.cluster.writer

    def _part_text(self, part: Kernel, extra: Sequence[tuple[str, str]], phase: int = 0) -> str:
        return part.text(self._part_name(phase), {"px.cluster": '"part"', "px.workspace": "0 : i64"}, extra)

    def _part_name(self, phase: int) -> str:
        return f"{self.kernel.name}_part{phase or ''}"

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

    def _call(self, indices: Sequence[Index], *memory: str, phase: int = 0) -> None:
        arguments = [*self.kernel.arguments(), *((self._writer.index(value), "index") for value in indices)]
        arguments += [(pointer, "memref<i8>") for pointer in memory]
        names = ", ".join(name for name, _ in arguments)
        types = ", ".join(kind for _, kind in arguments)
        self._writer.line(f"func.call @{self._part_name(phase)}({names}) : ({types}) -> ()")


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT
