"""Loading MLIR at the first trace: its library in a thread, the compiler beside it, one import whatever happens."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no MLIR wheel")


def run(code: str) -> list[str]:
    """Words that code prints in a fresh interpreter, which must end in order and write no error."""
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


def test_a_decorated_function_imports_nothing_of_mlir():
    assert run("""
        import sys, phalanx as px
        f = px.jit(lambda x: x + 1)
        print(*[name for name in sys.modules if name.startswith("mlir.")])
    """) == []


def test_what_is_imported_meanwhile_needs_no_library():
    """Neither MLIR's nor another: opening one waits for the other."""
    assert run("""
        import sys, phalanx, bisect
        from phalanx.compiler import mlir_loading
        import mlir
        before = set(sys.modules)
        for name in mlir_loading._LAZY:
            mlir_loading._fill_later(name)
        for name in mlir_loading._MEANWHILE:
            __import__(name)
        later = {name: vars(sys.modules[name]).get("__file__") or "" for name in set(sys.modules) - before
                 if name not in mlir_loading._LAZY}
        print(*[name for name, file in later.items() if file.endswith(".so") or name.startswith("mlir.")])
    """) == []


def test_modules_filled_later_are_the_real_ones():
    assert run("""
        import phalanx as px
        px.jit(lambda x: x + 1)(1)
        import sys, types, mlir.ir, mlir.passmanager
        from mlir import ir
        print(type(mlir.ir) is types.ModuleType, mlir.ir is ir is sys.modules["mlir.ir"], bool(mlir.passmanager.PassManager))
    """) == ["True"] * 3


def test_threads_that_call_first():
    assert run("""
        import threading, phalanx as px
        f, found = px.jit(lambda x: x * 2 + 1), []
        threads = [threading.Thread(target=lambda: found.append(int(f(3)))) for _ in range(8)]
        [t.start() for t in threads]
        [t.join() for t in threads]
        print(*found)
    """) == ["7"] * 8


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_fork_while_the_library_opens():
    assert run("""
        import os, phalanx as px
        f = px.jit(lambda x: x * 2 + 1)
        child = os.fork()
        if child == 0:
            os._exit(int(f(3)))
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), int(f(4)))
    """) == ["7", "9"]


def test_the_end_while_the_library_opens():
    assert run("import phalanx as px; px.jit(lambda x: x)") == []
    assert run("import sys, phalanx as px; px.jit(lambda x: x); sys.exit(0)") == []


def test_without_the_bindings():
    assert run("""
        import sys
        sys.modules["mlir"] = None
        import phalanx as px
        f = px.jit(lambda x: x + 1)
        try:
            f(1)
        except ImportError as error:
            print(error.name or "mlir")
    """)[0].startswith("mlir")


def test_dialects_of_other_packages():
    """A context for operations defined elsewhere has every dialect, since their lowerings may build anything."""
    from phalanx.compiler.context import new_context

    with new_context() as made:
        assert made.is_registered_operation("linalg.generic")
        made.load_all_available_dialects()
        assert made.is_registered_operation("shape.const_size")
