"""compiler/targets/isa.py: records of instruction sets and the description of this machine."""

import os
import platform

import numpy as np
import pytest

import phalanx as px
from phalanx.compiler.targets import isa
from phalanx.compiler.targets.llvm_c import TargetMachine, host_cpu
from phalanx.dialects.errors import ArgumentError

NAMED = [name for name in isa.names() if name != "host"]


@pytest.mark.parametrize("name", isa.names())
def test_tiles_fit_the_registers(name):
    record = isa.isa(name)
    for dtype, bits in (("f32", 32), ("f64", 64)):
        rows, columns = record.gemm_tile(dtype)
        assert columns % record.lanes(bits) == 0
        assert columns & (columns - 1) == 0, "LLVM splits other widths badly"
        per_row = columns // record.lanes(bits)
        assert rows * per_row + per_row + 1 <= record.vector_registers


@pytest.mark.parametrize("name", NAMED)
def test_llvm_knows_every_processor(name, capfd):
    record = isa.isa(name)
    TargetMachine(record.triple, record.cpu, record.features).close()
    # For an unknown processor LLVM only prints "is not a recognized processor".
    assert "not a recognized" not in capfd.readouterr().err


def test_half_and_narrow_types_use_the_tile_of_the_type_they_are_computed_in():
    record = isa.isa("x86-64-v3")
    assert record.gemm_tile("bf16") == record.gemm_tile("f16") == record.gemm_tile("f32") == (6, 16)
    assert record.gemm_tile("i8") == record.gemm_tile("i32")
    with pytest.raises(ArgumentError, match="no tile for 'complex64'; known: f32, f64"):
        record.gemm_tile("complex64")


def test_lookup():
    record = isa.isa("x86-64-v3")
    assert isa.isa(record) is record
    assert isa.isa() == isa.isa("host") == isa.host()
    with pytest.raises(ArgumentError, match="did you mean 'x86-64-v3'"):
        isa.isa("x86_64_v3")


def test_records_are_cache_keys():
    assert len({isa.isa(name) for name in isa.names()}) == len(isa.names())
    assert host_cpu() == host_cpu(), "the feature string is in a fixed order"


def test_wide_vectors_are_asked_for():
    assert ("prefer-vector-width", "512") in isa.isa("x86-64-v4").function_attributes
    assert not [key for key, _ in isa.isa("x86-64-v3").function_attributes if key == "prefer-vector-width"]
    assert ("tune-cpu", "znver3") in isa.isa("x86-64-v3").function_attributes


def test_levels():
    second = frozenset({"cx16", "popcnt", "sse3", "sse4.1", "sse4.2", "ssse3"})
    third = second | {"avx", "avx2", "bmi", "bmi2", "f16c", "fma", "lzcnt", "movbe"}
    assert isa.x86_level(frozenset()) == "x86-64"
    assert isa.x86_level(second) == "x86-64-v2"
    assert isa.x86_level(third) == "x86-64-v3"
    assert isa.x86_level(third | {"avx512f"}) == "x86-64-v3"
    assert isa.x86_level(third | {f"avx512{part}" for part in ("f", "bw", "cd", "dq", "vl")}) == "x86-64-v4"


def test_what_runs_here():
    assert isa.runs_here(isa.host())
    foreign = "aarch64" if isa.host().architecture == "x86_64" else "x86-64-v2"
    assert not isa.runs_here(isa.isa(foreign))
    if isa.host().architecture == "x86_64" and isa.host().triple.endswith("linux-gnu"):
        can = [isa.runs_here(isa.isa(name)) for name in ("x86-64-v2", "x86-64-v3", "x86-64-v4")]
        assert can == sorted(can, reverse=True), "a higher level implies the lower ones"
        assert can[2] == (isa.host().level == "x86-64-v4")


