"""The parts of an export: names, size code, dispatcher, header, archive, linkers, command line."""

from __future__ import annotations

import ctypes
import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import phalanx as px
from phalanx.compiler.aot.archive import archive
from phalanx.compiler.aot.dispatcher import x86_level_text, x86_table
from phalanx.compiler.aot.levels import targets_of
from phalanx.compiler.aot.linker import Linker, check_undefined, find_linker, link_library
from phalanx.compiler.aot.names import function_name, parameter_names, suggestion
from phalanx.compiler.aot.size_code import DECLARATIONS, MOST_BYTES, SizeCode
from phalanx.compiler.targets.isa import host, isa, level_features
from phalanx.compiler.targets.llvm_c import TargetMachine, parse
from phalanx.dialects import dims
from phalanx.runtime import jit

linux = pytest.mark.skipif(sys.platform != "linux", reason="libraries are made for Linux")


# -- names -------------------------------------------------------------------------------------------------------


def test_parameter_names_are_c_names_each_used_once():
    found = parameter_names(["x", "params['w']", "params_w", "int", "0", "n", "größe"], taken=["n"])
    assert found == ["x", "params_w", "params_w2", "int_", "argument0", "n2", "gr_e"]


@pytest.mark.parametrize("name", ["double", "my function", "2fast", "_hidden", "px_exp", "a__b", "class", "malloc", ""])
def test_names_that_c_cannot_use(name):
    with pytest.raises(px.ArgumentError, match="cannot be the name of a C function"):
        function_name(name)
    assert function_name(suggestion(name)) == suggestion(name)


# -- size code ---------------------------------------------------------------------------------------------------

EXPRESSIONS = ("n", "n + m", "2*n*m + 3", "n - m", "(n + 3) // 4", "(n - 9) // m", "(n - 9) % m", "max(n, 2*m) - min(n, m)",
               "n*n*n*m")


def compiled(text: str):
    """(value, overflow, invalid) of a size expression by the code an exported library has."""
    code = SizeCode({"n": "%n", "m": "%m"})
    value = code.size(dims.parse(text))
    overflow, invalid = code.any_of(code.overflow), code.any_of(code.invalid)
    for flag, shift in ((overflow, 1), (invalid, 2)):
        code.line(f"%wide{shift} = zext i1 {flag} to i64")
        code.line(f"%slot{shift} = getelementptr i64, ptr %out, i64 {shift}")
        code.line(f"store i64 %wide{shift}, ptr %slot{shift}")
    source = f"{DECLARATIONS}define i64 @f(i64 %n, i64 %m, ptr %out) {{\n{code.text}\n  ret i64 {value}\n}}\n"
    here = host()
    with TargetMachine(here.triple, here.cpu, here.features) as machine, parse(source) as module:
        module.set_target(machine)
        module.verify()
        function = jit.load(module.emit_object(machine)).function("f", ctypes.c_int64, *[ctypes.c_int64] * 2, ctypes.c_void_p)

    def run(n: int, m: int) -> tuple[int, bool, bool]:
        out = np.zeros(3, np.int64)
        result = function(n, m, out.ctypes.data)
        return result, bool(out[1]), bool(out[2])

    return run


FUNCTIONS: dict[str, Callable[[int, int], tuple[int, bool, bool]]] = {}


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(EXPRESSIONS), st.integers(0, 2**62), st.integers(0, 2**62), st.booleans())
def test_size_code_computes_what_dims_compute(text, n, m, small):
    if small:
        n, m = n % 50, m % 50
    if text not in FUNCTIONS:
        FUNCTIONS[text] = compiled(text)
    run = FUNCTIONS[text]
    value, overflow, invalid = run(n, m)
    if ("//" in text or "%" in text) and m == 0 and "m" in text:
        assert invalid
        return
    expected = dims.parse(text).evaluate({"n": n, "m": m})
    assert not invalid
    if not overflow:
        assert value == expected
    else:
        assert expected > 2**55 or n > 2**55 or m > 2**55  # parts of a sum may overflow where the sum would not


def test_bytes_of_a_tensor_are_limited():
    code = SizeCode({"n": "%n"})
    assert code.nbytes((2, 3), 4) == "24" and code.overflow == []
    code.nbytes((dims.parse("n"), 3), 4)
    assert any(str(MOST_BYTES) in line for line in code.lines)


# -- levels ------------------------------------------------------------------------------------------------------


def test_the_table_has_the_best_level_for_every_machine():
    assert x86_table({"x86-64-v2": "a", "x86-64-v4": "b"}) == ["null", "null", "a", "a", "b"]


