"""Contraction clusters: matrix products of every layout and size, with what is fused behind them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from schedules_runner import ELEMENTS, Array, Kernel, cluster_text, run


def tensor(element: str, sizes: tuple[int | str, ...]) -> str:
    return Array(element, sizes).tensor()


def empty(name: str, array: Array) -> str:
    sizes = ", ".join(f"%{size}" for size in array.sizes if isinstance(size, str))
    return f"{name} = tensor.empty({sizes}) : {array.tensor()}"


def contraction(
    left: Array,
    right: Array,
    result: Array,
    maps: tuple[str, str, str],
    kinds: str,
    init: str | None = None,
    body: str | None = None,
) -> str:
    """`%mm` = sum over the reduced dims of %t0 * %t1."""
    dims = ", ".join(f"d{number}" for number in range(len(kinds)))
    shown = ", ".join(f"affine_map<({dims}) -> ({m})>" for m in maps)
    iterators = ", ".join('"parallel"' if kind == "p" else '"reduction"' for kind in kinds)
    element = result.element
    is_float = element[0] in "fb"
    zero = "0.0" if is_float else "0"
    suffix = "f" if is_float else "i"
    lines = [empty("%e", result)]
    if init is None:
        lines.append(f"%zero = arith.constant {zero} : {element}")
        lines.append(f"%f = linalg.fill ins(%zero : {element}) outs(%e : {result.tensor()}) -> {result.tensor()}")
        init = "%f"
    inner = body or f"%p = arith.mul{suffix} %a, %b : {element}\n%s = arith.add{suffix} %p, %acc : {element}"
    lines.append(
        f'%mm = linalg.generic {{indexing_maps = [{shown}], iterator_types = [{iterators}], px.kind = "contraction"}} '
        f"ins(%t0, %t1 : {left.tensor()}, {right.tensor()}) outs({init} : {result.tensor()}) {{\n"
        f"^bb0(%a: {left.element}, %b: {right.element}, %acc: {element}):\n{inner}\n"
        f"linalg.yield %s : {element}\n}} -> {result.tensor()}"
    )
    return "\n".join(lines)


MATMUL = ("d0, d2", "d2, d1", "d0, d1")


def bias_relu(result: Array) -> str:
    row = Array(result.element, result.sizes[-1:])
    kind = result.element
    return (
        "%r = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (j)>, "
        'affine_map<(i, j) -> (i, j)>], iterator_types = ["parallel", "parallel"]} '
        f"ins(%mm, %t2 : {result.tensor()}, {row.tensor()}) outs(%e : {result.tensor()}) {{\n"
        f"^bb0(%x: {kind}, %y: {kind}, %o: {kind}):\n%zz = arith.constant 0.0 : {kind}\n"
        f"%s = arith.addf %x, %y : {kind}\n%m = arith.maximumf %s, %zz : {kind}\nlinalg.yield %m : {kind}\n"
        f"}} -> {result.tensor()}"
    )


def sizes_of(shape: tuple[int, ...], dynamic: bool) -> tuple[tuple[int | str, ...], dict[str, int]]:
    if not dynamic:
        return shape, {}
    names = tuple(f"n{number}" for number in range(len(shape)))
    return names, dict(zip(names, shape, strict=True))


def tolerance(element: str) -> dict[str, float]:
    return {"rtol": 1e-4, "atol": 1e-4} if element == "f32" else {"rtol": 1e-11, "atol": 1e-11}


SHAPES = [
    (1, 1, 1), (4, 4, 4), (5, 7, 9), (64, 64, 64), (13, 33, 5), (200, 10, 784), (1, 50, 60), (50, 1, 60), (50, 60, 1),
    (31, 129, 17), (0, 5, 6), (5, 0, 6), (5, 6, 0), (193, 160, 40), (3, 200, 300),
]  # fmt: skip


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("element", ["f32", "f64"])
def test_matmul_with_bias_and_relu(element: str, shape: tuple[int, int, int], dynamic: bool) -> None:
    (m, n, k), dims = sizes_of(shape, dynamic)
    left, right, result = Array(element, (m, k)), Array(element, (k, n)), Array(element, (m, n))
    body = contraction(left, right, result, MATMUL, "ppr") + "\n" + bias_relu(result)
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((shape[0], shape[2])), rng.standard_normal((shape[2], shape[1]))
    bias = rng.standard_normal(shape[1])
    a, b, bias = (x.astype(ELEMENTS[element]) for x in (a, b, bias))
    inputs = [(left, a), (right, b), (Array(element, (n,)), bias)]
    got = run("contraction", inputs, [result, result], body, ["%r", "%mm"], dims)
    product = a.astype(np.float64) @ b.astype(np.float64)
    np.testing.assert_allclose(got[1], product, **tolerance(element))
    np.testing.assert_allclose(got[0], np.maximum(product + bias, 0), **tolerance(element))


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("left_transposed", [False, True])
@pytest.mark.parametrize("right_transposed", [False, True])
def test_layouts(left_transposed: bool, right_transposed: bool, dynamic: bool) -> None:
    shape = (37, 45, 53)
    (m, n, k), dims = sizes_of(shape, dynamic)
    left = Array("f32", (m, k), (1, m) if left_transposed else None)
    right = Array("f32", (k, n), (1, k) if right_transposed else None)
    result = Array("f32", (m, n))
    rng = np.random.default_rng(1)
    a = rng.standard_normal((53, 37) if left_transposed else (37, 53)).astype(np.float32)
    b = rng.standard_normal((45, 53) if right_transposed else (53, 45)).astype(np.float32)
    text = contraction(Array("f32", (m, k)), Array("f32", (k, n)), result, MATMUL, "ppr")
    (got,) = run("contraction", [(left, a), (right, b)], [result], text, ["%mm"], dims)
    expected = (a.T if left_transposed else a) @ (b.T if right_transposed else b)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dynamic", [False, True])
def test_deep_product_is_walked_in_blocks(dynamic: bool) -> None:
    shape = (20, 40, 5000)
    (m, n, k), dims = sizes_of(shape, dynamic)
    left, right, result = Array("f64", (m, k)), Array("f64", (k, n)), Array("f64", (m, n))
    rng = np.random.default_rng(2)
    a, b = rng.standard_normal((20, 5000)), rng.standard_normal((5000, 40))
    text = contraction(left, right, result, MATMUL, "ppr")
    (got,) = run("contraction", [(left, a), (right, b)], [result], text, ["%mm"], dims)
    np.testing.assert_allclose(got, a @ b, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("shape", [(3, 17, 20, 33), (2, 8, 4, 64), (5, 1, 9, 9)])
def test_batched(shape: tuple[int, int, int, int], dynamic: bool) -> None:
    (p, m, n, k), dims = sizes_of(shape, dynamic)
    left, right, result = Array("f32", (p, m, k)), Array("f32", (p, k, n)), Array("f32", (p, m, n))
    rng = np.random.default_rng(3)
    a = rng.standard_normal((shape[0], shape[1], shape[3])).astype(np.float32)
    b = rng.standard_normal((shape[0], shape[3], shape[2])).astype(np.float32)
    text = contraction(left, right, result, ("d0, d1, d3", "d0, d3, d2", "d0, d1, d2"), "pppr")
    (got,) = run("contraction", [(left, a), (right, b)], [result], text, ["%mm"], dims)
    np.testing.assert_allclose(got, a @ b, rtol=1e-4, atol=1e-4)


def test_attention_heads_are_strided_batches() -> None:
    """q and k as heads of one (tokens, heads * width) array; the result is (heads, tokens, tokens)."""
    tokens, heads, width = 24, 3, 16
    left = Array("f32", (heads, tokens, width), (width, heads * width, 1))
    result = Array("f32", (heads, tokens, tokens))
    rng = np.random.default_rng(4)
    q, k = (rng.standard_normal((tokens, heads * width)).astype(np.float32) for _ in range(2))
    plain = Array("f32", (heads, tokens, width))
    text = contraction(plain, plain, result, ("d0, d1, d3", "d0, d2, d3", "d0, d1, d2"), "pppr")
    (got,) = run("contraction", [(left, q), (left, k)], [result], text, ["%mm"])
    split = [x.reshape(tokens, heads, width).transpose(1, 0, 2) for x in (q, k)]
    np.testing.assert_allclose(got, split[0] @ split[1].transpose(0, 2, 1), rtol=1e-4, atol=1e-4)


def test_shared_right_operand_joins_batch_and_rows() -> None:
    left, right, result = Array("f32", (6, 10, 32)), Array("f32", (32, 48)), Array("f32", (6, 10, 48))
    text = contraction(left, right, result, ("d0, d1, d3", "d3, d2", "d0, d1, d2"), "pppr")
    kernel = Kernel(cluster_text("contraction", [left, right], [result], text, ["%mm"]))
    rng = np.random.default_rng(5)
    a, b = rng.standard_normal((6, 10, 32)).astype(np.float32), rng.standard_normal((32, 48)).astype(np.float32)
    out = np.zeros((6, 10, 48), np.float32)
    kernel([a, b, out])
    np.testing.assert_allclose(out, a @ b, rtol=1e-4, atol=1e-4)
    assert "60 : index" in kernel.text


def test_two_depth_dims() -> None:
    """tensordot over two axes that are not adjacent in one operand."""
    left, right, result = Array("f32", (9, 5, 7)), Array("f32", (7, 5, 30)), Array("f32", (9, 30))
    text = contraction(left, right, result, ("d0, d2, d3", "d3, d2, d1", "d0, d1"), "pprr")
    rng = np.random.default_rng(6)
    a, b = rng.standard_normal((9, 5, 7)).astype(np.float32), rng.standard_normal((7, 5, 30)).astype(np.float32)
    (got,) = run("contraction", [(left, a), (right, b)], [result], text, ["%mm"])
    np.testing.assert_allclose(got, np.einsum("apq,qpb->ab", a, b), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shape", [(10, 40), (1, 40), (40, 1)])
def test_outer_product(shape: tuple[int, int]) -> None:
    left, right, result = Array("f32", (shape[0],)), Array("f32", (shape[1],)), Array("f32", shape)
    text = contraction(left, right, result, ("d0", "d1", "d0, d1"), "pp")
    rng = np.random.default_rng(7)
    a, b = rng.standard_normal(shape[0]).astype(np.float32), rng.standard_normal(shape[1]).astype(np.float32)
    (got,) = run("contraction", [(left, a), (right, b)], [result], text, ["%mm"])
    np.testing.assert_allclose(got, np.outer(a, b), rtol=1e-6)


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("kind", ["dot", "matvec", "vecmat"])
def test_vectors(kind: str, dynamic: bool) -> None:
    (m, k), dims = sizes_of((70, 300), dynamic)
    rng = np.random.default_rng(8)
    if kind == "dot":
        left = right = Array("f32", (k,))
        result, maps, kinds = Array("f32", ()), ("d0", "d0", ""), "r"
        dims = {name: size for name, size in dims.items() if name == k}
        a, b = rng.standard_normal(300), rng.standard_normal(300)
    elif kind == "matvec":
        left, right, result = Array("f32", (m, k)), Array("f32", (k,)), Array("f32", (m,))
        maps, kinds = ("d0, d1", "d1", "d0"), "pr"
        a, b = rng.standard_normal((70, 300)), rng.standard_normal(300)
    else:
        left, right, result = Array("f32", (m,)), Array("f32", (m, k)), Array("f32", (k,))
        maps, kinds = ("d1", "d1, d0", "d0"), "pr"
        a, b = rng.standard_normal(70), rng.standard_normal((70, 300))
    a, b = a.astype(np.float32), b.astype(np.float32)
    text = contraction(left, right, result, maps, kinds)
    (got,) = run("contraction", [(left, a), (right, b)], [result], text, ["%mm"], dims)
    np.testing.assert_allclose(got, a @ b, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("element", ["i8", "i32", "i64"])
def test_integers(element: str) -> None:
    left, right, result = Array(element, (17, 23)), Array(element, (23, 70)), Array(element, (17, 70))
    rng = np.random.default_rng(9)
    a = rng.integers(-9, 9, (17, 23)).astype(ELEMENTS[element])
    b = rng.integers(-9, 9, (23, 70)).astype(ELEMENTS[element])
    text = contraction(left, right, result, MATMUL, "ppr")
    (got,) = run("contraction", [(left, a), (right, b)], [result], text, ["%mm"])
    np.testing.assert_array_equal(got, a @ b)


def test_half_precision_widened() -> None:
    left, right, result = Array("f16", (17, 23)), Array("f16", (23, 70)), Array("f32", (17, 70))
    body = (
        "%x = arith.extf %a : f16 to f32\n%y = arith.extf %b : f16 to f32\n%p = arith.mulf %x, %y : f32\n"
        "%s = arith.addf %p, %acc : f32"
    )
    text = contraction(left, right, result, MATMUL, "ppr", body=body)
    rng = np.random.default_rng(10)
    a, b = rng.standard_normal((17, 23)).astype(np.float16), rng.standard_normal((23, 70)).astype(np.float16)
    (got,) = run("contraction", [(left, a), (right, b)], [result], text, ["%mm"])
    np.testing.assert_allclose(got, a.astype(np.float32) @ b.astype(np.float32), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("in_place", [False, True])
def test_starts_from_a_tensor(in_place: bool) -> None:
    """c + a @ b, also with the result in c's memory."""
    left, right, third = Array("f32", (20, 30)), Array("f32", (30, 40)), Array("f32", (20, 40))
    text = contraction(left, right, third, MATMUL, "ppr", init="%t2")
    rng = np.random.default_rng(11)
    a, b, c = (rng.standard_normal(s).astype(np.float32) for s in ((20, 30), (30, 40), (20, 40)))
    expected = c + a @ b
    target = Array("f32", (20, 40), alias=2 if in_place else None)
    (got,) = run("contraction", [(left, a), (right, b), (third, c)], [target], text, ["%mm"])
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


def test_transposed_output() -> None:
    left, right = Array("f32", (21, 30)), Array("f32", (30, 40))
    target = Array("f32", (21, 40), (1, 21))
    text = contraction(left, right, Array("f32", (21, 40)), MATMUL, "ppr")
    kernel = Kernel(cluster_text("contraction", [left, right], [target], text, ["%mm"]))
    rng = np.random.default_rng(12)
    a, b = rng.standard_normal((21, 30)).astype(np.float32), rng.standard_normal((30, 40)).astype(np.float32)
    out = np.zeros((40, 21), np.float32)
    kernel([a, b, out])
    np.testing.assert_allclose(out, (a @ b).T, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("level", ["x86-64-v2", "x86-64-v3"])
def test_other_levels(level: str) -> None:
    shape = (40, 50, 60)
    left, right, result = Array("f32", (40, 60)), Array("f32", (60, 50)), Array("f32", (40, 50))
    text = cluster_text("contraction", [left, right], [result], contraction(left, right, result, MATMUL, "ppr"), ["%mm"])
    kernel = Kernel(text, level=level)
    rng = np.random.default_rng(13)
    a = rng.standard_normal((shape[0], shape[2])).astype(np.float32)
    b = rng.standard_normal((shape[2], shape[1])).astype(np.float32)
    out = np.zeros((40, 50), np.float32)
    kernel([a, b, out])
    np.testing.assert_allclose(out, a @ b, rtol=1e-4, atol=1e-4)
    assert "zmm" not in kernel.assembly


def random_values(shape: tuple[int, ...], seed: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("seed", range(12))
def test_random_sizes(seed: int) -> None:
    """One run-time-size kernel serves every size; every static kernel agrees with it."""
    rng = np.random.default_rng(100 + seed)
    m, n, k = (int(size) for size in rng.integers(1, 260, 3))
    a, b = random_values((m, k), seed), random_values((k, n), seed + 1)
    left, right, result = Array("f32", (m, k)), Array("f32", (k, n)), Array("f32", (m, n))
    text = contraction(left, right, result, MATMUL, "ppr")
    (got,) = run("contraction", [(left, a), (right, b)], [result], text, ["%mm"])
    np.testing.assert_allclose(got, a @ b, rtol=1e-3, atol=1e-3)
