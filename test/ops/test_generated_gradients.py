"""Gradients against central differences in float64: every differentiable op, and the control flow around them."""

from __future__ import annotations

import generated
import numpy as np
import pytest

import phalanx as px
from phalanx.dialects import dtypes
from phalanx.dialects.errors import TraceError
from phalanx.dialects.kinds import emit
from phalanx.dialects.opdef import REGISTRY, NotDifferentiable, zero_gradient

STEP = 1e-6
#: ops that jump between their flat parts; central differences see a jump only where a sample meets one
FLAT = [n for n in generated.OPS if REGISTRY[n].vjp is zero_gradient and n not in ("threefry2x32",)]
SMOOTH = [n for n in generated.OPS if callable(REGISTRY[n].vjp) and REGISTRY[n].vjp is not zero_gradient]


def weights(shape, seed=0):
    return np.asarray(np.random.default_rng([seed, 9, *shape]).uniform(0.5, 1.5, shape))


def total(results):
    """A scalar of any results: their weighted sum, so that every element counts differently."""
    parts = [px.sum(r * weights(r.shape, n)) for n, r in enumerate(results) if r.dtype.is_inexact]
    return sum(parts[1:], parts[0]) if parts else px.asarray(np.float64(0))


def numeric(function, args, position):
    """Central differences of a scalar function with respect to one argument."""
    base = np.array(args[position], np.float64)
    found = np.zeros(base.shape)
    for at in np.ndindex(base.shape):
        values = []
        for sign in (1, -1):
            moved = base.copy()
            moved[at] += sign * STEP
            values.append(float(np.asarray(function(*args[:position], moved, *args[position + 1 :]))))
        found[at] = (values[0] - values[1]) / (2 * STEP)
    return found


def check(function, *args, tolerance=2e-5, compiler="mlir", names=None):
    """Gradients of `function` with respect to all its float64 arguments."""
    positions = [i for i, a in enumerate(args) if np.asarray(a).dtype == np.float64] if names is None else names
    found = px.jit(px.grad(function, argnums=tuple(positions)), compiler=compiler, opt_level=1)(*args)
    value = px.jit(function, compiler="evaluator", backend="numpy")
    for position, gradient in zip(positions, found, strict=True):
        expected = numeric(value, list(args), position)
        np.testing.assert_allclose(
            np.asarray(gradient), expected, rtol=tolerance, atol=tolerance, err_msg=f"argument {position}"
        )