@pytest.mark.skipif(host().architecture != "x86_64", reason="asks an x86 processor")
def test_cpuid_finds_the_level_llvm_finds():
    source = x86_level_text() + "define i32 @level() {\n  %l = call i32 @px_level()\n  ret i32 %l\n}\n"
    here = host()
    with TargetMachine(here.triple, "x86-64") as machine, parse(source) as module:
        module.set_target(machine)
        module.verify()
        found = jit.load(module.emit_object(machine)).function("level", ctypes.c_int32)()
    assert found == {"x86-64": 1, "x86-64-v2": 2, "x86-64-v3": 3, "x86-64-v4": 4}[here.level]


def test_levels_are_sorted_and_closed():
    assert targets_of("x86-64-v4, x86-64-v2") == ["x86-64-v2", "x86-64-v4"]
    assert set(level_features("x86-64-v3")) > set(level_features("x86-64-v2"))
    assert level_features("armv8-a") == ()


# -- files -------------------------------------------------------------------------------------------------------


def test_an_archive_as_ar_sees_it(tmp_path):
    if not shutil.which("ar"):
        pytest.skip("needs ar")
    for name in ("short", "a_name_longer_than_sixteen"):
        path = tmp_path / f"{name}.a"
        path.write_bytes(archive(name, b"\x7fELF-odd", ["one", "two"]))
        listed = subprocess.run(["ar", "t", str(path)], capture_output=True, text=True, check=True).stdout
        assert listed.strip() == f"{name}.o"
        subprocess.run(["ar", "x", str(path)], cwd=tmp_path, check=True)
        assert (tmp_path / f"{name}.o").read_bytes() == b"\x7fELF-odd"


def small_object(name: str, text: str) -> bytes:
    record = isa(name)
    with TargetMachine(record.triple, record.cpu) as machine, parse(text) as module:
        module.set_target(machine)
        return module.emit_object(machine)


ANSWER = "declare double @fmod(double, double)\ndefine double @answer(double %x) {\n" \
         "  %r = call double @fmod(double %x, double 7.0)\n  ret double %r\n}\n"


def linkers() -> list[Linker]:
    found = [Linker(name, (path,), name == "cc") for name in ("ld.lld", "ld", "cc") if (path := shutil.which(name))]
    if importlib.util.find_spec("ziglang"):
        found.append(Linker("ziglang", (sys.executable, "-m", "ziglang", "ld.lld")))
    return found


@linux
@pytest.mark.skipif(host().architecture != "x86_64", reason="links for x86")
@pytest.mark.parametrize("tool", linkers(), ids=lambda tool: tool.name)
def test_every_linker_makes_a_library_that_needs_libm_without_versions(tool, tmp_path):
    data = link_library(small_object("x86-64-v2", ANSWER), ["fmod"], isa("x86-64-v2"), "answer.so", tool)
    path = tmp_path / "answer.so"
    path.write_bytes(data)
    function = ctypes.CDLL(str(path)).answer
    function.restype, function.argtypes = ctypes.c_double, [ctypes.c_double]
    assert function(9.5) == 2.5
    assert b"libm.so.6" in data and b"GLIBC" not in data


@pytest.mark.parametrize(("tool", "expected"), [
    (Linker("ld.lld", ("/bin/ld.lld",)),
     "/bin/ld.lld -shared -soname f.so -z defs -z noexecstack --as-needed --build-id=sha1 -o OUT a.o libc.so.6"),
    (Linker("ziglang", ("python", "-m", "ziglang", "ld.lld")),
     "python -m ziglang ld.lld -shared -soname f.so -z defs -z noexecstack --as-needed --build-id=sha1 -o OUT a.o libc.so.6"),
    (Linker("cc", ("/bin/cc",), compiler=True),
     "/bin/cc -shared -nostdlib -Wl,-soname,f.so,-z,defs,-z,noexecstack,--as-needed,--build-id=sha1 -o OUT a.o libc.so.6"),
], ids=lambda value: getattr(value, "name", ""))
def test_what_linkers_are_told(tmp_path, monkeypatch, tool, expected):
    output, seen = tmp_path / "f.so", []

    def run(words, **_):
        seen.append(words)
        output.write_bytes(b"")
        return subprocess.CompletedProcess(words, 0, "", "")

    monkeypatch.setattr("phalanx.compiler.aot.linker.subprocess.run", run)
    tool.link(output, "f.so", [Path("a.o"), Path("libc.so.6")])
    assert " ".join(seen[0]) == expected.replace("OUT", str(output))


