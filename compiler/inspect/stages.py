"""`compiled.stages`: the IR of one compiled function at the end of every stage, made when it is looked at."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from mlir import ir

from phalanx.compiler import config, native
from phalanx.compiler.context import context
from phalanx.compiler.inspect.record import Recording, record
from phalanx.compiler.pipeline import registry
from phalanx.dialects.errors import CompileError

FIRST, LAST = "traced", "asm"


def stage_names() -> tuple[str, ...]:
    """Every stage there is text of, in order."""
    return (FIRST, *(stage.name for stage in native.stages()), LAST)


def check_stage(name: str) -> str:
    """`name`, if there is a stage of that name; raises CompileError with the nearest otherwise."""
    names = stage_names()
    if name not in names:
        raise CompileError(f"no stage {name!r}", hint=registry.nearest(name, names))
    return name


class Stages(Mapping[str, str]):
    """Stage name -> text. Iterating gives the names from `traced` to `asm`.

    >>> compiled.stages["linalg"]
    'module {...'
    """

    def __init__(self, compiled: Any) -> None:
        self._compiled = compiled
        self._recording: Recording | None = None
        self._texts: dict[str, str] = {}

    def __getitem__(self, name: str) -> str:
        if name not in self._texts:
            with config.options(**self._compiled.options):
                check_stage(name)
                self._texts[name] = self._assembly() if name == LAST else self._without_locations(name)
        return self._texts[name]

    def __contains__(self, name: object) -> bool:
        return name in stage_names()

    def __iter__(self) -> Iterator[str]:
        return iter(stage_names())

    def __len__(self) -> int:
        return len(stage_names())

    def __repr__(self) -> str:
        return f"<stages of {self._compiled.traced.name}: {', '.join(self)}>"

    @property
    def recording(self) -> Recording:
        """Every pass, with times and the IR after it."""
        if self._recording is None:
            traced = self._compiled.traced
            with config.options(**self._compiled.options, dump_ir=""):
                self._recording = record(traced.module, traced.name)
        return self._recording

    def with_locations(self, name: str) -> str:
        """The text of a stage with the user's line of every operation; the assembly has none."""
        return self[name] if name == LAST else self.recording.stage_text(check_stage(name))

    def diff(self, first: str, second: str) -> str:
        """A unified diff of two stages."""
        lines = difflib.unified_diff(self[first].splitlines(), self[second].splitlines(), first, second, lineterm="")
        return "\n".join(lines)

    def _without_locations(self, name: str) -> str:
        with context():
            module = ir.Module.parse(self.recording.stage_text(name))
            text: str = module.operation.get_asm(enable_debug_info=False)
        return text

    def _assembly(self) -> str:
        with context():
            module = native.clone(self.recording.module)
            return native.assembly(module, self._compiled.signature)
