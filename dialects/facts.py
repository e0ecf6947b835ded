"""Statements about named sizes: `n % 8 == 0`, `n <= 4096`, `n == 2*m`. A trace cannot decide them, a call can."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

from phalanx.dialects.errors import TraceError
from phalanx.dialects.records import record

RELATIONS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq, "!=": operator.ne, "<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt,
}

# `((n) % 8)` is what sizes print, since it may stand in a product and any sum in it; here it reads better without.
_WHOLE = r"\(((?:[^()]|\([^()]*\))*)\)"
_LONE = r"\((\w+)\)(?= (?://|%))|(?<=[/%] )\((\w+)\)"


@record
class Fact:
    """A comparison of sizes that their expressions alone do not decide.

    >>> Dim.named("n") % 8 == 0
    n % 8 == 0

    `==` counts as false and `!=` as true where a program branches on them; branching on an order raises TraceError.
    """

    left: Any
    relation: str
    right: Any

    def __bool__(self) -> bool:
        if self.relation in ("==", "!="):
            return self.relation == "!="
        size = self.left if not isinstance(self.left, int) else self.right
        raise TraceError(f"dim: {self} is not known while tracing, since the size {size} has no value yet",
                         hint="compute with sizes instead of branching on them, state it with px.assume, "
                              "or give the argument a fixed size")

    def names(self) -> set[str]:
        """Every name of a size that it uses."""
        return {name for side in (self.left, self.right) if not isinstance(side, int) for name in side.names()}

    def holds(self, values: Mapping[str, int]) -> bool:
        """Whether it is so once every name has a value."""
        left, right = (s if isinstance(s, int) else s.evaluate(values) for s in (self.left, self.right))
        return RELATIONS[self.relation](left, right)

    def impossible(self) -> bool:
        """Whether no sizes at all make it so, as `n == n + 1`."""
        difference = self.left - self.right
        return isinstance(difference, int) and not RELATIONS[self.relation](difference, 0)

    def __str__(self) -> str:
        return f"{_readable(self.left)} {self.relation} {_readable(self.right)}"

    __repr__ = __str__


def _readable(size: Any) -> str:
    text = str(size)
    whole = re.fullmatch(_WHOLE, text)
    return re.sub(_LONE, lambda found: found[1] or found[2], whole[1] if whole else text)


@record
class Assumption:
    """A fact that the user stated, what to say when it is not so, and the user's line."""

    fact: Fact
    message: str = ""
    location: str = ""

    @property
    def text(self) -> str:
        """`n % 8 == 0 does not hold`, with the user's own words behind it."""
        return f"{self.fact} does not hold" + (f": {self.message}" if self.message else "")

    @property
    def text_elsewhere(self) -> str:
        """The same where the user's file is not at hand: with the line in it."""
        return self.text + (f" ({self.location})" if self.location else "")
