"""Every composite: compiled code, the evaluator and the eager call give the same."""

from __future__ import annotations

import generated
import numpy as np
import pytest

import phalanx as px
from phalanx.dialects import dtypes
from phalanx.dialects.opdef import COMPOSITES

X = np.random.default_rng(1).uniform(0.2, 2.0, (3, 4)).astype(np.float32)
Y = np.random.default_rng(2).uniform(-2.0, 2.0, (3, 4)).astype(np.float32)
ROWS = np.array([2, 0, 1, 2], np.int32)

#: calls of composites that need more than one tensor
CALLS = {
    "astype": lambda f: f(X, px.int32),
    "where": lambda f: f(Y > 0, X, Y),
    "pow": lambda f: f(X, Y),
    "logaddexp": lambda f: f(X, Y),
    "broadcast_to": lambda f: f(X, (2, 3, 4)),
    "broadcast_arrays": lambda f: f(X, Y[:1], Y[:, :1]),
    "expand_dims": lambda f: f(X, (0, 2)),
    "squeeze": lambda f: f(X[:1], 0),
    "permute_dims": lambda f: f(X, (1, 0)),
    "moveaxis": lambda f: f(X, 0, 1),
    "swapaxes": lambda f: f(X, 0, 1),
    "concat": lambda f: f([X, Y], axis=1),
    "stack": lambda f: f([X, Y], axis=1),
    "split": lambda f: f(X, 2, axis=1),
    "tile": lambda f: f(X, (2, 1)),
    "repeat": lambda f: f(X, 2, axis=1),
    "roll": lambda f: f(X, (1, -1), axis=(0, 1)),
    "meshgrid": lambda f: f(X[0], Y[0]),
    "atleast_1d": lambda f: f(X, np.float32(1)),
    "atleast_2d": lambda f: f(X[0]),
    "atleast_3d": lambda f: f(X),
    "put_slice": lambda f: f(X, (1, 1), Y[:1, :2]),
    "slice_along_axis": lambda f: f(X, 1, 2, axis=1),
    "clip": lambda f: f(Y, -0.5, X),
    "one_hot": lambda f: f(ROWS, 3),
    "isclose": lambda f: f(X, Y),
    "allclose": lambda f: f(X, X + 1e-9),
    "matmul": lambda f: f(X, Y.T),
    "dot": lambda f: f(X, Y.T),
    "tensordot": lambda f: f(X, Y, axes=[(0,), (0,)]),
    "conv": lambda f: f(px.reshape(X, (1, 1, -1)), px.reshape(Y, (1, 1, -1)), padding=1),
    "vecdot": lambda f: f(X, Y),
    "outer": lambda f: f(X, Y),
    "inner": lambda f: f(X, Y),
    "einsum": lambda f: f("ij,kj->ik", X, Y),
    "zeros": lambda f: f((2, 3)),
    "ones": lambda f: f((2, 3)),
    "full_like": lambda f: f(X, 3.0),
    "arange": lambda f: f(1, 9, 2),
    "linspace": lambda f: f(0.0, 1.0, 7),
    "eye": lambda f: f(3, 4, k=1),
    "tri": lambda f: f(3),
    "take": lambda f: f(X, ROWS, axis=0),
    "take_along_axis": lambda f: f(X, ROWS[:3, None], axis=1),
    "indexed_add": lambda f: f(X, ROWS[:3, None], Y),
    "indexed_put": lambda f: f(X, ROWS[:3, None], Y),
    "getitem": lambda f: f(X, (slice(None, None, -1), 1)),
    "make_diagonal": lambda f: f(X[0], offset=1),
    "cumulative_sum": lambda f: f(X, axis=1, include_initial=True),
    "cumulative_prod": lambda f: f(X, axis=0),
    "cumulative_max": lambda f: f(Y, axis=1),
    "cumulative_min": lambda f: f(Y, axis=1, reverse=True),
    "diag": lambda f: f(X[0]),
    "var": lambda f: f(X, axis=0, correction=1.0),
    "vector_norm": lambda f: f(X, axis=1, ord=3),
    "gelu": lambda f: f(Y, approximate="tanh"),
    "isin": lambda f: f(ROWS, ROWS[:2]),
    "searchsorted": lambda f: f(np.sort(X[0]), Y[0]),
}
#: whose elements are not defined, that take a key, or whose shape the data decide (they have tests of their own)
OTHERWISE = {n for n, c in COMPOSITES.items() if n.startswith("empty") or c.family == "random"} | {
    "nonzero"}  # its result has as many rows as the data say: not for compiled code


def arrays(result):
    parts = result if isinstance(result, (tuple, list)) else (result,)
    return [np.asarray(p) for p in parts]


@pytest.mark.parametrize("name", sorted(set(COMPOSITES) - OTHERWISE))
def test_three_ways_to_run(name):
    function = COMPOSITES[name].function
    call = CALLS.get(name, lambda f: f(X))

    def program():
        return call(function)

    evaluated = arrays(px.jit(program, compiler="evaluator", backend="numpy")())
    compiled = arrays(px.jit(program, **generated.QUICK)())
    eager = arrays(program())
    assert len(evaluated) == len(compiled) == len(eager)
    for expected, *others in zip(evaluated, compiled, eager, strict=True):
        exact = not dtypes.dtype_of(expected.dtype).is_inexact
        for actual in others:
            assert (actual.dtype, actual.shape) == (expected.dtype, expected.shape)
            np.testing.assert_allclose(actual, expected, rtol=0 if exact else 2e-6, atol=0 if exact else 1e-6)
