"""What exported code takes from elsewhere: for every op, dtype and level nothing but libc and libm."""

from __future__ import annotations

import generated
import numpy as np
import pytest

import phalanx as px
from phalanx.compiler.aot.linker import LIBC, LIBM
from phalanx.dialects.opdef import REGISTRY, Op
from phalanx.runtime.object_file import read_symbols

#: what calls need to copy, fill and find scratch memory; everything else is ours
EXPECTED = {"free", "malloc", "memcpy", "memset", "memmove", "fmod", "fmodf"}


def one_of_each_dtype(op: type[Op]) -> list[generated.Sample]:
    return [next(iter(op.samples(dtype))) for dtype in generated.allowed_dtypes(op) if any(op.samples(dtype))]


@pytest.mark.slow
@pytest.mark.parametrize("target", ["x86-64-v2", "x86-64-v3", "x86-64-v4", "aarch64", "apple-m1"])
@pytest.mark.parametrize("part", range(4))
def test_every_op_needs_only_libc_and_libm(target, part, tmp_path):
    functions = []
    for name in generated.OPS[part::4]:
        samples = one_of_each_dtype(REGISTRY[name])
        rows = [[np.asarray(x) for x in operands] for operands, _ in samples]
        functions.append((f"op_{name}".rstrip("_"), generated.program(REGISTRY[name], samples), [rows]))
    made = px.export(functions, tmp_path / "ops.o", target=target, emit="o")
    table = read_symbols(made.files["o"].read_bytes())
    assert set(table.undefined) <= LIBC | LIBM
    assert set(table.undefined) <= EXPECTED, "a helper of the compiler or of libm has crept in"
    assert len(table.defined) == 7 * len(functions)
