"""Two products with rows in between as one cluster: attention in many forms against NumPy in float64."""

from __future__ import annotations

import numpy as np
import pytest

import phalanx as px

RNG = np.random.default_rng(11)


@pytest.fixture(autouse=True)
def same_data():
    """Each test draws the same numbers whichever tests ran before it."""
    global RNG
    RNG = np.random.default_rng(11)


def data(*shape, dtype=np.float32):
    return RNG.standard_normal(shape).astype(dtype)


def softmax64(scores):
    with np.errstate(invalid="ignore"):
        powers = np.exp(scores - scores.max(axis=-1, keepdims=True, initial=-np.inf))
        return powers / powers.sum(axis=-1, keepdims=True)


def attention64(q, k, v, bias=0.0):
    q, k, v = (x.astype(np.float64) for x in (q, k, v))
    return softmax64(q @ np.swapaxes(k, -1, -2) / np.sqrt(q.shape[-1]) + bias) @ v


def attention(q, k, v, bias=None):
    scores = q @ px.matrix_transpose(k) / float(np.sqrt(q.shape[-1]))
    if bias is not None:
        scores = scores + bias
    return px.softmax(scores, axis=-1) @ v


def causal(q, k, v):
    scores = q @ px.matrix_transpose(k) / float(np.sqrt(q.shape[-1]))
    seen = px.arange(q.shape[-2])[:, None] >= px.arange(k.shape[-2])[None, :]
    return px.softmax(px.where(seen, scores, -np.inf), axis=-1) @ v


def plain(q, k, v):
    """A softmax that does not subtract a maximum and divides after the second product."""
    powers = px.exp(q @ px.matrix_transpose(k) * 0.1)
    return (powers @ v) / px.sum(powers, axis=-1, keepdims=True)


def by_logarithm(q, k, v):
    scores = q @ px.matrix_transpose(k)
    return px.exp(scores - px.logsumexp(scores, axis=-1, keepdims=True)) @ v


def capped(q, k, v):
    """Costly scalar code between the product and the softmax, and a residual behind the second product."""
    scores = 3.0 * px.tanh(q @ px.matrix_transpose(k) / 3.0)
    return px.softmax(scores, axis=-1) @ v + q


def chains(function, *arguments):
    """How many clusters of the compiled function are chains."""
    return [c.kind for c in px.compile(function, *arguments).explain().clusters].count("chain")


def agree(found, expected, tolerance=2e-6):
    np.testing.assert_allclose(found.numpy(), expected, rtol=50 * tolerance, atol=tolerance)


@pytest.mark.parametrize(("batch", "rows", "columns", "depth", "width"), [
    ((), 8, 8, 8, 8), ((), 33, 70, 12, 9), ((3,), 17, 5, 3, 1), ((2, 3), 200, 37, 16, 20), ((1,), 400, 1, 8, 8),
    ((2, 2), 13, 257, 64, 64), ((5,), 96, 96, 32, 32), ((2,), 9, 11, 1, 7)])
def test_shapes(batch, rows, columns, depth, width):
    q, k, v = data(*batch, rows, depth), data(*batch, columns, depth), data(*batch, columns, width)
    agree(px.jit(attention)(q, k, v), attention64(q, k, v))


@pytest.mark.parametrize("shape", [(2, 3, 50, 16), (40, 8)])
def test_is_one_cluster(shape):
    arguments = [data(*shape) for _ in range(3)]
    explanation = px.compile(attention, *arguments).explain()
    assert [c.kind for c in explanation.clusters] == ["chain"]
    assert "rows between them" in explanation.clusters[0].schedule
    assert any("fused into one chain" in d.message and d.line for d in explanation.decisions)
    assert explanation.copies == 0


@pytest.mark.parametrize("shape", [(8, 512, 64), (3, 511, 16), (1, 2048, 32)])
def test_scratch_is_a_block_of_rows_per_thread(shape):
    """Neither the scores nor a block of an operand as large as it would be outside of a chain."""
    compiled = px.compile(attention, *[f"f32[{','.join(map(str, shape))}]"] * 3)
    assert compiled.runner.executable.arena_bytes(()) < px.get_threads() * (5 << 18)


