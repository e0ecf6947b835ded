"""Watchers of a pipeline: what ran, how long it took, what it changed, and the IR after each pass."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Protocol, TextIO

from mlir import ir

from phalanx.compiler import versions
from phalanx.dialects.errors import ArgumentError
from phalanx.dialects.records import field, record


class Instrument(Protocol):
    """Told before and after every pass; `after` is not called for a pass that failed."""

    def before(self, name: str, module: ir.Module) -> None: ...

    def after(self, name: str, module: ir.Module, seconds: float) -> None: ...


@record(frozen=False)
class Timing:
    """Seconds per pass, in order."""

    passes: list[tuple[str, float]] = field(default_factory=list)

    def before(self, name: str, module: ir.Module) -> None:
        """Nothing to do: the runner measures."""

    def after(self, name: str, module: ir.Module, seconds: float) -> None:
        self.passes.append((name, seconds))

    @property
    def total(self) -> float:
        return sum(seconds for _, seconds in self.passes)


@record(frozen=False)
class Reporter:
    """Prints a line per pass."""

    stream: TextIO

    def before(self, name: str, module: ir.Module) -> None:
        """Nothing to do: the line comes with the time."""

    def after(self, name: str, module: ir.Module, seconds: float) -> None:
        print(f"phalanx:   {name:<50} {seconds * 1e3:8.2f} ms", file=self.stream)


@record
class Record:
    """What one pass did."""

    name: str
    seconds: float
    operations_before: int
    operations_after: int
    changed: bool

    def __str__(self) -> str:
        change = f"{self.operations_before} -> {self.operations_after} ops" if self.changed else "no change"
        return f"{self.name:<40} {self.seconds * 1e3:8.2f} ms  {change}"


@record(frozen=False)
class Recorder:
    """A Record per pass; counting walks the module and printing tells whether it changed, so this is not free."""

    records: list[Record] = field(default_factory=list)
    _count: int = 0
    _text: bytes = b""

    def before(self, name: str, module: ir.Module) -> None:
        self._count, self._text = count_operations(module), _bytes(module)

    def after(self, name: str, module: ir.Module, seconds: float) -> None:
        changed = _bytes(module) != self._text
        self.records.append(Record(name, seconds, self._count, count_operations(module), changed))

    def __str__(self) -> str:
        return "\n".join(map(str, self.records))


@record(frozen=False)
class Dump:
    """Writes the IR after passes: `00_input.mlir`, `01_px-cse.mlir`, ...

    `level` is "pass", "changed" (a pass that changed nothing writes nothing) or "stage" (only `stage_done` writes).
    """

    folder: Path
    prefix: str = ""
    level: str = "pass"
    _number: int = 0
    _last: str = ""

    def before(self, name: str, module: ir.Module) -> None:
        if self._number == 0 and self.level != "stage":
            self._write("input", module)

    def after(self, name: str, module: ir.Module, seconds: float) -> None:
        if self.level != "stage":
            self._write(name, module)

    def stage_done(self, module: ir.Module) -> None:
        """Write what the stage leaves, when that is all that is wanted."""
        if self.level == "stage":
            self._write("", module)

    def _write(self, name: str, module: ir.Module) -> None:
        text = module.operation.get_asm(enable_debug_info=True, large_elements_limit=64)
        if self.level == "changed" and text == self._last:
            return
        self._last = text
        short = re.sub(r"[^\w.-]+", "_", name)[:60].strip("_")
        file = f"{self.prefix}{self._number:02d}_{short}" if name else self.prefix.rstrip("_")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / f"{file}.mlir").write_text(f"{versions.stamp()}\n{text}")
        except OSError as error:
            raise ArgumentError(f"dump_ir: cannot write into {self.folder}: {error.strerror}",
                                hint="name a folder that can be written, or unset PHALANX_DUMP_IR") from None
        self._number += 1


@record(frozen=False)
class Printer:
    """Prints the IR after every pass, as MLIR's own option does."""

    stream: TextIO
    debug_info: bool = False

    def before(self, name: str, module: ir.Module) -> None:
        """Nothing to do: the pass before has printed it."""

    def after(self, name: str, module: ir.Module, seconds: float) -> None:
        text = module.operation.get_asm(enable_debug_info=self.debug_info, large_elements_limit=64)
        print(f"// -----// IR Dump After {name} ({name}) //----- //\n{text}", file=self.stream)


def count_operations(module: ir.Module) -> int:
    """Operations at every depth, the module itself not counted."""
    total = 0

    def visit(_: Any) -> ir.WalkResult:
        nonlocal total
        total += 1
        return ir.WalkResult.ADVANCE

    module.operation.walk(visit)
    return total - 1


def _bytes(module: ir.Module) -> bytes:
    text: str = module.operation.get_asm(enable_debug_info=True, assume_verified=True)
    return text.encode()
