"""px.assume: what the user knows about named sizes."""

from __future__ import annotations

from typing import Any

import numpy as np

from phalanx.compiler.trace.locations import user_location_text
from phalanx.dialects.errors import ArgumentError, TraceError
from phalanx.dialects.facts import Assumption, Fact
from phalanx.dialects.requirements import collecting


def assume(fact: Any, message: str = "") -> None:
    """State a fact about named sizes: calls with sizes that break it are refused before anything runs.

    >>> def evens(x):
    ...     px.assume(x.shape[0] % 2 == 0, "rows come in pairs")
    ...     return x[::2]
    >>> px.compile(evens, "f32[n]")(np.arange(4, dtype=np.float32))
    px.Tensor([0. 2.], dtype=float32)

    A fact compares two expressions of sizes with ==, !=, <=, >=, < or >. Sizes that are known while tracing are
    compared there. An exported function returns a status of its own for each fact.

    Raises ArgumentError for a fact that is false, or that is not one about sizes.
    """
    if isinstance(fact, Fact):
        found = collecting()
        if found is None:
            raise TraceError(f"assume: {fact} is about named sizes, which only a function that is traced has")
        if fact.impossible():
            raise ArgumentError(f"assume: {fact} never holds" + _because(message), location=user_location_text())
        found.assume(Assumption(fact, str(message), user_location_text() or ""))
        return
    if not isinstance(fact, (bool, np.bool_)):
        raise ArgumentError(f"assume: takes a comparison of sizes, got a {type(fact).__name__}",
                            location=user_location_text(),
                            hint="values of tensors cannot be assumed; px.assume(x.shape[0] % 8 == 0)")
    if not fact:
        raise ArgumentError("assume: does not hold for these sizes" + _because(message), location=user_location_text())


def _because(message: str) -> str:
    return f": {message}" if message else ""