def test_empty():
    q = k = v = data(0, 9, 4)
    agree(px.jit(attention)(q, k, v), np.zeros((0, 9, 4)))
    named = px.compile(attention, "f32[b,t,4]", "f32[b,s,4]", "f32[b,s,w]")
    agree(named(q, k, v), np.zeros((0, 9, 4)))
    agree(named(data(2, 0, 4), data(2, 5, 4), data(2, 5, 3)), np.zeros((2, 0, 3)))


def test_no_columns():
    named = px.compile(plain, "f32[b,t,4]", "f32[b,s,4]", "f32[b,s,5]")
    agree(named(data(2, 9, 4), data(2, 0, 4), data(2, 0, 5)), np.full((2, 9, 5), np.nan))  # 0 / 0


def test_few_rows_are_not_a_chain():
    q, k, v = data(4, 1, 16), data(4, 33, 16), data(4, 33, 8)
    assert chains(attention, q, k, v) == 0
    agree(px.jit(attention)(q, k, v), attention64(q, k, v))


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [("float32", 2e-6), ("float64", 1e-14), ("bfloat16", 4e-2), ("float16", 4e-3)]
)
def test_dtypes(dtype, tolerance):
    q, k, v = (px.asarray(data(2, 20, 8)).astype(getattr(px, dtype)) for _ in range(3))
    expected = attention64(*(x.astype(px.float64).numpy() for x in (q, k, v)))
    assert chains(attention, q, k, v) == 1
    found = px.jit(attention)(q, k, v)
    assert str(found.dtype).endswith(dtype)
    agree(found.astype(px.float64), expected, tolerance)


@pytest.mark.parametrize("shape", [(20, 30), (3, 1, 20, 30), (1, 30), (3, 2, 20, 1), (30,)])
def test_bias_of_any_shape(shape):
    q, k, v, bias = data(3, 2, 20, 8), data(3, 2, 30, 8), data(3, 2, 30, 4), data(*shape)
    assert chains(attention, q, k, v, bias) == 1
    agree(px.jit(attention)(q, k, v, bias), attention64(q, k, v, bias))


def test_causal_mask():
    q, k, v = data(2, 40, 8), data(2, 40, 8), data(2, 40, 8)
    assert chains(causal, q, k, v) == 1
    bias = np.where(np.arange(40)[:, None] >= np.arange(40), 0.0, -np.inf)
    agree(px.jit(causal)(q, k, v), attention64(q, k, v, bias))


@pytest.mark.parametrize(("batch", "rows", "columns"), [((), 33, 70), ((2, 3), 200, 37), ((1,), 400, 2), ((2,), 13, 600)])
@pytest.mark.parametrize(("dtype", "tolerance"), [("bfloat16", 4e-2), ("float16", 4e-3)])
def test_rows_of_16_bits(batch, rows, columns, dtype, tolerance):
    shapes = (*batch, rows, 16), (*batch, columns, 16), (*batch, columns, 9)
    q, k, v = (px.asarray(data(*shape)).astype(getattr(px, dtype)) for shape in shapes)
    assert chains(attention, q, k, v) == 1
    expected = attention64(*(x.astype(px.float64).numpy() for x in (q, k, v)))
    agree(px.jit(attention)(q, k, v).astype(px.float64), expected, tolerance)
    named = [f"{dtype}[{','.join(map(str, batch))}{',' if batch else ''}{name},{x.shape[-1]}]"
             for name, x in zip(("t", "s", "s"), (q, k, v), strict=True)]
    agree(px.compile(attention, *named)(q, k, v).astype(px.float64), expected, tolerance)


def test_rows_without_anything_and_special_values():
    q, k, v, bias = data(2, 24, 8), data(2, 16, 8), data(2, 16, 8), np.zeros((2, 24, 16), np.float32)
    bias[0, 3] = -np.inf  # nothing to look at: 0 / 0
    bias[1, 5, 2:] = -np.inf
    q[0, 7, 0] = np.nan
    q[1, 9] = np.inf
    k[1, 4, 1] = -0.0
    with np.errstate(all="ignore"):
        expected = attention64(q, k, v, bias)
    assert np.isnan(expected[0, 3]).all() and np.isnan(expected[0, 7]).all() and not np.isnan(expected[0, 4]).any()
    agree(px.jit(attention)(q, k, v, bias), expected)


def test_values_that_are_not_finite_reach_all_rows():
    q, k, v = data(24, 8), data(16, 8), data(16, 8)
    v[3, 2] = np.inf
    v[5, 4] = np.nan
    agree(px.jit(attention)(q, k, v), attention64(q, k, v))


