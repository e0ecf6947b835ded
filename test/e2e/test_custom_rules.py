"""Higher derivatives of functions with a rule of their own (px.custom_vjp): those of the rule."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import phalanx as px


def with_rule(function: Callable[..., Any], forward: Callable[..., Any], backward: Callable[..., Any]) -> Any:
    made = px.custom_vjp(function)
    made.defvjp(forward, backward)
    return made


def doubled_sine() -> Any:
    """sin with twice its slope, so that the rule can be told from the body."""
    f = with_rule(px.sin, lambda x: (f(x), x), lambda x, ct: (ct * px.cos(x) * 2,))
    return f


@pytest.mark.parametrize("compiler", ["mlir", "evaluator"])
def test_every_order_is_that_of_the_rule(compiler: str) -> None:
    f, x = doubled_sine(), 0.5
    with px.options(compiler=compiler):
        first, second, third = px.grad(f), px.grad(px.grad(f)), px.grad(px.grad(px.grad(f)))
        found = [float(d(x)) for d in (f, first, second, third)]
    np.testing.assert_allclose(found, [math.sin(x), 2 * math.cos(x), -2 * math.sin(x), -2 * math.cos(x)], rtol=1e-6)


def test_the_value_beside_the_gradient_has_the_rule_too() -> None:
    f, x = doubled_sine(), 0.5
    second = px.grad(px.grad(lambda x: f(x) * x))
    # (f x)' = 2 cos(x) x + f(x), whose derivative is -2 sin(x) x + 2 cos(x) + f'(x) with f'(x) = 2 cos(x)
    np.testing.assert_allclose(float(second(x)), -2 * math.sin(x) * x + 4 * math.cos(x), rtol=1e-6)
    branch = px.grad(px.grad(lambda x: px.cond(x > 0, lambda v: f(v) * v, lambda v: v, x)))
    np.testing.assert_allclose(float(branch(x)), float(second(x)), rtol=1e-6)


def test_in_a_loop() -> None:
    f = doubled_sine()
    x = [0.5]
    for _ in range(2):
        x.append(math.sin(x[-1]))
    cos, sin = [math.cos(v) for v in x], [math.sin(v) for v in x]
    slope = [1.0, 2 * cos[0], 4 * cos[0] * cos[1]]
    expected = -8 * sum(sin[i] * slope[i] * math.prod(c for j, c in enumerate(cos) if j != i) for i in range(3))
    for loop in (lambda x: px.fori_loop(0, 3, lambda _, v: f(v), x),
                 lambda x: px.scan(lambda v, _: (f(v), None), x, length=3)[0],
                 lambda x: f(f(f(x)))):
        np.testing.assert_allclose(float(px.grad(px.grad(loop))(0.5)), expected, rtol=1e-5)


def test_batched() -> None:
    f = doubled_sine()
    x = np.asarray([0.1, 0.5, -2.0], np.float32)
    np.testing.assert_allclose(px.vmap(px.grad(px.grad(f)))(x).numpy(), -2 * np.sin(x), rtol=1e-6)


def test_captured_tensors() -> None:
    weight = px.asarray(3.0)
    f = with_rule(lambda x: px.sin(x) * weight, lambda x: (f(x), (x, weight)), lambda r, ct: (ct * px.cos(r[0]) * r[1],))
    np.testing.assert_allclose(float(px.grad(px.grad(f))(0.5)), -3 * math.sin(0.5), rtol=1e-6)
    jitted = px.jit(lambda x, w: px.grad(px.grad(lambda x: f(x) * w))(x))
    np.testing.assert_allclose(float(jitted(0.5, 2.0)), -6 * math.sin(0.5), rtol=1e-6)


def test_several_arguments_and_results() -> None:
    f = with_rule(lambda x, y: (x * y, x + y), lambda x, y: ((x * y, x + y), (x, y)),
                  lambda r, ct: (ct[0] * r[1] * 5 + ct[1], None))
    mixed = px.grad(lambda y: px.grad(lambda x: f(x, y)[0] + f(x, y)[1])(2.0))
    assert float(mixed(3.0)) == 5.0  # d/dy (5 y + 1), the residual y; the rule says nothing for y itself


def test_a_rule_that_differentiates_its_function() -> None:
    f = with_rule(lambda x: px.sin(x) * x, lambda x: (f(x), x), lambda x, ct: px.vjp(f, x)[1](ct))
    x = 0.5
    np.testing.assert_allclose(float(px.grad(f)(x)), math.cos(x) * x + math.sin(x), rtol=1e-6)
    np.testing.assert_allclose(float(px.grad(px.grad(f))(x)), 2 * math.cos(x) - x * math.sin(x), rtol=1e-6)


@pytest.mark.parametrize("kept", ["argument", "value"])
def test_the_derivative_of_a_call_in_its_own_rule_is_refused(kept: str) -> None:
    """It would be that of the body, while everywhere else the function has the slope of the rule."""
    def forward(x: Any) -> Any:
        y = f(x)
        return y, y if kept == "value" else x

    f = with_rule(px.exp, forward, lambda r, ct: (ct * (r if kept == "value" else f(r)) * 3,))
    np.testing.assert_allclose(float(px.grad(f)(0.5)), 3 * math.exp(0.5), rtol=1e-6)
    with pytest.raises(px.TraceError, match="calls its own function, which has no rule there"):
        px.grad(px.grad(f))(0.5)
