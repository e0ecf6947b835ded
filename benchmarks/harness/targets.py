"""The table of targets in RESULTS.md, filled in from what was measured."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any


def section(data: Mapping[str, Any], found: list[Any], folder: Path | None) -> str:
    return ""
