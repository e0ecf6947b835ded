"""`--verify-diagnostics`: the errors a file says it must give.

    // expected-error @+1 {{shapes do not broadcast}}
    %0 = "px.add"(%x, %y) : ...

`@+N` and `@-N` count lines from the comment, `@above` and `@below` are -1 and +1, `@unknown` is an error
without a line. Every error must be expected and every expectation met.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from phalanx.dialects.errors import PhalanxError

_COMMENT = re.compile(r"expected-error\s*(?:@(above|below|unknown|[+-]\d+))?\s*\{\{(.*?)\}\}")
_LINE = re.compile(r":(\d+):\d+(?:-\d+)?$")


@dataclass(frozen=True)
class Expectation:
    """An error text expected at a line, or at none."""

    line: int | None
    text: str

    def __str__(self) -> str:
        return f"{f'line {self.line}' if self.line else 'no line'}: {self.text}"


def read(text: str) -> list[Expectation]:
    """Every expectation in the comments of `text`."""
    found: list[Expectation] = []
    for number, line in enumerate(text.splitlines(), 1):
        for match in _COMMENT.finditer(line):
            where = match.group(1)
            offset = {None: 0, "above": -1, "below": 1}.get(where)
            if where == "unknown":
                found.append(Expectation(None, match.group(2)))
            else:
                found.append(Expectation(number + (int(where) if offset is None else offset), match.group(2)))
    return found


def compare(text: str, errors: Sequence[PhalanxError]) -> list[str]:
    """One complaint per expectation not met and per error not expected."""
    open_expectations = read(text)
    complaints: list[str] = []
    for error in errors:
        place = _LINE.search(error.location or "")
        line = int(place.group(1)) if place else None
        met = next((e for e in open_expectations if e.line == line and e.text in error.message), None)
        if met is None:
            complaints.append(f"error: not expected: {error}")
        else:
            open_expectations.remove(met)
    return complaints + [f"error: expected but not seen at {e}" for e in open_expectations]
