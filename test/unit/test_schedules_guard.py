"""No product reads or writes outside its operands: they stand at the edge of memory that may not be touched."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
from guard import guarded, survives
from schedules_runner import ELEMENTS, Array, Kernel, cluster_text
from test_schedules_gemm import MATMUL, bias_relu, contraction, sizes_of, tolerance

from phalanx.compiler.targets.isa import isa, runs_here

SIZES = [(1, 40, 70), (40, 1, 70), (30, 7, 200), (65, 50, 600)]
LAYOUTS = ["rows", "left", "right", "both"]


Case = tuple[str, tuple[int, int, int], str, str, bool]
"""Element type, sizes (rows, columns, depth), which operands are stored by columns, level, sizes known at run time."""


def product(case: Case) -> None:
    """Computes one product with all its memory at an edge, and compares."""
    element, sizes, layout, level, dynamic = case
    rng = np.random.default_rng(0)
    m, n, k = sizes
    dtype = ELEMENTS[element]
    a, b = rng.standard_normal((m, k)).astype(dtype), rng.standard_normal((k, n)).astype(dtype)
    bias = rng.standard_normal(n).astype(dtype)
    (rows, columns, depth), dims = sizes_of(sizes, dynamic)
    plain = Array(element, (rows, depth)), Array(element, (depth, columns))
    result = Array(element, (rows, columns))
    left = Array(element, (rows, depth), (1, rows) if layout in ("left", "both") else None)
    right = Array(element, (depth, columns), (1, depth) if layout in ("right", "both") else None)
    body = contraction(*plain, result, MATMUL, "ppr") + "\n" + bias_relu(result)
    row = Array(element, (columns,))
    kernel = Kernel(cluster_text("contraction", [left, right, row], [result], body, ["%r"], list(dims)), level=level)
    memories = [np.ascontiguousarray(a.T) if left.strides else a, np.ascontiguousarray(b.T) if right.strides else b, bias]
    expected = np.maximum(a.astype(np.float64) @ b + bias, 0)
    for edge in ("end", "start"):
        out = guarded(np.full((m, n), 77, dtype), edge=edge)
        kernel.workspace = guarded(np.zeros(kernel.workspace_bytes + 64, np.uint8), edge="start")
        kernel([*(guarded(memory, edge=edge) for memory in memories), out], list(dims.values()))
        np.testing.assert_allclose(out, expected, **tolerance(element))


@pytest.mark.skipif(sys.platform != "linux", reason="mprotect by its Linux numbers")
@pytest.mark.parametrize("level", ["x86-64-v2", "x86-64-v3", "x86-64-v4"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_products_stay_inside_their_operands(layout: str, level: str) -> None:
    if not runs_here(isa(level)):
        pytest.skip(f"this processor does not run {level}")
    survives(product, [("f32", sizes, layout, level, False) for sizes in SIZES])


@pytest.mark.skipif(sys.platform != "linux", reason="mprotect by its Linux numbers")
@pytest.mark.parametrize("layout", LAYOUTS)
def test_products_of_run_time_sizes_stay_inside_their_operands(layout: str) -> None:
    cases = [("f32", sizes, layout, "host", True) for sizes in SIZES]
    survives(product, [*cases, ("f64", (13, 33, 37), layout, "host", False)])


def touch(distance: int) -> None:
    """Reads the element `distance` behind the last one."""
    x = guarded(np.arange(5, dtype=np.float32))
    beyond = np.lib.stride_tricks.as_strided(x, (5 + distance,), x.strides)
    assert beyond[-1] >= 0


@pytest.mark.skipif(sys.platform != "linux", reason="mprotect by its Linux numbers")
def test_the_guard_notices() -> None:
    survives(touch, [0])
    with pytest.raises(AssertionError, match="1: the process ended"):
        survives(touch, [0, 1])
