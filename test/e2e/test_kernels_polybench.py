"""The kernels of PolyBench, as one writes them with arrays, and as loops where only loops will do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.linalg
from agreement import Array, agree, slopes

import phalanx as px


def normal(*shape: int, seed: int = 0, dtype: Any = np.float64) -> Array:
    return np.random.default_rng(seed + sum(shape)).normal(size=shape).astype(dtype)


def positive_definite(size: int, dtype: Any = np.float64) -> Array:
    a = normal(size, size)
    return (a @ a.T + size * np.eye(size)).astype(dtype)


# Products of matrices and vectors.


def gemver(a: Any, u1: Any, v1: Any, u2: Any, v2: Any, y: Any, z: Any) -> Any:
    a = a + px.outer(u1, v1) + px.outer(u2, v2)
    x = 1.2 * (y @ a) + z
    return a, x, 1.5 * (a @ x)


@pytest.mark.parametrize(("size", "dtype"), [(1, np.float64), (7, np.float32), (201, np.float32), (64, np.float64)])
def test_gemver(size: int, dtype: Any) -> None:
    a, *vectors = normal(size, size, dtype=dtype), *(normal(size, seed=s, dtype=dtype) for s in range(6))
    u1, v1, u2, v2, y, z = vectors
    changed = a + np.outer(u1, v1) + np.outer(u2, v2)
    x = 1.2 * (changed.T @ y) + z
    agree(gemver, (a, *vectors), (changed, x, 1.5 * changed @ x), tolerance=5e-5)


@pytest.mark.parametrize(("name", "function", "shapes", "reference"), [
    ("gesummv", lambda a, b, x: 1.5 * (a @ x) + 1.2 * (b @ x), [(30, 30), (30, 30), (30,)],
     lambda a, b, x: 1.5 * a @ x + 1.2 * b @ x),
    ("atax", lambda a, x: (a @ x) @ a, [(38, 42), (42,)], lambda a, x: a.T @ (a @ x)),
    ("bicg", lambda a, p, r: (r @ a, a @ p), [(38, 42), (42,), (38,)], lambda a, p, r: (a.T @ r, a @ p)),
    ("mvt", lambda a, x, y, u, v: (x + a @ u, y + v @ a), [(40, 40)] + 4 * [(40,)],
     lambda a, x, y, u, v: (x + a @ u, y + a.T @ v)),
    ("2mm", lambda a, b, c, d: 1.5 * a @ b @ c + 1.2 * d, [(16, 18), (18, 22), (22, 24), (16, 24)],
     lambda a, b, c, d: 1.5 * a @ b @ c + 1.2 * d),
    ("3mm", lambda a, b, c, d: (a @ b) @ (c @ d), [(16, 20), (20, 18), (18, 24), (24, 22)],
     lambda a, b, c, d: (a @ b) @ (c @ d)),
    ("doitgen", lambda a, c: px.einsum("rqs,sp->rqp", a, c), [(10, 8, 12), (12, 12)], lambda a, c: a @ c),
    ("syrk", lambda a, c: px.where(px.tri(20, dtype=px.bool), 1.2 * c + 1.5 * (a @ a.T), c), [(20, 30), (20, 20)],
     lambda a, c: np.where(np.tri(20, dtype=bool), 1.2 * c + 1.5 * a @ a.T, c)),
    ("syr2k", lambda a, b, c: px.tril(a @ b.T + b @ a.T + c) + px.triu(c, k=1), [(20, 30), (20, 30), (20, 20)],
     lambda a, b, c: np.tril(a @ b.T + b @ a.T + c) + np.triu(c, 1)),
    ("symm", lambda a, b, c: 1.5 * (px.tril(a) + px.tril(a, k=-1).T) @ b + 1.2 * c, [(20, 20), (20, 30), (20, 30)],
     lambda a, b, c: 1.5 * (np.tril(a) + np.tril(a, -1).T) @ b + 1.2 * c),
    ("trmm", lambda a, b: 1.5 * (b + px.tril(a, k=-1).T @ b), [(20, 20), (20, 30)],
     lambda a, b: 1.5 * (b + np.tril(a, -1).T @ b)),
], ids=lambda value: value if isinstance(value, str) else "")
def test_linear_algebra(name: str, function: Any, shapes: Any, reference: Any) -> None:
    arrays = [normal(*shape, seed=index) for index, shape in enumerate(shapes)]
    agree(function, arrays, reference(*arrays), tolerance=1e-12)
    agree(function, [a.astype(np.float32) for a in arrays], reference(*arrays), tolerance=2e-5)


# Statistics.


def covariance(data: Any) -> Any:
    centred = data - px.mean(data, axis=0)
    return centred.T @ centred / (data.shape[0] - 1)


def correlation(data: Any) -> Any:
    deviation = px.std(data, axis=0)
    deviation = px.where(deviation <= 0.1, 1.0, deviation)
    scaled = (data - px.mean(data, axis=0)) / (px.sqrt(float(data.shape[0])) * deviation)
    return px.where(px.eye(data.shape[1], dtype=px.bool), 1.0, scaled.T @ scaled)


def test_covariance_and_correlation() -> None:
    data = normal(100, 80)
    agree(covariance, (data,), np.cov(data, rowvar=False), tolerance=1e-12)
    agree(correlation, (data,), np.corrcoef(data, rowvar=False), tolerance=1e-12)
    slopes(lambda d: px.sum(px.sin(correlation(d))), (normal(9, 4),))


# Decompositions, one loop over columns.


def cholesky(a: Any) -> Any:
    size = a.shape[0]
    row = px.arange(size)

    def column(j: Any, lower: Any) -> Any:
        rest = a[:, j] - lower @ lower[j]
        return lower.at[:, j].set(px.where(row >= j, rest / px.sqrt(rest[j]), 0.0))

    return px.fori_loop(0, size, column, px.zeros_like(a))


def lu(a: Any) -> Any:
    row = px.arange(a.shape[0])

    def step(k: Any, a: Any) -> Any:
        factor = px.where(row > k, a[:, k] / a[k, k], 0.0)
        changed = a - px.outer(factor, px.where(row > k, a[k], 0.0))
        return changed.at[:, k].set(px.where(row > k, factor, a[:, k]))

    return px.fori_loop(0, a.shape[0], step, a)


def forward_substitution(lower: Any, b: Any) -> Any:
    def step(i: Any, x: Any) -> Any:
        return x.at[i].set((b[i] - px.vecdot(lower[i], x)) / lower[i, i])

    return px.fori_loop(0, b.shape[0], step, px.zeros_like(b))


def gram_schmidt(a: Any) -> Any:
    def step(k: Any, state: Any) -> Any:
        a, q, r = state
        column = a[:, k]
        length = px.sqrt(px.sum(column * column))
        q = q.at[:, k].set(column / length)
        row = px.where(px.arange(a.shape[1]) > k, q[:, k] @ a, 0.0)
        return a - px.outer(q[:, k], row), q, r.at[k].set(row.at[k].set(length))

    columns = a.shape[1]
    return px.fori_loop(0, columns, step, (a, px.zeros_like(a), px.zeros((columns, columns), dtype=a.dtype)))[1:]


@pytest.mark.parametrize("size", [1, 5, 24])
def test_cholesky(size: int) -> None:
    a = positive_definite(size)
    agree(cholesky, (a,), np.linalg.cholesky(a), tolerance=1e-10)
    slopes(lambda a: px.sum(cholesky(a + a.T)), (a,))


@pytest.mark.parametrize("size", [1, 6, 33])
def test_lu(size: int) -> None:
    a = positive_definite(size)
    packed = np.asarray(agree(lu, (a,)))
    np.testing.assert_allclose((np.tril(packed, -1) + np.eye(size)) @ np.triu(packed), a, rtol=1e-9)
    slopes(lambda a: px.sum(lu(a) ** 2), (a,))


def test_triangular_solve() -> None:
    lower, b = np.tril(positive_definite(20)), normal(20)
    agree(forward_substitution, (lower, b), scipy.linalg.solve_triangular(lower, b, lower=True), tolerance=1e-10)
    slopes(lambda lower, b: px.sum(forward_substitution(lower, b) ** 2), (lower, b))


def test_gram_schmidt() -> None:
    a = normal(20, 12)
    q, r = (np.asarray(part) for part in agree(gram_schmidt, (a,), tolerance=1e-10))
    np.testing.assert_allclose(q @ r, a, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(q.T @ q, np.eye(12), atol=1e-12)
    slopes(lambda a: px.sum(gram_schmidt(a)[1]), (normal(6, 3),))


def durbin(r: Any) -> Any:
    size = r.shape[0]
    at = px.arange(size)

    def step(k: Any, state: Any) -> Any:
        y, alpha, beta = state
        beta = (1 - alpha * alpha) * beta
        backward = px.where(at < k, r[px.clip(k - at - 1, 0, size - 1)], 0.0)
        alpha = -(r[k] + px.sum(backward * y)) / beta
        turned = px.where(at < k, y[px.clip(k - at - 1, 0, size - 1)], 0.0)
        return (y + alpha * turned).at[k].set(alpha), alpha, beta

    one = px.ones((), dtype=r.dtype)
    start = (px.zeros_like(r).at[0].set(-r[0]), -r[0], one)
    return px.fori_loop(1, size, step, start)[0]


def test_durbin() -> None:
    r = 0.5 ** np.arange(1, 13) * np.cos(np.arange(12))
    expected = scipy.linalg.solve_toeplitz(np.concatenate([[1.0], r[:-1]]), -r)
    agree(durbin, (r,), expected, tolerance=1e-9)
    slopes(lambda r: px.sum(durbin(r)), (r,))


# Stencils.


def jacobi_1d(a: Any, b: Any, steps: int = 20) -> Any:
    def step(_: Any, state: Any) -> Any:
        a, b = state
        b = b.at[1:-1].set(0.33333 * (a[:-2] + a[1:-1] + a[2:]))
        return a.at[1:-1].set(0.33333 * (b[:-2] + b[1:-1] + b[2:])), b

    return px.fori_loop(0, steps, step, (a, b))


def jacobi_2d(a: Any, b: Any, steps: int = 10) -> Any:
    def half(source: Any, target: Any) -> Any:
        inner = source[1:-1, 1:-1] + source[1:-1, :-2] + source[1:-1, 2:] + source[2:, 1:-1] + source[:-2, 1:-1]
        return target.at[1:-1, 1:-1].set(0.2 * inner)

    def step(state: Any, _: Any) -> Any:
        a, b = state
        b = half(a, b)
        return (half(b, a), b), None

    return px.scan(step, (a, b), length=steps)[0]


def heat_3d(a: Any, b: Any, steps: int = 5) -> Any:
    def second(x: Any, axis: int) -> Any:
        sides = [px.slice_along_axis(x, start, x.shape[axis] - 2, axis=axis) for start in (2, 1, 0)]
        return sides[0] - 2.0 * sides[1] + sides[2]

    def half(source: Any, target: Any) -> Any:
        inside = source[1:-1, 1:-1, 1:-1]
        change = second(source[:, 1:-1, 1:-1], 0) + second(source[1:-1, :, 1:-1], 1) + second(source[1:-1, 1:-1, :], 2)
        return target.at[1:-1, 1:-1, 1:-1].set(inside + 0.125 * change)

    def step(_: Any, state: Any) -> Any:
        a, b = state
        b = half(a, b)
        return half(b, a), b

    return px.fori_loop(0, steps, step, (a, b))


def numpy_heat(a: Array, b: Array, steps: int) -> tuple[Array, Array]:
    a, b = a.copy(), b.copy()
    for _ in range(steps):
        for source, target in ((a, b), (b, a)):
            centre = source[1:-1, 1:-1, 1:-1]
            target[1:-1, 1:-1, 1:-1] = (
                0.125 * (source[2:, 1:-1, 1:-1] - 2 * centre + source[:-2, 1:-1, 1:-1])
                + 0.125 * (source[1:-1, 2:, 1:-1] - 2 * centre + source[1:-1, :-2, 1:-1])
                + 0.125 * (source[1:-1, 1:-1, 2:] - 2 * centre + source[1:-1, 1:-1, :-2]) + centre)
    return a, b


def numpy_jacobi(a: Array, b: Array, steps: int) -> tuple[Array, Array]:
    a, b = a.copy(), b.copy()
    for _ in range(steps):
        for s, t in ((a, b), (b, a)):
            if a.ndim == 1:
                t[1:-1] = 0.33333 * (s[:-2] + s[1:-1] + s[2:])
            else:
                t[1:-1, 1:-1] = 0.2 * (s[1:-1, 1:-1] + s[1:-1, :-2] + s[1:-1, 2:] + s[2:, 1:-1] + s[:-2, 1:-1])
    return a, b


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("function", "shape", "reference", "steps"), [
    (jacobi_1d, (3,), numpy_jacobi, 20), (jacobi_1d, (117,), numpy_jacobi, 20), (jacobi_2d, (3, 3), numpy_jacobi, 10),
    (jacobi_2d, (45, 39), numpy_jacobi, 10), (jacobi_2d, (130, 130), numpy_jacobi, 10),
    (heat_3d, (3, 3, 3), numpy_heat, 5), (heat_3d, (11, 12, 13), numpy_heat, 5)])
def test_stencils(function: Any, shape: tuple[int, ...], reference: Any, steps: int, dtype: Any) -> None:
    a, b = normal(*shape, dtype=dtype), normal(*shape, seed=1, dtype=dtype)
    agree(function, (a, b), reference(a, b, steps), tolerance=1e-5)


def test_gradients_through_stencils() -> None:
    slopes(lambda a, b: px.sum(jacobi_2d(a, b, 3)[0] ** 2), (normal(6, 7), normal(6, 7, seed=1)))
    slopes(lambda a, b: px.sum(heat_3d(a, b, 2)[0] ** 2), (normal(4, 5, 6), normal(4, 5, 6, seed=1)))
    slopes(lambda a, b: px.sum(jacobi_1d(a, b, 4)[1] ** 2), (normal(9), normal(9, seed=1)))


def fdtd_2d(ex: Any, ey: Any, hz: Any, source: Any) -> Any:
    def step(state: Any, value: Any) -> Any:
        ex, ey, hz = state
        ey = ey.at[0, :].set(value)
        ey = ey.at[1:, :].add(-0.5 * (hz[1:, :] - hz[:-1, :]))
        ex = ex.at[:, 1:].add(-0.5 * (hz[:, 1:] - hz[:, :-1]))
        hz = hz.at[:-1, :-1].add(-0.7 * (ex[:-1, 1:] - ex[:-1, :-1] + ey[1:, :-1] - ey[:-1, :-1]))
        return (ex, ey, hz), px.max(px.abs(hz))

    return px.scan(step, (ex, ey, hz), source)


def test_fdtd_2d() -> None:
    ex, ey, hz = (normal(20, 30, seed=s) for s in range(3))
    source = np.arange(12.0)
    x, y, z, peaks = ex.copy(), ey.copy(), hz.copy(), []
    for value in source:
        y[0, :] = value
        y[1:, :] -= 0.5 * (z[1:, :] - z[:-1, :])
        x[:, 1:] -= 0.5 * (z[:, 1:] - z[:, :-1])
        z[:-1, :-1] -= 0.7 * (x[:-1, 1:] - x[:-1, :-1] + y[1:, :-1] - y[:-1, :-1])
        peaks.append(np.abs(z).max())
    agree(fdtd_2d, (ex, ey, hz, source), ((x, y, z), np.asarray(peaks)), tolerance=1e-10)


def seidel_2d(a: Any) -> Any:
    """Each point takes its neighbours as they are by then: two nested loops over single elements."""
    rows, columns = a.shape

    def point(position: Any, a: Any) -> Any:
        i, j = position // (columns - 2) + 1, position % (columns - 2) + 1
        return a.at[i, j].set(px.mean(px.dynamic_slice(a, (i - 1, j - 1), (3, 3))))

    return px.fori_loop(0, (rows - 2) * (columns - 2), point, a)


def test_seidel_2d() -> None:
    a = normal(9, 11)
    expected = a.copy()
    for i in range(1, 8):
        for j in range(1, 10):
            expected[i, j] = expected[i - 1:i + 2, j - 1:j + 2].mean()
    agree(seidel_2d, (a,), expected, tolerance=1e-12, eager=False)


def deriche(image: Any, k: float = 0.3) -> Any:
    """A recursive filter in both directions of one axis."""
    a1, b1 = k, 0.7

    def step(previous: Any, row: Any) -> Any:
        now = a1 * row + b1 * previous
        return now, now

    start = px.zeros_like(image[0])
    return px.scan(step, start, image)[1] + px.scan(step, start, image, reverse=True)[1]


def test_deriche() -> None:
    image = normal(30, 17)
    forward, backward = np.zeros_like(image), np.zeros_like(image)
    for i in range(30):
        forward[i] = 0.3 * image[i] + (0.7 * forward[i - 1] if i else 0)
    for i in range(29, -1, -1):
        backward[i] = 0.3 * image[i] + (0.7 * backward[i + 1] if i < 29 else 0)
    agree(deriche, (image,), forward + backward, tolerance=1e-12)
    slopes(lambda image: px.sum(deriche(image) ** 2), (normal(5, 3),))


# Dynamic programming.


def floyd_warshall(paths: Any) -> Any:
    return px.fori_loop(0, paths.shape[0], lambda k, p: px.minimum(p, p[:, k][:, None] + p[k][None, :]), paths)


@pytest.mark.parametrize(("size", "dtype"), [(1, np.int32), (40, np.int64), (40, np.float32), (40, np.float64)])
def test_floyd_warshall(size: int, dtype: Any) -> None:
    paths = np.random.default_rng(3).integers(1, 999, (size, size)).astype(dtype)
    expected = paths.copy()
    for k in range(size):
        expected = np.minimum(expected, expected[:, k, None] + expected[None, k])
    agree(floyd_warshall, (paths,), expected, tolerance=0.0)


def nussinov(bases: Any) -> Any:
    size = bases.shape[0]
    at = px.arange(size)

    def cell(i: Any, j: Any, table: Any) -> Any:
        pair = px.astype(bases[i] + bases[j] == 3, px.int32)
        below, left = table[px.minimum(i + 1, size - 1), j], table[i, px.maximum(j - 1, 0)]
        inner = table[px.minimum(i + 1, size - 1), px.maximum(j - 1, 0)] + px.where(i < j - 1, pair, 0)
        splits = px.where((at > i) & (at < j), table[i] + px.roll(table[:, j], -1), 0)
        best = px.maximum(px.maximum(below, left), px.maximum(inner, px.max(splits)))
        return px.cond(i < j, lambda t: t.at[i, j].set(best), lambda t: t, table)

    def row(step: Any, table: Any) -> Any:
        i = size - 1 - step
        return px.fori_loop(i + 1, size, lambda j, t: cell(i, j, t), table)

    return px.fori_loop(0, size, row, px.zeros((size, size), dtype=px.int32))


def test_nussinov() -> None:
    bases = np.random.default_rng(1).integers(0, 4, 17).astype(np.int32)
    table = np.zeros((17, 17), np.int32)
    for i in range(16, -1, -1):
        for j in range(i + 1, 17):
            best = max(table[min(i + 1, 16), j], table[i, j - 1])
            best = max(best, table[min(i + 1, 16), j - 1] + (int(bases[i] + bases[j] == 3) if i < j - 1 else 0))
            for k in range(i + 1, j):
                best = max(best, table[i, k] + table[k + 1, j])
            table[i, j] = best
    agree(nussinov, (bases,), table, tolerance=0.0, eager=False)
