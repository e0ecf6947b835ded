"""vmap against a Python loop: every op with every subset of batched operands, and the control flow around them."""

from __future__ import annotations

import itertools

import generated
import numpy as np
import pytest

import phalanx as px
from phalanx.dialects import dtypes
from phalanx.dialects.kinds import emit
from phalanx.dialects.opdef import REGISTRY

SIZE = 3
OPS = [n for n in generated.OPS if REGISTRY[n].operands]
MOST = 4  # samples per op


def other(x, seed):
    """Different values of the same dtype and range: the sample's own, shuffled."""
    generator = np.random.default_rng(seed)
    return generator.permutation(x.reshape(-1)).reshape(x.shape)


def subsets(count):
    """Which operands are batched: every subset of few operands, else the ends and each one alone."""
    if count <= 3:
        return [s for s in itertools.product((True, False), repeat=count) if any(s)]
    return [(True,) * count, *[tuple(i == k for i in range(count)) for k in range(count)]]


@pytest.mark.parametrize("name", OPS)
def test_every_op(name):
    op = REGISTRY[name]
    dtype = next(
        d for d in (dtypes.float32, dtypes.int32, dtypes.uint32, dtypes.bool_) if d in generated.allowed_dtypes(op)
    )
    samples = [s for s in op.samples(dtype) if s[0]]
    if name == "convert":
        samples = [s for s in samples if s[1]["dtype"] in (dtypes.int32, dtypes.float64)]
    samples = samples[1 :: max(1, len(samples) // MOST)][:MOST]
    rows, plans = [], []
    for operands, attrs in samples:
        for flags in subsets(len(operands)):
            stacked = [
                np.stack([other(x, k) for k in range(SIZE)]) if flag else x
                for x, flag in zip(operands, flags, strict=True)
            ]
            rows.append(stacked)
            plans.append((flags, attrs))

    def mapped(rows):
        found = []
        for operands, (flags, attrs) in zip(rows, plans, strict=True):
            result = px.vmap(lambda *x, attrs=attrs: emit(op, x, attrs), in_axes=[0 if f else None for f in flags])(
                *operands
            )
            found.append(result if isinstance(result, tuple) else (result,))
        return found

    found = px.jit(mapped, **generated.QUICK)(rows)
    for results, operands, (flags, attrs) in zip(found, rows, plans, strict=True):
        entries = [([x[k] if f else x for x, f in zip(operands, flags, strict=True)], attrs) for k in range(SIZE)]
        expected = generated.evaluate(op, entries)
        for number, result in enumerate(results):
            arrays = [np.asarray(e[number]) for e in expected]
            scales = [generated.magnitude(op, e, [])[number:] for e in entries] if arrays[0].size else []
            scale = np.stack([s[0] for s in scales]) if scales and scales[0] and scales[0][0] is not None else None
            wanted = np.stack(arrays)
            generated.assert_same(
                generated.plain_zeros(op, np.asarray(result)),
                generated.plain_zeros(op, wanted),
                generated.ulps(op, dtypes.dtype_of(wanted.dtype)),
                f"{name} {[x.shape for x in operands]} batched {flags} {attrs}",
                scale,
            )


X = np.random.default_rng(1).normal(size=(4, 3))
Y = np.random.default_rng(2).normal(size=(4, 3))
N = np.array([2, 0, 3, 1], np.int32)


def loop(function, *args, axes=None):
    """The stacked results of a Python loop."""
    axes = axes or [0] * len(args)
    size = next(a.shape[x] for a, x in zip(args, axes, strict=True) if x is not None)
    evaluated = px.jit(function, compiler="evaluator", backend="numpy")
    rows = [
        evaluated(*[a if x is None else np.take(a, k, axis=x) for a, x in zip(args, axes, strict=True)])
        for k in range(size)
    ]
    return [
        np.stack([np.asarray(v) for v in column])
        for column in zip(*[r if isinstance(r, (tuple, list)) else (r,) for r in rows], strict=True)
    ]


def agree(function, *args, axes=None, compiler="mlir"):
    found = px.jit(px.vmap(function, in_axes=axes if axes is not None else 0), compiler=compiler, opt_level=1)(*args)
    found = found if isinstance(found, (tuple, list)) else (found,)
    for actual, expected in zip(found, loop(function, *args, axes=axes), strict=True):
        assert np.asarray(actual).dtype == expected.dtype
        np.testing.assert_allclose(np.asarray(actual), expected, rtol=1e-10, atol=1e-12)


CONTROL = {
    "cond, batched predicate": (lambda x: px.cond(px.sum(x) > 0, lambda v: v * 2, lambda v: v - 1, x), (X,), None),
    "cond, shared predicate": (lambda x, n: px.cond(n > 0, lambda v: v * 2, lambda v: v - 1, x), (X, N[0]), (0, None)),
    "cond, captured": (lambda x, y: px.cond(x[0] > 0, lambda: y * x, lambda: y), (X, Y), None),
    "cond, several": (lambda x, n: px.cond(n > 1, lambda: (x, n), lambda: (x * 2, n + 1)), (X, N), None),
    "fori": (lambda x: px.fori_loop(0, 3, lambda i, c: px.sin(c) * x + i, x), (X,), None),
    "fori, batched bound": (lambda x, n: px.fori_loop(0, n, lambda i, c: c * 2 + i, x), (X, N), None),
    "fori, batched start": (lambda x, n: px.fori_loop(n, 4, lambda i, c: c * 2 + i, x), (X, N), None),
    "fori, shared carry": (lambda x, y: px.fori_loop(0, 2, lambda i, c: c + x, y), (X, Y[0]), (0, None)),
    "fori, carry batched late": (
        lambda x: px.fori_loop(
            0, 3, lambda i, c: (c[1], c[0] + x), (px.zeros((3,), dtype=px.float64), px.zeros((3,), dtype=px.float64))
        ),
        (X,),
        None,
    ),
    "while, batched": (lambda x: px.while_loop(lambda c: px.sum(c) < 9, lambda c: px.abs(c) * 2 + 0.1, x), (X,), None),
    "while, several": (
        lambda x, n: px.while_loop(lambda c: c[1] > 0, lambda c: (c[0] * 2, c[1] - 1), (x, n)),
        (X, N),
        None,
    ),
    "while, shared condition": (
        lambda x: px.while_loop(lambda c: c[1] < 3, lambda c: (c[0] * x, c[1] + 1), (x, px.asarray(0)))[0],
        (X,),
        None,
    ),
    "while, never": (lambda x: px.while_loop(lambda c: px.sum(c) > 1e9, lambda c: c * 2, x), (X,), None),
    "scan": (lambda x: px.scan(lambda c, v: (c + v, c * v), px.asarray(np.float64(1)), x), (X,), None),
    "scan, shared xs": (lambda c, x: px.scan(lambda c, v: (c * v, c + v), c, x), (X[:, 0], Y[0]), (0, None)),
    "scan, reverse": (
        lambda x: px.scan(lambda c, v: (c + v, c * v), px.asarray(np.float64(1)), x, reverse=True),
        (X,),
        None,
    ),
    "nested loops": (
        lambda x, n: px.fori_loop(
            0, n, lambda i, c: px.while_loop(lambda d: px.sum(px.abs(d)) < 5, lambda d: d * 3 + 1, c), x
        ),
        (X, N),
        None,
    ),
    "cond in scan": (
        lambda x: px.scan(lambda c, v: (px.cond(v > 0, lambda: c + v, lambda: c), c), px.asarray(np.float64(0)), x),
        (X,),
        None,
    ),
    "dynamic slice": (lambda x, n: px.dynamic_slice(x, [n], (2,)), (X, N), None),
    "take": (lambda x, n: px.take(x, n % 3), (X, N), None),
    "update": (lambda x, n: x.at[n % 3].set(9.0), (X, N), None),
    "constant": (lambda x: (px.ones((2,)), x), (X,), None),
}


@pytest.mark.parametrize("name", CONTROL)
def test_control_flow(name):
    function, args, axes = CONTROL[name]
    agree(function, *args, axes=axes)


@pytest.mark.parametrize("name", ["cond, batched predicate", "fori, batched bound", "while, several", "scan"])
def test_control_flow_in_the_evaluator(name):
    function, args, axes = CONTROL[name]
    agree(function, *args, axes=axes, compiler="evaluator")


@pytest.mark.parametrize("axes", [(0, 0), (1, 0), (None, 0), (0, None), (-1, 1)])
def test_in_axes(axes):
    x = np.random.default_rng(3).normal(size=(3, 3))
    args = [x[0] if axis is None else a for axis, a in zip(axes, (x, x.T.copy()), strict=True)]
    agree(lambda a, b: px.outer(a, b) + a, *args, axes=axes)


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2])
def test_out_axes(axis):
    found = px.vmap(px.outer, out_axes=axis)(X, Y)
    np.testing.assert_allclose(np.asarray(found), np.moveaxis(np.einsum("bi,bj->bij", X, Y), 0, axis))


