"""Loops, branches and updates whose old contents are still wanted: each with the project's schedules too."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cluster_programs import T, Text
from cluster_runner import check

RANDOM = np.random.default_rng(0)


def data(*shape: int) -> Any:
    return RANDOM.standard_normal(shape).astype(np.float32)


def test_if_in_if_with_loop() -> None:
    text = Text()
    x, s = text.argument(3), text.argument()
    p = text.compare("ogt", text.extract(s), "0.0")

    def a() -> list[T]:
        q = text.compare("ogt", text.extract(s), "1.0")
        r = text.branch(q, lambda: [text.scale(x, "2.0")], lambda: text.loop(3, [x], lambda i, v: [text.scale(v, "3.0")]))
        return [text.binary("addf", r[0], x), x]

    r = text.branch(p, a, lambda: [x, x])
    src = text.finish([*r, r[0]])
    X = data(3)
    for sv in (2.0, 0.5, -1.0):
        e = (X * 2 + X) if sv > 1 else (X * 27 + X) if sv > 0 else X
        check(src, [X, np.float32(sv)], [e, X, e], scheduled=True)


def test_branch_updates_slice() -> None:
    text = Text()
    x, s = text.argument(6), text.argument()
    p = text.compare("ogt", text.extract(s), "0.0")
    y = text.scale(x, "2.0")
    r = text.branch(p, lambda: [text.insert(text.slice(y, [0], [2]), y, [3], [2])], lambda: [y])[0]
    z = text.insert(text.slice(r, [1], [2]), r, [0], [2])
    X = data(6)
    for sv in (1.0, -1.0):
        Y = X * 2
        r_ = Y.copy()
        if sv > 0:
            r_[3:5] = Y[:2]
        z_ = r_.copy()
        z_[0:2] = r_[1:3]
        check(text.finish([z, y]), [X, np.float32(sv)], [z_, Y], scheduled=True)


@pytest.mark.parametrize("trips", [0, 1, 2, 5])
def test_loop_insert_reads_carry(trips: int) -> None:
    text = Text()
    x = text.argument(8)

    def step(i: str, v: T) -> list[T]:
        return [text.insert(text.scale(text.slice(v, [i], [1]), "2.0"), v, [i], [1])]

    X = data(8)
    E = X.copy()
    E[:trips] *= 2
    check(text.finish(text.loop(trips, [x], step)), [X], [E], scheduled=True)


def test_loop_insert_prefix() -> None:
    text = Text()
    x = text.argument(8)

    def step(i: str, v: T) -> list[T]:
        nxt = text.fresh()
        one = text.index(1)
        text.emit(f"{nxt} = arith.addi %{i}, {one} : index")
        s = text.binary("addf", text.slice(v, [i], [1]), text.slice(v, [nxt[1:]], [1]))
        return [text.insert(s, v, [nxt[1:]], [1])]

    X = data(8)
    check(text.finish(text.loop(7, [x], step)), [X], [np.cumsum(X).astype(np.float32)], scheduled=True, rtol=1e-4)


def test_loop_two_inserts_overlap() -> None:
    text = Text()
    x = text.argument(8)

    def step(i: str, v: T) -> list[T]:
        a = text.slice(v, [0], [4])
        b = text.slice(v, [4], [4])
        w = text.insert(text.scale(b, "0.5"), v, [2], [4])
        return [text.insert(text.scale(a, "2.0"), w, [4], [4])]

    X = data(8)
    V = X.copy()
    for _ in range(5):
        W = V.copy()
        W[2:6] = V[4:] * np.float32(0.5)
        W[4:] = V[:4] * 2
        V = W
    check(text.finish(text.loop(5, [x], step)), [X], [V], scheduled=True)


def test_loop_dynamic_slice_sizes() -> None:
    text = Text(["n"])
    x = text.argument("n", 4)

    def step(i: str, v: T) -> list[T]:
        return [text.insert(text.unary("math.tanh", text.slice(v, [0, 0], ["n", 2])), v, [0, 2], ["n", 2])]

    for n in (0, 1, 5):
        X = data(n, 4)
        V = X.copy()
        for _ in range(3):
            V[:, 2:] = np.tanh(V[:, :2])
        check(text.finish(text.loop(3, [x], step)), [X], [V], dims=[n], scheduled=True, rtol=1e-4)


def test_dyn_trip_matrix() -> None:
    text = Text(["k"])
    x, w = text.argument(3, 3), text.argument(3, 3)
    src = text.finish(text.loop("k", [x], lambda i, v: [text.matmul(v, w)]))
    for k in (0, 1, 2, 3):
        X, W = data(3, 3), data(3, 3)
        check(src, [X, W], [X @ np.linalg.matrix_power(W, k) if k else X], dims=[k], rtol=1e-3, scheduled=True)


def test_nested_scan_with_outer_acc() -> None:
    text = Text()
    x, a = text.argument(3, 4), text.argument(4)
    ys = text.empty([3, 4])

    def outer(i: str, acc: T, ys: T) -> list[T]:
        row = text.slice(x, [i, 0], [1, 4], shape=[4])
        inner = text.loop(2, [acc], lambda j, v: [text.binary("addf", v, row)])[0]
        return [inner, text.insert(inner, ys, [i, 0], [1, 4])]

    X, A = data(3, 4), data(4)
    acc = A
    Y = []
    for i in range(3):
        acc = acc + 2 * X[i]
        Y.append(acc)
    check(text.finish(text.loop(3, [a, ys], outer)), [X, A], [acc, np.stack(Y)], scheduled=True, rtol=1e-4)


def test_while_in_for() -> None:
    text = Text()
    x = text.argument(3)

    def outer(i: str, v: T) -> list[T]:
        return text.repeat_while(
            [v],
            lambda w: text.compare("olt", text.extract(text.reduce(text.binary("mulf", w, w), [0])), "5.0"),
            lambda w: [text.scale(w, "1.7")],
        )

    def full(i: str, v: T) -> list[T]:
        r = outer(i, v)[0]
        return [text.scale(r, "0.3")]

    X = data(3)
    V = X
    for _ in range(4):
        while (V * V).sum() < 5:
            V = V * np.float32(1.7)
        V = V * np.float32(0.3)
    check(text.finish(text.loop(4, [x], full)), [X], [V], scheduled=True, rtol=1e-3)


def test_carry_from_constant_and_slice_views() -> None:
    text = Text()
    x = text.argument(4, 6)
    z = text.fill([4], "0.0")
    col = text.slice(x, [0, 2], [4, 1], shape=[4])
    row = text.slice(x, [1, 0], [1, 6], shape=[6])
    r = text.loop(
        3,
        [z, col, row],
        lambda i, a, b, c: [
            text.binary("addf", a, b),
            text.scale(b, "0.5"),
            text.elementwise("%r = arith.negf %x0 : f32", [c], [6], ["5 - d0"]),
        ],
    )
    X = data(4, 6)
    a = np.zeros(4, np.float32)
    b = X[:, 2]
    c = X[1]
    for _ in range(3):
        a, b, c = a + b, b * np.float32(0.5), -c[::-1]
    check(text.finish(r), [X], [a, b, c], scheduled=True)


def test_outer_value_yielded() -> None:
    text = Text()
    x, y = text.argument(4), text.argument(4)
    z = text.scale(y, "3.0")
    r = text.loop(2, [x, x], lambda i, a, b: [z, text.binary("addf", a, b)])
    X, Y = data(4), data(4)
    a, b = X, X
    for _ in range(2):
        a, b = Y * 3, a + b
    check(text.finish([*r, z]), [X, Y], [a, b, Y * 3], scheduled=True)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 4, 7])
def test_three_rotation(n: int) -> None:
    text = Text()
    x, y, z = (text.argument(4) for _ in range(3))
    r = text.loop(n, [x, y, z], lambda i, a, b, c: [b, c, text.binary("addf", a, c)])
    X, Y, Z = data(4), data(4), data(4)
    a, b, c = X, Y, Z
    for _ in range(n):
        a, b, c = b, c, a + c
    check(text.finish(r), [X, Y, Z], [a, b, c], scheduled=True, rtol=1e-4)


def test_rank0_carry_from_cluster_used_by_cluster() -> None:
    text = Text()
    x, s = text.argument(3, 4), text.argument()

    def step(i: str, s: T, v: T) -> list[T]:
        tot = text.reduce(v, [0, 1])
        m = text.binary("addf", tot, s)
        return [text.scale(m, "0.1"), text.binary("mulf", v, text.unary("math.tanh", s), maps=["d0, d1", ""])]

    X, S = data(3, 4), np.float32(0.7)
    v, s_ = X, S
    r = text.loop(4, [s, x], step)
    for _ in range(4):
        s_, v = np.float32((v.sum() + s_) * 0.1), v * np.tanh(s_)
    check(text.finish(r), [X, S], [s_, v], scheduled=True, rtol=1e-3)


def test_zero_results_sizes() -> None:
    text = Text()
    x = text.argument(0, 3)
    y = text.argument(3, 0)
    m = text.matmul(y, x)
    r = text.loop(3, [x, m], lambda i, a, b: [text.scale(a, "2.0"), text.binary("addf", b, b)])
    X, Y = data(0, 3), data(3, 0)
    check(text.finish(r), [X, Y], [X, np.zeros((3, 3), np.float32)], scheduled=True)


def test_unit_dims_everywhere() -> None:
    text = Text()
    x = text.argument(1, 5, 1)
    w = text.argument(1, 1)
    s = text.expand(text.reduce(x, [1]), [[0], [1, 2]], [1, 1, 1])
    y = text.elementwise("%r = arith.subf %x0, %x1 : f32", [x, s], [1, 5, 1], ["d0, d1, d2", "d0, 0, d2"])
    z = text.collapse(y, [[0], [1, 2]], [1, 5])
    tz = text.transpose(z, [1, 0])
    mm = text.matmul(tz, w)
    r = text.reduce(x, [0, 2])
    X, W = data(1, 5, 1), data(1, 1)
    Y = X - X.sum(1, keepdims=True)
    check(
        text.finish([y, mm, r, s]),
        [X, W],
        [Y, Y.reshape(1, 5).T @ W, X.sum((0, 2)), X.sum(1, keepdims=True)],
        scheduled=True,
        rtol=1e-4,
    )


def test_gathers_and_scatters_of_a_carry() -> None:
    text = Text()
    x, rows = text.argument(5), text.argument(5, element="i32")
    low, high, one = text.index(0), text.index(5), text.index(1)

    def step(_: str, v: T, w: T) -> list[T]:
        body = [
            "%i = arith.index_cast %x0 : i32 to index",
            f"%g = tensor.extract {v.name}[%i] : {v.type}",
            "%s = arith.addf %g, %x1 : f32",
            "linalg.yield %s : f32",
        ]
        moved = text.generic([(rows, "d0"), (v, "d0")], [(text.empty([5]), "d0")], "p", body)[0]
        out = text.fresh()
        text.lines.append(
            f"{out} = scf.for %i = {low} to {high} step {one} iter_args(%t = {w.name}) -> ({w.type}) {{\n"
            f"%r = tensor.extract {rows.name}[%i] : {rows.type}\n%k = arith.index_cast %r : i32 to index\n"
            f"%v = tensor.extract {moved.name}[%i] : {moved.type}\n%o = tensor.extract %t[%k] : {w.type}\n"
            f"%s = arith.addf %o, %v : f32\n%n = tensor.insert %s into %t[%k] : {w.type}\n"
            f"scf.yield %n : {w.type}\n}} {{px.opaque}}"
        )
        return [text.scale(moved, "0.5"), T(out, w.shape)]

    X, R = data(5), np.array([4, 0, 3, 3, 1], np.int32)
    v, w = X, X.copy()
    for _ in range(4):
        m = v[R] + v
        np.add.at(w, R, m)
        v = m * np.float32(0.5)
    program = check(text.finish(text.loop(4, [x, x], step)), [X, R], [v, w], rtol=1e-4, scheduled=True)
    assert program.report.copies == 1  # x into the scattered carry, before the loop
