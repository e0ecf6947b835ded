"""Windows and convolutions: sizes, layouts, groups, gradients and errors, against loops over windows in NumPy."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import phalanx as px

Array = np.ndarray[Any, Any]


def draw(*shape: int, seed: int = 0, dtype: Any = np.float64) -> Array:
    return np.random.default_rng([seed, *shape]).normal(size=shape).astype(dtype)


def reference(x: Array, kernel: Array, strides: int, around: int, dilation: int, groups: int) -> Array:
    """A convolution over two axes, (batch, channels, rows, columns), one window after the other."""
    x = np.pad(x, ((0, 0), (0, 0), (around, around), (around, around)))
    (high, wide), features = kernel.shape[2:], kernel.shape[0] // groups
    spans = [(n - 1) * dilation + 1 for n in (high, wide)]
    rows, columns = ((size - span) // strides + 1 for size, span in zip(x.shape[2:], spans, strict=True))
    out = np.zeros((x.shape[0], kernel.shape[0], rows, columns), x.dtype)
    for i, j, f in itertools.product(range(rows), range(columns), range(kernel.shape[0])):
        first = f // features * kernel.shape[1]
        top, left = i * strides, j * strides
        window = x[:, first:first + kernel.shape[1], top:top + spans[0]:dilation, left:left + spans[1]:dilation]
        out[:, f, i, j] = np.sum(window * kernel[f], axis=(1, 2, 3))
    return out


CASES = [  # batch, channels, rows, columns, features, window, strides, padding, dilation, groups
    (2, 3, 9, 8, 4, 3, 1, 1, 1, 1), (2, 4, 9, 8, 6, 3, 2, 1, 1, 2), (1, 4, 12, 11, 4, 3, 1, 2, 2, 4),
    (2, 3, 7, 7, 5, 1, 2, 0, 1, 1), (2, 3, 10, 10, 5, 5, 3, 2, 1, 1), (1, 20, 17, 19, 40, 3, 1, 1, 1, 1),
    (3, 33, 6, 7, 35, 3, 2, 1, 1, 1), (0, 3, 5, 5, 2, 3, 1, 1, 1, 1), (2, 16, 8, 8, 48, 2, 1, 0, 3, 1),
]
LAYOUTS = [
    ((0, 1, 2, 3), (0, 1, 2, 3)), ((0, 3, 1, 2), (3, 2, 0, 1)), ((3, 0, 1, 2), (0, 3, 1, 2)), ((0, 1, 2, 3), (1, 0, 2, 3)),
]


def placed(x: Array, permutation: tuple[int, ...]) -> Array:
    """Axes moved to where the permutation says they stand."""
    return np.ascontiguousarray(np.transpose(x, np.argsort(permutation)))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("images", "kernels"), LAYOUTS)
def test_conv(case: tuple[int, ...], images: tuple[int, ...], kernels: tuple[int, ...]) -> None:
    batch, channels, rows, columns, features, window, strides, around, dilation, groups = case
    x, kernel = draw(batch, channels, rows, columns), draw(features, channels // groups, window, window, seed=1)
    wanted = reference(x, kernel, strides, around, dilation, groups)

    def f(x: Any, kernel: Any) -> Any:
        return px.conv(x, kernel, strides=strides, padding=around, kernel_dilation=dilation, feature_group_size=groups,
                       input_permutation=images, kernel_permutation=kernels, output_permutation=images)

    operands = placed(x, images), placed(kernel, kernels)
    shown = placed(wanted, images)
    for compute in (f, px.jit(f)):
        np.testing.assert_allclose(compute(*operands).numpy(), shown, atol=1e-9)
    bias = np.arange(float(features)) if images[1] == 3 else 1.0
    followed = px.jit(lambda x, kernel: px.relu(f(x, kernel) + bias))
    np.testing.assert_allclose(followed(*operands).numpy(), np.maximum(shown + bias, 0.0), atol=1e-9)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("images", "kernels"), LAYOUTS[:2])
def test_gradients(case: tuple[int, ...], images: tuple[int, ...], kernels: tuple[int, ...]) -> None:
    """A convolution is linear in both operands: <ct, conv(dx, k)> = <grad, dx>, and the same for the kernel."""
    batch, channels, rows, columns, features, window, strides, around, dilation, groups = case
    x, kernel = draw(batch, channels, rows, columns), draw(features, channels // groups, window, window, seed=1)
    dx, dk = draw(*x.shape, seed=2), draw(*kernel.shape, seed=3)
    ct = draw(*reference(x, kernel, strides, around, dilation, groups).shape, seed=4)

    def f(x: Any, kernel: Any) -> Any:
        found = px.conv(x, kernel, strides=strides, padding=around, kernel_dilation=dilation, feature_group_size=groups,
                        input_permutation=images, kernel_permutation=kernels, output_permutation=images)
        return px.sum(found * placed(ct, images))

    by_x, by_kernel = px.jit(px.grad(f, argnums=(0, 1)))(placed(x, images), placed(kernel, kernels))
    along_x = np.sum(ct * reference(dx, kernel, strides, around, dilation, groups))
    along_kernel = np.sum(ct * reference(x, dk, strides, around, dilation, groups))
    np.testing.assert_allclose(np.sum(by_x.numpy() * placed(dx, images)), along_x, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(np.sum(by_kernel.numpy() * placed(dk, kernels)), along_kernel, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int32, np.int8])
def test_dtypes(dtype: Any) -> None:
    x, kernel = (draw(2, 3, 8, 8) * 3).astype(dtype), (draw(4, 3, 3, 3, seed=1) * 3).astype(dtype)
    with np.errstate(over="ignore"):
        wide = np.int64 if dtype in (np.int32, np.int8) else np.float64
        wanted = reference(x.astype(wide), kernel, 1, 0, 1, 1).astype(dtype)
    found = px.jit(px.conv)(x, kernel)
    assert found.numpy().dtype == dtype
    np.testing.assert_allclose(found.numpy().astype(np.float64), wanted.astype(np.float64), rtol=3e-3, atol=0.05)


def test_one_and_three_axes_of_space() -> None:
    x, kernel = draw(2, 3, 9), draw(4, 3, 2, seed=1)
    wanted = reference(x[:, :, None], kernel[:, :, None], 1, 0, 1, 1)[:, :, 0]
    np.testing.assert_allclose(px.jit(px.conv)(x, kernel).numpy(), wanted, atol=1e-9)
    volume, cube = draw(1, 2, 4, 5, 6), draw(3, 2, 2, 3, 2, seed=1)
    pieces = np.lib.stride_tricks.sliding_window_view(volume, cube.shape[2:], axis=(2, 3, 4))
    wanted = np.einsum("bcxyzijk,ocijk->boxyz", pieces, cube)
    np.testing.assert_allclose(px.jit(px.conv)(volume, cube).numpy(), wanted, atol=1e-9)


def test_padding_and_input_dilation() -> None:
    x, kernel = draw(1, 2, 5, 6), draw(3, 2, 3, 3, seed=1)
    assert px.conv(x, kernel, padding="same", strides=2).shape == (1, 3, 3, 3)
    padded = np.pad(x, ((0, 0), (0, 0), (1, 0), (2, 1)))
    np.testing.assert_allclose(px.conv(x, kernel, padding=[(1, 0), (2, 1)]).numpy(), reference(padded, kernel, 1, 0, 1, 1))
    spread = np.zeros((1, 2, 9, 11))
    spread[:, :, ::2, ::2] = x
    found = px.jit(lambda x, k: px.conv(x, k, input_dilation=2, padding=1))(x, kernel)
    np.testing.assert_allclose(found.numpy(), reference(spread, kernel, 1, 1, 1, 1), atol=1e-9)


def test_batch_groups() -> None:
    x, kernel = draw(4, 3, 6, 6), draw(6, 3, 3, 3, seed=1)
    parts = [reference(part, k, 1, 0, 1, 1) for part, k in zip(np.split(x, 2), np.split(kernel, 2), strict=True)]
    np.testing.assert_allclose(px.jit(lambda x, k: px.conv(x, k, batch_group_size=2))(x, kernel).numpy(),
                               np.concatenate(parts, axis=1), atol=1e-9)


def test_named_sizes() -> None:
    f = px.jit(lambda x, k: px.conv(x, k, padding=1)).compile("f64[n,3,h,w]", "f64[4,3,3,3]")
    for batch, rows, columns in ((2, 7, 9), (1, 4, 3), (0, 5, 5)):
        x, kernel = draw(batch, 3, rows, columns), draw(4, 3, 3, 3, seed=1)
        np.testing.assert_allclose(f(x, kernel).numpy(), reference(x, kernel, 1, 1, 1, 1), atol=1e-9)


def test_vmap() -> None:
    x, kernels = draw(2, 1, 3, 6, 6), draw(2, 4, 3, 3, 3, seed=1)
    wanted = np.stack([reference(a, b, 1, 0, 1, 1) for a, b in zip(x, kernels, strict=True)])
    np.testing.assert_allclose(px.jit(px.vmap(px.conv))(x, kernels).numpy(), wanted, atol=1e-9)
    shared = np.stack([reference(a, kernels[0], 1, 0, 1, 1) for a in x])
    np.testing.assert_allclose(px.vmap(px.conv, in_axes=(0, None))(x, kernels[0]).numpy(), shared, atol=1e-9)


def test_windows_reach_and_overlap() -> None:
    x = np.arange(7.0)
    np.testing.assert_array_equal(px.windows(x, 3, strides=2).numpy(), [[0, 1, 2], [2, 3, 4], [4, 5, 6]])
    np.testing.assert_array_equal(px.jit(lambda x: px.windows(x, 3, dilations=3))(x).numpy(), [[0, 3, 6]])
    gradient = px.jit(px.grad(lambda x: px.sum(px.windows(x, 3, strides=2) ** 2)))(x).numpy()
    np.testing.assert_array_equal(gradient, 2 * x * [1, 1, 2, 1, 2, 1, 1])
    side_by_side = px.jit(px.grad(lambda x: px.sum(px.windows(x, 2, strides=2) ** 2)))(x).numpy()
    np.testing.assert_array_equal(side_by_side, 2 * x * [1, 1, 1, 1, 1, 1, 0])


@pytest.mark.parametrize("axes", [(1, 0), [-1, -3], (2, 0, 1)])
def test_axes_of_windows_come_in_their_own_order(axes: Any) -> None:
    """Sizes, strides and dilations belong to the axes as they are listed, and so do the axes of the result."""
    x, sizes, strides = draw(6, 7, 8), (2, 3, 4)[:len(axes)], (1, 2, 3)[:len(axes)]
    whole = np.lib.stride_tricks.sliding_window_view(x, sizes, axes)
    step = [slice(None)] * x.ndim
    for axis, stride in zip(axes, strides, strict=True):
        step[axis] = slice(None, None, stride)
    wanted, weights = whole[tuple(step)], draw(*whole[tuple(step)].shape, seed=1)

    def seen(x: Any) -> Any:
        return px.windows(x, sizes, axes=axes, strides=strides)

    np.testing.assert_array_equal(seen(x).numpy(), wanted)
    np.testing.assert_array_equal(px.jit(seen)(x).numpy(), wanted)
    slope = px.jit(px.grad(lambda x: px.sum(seen(x) * weights)))(x).numpy()
    other = draw(*x.shape, seed=2)
    np.testing.assert_allclose((slope * other).sum(), (seen(other).numpy() * weights).sum(), atol=1e-9)
    np.testing.assert_array_equal(px.vmap(seen)(np.stack([x, -x])).numpy(), np.stack([wanted, -wanted]))


@pytest.mark.parametrize(("size", "stride", "dilation"), [(1, 1, 1), (1, 2, 1), (1, 3, 2), (2, 2, 1), (3, 2, 2)])
def test_gradients_of_convolutions_of_named_sizes(size: int, stride: int, dilation: int) -> None:
    def loss(x: Any, k: Any) -> Any:
        return px.sum(px.conv(x, k, strides=stride, kernel_dilation=dilation) ** 2)

    kernel = draw(4, 2, size, seed=1)
    named = px.jit(px.grad(loss, argnums=(0, 1))).compile("f64[n,2,h]", f"f64[4,2,{size}]")
    for batch, length in ((2, 9), (1, 5), (3, 10), (2, 11), (0, 6)):
        x = draw(batch, 2, length)
        for found, wanted in zip(named(x, kernel), px.grad(loss, argnums=(0, 1))(x, kernel), strict=True):
            np.testing.assert_allclose(found.numpy(), wanted.numpy(), atol=1e-9)


@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda: px.windows(np.zeros(3), 4), px.ShapeError, "longer than axis 0"),
    (lambda: px.windows(np.zeros((3, 3)), (1, 2, 3)), px.ArgumentError, "one of sizes per axis"),
    (lambda: px.windows(np.zeros(3), 2, strides=0), px.ArgumentError, "at least 1"),
    (lambda: px.conv(np.zeros((1, 2, 3, 3)), np.zeros((1, 2, 4, 4))), px.ShapeError, "longer than axis 2"),
    (lambda: px.conv(np.zeros((1, 2, 3, 3)), np.zeros((1, 3, 2, 2))), px.ShapeError, "sizes of one loop differ"),
    (lambda: px.conv(np.zeros((1, 2, 3)), np.zeros((1, 2, 3, 3))), px.ShapeError, "needs .batch"),
    (lambda: px.conv(np.zeros((1, 2, 3)), np.zeros((1, 2, 3)), padding="full"), px.ArgumentError, "padding is"),
    (lambda: px.conv(np.zeros((1, 3, 3)), np.zeros((4, 3, 3)), feature_group_size=2), px.ShapeError, "do not fall into 2"),
    (lambda: px.conv(np.zeros((1, 3, 3)), np.zeros((4, 3, 3)), input_permutation=(0, 0, 1)), px.ArgumentError, "names each"),
])
def test_errors(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
