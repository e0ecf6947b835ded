"""Random programs through exported libraries, each on its own level, against the evaluator."""

from __future__ import annotations

import ctypes
import math
import sys

import numpy as np
import pytest
from programs.running import difference, expected
from random_programs import program_of

import phalanx as px
from phalanx.compiler.targets.isa import host, isa, runs_here

LEVELS = [name for name in ("x86-64-v2", "x86-64-v3", "x86-64-v4", "aarch64") if runs_here(isa(name))]

pytestmark = pytest.mark.skipif(sys.platform != "linux" or host().system != "linux", reason="libraries are made for Linux")


def run_exported(program, level, folder):
    """What the library gives for the program's arguments, through the generic call."""
    values = [np.array(a.values(), order="C") for a in program.arguments]
    made = px.export([("program", program.function(), values)], folder / "program.so", target=level)
    outputs = [np.full(o["shape"], 7, px.dtype(o["dtype"]).numpy) for o in made.manifest["functions"][0]["outputs"]]
    arrays = [*values, *outputs]
    pointers = (ctypes.c_void_p * len(arrays))(*[a.ctypes.data for a in arrays])
    sizes = [size for a in arrays for size in a.shape]
    before = [v.tobytes() for v in values]
    call = ctypes.CDLL(str(made.files["so"])).program_call
    number = ctypes.c_int64
    status = call(pointers, (number * len(sizes))(*sizes), number(len(sizes)), None, number(0), None, None)
    assert status == 0
    assert [v.tobytes() for v in values] == before, "an argument was changed"
    return outputs


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_a_random_program(seed, tmp_path):
    program = program_of(1000 + seed)
    if any(math.prod(a.values().shape) > 10**6 for a in program.arguments):
        pytest.skip("too large for a test")
    plain, spread = expected(program)
    found = run_exported(program, LEVELS[seed % len(LEVELS)], tmp_path)
    for number, (actual, wanted) in enumerate(zip(found, plain, strict=True)):
        wrong = difference(actual, wanted, [s[number] for s in spread])
        assert not wrong, f"output {number}: {wrong}\n{program}"
