"""The report of a profile: a table, JSON, and a trace for common viewers."""

from __future__ import annotations

import json
import linecache
import os
from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table

from phalanx.compiler.bench_report import duration
from phalanx.compiler.profiling.limits import Limits

_MOST_ROWS = 40
_OUTSIDE = "outside clusters"
_COLUMNS = {"calls": 5, "time": 9, "share": 5, "GFLOP/s": 7, "GB/s": 5, "of limit": 12}


@dataclass(frozen=True)
class Row:
    """One cluster: calls and seconds in one call of the function, and its work in one call of the cluster."""

    name: str
    kind: str
    calls: float
    seconds: float
    flops: int | None
    nbytes: int | None
    lines: tuple[Any, ...]
    schedule: str

    @property
    def places(self) -> list[str]:
        """The user's lines, as `file.py:3`."""
        return [f"{Path(line.file).name}:{line.line}" for line in self.lines]

    @property
    def flops_rate(self) -> float | None:
        """Floating-point operations a second."""
        return self._rate(self.flops)

    @property
    def bytes_rate(self) -> float | None:
        """Bytes a second of the operands and results, each counted once."""
        return self._rate(self.nbytes)

    def _rate(self, amount: int | None) -> float | None:
        return amount * self.calls / self.seconds if amount and self.seconds else None

    def limit(self, limits: Limits) -> tuple[str, float] | None:
        """What bounds it by the roofline model (Williams, Waterman and Patterson 2009), and the fraction reached.

        Compulsory traffic over bandwidth against operations over the peak: the longer time is the bound. Operands that
        stay in a cache can exceed the bandwidth of memory.
        """
        if not self.seconds or not self.calls or (not self.flops and not self.nbytes):
            return None
        computing = (self.flops or 0) / limits.flops_f32
        moving = (self.nbytes or 0) / limits.stream_bytes
        bound = max(computing, moving) * self.calls
        return ("compute" if computing >= moving else "memory"), bound / self.seconds


@dataclass(frozen=True)
class Profile:
    """Rows by time; `seconds` is the median of a whole call, `events` (cluster, start ns, end ns) in order."""

    name: str
    origin: str
    rows: Sequence[Row]
    seconds: float
    runs: int
    limits: Limits
    events: Sequence[tuple[str, int, int]]
    missed: int

    @property
    def outside(self) -> float:
        """Seconds of a call spent outside of clusters: checking arguments, allocating, calling."""
        return max(0.0, self.seconds - sum(row.seconds for row in self.rows))

    def table(self) -> Table:
        """The rows as a rich table."""
        table = Table(box=None, pad_edge=False, header_style="bold")
        # Only the source line gives way on a narrow terminal.
        names = max(len(name) for name in (_OUTSIDE, *(row.name for row in self.rows)))
        table.add_column("cluster", no_wrap=True, min_width=names)
        for heading, width in _COLUMNS.items():
            table.add_column(heading, justify="right", no_wrap=True, min_width=width)
        table.add_column("line", no_wrap=True, overflow="ellipsis")
        for row in self.rows[:_MOST_ROWS]:
            reached = row.limit(self.limits)
            table.add_row(row.name, f"{row.calls:g}", duration(row.seconds), f"{row.seconds / self.seconds:.0%}",
                          _billions(row.flops_rate), _billions(row.bytes_rate),
                          f"{reached[1]:.0%} {reached[0]}" if reached else "-", _source(row))
        if len(self.rows) > _MOST_ROWS:
            rest = sum(row.seconds for row in self.rows[_MOST_ROWS:])
            table.add_row(f"{len(self.rows) - _MOST_ROWS} more", "", duration(rest), f"{rest / self.seconds:.0%}")
        table.add_row(_OUTSIDE, "", duration(self.outside), f"{self.outside / self.seconds:.0%}")
        return table

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield f"{self.name} ({self.origin}): {duration(self.seconds)} a call, median of {self.runs}"
        yield f"limits of {self.limits}"
        yield self.table()

    def __str__(self) -> str:
        console = Console(file=StringIO(), width=140, color_system=None)
        console.print(self, highlight=False, markup=False)
        text: str = console.file.getvalue()  # type: ignore[attr-defined]
        return text.rstrip()

    def json(self) -> str:
        """Everything but the events, as JSON."""
        rows = [{"cluster": row.name, "kind": row.kind, "calls": row.calls, "seconds": row.seconds, "flops": row.flops,
                 "bytes": row.nbytes, "lines": row.places, "schedule": row.schedule}
                for row in self.rows]
        return json.dumps({"function": self.name, "origin": self.origin, "seconds": self.seconds, "runs": self.runs,
                           "limits": vars(self.limits), "clusters": rows}, indent=2)

    def write_trace(self, path: str) -> None:
        """Write the calls in the trace event format (JSON) that Perfetto and Chrome's trace viewer open.

        Raises OSError when the file cannot be written.
        """
        rows = {row.name: row for row in self.rows}
        events: list[dict[str, Any]] = [
            {"ph": "M", "pid": os.getpid(), "tid": 1, "name": "process_name", "args": {"name": f"phalanx {self.name}"}}]
        for name, start, end in self.events:
            row = rows[name]
            facts = {"line": ", ".join(row.places), "schedule": row.schedule,
                     "flops": row.flops, "bytes": row.nbytes}
            events.append({"ph": "X", "pid": os.getpid(), "tid": 1, "name": name, "cat": row.kind, "ts": start / 1e3,
                           "dur": (end - start) / 1e3, "args": {k: v for k, v in facts.items() if v}})
        Path(path).write_text(json.dumps({"traceEvents": events, "displayTimeUnit": "ns"}))


def _billions(rate: float | None) -> str:
    return "-" if rate is None else f"{rate / 1e9:.1f}"


def _source(row: Row) -> str:
    """The first of the user's lines, and how many more there are."""
    if not row.lines:
        return ""
    first = row.lines[0]
    text = linecache.getline(first.file, first.line).strip()
    more = f" (+{len(row.lines) - 1})" if len(row.lines) > 1 else ""
    return f"{Path(first.file).name}:{first.line}{more}  {text}"
