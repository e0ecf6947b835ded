"""The lit configuration to import: `configure(config, __file__)`."""

from __future__ import annotations

from phalanx.compiler.testing.lit import configure, substitutions

__all__ = ["configure", "substitutions"]
