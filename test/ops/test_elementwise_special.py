"""Arithmetic where generated samples do not go: division by zero, wrapping, ties, signed zeros, higher derivatives."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

import phalanx as px

COMPILERS = ["evaluator", "mlir"]
FLOATS = np.array([0.0, -0.0, 1.0, -1.0, 0.5, 2.5, -2.5, 7.25, -7.25, 3.0, -3.0, 1e-7, 300.0, np.inf, -np.inf, np.nan])


def run(function: Any, *arrays: Any, compiler: str) -> np.ndarray[Any, Any]:
    found: np.ndarray[Any, Any] = px.jit(function, compiler=compiler)(*[px.asarray(a) for a in arrays]).numpy()
    return found


def pairs(values: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Every value against every other, contiguous."""
    x, y = np.meshgrid(values, values)
    return x.copy(), y.copy()


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("dtype", ["int8", "int32", "int64", "uint8", "uint64"])
def test_integer_division_never_traps(dtype: str, compiler: str) -> None:
    info = np.iinfo(dtype)
    values = np.array([info.min, info.min + 1, info.max, 0, 1, 2, 7, *([-1, -2, -7] if info.min else [])], dtype)
    x, y = pairs(values)
    with np.errstate(all="ignore"):
        expected = {"//": x // y, "%": x % y, "fmod": np.fmod(x, y)}
    np.testing.assert_array_equal(run(lambda a, b: a // b, x, y, compiler=compiler), expected["//"])
    np.testing.assert_array_equal(run(lambda a, b: a % b, x, y, compiler=compiler), expected["%"])
    np.testing.assert_array_equal(run(px.fmod, x, y, compiler=compiler), expected["fmod"])
    exact = [int(a) // int(b) if (a < 0) == (b < 0) else -(-int(a) // int(b)) if b else 0
             for a, b in zip(x.flat, y.flat, strict=True) if b]
    quotient = run(px.quotient, x, y, compiler=compiler)
    np.testing.assert_array_equal(quotient[y == 0], 0)
    np.testing.assert_array_equal(quotient[y != 0], np.array(exact, object).astype(np.uint64).astype(dtype)
                                  if info.min == 0 else np.array([_wrap(e, info.bits) for e in exact], dtype))


def _wrap(value: int, bits: int) -> int:
    return (value + (1 << (bits - 1))) % (1 << bits) - (1 << (bits - 1))


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32, np.float64])
def test_float_division_is_numpys_with_signed_zeros(dtype: Any, compiler: str) -> None:
    x, y = pairs(FLOATS.astype(dtype))
    for function, reference in [(px.floor_divide, np.floor_divide), (px.remainder, np.remainder), (px.fmod, np.fmod),
                                (px.maximum, np.maximum), (px.copysign, np.copysign)]:
        found = run(function, x, y, compiler=compiler).astype(np.float64)
        with np.errstate(all="ignore"):
            expected = reference(x, y).astype(np.float64)
        np.testing.assert_array_equal(found, expected, err_msg=str(function))
        if function is not px.maximum:  # IEEE leaves the sign of max(-0, 0) open
            numbers = ~np.isnan(expected)
            np.testing.assert_array_equal(np.signbit(found)[numbers], np.signbit(expected)[numbers])


@pytest.mark.parametrize("compiler", COMPILERS)
def test_floor_divide_is_exact_where_the_quotient_rounds_up(compiler: str) -> None:
    # 1 / 0.1 rounds to 10, but 0.1 as a float is above a tenth: the floor is 9.
    assert run(lambda x, y: x // y, np.float64([1.0]), np.float64([0.1]), compiler=compiler) == 9.0


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32, np.float64])
def test_nextafter_steps_one_unit(dtype: Any, compiler: str) -> None:
    x, y = pairs(FLOATS.astype(dtype))
    found = run(px.nextafter, x, y, compiler=compiler)
    expected = np.where(x == y, y, np.nextafter(x, y))
    np.testing.assert_array_equal(found.astype(np.float64), expected.astype(np.float64))


@pytest.mark.parametrize("compiler", COMPILERS)
def test_round_takes_halves_to_even(compiler: str) -> None:
    values = np.float32([0.5, 1.5, 2.5, -0.5, -1.5, 0.49999997, 8388609.0])
    np.testing.assert_array_equal(run(px.round, values, compiler=compiler), np.round(values))


def test_unsigned_integers_wrap() -> None:
    x = px.asarray(np.uint8([0, 1, 255]))
    np.testing.assert_array_equal((-x).numpy(), np.uint8([0, 255, 1]))
    np.testing.assert_array_equal((x - 2).numpy(), np.uint8([254, 255, 253]))


def test_operators_in_both_orders() -> None:
    x = px.asarray([1.0, 4.0])
    for found, expected in [(1 - x, [0, -3]), (x - 1, [0, 3]), (2 / x, [2, 0.5]), (9 // x, [9, 2]), (7 % x, [0, 3]),
                            (2**x, [2, 16]), (x**2, [1, 16]), (-x, [-1, -4]), (+x, [1, 4]), (abs(-x), [1, 4])]:
        np.testing.assert_allclose(found.numpy(), np.float32(expected), rtol=1e-6)


def test_integer_division_makes_floats() -> None:
    assert (px.asarray([1, 2]) / 2).dtype is px.float32
    assert (px.asarray(np.int64([1])) / 2).dtype is px.float32
    assert (px.asarray(np.float64([1])) / 2).dtype is px.float64


def test_bool_has_no_arithmetic() -> None:
    with pytest.raises(px.DTypeError, match="add: lhs cannot be bool"):
        px.add(px.asarray([True]), px.asarray([True]))


def test_ties_share_the_gradient() -> None:
    x, y = px.asarray([1.0, 2.0, 3.0]), px.asarray([1.0, 5.0, 0.0])
    by_x, by_y = px.grad(lambda a, b: px.sum(px.maximum(a, b)), argnums=(0, 1))(x, y)
    np.testing.assert_array_equal(by_x.numpy(), [0.5, 0, 1])
    np.testing.assert_array_equal(by_y.numpy(), [0.5, 1, 0])


def test_gradient_of_remainder_counts_the_quotient() -> None:
    by_x, by_y = px.grad(lambda a, b: px.sum(a % b), argnums=(0, 1))(px.asarray([7.5, -7.5]), px.asarray([2.0, 2.0]))
    np.testing.assert_array_equal(by_x.numpy(), [1, 1])
    np.testing.assert_array_equal(by_y.numpy(), [-3, 4])
