"""What the page shows, as plain data: passes, texts as numbers of shared lines, sources, clusters, memory, remarks."""

from __future__ import annotations

import linecache
import shlex
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from phalanx.compiler import config, versions
from phalanx.compiler.execution import Compiled
from phalanx.compiler.inspect.explain import explain
from phalanx.compiler.inspect.record import PassRun
from phalanx.compiler.viewer.locations import Place, take_apart

_LONGEST_LINE = 2000  # of a dense constant, the page shows no more
_FOREIGN = (sysconfig.get_path("purelib"), sysconfig.get_path("stdlib"))


@dataclass
class Tables:
    """Lines and places of all texts, each once."""

    lines: dict[str, int] = field(default_factory=dict)
    places: dict[Place, int] = field(default_factory=dict)
    texts: list[dict[str, list[int]]] = field(default_factory=list)
    known: dict[str, int] = field(default_factory=dict)

    def text(self, text: str) -> int:
        """The number of a text; equal texts are stored once."""
        if text not in self.known:
            lines, places = take_apart(text)
            self.known[text] = len(self.texts)
            self.texts.append({"lines": [self._line(line) for line in lines], "places": [self._place(p) for p in places]})
        return self.known[text]

    def _line(self, line: str) -> int:
        if len(line) > _LONGEST_LINE:
            line = f"{line[:_LONGEST_LINE]} ... {len(line) - _LONGEST_LINE} more letters"
        return self.lines.setdefault(line, len(self.lines))

    def _place(self, place: Place | None) -> int:
        if place is None or place[0].startswith(_FOREIGN):
            return -1
        return self.places.setdefault(place, len(self.places))


def page_data(compilations: Sequence[tuple[str, Compiled]], target: str = "", arguments: Sequence[str] = (),
              ) -> dict[str, Any]:
    """Everything a page of one or two compilations shows; `target` and `arguments` go into the commands to copy."""
    tables = Tables()
    shown = [_compilation(label, compiled, tables) for label, compiled in compilations]
    own = [compiled.traced.origin.rpartition(":")[0] for _, compiled in compilations]  # shown first
    used = sorted(dict.fromkeys(file for file, _ in tables.places), key=lambda file: file not in own)
    files = {file: "".join(linecache.getlines(file)) for file in used}
    words = ["phalanx-opt", f"--trace={shlex.quote(target)}", *(f"--arg={shlex.quote(word)}" for word in arguments)]
    return {
        "stamp": versions.stamp()[3:],
        "command": " ".join(words) if target else "phalanx-opt input.mlir",
        "compilations": shown,
        "lines": list(tables.lines),
        "places": [list(place) for place in tables.places],
        "texts": tables.texts,
        "files": [{"path": file, "name": Path(file).name, "text": text} for file, text in files.items() if text],
    }


def _compilation(label: str, compiled: Compiled, tables: Tables) -> dict[str, Any]:
    with config.options(**compiled.options):
        recording = compiled.stages.recording
        explanation = explain(compiled)
        assembly = compiled.stages["asm"]
    runs = [recording.before, *recording.passes]
    runs.append(PassRun("asm", "asm", "what the processor gets", compiled.seconds.get("llvm", 0.0), 0, True, assembly))
    return {
        "label": label,
        "options": ", ".join(f"{name}={value}" for name, value in compiled.options.items()),
        "reason": explanation.reason,
        "seconds": recording.seconds,
        "passes": [{"stage": run.stage, "name": run.name, "reason": run.reason, "seconds": run.seconds,
                    "operations": run.operations, "changed": run.changed, "text": tables.text(run.text)} for run in runs],
        "clusters": [{"name": c.name, "kind": c.kind, "calls": c.calls, "schedule": c.schedule, "workspace": c.workspace,
                      "operations": len(c.operations), "lines": [[line.file, line.line] for line in c.lines]}
                     for c in explanation.clusters],
        "remarks": [{"message": d.message, "file": d.file, "line": d.line, "missed": d.missed}
                    for d in dict.fromkeys(explanation.decisions)],
        "arena": {"bytes": explanation.arena_bytes, "live": explanation.live_bytes, "copies": explanation.copies,
                  "buffers": [[b.offset, b.nbytes, b.first, b.last] for b in explanation.buffers]},
    }
