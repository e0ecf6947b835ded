"""What exported code takes from elsewhere: for every op, dtype and level nothing but libc and libm."""

from __future__ import annotations

from pathlib import Path

import generated
import numpy as np
import pytest

import phalanx as px
from phalanx.compiler.aot import levels
from phalanx.compiler.aot.entries import Entry, make_entry
from phalanx.compiler.aot.linker import LIBC, LIBM
from phalanx.compiler.targets.half import link_helpers
from phalanx.compiler.targets.llvm_c import TargetMachine, parse
from phalanx.dialects import dtypes
from phalanx.dialects.dtypes import DType
from phalanx.dialects.opdef import REGISTRY
from phalanx.runtime.object_file import read_symbols

#: what calls need to copy and fill memory, and remainders of floats, for which no processor has an instruction
MEMORY = {"memcpy", "memset", "memmove", "bzero"}
REMAINDER = {dtypes.float64: {"fmod"}, dtypes.float32: {"fmodf"}, dtypes.float16: {"fmodf"}, dtypes.bfloat16: {"fmodf"}}

TARGETS = ("x86-64-v2", "x86-64-v3", "x86-64-v4", "aarch64", "apple-m1")


def targets(dtype: DType) -> list[str]:
    """All for floats and the widest integers, for which processors lack instructions; two by turns for the others."""
    if dtype.is_float or dtype.bits == 64:
        return list(TARGETS)
    place = dtypes.ALL.index(dtype)
    return [TARGETS[(place + shift) % len(TARGETS)] for shift in (0, 2)]


def entries(dtype: DType) -> list[Entry]:
    """One function per op that takes the dtype, on one of its samples; conversions to every other dtype."""
    found = []
    for name in generated.OPS:
        op = REGISTRY[name]
        samples = list(op.samples(dtype)) if dtype in generated.allowed_dtypes(op) else []
        if samples:
            chosen = samples if name == "convert" else [samples[len(samples) // 2]]
            rows = [[np.asarray(x) for x in operands] for operands, _ in chosen]
            found.append(make_entry(generated.program(op, chosen), f"op_{name}".rstrip("_"), [rows]))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("dtype", dtypes.ALL, ids=lambda dtype: dtype.short)
def test_every_op_needs_only_libc_and_libm(dtype: DType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(levels, "LEAST_OPT_LEVEL", 1)  # the names do not depend on it, and it is much faster
    ops = entries(dtype)
    assert len(ops) > 20
    clusters = [levels.to_clusters(entry)["clusters"] for entry in ops]
    for target in targets(dtype):
        record = levels.requirement(target)[1]
        with TargetMachine(record.triple, record.cpu, record.features) as machine, parse("", target) as whole:
            whole.set_target(machine)
            symbols = []
            for entry, module in zip(ops, clusters, strict=True):
                symbols.append(levels.level_symbol(entry, record.level))
                whole.link(levels.level_text(entry, module, target), entry.name)
            link_helpers(whole)
            whole.keep_only(symbols)
            whole.verify()
            table = read_symbols(whole.emit_object(machine))
        assert set(table.undefined) <= LIBC | LIBM
        # Converting calls and other helpers of the compiler, or names of libm, that have crept in.
        assert set(table.undefined) <= MEMORY | REMAINDER.get(dtype, set()), target
        assert set(table.defined) == set(symbols)


@pytest.mark.parametrize("target", TARGETS)
def test_the_functions_around_them_need_memory_only(target: str, tmp_path: Path) -> None:
    made = px.export(lambda x, y: {"p": px.tanh(x @ y), "s": px.erfinv(px.sum(x, axis=0))}, tmp_path / "all.o", "f32[n,m]",
                     "f32[m,64]", name="all_of_it", target=target, emit="o")
    table = read_symbols(made.files["o"].read_bytes())
    assert set(table.undefined) <= MEMORY | {"malloc", "free"}
    assert len(table.defined) == 7
