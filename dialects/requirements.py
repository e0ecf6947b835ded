"""What must hold of named sizes and is not known while tracing: collected then, checked at each call.

A window of 4 in a tensor of n elements needs n >= 4. While a function is traced the op cannot tell, so it
says what it relies on, and the compiled function refuses sizes that break it before anything runs. What the user
states with `px.assume` is collected here too.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar

from phalanx.dialects.dims import Size
from phalanx.dialects.errors import ShapeError
from phalanx.dialects.facts import Assumption, Fact
from phalanx.dialects.records import record


@record
class Requirement:
    """A fact that an op relies on, and what to say when it is not so."""

    fact: Fact
    message: str

    def check(self, sizes: Mapping[str, int]) -> None:
        """Raise ShapeError when `sizes` break it."""
        if not self.fact.holds(sizes):
            named = ", ".join(f"{n} = {v}" for n, v in sorted(sizes.items()))
            raise ShapeError(f"{self.message}, got {named}", hint=f"the function was traced for sizes with {self.fact}")


class Collected:
    """What one trace relies on, each thing once and in order."""

    def __init__(self) -> None:
        self._requirements: dict[Requirement, None] = {}
        self._assumptions: dict[Fact, Assumption] = {}

    @property
    def requirements(self) -> list[Requirement]:
        """What ops rely on and the user did not state."""
        return [one for one in self._requirements if one.fact not in self._assumptions]

    @property
    def assumptions(self) -> list[Assumption]:
        """What the user stated."""
        return list(self._assumptions.values())

    def require(self, requirement: Requirement) -> None:
        self._requirements.setdefault(requirement)

    def assume(self, assumption: Assumption) -> None:
        self._assumptions.setdefault(assumption.fact, assumption)


_collected: ContextVar[Collected | None] = ContextVar("phalanx_requirements", default=None)


@contextlib.contextmanager
def collect() -> Iterator[Collected]:
    """Gather what is traced inside relies on."""
    found = Collected()
    token = _collected.set(found)
    try:
        yield found
    finally:
        _collected.reset(token)


def collecting() -> Collected | None:
    """Where the trace that is going on gathers; None outside of one."""
    return _collected.get()


def at_least(larger: Size, smaller: Size, message: str) -> bool:
    """Whether `larger >= smaller`; what only a call can tell is noted and taken to be so."""
    fact = larger >= smaller
    if not isinstance(fact, Fact):
        return fact
    found = _collected.get()
    if found is not None:
        found.require(Requirement(Fact(larger, ">=", smaller), message))
    return True


def check_all(requirements: Sequence[Requirement], sizes: Mapping[str, int]) -> None:
    """Raise ShapeError for the first requirement that `sizes` break."""
    for requirement in requirements:
        requirement.check(sizes)
