"""`compiled.explain()`: what the compiler decided and why, each at the user's line."""

from __future__ import annotations

import linecache
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from phalanx.compiler import config
from phalanx.compiler.clusters.stage import ClusterReport, PlannedBuffer
from phalanx.compiler.inspect.clusters import ClusterInfo, clusters_of

_PLACE = re.compile(r'"([^"]+)":(\d+):(\d+)')
_MOST_BUFFERS = 40
_BAR = 48


@dataclass(frozen=True)
class Decision:
    """A remark of the clusters stage at a line of the user's."""

    message: str
    file: str
    line: int
    missed: bool

    def __str__(self) -> str:
        return f"{Path(self.file).name}:{self.line}: {self.message}"


@dataclass(frozen=True)
class Explanation:
    """Everything in one place; `str()` is the report."""

    name: str
    origin: str
    reason: str
    seconds: dict[str, float]
    clusters: list[ClusterInfo]
    decisions: list[Decision]
    arena_bytes: int | None
    live_bytes: int
    buffers: list[PlannedBuffer]
    copies: int

    def __str__(self) -> str:
        return "\n".join([*self._head(), *self._clusters(), *self._decisions(), *self._memory()])

    def _head(self) -> list[str]:
        phases = ", ".join(f"{name} {1e3 * seconds:.1f} ms" for name, seconds in self.seconds.items())
        return [f"{self.name} ({self.origin})", f"compiled because: {self.reason}", f"took: {phases}"]

    def _clusters(self) -> list[str]:
        lines = ["", f"clusters: {len(self.clusters)}"]
        for cluster in self.clusters:
            called = "" if cluster.calls == 1 else f", called from {cluster.calls} places"
            operations = _counted(len(cluster.operations), "operation")
            lines.append(f"  {cluster.name}: {cluster.kind} of {operations}{called}")
            lines.append(f"    {cluster.schedule}")
            lines += [f"    {_shown(line.file, line.line)}" for line in cluster.lines]
        return lines

    def _decisions(self) -> list[str]:
        if not self.decisions:
            return []
        copies = [d for d in self.decisions if d.message.startswith("copied ")]
        fused = [d for d in self.decisions if d not in copies]
        lines = ["", "why:"]
        lines += [f"  {decision}" for decision in dict.fromkeys(fused)]
        lines += ["", f"copies: {self.copies}"] if copies else []
        return lines + [f"  {decision}" for decision in dict.fromkeys(copies)]

    def _memory(self) -> list[str]:
        planned = "known at run time" if self.arena_bytes is None else f"{self.arena_bytes} bytes"
        lines = ["", f"arena: {planned}, at most {self.live_bytes} bytes alive at once"]
        last = max((buffer.last for buffer in self.buffers), default=0)
        scale = max(1, -(-(last + 1) // _BAR))
        for buffer in sorted(self.buffers, key=lambda b: (b.first, b.hosted, b.offset))[:_MOST_BUFFERS]:
            start, end = buffer.first // scale, buffer.last // scale
            bar = " " * start + "#" * (end - start + 1)
            place = "in a result" if buffer.hosted else f"at {buffer.offset:>9}"
            lines.append(f"  {place:>12}, {buffer.nbytes:>9} bytes  |{bar.ljust(last // scale + 1)}|")
        if len(self.buffers) > _MOST_BUFFERS:
            lines.append(f"  and {len(self.buffers) - _MOST_BUFFERS} more")
        return lines


def explain(compiled: Any) -> Explanation:
    """Compile `compiled` once more under its options, watching."""
    with config.options(**compiled.options):
        recording = compiled.stages.recording
        clusters = clusters_of(recording)
    report = recording.reports[-1] if recording.reports else ClusterReport()
    traced = compiled.traced
    return Explanation(traced.name, traced.origin, compiled.reason or "asked for", dict(compiled.seconds), clusters,
                       decisions(report), report.arena_bytes, report.live_bytes, list(report.buffers), report.copies)


def decisions(report: ClusterReport) -> list[Decision]:
    """The remarks of a report that have a line."""
    found = []
    for remark in report.remarks:
        place = _PLACE.search(remark.location)
        if place:
            found.append(Decision(remark.message, place.group(1), int(place.group(2)), remark.missed))
    return found


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _shown(file: str, line: int) -> str:
    """`file:line: source`."""
    source = linecache.getline(file, line).strip()
    return f"{Path(file).name}:{line}: {source}" if source else f"{Path(file).name}:{line}"