@pytest.mark.parametrize("function", [plain, by_logarithm, capped])
def test_other_softmaxes(function):
    q, k, v = data(2, 3, 45, 8), data(2, 3, 45, 8), data(2, 3, 45, 8)
    assert chains(function, q, k, v) == 1
    with px.options(compiler="evaluator"):
        expected = px.jit(function)(*(x.astype(np.float64) for x in (q, k, v))).numpy()
    agree(px.jit(function)(q, k, v), expected, 1e-5)


def test_heads_beside_each_other_are_not_copied():
    """Queries as batch x length x heads x size: splitting and joining heads moves nothing."""
    def heads(x):
        return px.swapaxes(px.reshape(x, (*x.shape[:2], 4, 8)), 1, 2)

    def function(q, k, v):
        mixed = attention(heads(q), heads(k), heads(v))
        return px.reshape(px.swapaxes(mixed, 1, 2), q.shape)

    q, k, v = (data(3, 50, 32) for _ in range(3))
    explanation = px.compile(function, q, k, v).explain()
    assert [c.kind for c in explanation.clusters] == ["chain"] and explanation.copies == 0
    split = [np.swapaxes(x.reshape(3, 50, 4, 8), 1, 2) for x in (q, k, v)]
    agree(px.jit(function)(q, k, v), np.swapaxes(attention64(*split), 1, 2).reshape(3, 50, 32))


def test_softmax_over_the_rows_of_a_turned_product():
    """keys @ queries.T, softmax over axis -2, and the weights as the right operand."""
    def function(q, k, v):
        weights = px.softmax(k @ px.matrix_transpose(q), axis=-2)
        return px.matrix_transpose(v) @ weights

    q, k, v = data(2, 30, 8), data(2, 21, 8), data(2, 21, 5)
    expected = np.swapaxes(softmax64(q.astype(np.float64) @ np.swapaxes(k, 1, 2)) @ v, 1, 2)
    agree(px.jit(function)(q, k, v), expected)


@pytest.mark.parametrize("columns", [30, 21])
def test_softmax_over_the_columns_of_a_product(columns):
    """What is a row for the softmax is a column of the product, of the same length or not: no chain."""
    def function(q, k, v):
        return px.softmax(px.matrix_transpose(q @ px.matrix_transpose(k)), axis=-1) @ v

    q, k, v = data(2, 30, 8), data(2, columns, 8), data(2, 30, 5)
    assert chains(function, q, k, v) == 0
    agree(px.jit(function)(q, k, v), softmax64(k.astype(np.float64) @ np.swapaxes(q, 1, 2)) @ v)


def test_groups_of_queries_share_their_keys():
    def function(q, k, v):
        return px.einsum("bgtd,bsd->bgts", q, k), v

    def mixed(q, k, v):
        scores, v = function(q, k, v)
        return px.einsum("bgts,bsd->bgtd", px.softmax(scores, axis=-1), v)

    q, k, v = data(2, 3, 19, 8), data(2, 23, 8), data(2, 23, 8)
    expected = softmax64(np.einsum("bgtd,bsd->bgts", q.astype(np.float64), k)) @ v[:, None]
    agree(px.jit(mixed)(q, k, v), expected)


@pytest.mark.parametrize(("batch", "rows", "columns"), [(1, 1, 1), (2, 9, 30), (3, 130, 7), (1, 300, 65), (2, 1000, 3)])
def test_named_sizes(batch, rows, columns):
    named = px.compile(attention, "f32[b,2,t,8]", "f32[b,2,s,8]", "f32[b,2,s,5]", "f32[b,1,1,s]")
    q, k = data(batch, 2, rows, 8), data(batch, 2, columns, 8)
    v, bias = data(batch, 2, columns, 5), data(batch, 1, 1, columns)
    agree(named(q, k, v, bias), attention64(q, k, v, bias))


def test_weights_that_are_wanted_are_made_whole():
    def function(q, k, v):
        weights = px.softmax(q @ px.matrix_transpose(k), axis=-1)
        return weights @ v, weights

    q, k, v = data(2, 20, 8), data(2, 30, 8), data(2, 30, 8)
    explanation = px.compile(function, q, k, v).explain()
    assert sorted(c.kind for c in explanation.clusters) == ["chain", "contraction"]
    assert any("used elsewhere too" in d.message for d in explanation.decisions)
    mixed, weights = px.jit(function)(q, k, v)
    expected = softmax64(q.astype(np.float64) @ np.swapaxes(k, 1, 2))
    agree(weights, expected)
    agree(mixed, expected @ v)


