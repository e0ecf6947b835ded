"""Reads textual pipelines that mix Python and C++ passes.

    builtin.module(px-cse,func.func(canonicalize,cse),convert-scf-to-openmp{num-threads=2})

`PassManager.parse` does not know Python passes, so the text is read here and the C++ parts are handed on.
"""

from __future__ import annotations

import re

from phalanx.dialects.errors import CompileError
from phalanx.dialects.records import record

_NAME = re.compile(r"[A-Za-z_][\w.-]*")
_OPTION = re.compile(r"\s*([\w-]+)(?:=(\{[^{}]*\}|\"[^\"]*\"|'[^']*'|\S+))?\s*")


@record
class Item:
    """A pass (`name{options}`) or, when `inner` is not None, an anchor such as `func.func(...)`."""

    name: str
    options: str | None = None
    inner: tuple[Item, ...] | None = None

    def __str__(self) -> str:
        nested = f"({','.join(map(str, self.inner))})" if self.inner is not None else ""
        options = f"{{{self.options}}}" if self.options else ""
        return f"{self.name}{nested}{options}"


def read(text: str) -> tuple[Item, ...]:
    """The items of a pipeline; an outermost `builtin.module(...)` may be left out.

    Raises CompileError that points at the place where the text stops making sense.
    """
    reader = _Reader(text)
    items = reader.items(end="")
    if len(items) == 1 and items[0].name == "builtin.module" and items[0].inner is not None:
        return items[0].inner
    return items


def read_options(text: str, who: str) -> dict[str, str]:
    """`a=1 b c={1,2}` as a dictionary; a bare name has the empty value."""
    found: dict[str, str] = {}
    position = 0
    while position < len(text.rstrip()):
        match = _OPTION.match(text, position)
        if not match:
            raise CompileError(f"pipeline: cannot read the options of {who}, got {text!r}")
        found[match.group(1)] = (match.group(2) or "").strip("\"'")
        position = match.end()
    return found


class _Reader:
    """Recursive descent over the pipeline text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def skip(self) -> None:
        while self.at < len(self.text) and self.text[self.at].isspace():
            self.at += 1

    def peek(self) -> str:
        self.skip()
        return self.text[self.at:self.at + 1]

    def fail(self, wanted: str) -> CompileError:
        got = repr(self.text[self.at]) if self.at < len(self.text) else "the end"
        return CompileError(f"pipeline: expected {wanted}, got {got}",
                            note=f"{self.text}\n      {' ' * self.at}^")

    def items(self, end: str) -> tuple[Item, ...]:
        found: list[Item] = []
        if self.peek() == end:
            return ()
        while True:
            found.append(self.item())
            if self.peek() != ",":
                break
            self.at += 1
        if self.peek() != end:
            raise self.fail("',' or ')'" if end else "',' or the end")
        return tuple(found)

    def item(self) -> Item:
        self.skip()
        match = _NAME.match(self.text, self.at)
        if not match:
            raise self.fail("the name of a pass")
        self.at = match.end()
        inner = None
        if self.peek() == "(":
            self.at += 1
            inner = self.items(end=")")
            self.at += 1
        options = self.options() if self.peek() == "{" else None
        return Item(match.group(), options, inner)

    def options(self) -> str:
        """The text between balanced braces."""
        start, depth = self.at + 1, 0
        while self.at < len(self.text):
            depth += {"{": 1, "}": -1}.get(self.text[self.at], 0)
            self.at += 1
            if depth == 0:
                return self.text[start:self.at - 1].strip()
        raise self.fail("'}'")
