"""Elementwise and reduction clusters, scheduled, compiled and compared with NumPy."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from mlir import ir

from phalanx.compiler.schedules.schedule import schedule
from phalanx.compiler.targets.isa import isa

sys.path.insert(0, str(Path(__file__).parent))
from schedules_runner import ELEMENTS, Array, Kernel, cluster_text, run

REASSOC = "fastmath<reassoc,contract>"


def affine(*results: str, dims: str = "i, j") -> str:
    return ", ".join(f"affine_map<({dims}) -> ({result})>" for result in results)


def generic(result: str, maps: str, kinds: str, operands: str, outs: str, body: str, result_types: str | None = None) -> str:
    """A linalg.generic; `operands` and `outs` are 'names : types'."""
    iterators = ", ".join('"parallel"' if kind == "p" else '"reduction"' for kind in kinds)
    types = result_types or outs.split(":")[1]
    ins = f"ins({operands}) " if operands else ""
    return (
        f"{result} = linalg.generic {{indexing_maps = [{maps}], iterator_types = [{iterators}]}} {ins}outs({outs}) {{\n"
        f"{body}\n  }} -> {types if ',' not in types else f'({types})'}"
    )


def sizes_of(shape: tuple[int, ...], dynamic: bool) -> tuple[tuple[int | str, ...], dict[str, int]]:
    if not dynamic:
        return shape, {}
    names = [f"n{k}" for k in range(len(shape))]
    return tuple(names), dict(zip(names, shape, strict=True))


def empty(name: str, array: Array) -> str:
    sizes = ", ".join(f"%{size}" for size in array.sizes if isinstance(size, str))
    return f"{name} = tensor.empty({sizes}) : {array.tensor()}"


def data(shape: tuple[int, ...], element: str = "f32", seed: int = 0) -> np.ndarray[Any, Any]:
    rng = np.random.default_rng(seed)
    if element.startswith("i"):
        return rng.integers(-40, 40, shape).astype(ELEMENTS[element])
    return rng.standard_normal(shape).astype(ELEMENTS[element])


SHAPES = [(7, 33), (1, 5), (5, 1), (0, 4), (4, 0), (16, 64), (3, 1000)]


@pytest.mark.parametrize("dynamic", [False, True])
def test_broadcast_chain(dynamic: bool) -> None:
    """tanh-free chain with a row, a column and a scalar operand; two outputs."""
    shape = (9, 37)
    sizes, dims = sizes_of(shape, dynamic)
    full, row, column = Array("f32", sizes), Array("f32", sizes[1:]), Array("f32", sizes[:1])
    body = "\n".join(
        [
            empty("%e", full),
            generic(
                "%a", affine("i, j", "j", "i", "i, j"), "pp",
                f"%t0, %t1, %t2 : {full.tensor()}, {row.tensor()}, {column.tensor()}", f"%e : {full.tensor()}",
                "^bb0(%x: f32, %r: f32, %c: f32, %o: f32):\n"
                "%1 = arith.mulf %x, %r : f32\n%2 = arith.addf %1, %c : f32\nlinalg.yield %2 : f32",
            ),
            generic(
                "%b", affine("i, j", "", "i, j"), "pp", f"%a, %t3 : {full.tensor()}, tensor<f32>",
                f"%e : {full.tensor()}",
                "^bb0(%x: f32, %s: f32, %o: f32):\n%1 = arith.subf %x, %s : f32\nlinalg.yield %1 : f32",
            ),
        ]
    )  # fmt: skip
    x, r, c, s = data(shape), data(shape[1:], seed=1), data(shape[:1], seed=2), np.array(2.5, np.float32)
    got = run(
        "elementwise", [(full, x), (row, r), (column, c), (Array("f32", ()), s)], [full, full], body, ["%a", "%b"], dims
    )
    expected = x * r + c[:, None]
    np.testing.assert_allclose(got[0], expected, rtol=1e-6)
    np.testing.assert_allclose(got[1], expected - s, rtol=1e-5, atol=1e-6)


def test_collapses_to_one_loop() -> None:
    array = Array("f32", (4, 5, 6))
    maps = affine("i, j, k", "i, j, k", dims="i, j, k")
    body = empty("%e", array) + "\n" + generic(
        "%a", maps, "ppp", f"%t0 : {array.tensor()}", f"%e : {array.tensor()}",
        "^bb0(%x: f32, %o: f32):\n%1 = arith.addf %x, %x : f32\nlinalg.yield %1 : f32",
    )  # fmt: skip
    kernel = Kernel(cluster_text("elementwise", [array], [array], body, ["%a"]))
    assert kernel.text.count("scf.for") == 1
    assert "120 : index" in kernel.text


def test_dynamic_dense_sizes_collapse_too() -> None:
    array = Array("f32", ("n", "m"))
    body = empty("%e", array) + "\n" + generic(
        "%a", affine("i, j", "i, j"), "pp", f"%t0 : {array.tensor()}", f"%e : {array.tensor()}",
        "^bb0(%x: f32, %o: f32):\n%1 = arith.addf %x, %x : f32\nlinalg.yield %1 : f32",
    )  # fmt: skip
    kernel = Kernel(cluster_text("elementwise", [array], [array], body, ["%a"], ["n", "m"]))
    assert kernel.text.count("scf.for") == 1


@pytest.mark.parametrize("element", ["f64", "f16", "i8", "i16", "i32", "i64"])
def test_add_every_type(element: str) -> None:
    array = Array(element, (5, 21))
    op = "arith.addi" if element.startswith("i") else "arith.addf"
    body = empty("%e", array) + "\n" + generic(
        "%a", affine("i, j", "i, j", "i, j"), "pp", f"%t0, %t1 : {array.tensor()}, {array.tensor()}",
        f"%e : {array.tensor()}",
        f"^bb0(%x: {element}, %y: {element}, %o: {element}):\n%1 = {op} %x, %y : {element}\n"
        f"linalg.yield %1 : {element}",
    )  # fmt: skip
    x, y = data((5, 21), element), data((5, 21), element, 1)
    (got,) = run("elementwise", [(array, x), (array, y)], [array], body, ["%a"])
    np.testing.assert_array_equal(got, x + y)


def test_bfloat16_widened() -> None:
    array = Array("bf16", (65,))
    body = empty("%e", array) + "\n" + generic(
        "%a", affine("i", "i", dims="i"), "p", f"%t0 : {array.tensor()}", f"%e : {array.tensor()}",
        "^bb0(%x: bf16, %o: bf16):\n%1 = arith.extf %x : bf16 to f32\n%2 = arith.mulf %1, %1 : f32\n"
        "%3 = arith.truncf %2 : f32 to bf16\nlinalg.yield %3 : bf16",
    )  # fmt: skip
    x = data((65,)).astype(ml_dtypes.bfloat16)
    (got,) = run("elementwise", [(array, x.view(np.uint16))], [array], body, ["%a"])
    expected = (x.astype(np.float32) ** 2).astype(ml_dtypes.bfloat16)
    np.testing.assert_array_equal(got.view(ml_dtypes.bfloat16), expected)


def test_reverse_stride_and_offset_maps() -> None:
    source, result = Array("f32", (12, 20)), Array("f32", (12, 9))
    body = empty("%e", result) + "\n" + generic(
        "%a", affine("11 - i, j * 2 + 1", "i, j"), "pp", f"%t0 : {source.tensor()}", f"%e : {result.tensor()}",
        "^bb0(%x: f32, %o: f32):\nlinalg.yield %x : f32",
    )  # fmt: skip
    x = data((12, 20))
    (got,) = run("elementwise", [(source, x)], [result], body, ["%a"])
    np.testing.assert_array_equal(got, x[::-1, 1:19:2])


def test_strided_and_negative_views() -> None:
    """A transposed input, an output written into every second column."""
    x = data((6, 10))
    source = Array("f32", (10, 6), (1, 10))
    target = Array("f32", (10, 6), (12, 2))
    body = empty("%e", Array("f32", (10, 6))) + "\n" + generic(
        "%a", affine("i, j", "i, j"), "pp", "%t0 : tensor<10x6xf32>", "%e : tensor<10x6xf32>",
        "^bb0(%x: f32, %o: f32):\n%1 = arith.negf %x : f32\nlinalg.yield %1 : f32",
    )  # fmt: skip
    kernel = Kernel(cluster_text("elementwise", [source], [target], body, ["%a"]))
    out = np.zeros((10, 12), np.float32)
    kernel([x, out])
    np.testing.assert_array_equal(out[:, ::2], -x.T)
    np.testing.assert_array_equal(out[:, 1::2], 0)


@pytest.mark.parametrize("dynamic", [False, True])
def test_index_and_gather(dynamic: bool) -> None:
    """table[idx[i], j] + i, with positions read by linalg.index."""
    sizes, dims = sizes_of((6, 10), dynamic)
    table, index, result = Array("f32", (4, 10)), Array("i32", sizes[:1]), Array("f32", sizes)
    body = empty("%e", result) + "\n" + generic(
        "%a", affine("i", "i, j"), "pp", f"%t1 : {index.tensor()}", f"%e : {result.tensor()}",
        "^bb0(%p: i32, %o: f32):\n%1 = arith.index_cast %p : i32 to index\n%j = linalg.index 1 : index\n"
        "%2 = tensor.extract %t0[%1, %j] : tensor<4x10xf32>\n%i = linalg.index 0 : index\n"
        "%3 = arith.index_cast %i : index to i32\n%4 = arith.sitofp %3 : i32 to f32\n"
        "%5 = arith.addf %2, %4 : f32\nlinalg.yield %5 : f32",
    )  # fmt: skip
    x, p = data((4, 10)), np.array([3, 0, 1, 1, 2, 3], np.int32)
    (got,) = run("elementwise", [(table, x), (index, p)], [result], body, ["%a"], dims)
    np.testing.assert_array_equal(got, x[p] + np.arange(6, dtype=np.float32)[:, None])


def test_iota_has_no_input() -> None:
    result = Array("i32", (3, 7))
    body = empty("%e", result) + "\n" + generic(
        "%a", affine("i, j"), "pp", "", f"%e : {result.tensor()}",
        "^bb0(%o: i32):\n%i = linalg.index 1 : index\n%1 = arith.index_cast %i : index to i32\n"
        "linalg.yield %1 : i32",
    )  # fmt: skip
    (got,) = run("elementwise", [], [result], body, ["%a"])
    np.testing.assert_array_equal(got, np.broadcast_to(np.arange(7), (3, 7)))


def test_fill_as_data_and_constant_tensors() -> None:
    result = Array("f32", (3,))
    body = (
        "%c = arith.constant dense<[1.0, 2.0, 4.0]> : tensor<3xf32>\n%h = arith.constant dense<0.5> : tensor<3xf32>\n"
        "%two = arith.constant 2.0 : f32\n%e = tensor.empty() : tensor<3xf32>\n"
        "%f = linalg.fill ins(%two : f32) outs(%e : tensor<3xf32>) -> tensor<3xf32>\n"
    ) + generic(
        "%a", affine("i", "i", "i", "i", dims="i"), "p", "%c, %h, %f : tensor<3xf32>, tensor<3xf32>, tensor<3xf32>",
        "%e : tensor<3xf32>",
        "^bb0(%x: f32, %y: f32, %z: f32, %o: f32):\n%1 = arith.mulf %x, %y : f32\n%2 = arith.addf %1, %z : f32\n"
        "linalg.yield %2 : f32",
    )  # fmt: skip
    (got,) = run("elementwise", [], [result], body, ["%a"])
    np.testing.assert_array_equal(got, [2.5, 3.0, 4.0])


def test_plain_copy_and_fill_of_an_output() -> None:
    array = Array("f64", (4, 3))
    x = data((4, 3), "f64")
    (got,) = run("copy", [(Array("f64", (4, 3), (1, 4)), x)], [array], "", ["%t0"])
    np.testing.assert_array_equal(got, x.reshape(3, 4).T)


def test_rank_zero() -> None:
    scalar = Array("f32", ())
    body = "%e = tensor.empty() : tensor<f32>\n" + generic(
        "%a", "affine_map<() -> ()>, affine_map<() -> ()>", "", "%t0 : tensor<f32>", "%e : tensor<f32>",
        "^bb0(%x: f32, %o: f32):\n%1 = arith.addf %x, %x : f32\nlinalg.yield %1 : f32",
    )  # fmt: skip
    (got,) = run("elementwise", [(scalar, np.array(3, np.float32))], [scalar], body, ["%a"])
    assert got == 6


def test_in_place_output() -> None:
    """The output is the input's memory; a second output still sees the old value."""
    shared, other = Array("f32", (100,), alias=0), Array("f32", (100,))
    bodies = "^bb0(%x: f32, %o: f32):\n%1 = arith.mulf %x, %x : f32\nlinalg.yield %1 : f32"
    more = "^bb0(%x: f32, %o: f32):\n%1 = arith.addf %x, %x : f32\nlinalg.yield %1 : f32"
    maps = affine("i", "i", dims="i")
    body = "\n".join(
        [
            empty("%e", other),
            generic("%a", maps, "p", "%t0 : tensor<100xf32>", "%e : tensor<100xf32>", bodies),
            generic("%b", maps, "p", "%t0 : tensor<100xf32>", "%e : tensor<100xf32>", more),
        ]
    )
    x = data((100,))
    expected = x * x, x + x
    got = run("elementwise", [(Array("f32", (100,)), x)], [shared, other], body, ["%a", "%b"])
    np.testing.assert_array_equal(got[0], expected[0])
    np.testing.assert_array_equal(got[1], expected[1])


