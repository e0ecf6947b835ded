"""Today's IR as a FileCheck test: `phalanx ir --emit-checks`."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

_VALUE = re.compile(r"%\w+")
_SYMBOL = re.compile(r"\s*(?:func\.func|llvm\.func|memref\.global)\b.*?@[\w.$-]+\(?")


def lit_test(target: str, arguments: Sequence[str], stage: str, text: str) -> str:
    """A lit test that runs `phalanx ir` again and expects the same IR, whatever its values are called."""
    place, _, function = target.rpartition(":")
    where = f"%S/{Path(place).name}" if place.endswith(".py") else place
    words = [f"--arg {shlex.quote(word)}" for word in arguments]
    command = " ".join(["%phalanx ir", f"{where}:{function}", *words, f"--stage {stage}"])
    return f"// RUN: {command} | FileCheck %s\n\n" + "\n".join(check_lines(text)) + "\n"


def check_lines(text: str, prefix: str = "CHECK") -> list[str]:
    """A CHECK line per line of IR: functions start with CHECK-LABEL, values become FileCheck variables.

    >>> print(*check_lines("func.func @f(%x: f32) {\\n  %0 = arith.addf %x, %x : f32"), sep="\\n")
    // CHECK-LABEL: func.func @f(
    // CHECK-SAME: %[[V0:[a-zA-Z0-9_]+]]: f32) {
    // CHECK-NEXT: %[[V1:[a-zA-Z0-9_]+]] = arith.addf %[[V0]], %[[V0]] : f32
    """
    names: dict[str, str] = {}
    lines: list[str] = []
    gap = True  # the line before has no check
    for line in text.splitlines():
        if not line.strip() or line == "}" or line.lstrip().startswith(("//", "#", "module")):
            gap = True
            continue
        symbol = _SYMBOL.match(line)
        if symbol:
            names = {}  # values are numbered anew in each function
            lines.append(f"// {prefix}-LABEL: {symbol.group().lstrip()}")
            lines.append(f"// {prefix}-SAME: {_pattern(line[symbol.end():], names)}")
        else:
            lines.append(f"// {prefix}{'' if gap else '-NEXT'}: {_pattern(line.strip(), names)}")
        gap = False
    return lines


def _pattern(text: str, names: dict[str, str]) -> str:
    """A line as a pattern: the first time a value is seen it gets a variable, later that variable is meant."""
    parts: list[str] = []
    end = 0
    for match in _VALUE.finditer(text):
        parts.append(_escaped(text[end:match.start()]))
        end = match.end()
        value = match.group()
        if value in names:
            parts.append(f"%[[{names[value]}]]")
        else:
            names[value] = f"V{len(names)}"
            parts.append(f"%[[{names[value]}:[a-zA-Z0-9_]+]]")
    parts.append(_escaped(text[end:]))
    return "".join(parts)


def _escaped(text: str) -> str:
    """FileCheck reads `[[` and `{{` as its own."""
    return re.sub(r"\[\[+|\{\{+", lambda found: "{{" + re.escape(found.group()) + "}}", text)
