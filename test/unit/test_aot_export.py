"""px.export: files, manifest, calls through ctypes, several functions, weights, reproducible bytes, messages."""

from __future__ import annotations

import ctypes
import errno
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import phalanx as px
from phalanx.compiler.aot import linker
from phalanx.compiler.aot.status import Status
from phalanx.dialects import dims
from phalanx.runtime.object_file import read_symbols

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="libraries are made for Linux")

RANDOM = np.random.default_rng(5)
WEIGHTS = RANDOM.normal(size=(64, 32)).astype(np.float32)
Number = ctypes.c_int64


def project(x, scale):
    """Projected rows.

    Not in the manifest.
    """
    return {"rows": px.exp(x @ px.asarray(WEIGHTS)) * scale, "sums": px.sum(x, axis=0)}


SPECS = ("f32[n,64]", "f32[]")


def pointer(array):
    return ctypes.c_void_p(array.ctypes.data)


def call(library, name, arrays, *sizes, weights=()):
    return getattr(library, name)(*map(pointer, arrays), *map(Number, sizes), *map(pointer, weights))


def arguments(n):
    x = RANDOM.normal(size=(n, 64)).astype(np.float32)
    return [x, np.asarray(2, np.float32), np.full((n, 32), -1, np.float32), np.full(64, -1, np.float32)]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return px.export(project, tmp_path_factory.mktemp("project") / "project.so", *SPECS)


@pytest.fixture(scope="module")
def library(made):
    return ctypes.CDLL(str(made.files["so"]))


# -- calls -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [0, 1, 5, 300])
def test_the_library_computes_what_the_function_does(library, n):
    arrays = arguments(n)
    assert call(library, "project", arrays, n) == 0
    expected = px.jit(project)(arrays[0], arrays[1])
    np.testing.assert_allclose(arrays[2], np.asarray(expected["rows"]), rtol=2e-5)
    np.testing.assert_allclose(arrays[3], np.asarray(expected["sums"]), rtol=1e-4, atol=1e-4)


def explicit(library, arrays, n, arena=None, nbytes=0, parallel=None, user=None):
    return library.project_ex(*map(pointer, arrays), Number(n), arena, Number(nbytes), parallel, user)


