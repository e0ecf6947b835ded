"""Shape ops: named sizes, views in the lowering, edges, errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import phalanx as px

T = np.arange(24.0).reshape(2, 3, 4)


@pytest.fixture(autouse=True)
def evaluator() -> Any:
    with px.use_backend("numpy"), px.options(compiler="evaluator"):
        yield


def same(found: Any, expected: Any) -> None:
    found = found.numpy()
    assert found.shape == np.shape(expected)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(("found", "expected"), [
    (lambda: px.reshape(T, (4, -1)), T.reshape(4, -1)),
    (lambda: px.reshape(T, 24), T.reshape(24)),
    (lambda: px.asarray(T).reshape(3, 8), T.reshape(3, 8)),
    (lambda: px.transpose(T), T.T),
    (lambda: px.transpose(T, (1, -1, 0)), T.transpose(1, 2, 0)),
    (lambda: px.asarray(T).mT, np.matrix_transpose(T)),
    (lambda: px.squeeze(T[:, None, :, :1]), T[:, :, 0]),
    (lambda: px.expand_dims(T, axis=(0, -1)), T[None, ..., None]),
    (lambda: px.moveaxis(T, [0, 1], [-1, 0]), np.moveaxis(T, [0, 1], [-1, 0])),
    (lambda: px.stack([T, T], axis=-1), np.stack([T, T], -1)),
    (lambda: px.concat([T, T], axis=None), np.concatenate([T, T], None)),
    (lambda: px.tile(T, (2, 2, 1, 3)), np.tile(T, (2, 2, 1, 3))),
    (lambda: px.repeat(T, [1, 0, 2], axis=1), np.repeat(T, [1, 0, 2], 1)),
    (lambda: px.roll(T, (1, -1), axis=(0, 2)), np.roll(T, (1, -1), (0, 2))),
    (lambda: px.roll(T, -5), np.roll(T, -5)),
    (lambda: px.roll(T, (2, -1), (1, 2)), np.roll(T, (2, -1), (1, 2))),
    (lambda: px.rot90(T, 3, (2, 0)), np.rot90(T, 3, (2, 0))),
    (lambda: px.flip(T, axis=(0, 2)), np.flip(T, (0, 2))),
    (lambda: px.split(T, [1, -1], axis=2)[1], T[..., 1:3]),
    (lambda: px.meshgrid(T[0, 0], T[0, :, 0])[1], np.meshgrid(T[0, 0], T[0, :, 0])[1]),
])
def test_as_numpy(found: Any, expected: Any) -> None:
    same(found(), expected)


def test_many_tensors_are_joined_in_groups() -> None:
    parts = [np.full((i % 3, 2), i) for i in range(40)]
    same(px.concat(parts), np.concatenate(parts))
    same(px.jit(lambda *xs: px.concat(xs))(*parts), np.concatenate(parts))


def test_padding_crops_after_the_interior_is_put_in() -> None:
    same(px.pad([1.0, 2.0, 3.0], 9.0, [(-1, 2, 1)]), [9, 2, 9, 3, 9, 9])
    same(px.pad([1.0, 2.0, 3.0], 9.0, [(-5, 4, 1)]), [9, 9, 9, 9])


def test_run_time_slices_are_moved_inside() -> None:
    same(px.dynamic_slice(T, [5, -3, px.asarray(2)], (1, 2, 2)), T[1:2, 0:2, 2:4])
    same(px.dynamic_update_slice([0, 0, 0, 0], [7, 8], [np.uint64(2**63)]), [0, 0, 7, 8])


@pytest.mark.parametrize(("function", "expected"), [
    (lambda x: px.reshape(x, (-1,)), lambda x: x.reshape(-1)),
    (lambda x: px.reshape(x, (2, -1)), lambda x: x.reshape(2, -1)),
    (lambda x: x[1:-1:2], lambda x: x[1:-1:2]),
    (lambda x: x[:3], lambda x: x[:3]),
    (lambda x: x[::-2], lambda x: x[::-2]),
    (lambda x: px.roll(x, 2, axis=0), lambda x: np.roll(x, 2, 0)),
    (lambda x: px.concat([x, x[:1]]), lambda x: np.concatenate([x, x[:1]])),
    (lambda x: px.pad(x, 1.0, [(-1, 2, 0), (0, 0, 1)])[:, ::2],
     lambda x: np.pad(x[1:], [(0, 2), (0, 0)], constant_values=1)),
    (lambda x: px.tile(x, (2, 1)), lambda x: np.tile(x, (2, 1))),
])
@pytest.mark.parametrize("size", [2, 5])
def test_named_sizes(function: Any, expected: Any, size: int) -> None:
    x = np.arange(size * 4.0).reshape(size, 4)
    same(px.compile(function, px.spec("f64[n,4]"))(x), expected(x))


@pytest.mark.parametrize(("call", "message"), [
    (lambda: px.reshape(T, (5, -1)), r"reshape: 24 elements do not divide into \[5,-1\]"),
    (lambda: px.reshape(T, (-1, -1)), r"reshape: only one size can be -1"),
    (lambda: px.reshape(T, (2, 3)), r"reshape: the number of elements differs, got f64\[2,3,4\] and shape \[2,3\]"),
    (lambda: px.reshape(T, (-24, -1)), r"reshape: a size cannot be negative, got -24"),
    (lambda: px.transpose(T, (0, 0, 1)), r"transpose: axes must name each axis of f64\[2,3,4\] once"),
    (lambda: px.transpose(T, (0, 1, 3)), r"transpose: axis 3 is out of range for a tensor of rank 3"),
    (lambda: px.broadcast_to(T, (2, 3, 5)), r"broadcast: f64\[2,3,4\] does not fit \[2,3,5\]"),
    (lambda: px.concat([T, T[:, :2]]), r"concatenate: sizes differ outside axis 0"),
    (lambda: px.stack([]), r"stack: needs at least one tensor"),
    (lambda: px.slice(T[0, 0], (3,), (2,)), r"slice: needs 0 <= start <= limit <= size, got 3:2"),
    (lambda: px.dynamic_slice(T[0, 0], [0], (9,)), r"dynamic_slice: the window is larger than the tensor"),
    (lambda: px.pad(T[0, 0], 0.0, [(-3, -2)]), r"pad: crops more than there is"),
    (lambda: px.squeeze(T, axis=0), r"squeeze: axis 0 has size 2, not 1"),
    (lambda: px.split(T, 3, axis=2), r"split: 4 elements do not divide into 3 equal parts"),
    (lambda: px.compile(lambda x: px.reshape(x, (-1, 2)), px.spec("f32[n]")), r"n elements do not divide"),
])
def test_errors(call: Any, message: str) -> None:
    with pytest.raises(px.ShapeError, match=message):
        call()


def linalg(function: Any, *specs: str) -> str:
    from phalanx.compiler.passes.convert_px_to_linalg import convert_px_to_linalg

    traced = px.defn(function).trace(*specs)
    with traced.module.context:
        convert_px_to_linalg(traced.module)
        assert traced.module.operation.verify()
        return str(traced.module)


def test_a_reshape_splits_and_joins_only_what_it_must() -> None:
    text = linalg(lambda x: px.reshape(x, (2, 12, 5, 1)), "f32[2,3,4,5]")
    assert "collapse_shape" in text
    assert "[[0], [1, 2], [3]]" in text
    assert "[[0], [1], [2, 3]]" in text
    assert "collapse" not in linalg(lambda x: px.expand_dims(x, axis=1), "f32[3,n]")


def test_equal_shapes_cost_nothing() -> None:
    text = linalg(lambda x: px.reshape(px.flip(px.slice(x, (0,), (4,)), axis=()), (4,)), "f32[4]")
    assert "linalg" not in text
    assert "tensor." not in text
