"""The clusters stage end to end: programs against NumPy, and the shape of what it makes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cluster_programs import T, Text
from cluster_runner import Compiled, check, clustered
from mlir import ir

from phalanx.compiler.clusters.stage import collect_reports
from phalanx.compiler.context import context
from phalanx.dialects.errors import CompileError

RNG = np.random.default_rng(7)


def data(*shape: int, scale: float = 1.0) -> Any:
    return (RNG.standard_normal(shape) * scale).astype(np.float32)


def dense(text: Text, x: T, w: T, b: T) -> T:
    return text.binary("addf", text.matmul(x, w), b)


def test_mlp_step_becomes_few_clusters() -> None:
    text = Text()
    x, y = text.argument(6, 5), text.argument(6, 3)
    w1, b1, w2, b2 = text.argument(5, 7), text.argument(7), text.argument(7, 3), text.argument(3)
    hidden = text.unary("math.tanh", dense(text, x, w1, b1))
    logits = dense(text, hidden, w2, b2)
    top = text.reduce(logits, [1], "maximumf", "0xFF800000")
    powers = text.unary("math.exp", text.binary("subf", logits, top, maps=["d0, d1", "d0"]))
    total = text.reduce(powers, [1])
    p = text.binary("divf", powers, total, maps=["d0, d1", "d0"])
    error = text.scale(text.binary("subf", p, y), "0.01")
    w2_gradient = text.matmul(text.transpose(hidden, [1, 0]), error)
    b2_gradient = text.reduce(error, [0])
    back = text.matmul(error, text.transpose(w2, [1, 0]))
    slope = text.elementwise(
        "%c = arith.constant 1.0 : f32\n%s = arith.mulf %x0, %x0 : f32\n%r = arith.subf %c, %s : f32", [hidden]
    )
    back = text.binary("mulf", back, slope)
    w1_gradient, b1_gradient = text.matmul(text.transpose(x, [1, 0]), back), text.reduce(back, [0])
    new = [
        text.binary("subf", old, g) for old, g in ((w1, w1_gradient), (b1, b1_gradient), (w2, w2_gradient), (b2, b2_gradient))
    ]
    source = text.finish([p, *new])

    X, Y, W1, B1, W2, B2 = data(6, 5), data(6, 3), data(5, 7), data(7), data(7, 3), data(3)
    H = np.tanh(X @ W1 + B1)
    L = H @ W2 + B2
    E = np.exp(L - L.max(1, keepdims=True))
    P = E / E.sum(1, keepdims=True)
    D = (P - Y) * np.float32(0.01)
    Z = (D @ W2.T) * (1 - H * H)
    expected = [P, W1 - X.T @ Z, B1 - Z.sum(0), W2 - H.T @ D, B2 - D.sum(0)]
    program = check(source, [X, Y, W1, B1, W2, B2], expected)
    assert program.report.clusters <= 8
    assert program.report.copies == 0


def test_attention_has_no_copies() -> None:
    text = Text()
    s, d, h = 6, 8, 2
    x, w = text.argument(s, d), text.argument(d, 3 * d)
    qkv = text.matmul(x, w)

    def head(i: int) -> T:
        part = text.slice(qkv, [0, i * d], [s, d])
        return text.transpose(text.expand(part, [[0], [1, 2]], [s, h, d // h]), [1, 0, 2])

    q, k, v = head(0), head(1), head(2)
    scores = text.matmul(q, text.transpose(k, [0, 2, 1]))
    top = text.reduce(scores, [2], "maximumf", "0xFF800000")
    powers = text.unary("math.exp", text.binary("subf", scores, top, maps=["d0, d1, d2", "d0, d1"]))
    p = text.binary("divf", powers, text.reduce(powers, [2]), maps=["d0, d1, d2", "d0, d1"])
    out = text.collapse(text.transpose(text.matmul(p, v), [1, 0, 2]), [[0], [1, 2]], [s, d])
    source = text.finish([text.binary("addf", out, x)])

    X, W = data(s, d), data(d, 3 * d, scale=0.3)
    Q, K, V = (a.reshape(s, h, d // h).transpose(1, 0, 2) for a in np.split(X @ W, 3, axis=1))
    S = Q @ K.transpose(0, 2, 1)
    E = np.exp(S - S.max(2, keepdims=True))
    P = E / E.sum(2, keepdims=True)
    program = check(source, [X, W], [(P @ V).transpose(1, 0, 2).reshape(s, d) + X], rtol=1e-4)
    assert program.report.copies == 0
    assert program.report.clusters <= 5


def heat(trips: Any, dims: tuple[str, ...] = ()) -> str:
    text = Text(dims)
    n = 10
    u = text.argument(n, n)

    def step(i: str, u: T) -> list[T]:
        m = n - 2
        middle, up, down, left, right = (text.slice(u, o, [m, m]) for o in ([1, 1], [0, 1], [2, 1], [1, 0], [1, 2]))
        around = text.binary("addf", text.binary("addf", up, down), text.binary("addf", left, right))
        change = text.scale(text.binary("subf", around, text.scale(middle, "4.0")), "0.1")
        return [text.insert(text.binary("addf", middle, change), u, [1, 1], [m, m])]

    return text.finish(text.loop(trips, [u], step))


def heat_numpy(u: Any, trips: int) -> Any:
    u = u.copy()
    for _ in range(trips):
        c = u[1:-1, 1:-1]
        u[1:-1, 1:-1] = c + np.float32(0.1) * (u[:-2, 1:-1] + u[2:, 1:-1] + u[1:-1, :-2] + u[1:-1, 2:] - 4 * c)
    return u


@pytest.mark.parametrize("trips", [0, 1, 2, 3, 1000])
def test_stencil_loop(trips: int) -> None:
    u = data(10, 10)
    program = check(heat(trips), [u], [heat_numpy(u, trips)], rtol=1e-4)
    if trips > 1:
        assert program.report.copies == 2  # both buffers start with the initial value, none in the loop


@pytest.mark.parametrize("trips", [0, 1, 2, 7])
def test_stencil_loop_with_a_trip_count_of_run_time(trips: int) -> None:
    u = data(10, 10)
    check(heat("t", ("t",)), [u], [heat_numpy(u, trips)], dims=[trips], rtol=1e-4)


def test_lstm_scan_runs_without_copies() -> None:
    text = Text()
    steps, batch, inner, n = 5, 2, 3, 4
    x, wx, wh = text.argument(steps, batch, inner), text.argument(inner, 4 * n), text.argument(n, 4 * n)
    b, h0, c0 = text.argument(4 * n), text.argument(batch, n), text.argument(batch, n)
    ys0 = text.fill([steps, batch, n], "0.0")
    sigmoid = "\n".join(
        [
            "%c = arith.constant 1.0 : f32",
            "%n = arith.negf %x0 : f32",
            "%e = math.exp %n : f32",
            "%d = arith.addf %e, %c : f32",
            "%r = arith.divf %c, %d : f32",
        ]
    )

    def step(t: str, h: T, c: T, ys: T) -> list[T]:
        row = text.slice(x, [t, 0, 0], [1, batch, inner], shape=[batch, inner])
        gates = text.binary("addf", text.binary("addf", text.matmul(row, wx), text.matmul(h, wh)), b)
        i, f, g, o = (text.slice(gates, [0, k * n], [batch, n]) for k in range(4))
        i, f, o = (text.elementwise(sigmoid, [v]) for v in (i, f, o))
        c = text.binary("addf", text.binary("mulf", f, c), text.binary("mulf", i, text.unary("math.tanh", g)))
        h = text.binary("mulf", o, text.unary("math.tanh", c))
        return [h, c, text.insert(h, ys, [t, 0, 0], [1, batch, n])]

    source = text.finish(text.loop(steps, [h0, c0, ys0], step))
    X, WX, WH, B = data(steps, batch, inner), data(inner, 4 * n), data(n, 4 * n), data(4 * n)
    H0, C0 = data(batch, n), data(batch, n)
    H, C, YS = H0, C0, []
    for t in range(steps):
        gates = np.split(X[t] @ WX + H @ WH + B, 4, axis=1)
        enter, forget, leave = (1 / (1 + np.exp(-gates[k])) for k in (0, 1, 3))
        C = forget * C + enter * np.tanh(gates[2])
        H = leave * np.tanh(C)
        YS.append(H)
    program = check(source, [X, WX, WH, B, H0, C0], [H, C, np.stack(YS)], rtol=1e-4)
    assert program.report.copies == 2  # h0 and c0, before the loop
    body = program.text[program.text.index("scf.for") :].split("}")[0]
    assert body.count("call @") == 3


def test_newton_while_stays_in_registers() -> None:
    text = Text()
    a = text.argument()
    one = text.fill([], "1.0")

    def more(x: T, d: T) -> str:
        return text.compare("ogt", text.extract(d), "1.0e-6")

    def step(x: T, d: T) -> list[T]:
        new = text.scale(text.binary("addf", x, text.binary("divf", a, x)), "0.5")
        move = text.binary("subf", new, x)
        return [new, text.binary("mulf", move, move)]

    source = text.finish(text.repeat_while([a, one], more, step))
    program = check(source, [np.float32(7.0)], [np.float32(7.0) ** 0.5, np.float32(0)], rtol=1e-4)
    assert program.report.calls == 0


def test_while_on_arrays_updates_in_place() -> None:
    text = Text()
    x0 = text.argument(5)

    def more(x: T) -> str:
        return text.compare("olt", text.extract(text.reduce(x, [0])), "100.0")

    source = text.finish(text.repeat_while([x0], more, lambda x: [text.scale(x, "2.0")]))
    for start in (np.full(5, 1.5, np.float32), np.full(5, 50, np.float32)):
        x = start
        while x.sum() < 100:
            x = x * 2
        program = check(source, [start], [x])
    assert program.report.copies == 1


@pytest.mark.parametrize("trips", [0, 1, 2, 5])
def test_swapped_carries(trips: int) -> None:
    text = Text()
    a, b = text.argument(4), text.argument(4)
    source = text.finish(text.loop(trips, [a, b], lambda i, a, b: [b, text.binary("addf", a, b)]))
    A, B = data(4), data(4)
    x, y = A, B
    for _ in range(trips):
        x, y = y, x + y
    check(source, [A, B], [x, y])


def test_carry_returned_twice_and_passed_through() -> None:
    text = Text()
    a, b = text.argument(4), text.argument(4)

    def step(i: str, x: T, y: T, z: T) -> list[T]:
        s = text.binary("addf", x, y)
        return [s, s, z]

    r = text.loop(3, [a, b, a], step)
    source = text.finish([r[0], r[1], r[2], r[0], a])
    A, B = data(4), data(4)
    x, y = A, B
    for _ in range(3):
        x = y = x + y
    check(source, [A, B], [x, y, A, x, A])


def test_old_value_still_read_after_the_new_one_is_made() -> None:
    text = Text()
    a, b = text.argument(4), text.argument(4)

    def step(i: str, x: T, y: T) -> list[T]:
        new = text.scale(x, "2.0")
        return [new, text.binary("addf", y, x)]

    source = text.finish(text.loop(3, [a, b], step))
    A, B = data(4), data(4)
    x, y = A, B
    for _ in range(3):
        x, y = x * 2, y + x
    check(source, [A, B], [x, y])


def test_nested_loops_carry_in_place() -> None:
    text = Text()
    a = text.argument(4)

    def outer(i: str, x: T) -> list[T]:
        return text.loop(3, [x], lambda j, v: [text.scale(v, "1.5")])

    A = data(4)
    program = check(text.finish(text.loop(2, [a], outer)), [A], [A * np.float32(1.5) ** 6])
    assert program.report.copies == 1


@pytest.mark.parametrize("trips", [1, 2, 3])
def test_matrix_power_needs_two_buffers(trips: int) -> None:
    text = Text()
    a, w = text.argument(3, 3), text.argument(3, 3)
    source = text.finish(text.loop(trips, [a], lambda i, x: [text.matmul(x, w)]))
    A, W = data(3, 3), data(3, 3)
    program = check(source, [A, W], [A @ np.linalg.matrix_power(W, trips)], rtol=1e-4)
    assert program.report.copies == 0


@pytest.mark.parametrize(("number", "threshold"), [("0.0", 0.0), ("1.0e9", 1e9)])
def test_branches(number: str, threshold: float) -> None:
    text = Text()
    x, y = text.argument(2, 3), text.argument(2, 3)
    total = text.extract(text.reduce(x, [0, 1]))
    positive = text.compare("ogt", total, number)
    r = text.branch(
        positive,
        lambda: [text.binary("addf", x, y), y, text.fill([], "1.0")],
        lambda: [x, text.scale(x, "3.0"), text.reduce(y, [0, 1])],
    )
    X, Y = np.abs(data(2, 3)) + 1, data(2, 3)
    expected = [X + Y, Y, np.float32(1)] if X.sum() > threshold else [X, X * 3, Y.sum()]
    check(text.finish(r), [X, Y], expected)


def test_results_that_are_arguments_views_constants_and_duplicates() -> None:
    text = Text()
    x = text.argument(2, 3)
    y = text.scale(x, "2.0")
    part = text.slice(y, [0, 1], [2, 2])
    source = text.finish(
        [x, text.transpose(x, [1, 0]), y, y, part, text.transpose(part, [1, 0]), text.fill([2], "4.0"), text.fill([], "5.0")]
    )
    X = data(2, 3)
    Y = X * 2
    check(source, [X], [X, X.T, Y, Y, Y[:, 1:], Y[:, 1:].T, np.full(2, 4, np.float32), np.float32(5)])


def test_concatenation_is_written_in_place() -> None:
    text = Text()
    x = text.argument(2, 3)
    a, b = text.scale(x, "2.0"), text.scale(x, "3.0")
    joined = text.insert(a, text.empty([4, 3]), [0, 0], [2, 3])
    joined = text.insert(b, joined, [2, 0], [2, 3])
    X = data(2, 3)
    program = check(text.finish([joined]), [X], [np.concatenate([X * 2, X * 3])])
    assert program.report.copies == 0
    assert program.report.arena_bytes == 0


def test_pieces_that_depend_on_each_other() -> None:
    text = Text()
    x = text.argument(2, 3)
    a = text.scale(x, "2.0")
    b = text.unary("math.exp", text.transpose(text.expand(text.reduce(a, [1]), [[0, 1]], [2, 1]), [0, 1]))
    wide = text.insert(b, text.empty([2, 4]), [0, 0], [2, 1])
    wide = text.insert(a, wide, [0, 1], [2, 3])
    again = text.insert(a, text.insert(text.binary("addf", a, a), text.fill([4, 3], "1.0"), [0, 0], [2, 3]), [1, 0], [2, 3])
    X = data(2, 3)
    A = X * 2
    expected = np.ones((4, 3), np.float32)
    expected[:2] = A + A
    expected[1:3] = A
    check(text.finish([wide, again]), [X], [np.concatenate([np.exp(A.sum(1, keepdims=True)), A], 1), expected], rtol=1e-4)


def test_overlapping_updates_of_a_value_that_is_read_before_and_after() -> None:
    text = Text()
    x = text.argument(6)
    base = text.scale(x, "2.0")
    first = text.insert(text.slice(base, [2], [3]), base, [0], [3])
    middle = text.binary("addf", first, base)
    second = text.insert(text.slice(middle, [0], [4]), first, [1], [4])
    third = text.insert(text.slice(second, [0], [2]), second, [4], [2], [1])
    strided = text.insert(text.slice(third, [0], [3]), third, [1], [3], [2])
    X = data(6)
    B = X * 2
    F = B.copy()
    F[0:3] = B[2:5]
    M = F + B
    S = F.copy()
    S[1:5] = M[:4]
    H = S.copy()
    H[4:6] = S[:2]
    W = H.copy()
    W[1::2] = H[:3]
    check(text.finish([first, middle, second, third, strided]), [X], [F, M, S, H, W])


def test_zero_sizes_and_rank_zero() -> None:
    text = Text()
    x, s = text.argument(0, 3), text.argument()
    y = text.scale(x, "2.0")
    total = text.reduce(y, [0])
    z = text.binary("addf", total, s, maps=["d0", ""])
    everything = text.binary("mulf", text.reduce(y, [0, 1]), s)
    X, S = np.zeros((0, 3), np.float32), np.float32(3)
    check(
        text.finish([y, total, z, everything]), [X, S], [X, np.zeros(3, np.float32), np.full(3, 3, np.float32), np.float32(0)]
    )


@pytest.mark.parametrize(("n", "m"), [(3, 5), (1, 1), (0, 4), (4, 0)])
def test_dynamic_sizes(n: int, m: int) -> None:
    text = Text(["n", "m"])
    x, b, y = text.argument("n", 4), text.argument(4), text.argument("m", 4)
    z = text.binary("addf", x, b)
    mean = text.scale(text.reduce(z, [1]), "0.25")
    centred = text.binary("subf", z, mean, maps=["d0, d1", "d0"])
    products = text.matmul(centred, text.transpose(y, [1, 0]))
    shifted = text.unary("math.exp", products)
    source = text.finish([centred, products, shifted])
    X, B, Y = data(n, 4), data(4), data(m, 4, scale=0.2)
    Z = X + B
    C = Z - Z.mean(1, keepdims=True)
    program = check(source, [X, B, Y], [C, C @ Y.T, np.exp(C @ Y.T)], dims=[n, m], rtol=1e-4)
    assert program.report.calls <= 2


def test_dynamic_temporaries_share_slots() -> None:
    text = Text(["n"])
    x = text.argument("n", 2)
    y = x
    for _ in range(6):
        y = text.matmul(y, text.fill([2, 2], "0.5"))
    X = data(9, 2)
    Y = X
    for _ in range(6):
        Y = Y @ np.full((2, 2), 0.5, np.float32)
    check(text.finish([y]), [X], [Y], dims=[9], rtol=1e-4)


def test_identical_clusters_are_one_function() -> None:
    text = Text()
    x, w, b = text.argument(4, 4), text.argument(4, 4), text.argument(4)
    y = x
    for _ in range(8):
        y = text.unary("math.tanh", dense(text, y, w, b))
    with context(), ir.Location.unknown():
        _, report = clustered(text.finish([y]))
    assert report.clusters == 8
    assert report.functions <= 2  # the two ping-pong halves of the arena do not differ inside a function


def test_every_op_keeps_a_location() -> None:
    text = Text()
    x = text.argument(4, 4)
    y = text.unary("math.exp", text.matmul(x, x))
    with context(), ir.Location.unknown():
        module, _ = clustered(text.finish([y]))
        lines = module.operation.get_asm(enable_debug_info=True)
    call = next(line for line in lines.splitlines() if "call @con" in line)
    assert "loc(#loc" in call
    assert 'loc("user.py"' in lines


def test_in_place_on_death_saves_a_buffer() -> None:
    text = Text()
    x = text.argument(64, 64)
    y = text.matmul(x, x)
    s = text.reduce(y, [0])
    z = text.binary("addf", y, s)
    source = text.finish([text.matmul(z, z)])
    program = Compiled(source)
    assert program.report.arena_bytes == 64 * 64 * 4
    X = data(64, 64)
    Y = X @ X
    Z = Y + Y.sum(0)
    check(source, [X], [Z @ Z], rtol=1e-2)


def test_reports_are_collected_with_remarks_at_the_users_line() -> None:
    text = Text()
    x = text.argument(4, 4)
    y = text.matmul(text.unary("math.exp", x), x)
    source = text.finish([text.reduce(text.unary("math.exp", y), [1])])
    with context(), ir.Location.unknown(), collect_reports() as reports:
        clustered(source)
    assert [report.clusters for report in reports] == [3]
    messages = {remark.message: remark for remark in reports[0].remarks}
    missed = messages["not fused: a reduction of a contraction runs after it"]
    assert missed.missed
    assert '"user.py"' in missed.location
    assert any(message.startswith("fused with line") for message in messages)


def test_unknown_ops_are_refused_with_their_location() -> None:
    source = """
func.func @main(%x: tensor<4xf32>) -> tensor<6xf32> {
  %c = arith.constant 0.0 : f32
  %0 = tensor.pad %x low[1] high[1] {
  ^bb0(%i: index):
    tensor.yield %c : f32
  } : tensor<4xf32> to tensor<6xf32> loc("user.py":5:3)
  return %0 : tensor<6xf32>
}"""
    with context(), ir.Location.unknown(), pytest.raises(CompileError, match=r"tensor\.pad.*no rule") as caught:
        clustered(source)
    assert '"user.py":5:3' in str(caught.value)