def test_host_agrees_with_the_operating_system():
    host = isa.host()
    assert host.cores == len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else host.cores >= 1
    assert host.architecture == {"AMD64": "x86_64", "arm64": "aarch64"}.get(platform.machine(), platform.machine())
    assert 8 * 1024 <= host.l1_bytes < host.l2_bytes
    if os.path.exists("/proc/cpuinfo") and host.architecture == "x86_64":
        with open("/proc/cpuinfo") as file:
            flags = next(line for line in file if line.startswith("flags")).split()
        wide = {f"avx512{part}" for part in ("f", "bw", "cd", "dq", "vl")}
        assert (host.vector_bits == 512) == wide.issubset(flags)


def test_caches_are_read_from_the_system(tmp_path):
    for index, (level, kind, size) in enumerate(
        [(1, "Data", "48K"), (1, "Instruction", "32K"), (2, "Unified", "2M"), (3, "Unified", "odd")]
    ):
        folder = tmp_path / f"index{index}"
        folder.mkdir()
        (folder / "level").write_text(f"{level}\n")
        (folder / "type").write_text(f"{kind}\n")
        (folder / "size").write_text(f"{size}\n")
    assert isa._linux_caches(tmp_path) == {1: 48 * 1024, 2: 2 * 1024 * 1024}
    assert isa._linux_caches(tmp_path / "absent") == {}


def test_words_arrange_the_code_for_the_same_machine():
    record = isa.isa("x86-64-v4+vector_bits=256+l2_bytes=524288+f32=6x32")
    base = isa.isa("x86-64-v4")
    assert (record.vector_bits, record.l2_bytes, record.gemm_tile("f32")) == (256, 524288, (6, 32))
    assert (record.cpu, record.level, record.gemm_tile("f64")) == (base.cpu, base.level, base.gemm_tile("f64"))
    assert ("prefer-vector-width", "256") in record.function_attributes
    assert isa.isa(record.name) == record
    assert isa.runs_here(isa.isa("host+cores=1")) == isa.runs_here(isa.isa("host"))


@pytest.mark.parametrize(("name", "message"), [
    ("x86-64-v3+vector_bits=512", "does not fit 'x86-64-v3'"),
    ("x86-64-v4+vector_bits=384", "does not fit"),
    ("x86-64-v4+vector_bits=64", "does not fit"),
    ("host+cpu=znver4", "cannot arrange 'host' by 'cpu=znver4'"),
    ("host+f32=12", "cannot arrange"),
    ("host+f32=0x16", "cannot arrange"),
    ("host+cores=-1", "cannot arrange"),
    ("host+", "cannot arrange"),
    ("hist+cores=1", "did you mean 'host'"),
])
def test_words_that_do_not_fit(name, message):
    with pytest.raises(ArgumentError) as raised:
        isa.isa(name)
    assert message in f"{raised.value} {raised.value.hint}"


def test_an_arranged_function_computes_the_same():
    x = np.random.default_rng(1).standard_normal((64, 100)).astype(np.float32)
    function = px.jit(lambda x: (px.matmul(x, px.matrix_transpose(x)), px.exp(x) + 1))
    usual = [np.asarray(r) for r in function(x)]
    with px.options(isa="host+l2_bytes=262144+cores=1"):
        arranged = [np.asarray(r) for r in function(x)]
    assert len(function.compiled) == 2
    np.testing.assert_allclose(arranged[0], usual[0], rtol=1e-5)
    np.testing.assert_array_equal(arranged[1], usual[1])


@pytest.mark.parametrize("name", isa.names())
def test_copies_stay_loops(name):
    assert ("no-builtin-memcpy", "") in isa.isa(name).function_attributes


def test_a_copy_of_rows_calls_nothing():
    x = np.arange(64 * 64, dtype=np.float32).reshape(64, 64)
    compiled = px.compile(lambda x: px.concatenate([x[:, 3:], x[:, :3]], axis=1), x)
    assert np.array_equal(compiled(x), np.concatenate([x[:, 3:], x[:, :3]], axis=1))
    assert "memcpy" not in compiled.text("asm")