@linux
def test_linkers_are_tried_in_order(monkeypatch):
    there = {"ld.lld", "ld", "cc"}
    monkeypatch.setattr("phalanx.compiler.aot.linker.shutil.which", lambda name: f"/bin/{name}" if name in there else None)
    monkeypatch.setattr("phalanx.compiler.aot.linker.importlib.util.find_spec", lambda name: True)
    found = []
    for gone in ("", "ld.lld", "ld", "cc"):
        there.discard(gone)
        found.append(find_linker(isa(host().level)).name)
    assert found == ["ld.lld", "ld", "cc", "ziglang"]


def test_a_linker_that_cannot_be_run(tmp_path):
    with pytest.raises(px.CompileError, match="export: ld could not be run") as caught:
        Linker("ld", (str(tmp_path / "nothing"),)).link(tmp_path / "f.so", "f.so", [])
    assert "pip install ziglang" in caught.value.hint


@linux
def test_a_name_that_stays_unresolved_is_an_error():
    if not linkers():
        pytest.skip("needs a linker")
    with pytest.raises(px.CompileError, match="failed with code"):
        link_library(small_object("x86-64-v2", ANSWER), [], isa("x86-64-v2"), "answer.so")


def test_only_libc_and_libm_are_allowed():
    check_undefined(["memcpy", "fmodf"])
    with pytest.raises(px.CompileError, match="needs __truncsfhf2, puts, which is neither libc nor libm"):
        check_undefined(["puts", "malloc", "__truncsfhf2"])


def test_there_is_no_linker_for_another_machine_without_lld(monkeypatch):
    monkeypatch.setattr("phalanx.compiler.aot.linker.importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr("phalanx.compiler.aot.linker.shutil.which", lambda name: None if name == "ld.lld" else f"/bin/{name}")
    other = "aarch64" if host().architecture == "x86_64" else "x86-64-v2"
    with pytest.raises(px.CompileError, match=f"no linker for {isa(other).architecture} was found"):
        find_linker(isa(other))


# -- command line ------------------------------------------------------------------------------------------------

MODEL = """
import phalanx as px

@px.defn
def scale(x, y):
    "x times y."
    return x * y

def hinted(x: px.spec("f32[n]")):
    return px.exp(x)

number = 3
"""


def phalanx(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    root = Path(__file__).resolve().parents[2]
    return subprocess.run([sys.executable, "-m", "phalanx.compiler.cli", "compile", *words], cwd=folder, capture_output=True,
                          text=True, check=False, env={"PYTHONPATH": str(root), "PATH": "/usr/bin:/bin"})


@linux
def test_phalanx_compile(tmp_path):
    (tmp_path / "model.py").write_text(MODEL)
    done = phalanx(tmp_path, "model.py:scale", "--arg", "x=f32[n,8]", "--arg", "y=f32[8]", "-o", "scale.so",
                   "--target", "x86-64-v2,x86-64-v3")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("scale for x86-64-v2 + x86-64-v3: scale.so (")
    assert "int32_t scale(const float *x, const float *y, float *result, int64_t n);" in (tmp_path / "scale.h").read_text()
    done = phalanx(tmp_path, "model:hinted", "--emit", "h,linalg", "--name", "exps", "-o", "out/../exps.so")
    assert done.returncode == 1 and "cannot write out/../exps" in done.stderr
    done = phalanx(tmp_path, "model:hinted", "--emit", "h,linalg", "--name", "exps")
    assert done.returncode == 0, done.stderr
    assert sorted(p.name for p in tmp_path.glob("exps*")) == ["exps.h", "exps.linalg.mlir"]


@pytest.mark.parametrize(("words", "message"), [
    (["model.py"], "expected FILE:FUNCTION or MODULE:FUNCTION, got 'model.py'"),
    (["missing.py:f"], "there is no file missing.py"),
    (["missing:f"], "there is no file or module 'missing'"),
    (["model.py:nothing"], "model.py has no 'nothing'"),
    (["model.py:number"], "model.py:number is a int, not a function"),
    (["model.py:scale", "--arg", "f32[8]"], "--arg: expected NAME=SPEC, got 'f32.8.'"),
    (["model.py:scale,hinted", "--name", "both"], "--name is for one function"),
    (["model.py:scale"], "no spec for argument 'x' of scale"),
])
def test_mistakes_on_the_command_line(tmp_path, words, message, monkeypatch, capsys):
    from phalanx.compiler import cli

    (tmp_path / "model.py").write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "model", raising=False)
    assert cli.main(["compile", *words]) == 1
    assert re.search(message, capsys.readouterr().err)