def test_the_arena_may_be_the_callers_at_any_address(library):
    library.project_arena_bytes.restype = Number
    arrays = arguments(50)
    needed = library.project_arena_bytes(Number(50))
    assert needed > 0
    memory = np.full(needed + 100, 0xAB, np.uint8)
    start = memory[7:]
    assert explicit(library, arrays, 50, pointer(start), needed) == 0
    assert (memory[:7] == 0xAB).all() and (memory[7 + needed:] == 0xAB).all()
    assert explicit(library, arrays, 50, pointer(start), needed // 2) == Status.ARENA
    np.testing.assert_allclose(arrays[2], np.asarray(px.jit(project)(*arrays[:2])["rows"]), rtol=2e-5)


TASK = ctypes.CFUNCTYPE(None, ctypes.c_void_p, Number, Number, Number)
PARALLEL = ctypes.CFUNCTYPE(None, ctypes.c_void_p, Number, ctypes.c_void_p, ctypes.c_void_p)


def test_large_work_is_shared_through_the_callback_with_equal_results(library):
    n = 30_000
    alone, shared = arguments(n), arguments(n)
    shared[0] = alone[0]
    seen = []

    def backwards(user, count, task, context):
        seen.append((user, count))
        for i in reversed(range(count)):
            TASK(task)(context, i, i + 1, i % 2)

    assert explicit(library, alone, n) == 0
    assert explicit(library, shared, n, parallel=PARALLEL(backwards), user=ctypes.c_void_p(77)) == 0
    assert seen and all(user == 77 and count > 1 for user, count in seen)
    np.testing.assert_array_equal(alone[2], shared[2])
    np.testing.assert_array_equal(alone[3], shared[3])


def test_status_codes(library):
    arrays = arguments(5)
    inside = [*arrays[:2], arrays[0], arrays[3]]
    assert call(library, "project", arrays, -1) == Status.NEGATIVE
    assert call(library, "project", arrays, 1 << 60) == Status.OVERFLOW
    assert call(library, "project", arrays, 1 << 41) == Status.OVERFLOW
    assert call(library, "project", inside, 5) == Status.OVERLAP
    assert library.project(None, *map(pointer, arrays[1:]), Number(5)) == Status.POINTER
    odd = ctypes.c_void_p(arrays[2].ctypes.data + 1)
    assert library.project(pointer(arrays[0]), pointer(arrays[1]), odd, pointer(arrays[3]), Number(4)) == Status.POINTER
    library.project_arena_bytes.restype = Number
    assert library.project_arena_bytes(Number(-1)) == -1


def test_an_empty_array_may_be_null(library):
    _, scale, _, sums = arguments(0)
    assert library.project(None, pointer(scale), None, pointer(sums), Number(0)) == 0
    assert (sums == 0).all()


def test_the_generic_call_checks_every_size(library):
    arrays = arguments(5)
    table = (ctypes.c_void_p * 4)(*[a.ctypes.data for a in arrays])

    def generic(*sizes):
        return library.project_call(table, (Number * len(sizes))(*sizes), Number(len(sizes)), None, Number(0), None, None)

    good = (5, 64, 5, 32, 64)
    assert generic(*good) == 0
    assert generic(*good[:-1]) == Status.SIZE_COUNT
    assert [generic(*(s + (i == k) for i, s in enumerate(good))) for k in range(1, 5)] == [1001, 1002, 1003, 1004]
    assert generic(6, *good[1:]) == 1002  # n comes from the first place it stands; the others disagree with it
    assert generic(-5, 64, -5, 32, 64) == Status.NEGATIVE


def test_every_status_has_a_text(library):
    library.project_status_text.restype = ctypes.c_char_p
    texts = [library.project_status_text(int(code)) for code in Status]
    assert len(set(texts)) == len(Status)
    assert library.project_status_text(1003) == library.project_status_text(1000)
    assert library.project_status_text(55) == b"unknown status"


def test_the_shape_of_the_outputs(library):
    rows, sums = (Number * 2)(), (Number * 1)()
    assert library.project_out_shape(Number(9), rows, sums) == 0
    assert (list(rows), list(sums)) == ([9, 32], [64])


def test_sizes_are_computed_and_checked_by_the_library(tmp_path):
    def halves(x, y):
        return px.concat([x, y]), x[1::2]

    made = px.export(halves, tmp_path / "halves.so", "f64[n]", "f64[2*m+1]", target="host")
    assert made.manifest["functions"][0]["dims"] == ["n", "m"]
    library = ctypes.CDLL(str(made.files["so"]))
    x, y = np.arange(7.0), np.arange(5.0) + 10
    joined, odd = np.zeros(12), np.zeros(3)
    assert call(library, "halves", [x, y, joined, odd], 7, 2) == 0
    np.testing.assert_array_equal(joined, np.concatenate([x, y]))
    np.testing.assert_array_equal(odd, x[1::2])
    table = (ctypes.c_void_p * 4)(*[a.ctypes.data for a in (x, y, joined, odd)])
    generic = [library.halves_call(table, (Number * 4)(*s), Number(4), None, Number(0), None, None)
               for s in ((7, 5, 12, 3), (7, 4, 11, 3), (7, 5, 11, 3), (7, 5, 12, 4))]
    assert generic == [0, 1001, 1002, 1003]
    text = made.manifest["functions"][0]["outputs"][1]["shape"][0]
    assert dims.parse(text).evaluate({"n": 7}) == 3


def test_what_ops_rely_on_is_checked(tmp_path):
    made = px.export(lambda x: x[3], tmp_path / "fourth.so", "f32[n]", name="fourth", target="host")
    assert made.manifest["functions"][0]["constraints"] == ["n >= 0", "n >= 4"]
    library = ctypes.CDLL(str(made.files["so"]))
    x, result = np.arange(6, dtype=np.float32), np.zeros((), np.float32)
    assert call(library, "fourth", [x, result], 6) == 0
    assert result == 3
    assert call(library, "fourth", [x, result], 3) == Status.CONSTRAINT


@pytest.mark.parametrize("function", [px.max, px.argmin])
def test_an_empty_axis_has_no_extreme(tmp_path, function):
    made = px.export(lambda x: function(x, axis=1), tmp_path / "most.so", "f32[n,m]", name="most", target="host")
    assert made.manifest["functions"][0]["constraints"] == ["n >= 0", "m >= 0", "m >= 1"]
    library = ctypes.CDLL(str(made.files["so"]))
    x = np.ones((2, 3), np.float32)
    result = np.full(2, 7, made.manifest["functions"][0]["outputs"][0]["dtype"])
    assert call(library, "most", [x, result], 2, 0) == Status.CONSTRAINT
    assert (result == 7).all()
    assert call(library, "most", [x, result], 0, 3) == 0
    assert call(library, "most", [x, result], 2, 3) == 0
    np.testing.assert_array_equal(result, function(x, axis=1).numpy())
    with pytest.raises(px.ShapeError, match="break a constraint of the function, got n = 2, m = 0"):
        px.load(made.files["so"])(np.ones((2, 0), np.float32))


@pytest.mark.parametrize("dtype", ["bool", "i8", "u16", "f16", "bf16", "f64", "i64"])
def test_every_kind_of_element(tmp_path, dtype):
    made = px.export(lambda x: px.where(x == x, x, x), tmp_path / "same.so", f"{dtype}[n]", name="same", target="x86-64-v2")
    data = np.asarray([0, 1, 1, 0, 1], px.dtype(dtype).numpy)
    result = np.zeros_like(data)
    assert call(ctypes.CDLL(str(made.files["so"])), "same", [data, result], 5) == 0
    np.testing.assert_array_equal(result, data)


# -- files -------------------------------------------------------------------------------------------------------


def manifest_of(path: Path) -> dict:
    data = path.read_bytes()
    start = data.index(b'{"format":"phalanx-library"')
    return json.loads(data[start:data.index(b"\0", start)])


def test_the_manifest_is_in_the_library_and_says_what_a_loader_needs(made, library):
    manifest = manifest_of(made.files["so"])
    library.project_manifest.restype = ctypes.c_char_p
    assert manifest == made.manifest == json.loads(library.project_manifest())
    assert [level["name"] for level in manifest["levels"]] == list(made.levels)
    requires = [set(level["requires"]) for level in manifest["levels"]]
    assert all(a < b for a, b in itertools.pairwise(requires))
    (function,) = manifest["functions"]
    assert function["doc"] == "Projected rows."
    assert function["inputs"] == [{"name": "x", "dtype": "float32", "shape": ["n", 64]},
                                  {"name": "scale", "dtype": "float32", "shape": []}]
    assert function["arguments"] == {"dict": {"x": 0, "scale": 1}}
    assert function["result"] == {"dict": {"rows": 0, "sums": 1}}
    assert [c["where"] for c in function["captured"]] == ["section"]


def test_the_library_needs_libc_only(made):
    needed = subprocess.run(["readelf", "-d", str(made.files["so"])], capture_output=True, text=True, check=True).stdout
    assert [line.split("[")[1].rstrip("]") for line in needed.splitlines() if "NEEDED" in line] == ["libc.so.6"]
    assert "[project.so]" in needed


def test_the_same_bytes_again_also_in_another_process(made, tmp_path):
    again = px.export(
        project,
        tmp_path / "project.so", *SPECS)  # from another line, too
    assert again.files["so"].read_bytes() == made.files["so"].read_bytes()
    code = ("import sys, phalanx as px\n"
            "px.export([('twice', lambda x: {'b': x * 2, 'a': px.exp(x)}, ['f32[n]'])], sys.argv[1] + '/twice.so')\n")
    libraries = []
    for seed in ("1", "2"):
        folder = tmp_path / seed
        folder.mkdir()
        subprocess.run([sys.executable, "-c", code, str(folder)], check=True, cwd=Path(__file__).parents[2],
                       env={**os.environ, "PYTHONHASHSEED": seed})
        libraries.append((folder / "twice.so").read_bytes())
    assert libraries[0] == libraries[1]


def test_every_kind_of_file(tmp_path):
    kinds = ("so", "a", "o", "h", "px", "linalg", "clusters", "llvm", "asm")
    made = px.export(lambda x: px.exp(x), tmp_path / "all.so", "f32[8]", name="exps", target="x86-64-v3", emit=kinds)
    assert set(made.files) == set(kinds)
    texts = {kind: made.files[kind].read_text() for kind in kinds[4:]}
    assert "px.exp" in texts["px"] and "linalg.generic" in texts["linalg"] and "px.cluster" in texts["clusters"]
    assert "define i32 @exps(" in texts["llvm"] and "exps_call:" in texts["asm"]
    assert set(read_symbols(made.files["o"].read_bytes()).defined) >= {"exps", "exps_ex", "exps_call"}
    assert made.files["a"].read_bytes().startswith(b"!<arch>\n")


def test_captured_tensors_in_a_file_beside_the_library(tmp_path):
    made = px.export(project, tmp_path / "outside.so", *SPECS, weights="external", target="host")
    weights = np.fromfile(made.files["weights"], np.uint8)
    (captured,) = made.manifest["functions"][0]["captured"]
    start = captured["offset"]
    assert start % 64 == 0 and weights[start:start + WEIGHTS.nbytes].tobytes() == WEIGHTS.tobytes()
    assert WEIGHTS.tobytes()[:256] not in made.files["so"].read_bytes()
    library = ctypes.CDLL(str(made.files["so"]))
    arrays = arguments(3)
    assert call(library, "project", arrays, 3, weights=[weights]) == 0
    np.testing.assert_allclose(arrays[2], np.asarray(px.jit(project)(*arrays[:2])["rows"]), rtol=2e-5)
    wrong = weights.copy()
    wrong[40] ^= 1
    assert call(library, "project", arrays, 3, weights=[wrong]) == Status.WEIGHTS
    assert library.project(*map(pointer, arrays), Number(3), None) == Status.WEIGHTS


def test_several_functions_and_signatures_share_one_library(tmp_path):
    def apply(x):
        return px.tanh(x @ px.asarray(WEIGHTS))

    made = px.export([("one", apply, ["f32[64]"]), ("many", apply, {"x": "f32[n,64]"})], tmp_path / "both.so", target="host")
    assert made.functions == ("one", "many")
    assert made.files["so"].read_bytes().count(WEIGHTS.tobytes()) == 1
    library = ctypes.CDLL(str(made.files["so"]))
    x, one, many = RANDOM.normal(size=64).astype(np.float32), np.zeros(32, np.float32), np.zeros((1, 32), np.float32)
    assert library.one(pointer(x), pointer(one)) == 0
    assert library.many(pointer(x), pointer(many), Number(1)) == 0
    np.testing.assert_allclose(one, many[0], rtol=1e-5, atol=1e-6)


def test_specs_from_type_hints_examples_and_a_compiled_function(tmp_path):
    def hinted(x: px.spec("f32[n,4]"), y: px.spec("f32[4]")):
        return x + y

    def texts(x):
        return x

    texts.__annotations__ = {"x": "f32[n,4]"}

    def plain(x):
        return x + 1

    first = px.export(hinted, tmp_path / "a.h", emit="h")
    second = px.export(plain, tmp_path / "b.h", np.zeros((2, 3), np.float64), emit="h")
    compiled = px.compile(plain, "i32[n]")
    third = px.export(compiled, tmp_path / "c.h", emit="h")
    fourth = px.export(texts, tmp_path / "d.h", emit="h")
    shapes = [m.manifest["functions"][0]["inputs"][0]["shape"] for m in (first, second, third, fourth)]
    assert shapes == [["n", 4], [2, 3], ["n"], ["n", 4]]


# -- mistakes ----------------------------------------------------------------------------------------------------


def same(x):
    return x


@pytest.mark.parametrize(("function", "options", "error", "message"), [
    (lambda x: (px.print("x", x), x)[1], {"name": "f"}, px.CompileError, "calls Python .print or io_call."),
    (lambda x: px.io_call(x, print, name="log"), {"name": "f"}, px.CompileError, "calls Python .io_call 'log'."),
    (same, {"name": "double"}, px.ArgumentError, "'double' cannot be the name of a C function"),
    (lambda x: x, {}, px.ArgumentError, "'<lambda>' cannot be the name of a C function"),
    (same, {"target": "z80"}, px.ArgumentError, "unknown instruction set 'z80'"),
    (same, {"target": "x86-64-v3,aarch64"}, px.ArgumentError, "different kinds of machine"),
    (same, {"target": "x86-64-v3,znver3"}, px.ArgumentError, "both need x86-64-v3"),
    (same, {"target": "apple-m1"}, px.CompileError, "no linker here makes macos libraries"),
    (same, {"emit": "exe"}, px.ArgumentError, "cannot emit 'exe'"),
    (same, {"weights": "cloud"}, px.ArgumentError, "weights are 'embedded' or 'external'"),
])
def test_mistakes(tmp_path, function, options, error, message):
    with pytest.raises(error, match=message):
        px.export(function, tmp_path / "f.so", "f32[n]", **options)
    assert not list(tmp_path.iterdir())


def test_a_signature_is_needed(tmp_path):
    with pytest.raises(px.ArgumentError, match="no spec for argument 'x' of same"):
        px.export(same, tmp_path / "f.so")


@pytest.mark.parametrize("spec", ["f32[n*m]", "f32[n*n]", "f32[n//2]", "f32[3-n]", "f32[max(n,4)]"])
def test_a_size_that_cannot_be_found(tmp_path, spec):
    with pytest.raises(px.ShapeError, match="same: the size [mn] cannot be found from the arguments") as caught:
        px.export(same, tmp_path / "f.so", spec)
    assert "some argument needs an axis of size" in caught.value.hint


@pytest.mark.parametrize("name", ["int", "class", "restrict", "main", "uint8_t", "a-b", "1st", "px_own", "a__b", "é"])
def test_names_that_c_reserves(tmp_path, name):
    with pytest.raises(px.ArgumentError, match=f"'{name}' cannot be the name of a C function") as caught:
        px.export(same, tmp_path / "f.so", "f32[n]", name=name)
    suggested = caught.value.hint.split('"')[1]
    assert px.export(same, tmp_path / "f.so", "f32[n]", name=suggested, emit="h").functions == (suggested,)


def test_arguments_that_c_reserves(tmp_path):
    scope = {}
    exec("def f(int_, n, arena):\n    return {'double': int_ + arena, 'result': n}", scope)
    made = px.export(scope["f"], tmp_path / "f.so", "f32[n]", "f32[]", "f32[n]")
    text = made.files["h"].read_text()
    assert "int32_t f(const float *int_, const float *n2, const float *arena2, float *" in text
    loaded = px.load(made.files["so"])
    result = loaded(np.ones(2, np.float32), 3.0, np.ones(2, np.float32))
    assert (result["double"].tolist(), result["result"]) == ([2, 2], 3)


def test_two_functions_of_one_name(tmp_path):
    for other in ("f_ex", "f_call", "f"):
        with pytest.raises(px.ArgumentError, match=f"two functions of one name: '{other}' belongs to 'f'"):
            px.export([("f", same, ["f32[n]"]), (other, same, ["f32[n]"])], tmp_path / "f.so", emit="h")


def test_an_output_that_cannot_be_written(tmp_path):
    with pytest.raises(px.ArtifactError, match="cannot write .*missing/f.h"):
        px.export(same, tmp_path / "missing" / "f.so", "f32[n]", emit="h")


FULL = """
import resource, sys
import phalanx as px

px.export(lambda x: x * 2, sys.argv[1] + "/f.o", "f32[n]", name="f", emit="o")
before = open(sys.argv[1] + "/f.o", "rb").read()
resource.setrlimit(resource.RLIMIT_FSIZE, (2048, resource.RLIM_INFINITY))
for path, emit in (("f.o", "o"), ("f.so", "so"), ("f.pxa", "")):
    try:
        px.export(lambda x: x * 3, f"{sys.argv[1]}/{path}", "f32[n]", name="f", **({"emit": emit} if emit else {}))
    except px.ArtifactError as error:
        print(error.message)
assert open(sys.argv[1] + "/f.o", "rb").read() == before
"""


def test_a_disk_that_is_full_keeps_what_was_there(tmp_path):
    done = subprocess.run([sys.executable, "-c", FULL, str(tmp_path)], capture_output=True, text=True, check=False,
                          cwd=Path(__file__).parents[2], env={**os.environ, "PHALANX_DISK_CACHE": "0"})
    assert done.returncode == 0, done.stderr
    messages = done.stdout.splitlines()
    assert messages[0].startswith("export: cannot write ") and messages[0].endswith("f.o: File too large")
    assert [m.partition(" in ")[0] for m in messages[1:]] == ["export: cannot link"] * 2
    assert all("File too large" in m for m in messages)
    assert [p.name for p in tmp_path.iterdir()] == ["f.o"]


def test_no_space_left(tmp_path, monkeypatch):
    def full(self, data):
        self.touch()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(px.ArtifactError, match="cannot write .*f.h: No space left on device"):
        px.export(same, tmp_path / "f.so", "f32[n]", emit="h")
    assert not list(tmp_path.iterdir())


def test_no_linker(tmp_path, monkeypatch):
    monkeypatch.setattr(linker.shutil, "which", lambda name: None)
    monkeypatch.setattr(linker.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(px.CompileError, match="no linker was found .looked for ld.lld, ld, cc, the ziglang") as caught:
        px.export(same, tmp_path / "f.so", "f32[n]")
    assert "pip install ziglang" in caught.value.hint
