"""The pytest plugin: a fixture `filecheck` that checks the docstring of the test itself.

    def test_fused(filecheck):
        '''CHECK: px.add'''
        filecheck(lambda x: x + x, ["f32[4]"])

Installed packages have it by the entry point `phalanx`; in a checkout say `pytest -p phalanx.testing.plugin`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from phalanx.compiler.testing.filecheck import filecheck as check


@pytest.fixture(name="filecheck")
def filecheck_fixture(request: pytest.FixtureRequest) -> Callable[..., None]:
    """`px.testing.filecheck` with the CHECK lines of the test's docstring when the function has none of its own."""
    docstring = inspect.getdoc(request.function)

    def filecheck(function: Callable[..., Any], specs: Sequence[Any] | Mapping[str, Any] = (), checks: str | None = None,
                  *, stage: str = "px", prefix: str = "CHECK") -> None:
        own = f"{prefix}" in (inspect.getdoc(getattr(function, "function", function)) or "")
        check(function, specs, checks if checks is not None or own else docstring, stage=stage, prefix=prefix)

    return filecheck
