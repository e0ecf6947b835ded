"""Files that cannot be loaded: each says why, and none of them crashes the process or runs any code."""

from __future__ import annotations

import os
import struct
import sys
import tracemalloc
from pathlib import Path

import loader_files as files
import numpy as np
import pytest

import phalanx as px
from phalanx.dialects.errors import ArtifactError
from phalanx.runtime import cpuid, library_file, manifest


def refused(path, text):
    with pytest.raises(ArtifactError, match=text) as caught:
        px.load(path)
    assert str(path) in str(caught.value)


def with_bytes(tmp_path, data):
    path = tmp_path / "damaged.so"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(("data", "text"), [
    (b"", "the file is empty"),
    (b"\x7fELF", "not a 64-bit|cut short"),
    (b"hello, world", "it starts with b'hello, w'"),
    (b"MZ" + bytes(100), "a Windows library"),
    (b"\xcf\xfa\xed\xfe" + bytes(100), "a macOS library"),
    (b"!<arch>\n", "an archive of objects"),
    (b"\x7fELF\x01\x01\x01" + bytes(100), "not a 64-bit little-endian library"),
    (b"PK\x03\x04" + bytes(100), "not a package, or cut short"),
])
def test_other_formats(tmp_path, data, text):
    refused(with_bytes(tmp_path, data), text)


def test_missing_files_and_folders(tmp_path):
    refused(tmp_path / "nothing.so", "No such file or directory")
    refused(tmp_path, "Is a directory")


def test_truncated_at_every_length(tmp_path):
    data = files.predict_library().read_bytes()
    lengths = {*range(1, 300, 7), *range(300, len(data), 997), len(data) - 1}
    for length in sorted(lengths):
        with pytest.raises(ArtifactError, match="cut short|64-bit|it starts with|no manifest"):
            px.load(with_bytes(tmp_path, data[:length]))


def test_random_damage_to_the_headers(tmp_path):
    """Whatever the headers say, reading them ends in an answer or an ArtifactError."""
    data = files.predict_library().read_bytes()
    (table,) = struct.unpack_from("<Q", data, 40)
    random = np.random.default_rng(0)
    for _ in range(300):
        damaged = bytearray(data)
        for place in (*random.integers(16, 64, 2), *random.integers(table, len(data), 4)):
            damaged[place] = random.integers(256)
        try:
            library_file.read(bytes(damaged), "damaged.so")
        except ArtifactError:
            continue


def test_objects_and_foreign_libraries(tmp_path):
    made = px.export(files.predict, tmp_path / "digits.so", "f32[n,64]", target="x86-64-v2", emit="o")
    refused(made.files["o"], "not a shared library, ELF type 1")
    import _ctypes

    if _ctypes.__file__:
        refused(_ctypes.__file__, "not made by Phalanx, it has no manifest")


def test_another_machine(tmp_path):
    data = bytearray(files.predict_library().read_bytes())
    struct.pack_into("<H", data, 18, 183 if cpuid.machine() == "x86_64" else 62)
    refused(with_bytes(tmp_path, bytes(data)), f"this machine is {cpuid.machine()}")

    def elsewhere(found):
        found["target"]["system"] = "haiku"

    refused(files.edited(files.predict_library(), elsewhere), "made for .* haiku, this is")


def test_missing_processor_features(monkeypatch):
    path = files.predict_library()
    monkeypatch.setattr(cpuid, "features", lambda: frozenset({"sse2", "sse3"}))
    refused(path, "processors with x86-64-v2, this one lacks cx16, popcnt, sse4.1, sse4.2, ssse3")

    def demanding(found):
        found["levels"] = [{"name": "x86-64-v9", "requires": ["avx9"], "tune": ""}]

    monkeypatch.undo()
    refused(files.edited(path, demanding), "processors with x86-64-v9, this one lacks avx9")
    monkeypatch.setattr(cpuid, "features", lambda: None)
    assert px.load(path), "where features are not known, the library's own check decides"


def test_a_newer_version():
    def newer(found):
        found["version"] = 7

    with pytest.raises(ArtifactError, match=r"made by a newer Phalanx \(format version 7, this one reads up to 1\)"):
        px.load(files.edited(files.predict_library(), newer))


def set_to(*path, value):
    def change(found):
        for key in path[:-1]:
            found = found[key]
        found[path[-1]] = value

    return change


