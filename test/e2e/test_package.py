"""Packages and phalanx-runtime from one end to the other: made, inspected, run, verified, retargeted, loaded elsewhere."""

from __future__ import annotations

import io
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import numpy as np
import pytest

import phalanx as px
from phalanx.compiler import cli
from phalanx.compiler.aot.linker import find_linker
from phalanx.compiler.targets.isa import isa
from phalanx.dialects.errors import ArtifactError, CompileError, PhalanxError
from phalanx.runtime import cpuid
from phalanx.runtime.package import Package

ROOT = Path(__file__).resolve().parents[2]
LARGE = np.random.default_rng(1).standard_normal((64, 32)).astype(np.float32) / 8
SMALL = np.linspace(0, 1, 32, dtype=np.float32)

pytestmark = pytest.mark.skipif(cpuid.machine() != "x86_64", reason="the targets are of x86-64")


def predict(x, scale):
    """Class probabilities."""
    logits = px.tanh(x @ LARGE) * scale + SMALL
    return {"probabilities": px.softmax(logits, axis=-1), "best": px.argmax(logits, axis=-1)}


def export_to(path):
    px.export(predict, path, "f32[n,64]", "f32", target="x86-64-v2,x86-64-v3")
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return export_to(tmp_path_factory.mktemp("package") / "digits.pxa")


def test_the_same_bytes_from_any_line_and_folder(made, tmp_path):
    (tmp_path / "deep").mkdir()
    again = tmp_path / "deep" / "digits.pxa"
    px.export(
        predict,
        again, "f32[n,64]", "f32",
        target="x86-64-v2,x86-64-v3")
    assert again.read_bytes() == made.read_bytes()
    assert str(ROOT).encode() not in made.read_bytes()


def expected(x):
    logits = np.tanh(x @ LARGE) * 2 + SMALL
    e = np.exp(logits - logits.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True), logits.argmax(-1)


X = np.random.default_rng(0).standard_normal((9, 64)).astype(np.float32)


def check(function):
    found = function(X, 2.0)
    probabilities, best = expected(X)
    np.testing.assert_allclose(found["probabilities"], probabilities, rtol=1e-4)
    np.testing.assert_array_equal(found["best"], best)


def test_it_loads(made):
    function = px.load(made)
    assert repr(function) == ("<predict(x: 'f32[n,64]', scale: 'f32[]') -> \"{'probabilities': f32[n,32], 'best': i32[n]}\" "
                              "from digits.pxa>")
    check(function)
    check(pickle.loads(pickle.dumps(function)))


def test_what_is_inside(made):
    with open(made, "rb") as file, Package(made, file) as package:
        names = {name for name, _ in package.members}
        assert {"manifest.json", "digits.h", "lib/x86_64-linux.so", "weights.safetensors", "source/predict.mlirbc"} <= names
        assert [(one.architecture, one.levels) for one in package.libraries] == [("x86_64", ("x86-64-v2", "x86-64-v3"))]
        assert len(package.golden) == 2
        assert str(ROOT).encode() not in package.member("source/predict.mlirbc"), "no folder of this machine"
    everything = made.read_bytes()
    assert everything.count(LARGE.tobytes()) == 1, "weights are there once"


def test_equal_input_gives_equal_bytes(made, tmp_path):
    assert export_to(tmp_path / "digits.pxa").read_bytes() == made.read_bytes()


def phalanx(capsys, *words):
    """Exit code and all output of a command."""
    try:
        code = cli.main([str(w) for w in words])
    except SystemExit as end:
        code = end.code or 0
    shown = capsys.readouterr()
    return code, shown.out + shown.err


