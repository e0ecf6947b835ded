"""The functions that all matrix products share."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from schedules_runner import Array, run
from test_schedules_gemm import MATMUL, contraction

from phalanx.compiler.schedules.packing import SQUARE_BYTES, Packing, packing_function
from phalanx.compiler.schedules.routine import Shared
from phalanx.compiler.schedules.strips import Strip, strip_kernel
from phalanx.compiler.schedules.workspace import element_bytes
from phalanx.compiler.targets import llvm_c
from phalanx.compiler.targets.isa import isa, runs_here
from phalanx.dialects.records import replace

LEVELS = ["x86-64-v2", "x86-64-v3", "x86-64-v4"]


def test_a_kernel_is_written_once() -> None:
    shared = Shared()
    strip = Strip("f32", rows=6, vectors=2, lanes=8)
    first = strip_kernel(shared, strip)
    assert strip_kernel(shared, strip) == first
    variants = [replace(strip, rows=4), replace(strip, element="f64"), replace(strip, packed=6), replace(strip, tail=True)]
    others = {strip_kernel(shared, variant) for variant in variants}
    assert len(others | {first}) == 5
    assert set(shared.texts) == others | {first}


@pytest.mark.parametrize("lanes", [2, 4, 8, 16])
@pytest.mark.parametrize("element", ["f32", "f64", "i32"])
def test_the_text_is_valid(lanes: int, element: str) -> None:
    shared = Shared()
    for tail in (False, True):
        strip_kernel(shared, Strip(element, 3, 2, lanes, tail=tail, guarded=tail))
        strip_kernel(shared, Strip(element, 3, 2, lanes, packed=6, tail=tail))
    for kind in ("across", "depth", "any"):
        for width in (6, 2 * lanes):
            packing_function(shared, Packing(kind, element, element, width, lanes))
    with llvm_c.parse("\n".join(shared.texts.values())) as module:
        module.verify()
        assert {function.name for function in module.functions()} == set(shared.texts)
    turned = shared.texts[Packing("depth", element, element, 2 * lanes, lanes).name]
    side = min(lanes, SQUARE_BYTES // element_bytes(element))
    joined, stages = lanes // side - 1, side.bit_length() - 1  # per vector
    assert turned.count("shufflevector") == side * (joined + stages)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("element", ["f32", "f64"])
@pytest.mark.parametrize("layout", ["rows", "turned", "any"])
@pytest.mark.parametrize("columns", [3, 32, 50])
def test_packing_on_every_level(level: str, element: str, layout: str, columns: int) -> None:
    if not runs_here(isa(level)):
        pytest.skip(f"this processor does not run {level}")
    rows, depth = 29, 37
    strides = {"rows": None, "turned": (1, depth), "any": (2, 2 * depth)}[layout]
    rng = np.random.default_rng(0)
    dtype = np.dtype({"f32": np.float32, "f64": np.float64}[element])
    a = rng.standard_normal((rows, depth)).astype(dtype)
    b = rng.standard_normal((depth, columns)).astype(dtype)
    if layout == "rows":
        memory = b
    elif layout == "turned":
        memory = np.ascontiguousarray(b.T)
    else:
        memory = np.zeros((columns, depth, 2), dtype)
        memory[:, :, 0] = b.T
    left, right, result = (Array(element, (rows, depth)), Array(element, (depth, columns), strides),
                           Array(element, (rows, columns)))
    plain = Array(element, (depth, columns))
    (got,) = run("contraction", [(left, a), (right, memory)], [result],
                 contraction(left, plain, result, MATMUL, "ppr"), ["%mm"], level=level)
    np.testing.assert_allclose(got, a @ b, rtol=1e-4, atol=1e-4)
