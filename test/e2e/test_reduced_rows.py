"""Products whose rows are reduced, as one cluster: against NumPy in float64."""

from __future__ import annotations

import numpy as np
import pytest

import phalanx as px

RNG = np.random.default_rng(17)


def data(*shape, dtype=np.float32):
    return RNG.standard_normal(shape).astype(dtype)


def kinds(function, *arguments):
    return [cluster.kind for cluster in px.compile(function, *arguments).explain().clusters]


def agree(found, expected, tolerance=3e-6):
    np.testing.assert_allclose(found.numpy(), expected, rtol=50 * tolerance, atol=tolerance)


def nearest(points, centroids):
    distances = px.sum(centroids * centroids, axis=1) - points @ centroids.T
    return px.argmin(distances, axis=1)


def classes(x, w, bias):
    return px.softmax(x @ w + bias, axis=-1)


def logarithms(x, w):
    return px.logsumexp(x @ w, axis=-1)


def softmax64(scores):
    with np.errstate(invalid="ignore"):
        powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
        return powers / powers.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize(("rows", "columns", "depth"), [
    (8, 2, 2), (33, 70, 12), (500, 64, 16), (1001, 3, 5), (4099, 10, 40), (96, 1500, 9), (300, 1, 7), (257, 33, 1)])
def test_shapes(rows, columns, depth):
    x, w, bias = data(rows, depth), data(depth, columns), data(columns)
    scores = x.astype(np.float64) @ w
    agree(px.jit(classes)(x, w, bias), softmax64(scores + bias))
    agree(px.jit(logarithms)(x, w), np.log(np.exp(scores).sum(-1)))
    found = px.jit(nearest)(x, w.T.copy()).numpy()
    distances = (w * w).sum(0, dtype=np.float64) - scores
    np.testing.assert_allclose(np.take_along_axis(distances, found[:, None], 1)[:, 0], distances.min(1), atol=1e-4)


@pytest.mark.parametrize("function", [nearest, lambda x, w: logarithms(x, w.T)])
def test_is_one_cluster(function):
    points, centroids = data(300, 16), data(20, 16)
    explanation = px.compile(function, points, centroids).explain()
    assert [cluster.kind for cluster in explanation.clusters].count("chain") == 1
    assert "contraction" not in [cluster.kind for cluster in explanation.clusters]
    (chain,) = (cluster for cluster in explanation.clusters if cluster.kind == "chain")
    assert "a product and what follows in its rows" in chain.schedule
    assert any("fused with the product" in decision.message and decision.line for decision in explanation.decisions)


def test_needs_less_memory_than_the_product():
    compiled = px.compile(nearest, "f32[100000,16]", "f32[64,16]")
    assert compiled.runner.executable.arena_bytes(()) < px.get_threads() << 19


def test_a_product_that_is_wanted_is_made_whole():
    def function(x, w):
        scores = x @ w
        return scores, px.max(scores, axis=1)

    x, w = data(40, 8), data(8, 12)
    assert "chain" not in kinds(function, x, w)
    scores, most = px.jit(function)(x, w)
    agree(scores, x @ w)
    agree(most, (x @ w).max(1))


def test_a_large_matrix_is_packed_once_for_all_rows():
    x, w = data(300, 400), data(400, 300)
    assert "chain" not in kinds(logarithms, x, w)
    agree(px.jit(logarithms)(x * 0.1, w * 0.1), np.log(np.exp((x * 0.1).astype(np.float64) @ (w * 0.1)).sum(-1)))


@pytest.mark.parametrize("columns", [24, 31])
def test_columns_of_the_product(columns):
    def function(x, w):
        return px.max(px.exp(x @ w), axis=0), px.argmax(x @ w, axis=0)

    x, w = data(24, 8), data(8, columns)
    most, where = px.jit(function)(x, w)
    agree(most, np.exp(x.astype(np.float64) @ w).max(0), 1e-5)
    np.testing.assert_array_equal(where.numpy(), (x @ w).argmax(0))


def test_rows_of_a_square_product_that_is_turned():
    x, w = data(40, 8), data(8, 40)
    agree(px.jit(lambda x, w: px.softmax((x @ w).T, axis=-1))(x, w), softmax64((x.astype(np.float64) @ w).T))


@pytest.mark.parametrize("batch", [(3,), (2, 2), (1,)])
def test_batches(batch):
    def function(x, w, row):
        scores = x @ w + row
        return px.softmax(scores, axis=-1), px.argmax(scores, axis=-1)

    x, w, row = data(*batch, 30, 8), data(*batch, 8, 21), data(*batch, 30, 1)
    scores = x.astype(np.float64) @ w + row
    weights, where = px.jit(function)(x, w, row)
    agree(weights, softmax64(scores))
    np.testing.assert_array_equal(where.numpy(), scores.argmax(-1))


def test_positions_of_equal_values_are_the_first():
    x, w = np.ones((50, 4), np.float32), np.ones((4, 9), np.float32)
    w[:, [3, 5]] = 2.0
    np.testing.assert_array_equal(px.jit(lambda x, w: px.argmax(x @ w, axis=1))(x, w).numpy(), np.full(50, 3))


def test_special_values():
    x, w = data(40, 6), data(6, 11)
    x[3, 2], x[7, 1], x[9] = np.nan, np.inf, 0.0
    w[4, 5] = -0.0
    with np.errstate(all="ignore"):
        scores = x.astype(np.float64) @ w
        expected = softmax64(scores)
    weights, where = px.jit(lambda x, w: (px.softmax(x @ w, axis=1), px.argmax(x @ w, axis=1)))(x, w)
    agree(weights, expected)
    np.testing.assert_array_equal(where.numpy(), scores.argmax(1))


