"""Tests of IR: `px.testing.filecheck`; a pytest fixture in `.plugin`, a lit configuration in `.lit`."""

from __future__ import annotations

from phalanx.compiler.testing.filecheck import check_text, filecheck

__all__ = ["check_text", "filecheck"]
