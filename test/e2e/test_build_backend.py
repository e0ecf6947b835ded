"""Somebody else's package builds its functions into its own wheel with our PEP 517 backend."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import phalanx as px
from phalanx.compiler.aot import build_backend

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="libraries are made for Linux")


@pytest.fixture
def project(tmp_path):
    shutil.copytree(ROOT / "examples" / "wheel", tmp_path / "project")
    return tmp_path / "project"


def test_a_wheel_with_a_library_that_works_without_phalanx(project, tmp_path):
    code = ("from phalanx.compiler.aot import build_backend as b\n"
            "assert b.get_requires_for_build_wheel() == []\n"
            f"print(b.build_wheel({str(tmp_path)!r}))")
    done = subprocess.run([sys.executable, "-c", code], cwd=project, capture_output=True, text=True, check=False,
                          env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr
    name = done.stdout.split()[-1]
    assert name.startswith("fastrows-1.0-py3-none-linux_")
    with zipfile.ZipFile(tmp_path / name) as wheel:
        assert {"fastrows/__init__.py", "fastrows/kernels.so"} <= set(wheel.namelist())
        assert not [n for n in wheel.namelist() if n.startswith("kernels")]
        assert "phalanx" not in wheel.read("fastrows-1.0.dist-info/METADATA").decode()
        wheel.extractall(tmp_path / "installed")
    use = ("import sys, numpy as np, fastrows\n"
           "x = np.arange(12, dtype=np.float32).reshape(3, 4) ** 2\n"
           "y = fastrows.standardize(x)\n"
           "assert np.allclose(y.mean(axis=1), 0, atol=1e-6) and np.allclose(y.std(axis=1), 1, atol=1e-4)\n"
           "assert 'phalanx' not in sys.modules and fastrows.standardize(np.zeros((0, 3))).shape == (0, 3)\n")
    subprocess.run([sys.executable, "-c", use], cwd=tmp_path, check=True,
                   env={**os.environ, "PYTHONPATH": str(tmp_path / "installed")})


@pytest.mark.parametrize(("old", "new", "message"), [
    ('output = "src', 'outpt = "src', "does not know 'outpt'"),
    ('output = "src/fastrows/kernels.so"', "", "needs 'output'"),
    ("kernels.py:standardize", "kernels.py:missing", "kernels.py has no 'missing'"),
    ("kernels.py:standardize", "absent.py:standardize", "there is no file .*absent.py"),
])
def test_mistakes_in_pyproject(project, old, new, message, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "kernels", raising=False)
    file = project / "pyproject.toml"
    file.write_text(file.read_text().replace(old, new))
    with pytest.raises(px.ArgumentError, match=message):
        build_backend.build_libraries(project)
