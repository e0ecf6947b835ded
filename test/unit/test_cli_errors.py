"""What commands print when the code they are given fails: the user's frames and nothing of ours."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from phalanx.compiler.inspect.target import load_module

ROOT = Path(__file__).parents[2]

FILES = {
    "broken.py": "def table():\n    return missing\n\nTABLE = table()\n\ndef f(x: 'f32[8]'):\n    return x\n",
    "unreadable.py": "def f(x:\n    return x\n",
    "chain.py": "import unreadable\n\ndef f(x: 'f32[8]'):\n    return x\n",
    "absent.py": "import no_such_module_anywhere\n\ndef f(x: 'f32[8]'):\n    return x\n",
    "traced.py": "def inner(x):\n    return x / (1 // 0)\n\ndef f(x: 'f32[8]'):\n    return inner(x)\n",
}


@pytest.fixture
def folder(tmp_path):
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def run(folder, *words, module="phalanx", **environment):
    done = subprocess.run([sys.executable, "-m", module, *words], cwd=folder, capture_output=True, text=True, check=False,
                          input="", env={**os.environ, "PYTHONPATH": str(ROOT), **environment})
    assert done.returncode == 1
    assert done.stdout == ""
    return done.stderr


def frames(text):
    return [Path(line.split('"')[1]).name for line in text.splitlines() if line.lstrip().startswith("File ")]


@pytest.mark.parametrize("command", ["compile", "ir", "bench", "profile", "bisect"])
def test_a_module_that_fails(folder, command):
    text = run(folder, command, "broken.py:f")
    assert frames(text) == ["broken.py", "broken.py"]
    assert text.startswith("Traceback")
    assert text.endswith("NameError: name 'missing' is not defined\n")


@pytest.mark.parametrize(("file", "shown"), [
    ("unreadable.py", ["unreadable.py"]),
    ("chain.py", ["chain.py", "unreadable.py"]),
])
def test_a_module_that_cannot_be_read(folder, file, shown):
    text = run(folder, "ir", f"{file}:f")
    assert frames(text) == shown
    assert "SyntaxError" in text.splitlines()[-1]


def test_an_import_that_is_not_there(folder):
    text = run(folder, "ir", "absent:f")
    assert frames(text) == ["absent.py"]
    assert text.endswith("ModuleNotFoundError: No module named 'no_such_module_anywhere'\n")


def test_a_function_that_fails_while_it_is_traced(folder):
    text = run(folder, "ir", "traced.py:f")
    assert frames(text) == ["traced.py", "traced.py"]
    assert text.splitlines()[-1].startswith("ZeroDivisionError")


@pytest.mark.parametrize("words", [["--trace=broken.py:f"], ["--load=broken.py"]])
def test_in_the_child_of_the_other_tool(folder, words):
    assert frames(run(folder, *words, module="phalanx.compiler.opt")) == ["broken.py", "broken.py"]


def test_everything_on_demand(folder):
    shown = frames(run(folder, "ir", "broken.py:f", PHALANX_FULL_TRACEBACK="1"))
    assert "cli.py" in shown
    assert shown[-2:] == ["broken.py", "broken.py"]


def test_a_failed_module_is_not_left_behind(folder, monkeypatch):
    monkeypatch.syspath_prepend(folder)
    for _ in range(2):
        with pytest.raises(NameError):
            load_module(str(folder / "broken.py"))
    assert "broken" not in sys.modules
