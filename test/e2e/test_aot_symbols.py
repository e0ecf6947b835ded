"""What exported code takes from elsewhere: for every op, kind of dtype and level nothing but libc and libm."""

from __future__ import annotations

import generated
import numpy as np
import pytest

import phalanx as px
from phalanx.compiler.aot import levels
from phalanx.compiler.aot.linker import LIBC, LIBM
from phalanx.dialects import dtypes
from phalanx.dialects.opdef import REGISTRY, Op
from phalanx.runtime.object_file import read_symbols

#: what calls need to copy, fill and find scratch memory, remainders, and erfinv where there is no such instruction
EXPECTED = {"free", "malloc", "memcpy", "memset", "memmove", "fmod", "fmodf", "fma", "fmaf"}

#: dtypes for which processors lack instructions, so that LLVM likes to call helpers; the newer level has more
DTYPES = {"x86-64-v2": (dtypes.float16, dtypes.bfloat16, dtypes.float32, dtypes.float64, dtypes.int64),
          "x86-64-v4": (dtypes.bfloat16, dtypes.float64),
          "aarch64": (dtypes.float16, dtypes.bfloat16, dtypes.float32, dtypes.int32)}


def one_of_each_dtype(op: type[Op], target: str) -> list[generated.Sample]:
    allowed = generated.allowed_dtypes(op)
    chosen = [d for d in DTYPES[target] if d in allowed] or allowed[:1]
    return [next(iter(op.samples(dtype))) for dtype in chosen if any(op.samples(dtype))]


@pytest.mark.slow
@pytest.mark.parametrize("target", DTYPES)
@pytest.mark.parametrize("part", range(2))
def test_every_op_needs_only_libc_and_libm(target, part, tmp_path, monkeypatch):
    monkeypatch.setattr(levels, "LEAST_OPT_LEVEL", 1)  # the names do not depend on it, and it is much faster
    functions = []
    for name in generated.OPS[part::2]:
        samples = one_of_each_dtype(REGISTRY[name], target)
        rows = [[np.asarray(x) for x in operands] for operands, _ in samples]
        functions.append((f"op_{name}".rstrip("_"), generated.program(REGISTRY[name], samples), [rows]))
    made = px.export(functions, tmp_path / "ops.o", target=target, emit="o")
    table = read_symbols(made.files["o"].read_bytes())
    assert set(table.undefined) <= LIBC | LIBM
    assert set(table.undefined) <= EXPECTED, "a helper of the compiler or of libm has crept in"
    assert len(table.defined) == 7 * len(functions)
