"""px-canonicalize, px-cse and px-dce change no value: NaN, infinities, -0.0 and the ends of integer ranges included."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from mlir import ir

from phalanx.compiler.context import context
from phalanx.compiler.evaluator import Program
from phalanx.compiler.pipeline.instruments import count_operations
from phalanx.compiler.pipeline.run import run
from phalanx.dialects import dtypes
from phalanx.runtime.backends import get_backend

FLOATS = (dtypes.float16, dtypes.bfloat16, dtypes.float32, dtypes.float64)
NUMBERS = (*FLOATS, dtypes.int8, dtypes.int32, dtypes.uint8, dtypes.uint64)


def values(dtype):
    """The values where a wrong rewrite shows."""
    if dtype.is_bool:
        return np.array([False, True] * 4)
    if dtype.is_float:
        tiny = {16: 6e-8, 32: 1e-45, 64: 5e-324}[dtype.bits]
        return np.array([0.0, -0.0, np.nan, np.inf, -np.inf, 1.5, -2.25, tiny]).astype(dtype.numpy)
    info = np.iinfo(dtype.numpy)
    return np.array([0, 1, 2, 3, info.max, info.min, info.max // 2, 7], dtype.numpy)


def constant(value, dtype):
    """A px.constant of rank 0."""
    if dtype.is_float:
        bits = np.array(value, dtype.numpy).view(f"u{dtype.itemsize}")
        text = f"0x{int(bits):0{dtype.itemsize * 2}X}"
    else:
        text = str(value).lower()
    kind = f"tensor<{dtype.element}>"
    return f'"px.constant"() {{value = dense<{text}> : {kind}}} : () -> {kind}'


def tensor(dtype):
    return f"tensor<8x{dtype.element}>"


def function(lines, result, argument):
    body = "\n".join(f"  {line}" for line in lines)
    return f"func.func @main(%x: {tensor(argument)}) -> {tensor(result)} {{\n{body}\n}}"


def evaluate(module, array):
    (result,) = Program(module).run(get_backend("numpy"), [array])
    return np.asarray(result)


def same(left, right):
    """Bit for bit, except that any NaN is as good as another."""
    if left.dtype != right.dtype or left.shape != right.shape:
        return False
    if left.dtype.kind in "fV":
        a, b = left.astype(np.float64), right.astype(np.float64)
        return bool(np.array_equal(a, b, equal_nan=True) and np.array_equal(np.signbit(a)[~np.isnan(a)],
                                                                            np.signbit(b)[~np.isnan(b)]))
    return left.tobytes() == right.tobytes()


def check(text, argument):
    """Run with and without the passes; returns how many operations they removed."""
    with context():
        module = ir.Module.parse(text)
        with np.errstate(all="ignore"):
            before = evaluate(module, values(argument))
            count = count_operations(module)
            run(module, "px-verify,px-canonicalize,px-cse,px-dce,px-verify", reproducer=False)
            after = evaluate(module, values(argument))
        assert same(before, after), f"{text}\nbecame\n{module}\n{before} became {after}"
        return count - count_operations(module)


def binary(name, dtype, value, *, first):
    operands = ("%c, %x", f"tensor<{dtype.element}>, {tensor(dtype)}") if first else (
        "%x, %c", f"{tensor(dtype)}, tensor<{dtype.element}>")
    return function([f"%c = {constant(value, dtype)}",
                     f'%0 = "px.{name}"({operands[0]}) : ({operands[1]}) -> {tensor(dtype)}',
                     f"return %0 : {tensor(dtype)}"], dtype, dtype)


ARITHMETIC = {
    "add": NUMBERS, "subtract": NUMBERS, "multiply": NUMBERS, "divide": FLOATS, "power": FLOATS,
    "maximum": NUMBERS, "minimum": NUMBERS,
    "bitwise_and": NUMBERS[4:], "bitwise_or": NUMBERS[4:], "bitwise_xor": NUMBERS[4:],
    "bitwise_left_shift": NUMBERS[4:], "bitwise_right_shift": NUMBERS[4:],
}


@pytest.mark.parametrize(("name", "dtype"), [(n, d) for n, allowed in ARITHMETIC.items() for d in allowed], ids=str)
def test_an_operation_with_a_constant(name, dtype):
    constants = [0.0, -0.0, 1.0, -1.0, np.nan, np.inf] if dtype.is_float else [0, 1, np.iinfo(dtype.numpy).max]
    if dtype.kind == "i":
        constants.append(-1)
    if "shift" in name:
        constants = [0, 1]
    removed = [check(binary(name, dtype, value, first=first), dtype)
               for value in constants for first in (False, True) if not (first and "shift" in name)]
    if name not in ("maximum", "minimum"):
        assert any(removed), "no rule has fired: the test tests nothing"


@pytest.mark.parametrize("name", ["logical_and", "logical_or", "logical_xor"])
def test_logic_with_a_constant(name):
    removed = [check(binary(name, dtypes.bool_, value, first=first), dtypes.bool_)
               for value in (True, False) for first in (True, False)]
    assert any(removed)


UNARY = ("negative", "positive", "abs", "floor", "ceil", "trunc", "round", "stop_gradient")


@pytest.mark.parametrize("dtype", NUMBERS, ids=str)
def test_one_function_of_another(dtype):
    kind = tensor(dtype)
    removed = 0
    for outer, inner in itertools.product(UNARY, UNARY):
        removed += check(function([f'%0 = "px.{inner}"(%x) : ({kind}) -> {kind}',
                                   f'%1 = "px.{outer}"(%0) : ({kind}) -> {kind}', f"return %1 : {kind}"], dtype, dtype),
                         dtype)
    assert removed > len(UNARY)


@pytest.mark.parametrize("dtype", dtypes.ALL, ids=str)
def test_a_stay_in_every_dtype(dtype):
    for other in dtypes.ALL:
        text = function([
            f'%0 = "px.convert"(%x) {{dtype = {other.element}}} : ({tensor(dtype)}) -> {tensor(other)}',
            f'%1 = "px.convert"(%0) {{dtype = {dtype.element}}} : ({tensor(other)}) -> {tensor(dtype)}',
            f"return %1 : {tensor(dtype)}"], dtype, dtype)
        removed = check(text, dtype)
        assert removed >= 2 or other is not dtype


@pytest.mark.parametrize("dtype", [dtypes.float32, dtypes.int32, dtypes.bool_], ids=str)
def test_equal_operands(dtype):
    names = ["logical_and", "logical_or"] if dtype.is_bool else ["maximum", "minimum"]
    if dtype.is_integer:
        names += ["bitwise_and", "bitwise_or"]
    for name in names:
        kind = tensor(dtype)
        text = function([f'%0 = "px.{name}"(%x, %x) : ({kind}, {kind}) -> {kind}', f"return %0 : {kind}"], dtype, dtype)
        assert check(text, dtype) == 1


def test_moves():
    kind = "tensor<8xf32>"
    lines = [
        f'%0 = "px.reshape"(%x) {{shape = array<i64: 2, 4>}} : ({kind}) -> tensor<2x4xf32>',
        '%1 = "px.transpose"(%0) {axes = array<i64: 1, 0>} : (tensor<2x4xf32>) -> tensor<4x2xf32>',
        '%2 = "px.reverse"(%1) {axes = array<i64: 1>} : (tensor<4x2xf32>) -> tensor<4x2xf32>',
        '%3 = "px.reverse"(%2) {axes = array<i64: 1>} : (tensor<4x2xf32>) -> tensor<4x2xf32>',
        '%4 = "px.transpose"(%3) {axes = array<i64: 1, 0>} : (tensor<4x2xf32>) -> tensor<2x4xf32>',
        f'%5 = "px.reshape"(%4) {{shape = array<i64: 8>}} : (tensor<2x4xf32>) -> {kind}',
        f"return %5 : {kind}",
    ]
    assert check(function(lines, dtypes.float32, dtypes.float32), dtypes.float32) == 6


def test_moves_that_do_not_cancel():
    kind = "tensor<8xf32>"
    lines = [
        f'%0 = "px.reshape"(%x) {{shape = array<i64: 2, 2, 2>}} : ({kind}) -> tensor<2x2x2xf32>',
        '%1 = "px.transpose"(%0) {axes = array<i64: 1, 2, 0>} : (tensor<2x2x2xf32>) -> tensor<2x2x2xf32>',
        '%2 = "px.transpose"(%1) {axes = array<i64: 1, 2, 0>} : (tensor<2x2x2xf32>) -> tensor<2x2x2xf32>',
        '%3 = "px.reverse"(%2) {axes = array<i64: 1>} : (tensor<2x2x2xf32>) -> tensor<2x2x2xf32>',
        '%4 = "px.reverse"(%3) {axes = array<i64: 0, 1>} : (tensor<2x2x2xf32>) -> tensor<2x2x2xf32>',
        f'%5 = "px.reshape"(%4) {{shape = array<i64: 8>}} : (tensor<2x2x2xf32>) -> {kind}',
        f"return %5 : {kind}",
    ]
    assert check(function(lines, dtypes.float32, dtypes.float32), dtypes.float32) == 1
