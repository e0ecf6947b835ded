"""Models and numerical methods as their own authors write them: compiled, evaluated, differentiated, exported."""

from __future__ import annotations

import hashlib
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.integrate
import scipy.linalg
import scipy.signal
import scipy.sparse
from agreement import Array, agree, exported, slopes

import phalanx as px


def normal(*shape: int, seed: int = 0, dtype: Any = np.float64) -> Array:
    return np.random.default_rng(seed + sum(shape)).normal(size=shape).astype(dtype)


# Networks.


def windows(x: Any, size: int, step: int = 1) -> Any:
    """The patches of images (batch, height, width, channels): (batch, rows, columns, size, size, channels)."""
    rows, columns = ((extent - size) // step + 1 for extent in x.shape[1:3])
    along = px.stack([x[:, i:i + step * (rows - 1) + 1:step] for i in range(size)], axis=3)
    return px.stack([along[:, :, j:j + step * (columns - 1) + 1:step] for j in range(size)], axis=4)


def conv2d(x: Any, kernel: Any, bias: Any) -> Any:
    return px.einsum("nhwijc,ijcd->nhwd", windows(x, kernel.shape[0]), kernel) + bias


def max_pool(x: Any) -> Any:
    batch, rows, columns, channels = x.shape
    return px.max(px.reshape(x, (batch, rows // 2, 2, columns // 2, 2, channels)), axis=(2, 4))


def lenet(x: Any, weights: Any) -> Any:
    x = max_pool(px.relu(conv2d(x, weights["c1"], weights["b1"])))
    x = max_pool(px.relu(conv2d(x, weights["c2"], weights["b2"])))
    x = px.relu(px.reshape(x, (x.shape[0], -1)) @ weights["f1"])
    return px.log_softmax(x @ weights["f2"])


def lenet_weights(dtype: Any) -> dict[str, Array]:
    shapes = {"c1": (5, 5, 1, 6), "b1": (6,), "c2": (5, 5, 6, 16), "b2": (16,), "f1": (256, 20), "f2": (20, 10)}
    return {name: normal(*shape, dtype=dtype) / dtype(math.sqrt(math.prod(shape[:-1]))) for name, shape in shapes.items()}


def numpy_lenet(x: Array, weights: dict[str, Array]) -> Array:
    def layer(x: Array, kernel: Array, bias: Array) -> Array:
        patches = np.lib.stride_tricks.sliding_window_view(x, kernel.shape[:2], axis=(1, 2))
        x = np.maximum(np.einsum("nhwcij,ijcd->nhwd", patches, kernel) + bias, 0)
        return x.reshape(x.shape[0], x.shape[1] // 2, 2, x.shape[2] // 2, 2, -1).max(axis=(2, 4))

    x = layer(layer(x, weights["c1"], weights["b1"]), weights["c2"], weights["b2"])
    x = np.maximum(x.reshape(len(x), -1) @ weights["f1"], 0) @ weights["f2"]
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def test_lenet() -> None:
    x, weights = normal(3, 28, 28, 1, dtype=np.float32), lenet_weights(np.float32)
    agree(lenet, (x, weights), numpy_lenet(x, weights), tolerance=2e-5, eager=False)
    small, many = normal(1, 28, 28, 1), lenet_weights(np.float64)
    slopes(lambda c1, f1: px.mean(lenet(small, {**many, "c1": c1, "f1": f1})[:, 3]), (many["c1"], many["f1"]))


def layer_norm(x: Any, gain: Any, shift: Any) -> Any:
    centred = x - px.mean(x, axis=-1, keepdims=True)
    return centred / px.sqrt(px.mean(centred * centred, axis=-1, keepdims=True) + 1e-5) * gain + shift


def gpt_block(x: Any, w: Any, heads: int = 4) -> Any:
    """A block of GPT-2: attention that looks back only, then a network of two layers, both on normalised input."""
    length, width = x.shape
    q, k, v = px.split(layer_norm(x, w["g1"], w["s1"]) @ w["qkv"] + w["qkv_b"], 3, axis=-1)
    q, k, v = (px.transpose(px.reshape(t, (length, heads, width // heads)), (1, 0, 2)) for t in (q, k, v))
    scores = q @ px.matrix_transpose(k) / math.sqrt(width // heads)
    scores = px.where(px.tri(length, dtype=px.bool), scores, -1e10)
    mixed = px.reshape(px.transpose(px.softmax(scores) @ v, (1, 0, 2)), (length, width))
    x = x + mixed @ w["out"]
    return x + px.gelu(layer_norm(x, w["g2"], w["s2"]) @ w["up"], approximate="tanh") @ w["down"]


def gpt_weights(width: int, dtype: Any) -> dict[str, Array]:
    shapes = {"g1": (width,), "s1": (width,), "g2": (width,), "s2": (width,), "qkv": (width, 3 * width),
              "qkv_b": (3 * width,), "out": (width, width), "up": (width, 4 * width), "down": (4 * width, width)}
    return {name: normal(*shape, seed=place, dtype=dtype) / dtype(math.sqrt(width) if len(shape) > 1 else 1)
            for place, (name, shape) in enumerate(shapes.items())}


def numpy_gpt(x: Array, w: dict[str, Array], heads: int = 4) -> Array:
    def norm(x: Array, gain: Array, shift: Array) -> Array:
        return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5) * gain + shift

    length, width = x.shape
    q, k, v = (t.reshape(length, heads, -1).transpose(1, 0, 2)
               for t in np.split(norm(x, w["g1"], w["s1"]) @ w["qkv"] + w["qkv_b"], 3, axis=-1))
    scores = q @ k.transpose(0, 2, 1) / np.sqrt(width // heads)
    scores = np.where(np.tri(length, dtype=bool), scores, -1e10)
    scores = np.exp(scores - scores.max(-1, keepdims=True))
    x = x + ((scores / scores.sum(-1, keepdims=True)) @ v).transpose(1, 0, 2).reshape(length, width) @ w["out"]
    hidden = norm(x, w["g2"], w["s2"]) @ w["up"]
    return x + 0.5 * hidden * (1 + np.tanh(np.sqrt(2 / np.pi) * (hidden + 0.044715 * hidden**3))) @ w["down"]


@pytest.mark.parametrize(("length", "width"), [(1, 8), (17, 32), (64, 96)])
def test_gpt_block(length: int, width: int) -> None:
    x, weights = normal(length, width, dtype=np.float32), gpt_weights(width, np.float32)
    agree(gpt_block, (x, weights), numpy_gpt(x, weights), tolerance=5e-5, eager=False)


def test_gradients_of_a_gpt_block() -> None:
    weights = gpt_weights(8, np.float64)
    slopes(lambda x, qkv: px.sum(px.sin(gpt_block(x, {**weights, "qkv": qkv}))), (normal(5, 8), weights["qkv"]),
           tolerance=1e-4)


def gru(x: Any, h: Any, w: Any, u: Any) -> Any:
    def step(h: Any, x: Any) -> Any:
        zx, rx, nx = px.split(x @ w, 3)
        zh, rh, nh = px.split(h @ u, 3)
        update, reset = px.sigmoid(zx + zh), px.sigmoid(rx + rh)
        h = (1 - update) * px.tanh(nx + reset * nh) + update * h
        return h, h

    return px.scan(step, h, x)


def test_gru_on_a_batch() -> None:
    x, h, w, u = normal(3, 7, 5), normal(3, 6), normal(5, 18), normal(6, 18)
    state, rows = h.copy(), []
    for t in range(7):
        zx, rx, nx = np.split(x[:, t] @ w, 3, axis=-1)
        zh, rh, nh = np.split(state @ u, 3, axis=-1)
        update, reset = 1 / (1 + np.exp(-zx - zh)), 1 / (1 + np.exp(-rx - rh))
        state = (1 - update) * np.tanh(nx + reset * nh) + update * state
        rows.append(state)
    agree(px.vmap(gru, in_axes=(0, 0, None, None)), (x, h, w, u), (state, np.stack(rows, 1)), tolerance=1e-10)
    slopes(lambda h, w, u: px.sum(px.vmap(gru, in_axes=(0, 0, None, None))(px.asarray(x), h, w, u)[1] ** 2), (h, w, u))


# Numerical methods.


def test_runge_kutta_of_lorenz() -> None:
    def lorenz(y: Any, sigma: Any) -> Any:
        return px.stack([sigma * (y[1] - y[0]), y[0] * (28.0 - y[2]) - y[1], y[0] * y[1] - y[2] * (8.0 / 3.0)])

    def integrate(y: Any, sigma: Any) -> Any:
        def step(y: Any, _: Any) -> Any:
            h = 0.01
            k1 = lorenz(y, sigma)
            k2 = lorenz(y + h / 2 * k1, sigma)
            k3 = lorenz(y + h / 2 * k2, sigma)
            k4 = lorenz(y + h * k3, sigma)
            y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
            return y, y

        return px.scan(step, y, length=100)[1]

    y, sigma = np.array([1.0, 1.0, 1.0]), np.array(10.0)
    found = np.asarray(agree(integrate, (y, sigma), tolerance=1e-9))
    exact = scipy.integrate.solve_ivp(
        lambda _, y: [10 * (y[1] - y[0]), y[0] * (28 - y[2]) - y[1], y[0] * y[1] - 8 / 3 * y[2]], (0, 1), y, rtol=1e-10,
        atol=1e-12).y[:, -1]
    np.testing.assert_allclose(found[-1], exact, rtol=1e-4)
    slopes(lambda y, sigma: px.sum(integrate(y, sigma)[40]), (y, sigma), tolerance=1e-4)


def test_conjugate_gradients_until_it_converges() -> None:
    def solve(a: Any, b: Any) -> Any:
        def step(state: Any) -> Any:
            x, r, p, rr, count = state
            ap = a @ p
            alpha = rr / (p @ ap)
            r = r - alpha * ap
            new = r @ r
            return x + alpha * p, r, r + new / rr * p, new, count + 1

        start = (px.zeros_like(b), b, b, b @ b, 0)
        return px.while_loop(lambda s: (s[3] > 1e-20) & (s[4] < 100), step, start)

    a = normal(30, 30)
    a, b = a @ a.T + 30 * np.eye(30), normal(30)
    x, *_, count = agree(solve, (a, b), tolerance=1e-6)
    np.testing.assert_allclose(x, np.linalg.solve(a, b), rtol=1e-8)
    assert 5 < int(count) < 100


def test_kalman_filter() -> None:
    def run(observed: Any, q: Any, r: Any) -> Any:
        step_matrix, seen = px.asarray([[1.0, 1.0], [0.0, 1.0]], dtype=px.float64), px.asarray([[1.0, 0.0]], dtype=px.float64)

        def step(state: Any, z: Any) -> Any:
            x, p = state
            x, p = step_matrix @ x, step_matrix @ p @ step_matrix.T + q
            s = seen @ p @ seen.T + r
            gain = p @ seen.T / s
            x = x + (gain @ (z - seen @ x)[:, None])[:, 0]
            p = (px.eye(2, dtype=px.float64) - gain @ seen) @ p
            return (x, p), x

        return px.scan(step, (px.zeros(2, dtype=px.float64), px.eye(2, dtype=px.float64)), observed)[1]

    observed, q, r = normal(25, 1).cumsum(0), 0.01 * np.eye(2), np.array([[0.5]])
    x, p, rows = np.zeros(2), np.eye(2), []
    f, h = np.array([[1.0, 1.0], [0.0, 1.0]]), np.array([[1.0, 0.0]])
    for z in observed:
        x, p = f @ x, f @ p @ f.T + q
        gain = p @ h.T @ np.linalg.inv(h @ p @ h.T + r)
        x, p = x + gain @ (z - h @ x), (np.eye(2) - gain @ h) @ p
        rows.append(x)
    agree(run, (observed, q, r), np.stack(rows), tolerance=1e-10)
    slopes(lambda *a: px.sum(run(*a) ** 2), (observed[:6], q, r))


@pytest.mark.parametrize("size", [1, 2, 64, 1024])
def test_fast_fourier_transform_by_hand(size: int) -> None:
    """Radix 2, one level after the other, on real and imaginary parts."""

    def fft(re: Any, im: Any) -> Any:
        count = 1
        re, im = px.reshape(re, (1, -1)), px.reshape(im, (1, -1))
        while count < size:
            half = size // count // 2
            angle = -math.pi * px.arange(count, dtype=px.float64)[:, None] / count
            c, s = px.cos(angle), px.sin(angle)
            er, ei, odd_r, odd_i = re[:, :half], im[:, :half], re[:, half:], im[:, half:]
            tr, ti = c * odd_r - s * odd_i, c * odd_i + s * odd_r
            re, im = px.concat([er + tr, er - tr]), px.concat([ei + ti, ei - ti])
            count *= 2
        return re[:, 0], im[:, 0]

    re, im = normal(size), normal(size, seed=5)
    expected = np.fft.fft(re + 1j * im)
    agree(fft, (re, im), (expected.real, expected.imag), tolerance=1e-11)


def test_page_rank_on_edges() -> None:
    source, target = (np.random.default_rng(s).integers(0, 50, 300).astype(np.int32) for s in (1, 2))

    def rank(source: Any, target: Any) -> Any:
        degree = px.zeros(50, dtype=px.float64).at[source].add(1.0)

        def step(state: Any) -> Any:
            ranks, _, count = state
            flow = px.zeros(50, dtype=px.float64).at[target].add(px.take(ranks / px.maximum(degree, 1.0), source))
            lost = px.sum(px.where(degree == 0, ranks, 0.0)) / 50
            new = 0.15 / 50 + 0.85 * (flow + lost)
            return new, px.sum(px.abs(new - ranks)), count + 1

        start = (px.full(50, 1 / 50, dtype=px.float64), px.asarray(1.0, dtype=px.float64), 0)
        return px.while_loop(lambda s: s[1] > 1e-12, step, start)[0]

    out = np.bincount(source, minlength=50)
    matrix = np.zeros((50, 50))
    np.add.at(matrix, (target, source), 1.0)
    matrix = np.where(out > 0, matrix / np.maximum(out, 1), 1 / 50)
    values, vectors = np.linalg.eig(0.85 * matrix + 0.15 / 50)
    leading = np.real(vectors[:, np.argmax(values.real)])
    agree(rank, (source, target), leading / leading.sum(), tolerance=1e-8)


def test_products_of_sparse_matrices_by_segments() -> None:
    matrix = scipy.sparse.random(40, 30, density=0.2, random_state=0, format="csr")
    rows = np.repeat(np.arange(40, dtype=np.int32), np.diff(matrix.indptr))
    x = normal(30)

    def product(values: Any, rows: Any, columns: Any, x: Any) -> Any:
        return px.zeros(40, dtype=px.float64).at[rows].add(values * px.take(x, columns))

    agree(product, (matrix.data, rows, matrix.indices.astype(np.int32), x), matrix @ x, tolerance=1e-12)
    slopes(lambda v, x: px.sum(product(v, px.asarray(rows), px.asarray(matrix.indices.astype(np.int32)), x) ** 2),
           (matrix.data, x))


def test_k_means() -> None:
    points = np.concatenate([normal(40, 3, seed=s) + 6 * np.eye(3)[s] for s in range(3)])
    start = points[[0, 40, 80]]

    def fit(points: Any, centres: Any) -> Any:
        def step(_: Any, centres: Any) -> Any:
            nearest = px.argmin(px.sum((points[:, None] - centres[None]) ** 2, axis=-1), axis=1)
            member = px.one_hot(nearest, 3, dtype=px.float64)
            return member.T @ points / px.sum(member, axis=0)[:, None]

        return px.fori_loop(0, 10, step, centres)

    centres = start.copy()
    for _ in range(10):
        nearest = ((points[:, None] - centres[None]) ** 2).sum(-1).argmin(1)
        centres = np.stack([points[nearest == k].mean(0) for k in range(3)])
    agree(fit, (points, start), centres, tolerance=1e-12)


def test_filters_and_histograms_in_one_program() -> None:
    signal, taps = normal(500), np.hanning(9)

    def run(signal: Any, taps: Any) -> Any:
        padded = px.pad(signal, 0.0, [(8, 0, 0)])
        smooth = px.sum(px.stack([padded[8 - k:8 - k + 500] for k in range(9)]) * taps[:, None], axis=0)
        low, high = px.min(smooth), px.max(smooth)
        bins = px.clip(px.astype((smooth - low) / (high - low) * 20, px.int32), 0, 19)
        return smooth, px.zeros(20, dtype=px.int32).at[bins].add(1)

    smooth = scipy.signal.lfilter(taps, [1.0], signal)
    agree(run, (signal, taps), (smooth, np.histogram(smooth, 20)[0].astype(np.int32)), tolerance=1e-12)


# Integers.


def rotate(x: Any, by: int) -> Any:
    return (x >> by) | (x << (32 - by))


def sha256_block(block: Any, state: Any, constants: Any) -> Any:
    def extend(i: Any, w: Any) -> Any:
        a, b = w[i - 15], w[i - 2]
        mixed = w[i - 16] + (rotate(a, 7) ^ rotate(a, 18) ^ (a >> 3)) + w[i - 7] + (rotate(b, 17) ^ rotate(b, 19) ^ (b >> 10))
        return w.at[i].set(mixed)

    schedule = px.fori_loop(16, 64, extend, px.concat([block, px.zeros(48, dtype=px.uint32)]))

    def round_(carry: Any, inputs: Any) -> Any:
        a, b, c, d, e, f, g, h = carry
        k, w = inputs
        first = h + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) + ((e & f) ^ (~e & g)) + k + w
        second = (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))
        return (first + second, a, b, c, d + first, e, f, g), None

    return state + px.stack(list(px.scan(round_, tuple(px.unstack(state)), (constants, schedule))[0]))


def test_sha_256() -> None:
    def primes() -> list[int]:
        return [n for n in range(2, 312) if all(n % k for k in range(2, math.isqrt(n) + 1))]

    def root(n: int, power: int) -> int:
        """The first 32 bits of the fraction of a root, by bisection in integers."""
        low, high = 0, n << 32
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if middle**power <= n << (32 * power) else (low, middle)
        return low % 2**32

    constants = np.array([root(p, 3) for p in primes()[:64]], np.uint32)
    state = np.array([root(p, 2) for p in primes()[:8]], np.uint32)
    message = b"what is compiled agrees with what is evaluated"
    padded = message + b"\x80" + b"\0" * (55 - len(message)) + (8 * len(message)).to_bytes(8, "big")
    block = np.frombuffer(padded, ">u4").astype(np.uint32)
    expected = np.frombuffer(hashlib.sha256(message).digest(), ">u4").astype(np.uint32)
    agree(sha256_block, (block, state, constants), expected, tolerance=0.0, eager=False)
    many = np.stack([block, block[::-1]])
    found = px.jit(px.vmap(sha256_block, in_axes=(0, None, None)))(many, state, constants)
    np.testing.assert_array_equal(found[0], expected)


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.int32])
def test_game_of_life(dtype: Any) -> None:
    board = (np.random.default_rng(0).random((37, 53)) < 0.4).astype(dtype)

    def live(board: Any) -> Any:
        def step(_: Any, board: Any) -> Any:
            cells = px.astype(board, px.int8)
            around = sum((px.roll(cells, (i, j), axis=(0, 1)) for i in (-1, 0, 1) for j in (-1, 0, 1) if i or j),
                         px.zeros(board.shape, dtype=px.int8))
            return px.astype((around == 3) | ((cells == 1) & (around == 2)), board.dtype)

        return px.fori_loop(0, 30, step, board)

    expected = board.astype(np.int64)
    for _ in range(30):
        around = sum(np.roll(expected, (i, j), (0, 1)) for i in (-1, 0, 1) for j in (-1, 0, 1) if i or j)
        expected = ((around == 3) | ((expected == 1) & (around == 2))).astype(np.int64)
    agree(live, (board,), expected.astype(dtype), tolerance=0.0, eager=False)


@pytest.mark.parametrize("dtype", [np.int16, np.uint64, np.float32])
def test_bitonic_sorting_network(dtype: Any) -> None:
    values = np.random.default_rng(2).integers(0, 60000, 64).astype(dtype)

    def sort(x: Any) -> Any:
        at = px.arange(64)
        size = 2
        while size <= 64:
            distance = size // 2
            while distance:
                other = px.take(x, at ^ distance)
                lower = ((at & distance) == 0) == ((at & size) == 0)
                x = px.where(lower, px.minimum(x, other), px.maximum(x, other))
                distance //= 2
            size *= 2
        return x

    agree(sort, (values,), np.sort(values), tolerance=0.0)


def test_crc_32_by_table() -> None:
    data = np.frombuffer(b"123456789", np.uint8)

    def crc(data: Any) -> Any:
        table = px.arange(256, dtype=px.uint32)
        table = px.fori_loop(0, 8, lambda _, t: px.where((t & 1) == 1, (t >> 1) ^ 0xEDB88320, t >> 1), table)
        step = lambda c, byte: (px.take(table, (c ^ px.astype(byte, px.uint32)) & 0xFF) ^ (c >> 8), None)
        return px.scan(step, px.asarray(0xFFFFFFFF, dtype=px.uint32), data)[0] ^ 0xFFFFFFFF

    agree(crc, (data,), np.uint32(0xCBF43926), tolerance=0.0)


# The same functions as libraries.


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
@pytest.mark.parametrize("name", ["gpt", "gru", "sha", "lenet"])
def test_exported(name: str, tmp_path: Path) -> None:
    weights = gpt_weights(16, np.float32)
    network = lenet_weights(np.float32)
    function, arguments = {
        "gpt": (lambda x: gpt_block(x, {k: px.asarray(v) for k, v in weights.items()}), (normal(9, 16, dtype=np.float32),)),
        "gru": (gru, (normal(7, 5), normal(6), normal(5, 18), normal(6, 18))),
        "sha": (sha256_block, tuple(np.arange(n, dtype=np.uint32) * np.uint32(2654435761) for n in (16, 8, 64))),
        "lenet": (lambda x: lenet(x, {k: px.asarray(v) for k, v in network.items()}),
                  (normal(2, 28, 28, 1, dtype=np.float32),)),
    }[name]
    exported(function, arguments, tmp_path)