def test_the_commands(made, capsys, tmp_path):
    code, text = phalanx(capsys, "inspect", made)
    assert code == 0
    assert "package digits" in text and "levels     x86-64-v2, x86-64-v3" in text and "2 recorded calls" in text
    code, text = phalanx(capsys, "verify", made)
    assert (code, text.strip()) == (0, f"{made}: 2 recorded calls give the same results")
    np.savez(tmp_path / "in.npz", x=X, scale=np.float32(2))
    code, text = phalanx(capsys, "run", made, "--inputs", tmp_path / "in.npz", "-o", tmp_path / "out.npz")
    assert code == 0 and "i32[9]" in text
    with np.load(tmp_path / "out.npz") as results:
        np.testing.assert_array_equal(results["result['best']"], expected(X)[1])
    code, text = phalanx(capsys, "run", made, "--size", "n=2")
    assert code == 0 and "f32[2,32]" in text
    code, text = phalanx(capsys, "bench", made, "--size", "n=4", "--seconds", "0.05", "--format", "json")
    assert code == 0 and json.loads(text[text.index("{"):])


def test_errors_of_the_commands(made, capsys, tmp_path):
    for words, text in (
        (("run", made, "--size", "q=1"), "has no size 'q'"),
        (("run", made, "--size", "n"), "expected NAME=NUMBER"),
        (("run", made, "--function", "train"), "has no function 'train'"),
        (("run", made, "--inputs", __file__), "not an .npz file"),
        (("inspect", tmp_path / "nothing.pxa"), "No such file"),
        (("verify", __file__), "it starts with"),
        (("bench", made, "model.py:f"), "measured apart"),
        (("retarget", made, "--target", "vax"), "unknown instruction set 'vax'"),
    ):
        code, shown = phalanx(capsys, *words)
        assert code == 1 and text in shown, shown


def test_verify_notices_other_results(made, tmp_path, capsys):
    def spoil(members):
        (name,) = [n for n in members if n.endswith("0/output1.bin")]
        members[name] = (np.frombuffer(members[name], np.float32) + 1).tobytes()

    code, text = phalanx(capsys, "verify", rewritten(made, tmp_path, spoil))
    assert code == 1 and "differs from what was recorded, the largest difference is 1" in text


def test_verify_on_a_library(made, tmp_path, capsys):
    path = px.export(predict, tmp_path / "digits.so", "f32[n,64]", "f32", target="x86-64-v2").files["so"]
    code, text = phalanx(capsys, "verify", path)
    assert code == 0 and "predict: runs" in text
    code, text = phalanx(capsys, "inspect", path)
    assert code == 0 and "Class probabilities." in text and "needs n >= 0" in text


# Retargeting.
def test_retargeting_gives_what_exporting_gives(made, tmp_path, capsys):
    other = tmp_path / "digits.pxa"
    code, text = phalanx(capsys, "retarget", made, "--target", "x86-64-v2,x86-64-v3", "-o", other)
    assert (code, text.strip()) == (0, "x86_64 linux: x86-64-v2, x86-64-v3")
    assert other.read_bytes() == made.read_bytes()


def test_retargeting_in_place_changes_the_levels(made, tmp_path):
    from phalanx.compiler.aot.package import retarget

    path = tmp_path / "copy.pxa"
    shutil.copy(made, path)
    assert retarget(path, "x86-64-v2") == ["x86_64 linux: x86-64-v2"]
    check(px.load(path))
    assert path.stat().st_size < made.stat().st_size


def test_retargeting_to_another_machine(made, tmp_path):
    from phalanx.compiler.aot.package import retarget

    try:
        find_linker(isa("aarch64"))
    except CompileError as error:
        with pytest.raises(CompileError, match="no linker for aarch64"):
            retarget(made, "aarch64", tmp_path / "both.pxa")
        pytest.skip(error.message)
    both = tmp_path / "both.pxa"
    assert retarget(made, "aarch64", both) == ["aarch64 linux: armv8-a", "x86_64 linux: x86-64-v2, x86-64-v3"]
    check(px.load(both))


