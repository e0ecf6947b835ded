"""Versions of installed distributions."""

from __future__ import annotations

import importlib.metadata


def installed(package: str) -> str | None:
    """The version of an installed distribution; None when it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def version() -> str:
    """The version of Phalanx; a checkout that is only on the path has none."""
    return installed("phalanx") or "(not installed)"