def test_sums_of_rows_may_be_wanted():
    def function(q, k, v):
        powers = px.exp(q @ px.matrix_transpose(k) * 0.1)
        total = px.sum(powers, axis=-1)
        return (powers @ v) / total[..., None], px.log(total)

    q, k, v = data(2, 20, 8), data(2, 30, 8), data(2, 30, 8)
    assert chains(function, q, k, v) == 1
    powers = np.exp(0.1 * q.astype(np.float64) @ np.swapaxes(k, 1, 2))
    mixed, logarithm = px.jit(function)(q, k, v)
    agree(mixed, powers / powers.sum(-1, keepdims=True) @ v)
    agree(logarithm, np.log(powers.sum(-1)))


def test_gradient():
    arguments = [data(2, 12, 8) for _ in range(3)]
    found = px.jit(px.grad(lambda *xs: px.sum(attention(*xs) ** 2), argnums=(0, 1, 2)))(*arguments)
    with px.options(compiler="evaluator"):
        wide = [x.astype(np.float64) for x in arguments]
        expected = px.jit(px.grad(lambda *xs: px.sum(attention(*xs) ** 2), argnums=(0, 1, 2)))(*wide)
    for one, other in zip(found, expected, strict=True):
        agree(one, other.numpy(), 1e-5)


def test_in_a_loop_that_replaces_its_state():
    def function(x, k, v):
        return px.fori_loop(0, 3, lambda _, x: x + attention(x, k, v), x)

    x, k, v = data(2, 30, 8), data(2, 20, 8), data(2, 20, 8)
    expected = x.astype(np.float64)
    for _ in range(3):
        expected = expected + attention64(expected, k, v)
    agree(px.jit(function)(x, k, v), expected, 1e-5)


def test_own_keys_in_a_loop():
    """The state is query, key and value at once: it may not be overwritten block by block."""
    def function(x):
        return px.fori_loop(0, 3, lambda _, x: attention(x, x, x) + x, x)

    x = data(400, 16)
    expected, single = x.astype(np.float64), x
    for _ in range(3):
        expected = attention64(expected, expected, expected) + expected
        scores = single @ single.T / np.float32(4)
        powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
        single = powers / powers.sum(axis=-1, keepdims=True) @ single + single
    # every turn makes the rounding errors of the turn before larger: NumPy's own in float32 are the measure
    error, usual = np.abs(px.jit(function)(x).numpy() - expected), np.abs(single - expected)
    assert single.dtype == np.float32
    assert error.mean() <= 1.3 * usual.mean()
    assert error.max() <= 3 * usual.max()


def test_donated_argument_is_not_overwritten_too_early():
    function = px.jit(lambda x, k: attention(x, k, x) + x, donate=("x",))
    x, k = data(500, 16), data(500, 16)
    expected = attention64(x, k, x) + x
    agree(function(px.asarray(x.copy()), k), expected, 1e-5)


def test_threads_change_nothing():
    q, k, v = data(3, 700, 16), data(3, 500, 16), data(3, 500, 16)
    found = []
    for count in (1, 2):
        with px.options(num_threads=count):
            found.append(px.jit(attention)(q, k, v).numpy())
    np.testing.assert_array_equal(found[0], found[1])
    agree(px.asarray(found[0]), attention64(q, k, v))


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 2e-6), (np.float16, 3e-3)])
@pytest.mark.parametrize("threads", [1, 2, 5])
def test_threads_that_start_in_the_middle_of_a_batch_pack_what_they_read(threads, dtype, tolerance):
    shape = (3, 320, 40)
    q, k, v = (data(*shape, dtype=dtype) for _ in range(3))
    with px.options(isa=f"host+l2_bytes=262144+cores={threads}", num_threads=threads):
        found = px.defn(attention)(*map(px.asarray, (q, k, v)))
    agree(found, attention64(q, k, v), tolerance)


