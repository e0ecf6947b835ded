"""Products of few rows: register blocks of equal height, and the same numbers whatever the height."""

from __future__ import annotations

import numpy as np
import pytest

import phalanx as px
from phalanx.compiler.schedules.blocking import choose
from phalanx.compiler.targets.isa import isa

WIDE = "host+f32=12x32" if isa("host").vector_bits >= 512 else "host+f32=12x16"
HEIGHTS = [(1, 1), (2, 2), (8, 8), (12, 12), (13, 12), (14, 7), (16, 8), (20, 10), (24, 12), (40, 10), (100, 12), (300, 12)]


@pytest.mark.parametrize(("rows", "height"), HEIGHTS)
def test_height_of_a_register_block(rows, height):
    assert choose(isa("x86-64-v4"), "f32", (rows, 1024, 256), (256, 1), (1, 1024)).rows == height


@pytest.mark.parametrize("rows", [2, 3, 5, 11, 13, 14, 16, 18, 20, 23, 24])
@pytest.mark.parametrize("columns", [33, 100, 1024])
def test_numbers(rows, columns):
    rng = np.random.default_rng(rows)
    a, b, bias = (rng.integers(-9, 9, shape).astype(np.float32) for shape in ((rows, 300), (300, columns), (columns,)))
    found = px.jit(lambda x, y, z: px.maximum(x @ y + z, 0))(a, b, bias)
    np.testing.assert_array_equal(np.asarray(found), np.maximum(a @ b + bias, 0))


def test_a_named_number_of_rows():
    """What is left of a register block goes through groups of 4, 2 and 1."""
    rng = np.random.default_rng(3)
    b = rng.integers(-9, 9, (70, 45)).astype(np.float32)
    product = px.compile(lambda x, y: x @ y, "f32[rows,70]", "f32[70,45]")
    for rows in range(28):
        a = rng.integers(-9, 9, (rows, 70)).astype(np.float32)
        np.testing.assert_array_equal(np.asarray(product(a, b)), a @ b)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "int8", "int16"])
@pytest.mark.parametrize(("rows", "columns", "depth"), [(2, 32, 40), (3, 50, 7), (12, 65, 300), (24, 160, 33), (25, 64, 40)])
def test_narrow_matrices_are_widened_as_they_are_read(dtype, rows, columns, depth):
    rng = np.random.default_rng(columns)
    a, b = (rng.integers(-2, 3, shape).astype(np.float32) for shape in ((rows, depth), (depth, columns)))
    x, y = (px.asarray(value).astype(dtype) for value in (a, b))
    found = px.jit(lambda x, y: x @ y)(x, y).astype("float32")
    expected = px.asarray(a @ b).astype(dtype).astype("float32")  # sums that int8 has no room for wrap, bfloat16 rounds
    np.testing.assert_array_equal(np.asarray(found), np.asarray(expected) if dtype != "int8" else (a @ b).astype(np.int8))


@pytest.mark.parametrize(("rows", "packed"), [(12, "left operand packed"), (24, "left operand packed"),
                                              (25, "left and right operands packed")])
def test_few_rows_do_not_pack_a_narrow_matrix(rows, packed):
    with px.options(isa=WIDE):
        product = px.compile(lambda x, y: x @ y, f"f16[{rows},300]", "f16[300,64]")
    assert packed in str(product.explain())