FIRST = ("functions", 0)


@pytest.mark.parametrize(("change", "text"), [
    (set_to("format", value="foreign"), "manifest is of format 'foreign'"),
    (set_to("version", value="1"), "manifest.version must be a int, got '1'"),
    (set_to("version", value=True), "manifest.version must be a int"),
    (set_to("functions", value=[]), "must name at least one function"),
    (set_to("functions", value={}), "manifest.functions must be a list"),
    (lambda m: m.pop("levels"), "manifest has no 'levels'"),
    (lambda m: m.update(functions=m["functions"] * 2, levels=[], status={}) or
     [f["symbols"].update(dict.fromkeys(f["symbols"], "predict_call")) for f in m["functions"]], "each once"),
    (set_to(*FIRST, "inputs", 0, "dtype", value="f128"), r"functions\[0\].inputs\[0\].dtype is an element type .* 'f128'"),
    (set_to(*FIRST, "inputs", 0, "shape", 1, value=-1), r"shape\[1\] must be in 0"),
    (set_to(*FIRST, "inputs", 0, "shape", 1, value=2**80), "must be in 0"),
    (set_to(*FIRST, "inputs", 0, "shape", 0, value="q"), "uses q, which is not among the named sizes"),
    (set_to(*FIRST, "inputs", 0, "shape", 0, value="n +"), "is no size"),
    (set_to(*FIRST, "inputs", 0, "shape", value=[1] * 65), "has rank 65"),
    (set_to(*FIRST, "inputs", 0, "shape", 0, value="(n+n)*" * 40 + "n"), "is too long an expression"),
    (set_to(*FIRST, "name", value="a b"), "unusable name 'a b'"),
    (set_to(*FIRST, "symbols", "call", value="../x"), "unusable name"),
    (set_to(*FIRST, "symbols", "call", value="not_there"), "has no symbol 'not_there'"),
    (set_to(*FIRST, "dims", value=["n", "n"]), "names a size twice"),
    (set_to(*FIRST, "arguments", value={"dict": {"x": 1}}), "must be in 0..0, got 1"),
    (set_to(*FIRST, "arguments", value={"dict": {}}), "does not place each of 1 tensors once"),
    (set_to(*FIRST, "arguments", value={"set": [0]}), "is not a structure"),
    (set_to(*FIRST, "result", value=[0]), "is not a structure"),
    (set_to("status", value={"x": "y"}), "has the code 'x'"),
    (set_to("weights", value={"storage": "external", "file": "../../etc/passwd", "bytes": 1, "sha256": ""}),
     "must be the plain name of a file beside the library"),
    (set_to("weights", value={"storage": "external", "file": "w.safetensors", "bytes": 1, "sha256": ""}),
     "its weights cannot be read"),
])
def test_hostile_manifests(change, text):
    with pytest.raises(ArtifactError, match=text):
        px.load(files.edited(files.predict_library(), change))


@pytest.mark.parametrize("manifest_bytes", [b"", b"{", b"null", b"[" * 1500, b"\xff\xfe", b'{"format": 1e999}', b"7"])
def test_manifests_that_are_no_json(manifest_bytes):
    with pytest.raises(ArtifactError, match="manifest"):
        px.load(files.rewritten(files.predict_library(), manifest_bytes))


def test_deep_structures_are_refused():
    tree = 0
    for _ in range(200):
        tree = {"list": [tree]}
    reader = manifest.Reader({"arguments": tree}, "x.so")
    with pytest.raises(ArtifactError, match="nested too deeply"):
        manifest._check_tree(reader["arguments"], 1)


def test_a_huge_manifest_is_not_read(tmp_path):
    data = bytearray(files.predict_library().read_bytes())
    offset, _ = files.section(bytes(data))
    (table,) = struct.unpack_from("<Q", data, 40)
    size, count = struct.unpack_from("<HH", data, 58)
    for at in range(table, table + count * size, size):
        if struct.unpack_from("<Q", data, at + 24)[0] == offset:
            struct.pack_into("<Q", data, at + 32, 1 << 40)
    tracemalloc.start()
    refused(with_bytes(tmp_path, bytes(data)), "its manifest claims 1099511627776 bytes")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 << 20


