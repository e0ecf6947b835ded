"""The pytest plugin: the fixture `filecheck`."""

from __future__ import annotations

from phalanx.compiler.testing.plugin import filecheck_fixture

__all__ = ["filecheck_fixture"]