@pytest.mark.parametrize("shape", [(0, 4, 5), (9, 0, 5), (1, 4, 5)])
def test_empty_and_single(shape):
    rows, depth, columns = shape
    x, w = data(rows, depth), data(depth, columns)
    agree(px.jit(classes)(x, w, data(columns) * 0), softmax64(x.astype(np.float64) @ w) if rows else np.zeros((0, 5)))


@pytest.mark.parametrize("rows", [0, 1, 7, 8, 300, 5000])
def test_named_number_of_rows(rows):
    compiled = px.compile(classes, "f32[n,6]", "f32[6,13]", "f32[13]")
    assert "chain" in [cluster.kind for cluster in compiled.explain().clusters]
    x, w, bias = data(rows, 6), data(6, 13), data(13)
    agree(compiled(x, w, bias), softmax64(x.astype(np.float64) @ w + bias) if rows else np.zeros((0, 13)))


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [("float64", 1e-14), ("float32", 3e-6), ("bfloat16", 2e-2), ("float16", 2e-3)]
)
def test_dtypes(dtype, tolerance):
    x, w, bias = (px.asarray(array).astype(getattr(px, dtype)) for array in (data(60, 8), data(8, 21), data(21)))
    wide = [array.astype(px.float64).numpy() for array in (x, w, bias)]
    found = px.jit(classes)(x, w, bias)
    assert str(found.dtype).endswith(dtype)
    agree(found.astype(px.float64), softmax64(wide[0] @ wide[1] + wide[2]), tolerance)


def test_integers():
    x, w = RNG.integers(-9, 9, (50, 7)).astype(np.int32), RNG.integers(-9, 9, (7, 12)).astype(np.int32)
    found = px.jit(lambda x, w: px.max(x @ w, axis=1))(x, w)
    np.testing.assert_array_equal(found.numpy(), (x @ w).max(1))


def test_threads_change_nothing():
    x, w, bias = data(3000, 16), data(16, 100), data(100)
    found = []
    for count in (1, 2):
        with px.options(num_threads=count):
            found.append(px.jit(classes)(x, w, bias).numpy())
    np.testing.assert_array_equal(found[0], found[1])


def test_gradient():
    def loss(x, w):
        scores = x @ w
        return px.mean(px.logsumexp(scores, axis=1) - scores[:, 0])

    x, w = data(40, 8), data(8, 10)
    found = px.jit(px.grad(loss, argnums=(0, 1)))(x, w)
    with px.options(compiler="evaluator"):
        expected = px.jit(px.grad(loss, argnums=(0, 1)))(x.astype(np.float64), w.astype(np.float64))
    for one, other in zip(found, expected, strict=True):
        agree(one, other.numpy())


def test_state_of_a_loop_is_not_overwritten_too_early():
    def function(x, w):
        return px.fori_loop(0, 3, lambda _, x: px.softmax(x @ w + x, axis=1), x)

    x, w = data(200, 12), data(12, 12)
    expected = x.astype(np.float64)
    for _ in range(3):
        expected = softmax64(expected @ w + expected)
    agree(px.jit(function)(x, w), expected)


def test_own_rows_on_both_sides():
    """Rows are compared with all rows: a donated argument may not be overwritten block by block."""
    function = px.jit(lambda x: px.softmax(x @ x.T, axis=1) + x, donate=("x",))
    x = data(90, 90)
    agree(function(px.asarray(x.copy())), softmax64(x.astype(np.float64) @ x.T) + x, 1e-5)


def test_exported(tmp_path):
    path = str(tmp_path / "classes.so")
    px.export(classes, path, "f32[n,6]", "f32[6,13]", "f32[13]", name="classes")
    x, w, bias = data(700, 6), data(6, 13), data(13)
    agree(px.asarray(px.load(path)(x, w, bias)), softmax64(x.astype(np.float64) @ w + bias))


@pytest.mark.parametrize("spec", ["f32[n,m]", "f32[6,20000]"])
def test_exponentials_are_kept_in_memory_that_is_overwritten(spec):
    """A row too long for scratch, or of a named length: the result's memory, which is an input's, holds them."""
    def plain(x):
        return px.softmax(x, axis=-1)

    def read_again(x):
        return px.softmax(x, axis=-1) * x + x[:, 0][:, None]

    def positions(x):
        powers = px.exp(x - px.max(x, axis=1, keepdims=True))
        return powers / px.sum(powers, axis=1, keepdims=True) + px.argmax(x, axis=1)[:, None].astype(px.float32)

    x = data(6, 20000)
    x[2, 5], x[3, 7], x[4, 9] = np.inf, -np.inf, np.nan
    with np.errstate(all="ignore"):
        weights = softmax64(x.astype(np.float64))
        powers = np.exp(x.astype(np.float64) - x.max(1, keepdims=True))
        last = powers / powers.sum(1, keepdims=True) + x.argmax(1)[:, None]
        expected = {plain: weights, read_again: weights * x + x[:, :1], positions: last}
    for function, wanted in expected.items():
        compiled = px.compile(px.jit(function, donate=("x",)), spec)
        agree(compiled(px.asarray(x.copy())), wanted)
    assert px.compile(px.jit(plain, donate=("x",)), spec).text("scheduled").count("math.exp") == 1
