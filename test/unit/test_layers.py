"""Who may import whom, and that `import phalanx` leaves MLIR alone."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

#: layer -> what of Phalanx it may import
ALLOWED = {
    "dialects": ("phalanx.dialects",),
    "runtime": ("phalanx.runtime", "phalanx.dialects.dtypes", "phalanx.dialects.dims", "phalanx.dialects.errors",
                "phalanx.dialects.records",
                "phalanx.dialects.facts"),
    "compiler": ("phalanx.compiler", "phalanx.dialects", "phalanx.runtime"),
}


def sources(layer: str) -> list[Path]:
    return sorted(p for p in (ROOT / layer).rglob("*.py") if "__pycache__" not in p.parts)


def imports(path: Path) -> list[tuple[int, str]]:
    """Every module an import statement names, at any depth of the file."""
    found: list[tuple[int, str]] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: write imports in full, from phalanx...."
            base = node.module or ""
            # `from phalanx.dialects import dtypes` imports phalanx.dialects.dtypes
            for alias in node.names:
                child = ROOT / base.removeprefix("phalanx.").replace(".", "/") / alias.name
                is_module = child.with_suffix(".py").exists() or (child / "__init__.py").exists()
                found.append((node.lineno, f"{base}.{alias.name}" if is_module else base))
    return found


def allowed(module: str, layer: str) -> bool:
    return any(module == prefix or module.startswith(prefix + ".") for prefix in ALLOWED[layer])


@pytest.mark.parametrize("layer", ALLOWED)
def test_imports_go_downwards(layer):
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: {module}"
        for path in sources(layer) for line, module in imports(path)
        if module.startswith("phalanx.") and not allowed(module, layer)
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("layer", ALLOWED)
def test_folders_are_imported_through_phalanx(layer):
    tops = {"dialects", "runtime", "compiler"}
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: {module}"
        for path in sources(layer) for line, module in imports(path) if module.split(".")[0] in tops
    ]
    assert not wrong, "\n".join(wrong)


def test_the_runtime_knows_no_ir():
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: {module}"
        for path in sources("runtime") for line, module in imports(path) if module.split(".")[0] == "mlir"
    ]
    assert not wrong, "\n".join(wrong)


def loaded_after(statement: str) -> set[str]:
    """Top-level modules in a fresh interpreter after a statement."""
    code = f"import sys\n{statement}\nprint(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_import_phalanx_does_not_import_mlir():
    modules = loaded_after("import phalanx")
    assert not {m for m in modules if m == "mlir" or m.startswith("mlir.")}


def test_making_and_reading_a_tensor_does_not_import_mlir():
    modules = loaded_after("import numpy as np, phalanx as px\nnp.asarray(px.asarray([1.0, 2.0]))")
    assert "phalanx.compiler.tensor" in modules
    assert "mlir" not in modules


def test_llvm_is_opened_when_there_is_an_object_to_load_and_not_before():
    code = "import sys, phalanx.runtime.executable, phalanx.runtime.backends\n" \
           "print('phalanx.runtime.libllvm' in sys.modules, 'phalanx.runtime.jit' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_the_public_package_holds_names_only():
    """phalanx/__init__.py imports and assigns; what it does not do is compute."""
    tree = ast.parse((ROOT / "phalanx" / "__init__.py").read_text())
    wrong = [n for n in tree.body if isinstance(n, (ast.ClassDef, ast.For, ast.While))]
    assert not wrong


def test_no_init_files_under_test():
    assert not list((ROOT / "test").rglob("__init__.py"))
