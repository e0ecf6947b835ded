"""px.testing: FileCheck of the IR of a function, the pytest fixture, the lit configuration."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import phalanx as px
from phalanx.compiler.testing import filecheck as checking
from phalanx.compiler.testing import plugin

ROOT = Path(__file__).resolve().parents[2]
filecheck_fixture = plugin.filecheck_fixture


def doubled(x):
    """Twice x.

    CHECK-LABEL: func.func @main
    CHECK: %[[SUM:.+]] = "px.add"
    CHECK-NEXT: return %[[SUM]]
    """
    return x + x


PYTHON = (sys.executable, "-m", "filecheck")


@pytest.fixture(params=["wheels", "python"])
def either(request, monkeypatch):
    """Both FileChecks."""
    if request.param == "python":
        pytest.importorskip("filecheck")
        monkeypatch.setattr(checking, "find_filecheck", lambda: PYTHON)


def test_checks_of_the_docstring(either):
    px.testing.filecheck(doubled, ["f32[4]"])
    px.testing.filecheck(px.jit(doubled), {"x": "f32[4]"})


def test_checks_of_another_stage(either):
    px.testing.filecheck(doubled, ["f32[4]"], "CHECK: linalg.generic\nCHECK: arith.addf", stage="linalg")


def test_a_prefix_of_ones_own(either):
    px.testing.filecheck(doubled, ["f32[4]"], "PX: px.add\nPX-NOT: px.multiply", prefix="PX")


def test_what_does_not_match_is_shown(either):
    with pytest.raises(AssertionError) as failed:
        px.testing.filecheck(doubled, ["f32[4]"], "CHECK: px.multiply")
    text = str(failed.value)
    assert text.startswith("doubled at stage px does not match:")
    assert "px.multiply" in text and '"px.add"' in text


def test_without_checks():
    with pytest.raises(px.ArgumentError, match="there is no CHECK: line"):
        px.testing.filecheck(lambda x: x, ["f32[4]"])


def test_without_any_filecheck(monkeypatch):
    monkeypatch.setattr(checking, "find_tool", lambda name: None)
    monkeypatch.setattr(checking, "find_spec", lambda name: None)
    with pytest.raises(px.ArgumentError, match="there is no FileCheck here") as failed:
        px.testing.filecheck(doubled, ["f32[4]"])
    assert "pip install filecheck" in str(failed.value)


def test_the_fixture_takes_the_docstring_of_the_test(filecheck):
    """CHECK: px.multiply"""
    filecheck(lambda x: x * x, ["f32[4]"])
    filecheck(doubled, ["f32[4]"])  # its own docstring comes first


def test_a_lit_configuration_to_import(tmp_path):
    (tmp_path / "lit.cfg.py").write_text(
        "from phalanx.testing.lit import configure\nconfigure(config, __file__, name='mine')\n")
    (tmp_path / "good.mlir").write_text(
        "// RUN: phalanx-opt %s --px-cse | FileCheck %s\n// CHECK: func.func @f\nfunc.func @f() { return }\n")
    (tmp_path / "bad.mlir").write_text("// RUN: phalanx-opt %s | FileCheck %s\n// CHECK: @g\nfunc.func @f() { return }\n")
    done = subprocess.run([sys.executable, "-c", "from lit.main import main; main()", "-v", str(tmp_path)],
                          capture_output=True, text=True,
                          env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "PHALANX_LIT_OUTPUT": str(tmp_path / "out")})
    assert "PASS: mine :: good.mlir" in done.stdout
    assert "FAIL: mine :: bad.mlir" in done.stdout
