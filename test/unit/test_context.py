"""The MLIR context: one for the process, safe at exit, from threads and after an error."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest
from mlir import ir

from phalanx.compiler.context import context, mlir_context, new_context

ROOT = Path(__file__).resolve().parents[2]


def run(code: str) -> str:
    """Run code in a fresh interpreter, which must end in order; returns what it printed."""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"exit code {done.returncode}\n{done.stderr}"
    assert not done.stderr
    return done.stdout


def test_there_is_one():
    with context() as first, context() as second:
        assert first is second is mlir_context() is ir.Context.current


def test_threads_share_it():
    made = []
    threads = [threading.Thread(target=lambda: made.append(mlir_context())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(c is made[0] for c in made)


def test_it_is_left_after_an_error():
    with pytest.raises(ir.MLIRError), context():
        ir.Module.parse("nonsense")
    assert ir.Context.current is None


def test_px_and_upstream_dialects_are_there():
    with context() as made:
        assert made.is_registered_operation("scf.while")
        assert made.is_registered_operation("llvm.func")
        assert not made.allow_unregistered_dialects
        text = '"px.exp"(%x) : (tensor<2xf32>) -> tensor<2xf32>'
        ir.Module.parse(f"func.func @f(%x: tensor<2xf32>) {{ %0 = {text}\n return }}")
        with pytest.raises(ir.MLIRError):
            ir.Module.parse(f"func.func @f(%x: tensor<2xf32>) {{ %0 = {text.replace('exp', 'nosuch')}\n return }}")


def test_a_context_of_its_own():
    with new_context(allow_unregistered=True) as other:
        assert other is not mlir_context()
        ir.Module.parse('"any.thing"() : () -> ()')


def test_the_interpreter_ends_in_order():
    """Entered, cached in a pipeline, in threads, left by exit: none may crash on the way out."""
    run("from phalanx.compiler.context import context\nwith context(): pass")
    run("from phalanx.compiler.context import mlir_context\nmlir_context()")
    run("import sys\nfrom phalanx.compiler.context import context\nwith context(): sys.exit(0)")
    run("from phalanx.compiler.context import context\n"
        "from phalanx.compiler.pipeline.run import run\nfrom mlir import ir\n"
        "with context():\n module = ir.Module.parse('module {}')\n run(module, 'canonicalize,cse')")
    run("import threading\nfrom phalanx.compiler.context import context\n"
        "def work():\n  with context(): pass\n"
        "threads = [threading.Thread(target=work) for _ in range(4)]\n"
        "[t.start() for t in threads]\n[t.join() for t in threads]")


def test_no_other_file_makes_a_context():
    places = [p for layer in ("compiler", "dialects", "runtime") for p in (ROOT / layer).rglob("*.py")]
    makers = [p.relative_to(ROOT).as_posix() for p in places if "ir.Context(" in p.read_text()]
    assert makers == ["compiler/context.py"]
