"""Shared by all pytest files: Phalanx's own variables and defaults do not leak from one test to the next."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator

import pytest

from phalanx.compiler import config

_CACHE, _CHECK = "PHALANX_CACHE_DIR", "PHALANX_CHECK_IR"
_made = pytest.StashKey[str]()


def pytest_configure(config: pytest.Config) -> None:
    """One folder of compiled code per session, shared by its workers; nothing is left in or taken from the user's.

    Every compile is checked after each pass, as those of users are only when they fail.
    """
    os.environ.setdefault(_CHECK, "1")
    if _CACHE not in os.environ:
        os.environ[_CACHE] = config.stash[_made] = tempfile.mkdtemp(prefix="phalanx-test-cache-")


def pytest_unconfigure(config: pytest.Config) -> None:
    folder = config.stash.get(_made, None)
    if folder is not None:
        del os.environ[_CACHE]
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(autouse=True)
def clean_options() -> Iterator[None]:
    """Forget set_default_options(...) after each test; the environment is put back as it was."""
    before = dict(os.environ)
    yield
    config.reset_defaults()
    for name in [n for n in os.environ if n.startswith("PHALANX_") and n not in before]:
        del os.environ[name]