@pytest.mark.parametrize("rows", [400, 512])
def test_results_stored_by_columns(rows):
    """The products are then written transposed: what is packed belongs to a block of rows, not to all of them."""
    q, k, v = data(rows, 24), data(300, 24), data(300, 40)
    expected = attention64(q, k, v).T
    agree(px.jit(lambda q, k, v: px.matrix_transpose(attention(q, k, v)))(q, k, v), expected)
    w = data(40, rows)
    agree(px.jit(lambda q, k, v, w: w - 0.1 * px.matrix_transpose(attention(q, k, v)))(q, k, v, w), w - 0.1 * expected)


@pytest.mark.parametrize(("batch", "inputs", "hidden", "classes"), [(256, 784, 512, 10), (200, 300, 400, 30)])
def test_gradient_of_a_layer(batch, inputs, hidden, classes):
    """x.T @ (rows of another product), stored by columns of the chain."""
    x, error, w = data(batch, inputs), data(batch, classes) / batch, data(hidden, classes)
    kept, old = data(batch, hidden), data(inputs, hidden)

    def function(x, error, w, kept, old):
        back = px.where(kept > 0, error @ px.matrix_transpose(w), 0.0)
        return old - 0.1 * (px.matrix_transpose(x) @ back), px.sum(back, axis=0)

    found = px.jit(function)(x, error, w, kept, old)
    x, error, w = (a.astype(np.float64) for a in (x, error, w))
    back = np.where(kept > 0, error @ w.T, 0)
    agree(found[0], old - 0.1 * (x.T @ back), 1e-5)
    agree(found[1], back.sum(axis=0), 1e-5)


def test_exported(tmp_path):
    path = str(tmp_path / "attention.so")
    px.export(attention, path, "f32[b,t,8]", "f32[b,s,8]", "f32[b,s,4]", name="attention")
    q, k, v = data(2, 30, 8), data(2, 45, 8), data(2, 45, 4)
    agree(px.asarray(px.load(path)(q, k, v)), attention64(q, k, v))


def _random_program(seed):
    """Attention with everything about it drawn: layouts, sizes, what stands between and behind the products."""
    rng = np.random.default_rng(seed)
    batch = tuple(int(n) for n in rng.integers(1, 4, rng.integers(0, 3)))
    rows, columns = int(rng.integers(8, 150)), int(rng.integers(2, 90))
    depth, width = int(rng.integers(1, 40)), int(rng.integers(2, 40))
    left, right, behind = (int(n) for n in rng.integers(0, 2, 3))
    between = rng.permutation(["scale", "bias", "row bias", "mask", "tanh"])[: rng.integers(0, 5)]
    form = rng.choice(["softmax", "late", "log", "sum of squares"])
    shapes = [(*batch, depth, rows) if left else (*batch, rows, depth), (*batch, depth, columns) if right else
              (*batch, columns, depth), (*batch, columns, width), (rows, columns), (rows, 1), (*batch, rows, width)]
    arrays = [rng.standard_normal(shape).astype(np.float32) for shape in shapes]

    def function(q, k, v, bias, row, residual):
        q = px.matrix_transpose(q) if left else q
        scores = q @ (k if right else px.matrix_transpose(k)) * 0.3
        for step in between:
            if step == "scale":
                scores = scores * 0.5
            elif step == "tanh":
                scores = px.tanh(scores)
            elif step == "mask":
                scores = px.where(bias > 1.0, -2.0, scores)
            else:
                scores = scores + (bias if step == "bias" else row)
        if form == "softmax":
            result = px.softmax(scores, axis=-1) @ v
        elif form == "late":
            powers = px.exp(scores - px.max(scores, axis=-1, keepdims=True))
            result = powers @ v / px.sum(powers, axis=-1, keepdims=True)
        elif form == "log":
            result = px.exp(scores - px.logsumexp(scores, axis=-1, keepdims=True)) @ v
        else:
            result = (scores * px.rsqrt(px.sum(scores * scores, axis=-1, keepdims=True) + 1.0)) @ v
        return result * 2.0 + residual if behind else result

    return function, arrays


@pytest.mark.parametrize("seed", range(24))
def test_random_programs(seed):
    function, arrays = _random_program(seed)
    assert chains(function, *arrays) == 1
    with px.options(compiler="evaluator"):
        expected = px.jit(function)(*(array.astype(np.float64) for array in arrays)).numpy()
    agree(px.jit(function)(*arrays), expected, 2e-5)