@pytest.mark.parametrize("name", SMOOTH)
def test_every_op(name):
    op = REGISTRY[name]
    samples = [s for s in op.samples(dtypes.float64) if any(x.dtype == np.float64 for x in s[0])]
    samples = [s for s in samples if sum(x.size for x in s[0]) <= 40]
    samples = [s for s in samples if s[1].get("dtype") in (None, dtypes.float64)]  # others round to much less
    samples = samples[:: 1 + len(samples) // 20]  # scatter has one per way to combine
    assert samples or name in ("constant", "iota")
    rows = [[x for x in operands if x.dtype == np.float64] for operands, _ in samples]

    def loss(rows):
        results = []
        for floats, (operands, attrs) in zip(rows, samples, strict=True):
            left = iter(floats)
            result = emit(op, [next(left) if x.dtype == np.float64 else px.asarray(x) for x in operands], attrs)
            results += result if isinstance(result, tuple) else (result,)
        return total(results)

    found = px.jit(px.grad(loss), opt_level=1)(rows)
    value = px.jit(loss, compiler="evaluator", backend="numpy")
    for row, (values, sample) in enumerate(zip(rows, samples, strict=True)):
        for column, array in enumerate(values):

            def at(moved, row=row, column=column):
                changed = [list(r) for r in rows]
                changed[row][column] = moved
                return value(changed)

            np.testing.assert_allclose(
                np.asarray(found[row][column]),
                numeric(at, [array], 0),
                rtol=5e-5,
                atol=5e-5,
                err_msg=f"{name} {[x.shape for x in sample[0]]} {sample[1]}, operand {column}",
            )


@pytest.mark.parametrize("name", FLAT)
def test_flat_ops_pass_no_gradient(name):
    op = REGISTRY[name]
    sample = next((s for s in op.samples(dtypes.float64) if s[0] and s[0][0].dtype == np.float64), None)
    if sample is None:
        return  # takes no floats

    def loss(x):
        return px.sum(x * 3.0) + px.sum(emit(op, [x, *sample[0][1:]], sample[1]).astype(px.float64))

    np.testing.assert_array_equal(np.asarray(px.grad(loss)(sample[0][0])), np.full(sample[0][0].shape, 3.0))


@pytest.mark.parametrize(
    "name",
    [
        n
        for n in generated.OPS
        if isinstance(REGISTRY[n].vjp, NotDifferentiable)
        and any(s[0] and s[0][0].dtype == np.float64 for s in REGISTRY[n].samples(dtypes.float64))
    ],
)
def test_ops_without_a_gradient_say_why(name):
    op = REGISTRY[name]
    sample = next(s for s in op.samples(dtypes.float64) if s[0] and s[0][0].dtype == np.float64)
    made = op.infer(tuple(px.Tensor.of(x).aval for x in sample[0]), sample[1])
    if not made.dtype.is_inexact:
        return  # an integer result has nothing to differentiate
    with pytest.raises(TraceError, match="has no gradient"):
        px.grad(lambda x: px.sum(emit(op, [x, *sample[0][1:]], sample[1]).astype(px.float64)))(sample[0][0])


X = weights((4,), 1)
A = weights((3, 3), 2) - 1.0


@pytest.mark.parametrize(
    "function",
    [
        px.sin,
        px.exp,
        px.tanh,
        lambda x: x**3,
        lambda x: 1 / x,
        lambda x: px.sqrt(x),
        px.softmax,
        px.log,
        px.erf,
        lambda x: px.cumulative_sum(x * x),
        lambda x: px.logsumexp(x) * x,
        lambda x: px.max(x) * x,
        lambda x: px.scan(lambda c, v: (c * v, c + v), x[0] * 1.0, x)[1],
        lambda x: px.fori_loop(0, 3, lambda i, c: c * x, x),
        lambda x: px.outer(x, x) @ x,
    ],
    ids=range(15),
)
def test_second_order(function):
    check(lambda x: total([px.grad(lambda y: total([function(y)]))(x)]), X, tolerance=2e-4)


def test_third_order():
    third = px.grad(px.grad(px.grad(lambda x: x**4 + px.sin(x))))
    np.testing.assert_allclose(float(np.asarray(third(np.float64(0.7)))), 24 * 0.7 - np.cos(0.7), rtol=1e-12)


W = weights((4,), 5)  # captured by the programs below
ints = np.array([2, 0, 1], np.int32)
LOOPS = {
    "cond, captured": (lambda x: px.sum(px.cond(px.sum(x) > 0, lambda v: v * W, lambda v: v - W, x)), (X,)),
    "cond, other branch": (lambda x: px.sum(px.cond(px.sum(x) < 0, lambda v: v * W, lambda v: v * v * x, x)), (X,)),
    "cond, no operands": (lambda x: px.cond(px.max(x) > 1, lambda: px.sum(x * x), lambda: px.sum(x)), (X,)),
    "scan": (lambda x: px.sum(px.scan(lambda c, v: (c * v + 1, c * c), px.asarray(np.float64(0.5)), x)[1]), (X,)),
    "scan, carry": (
        lambda x, w: px.scan(lambda c, v: (px.sin(c) * v + px.sum(w), None), px.asarray(np.float64(0.5)), x)[0],
        (X, W),
    ),
    "scan, reverse": (
        lambda x: total(px.scan(lambda c, v: (c * v, c + v), px.asarray(np.float64(2)), x, reverse=True)),
        (X,),
    ),
    "scan, several carries": (
        lambda x, a: total(
            px.scan(
                lambda c, v: ((c[1], c[0] * v, c[2] + 1), (c[0], v @ a)),
                (x[:3], x[1:], px.asarray(0)),
                px.broadcast_to(x[:3], (5, 3)),
            )[1]
        ),
        (X, A),
    ),
    "scan, matrix": (
        lambda a: px.sum(px.scan(lambda c, v: (px.tanh(c @ a), px.sum(c)), a, px.iota((3,), dtype=px.float64))[0]),
        (A,),
    ),
    "fori": (lambda x: px.sum(px.fori_loop(0, 4, lambda i, c: px.sin(c) * W + x, x)), (X,)),
    "fori, counter": (lambda x: px.sum(px.fori_loop(1, 4, lambda i, c: c * x + i, x)), (X,)),
    "fori, int carry": (
        lambda x: px.sum(px.fori_loop(0, 3, lambda i, c: (c[0] * x[c[1]], (c[1] + 1) % 4), (x, px.asarray(1)))[0]),
        (X,),
    ),
    "fori, swapped": (lambda x, y: total(px.fori_loop(0, 3, lambda i, c: (c[1] * 2, c[0] * c[1]), (x, y))), (X, W)),
    "fori, dynamic": (lambda x, n: px.sum(px.fori_loop(0, n, lambda i, c: px.sin(c) * W, x)), (X, np.int32(3))),
    "fori, zero trips": (lambda x: px.sum(px.fori_loop(2, 2, lambda i, c: c * c, x)), (X,)),
    "fori, dynamic zero": (lambda x, n: px.sum(px.fori_loop(0, n, lambda i, c: c * c, x)), (X, np.int32(0))),
    "fori, nested": (
        lambda x: px.sum(px.fori_loop(0, 2, lambda i, c: px.fori_loop(0, 3, lambda j, d: px.sin(d) * c, c), x)),
        (X,),
    ),
    "fori, update": (
        lambda x: px.sum(px.fori_loop(0, 4, lambda i, c: c.at[i].multiply(c[i] * x[3 - i]), x) ** 2),
        (X,),
    ),
    "fori, slices": (lambda x: px.fori_loop(0, 4, lambda i, c: c + x[i] * c, x[0] * 1.0), (X,)),
    "while": (lambda x: px.sum(px.while_loop(lambda c: px.sum(c) < 50, lambda c: c * 2 * W + x, x)), (X,)),
    "while, several": (
        lambda x: px.sum(
            px.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, c[2] * x, c[1] + c[2]), (px.asarray(0), x, x * x))[1]
        ),
        (X,),
    ),
    "while in scan": (
        lambda x: px.sum(
            px.scan(lambda c, v: (px.while_loop(lambda d: px.sum(d) < 9, lambda d: d * 1.7, c * v), px.sum(c)), x, x)[1]
        ),
        (X,),
    ),
    "scan in cond": (
        lambda x: px.sum(
            px.cond(px.sum(x) > 0, lambda v: px.scan(lambda c, u: (c * u, c), v[0] * 1.0, v)[1], lambda v: v, x)
        ),
        (X,),
    ),
    "cond in scan": (
        lambda x: px.sum(
            px.scan(
                lambda c, v: (px.cond(v > 1, lambda u: u * c, lambda u: u + c * c, v), c),
                px.asarray(np.float64(0.3)),
                x,
            )[1]
        ),
        (X,),
    ),
    "cond in while": (
        lambda x: px.sum(
            px.while_loop(
                lambda c: c[1] < 3,
                lambda c: (px.cond(c[1] > 1, lambda v: v * x, lambda v: px.sin(v), c[0]), c[1] + 1),
                (x, px.asarray(0)),
            )[0]
        ),
        (X,),
    ),
    "gather": (lambda x: px.sum(px.take(x, ints) * x[ints] * x[px.asarray(ints)][::-1]), (X,)),
    "where": (lambda x: px.sum(px.where(x > 1, px.log(x), x * x)), (X,)),
    "unused carry": (lambda x: px.sum(px.fori_loop(0, 3, lambda i, c: (c[0] * 2, c[1] + c[0]), (x, x))[0]), (X,)),
    "constant body": (lambda x: px.sum(px.fori_loop(0, 3, lambda i, c: W, x)) + px.sum(x), (X,)),
}


