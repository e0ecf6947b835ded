"""What Phalanx must reach, and what was measured: the first table of RESULTS.md.

The times come from the run itself; first calls, memory, imports and the cost of a call from the JSON files that
`make bench` lets the other scripts write beside results.json. A target whose file is missing is "not measured".
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.harness.limits import least_seconds
from benchmarks.harness.report import Row, duration, geometric_mean, table
from benchmarks.harness.workload import OURS, Work

#: files of other benchmarks that fill in targets
FILES = ("first_call.json", "memory.json", "import_time.json", "calls.json")

_PRODUCTS = ("matmul_bias_relu", "matvec", "batched_matmul")
_SMALL_OR_ODD = ("64", "128", "511x513x257", "100x10x784")
_LONG = 1e-3


class Target(NamedTuple):
    """A line of the table; `reached` is None when it was not measured."""

    figure: str
    reach: str
    measured: str
    reached: bool | None

    def cells(self) -> list[str]:
        """The line as Markdown cells."""
        verdict = {True: "yes", False: "**no**", None: "not measured"}[self.reached]
        return [self.figure, self.reach, self.measured, verdict]


def _listed(names: Sequence[str], most: int = 12) -> str:
    shown = ", ".join(names[:most])
    return shown + (f" and {len(names) - most} more" if len(names) > most else "")


def _place(row: Row) -> str:
    return f"{row.workload} {row.case}"


def _missing(figure: str, reach: str) -> Target:
    return Target(figure, reach, "", None)


def against_peers(found: Sequence[Row]) -> Target:
    """Geometric mean against the best peer, and who is slower."""
    figure, reach = "time against the best peer, all threads", "mean at least 1.5, nothing under 1.0"
    threads = max((row.threads for row in found), default=0)
    ratios = [(ratio, _place(row)) for row in found if row.threads == threads and (ratio := row.ratio()) is not None]
    mean = geometric_mean(ratio for ratio, _ in ratios)
    if mean is None:
        return _missing(figure, reach)
    slower = [f"{place} {ratio:.2f}" for ratio, place in sorted(ratios) if ratio < 1]
    text = f"mean {mean:.2f} of {len(ratios)} cases; under 1.0: {_listed(slower) or 'none'}"
    return Target(figure, reach, text, mean >= 1.5 and not slower)


def _openblas(row: Row) -> float | None:
    """Time of OpenBLAS over ours for a product, whatever epilogue ours has."""
    ours = row.seconds(OURS)
    theirs = row.seconds("openblas") or row.seconds("numpy")
    return theirs / ours if ours and theirs else None


def products(found: Sequence[Row]) -> list[Row]:
    """Rows that are compared with OpenBLAS."""
    return [row for row in found if row.workload in _PRODUCTS and _openblas(row) is not None]


def against_openblas(found: Sequence[Row]) -> Target:
    """Products with their epilogue against the bare product."""
    figure = "products, bias and relu included, against OpenBLAS without them, 1 and all threads"
    reach = "at least 0.97; over 1.2 below 256 and on odd shapes"
    rows = products(found)
    if not rows:
        return _missing(figure, reach)
    short = []
    for row in rows:
        ratio = _openblas(row) or 0.0
        if ratio < (1.2 if row.case in _SMALL_OR_ODD else 0.97):
            short.append((ratio, f"{_place(row)} x{row.threads} {ratio:.2f}"))
    least = min(_openblas(row) or 0.0 for row in rows)
    names = [name for _, name in sorted(short)]
    return Target(figure, reach, f"least {least:.2f}; short of it: {_listed(names) or 'none'}", not short)


def product_table(found: Sequence[Row]) -> str:
    """Every product against OpenBLAS, a column for each number of threads."""
    rows = products(found)
    counts = sorted({row.threads for row in rows})
    ratios = {(_place(row), row.threads): _openblas(row) for row in rows}
    body = []
    for name in dict.fromkeys(_place(row) for row in rows):
        values = [ratios.get((name, count)) for count in counts]
        body.append([name, *("" if value is None else f"{value:.2f}" for value in values)])
    return table(["OpenBLAS / ours", *(f"{count} thread{'s' * (count > 1)}" for count in counts)], body)


def streaming(data: Mapping[str, Any], found: Sequence[Row]) -> Target:
    """Elementwise work above the caches, against a pass over as many bytes that takes turns with it.

    Left out is what arithmetic bounds: where the operations take longer than the bytes.
    """
    figure, reach = "streaming elementwise above the caches", "at least 85 % of the bandwidth of memory (scale-and-add)"
    parts, reached = [], True
    for row in found:
        ours, stream, limits = row.seconds(OURS), row.seconds("stream"), data["limits"].get(str(row.threads))
        if not ours or not stream or not limits:
            continue
        work = Work(**data["workloads"][row.workload]["cases"][row.case])
        memory, caches = limits["levels"][-1], limits["levels"][:-1]
        bound = work.bytes / memory["triad"] > work.flops / limits["flops"][work.dtype]
        if not bound or any(work.bytes <= 2 * level["bytes"] for level in caches):
            continue
        share = stream / ours
        reached = reached and share >= 0.85
        parts.append(f"{row.workload.removeprefix('elementwise_')} {row.case} x{row.threads} {100 * share:.0f} %")
    return Target(figure, reach, ", ".join(parts), reached) if parts else _missing(figure, reach)


def two_threads(data: Mapping[str, Any], found: Sequence[Row]) -> Target:
    """Speed-up by threads, where there is work for them and memory does not decide."""
    figure, reach = "all threads against one", "at least 1.7 over 1 ms of work that memory does not bound (2 threads)"
    by_place = {(_place(row), row.threads): row for row in found}
    threads = max((row.threads for row in found), default=1)
    gains = []
    for row in found:
        single, many = row.seconds(OURS), by_place.get((_place(row), threads))
        together = many.seconds(OURS) if many else None
        limits = data["limits"].get(str(threads))
        if threads == 1 or row.threads != 1 or not limits or not single or not together or single < _LONG:
            continue
        work = Work(**data["workloads"][row.workload]["cases"][row.case])
        traffic = least_seconds(Work(bytes=work.bytes), limits)
        if traffic < 0.5 * together:
            gains.append((single / together, _place(row)))
    if not gains:
        return _missing(figure, reach)
    short = [f"{place} {gain:.2f}" for gain, place in sorted(gains) if gain < 1.7]
    mean = geometric_mean(gain for gain, _ in gains)
    text = f"mean {mean:.2f} of {len(gains)} cases; under 1.7: {_listed(short) or 'none'}"
    return Target(figure, reach, text, not short)


def calls(found: Sequence[Row], measured: Mapping[str, Any] | None) -> Target:
    """The cost of a call on tensors and through the native entry."""
    figure, reach = "call of a compiled 3-op function", "under 1 us on tensors, under 0.2 us by the native entry"
    tensors = next((row.seconds(OURS) for row in found if row.workload == "call_overhead"), None)
    entry = None
    if measured:
        tensors, entry = measured.get("tensors", tensors), measured.get("entry")
    if tensors is None:
        return _missing(figure, reach)
    text = f"{duration(tensors)} on tensors, {duration(entry) or 'not measured'} by the native entry"
    return Target(figure, reach, text, tensors < 1e-6 and entry is not None and entry < 0.2e-6)


def first_call(measured: Mapping[str, Any] | None) -> Target:
    """First calls against JAX, and the long program."""
    figure, reach = "first call against `jax.jit`", "faster on every workload; 5000 operations under 5 s"
    if not measured:
        return _missing(figure, reach)
    seconds = measured["seconds"]
    long = next((row["phalanx"] for name, row in seconds.items() if name.startswith("5000")), None)
    parts, reached = [f"5000 operations {duration(long)}"], long is not None and long < 5
    for suffix, how in (("", "first in a process, imports excluded"), (" second", "after another function"),
                        (" whole", "from the start of the process")):
        ratios = [(row[f"jax{suffix}"] / row[f"phalanx{suffix}"], name) for name, row in seconds.items()
                  if f"jax{suffix}" in row and f"phalanx{suffix}" in row]
        slower = [f"{name} {ratio:.2f}" for ratio, name in sorted(ratios) if ratio < 1]
        if ratios:
            parts.append(f"{how}: mean {geometric_mean(ratio for ratio, _ in ratios) or 0:.2f}, "
                         f"under 1.0: {_listed(slower) or 'none'}")
        reached = reached and not slower
    return Target(figure, reach, "; ".join(parts), reached)


def memory(measured: Mapping[str, Any] | None) -> Target:
    """Temporary memory against XLA's."""
    figure, reach = "peak temporary memory", "at most XLA's on every workload"
    if not measured:
        return _missing(figure, reach)
    pairs = [(f"{name} {case}", ours, row.get("jax", {}).get(case))
             for name, row in measured["bytes"].items() for case, ours in row["phalanx"].items()]
    more = [f"{place} {ours} to {theirs}" for place, ours, theirs in pairs if theirs is not None and ours > theirs]
    compared = sum(theirs is not None for _, _, theirs in pairs)
    return Target(figure, reach, f"{compared} cases; more bytes than XLA: {_listed(more) or 'none'}", not more)


