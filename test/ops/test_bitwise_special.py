"""Shifts by any amount, and bits of bools."""

from __future__ import annotations

import numpy as np
import pytest

import phalanx as px


@pytest.mark.parametrize("compiler", ["evaluator", "mlir"])
@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "uint64"])
def test_shifts_are_defined_for_every_amount(dtype: str, compiler: str) -> None:
    info = np.iinfo(dtype)
    values = np.array([info.min, info.max, 0, 1, 5, *([-1, -6] if info.min else [])], dtype)
    amounts = np.array([0, 1, info.bits - 1, info.bits, info.bits + 1, *([-1] if info.min else [])], dtype)
    x, amount = (a.copy() for a in np.meshgrid(values, amounts))
    left, right = px.jit(lambda a, b: (a << b, a >> b), compiler=compiler)(px.asarray(x), px.asarray(amount))
    for place in np.ndindex(x.shape):
        value, by = int(x[place]), int(amount[place])
        inside = 0 <= by < info.bits
        assert int(left.numpy()[place]) == int(np.array((value << by) % (1 << info.bits) if inside else 0,
                                                        np.uint64).astype(dtype))
        assert int(right.numpy()[place]) == (value >> by if inside else -1 if value < 0 else 0)


@pytest.mark.parametrize("compiler", ["evaluator", "mlir"])
def test_counts(compiler: str) -> None:
    x = np.int16([0, 1, -1, 256, -32768])
    ones, zeros = px.jit(lambda a: (px.population_count(a), px.count_leading_zeros(a)), compiler=compiler)(px.asarray(x))
    assert ones.numpy().tolist() == [0, 1, 16, 1, 1]
    assert zeros.numpy().tolist() == [16, 15, 0, 7, 0]
    assert ones.dtype is px.int16


def test_bools() -> None:
    x, y = px.asarray([True, True, False, False]), px.asarray([True, False, True, False])
    assert (x & y).numpy().tolist() == [True, False, False, False]
    assert (x | y).numpy().tolist() == [True, True, True, False]
    assert (x ^ y).numpy().tolist() == [False, True, True, False]
    assert (~x).numpy().tolist() == [False, False, True, True]
    assert (~x).dtype is px.bool
    with pytest.raises(px.DTypeError, match="bitwise_left_shift: x cannot be bool"):
        px.bitwise_left_shift(x, y)


def test_floats_have_no_bits() -> None:
    with pytest.raises(px.DTypeError, match="bitwise_and: lhs cannot be float32"):
        px.bitwise_and(px.asarray([1.0]), px.asarray([1.0]))
