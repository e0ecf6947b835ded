"""Numerical programs as they are written everywhere else, compiled and evaluated, against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
from agreement import check

import phalanx as px

RNG = np.random.default_rng(1)


def normal(*shape: int) -> np.ndarray[Any, Any]:
    return RNG.normal(size=shape).astype(np.float32)


def positive(n: int) -> np.ndarray[Any, Any]:
    a = normal(n, n)
    return a @ a.T + n * np.eye(n, dtype=np.float32)


def test_mandelbrot() -> None:
    real, imaginary = np.meshgrid(np.linspace(-2, 0.5, 60), np.linspace(-1, 1, 40))

    @px.jit
    def escape(real: Any, imaginary: Any, rounds: Any) -> Any:
        def step(_: Any, state: Any) -> Any:
            x, y, count = state
            inside = x * x + y * y < 4.0
            return (px.where(inside, x * x - y * y + real, x), px.where(inside, 2 * x * y + imaginary, y),
                    count + inside.astype(px.int32))

        return px.fori_loop(0, rounds, step, (real * 0, real * 0, px.zeros(real.shape, dtype=px.int32)))[2]

    z, count = np.zeros(real.shape, complex), np.zeros(real.shape, int)
    for _ in range(40):
        inside = z.real**2 + z.imag**2 < 4
        z, count = np.where(inside, z * z + real + 1j * imaginary, z), count + inside
    assert (escape(real, imaginary, np.int32(40)).numpy() != count).mean() < 1e-3


def test_game_of_life() -> None:
    def step(xp: Any, roll: Any, grid: Any) -> Any:
        n = sum(roll(grid, i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if (i, j) != (0, 0))
        return (n == 3) | ((grid == 1) & (n == 2))

    def play(grid: Any) -> Any:
        shifted = lambda g, i, j: px.roll(g, (i, j), axis=(0, 1))
        return px.fori_loop(0, 20, lambda _, g: step(px, shifted, g).astype(px.int32), grid)

    grid = RNG.integers(0, 2, (32, 24)).astype(np.int32)
    expected = grid
    for _ in range(20):
        expected = step(np, lambda g, i, j: np.roll(g, (i, j), (0, 1)), expected).astype(np.int32)
    check(play, (grid,), expected)


def test_heat_with_updates_of_the_inside() -> None:
    def relax(u: Any) -> Any:
        return u.at[1:-1, 1:-1].set(0.25 * (u[:-2, 1:-1] + u[2:, 1:-1] + u[1:-1, :-2] + u[1:-1, 2:]))

    u = np.zeros((20, 30), np.float32)
    u[0] = 1
    expected = u.copy()
    for _ in range(50):
        expected[1:-1, 1:-1] = 0.25 * (expected[:-2, 1:-1] + expected[2:, 1:-1] + expected[1:-1, :-2] + expected[1:-1, 2:])
    check(lambda u: px.fori_loop(0, 50, lambda _, u: relax(u), u), (u,), expected)


def test_conjugate_gradients() -> None:
    def solve(a: Any, b: Any) -> Any:
        def step(state: Any) -> Any:
            x, r, p, size, count = state
            image = a @ p
            length = size / px.dot(p, image)
            r = r - length * image
            after = px.dot(r, r)
            return x + length * p, r, p * (after / size) + r, after, count + 1

        return px.while_loop(lambda s: (s[3] > 1e-8) & (s[4] < 200), step, (px.zeros_like(b), b, b, px.dot(b, b), 0))[0]

    a, b = positive(50), normal(50)
    check(solve, (a, b), np.linalg.solve(a, b), 1e-3)


def test_cholesky_by_columns_alone_in_batches_and_its_gradient() -> None:
    def cholesky(a: Any) -> Any:
        rows = px.arange(a.shape[0])

        def column(j: Any, done: Any) -> Any:
            rest = a[:, j] - done @ done[j]
            return done.at[:, j].set(px.where(rows >= j, rest / px.sqrt(rest[j]), 0.0))

        return px.fori_loop(0, a.shape[0], column, px.zeros_like(a))

    a = positive(12)
    check(cholesky, (a,), np.linalg.cholesky(a), 1e-3)
    check(px.vmap(cholesky), (np.stack([a, 2 * a]),), np.linalg.cholesky(np.stack([a, 2 * a])), 1e-3)
    # The log-determinant's gradient is the inverse; the loops read the lower half only.
    slope = np.asarray(px.jit(px.grad(lambda a: 2 * px.sum(px.log(px.take_diagonal(cholesky(a))))))(a))
    np.testing.assert_allclose((slope + slope.T) / 2, np.linalg.inv(a), rtol=1e-2, atol=1e-4)


def test_fourier_transform_by_butterflies() -> None:
    size, bits = 64, 6
    order = np.asarray([int(f"{i:0{bits}b}"[::-1], 2) for i in range(size)])

    def transform(x: Any) -> Any:
        real, imaginary, half = px.take(x, order), px.zeros(size), 1
        while half < size:
            turn = np.exp(-1j * np.pi * np.arange(half) / half)
            c, s = turn.real.astype(np.float32), turn.imag.astype(np.float32)
            r, i = (part.reshape((size // (2 * half), 2, half)) for part in (real, imaginary))
            tr, ti = r[:, 1] * c - i[:, 1] * s, r[:, 1] * s + i[:, 1] * c
            real = px.stack([r[:, 0] + tr, r[:, 0] - tr], axis=1).reshape((size,))
            imaginary = px.stack([i[:, 0] + ti, i[:, 0] - ti], axis=1).reshape((size,))
            half *= 2
        return real, imaginary

    x = normal(size)
    expected = np.fft.fft(x)
    check(transform, (x,), (expected.real, expected.imag), 1e-3)


def test_bitonic_sort() -> None:
    size = 64
    place = np.arange(size)

    def sort(x: Any) -> Any:
        run = 2
        while run <= size:
            step = run // 2
            while step:
                other = px.take(x, place ^ step)
                smaller = ((place ^ step) > place) == ((place & run) == 0)
                x = px.where(smaller, px.minimum(x, other), px.maximum(x, other))
                step //= 2
            run *= 2
        return x

    x = normal(2, size)
    check(px.vmap(sort), (x,), np.sort(x, axis=1))
    weights = place.astype(np.float32)
    check(px.grad(lambda x: px.sum(sort(x) * weights)), (x[0],), np.argsort(np.argsort(x[0])).astype(np.float32))


def test_sparse_product_by_gather_and_scatter() -> None:
    rows, columns = RNG.integers(0, 100, (2, 1000))
    values, x = normal(1000), normal(100)
    expected = np.zeros(100, np.float32)
    np.add.at(expected, rows, values * x[columns])
    check(lambda r, c, v, x: px.zeros(100).at[r].add(v * x[c]), (rows, columns, values, x), expected, 1e-3)


def test_edit_distance_row_by_row() -> None:
    def distance(a: Any, b: Any) -> Any:
        def row(before: Any, letter: Any) -> Any:
            best = px.minimum(before[:-1] + (b != letter).astype(px.int32), before[1:] + 1)

            def cell(left: Any, candidate: Any) -> Any:
                here = px.minimum(left + 1, candidate)
                return here, here

            _, rest = px.scan(cell, before[0] + 1, best)
            return px.concat([px.reshape(before[0] + 1, (1,)), rest]), None

        return px.scan(row, px.arange(b.shape[0] + 1), a)[0][-1]

    a, b = (np.frombuffer(t, np.uint8).astype(np.int32) for t in (b"kitten sitting", b"sitting kitten off"))
    table = np.zeros((len(a) + 1, len(b) + 1), int)
    table[0], table[:, 0] = range(len(b) + 1), range(len(a) + 1)
    for i in range(len(a)):
        for j in range(len(b)):
            table[i + 1, j + 1] = min(table[i, j + 1] + 1, table[i + 1, j] + 1, table[i, j] + (a[i] != b[j]))
    check(distance, (a, b), table[-1, -1])


def test_viterbi() -> None:
    steps, states = 12, 5
    moves, seen, start = normal(states, states), normal(steps, states), normal(states)

    def decode(moves: Any, seen: Any, start: Any) -> Any:
        def forward(score: Any, emitted: Any) -> Any:
            reached = score[:, None] + moves
            return px.max(reached, axis=0) + emitted, px.argmax(reached, axis=0)

        score, pointers = px.scan(forward, start + seen[0], seen[1:])
        last = px.argmax(score)
        _, path = px.scan(lambda at, back: (back[at], back[at]), last, pointers, reverse=True)
        return px.max(score), px.concat([path, px.reshape(last, (1,))])

    score, back = start + seen[0], []
    for t in range(1, steps):
        reached = score[:, None] + moves
        back.append(reached.argmax(0))
        score = reached.max(0) + seen[t]
    path = [int(score.argmax())]
    for pointers in back[::-1]:
        path.append(int(pointers[path[-1]]))
    check(decode, (moves, seen, start), (score.max(), np.asarray(path[::-1])))


def test_attention_of_named_sizes() -> None:
    def attend(q: Any, k: Any, v: Any) -> Any:
        scores = px.einsum("bhqd,bhkd->bhqk", q, k) / 4.0
        seen = px.arange(q.shape[2])[:, None] >= px.arange(k.shape[2])
        return px.einsum("bhqk,bhkd->bhqd", px.softmax(px.where(seen, scores, -np.inf), axis=-1), v)

    compiled = px.compile(attend, *["f32[b,4,n,16]"] * 3)
    for batch, length in ((2, 32), (1, 9), (3, 1)):
        q, k, v = (normal(batch, 4, length, 16) for _ in range(3))
        scores = np.where(np.tril(np.ones((length, length), bool)), np.einsum("bhqd,bhkd->bhqk", q, k) / 4, -np.inf)
        odds = np.exp(scores - scores.max(-1, keepdims=True))
        expected = odds / odds.sum(-1, keepdims=True) @ v
        np.testing.assert_allclose(compiled(q, k, v), expected, rtol=1e-4, atol=1e-4)
        check(attend, (q, k, v), expected)


def test_large_arrays() -> None:
    x = normal(10**6)
    found = px.jit(lambda x: (px.sum(px.exp(-x * x)), px.max(x), px.argmax(x)))(x)
    np.testing.assert_allclose(found[0], np.exp(-x.astype(np.float64) ** 2).sum(), rtol=1e-5)
    assert (found[1], found[2]) == (x.max(), x.argmax())
    marks = RNG.integers(0, 100, 10**6).astype(np.int32)
    counts = px.jit(lambda m: px.zeros(100, dtype=px.int32).at[m].add(1))(marks)
    np.testing.assert_array_equal(counts, np.bincount(marks, minlength=100))
    a, b = normal(1024, 1024), normal(1024, 1024)
    np.testing.assert_allclose(px.jit(lambda a, b: a @ b)(a, b), a @ b, rtol=1e-3, atol=1e-2)
