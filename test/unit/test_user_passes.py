"""Passes of other packages: found by entry point or file, part of a compile, and what happens when they are wrong."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "user_pass"

PASSES = '''
from mlir import ir
from phalanx.compiler.pipeline.registry import pass_

def named(module, name):
    found = []
    def visit(operation):
        if operation.name == name:
            found.append(operation)
        return ir.WalkResult.ADVANCE
    module.operation.walk(visit)
    return found

@pass_("mine-raises", "raises")
def raises(module: ir.Module) -> None:
    raise ValueError("not today")

@pass_("mine-fails", "says what is wrong at an operation")
def fails(module: ir.Module) -> None:
    from phalanx.compiler.pipeline.diagnostics import at_operation
    raise at_operation("mine-fails: no additions here", named(module, "px.add")[0])

@pass_("mine-corrupts", "leaves IR that does not verify")
def corrupts(module: ir.Module) -> None:
    for operation in named(module, "func.return"):
        operation.erase()

@pass_("mine-aborts", "ends the process")
def aborts(module: ir.Module) -> None:
    import os
    os.write(2, b"LLVM ERROR: enough\\n")
    os.abort()

@pass_("mine-swaps", "a wrong pass: b - a for a - b")
def swaps(module: ir.Module) -> None:
    for operation in named(module, "px.subtract"):
        first, second = operation.operands
        operation.operands[0] = second
        operation.operands[1] = first
'''

IR = """func.func @main(%x: tensor<4xf32>) -> tensor<4xf32> {
  %0 = "px.add"(%x, %x) : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  return %0 : tensor<4xf32>
}
"""


@pytest.fixture
def package(tmp_path):
    """A folder that is what an installed package looks like, and a program that uses it."""
    (tmp_path / "mine.py").write_text(PASSES)
    info = tmp_path / "mine-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    names = re.findall(r'@pass_\("([\w-]+)"', PASSES)
    entries = [f"{name} = mine" for name in names] + ["mine-absent = mine", "mine-broken = no_such_module"]
    (info / "entry_points.txt").write_text("[phalanx.passes]\n" + "\n".join(entries) + "\n")
    (tmp_path / "in.mlir").write_text(IR)
    (tmp_path / "program.py").write_text(textwrap.dedent("""
        import numpy as np
        import phalanx as px
        f = px.jit(lambda a, b: a - b)
        print(np.asarray(f(np.full(2, 5, np.float32), np.full(2, 3, np.float32))).tolist())
    """))
    return tmp_path


def python(folder: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(folder)]), **variables}
    return subprocess.run([sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True, check=False)


def opt(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return python(folder, "-m", "phalanx.compiler.opt", *words)


def test_entry_points_are_found_by_name(package):
    done = opt(package, "in.mlir", "--mine-swaps")
    assert done.returncode == 0 and "px.add" in done.stdout


def test_they_are_listed(package):
    (package / "mine-1.0.dist-info" / "entry_points.txt").write_text("[phalanx.passes]\nmine-swaps = mine\n")
    assert "--mine-swaps" in opt(package, "--show-passes").stdout


def test_they_take_part_in_a_compile(package):
    assert python(package, "program.py").stdout == "[2.0, 2.0]\n"
    assert python(package, "program.py", PHALANX_PASSES="px:mine-swaps").stdout == "[-2.0, -2.0]\n"


@pytest.mark.parametrize(("name", "message"), [
    ("mine-raises", "mine-raises: internal error, ValueError: not today"),
    ("mine-fails", "mine-fails: no additions here"),
    ("mine-corrupts", "verifier, after mine-corrupts: "),
    ("mine-aborts", "mine-aborts: ended the process by SIGABRT"),
    ("mine-absent", "importing mine registers no pass of that name"),
    ("mine-broken", "its package cannot be imported: ModuleNotFoundError: No module named 'no_such_module'"),
])
def test_wrong_passes_are_named(package, name, message):
    done = opt(package, "in.mlir", f"--{name}")
    assert done.returncode == 1
    assert message in done.stderr and "Traceback" not in done.stderr


def test_where_it_raised_and_last_words(package):
    assert re.search(r"mistake in the pass, .*mine\.py:\d+", opt(package, "in.mlir", "--mine-raises").stderr)
    assert "note: LLVM ERROR: enough" in opt(package, "in.mlir", "--mine-aborts").stderr


def test_a_failing_compile_leaves_a_reproducer_that_works(package):
    done = python(package, "program.py", PHALANX_PASSES="px:mine-corrupts")
    command = re.search(r"reproduce: phalanx-opt (--pass-pipeline=)'(.*)' (\S+)", done.stderr)
    assert command, done.stderr
    again = opt(package, command.group(1) + command.group(2), command.group(3))
    assert again.returncode == 1 and "after mine-corrupts" in again.stderr
    Path(command.group(3)).unlink()


def test_a_file_can_be_loaded_without_being_installed(package):
    (package / "mine-1.0.dist-info" / "entry_points.txt").unlink()
    assert opt(package, "in.mlir", "--load=mine.py", "--mine-swaps").returncode == 0
    assert "there is no file missing.py" in opt(package, "in.mlir", "--load=missing.py", "--mine-swaps").stderr


def test_the_example_package_passes_its_lit_test(tmp_path):
    done = python(EXAMPLE, "-c", "from lit.main import main; main()", "-v", "test", PHALANX_LIT_OUTPUT=str(tmp_path))
    assert "PASS: reciprocal :: reciprocal-divide.mlir" in done.stdout, done.stdout