def imports(measured: Mapping[str, Any] | None) -> Target:
    """`import phalanx` against `import numpy`."""
    figure, reach = "`import phalanx`", "at most 1.5 times `import numpy`"
    if not measured:
        return _missing(figure, reach)
    ratio = measured["import phalanx"] / measured["import numpy"]
    return Target(figure, reach, f"{ratio:.2f} times, {duration(measured['import phalanx'])}", ratio <= 1.5)


def section(data: Mapping[str, Any], found: Sequence[Row], folder: Path | None) -> str:
    """The table of targets, and products against OpenBLAS in full."""
    files: dict[str, Any] = {}
    for name in FILES:
        path = folder / name if folder else None
        files[name] = json.loads(path.read_text()) if path and path.exists() else None
    lines = [
        against_peers(found), against_openblas(found), streaming(data, found), calls(found, files["calls.json"]),
        first_call(files["first_call.json"]), memory(files["memory.json"]), two_threads(data, found),
        imports(files["import_time.json"]),
    ]
    parts = [table(["figure", "reach", "measured", "reached"], [line.cells() for line in lines], words=True)]
    if products(found):
        parts.append("Products in full, the time of OpenBLAS (without epilogue) over ours (with it):")
        parts.append(product_table(found))
    return "\n\n".join(parts)
