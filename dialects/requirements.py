"""What must hold of named sizes and is not known while tracing: collected then, checked at each call.

A window of 4 in a tensor of n elements needs n >= 4. While a function is traced the op cannot tell, so it
says what it relies on, and the compiled function refuses sizes that break it before anything runs.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass

from phalanx.dialects.dims import Dim, Size
from phalanx.dialects.errors import ShapeError, TraceError


@dataclass(frozen=True)
class Requirement:
    """`larger >= smaller`, and what to say when it is not so."""

    larger: Size
    smaller: Size
    message: str

    def check(self, sizes: Mapping[str, int]) -> None:
        """Raise ShapeError when `sizes` break it."""
        larger, smaller = (s.evaluate(sizes) if isinstance(s, Dim) else s for s in (self.larger, self.smaller))
        if larger < smaller:
            named = ", ".join(f"{n} = {v}" for n, v in sorted(sizes.items()))
            raise ShapeError(f"{self.message}, got {named}",
                             hint=f"the function was traced for sizes with {self.larger} >= {self.smaller}")


_collected: ContextVar[dict[Requirement, None] | None] = ContextVar("phalanx_requirements", default=None)


@contextlib.contextmanager
def collect() -> Iterator[dict[Requirement, None]]:
    """Gather what the ops traced inside rely on, each thing once and in order."""
    found: dict[Requirement, None] = {}
    token = _collected.set(found)
    try:
        yield found
    finally:
        _collected.reset(token)


def at_least(larger: Size, smaller: Size, message: str) -> bool:
    """Whether `larger >= smaller`; what only a call can tell is noted and taken to be so."""
    try:
        return larger >= smaller
    except TraceError:
        found = _collected.get()
        if found is not None:
            found[Requirement(larger, smaller, message)] = None
        return True


def check_all(requirements: Sequence[Requirement], sizes: Mapping[str, int]) -> None:
    """Raise ShapeError for the first requirement that `sizes` break."""
    for requirement in requirements:
        requirement.check(sizes)
