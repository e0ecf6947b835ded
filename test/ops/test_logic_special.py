"""Truth of any dtype, and select: weak choices, gradients of what was not chosen."""

from __future__ import annotations

import numpy as np
import pytest

import phalanx as px


@pytest.mark.parametrize("compiler", ["evaluator", "mlir"])
def test_truth_of_other_dtypes(compiler: str) -> None:
    x = np.float32([0.0, -0.0, 1.0, np.nan])
    y = np.uint8([1, 0, 0, 255])
    function = px.jit(lambda a, b: (px.logical_and(a, b), px.logical_or(a, b), px.logical_xor(a, b), px.logical_not(a)),
                      compiler=compiler)
    for found, reference in zip(function(px.asarray(x), px.asarray(y)),
                                (np.logical_and, np.logical_or, np.logical_xor, lambda a, b: np.logical_not(a)),
                                strict=True):
        np.testing.assert_array_equal(found.numpy(), reference(x, y))


def test_python_choices_are_weak() -> None:
    condition = px.asarray([True, False])
    assert px.where(condition, px.asarray(np.float16([1, 2])), 0.0).dtype is px.float16
    assert px.where(condition, px.asarray(np.uint8([1, 2])), 0).dtype is px.uint8
    assert px.where(condition, 1.0, 0).dtype is px.float32
    assert px.where(True, 1, 0).numpy() == 1


def test_a_number_is_a_condition() -> None:
    assert px.where(px.asarray([2, 0]), 1.0, -1.0).numpy().tolist() == [1, -1]


def test_all_three_operands_broadcast() -> None:
    found = px.where(px.asarray([[True], [False]]), px.asarray([1.0, 2.0, 3.0]), px.asarray(0.0))
    assert found.numpy().tolist() == [[1, 2, 3], [0, 0, 0]]


def test_gradient_flows_into_the_choice_only() -> None:
    condition = px.asarray([True, False])
    by_x, by_y = px.grad(lambda a, b: px.sum(px.where(condition, a * b, b)), argnums=(0, 1))(
        px.asarray([2.0, np.inf]), px.asarray([5.0, 7.0]))
    assert by_x.numpy().tolist() == [5, 0]
    assert by_y.numpy()[0] == 2


def test_shapes_that_do_not_meet() -> None:
    with pytest.raises(px.ShapeError, match="select: shapes do not broadcast"):
        px.where(px.asarray([True, False]), px.asarray([1.0, 2.0, 3.0]), 0.0)
