"""Exported libraries as C programs see them: headers, status codes, levels under qemu, archives, build systems."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import phalanx as px

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "c"
STRICT = ["-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror", "-O1"]

needs_cc = pytest.mark.skipif(not (sys.platform == "linux" and shutil.which("cc")), reason="needs a C compiler on Linux")


def needs(*programs: str) -> pytest.MarkDecorator:
    missing = [p for p in programs if not shutil.which(p)]
    return pytest.mark.skipif(bool(missing), reason=f"needs {', '.join(missing)}")


def run(*words: str | Path, code: int = 0, **options) -> str:
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True, check=False, timeout=300,
                          env={**os.environ, "PYTHONPATH": str(ROOT)}, **options)
    assert done.returncode == code, f"{words}: code {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def model():
    spec = importlib.util.spec_from_file_location("c_example_model", EXAMPLE / "model.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["c_example_model"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def built(model, tmp_path_factory) -> Path:
    """The folder with kernels.so, kernels.a, kernels.h of three levels."""
    folder = tmp_path_factory.mktemp("kernels")
    made = px.export([("normalize", model.normalize), ("attention", model.attention)], folder / "kernels.so",
                     target="x86-64-v2,x86-64-v3,x86-64-v4", emit=("so", "a", "h"))
    assert made.levels == ("x86-64-v2", "x86-64-v3", "x86-64-v4")
    return folder


@pytest.fixture(scope="module")
def static(built) -> Path:
    """The example as one static program, which qemu can run without a root file system."""
    program = built / "example_static"
    run("cc", *STRICT, "-static", "-I", built, EXAMPLE / "main.c", built / "kernels.a", "-lm", "-o", program)
    return program


def expected(model, n: int) -> tuple[float, float]:
    wave = [np.sin(np.arange(rows * 64) * step).astype(np.float32).reshape(rows, 64)
            for rows, step in ((n, np.float32(0.1)), (7, np.float32(0.2)), (7, np.float32(0.3)))]
    result = np.asarray(px.jit(model.attention)(*wave))
    return float(result[0, 0]), float(result[-1, -1])


def numbers(output: str) -> list[float]:
    return [float(x) for x in re.findall(r"(?:first|last) (-?\d+\.\d+)", output)]


@needs_cc
def test_a_c_program_gets_what_python_gets(built, model):
    program = built / "example"
    run("cc", *STRICT, "-I", built, EXAMPLE / "main.c", built / "kernels.so", "-lm", f"-Wl,-rpath,{built}", "-o", program)
    for n in (1, 4, 300):
        output = run(program, str(n))
        assert output.startswith(f"shape {n} 64")
        np.testing.assert_allclose(numbers(output), expected(model, n), rtol=1e-4, atol=1e-5)
        assert "a size is negative; an output overlaps an input or another output; the arena is too small" in output
    assert run(program, "0").startswith("shape 0 64")


@needs_cc
@pytest.mark.skipif(not shutil.which("c++"), reason="needs a C++ compiler")
def test_the_header_is_c_plus_plus(built):
    source = built / "use.cpp"
    source.write_text('#include "kernels.h"\n#include "kernels.h"\n'
                      "int main() { float x[2] = {1, 1}, y[2];\n"
                      "  return normalize(x, y, 1, 2) != PHALANX_OK || y[0] != 0.5f; }\n")
    run("c++", "-Wall", "-Wextra", "-pedantic", "-Werror", "-I", built, source, built / "kernels.a", "-o", built / "use")
    run(built / "use")


@needs_cc
def test_an_archive_links_into_a_static_program(static):
    assert run(static, "4").startswith("shape 4 64")


@needs_cc
@needs("qemu-x86_64-static")
@pytest.mark.parametrize(("cpu", "runs"), [("qemu64", False), ("Nehalem", True), ("Haswell", True), ("max", True)])
def test_every_processor_gets_code_it_can_run(static, model, cpu, runs):
    output = run("qemu-x86_64-static", "-cpu", cpu, static, "5", code=0 if runs else 1)
    if runs:
        np.testing.assert_allclose(numbers(output), expected(model, 5), rtol=1e-4, atol=1e-5)


@needs_cc
@needs("qemu-x86_64-static")
def test_a_processor_below_the_only_level_gets_a_status(model, tmp_path):
    px.export([("normalize", model.normalize)], tmp_path / "only.so", target="x86-64-v3", emit=("a", "h"))
    (tmp_path / "main.c").write_text('#include "only.h"\n'
                                     "int main(void) { float x[2] = {1, 1}, y[2];\n"
                                     "  if (normalize_arena_bytes(1, 2) != normalize(x, y, 1, 2)) return 7;\n"
                                     "  return normalize(x, y, 1, 2) == PHALANX_CPU ? 42 : 1; }\n")
    run("cc", "-static", "-I", tmp_path, tmp_path / "main.c", tmp_path / "only.a", "-o", tmp_path / "main")
    run("qemu-x86_64-static", "-cpu", "Nehalem", tmp_path / "main", code=42)


@needs("qemu-aarch64-static", "aarch64-linux-gnu-gcc")
def test_aarch64_runs_under_qemu(model, tmp_path):
    px.export([("normalize", model.normalize), ("attention", model.attention)], tmp_path / "kernels.so", target="aarch64",
              emit=("a", "h"))
    run("aarch64-linux-gnu-gcc", "-static", "-I", tmp_path, EXAMPLE / "main.c", tmp_path / "kernels.a", "-lm",
        "-o", tmp_path / "example")
    np.testing.assert_allclose(numbers(run("qemu-aarch64-static", tmp_path / "example", "5")), expected(model, 5),
                               rtol=1e-4, atol=1e-5)


@needs_cc
@needs("cmake")
def test_the_cmake_project_builds_and_runs(tmp_path):
    run("cmake", "-S", EXAMPLE, "-B", tmp_path, f"-DPHALANX={sys.executable};-m;phalanx.compiler.cli")
    run("cmake", "--build", tmp_path)
    assert run(tmp_path / "example", "3").startswith("shape 3 64")


@needs_cc
@needs("meson", "ninja")
def test_the_meson_project_builds_and_runs(tmp_path):
    shutil.copytree(EXAMPLE, tmp_path / "source")
    run("meson", "setup", tmp_path / "build", f"-Dphalanx=['{sys.executable}', '-m', 'phalanx.compiler.cli']",
        cwd=tmp_path / "source")
    run("meson", "compile", "-C", tmp_path / "build")
    assert run(tmp_path / "build" / "example", "3").startswith("shape 3 64")