def test_containers():
    def function(params, x):
        return {"y": params["w"] @ x + params["b"], "x": x}

    w = np.random.default_rng(4).normal(size=(4, 3, 3))
    found = px.vmap(function, in_axes=({"w": 0, "b": None}, 0), out_axes={"x": 0, "y": 1})({"w": w, "b": X[0]}, X)
    np.testing.assert_allclose(np.asarray(found["y"]), (np.einsum("bij,bj->bi", w, X) + X[0]).T)
    np.testing.assert_array_equal(np.asarray(found["x"]), X)


def test_nested():
    found = px.vmap(px.vmap(lambda a, b: px.sum(a * b), in_axes=(None, 0)), in_axes=(0, None))(X, Y)
    np.testing.assert_allclose(np.asarray(found), X @ Y.T)


def loss(x, y):
    return px.sum(px.fori_loop(0, 2, lambda i, c: px.tanh(c) * y, x)) + px.sum(px.softmax(x) * y)


def test_vmap_of_grad():
    agree(px.grad(loss, argnums=(0, 1)), X, Y)
    agree(
        px.grad(lambda x, y: px.sum(px.while_loop(lambda c: px.sum(px.abs(c)) < 9, lambda c: c * 2 * y + 1, x))),
        X,
        np.abs(Y) + 0.5,
    )


def test_grad_of_vmap():
    found = px.grad(lambda x, y: px.sum(px.vmap(loss)(x, y)), argnums=(0, 1))(X, Y)
    for actual, expected in zip(found, loop(px.grad(loss, argnums=(0, 1)), X, Y), strict=True):
        np.testing.assert_allclose(np.asarray(actual), expected, rtol=1e-10, atol=1e-12)


def test_grad_of_vmap_of_control_flow():
    def branch(x):
        return px.sum(px.cond(px.sum(x) > 0, lambda v: v * v, lambda v: px.sin(v), x))

    found = px.grad(lambda x: px.sum(px.vmap(branch)(x)))(X)
    np.testing.assert_allclose(np.asarray(found), loop(px.grad(branch), X)[0], rtol=1e-12)


def test_jacobian():
    eye = np.eye(3)
    _, pullback = px.vjp(lambda x: px.softmax(x), X[0])
    rows = np.stack([np.asarray(pullback(row)[0]) for row in eye])
    found = px.jit(lambda x: px.vmap(lambda row: px.vjp(px.softmax, x)[1](row)[0])(eye))(X[0])
    np.testing.assert_allclose(np.asarray(found), rows, rtol=1e-12)