REDUCERS = {
    "sum": ("arith.addf {0}, {1} fastmath<reassoc,contract> : f32", "0.0", np.sum),
    "prod": ("arith.mulf {0}, {1} fastmath<reassoc,contract> : f32", "1.0", np.prod),
    "max": ("arith.maximumf {0}, {1} : f32", "0xFF800000", lambda x, axis: np.max(x, axis, initial=-np.inf)),
    "min": ("arith.minimumf {0}, {1} : f32", "0x7F800000", lambda x, axis: np.min(x, axis, initial=np.inf)),
}


def reduce_text(source: Array, result: Array, axes: tuple[int, ...], combine: str, init: str) -> str:
    dims = "ijkl"[: len(source.sizes)]
    kept = ", ".join(d for number, d in enumerate(dims) if number not in axes)
    kinds = "".join("r" if number in axes else "p" for number in range(len(dims)))
    element = source.element
    return "\n".join(
        [
            f"%init = arith.constant {init} : {element}",
            empty("%e", result),
            f"%f = linalg.fill ins(%init : {element}) outs(%e : {result.tensor()}) -> {result.tensor()}",
            generic(
                "%a", affine(", ".join(dims), kept, dims=", ".join(dims)), kinds, f"%t0 : {source.tensor()}",
                f"%f : {result.tensor()}",
                f"^bb0(%x: {element}, %acc: {element}):\n%1 = {combine.format('%x', '%acc')}\n"
                f"linalg.yield %1 : {element}",
            ),
        ]
    )  # fmt: skip


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("axes", [(0,), (1,), (2,), (0, 1), (1, 2), (0, 2), (0, 1, 2)])
def test_reduction_axes(axes: tuple[int, ...], dynamic: bool) -> None:
    shape = (5, 11, 37)
    sizes, dims = sizes_of(shape, dynamic)
    source = Array("f32", sizes)
    result = Array("f32", tuple(size for number, size in enumerate(sizes) if number not in axes))
    combine, init, reference = REDUCERS["sum"]
    x = data(shape)
    (got,) = run("reduction", [(source, x)], [result], reduce_text(source, result, axes, combine, init), ["%a"], dims)
    np.testing.assert_allclose(got, reference(x, axis=axes), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape", [*SHAPES, (3, 2500)])
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("reducer", list(REDUCERS))
def test_reducers(reducer: str, axis: int, shape: tuple[int, int]) -> None:
    sizes, dims = sizes_of(shape, True)
    source, result = Array("f32", sizes), Array("f32", sizes[1 - axis : 2 - axis])
    combine, init, reference = REDUCERS[reducer]
    x = data(shape)
    text = reduce_text(source, result, (axis,), combine, init)
    (got,) = run("reduction", [(source, x)], [result], text, ["%a"], dims)
    np.testing.assert_allclose(got, reference(x, axis=axis), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("element", ["i8", "i32", "i64"])
@pytest.mark.parametrize("combine", ["addi", "muli", "maxsi", "minui", "andi", "ori"])
def test_integer_reducers(combine: str, element: str, axis: int) -> None:
    functions = {
        "addi": (np.add, 0), "muli": (np.multiply, 1), "maxsi": (np.maximum, -100), "andi": (np.bitwise_and, -1),
        "ori": (np.bitwise_or, 0), "minui": (np.minimum, 120),
    }  # fmt: skip
    function, init = functions[combine]
    source, result = Array(element, (20, 70)), Array(element, ((70, 20)[axis],))
    x = data((20, 70), element)
    if combine == "minui":
        x = np.abs(x)
    text = reduce_text(source, result, (axis,), f"arith.{combine} {{0}}, {{1}} : {element}", str(init))
    (got,) = run("reduction", [(source, x)], [result], text, ["%a"])
    expected = function.reduce(x, axis=axis, dtype=x.dtype, initial=init)
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("axis", [0, 1])
def test_maximum_keeps_nan_and_signed_zero(axis: int) -> None:
    source, result = Array("f32", (40, 40)), Array("f32", (40,))
    x = data((40, 40))
    x[3, 5] = np.nan
    x[7] = -0.0
    x[:, 7] = -0.0
    x[9] = -np.inf
    text = reduce_text(source, result, (axis,), REDUCERS["max"][0], REDUCERS["max"][1])
    (got,) = run("reduction", [(source, x)], [result], text, ["%a"])
    np.testing.assert_array_equal(got, np.max(x, axis=axis))
    if axis == 1:
        assert got[7] == 0
        assert np.signbit(got[7])


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("axis", [0, 1])
def test_argmax(axis: int, dynamic: bool) -> None:
    shape = (9, 31)
    sizes, dims = sizes_of(shape, dynamic)
    source = Array("f32", sizes)
    value, index = Array("f32", sizes[1 - axis : 2 - axis]), Array("i32", sizes[1 - axis : 2 - axis])
    kinds = ("rp", "pr")[axis]
    kept = ("j", "i")[axis]
    body = "\n".join(
        [
            "%lo = arith.constant 0xFF800000 : f32\n%z = arith.constant 0 : i32",
            empty("%ev", value), empty("%ei", index),
            f"%fv = linalg.fill ins(%lo : f32) outs(%ev : {value.tensor()}) -> {value.tensor()}",
            f"%fi = linalg.fill ins(%z : i32) outs(%ei : {index.tensor()}) -> {index.tensor()}",
            generic(
                "%r:2", affine("i, j", kept, kept), kinds, f"%t0 : {source.tensor()}",
                f"%fv, %fi : {value.tensor()}, {index.tensor()}",
                f"^bb0(%x: f32, %v: f32, %p: i32):\n%i = linalg.index {axis} : index\n"
                "%k = arith.index_cast %i : index to i32\n%c = arith.cmpf ogt, %x, %v : f32\n"
                "%nv = arith.select %c, %x, %v : f32\n%np = arith.select %c, %k, %p : i32\n"
                "linalg.yield %nv, %np : f32, i32",
                f"{value.tensor()}, {index.tensor()}",
            ),
        ]
    )  # fmt: skip
    x = data(shape)
    got = run("reduction", [(source, x)], [value, index], body, ["%r#0", "%r#1"], dims)
    np.testing.assert_array_equal(got[0], x.max(axis))
    np.testing.assert_array_equal(got[1], x.argmax(axis))


def test_reduction_starts_from_a_tensor() -> None:
    source, start, result = Array("f32", (6, 50)), Array("f32", (6,)), Array("f32", (6,))
    body = generic(
        "%a", affine("i, j", "i"), "pr", f"%t0 : {source.tensor()}", f"%t1 : {start.tensor()}",
        f"^bb0(%x: f32, %acc: f32):\n%1 = arith.addf %x, %acc {REASSOC} : f32\nlinalg.yield %1 : f32",
    )  # fmt: skip
    x, s = data((6, 50)), data((6,), seed=1)
    (got,) = run("reduction", [(source, x), (start, s)], [result], body, ["%a"])
    np.testing.assert_allclose(got, x.sum(1) + s, rtol=1e-5)


def softmax_text(array: Array, axis: int) -> str:
    row = Array("f32", array.sizes[1 - axis : 2 - axis])
    kept, kinds = ("j", "i")[axis], ("rp", "pr")[axis]
    full, rows = array.tensor(), row.tensor()
    return "\n".join(
        [
            "%lo = arith.constant 0xFF800000 : f32\n%z = arith.constant 0.0 : f32",
            empty("%re", row), empty("%fe", array),
            f"%mi = linalg.fill ins(%lo : f32) outs(%re : {rows}) -> {rows}",
            generic("%mx", affine("i, j", kept), kinds, f"%t0 : {full}", f"%mi : {rows}",
                    "^bb0(%a: f32, %b: f32):\n%v = arith.maximumf %a, %b : f32\nlinalg.yield %v : f32"),
            generic("%ex", affine("i, j", kept, "i, j"), "pp", f"%t0, %mx : {full}, {rows}", f"%fe : {full}",
                    "^bb0(%a: f32, %b: f32, %o: f32):\n%v = arith.subf %a, %b : f32\n%w = math.exp %v : f32\n"
                    "linalg.yield %w : f32"),
            f"%si = linalg.fill ins(%z : f32) outs(%re : {rows}) -> {rows}",
            generic("%sm", affine("i, j", kept), kinds, f"%ex : {full}", f"%si : {rows}",
                    f"^bb0(%a: f32, %b: f32):\n%v = arith.addf %a, %b {REASSOC} : f32\nlinalg.yield %v : f32"),
            generic("%rc", affine("i", "i", dims="i"), "p", f"%sm : {rows}", f"%re : {rows}",
                    "^bb0(%a: f32, %o: f32):\n%c = arith.constant 1.0 : f32\n%v = arith.divf %c, %a : f32\n"
                    "linalg.yield %v : f32"),
            generic("%d", affine("i, j", kept, "i, j"), "pp", f"%ex, %rc : {full}, {rows}", f"%fe : {full}",
                    "^bb0(%a: f32, %b: f32, %o: f32):\n%v = arith.mulf %a, %b : f32\nlinalg.yield %v : f32"),
        ]
    )  # fmt: skip


def softmax(x: np.ndarray[Any, Any], axis: int) -> np.ndarray[Any, Any]:
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


@pytest.mark.parametrize("alias", [False, True])
@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("shape", [(17, 53), (3, 2100), (2100, 3)])
def test_softmax(shape: tuple[int, int], axis: int, dynamic: bool, alias: bool) -> None:
    sizes, dims = sizes_of(shape, dynamic)
    array = Array("f32", sizes)
    x = data(shape)
    expected = softmax(x, axis)
    target = Array("f32", sizes, alias=0 if alias else None)
    (got,) = run("reduction", [(array, x)], [target], softmax_text(array, axis), ["%d"], dims)
    np.testing.assert_allclose(got, expected, rtol=2e-5, atol=1e-7)


def test_softmax_with_row_outputs_too() -> None:
    array, row = Array("f32", (8, 40)), Array("f32", (8,))
    x = data((8, 40))
    got = run("reduction", [(array, x)], [array, row, array, row], softmax_text(array, 1), ["%d", "%mx", "%ex", "%rc"])
    e = np.exp(x - x.max(1, keepdims=True))
    for value, expected in zip(got, [softmax(x, 1), x.max(1), e, 1 / e.sum(1)], strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-5)


@pytest.mark.parametrize("parallel", [False, True])
def test_every_operation_has_a_location_of_the_program(parallel: bool) -> None:
    array = Array("f32", (800, 900))
    text = cluster_text("reduction", [array], [array], softmax_text(array, 1), ["%d"])
    with ir.Context():
        module = ir.Module.parse(text)
        known = locations(module)
        schedule(module, isa("x86-64-v3"), threads=parallel)
        found = locations(module)
    assert found <= known
    assert len(found) > 10


def locations(module: Any) -> set[str]:
    """Where the operations of a module come from."""
    found: set[str] = set()

    def visit(op: Any) -> Any:
        if op.name != "builtin.module":
            found.add(str(op.location))
        return ir.WalkResult.ADVANCE

    module.operation.walk(visit)
    return found