# Packages that are not what they should be.
def rewritten(path, folder, change, *, compression=zipfile.ZIP_STORED, digests=True):
    """A copy whose members went through `change`; the digests of the manifest follow."""
    import hashlib

    with zipfile.ZipFile(path) as archive:
        members = {i.filename: archive.read(i) for i in archive.infolist()}
    change(members)
    if digests and "manifest.json" in members:
        manifest = json.loads(members["manifest.json"])
        manifest["members"] = {n: hashlib.sha256(d).hexdigest() for n, d in members.items() if n != "manifest.json"}
        members["manifest.json"] = json.dumps(manifest).encode()
    copy = folder / "changed.pxa"
    with zipfile.ZipFile(copy, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return copy


def edit_manifest(**changes):
    def change(members):
        members["manifest.json"] = json.dumps({**json.loads(members["manifest.json"]), **changes}).encode()

    return change


@pytest.mark.parametrize(("change", "text"), [
    (lambda m: m.pop("manifest.json"), "not a package: it has no usable manifest.json"),
    (lambda m: m.pop("lib/x86_64-linux.so"), "lib/x86_64-linux.so is missing"),
    (lambda m: m.update({"../evil.so": b""}), "leads outside the package, '../evil.so'"),
    (lambda m: m.update({"/etc/evil": b""}), "leads outside"),
    (lambda m: m.update({"lib/x86_64-linux.so": b"\x7fELF"}), "64-bit|cut short"),
    (lambda m: m.update({"weights.safetensors": m["weights.safetensors"][:-4] + b"abcd"}), "digest differs"),
    (edit_manifest(version=9), "made by a newer Phalanx"),
    (edit_manifest(format="zip"), "manifest is of format 'zip'"),
    (edit_manifest(libraries=[]), "holds libraries for no machine, none for x86_64"),
    (edit_manifest(libraries=[{"file": "lib/a.so", "architecture": "aarch64", "system": "linux", "levels": []}]),
     "holds libraries for aarch64 linux, none for x86_64 linux"),
    (edit_manifest(golden=[{"function": "f", "inputs": [{"shape": [-1], "file": "x"}], "outputs": []}]), "must be in 0"),
])
def test_packages_that_are_refused(made, tmp_path, change, text):
    with pytest.raises(ArtifactError, match=text):
        px.load(rewritten(made, tmp_path, change))


def test_digests_are_checked(made, tmp_path):
    def swap(members):
        members["lib/x86_64-linux.so"] = members["lib/x86_64-linux.so"].replace(b"predict", b"predicT")

    with pytest.raises(ArtifactError, match="is not what the manifest says, its digest differs"):
        px.load(rewritten(made, tmp_path, swap, digests=False))


def test_size_bombs_are_refused_before_anything_unfolds(made, tmp_path):
    def bomb(members):
        members["weights.safetensors"] = bytes(50 << 20)

    path = rewritten(made, tmp_path, bomb, compression=zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 1 << 20
    with pytest.raises(ArtifactError, match="is compressed or encrypted, which packages never are"):
        px.load(path)


def test_truncated_packages(made, tmp_path):
    data = made.read_bytes()
    path = tmp_path / "cut.pxa"
    for length in (4, 100, len(data) // 2, len(data) - 30):
        path.write_bytes(data[:length])
        with pytest.raises(ArtifactError, match="not a package, or cut short"):
            px.load(path)


def test_source_that_cannot_be_read(made, tmp_path):
    from phalanx.compiler.aot.package import retarget

    def spoil(members):
        members["source/predict.mlirbc"] = b"not bytecode"

    with pytest.raises(ArtifactError, match=r"source/predict.mlirbc cannot be read"):
        retarget(rewritten(made, tmp_path, spoil), "x86-64-v2")


def test_no_linker_for_a_package(tmp_path):
    with pytest.raises(PhalanxError):
        px.export(predict, tmp_path / "p.pxa", "f32[n,64]", "f32", target="apple-m1")
    assert not (tmp_path / "p.pxa").exists()


# phalanx-runtime.
def run(*command, cwd):
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "PHALANX"))}
    done = subprocess.run([str(c) for c in command], cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel of phalanx-runtime, built from a copy of the tree."""
    folder = tmp_path_factory.mktemp("runtime")
    for name in ("dialects", "runtime", "runtime-dist"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "build", "*.egg-info"))
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", folder / "out",
        folder / "runtime-dist", cwd=folder)
    (made,) = (folder / "out").glob("phalanx_runtime-*.whl")
    return made


def test_the_wheel_is_small_and_says_what_it_needs(wheel):
    assert wheel.stat().st_size < 100_000
    with zipfile.ZipFile(wheel) as archive:
        text = "".join(archive.read(n).decode() for n in archive.namelist() if n.endswith(".py"))
        (metadata,) = [archive.read(n).decode() for n in archive.namelist() if n.endswith("METADATA")]
    assert "phalanx.dialects" not in text and "phalanx.runtime" not in text
    needed = [line for line in metadata.splitlines() if line.startswith("Requires-Dist") and "extra" not in line]
    assert needed == ["Requires-Dist: numpy>=2.0"]


def test_both_distributions_have_one_version():
    versions = {tomllib.loads((ROOT / place / "pyproject.toml").read_text())["project"]["version"]
                for place in (".", "runtime-dist")}
    assert len(versions) == 1


USE = """
import io, pickle, sys, time
start = time.perf_counter()
import numpy as np
import phalanx_runtime as pxr
x, expected = (np.load(f"{name}.npy") for name in ("x", "expected"))
for file in ("digits.so", "digits.pxa"):
    function = pxr.load(file)
    found = function(x, 2.0)
    assert np.allclose(found["probabilities"], expected, rtol=1e-4)
    assert np.array_equal(pickle.loads(pickle.dumps(function))(x, 2.0)["best"], found["best"])
try:
    function(x[:, :3], 1.0)
except pxr.ShapeError as error:
    print(error)
strangers = {"phalanx", "mlir", "ml_dtypes", "optree", "rich", "typer", "array_api_compat"} & set(sys.modules)
assert not strangers, strangers
for name in ("ml_dtypes", "optree", "mlir"):
    try:
        __import__(name)
    except ImportError:
        continue
    raise AssertionError(f"{name} is in this environment")
"""


def test_it_works_in_an_environment_with_numpy_only(wheel, made, tmp_path):
    venv.EnvBuilder(with_pip=False).create(tmp_path / "venv")
    python = tmp_path / "venv" / "bin" / "python"
    packages = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=tmp_path).strip())
    for name in ("numpy", "numpy.libs"):
        source = Path(np.__file__).resolve().parents[1] / name
        if source.exists():
            (packages / name).symlink_to(source)
    run(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", wheel, cwd=tmp_path)
    px.export(predict, tmp_path / "digits.so", "f32[n,64]", "f32", target="x86-64-v2,x86-64-v3")
    shutil.copy(made, tmp_path / "digits.pxa")
    np.save(tmp_path / "x.npy", X)
    np.save(tmp_path / "expected.npy", expected(X)[0])
    shown = run(python, "-c", USE, cwd=tmp_path)
    assert "predict: argument 'x' must be f32[n,64], got f32[9,3]" in shown


def test_a_source_distribution_builds_too(tmp_path):
    for name in ("dialects", "runtime", "runtime-dist"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "build", "*.egg-info"))
    run(sys.executable, "setup.py", "--quiet", "sdist", cwd=tmp_path / "runtime-dist")
    (archive,) = (tmp_path / "runtime-dist" / "dist").glob("*.tar.gz")
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", tmp_path / "out",
        archive, cwd=tmp_path)
    (wheel,) = (tmp_path / "out").glob("*.whl")
    with zipfile.ZipFile(io.BytesIO(wheel.read_bytes())) as built:
        assert "phalanx_runtime/loader.py" in built.namelist()


def test_the_guide_runs(tmp_path):
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "loading.md").read_text(), re.DOTALL)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == re.findall(r"print.*  # (.*)", code)