@pytest.mark.parametrize("name", LOOPS)
def test_control_flow(name):
    function, args = LOOPS[name]
    check(function, *args)


@pytest.mark.parametrize("name", ["scan, several carries", "fori, nested", "while", "cond in scan"])
def test_control_flow_in_the_evaluator(name):
    function, args = LOOPS[name]
    check(function, *args, compiler="evaluator")


@pytest.mark.parametrize(
    "name",
    ["cond, captured", "scan", "scan, several carries", "fori, int carry", "fori, dynamic", "while", "scan in cond"],
)
def test_second_order_through_control_flow(name):
    function, args = LOOPS[name]
    check(lambda x, *rest: total([px.grad(function)(x, *rest)]), *args, tolerance=2e-4, names=[0])


def test_value_and_grad_with_aux():
    def loss(params, x):
        hidden = px.tanh(x @ params["w"] + params["b"])
        return px.sum(hidden), {"hidden": hidden, "count": px.asarray(3)}

    params = {"w": A, "b": weights((3,), 7)}
    (value, aux), gradient = px.value_and_grad(loss, has_aux=True)(params, A)
    assert set(gradient) == {"w", "b"}
    assert int(np.asarray(aux["count"])) == 3
    np.testing.assert_allclose(float(np.asarray(value)), np.sum(np.tanh(A @ A + params["b"])), rtol=1e-12)
    np.testing.assert_allclose(
        np.asarray(gradient["b"]), np.sum(1 - np.asarray(aux["hidden"]) ** 2, axis=0), rtol=1e-12
    )
    only, again = px.grad(loss, has_aux=True)(params, A)
    np.testing.assert_array_equal(np.asarray(only["w"]), np.asarray(gradient["w"]))
    assert set(again) == {"hidden", "count"}


