"""Conversions at the edges of ranges, single rounding, bits, and gradients that stop."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

import phalanx as px

COMPILERS = ["evaluator", "mlir"]
INTEGERS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]


def converted(x: Any, dtype: Any, compiler: str) -> np.ndarray[Any, Any]:
    found: np.ndarray[Any, Any] = px.jit(lambda a: px.astype(a, dtype), compiler=compiler)(px.asarray(x)).numpy()
    return found


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("source", [np.float16, ml_dtypes.bfloat16, np.float32, np.float64])
def test_floats_saturate(source: Any, dtype: str, compiler: str) -> None:
    info = np.iinfo(dtype)
    edges = [float(info.min), float(info.max), 2.0 * float(info.max), -2.0 * float(info.max)]
    with np.errstate(over="ignore"):
        x = np.array([*edges, 1.9, -1.9, -0.5, np.nan, np.inf, -np.inf], source)
    expected = []
    for value in x.astype(np.float64):
        if np.isnan(value):
            expected.append(0)
        elif np.isinf(value):
            expected.append(info.max if value > 0 else info.min)
        else:
            expected.append(min(max(int(value), info.min), info.max))
    np.testing.assert_array_equal(converted(x, dtype, compiler), np.array(expected, dtype))


@pytest.mark.parametrize("compiler", COMPILERS)
def test_integers_wrap(compiler: str) -> None:
    assert converted(np.int32([-1, 256, 511]), "uint8", compiler).tolist() == [255, 0, 255]
    assert converted(np.uint32([2**32 - 1]), "int32", compiler).tolist() == [-1]
    assert converted(np.int8([-1]), "uint64", compiler).tolist() == [2**64 - 1]


@pytest.mark.parametrize("compiler", COMPILERS)
def test_bools(compiler: str) -> None:
    assert converted(np.float32([0.0, -0.0, 0.1, np.nan]), "bool", compiler).tolist() == [False, False, True, True]
    assert converted(np.array([True, False]), "float16", compiler).tolist() == [1, 0]
    assert converted(np.array([True, False]), "int8", compiler).tolist() == [1, 0]


@pytest.mark.parametrize("compiler", COMPILERS)
def test_float64_is_rounded_to_float16_once(compiler: str) -> None:
    # In float32 the first lies halfway between two float16, where it would be rounded down a second time.
    x = np.float64([1 + 2**-11 + 2**-40, 1 + 2**-11, -1 - 2**-11 - 2**-40, 65520 - 1e-9, 65520, 1e-300, np.inf])
    np.testing.assert_array_equal(converted(x, "float16", compiler), [1 + 2**-10, 1, -1 - 2**-10, 65504, np.inf, 0, np.inf])


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize(("source", "target"), [("float32", "uint32"), ("int64", "float64"), ("int8", "uint8"),
                                                ("float16", "int16"), ("bfloat16", "uint16")])
def test_bitcast_there_and_back(source: str, target: str, compiler: str) -> None:
    x = np.array([0, 1, 2, 100], px.dtype(source).numpy)
    function = px.jit(lambda a: (px.bitcast(a, target), px.bitcast(px.bitcast(a, target), source)), compiler=compiler)
    bits, back = (t.numpy() for t in function(px.asarray(x)))
    np.testing.assert_array_equal(bits, x.view(px.dtype(target).numpy))
    np.testing.assert_array_equal(back, x)


def test_bitcast_refuses_other_widths() -> None:
    with pytest.raises(px.DTypeError, match="bitcast: float32 cannot be read as int64") as caught:
        px.bitcast(px.asarray([1.0]), px.int64)
    assert "int32, uint32, float32" in str(caught.value)


def test_stop_gradient() -> None:
    assert px.grad(lambda x: px.stop_gradient(x) * x)(px.asarray(3.0)).numpy() == 3


def test_gradient_keeps_the_dtype_of_the_argument() -> None:
    found = px.grad(lambda x: px.sum(x.astype(px.float64) * 2))(px.asarray([1.0, 2.0]))
    assert found.dtype is px.float32
    assert found.numpy().tolist() == [2, 2]


def test_astype_to_the_same_dtype_is_the_tensor_itself() -> None:
    x = px.asarray([1.0])
    assert x.astype(px.float32) is x
