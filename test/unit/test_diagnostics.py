"""How errors print: the user's line with a caret, note, hint, reproduce line, and no frames of ours."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from mlir import ir

from phalanx.compiler.context import context
from phalanx.compiler.pipeline import diagnostics
from phalanx.dialects.errors import CompileError, PhalanxError, ShapeError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def installed():
    diagnostics.install()


@pytest.fixture
def source(tmp_path):
    file = tmp_path / "model.py"
    file.write_text("def f(x, y):\n\treturn x + y\n")
    return file


def test_an_error_in_full(source):
    error = CompileError("add: shapes do not broadcast, got [2] and [3]", location=f"{source}:2:9-14",
                         note='"px.add"(%0, %1)', hint="reshape one of them")
    error.reproduce = "phalanx-opt --px-cse x.mlir"
    assert str(error).splitlines() == [
        "add: shapes do not broadcast, got [2] and [3]",
        f"  --> {source}:2:9",
        "  |",
        "2 | \treturn x + y",
        "  | \t       ^^^^^",
        'note: "px.add"(%0, %1)',
        "hint: reshape one of them",
        "reproduce: phalanx-opt --px-cse x.mlir",
    ]


@pytest.mark.parametrize(("place", "shown"), [
    ("nowhere.py:3:7", "  --> nowhere.py:3:7"),
    ("a place in words", "  --> a place in words"),
])
def test_a_place_without_source(place, shown):
    assert str(ShapeError("add: no", location=place)).splitlines() == ["add: no", shown]


def test_a_caret_outside_the_line_stays_near_it(source):
    lines = str(ShapeError("add: no", location=f"{source}:2:12-900")).splitlines()
    assert lines[-1].count("^") == len("\treturn x + y") - 11


def test_only_the_message_is_needed():
    assert str(PhalanxError("axis: 3 is out of range")) == "axis: 3 is out of range"


@pytest.mark.parametrize(("text", "place"), [
    ('loc("model.py":7:11)', "model.py:7:11"),
    ('loc("f"("model.py":7:11 to :20))', "model.py:7:11-20"),
    ('loc(callsite("f"("model.py":7:11) at "main.py":1:1))', "model.py:7:11"),
    ('loc(fused[unknown, "g", "model.py":7:11])', "model.py:7:11"),
    ('loc("model.py":7:11 to 9:3)', "model.py:7:11"),
    ('loc("only a name")', None),
    ("loc(unknown)", None),
])
def test_the_users_line_of_a_location(text, place):
    with context():
        module = ir.Module.parse(f"module {{ func.func private @f() {text} }}")
        assert diagnostics.location_text(module.body.operations[0].location) == place


def test_diagnostics_of_mlir_become_one_error(source):
    text = f'func.func @f(%x: i32) -> i64 {{ return %x : i32 loc("f"("{source}":2:9 to :14)) }}'
    with context(), pytest.raises(ir.MLIRError) as caught:
        ir.Module.parse(text)
    error = diagnostics.from_mlir(caught.value, "verifier")
    assert error.message.startswith("verifier: type of return operand 0 ('i32') doesn't match function result type")
    assert error.location == f"{source}:2:9-14"
    assert "return" in error.note


def test_long_notes_are_cut():
    text = "\n".join(["x" * 1000] * 40)
    lines = diagnostics.shorten(text).splitlines()
    assert len(lines) == diagnostics.NOTE_LINES + 1
    assert lines[-1] == "... 24 more lines"
    assert max(map(len, lines)) < 420


def run_script(tmp_path, **environment):
    script = tmp_path / "script.py"
    script.write_text(
        "from phalanx.compiler import config\nfrom phalanx.compiler.pipeline import diagnostics\n"
        "diagnostics.install()\n\ndef use():\n    with config.options(bakend='cpu'):\n        pass\n\nuse()\n")
    done = subprocess.run([sys.executable, script], cwd=ROOT, capture_output=True, text=True, check=False,
                          env={**os.environ, "PYTHONPATH": str(ROOT), **environment})
    assert done.returncode == 1
    return done.stderr


def test_our_frames_are_hidden(tmp_path):
    text = run_script(tmp_path)
    assert "in use\n" in text
    assert "config.py" not in text
    assert text.endswith("options: unknown option 'bakend'\nhint: did you mean 'backend'?\n")


def test_our_frames_are_kept_on_demand(tmp_path):
    assert "config.py" in run_script(tmp_path, PHALANX_FULL_TRACEBACK="1")


def test_errors_that_are_not_ours_are_left_alone(tmp_path):
    script = tmp_path / "script.py"
    script.write_text("from phalanx.compiler.pipeline import diagnostics\ndiagnostics.install()\n"
                      "diagnostics.install()\n1 / 0\n")
    done = subprocess.run([sys.executable, script], cwd=ROOT, capture_output=True, text=True, check=False,
                          env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.stderr.endswith("ZeroDivisionError: division by zero\n")
    assert done.stderr.count("Traceback") == 1