def test_argnums():
    def function(x, y, z):
        return px.sum(x * y * z)

    x, y, z = (weights((3,), n) for n in range(3))
    np.testing.assert_allclose(np.asarray(px.grad(function, argnums=-1)(x, y, z)), x * y)
    first, last = px.grad(function, argnums=(0, 2))(x, y, z)
    np.testing.assert_allclose(np.asarray(first), y * z)
    np.testing.assert_allclose(np.asarray(last), x * y)


def test_vjp_of_containers():
    def function(pair, scale):
        return {"product": pair[0] * pair[1] * scale, "sum": px.sum(pair[0])}

    x, y = weights((3,), 1), weights((3,), 2)
    value, pullback = px.vjp(function, (x, y), np.float64(2))
    np.testing.assert_allclose(np.asarray(value["product"]), x * y * 2)
    (dx, dy), dscale = pullback({"product": np.ones(3), "sum": np.float64(10)})
    np.testing.assert_allclose(np.asarray(dx), y * 2 + 10)
    np.testing.assert_allclose(np.asarray(dy), x * 2)
    np.testing.assert_allclose(np.asarray(dscale), np.sum(x * y))


def test_stop_gradient():
    found = px.grad(lambda x: px.sum(px.stop_gradient(x * x) * x))(X)
    np.testing.assert_allclose(np.asarray(found), X * X)


def custom():
    @px.custom_vjp
    def doubled(x, y):
        return x * y

    doubled.defvjp(lambda x, y: (x * y, (x, y)), lambda residuals, ct: (2 * ct * residuals[1], None))
    return doubled


def test_custom_vjp_everywhere():
    doubled = custom()
    found = px.grad(lambda x: px.sum(doubled(x, px.asarray(W))))(X)
    np.testing.assert_allclose(np.asarray(found), 2 * W)
    looped = px.grad(lambda x: px.sum(px.fori_loop(0, 2, lambda i, c: doubled(c, px.asarray(W)), x)))(X)
    np.testing.assert_allclose(np.asarray(looped), 4 * W * W)
    scanned = px.grad(lambda x: px.sum(px.scan(lambda c, v: (c, doubled(v, c)), px.asarray(np.float64(3)), x)[1]))(X)
    np.testing.assert_allclose(np.asarray(scanned), np.full(4, 6.0))
    branched = px.grad(lambda x: px.sum(px.cond(px.sum(x) > 0, lambda v: doubled(v, px.asarray(W)), lambda v: v, x)))(X)
    np.testing.assert_allclose(np.asarray(branched), 2 * W)
    none = px.grad(lambda x, y: px.sum(doubled(x, y)), argnums=1)(X, W)
    np.testing.assert_array_equal(np.asarray(none), np.zeros(4))
