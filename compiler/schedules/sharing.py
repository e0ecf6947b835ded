"""Writes a cluster as two functions: one does a part of the work, the other hands the parts to threads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mlir import ir

from phalanx.compiler.schedules.kernel import Kernel
from phalanx.compiler.schedules.loops import Fused
from phalanx.compiler.schedules.parallel import (
    LEAST_PART,
    PARTS_PER_CORE,
    THRESHOLD,
    Cut,
    cut_kept,
    cut_reduced,
    emit_parts,
    moved_work,
)
from phalanx.compiler.schedules.phases import Phases
from phalanx.compiler.schedules.text import Index, Writer
from phalanx.compiler.schedules.workspace import ALIGNMENT, STACK_BYTES, Workspace, on_stack
from phalanx.compiler.targets.isa import Isa

_PART = ("%part", "index"), ("%low", "index"), ("%high", "index")
_OWN = "%own", "memref<i8>"
_SHARED = "%shared"
_OF_PART = {"px.cluster": '"part"'}

PRODUCT_THRESHOLD = 6_000_000
"""Picoseconds of estimated work from which a team pays for a matrix product, whose work is known well."""


REPEATED_THRESHOLD = 4_000_000
"""The same for arithmetic that a loop calls again and again: between two trips the team does not go to sleep."""


def repeated(module: ir.Module) -> dict[str, set[int]]:
    """The cluster functions that `main` calls from loops, and the numbers of those loops (the innermost ones).

    >>> repeated(module)
    {'con_L10_3': {1}, 'ew_L11_4': {1, 2}}
    """
    found: dict[str, set[int]] = {}
    loops = 0

    def visit(operation: Any, inside: int) -> None:
        nonlocal loops
        for region in operation.regions:
            for block in region.blocks:
                for view in block.operations:
                    inner = view.operation
                    if inner.name in ("scf.for", "scf.while"):
                        loops += 1
                        visit(inner, loops)
                    elif inner.name.startswith("scf."):
                        visit(inner, inside)
                    elif inside and inner.name == "func.call":
                        found.setdefault(ir.FlatSymbolRefAttr(inner.attributes["callee"]).value, set()).add(inside)

    for op in module.body.operations:
        if "px.cluster" not in op.attributes:
            visit(op.operation, 0)
    return found


def share(module: ir.Module, kernels: Mapping[str, Kernel], isa: Isa) -> dict[str, Sharing]:
    """How threads share the kernels of a module: what pays by itself, and what is beside that in a loop."""
    again = repeated(module)
    sharings = {
        name: Sharing(kernel.function, kernel, isa, name in again)
        for name, kernel in kernels.items()
        if kernel.loops is not None
    }
    shared = {loop for name, sharing in sharings.items() if sharing.cut is not None for loop in again.get(name, ())}
    for name, sharing in sharings.items():
        if again.get(name, set()) & shared:
            sharing.join()
    return sharings


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

    def join(self) -> None:
        """Share a kept loop also where only the arrays pay for it: other clusters leave them in the caches of all cores."""
        if self.cut is None and isinstance(self.loops, Fused) and moved_work(self.loops.domain) >= REPEATED_THRESHOLD:
            self.cut = cut_kept(self.loops.domain, PARTS_PER_CORE * self.isa.cores, LEAST_PART)

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
        behind = 0 if share <= STACK_BYTES else share
        size = self.loops.size(cut.loop)

        def call(number: Index, low: Index, high: Index) -> None:
            self._call([number, low, high], self._slice(0, number, behind))

        self._guarded(lambda: emit_parts(self._writer, size, cut, call), lambda: call(0, 0, size))
        return [part.text(self._part_name(), _OF_PART, share - behind, _PART), self._whole_text(behind * cut.parts)]

    def _emit_phases(self) -> list[str]:
        """A reduced loop is cut: parts leave partial results, which are combined in order, phase by phase.

        Each has scratch of its own besides: on its stack when it is small.
        """
        shared = Workspace(_SHARED)
        phases = Phases(self.kernel.cluster, shared)
        parts: list[Kernel] = []
        cuts, share = [], 0
        for phase in range(phases.last + 1):
            part = Kernel(self.function, self.isa, self.kernel.shared, self.kernel.captured)
            own = Workspace(_OWN[0])
            loops = Fused(Phases(part.cluster, Workspace(part.cluster.workspace)).part(phase, "%part"), own)
            cut = cut_reduced(loops.domain, phases.parts)
            loops.emit({cut.loop: ("%low", "%high")} if cut is not None else None)
            cuts.append(cut)
            parts.append(part)
            share = max(share, _aligned(own.bytes))
        first, extra = ([], (*_PART, _OWN)) if share > STACK_BYTES else (on_stack(_OWN[0], share) if share else [], _PART)
        texts = [part.text(self._part_name(phase), _OF_PART, 0, extra, first) for phase, part in enumerate(parts)]
        behind, share = shared.bytes, share if share > STACK_BYTES else 0

        def together() -> None:
            for phase, cut in enumerate(cuts):
                self._phase(phases, phase, cut, behind, share)
                combined = phases.combined(phase)
                if combined is not None:
                    rest = Workspace(_SHARED)
                    rest.bytes = behind
                    Fused(combined, rest).emit()
                    shared.bytes = max(shared.bytes, rest.bytes)

        self._guarded(together, self.kernel.emit)
        total = max(behind + share * phases.parts, shared.bytes)
        alone = 0 if isinstance(self.work, int) else self.kernel.workspace.bytes
        ours = self.kernel.cluster.workspace
        if total <= STACK_BYTES:
            return [*texts, self._whole_text(alone, on_stack(_SHARED, total))]
        same = f"{_SHARED} = memref.reinterpret_cast {ours} to offset: [0], sizes: [], strides: [] : memref<i8> to memref<i8>"
        return [*texts, self._whole_text(max(total, alone), [same])]

    def _phase(self, phases: Phases, phase: int, cut: Cut | None, behind: int, share: int) -> None:
        """The parts of one phase, among threads when its loop is long enough."""

        def call(number: Index, low: Index, high: Index) -> None:
            own = [self._slice(behind, number, share, _SHARED)] if share else []
            self._call([number, low, high], *own, _SHARED, phase=phase)

        if cut is None:
            call(0, 0, 0)
            return
        size = Fused(phases.part(phase, 0), Workspace(_SHARED)).size(cut.loop)
        emit_parts(self._writer, size, cut, call)

    # -- pieces ------------------------------------------------------------------------------------

    @property
    def _writer(self) -> Writer:
        return self.kernel.cluster.writer

    def _part_name(self, phase: int = 0) -> str:
        return f"{self.kernel.name}_part{phase or ''}"

    def _whole_text(self, workspace_bytes: int, first: Sequence[str] = ()) -> str:
        return self.kernel.text(self.kernel.name, {}, workspace_bytes, first=first)

    def _guarded(self, together: Callable[[], None], alone: Callable[[], None]) -> None:
        """Threads when the work is known to pay, or, for run-time sizes, when it turns out to."""
        if isinstance(self.work, int):
            together()
        else:
            self._writer.conditional(self._writer.compare("sgt", self.work, self.threshold), together, alone)

    def _slice(self, behind: int, number: Index, share: int, pointer: str | None = None) -> str:
        """The piece of the workspace that belongs to one part."""
        base = self._writer.add(behind, self._writer.mul(number, share))
        return Workspace(pointer or self.kernel.cluster.workspace, base).allocate(self._writer, "i8", 1).pointer

    def _call(self, indices: Sequence[Index], *memory: str, phase: int = 0) -> None:
        arguments = [*self.kernel.arguments(), *((self._writer.index(value), "index") for value in indices)]
        arguments += [(pointer, "memref<i8>") for pointer in memory]
        names = ", ".join(name for name, _ in arguments)
        types = ", ".join(kind for _, kind in arguments)
        self._writer.line(f"func.call @{self._part_name(phase)}({names}) : ({types}) -> ()")


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT
