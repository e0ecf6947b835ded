"""Clusters shared among threads: same results as alone, whatever the number of threads."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from schedules_runner import Array, Kernel, cluster_text
from test_schedules import REDUCERS, affine, empty, generic, reduce_text, sizes_of, softmax, softmax_text
from test_schedules_gemm import MATMUL, bias_relu, contraction

from phalanx.runtime import threads


def values(*shape: int, seed: int = 0) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def kernel_of(kind: str, inputs: list[Array], outputs: list[Array], body: str, names: list[str], dims: Any) -> Kernel:
    return Kernel(cluster_text(kind, inputs, outputs, body, names, list(dims)), parallel=True)


@pytest.mark.parametrize("dynamic", [False, True])
def test_elementwise_in_parts(dynamic: bool) -> None:
    sizes, dims = sizes_of((1003, 1001), dynamic)
    array = Array("f32", sizes)
    body = empty("%e", array) + "\n" + generic(
        "%a", affine("i, j", "i, j"), "pp", f"%t0 : {array.tensor()}", f"%e : {array.tensor()}",
        "^bb0(%x: f32, %o: f32):\n%1 = math.tanh %x : f32\nlinalg.yield %1 : f32",
    )  # fmt: skip
    kernel = kernel_of("elementwise", [array], [array], body, ["%a"], dims)
    assert "scf.parallel" in kernel.text
    assert "@k_part" in kernel.text
    x = values(1003, 1001)
    out = np.full_like(x, 77)
    kernel([x, out], list(dims.values()))
    np.testing.assert_allclose(out, np.tanh(x), rtol=1e-5, atol=1e-6)
    if dynamic:  # too small for threads: the same code, alone
        assert "scf.if" in kernel.text
        small = values(3, 5)
        out = np.full_like(small, 77)
        kernel([small, out], [3, 5])
        np.testing.assert_allclose(out, np.tanh(small), rtol=1e-5, atol=1e-6)


def test_small_static_work_stays_alone() -> None:
    array = Array("f32", (64, 64))
    kernel = kernel_of("reduction", [array], [array], softmax_text(array, 1), ["%d"], {})
    assert "scf.parallel" not in kernel.text


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("axis", [0, 1])
def test_softmax_in_parts(axis: int, dynamic: bool) -> None:
    sizes, dims = sizes_of((700, 900), dynamic)
    array = Array("f32", sizes)
    kernel = kernel_of("reduction", [array], [array], softmax_text(array, axis), ["%d"], dims)
    assert "scf.parallel" in kernel.text
    x = values(700, 900)
    out = np.full_like(x, 77)
    kernel([x, out], list(dims.values()))
    np.testing.assert_allclose(out, softmax(x, axis), rtol=2e-5, atol=1e-7)


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("reducer", ["sum", "max"])
@pytest.mark.parametrize(("shape", "axes"), [((1500, 1100), (0, 1)), ((400_000, 5), (0,)), ((3, 500_000), (1,))])
def test_reductions_in_a_fixed_number_of_parts(
    shape: tuple[int, int], axes: tuple[int, ...], reducer: str, dynamic: bool
) -> None:
    sizes, dims = sizes_of(shape, dynamic)
    if dynamic:  # the kept size must be known to leave room for partial results
        kept = [number for number in (0, 1) if number not in axes]
        sizes = tuple(shape[number] if number in kept else size for number, size in enumerate(sizes))
        dims = {name: size for name, size in dims.items() if name in sizes}
    source = Array("f32", sizes)
    result = Array("f32", tuple(size for number, size in enumerate(sizes) if number not in axes))
    combine, init, reference = REDUCERS[reducer]
    kernel = kernel_of("reduction", [source], [result], reduce_text(source, result, axes, combine, init), ["%a"], dims)
    assert "scf.parallel" in kernel.text
    x = values(*shape)
    out = np.full([size for number, size in enumerate(shape) if number not in axes], 77, np.float32)
    kernel([x, out], list(dims.values()))
    np.testing.assert_allclose(out, reference(x.astype(np.float64), axis=axes), rtol=1e-3, atol=1e-1)
    before = threads.get_threads()
    try:
        found = []
        for count in (1, 2, 3):
            threads.set_threads(count)
            again = np.full_like(out, 77)
            kernel([x, again], list(dims.values()))
            found.append(again)
    finally:
        threads.set_threads(before)
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("shape", [(300, 200, 250), (40, 900, 300), (6, 1500, 300)])
def test_products_in_parts(shape: tuple[int, int, int], dynamic: bool) -> None:
    (m, n, k), dims = sizes_of(shape, dynamic)
    left, right, result = Array("f32", (m, k)), Array("f32", (k, n)), Array("f32", (m, n))
    body = contraction(left, right, result, MATMUL, "ppr") + "\n" + bias_relu(result)
    kernel = kernel_of("contraction", [left, right, Array("f32", (n,))], [result], body, ["%r"], dims)
    assert "scf.parallel" in kernel.text or shape[0] * shape[1] * shape[2] * 25 < 100_000_000
    a, b, bias = values(shape[0], shape[2]), values(shape[2], shape[1], seed=1), values(shape[1], seed=2)
    out = np.full((shape[0], shape[1]), 77, np.float32)
    kernel([a, b, bias, out], list(dims.values()))
    np.testing.assert_allclose(out, np.maximum(a @ b + bias, 0), rtol=1e-3, atol=1e-3)


def test_batches_in_parts() -> None:
    left, right, result = Array("f32", (8, 64, 96)), Array("f32", (8, 96, 80)), Array("f32", (8, 64, 80))
    text = contraction(left, right, result, ("d0, d1, d3", "d0, d3, d2", "d0, d1, d2"), "pppr")
    kernel = kernel_of("contraction", [left, right], [result], text, ["%mm"], {})
    assert "scf.parallel" not in kernel.text or "@k_part" in kernel.text
    a, b = values(8, 64, 96), values(8, 96, 80, seed=1)
    out = np.full((8, 64, 80), 77, np.float32)
    kernel([a, b, out])
    np.testing.assert_allclose(out, a @ b, rtol=1e-3, atol=1e-3)


@pytest.fixture(autouse=True)
def two_threads() -> Any:
    before = threads.get_threads()
    threads.set_threads(2)
    yield
    threads.set_threads(before)
