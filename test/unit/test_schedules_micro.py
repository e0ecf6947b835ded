"""The functions that all matrix products of a module share."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from mlir import ir

sys.path.insert(0, str(Path(__file__).parent))
from schedules_runner import Array, run
from test_schedules_gemm import MATMUL, contraction

from phalanx.compiler.context import context
from phalanx.compiler.schedules.micro import Shared
from phalanx.compiler.targets.isa import isa, runs_here

LEVELS = ["x86-64-v2", "x86-64-v3", "x86-64-v4"]


def test_a_kernel_is_written_once() -> None:
    shared = Shared()
    first = shared.multiply("f32", rows=6, vectors=2, lanes=8, add=False)
    assert shared.multiply("f32", rows=6, vectors=2, lanes=8, add=False) == first
    others = {shared.multiply("f32", rows=6, vectors=2, lanes=8, add=True),
              shared.multiply("f32", rows=4, vectors=2, lanes=8, add=False),
              shared.multiply("f64", rows=6, vectors=2, lanes=8, add=False)}
    assert len(others | {first}) == 4
    assert set(shared.texts) == others | {first}
    turned = shared.pack("f32", "turned", vectors=2, lanes=8)
    assert shared.pack("f32", "turned", vectors=1, lanes=8) == turned  # takes panels of all widths


@pytest.mark.parametrize("lanes", [2, 4, 8, 16])
def test_the_text_is_valid(lanes: int) -> None:
    shared = Shared()
    for add in (False, True):
        shared.multiply("f32", rows=3, vectors=2, lanes=lanes, add=add)
    for kind in ("rows", "part", "turned", "any"):
        shared.pack("f32", kind, vectors=2, lanes=lanes)
    with context():
        module = ir.Module.parse("\n".join(shared.texts.values()))
        assert module.operation.verify()
        turned = next(op for op in module.body.operations if "turned" in str(op.attributes["sym_name"]))
        stages = lanes.bit_length() - 1
        assert str(turned).count("vector.shuffle") == stages * lanes


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
