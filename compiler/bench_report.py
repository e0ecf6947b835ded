"""What a measurement found: statistics of each candidate, comparisons, and the report as text, Markdown and JSON."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table

from phalanx.compiler.versions import version
from phalanx.runtime import threads

_CONFIDENCE = 0.95
_DRAWS = 1000
_TEXT_WIDTH = 120


@dataclass
class Row:
    """One candidate on one set of inputs; `samples` are seconds per call, `allocated` bytes of Python's and NumPy's."""

    name: str
    inputs: str
    samples: tuple[float, ...]
    loops: int
    first_call: float
    compile: Mapping[str, float]
    allocated: int | None
    warnings: list[str] = field(default_factory=list)

    @property
    def average(self) -> float:
        """Mean seconds per call."""
        return statistics.fmean(self.samples)

    @property
    def deviation(self) -> float:
        """Standard deviation over the average."""
        return statistics.stdev(self.samples) / self.average if len(self.samples) > 1 else 0.0

    @property
    def median(self) -> float:
        """Median seconds per call."""
        return statistics.median(self.samples)

    @property
    def p99(self) -> float:
        """Seconds that 99 of 100 samples stay under."""
        return float(np.percentile(self.samples, 99))

    @property
    def ips(self) -> float:
        """Calls per second, by the median."""
        return 1.0 / self.median if self.median else float("inf")

    @property
    def spread(self) -> float:
        """The middle half of the samples over the median."""
        low, high = np.percentile(self.samples, [25, 75])
        return float(high - low) / self.median if self.median else 0.0


@dataclass(frozen=True)
class Comparison:
    """How much slower `name` is than the fastest of the same inputs, with an interval for the ratio."""

    name: str
    inputs: str
    ratio: float
    low: float
    high: float
    difference: float  # seconds

    def __str__(self) -> str:
        if self.low <= 1.0 <= self.high or self.ratio < 1.02:
            return f"{self.name}: same within noise ({self.ratio:.2f}x, {self.low:.2f} to {self.high:.2f})"
        return f"{self.name}: {self.ratio:.2f}x slower, +{duration(self.difference)} ({self.low:.2f} to {self.high:.2f})"


@dataclass
class Report:
    """Every row, the machine, and what follows: `str()`, `.markdown()`, `.json()`; rich prints it as a table."""

    rows: list[Row]
    machine: Mapping[str, str]
    seconds: float

    def comparisons(self) -> list[Comparison]:
        """Every candidate against the fastest one of its inputs, the fastest left out."""
        found = []
        for label in dict.fromkeys(row.inputs for row in self.rows):
            rows = sorted((row for row in self.rows if row.inputs == label), key=lambda row: row.median)
            found += [compare(rows[0], row) for row in rows[1:]]
        return found

    def table(self) -> Table:
        """The rows as a rich table."""
        table = Table(box=None, pad_edge=False, header_style="bold")
        # In a narrow window the numbers give way, not the names.
        table.add_column("name", no_wrap=True, min_width=max((len(row.name) for row in self.rows), default=0))
        headings = _HEADINGS if any(row.inputs for row in self.rows) else [h for h in _HEADINGS if h != "inputs"]
        for heading in headings:
            table.add_column(heading, justify="left" if heading == "inputs" else "right", no_wrap=True)
        for row in self.rows:
            cells = _cells(row)
            table.add_row(row.name, *(cells[heading] for heading in headings))
        return table

    def notes(self) -> list[str]:
        """Comparisons, break-even points and warnings, a line each."""
        lines = [_titled(c.inputs, str(c)) for c in self.comparisons()]
        lines += [_titled(row.inputs, f"{row.name}: warning: {w}") for row in self.rows for w in row.warnings]
        return lines + self._break_even()

    def _break_even(self) -> list[str]:
        """After how many calls compiling paid off, against the slowest candidate that did not compile."""
        lines = []
        for row in self.rows:
            slower = [r for r in self.rows if r.inputs == row.inputs and not r.compile and r.median > row.median]
            if row.compile and slower:
                other = max(slower, key=lambda r: r.median)
                calls = int(row.first_call / (other.median - row.median)) + 1
                lines.append(_titled(row.inputs, f"{row.name}: the first call pays off after {calls} calls of {other.name}"))
        return lines

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield "  ".join(f"{name} {value}" for name, value in self.machine.items())
        yield self.table()
        yield from self.notes()

    def __str__(self) -> str:
        console = Console(file=StringIO(), width=_TEXT_WIDTH, color_system=None)
        needed = Measurement.get(console, console.options.update(max_width=10_000), self.table()).maximum
        console.width = max(_TEXT_WIDTH, needed)
        console.print(self, highlight=False, markup=False)
        text: str = console.file.getvalue()  # type: ignore[attr-defined]
        return text.rstrip("\n")

    def markdown(self) -> str:
        """The report as a Markdown table and a list."""
        headings = ["name", *_HEADINGS]
        lines = [" ".join(f"{name} {value};" for name, value in self.machine.items()), "",
                 f"| {' | '.join(headings)} |", f"|{'---|' * len(headings)}"]
        for row in self.rows:
            lines.append(f"| {row.name} | {' | '.join(_cells(row)[h] for h in _HEADINGS)} |")
        return "\n".join([*lines, "", *(f"- {note}" for note in self.notes())]) + "\n"

    def json(self) -> str:
        """Everything, samples included."""
        rows = [{
            "name": row.name, "inputs": row.inputs, "ips": row.ips, "average": row.average, "deviation": row.deviation,
            "median": row.median, "p99": row.p99, "minimum": min(row.samples), "loops": row.loops,
            "first_call": row.first_call, "compile": dict(row.compile), "allocated": row.allocated,
            "warnings": row.warnings, "samples": list(row.samples),
        } for row in self.rows]
        comparisons = [{"name": c.name, "inputs": c.inputs, "ratio": c.ratio, "low": c.low, "high": c.high,
                        "difference": c.difference} for c in self.comparisons()]
        found = {"machine": dict(self.machine), "rows": rows, "comparisons": comparisons}
        return json.dumps(found, indent=2)

    def save(self, file: str | Path) -> None:
        """Write JSON, or Markdown to a file that ends in .md."""
        text = self.markdown() if str(file).endswith(".md") else self.json()
        Path(file).write_text(text, encoding="utf-8")


_HEADINGS = ["inputs", "calls/s", "average", "deviation", "median", "99th %", "first call", "memory"]


def _cells(row: Row) -> dict[str, str]:
    return {
        "inputs": row.inputs,
        "calls/s": f"{row.ips:,.0f}" if row.ips >= 10 else f"{row.ips:.3g}",
        "average": duration(row.average),
        "deviation": f"±{row.deviation:.1%}",
        "median": duration(row.median),
        "99th %": duration(row.p99),
        "first call": duration(row.first_call),
        "memory": "" if row.allocated is None else size(row.allocated),
    }


def compare(fast: Row, slow: Row) -> Comparison:
    """The ratio of two medians; its interval comes from drawing the samples again (bootstrap)."""
    random = np.random.default_rng(0)

    def medians(samples: Sequence[float]) -> np.ndarray[Any, Any]:
        array = np.asarray(samples)
        drawn: np.ndarray[Any, Any] = np.median(random.choice(array, (_DRAWS, len(array))), axis=1)
        return drawn

    tail = 100 * (1 - _CONFIDENCE) / 2
    low, high = np.percentile(medians(slow.samples) / medians(fast.samples), [tail, 100 - tail])
    return Comparison(slow.name, slow.inputs, slow.median / fast.median, float(low), float(high), slow.median - fast.median)


def _titled(inputs: str, text: str) -> str:
    return f"{inputs}: {text}" if inputs else text


def duration(seconds: float) -> str:
    """Seconds in the unit that reads best.

    >>> duration(0.00029083)
    '290.83 us'
    """
    for factor, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "us")):
        if abs(seconds) >= factor:
            return f"{seconds / factor:.2f} {unit}"
    return f"{seconds * 1e9:.1f} ns"


def size(count: int) -> str:
    """Bytes in the unit that reads best."""
    amount = float(count)
    for unit in ("B", "KiB", "MiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} GiB"


def machine() -> dict[str, str]:
    """What the figures belong to."""
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    return {
        "phalanx": version(), "python": platform.python_version(), "numpy": np.__version__,
        "processors": str(threads.available_processors()), "threads": str(threads.get_threads()), "load": load,
    }
