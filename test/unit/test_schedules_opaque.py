"""Opaque clusters: loop nests on tensors, emitted as stores and loads in place."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from schedules_runner import Array, Kernel, cluster_text, run

from phalanx.dialects.errors import CompileError

BOUNDS = "%c0 = arith.constant 0 : index\n%c1 = arith.constant 1 : index\n"


def cumulative_sum(array: Array, init: str, rows: str, columns: str) -> str:
    kind = array.tensor()
    return f"""
  %r = scf.for %i = %c0 to {rows} step %c1 iter_args(%x = {init}) -> ({kind}) {{
    %zero = arith.constant 0.0 : f32
    %in:2 = scf.for %j = %c0 to {columns} step %c1 iter_args(%y = %x, %s = %zero) -> ({kind}, f32) {{
      %v = tensor.extract %t0[%i, %j] : {kind}
      %t = arith.addf %s, %v : f32
      %u = tensor.insert %t into %y[%i, %j] : {kind}
      scf.yield %u, %t : {kind}, f32
    }}
    scf.yield %in#0 : {kind}
  }}"""


@pytest.mark.parametrize("dynamic", [False, True])
def test_cumulative_sum(dynamic: bool) -> None:
    array = Array("f32", ("n", "m") if dynamic else (5, 9))
    sizes = ("%n", "%m") if dynamic else ("%c5", "%c9")
    head = BOUNDS + ("" if dynamic else "%c5 = arith.constant 5 : index\n%c9 = arith.constant 9 : index\n")
    head += f"%e = tensor.empty({'%n, %m' if dynamic else ''}) : {array.tensor()}"
    x = np.random.default_rng(0).standard_normal((5, 9)).astype(np.float32)
    dims = {"n": 5, "m": 9} if dynamic else {}
    (got,) = run("opaque", [(array, x)], [array], head + cumulative_sum(array, "%e", *sizes), ["%r"], dims)
    np.testing.assert_allclose(got, np.cumsum(x, 1), rtol=1e-5)


SCATTER = (
    BOUNDS
    + """
  %c6 = arith.constant 6 : index
  %r = scf.for %i = %c0 to %c6 step %c1 iter_args(%x = %t0) -> (tensor<4xf32>) {
    %p = tensor.extract %t1[%i] : tensor<6xi32>
    %k = arith.index_cast %p : i32 to index
    %c4 = arith.constant 4 : index
    %ok = arith.cmpi ult, %k, %c4 : index
    %y = scf.if %ok -> (tensor<4xf32>) {
      %v = tensor.extract %t2[%i] : tensor<6xf32>
      %old = tensor.extract %x[%k] : tensor<4xf32>
      %new = arith.addf %old, %v : f32
      %z = tensor.insert %new into %x[%k] : tensor<4xf32>
      scf.yield %z : tensor<4xf32>
    } else {
      scf.yield %x : tensor<4xf32>
    }
    scf.yield %y : tensor<4xf32>
  }"""
)


def test_scatter_add_starts_from_a_copy_of_its_input() -> None:
    x = np.arange(4, dtype=np.float32)
    positions = np.array([0, 3, 3, -1, 7, 2], np.int32)
    values = np.array([1, 2, 4, 8, 16, 32], np.float32)
    inputs = [(Array("f32", (4,)), x), (Array("i32", (6,)), positions), (Array("f32", (6,)), values)]
    (got,) = run("opaque", inputs, [Array("f32", (4,))], SCATTER, ["%r"])
    np.testing.assert_array_equal(got, [1, 1, 34, 9])
    np.testing.assert_array_equal(x, np.arange(4))


def test_insertion_sort_with_a_while_loop() -> None:
    """Sorts in place: the output's memory holds the values already."""
    kind = "tensor<12xi32>"
    nest = f"""
  %c12 = arith.constant 12 : index
  %r = scf.for %i = %c1 to %c12 step %c1 iter_args(%x = %start) -> ({kind}) {{
    %v = tensor.extract %x[%i] : {kind}
    %w:2 = scf.while (%y = %x, %j = %i) : ({kind}, index) -> ({kind}, index) {{
      %more = arith.cmpi ugt, %j, %c0 : index
      %go = scf.if %more -> (i1) {{
        %k = arith.subi %j, %c1 : index
        %before = tensor.extract %y[%k] : {kind}
        %larger = arith.cmpi sgt, %before, %v : i32
        scf.yield %larger : i1
      }} else {{
        %no = arith.constant false
        scf.yield %no : i1
      }}
      scf.condition(%go) %y, %j : {kind}, index
    }} do {{
    ^bb0(%z: {kind}, %j: index):
      %k = arith.subi %j, %c1 : index
      %before = tensor.extract %z[%k] : {kind}
      %moved = tensor.insert %before into %z[%j] : {kind}
      scf.yield %moved, %k : {kind}, index
    }}
    %done = tensor.insert %v into %w#0[%w#1] : {kind}
    scf.yield %done : {kind}
  }}"""
    array = Array("i32", (12,))
    text = cluster_text(
        "opaque", [], [array],
        BOUNDS + f"%start = bufferization.to_tensor %out0v restrict writable : memref<12xi32> to {kind}" + nest, ["%r"],
    )  # fmt: skip
    values = np.random.default_rng(3).integers(-50, 50, 12).astype(np.int32)
    got = values.copy()
    Kernel(text)([got])
    np.testing.assert_array_equal(got, np.sort(values))


def test_a_stale_version_is_refused() -> None:
    nest = (
        BOUNDS
        + """
  %c4 = arith.constant 4 : index
  %r = scf.for %i = %c0 to %c4 step %c1 iter_args(%x = %t0) -> (tensor<4xf32>) {
    %v = tensor.extract %t1[%i] : tensor<4xf32>
    %y = tensor.insert %v into %x[%i] : tensor<4xf32>
    %old = tensor.extract %x[%i] : tensor<4xf32>
    %z = tensor.insert %old into %y[%c0] : tensor<4xf32>
    scf.yield %z : tensor<4xf32>
  }"""
    )
    array = Array("f32", (4,))
    with pytest.raises(CompileError, match="older version"):
        Kernel(cluster_text("opaque", [array, array], [array], nest, ["%r"]))


def test_parallel_loop() -> None:
    array = Array("f32", (5, 9))
    code = BOUNDS + "%c5 = arith.constant 5 : index\n%c9 = arith.constant 9 : index\n%e = tensor.empty() : tensor<5x9xf32>"
    code += cumulative_sum(array, "%e", "%c5", "%c9").removesuffix("}") + "} {px.parallel}"
    x = np.random.default_rng(0).standard_normal((5, 9)).astype(np.float32)
    (got,) = run("opaque", [(array, x)], [array], code, ["%r"], {})
    np.testing.assert_allclose(got, np.cumsum(x, 1), rtol=1e-5)


def test_parallel_loop_that_carries_a_scalar_is_refused() -> None:
    code = BOUNDS + """
  %zero = arith.constant 0.0 : f32
  %r:2 = scf.for %i = %c0 to %c1 step %c1 iter_args(%x = %t0, %s = %zero) -> (tensor<4xf32>, f32) {
    %y = tensor.insert %s into %x[%i] : tensor<4xf32>
    scf.yield %y, %s : tensor<4xf32>, f32
  } {px.parallel}"""
    array = Array("f32", (4,))
    with pytest.raises(CompileError, match="carries a scalar"):
        run("opaque", [(array, np.zeros(4, np.float32))], [array], code, ["%r#0"])
