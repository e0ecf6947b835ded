"""What a compile did, pass by pass: time, operations, and the IR where it changed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mlir import ir

from phalanx.compiler import native
from phalanx.compiler.clusters.stage import ClusterReport, collect_reports
from phalanx.compiler.context import context
from phalanx.compiler.pipeline.instruments import count_operations


@dataclass(frozen=True)
class PassRun:
    """One pass of one stage, `name` with its options; `text` is the IR after it, with locations."""

    stage: str
    name: str
    reason: str
    seconds: float
    operations: int
    changed: bool
    text: str


@dataclass
class Recording:
    """Everything one lowering did; `module` is the module it left, good for one code generation."""

    label: str
    before: PassRun
    passes: list[PassRun]
    stage_ends: dict[str, int]  # stage -> number of its last pass
    reports: Sequence[ClusterReport]
    module: Any
    seconds: float

    def stage_text(self, stage: str) -> str:
        """The IR with locations at the end of a stage; `traced` is what came in."""
        if stage == "traced":
            return self.before.text
        return self.passes[self.stage_ends[stage]].text


class _Watcher:
    """The instrument behind a Recording."""

    def __init__(self) -> None:
        self.seen: list[tuple[float, int, bool, str]] = []
        self.ends: dict[str, int] = {}
        self._text = ""

    def before(self, name: str, module: ir.Module) -> None:
        if not self._text:
            self._text = printed(module)

    def after(self, name: str, module: ir.Module, seconds: float) -> None:
        text = printed(module)
        self.seen.append((seconds, count_operations(module), text != self._text, text))
        self._text = text

    def stage_done(self, stage: str, module: ir.Module) -> None:
        self.ends[stage] = len(self.seen) - 1


def printed(module: Any) -> str:
    """A module as text with locations."""
    text: str = module.operation.get_asm(enable_debug_info=True)
    return text


def record(module: Any, label: str) -> Recording:
    """Lower a copy of a px module with the options in force and write down what each pass does."""
    watcher = _Watcher()
    with context(), collect_reports() as reports:
        before = PassRun("traced", "traced", "what the Python function says", 0.0, count_operations(module), True,
                         printed(module))
        start = time.perf_counter()
        lowered, _ = native.lower(module, label, [watcher], watcher.stage_done)
        seconds = time.perf_counter() - start
        stages = native.stages()
    names = [(stage.name, text, reason) for stage in stages for text, reason in stage.passes]
    passes = [PassRun(stage, name, reason, took, operations, changed, text)
              for (stage, name, reason), (took, operations, changed, text) in zip(names, watcher.seen, strict=True)]
    return Recording(label, before, passes, watcher.ends, reports, lowered, seconds)