# Weights beside the library.
@pytest.fixture(scope="module")
def external(tmp_path_factory):
    rows = np.arange(64 * 64, dtype=np.float32).reshape(64, 64) / 4096
    folder = tmp_path_factory.mktemp("external")
    made = px.export(lambda x: x @ rows, folder / "rows.so", "f32[n,64]", name="rows", target="x86-64-v2",
                     weights="external")
    return made.files["so"], made.files["weights"], rows


def test_weights_in_a_file(external):
    path, _, rows = external
    x = np.random.default_rng(0).standard_normal((3, 64)).astype(np.float32)
    np.testing.assert_allclose(px.load(path)(x), x @ rows, rtol=1e-4, atol=1e-5)


def test_weights_that_do_not_match(external):
    path, weights, _ = external
    good = weights.read_bytes()
    try:
        weights.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
        with pytest.raises(ArtifactError, match="not the weights of this library, their digest differs"):
            px.load(path)
        weights.write_bytes(good[:-4])
        with pytest.raises(ArtifactError, match="bytes instead of"):
            px.load(path)
        weights.unlink()
        with pytest.raises(ArtifactError, match="rows.safetensors belongs beside the library"):
            px.load(path)
    finally:
        weights.write_bytes(good)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_things_that_are_not_files(tmp_path):
    refused(tmp_path, "Is a directory")
    refused("/dev/null", "the file is empty")


# Features of processors.
def test_features_are_read_from_the_description(tmp_path):
    description = tmp_path / "cpuinfo"
    description.write_text("processor\t: 0\nflags\t\t: fpu pni ssse3 sse4_1 abm bmi1 avx2\n\n")
    assert cpuid.described(description) == {"fpu", "sse3", "ssse3", "sse4.1", "lzcnt", "bmi", "avx2"}
    description = tmp_path / "arm"
    description.write_text("Features\t: fp asimd atomics\n")
    assert cpuid.described(description) == {"fp-armv8", "neon", "lse"}
    assert cpuid.described(tmp_path / "nothing") is None


def answers(first=0, seventh=0, extended=0, last=7):
    """A processor that answers cpuid with these words."""
    return lambda leaf: {0: (last, 0, 0, 0), 1: (0, 0, first, 0), 7: (0, seventh, 0, 0), 0x80000000: (0x80000004, 0, 0, 0),
                         0x80000001: (0, 0, extended, 0)}[leaf]


def test_features_need_the_processor_and_the_system():
    every = (1 << 32) - 1
    full = cpuid.x86_features(answers(every, every, every), lambda: 0xE7)
    assert {"avx512vl", "avx2", "fma", "sahf", "cx16", "lzcnt"} <= full
    assert full - cpuid.x86_features(answers(every, every, every), lambda: 0x7) == {
        "avx512f", "avx512dq", "avx512cd", "avx512bw", "avx512vl"}
    assert not {"avx", "avx2", "fma", "f16c"} & cpuid.x86_features(answers(every, every, every), lambda: 0x3)
    old = cpuid.x86_features(answers(first=1 << 0 | 1 << 9, last=4), lambda: 1 // 0)
    assert old == {"sse3", "ssse3"}


@pytest.mark.skipif(sys.platform != "linux", reason="compares with /proc")
def test_the_processor_says_what_the_system_lists():
    listed = cpuid.described(Path("/proc/cpuinfo"))
    assert cpuid.features() <= listed | {"osxsave"}
    if cpuid.machine() == "x86_64":
        named = {*cpuid.LEAF_1, *cpuid.LEAF_7, *cpuid.LEAF_EXTENDED} - {"osxsave"}
        assert cpuid.features() - {"osxsave"} == listed & named


def test_without_proc_the_processor_is_asked(monkeypatch):
    monkeypatch.setattr(cpuid, "described", lambda path: None)
    cpuid.features.cache_clear()
    try:
        if cpuid.machine() in ("x86_64", "aarch64") and sys.platform == "linux":
            assert cpuid.features()
        monkeypatch.setattr(cpuid, "machine", lambda: "vax")
        cpuid.features.cache_clear()
        assert cpuid.features() is None
        assert cpuid.missing(["avx9"]) == []
    finally:
        cpuid.features.cache_clear()


def test_llvm_and_the_system_agree_on_this_processor():
    from phalanx.compiler.targets.isa import host, level_features

    if host().level.startswith("x86-64-"):
        assert cpuid.missing(level_features(host().level)) == []
