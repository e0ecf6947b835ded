"""Shared by all pytest files: Phalanx's own variables and defaults do not leak from one test to the next."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from phalanx.compiler import config


@pytest.fixture(autouse=True)
def clean_options() -> Iterator[None]:
    """Forget set_default_options(...) after each test; the environment is put back as it was."""
    before = dict(os.environ)
    yield
    config.reset_defaults()
    for name in [n for n in os.environ if n.startswith("PHALANX_") and n not in before]:
        del os.environ[name]
