"""The clusters stage on the less common ops: gathers, windows, argmax, opaque loops, host calls, dtypes."""

from __future__ import annotations

import ctypes
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from cluster_programs import T, Text
from cluster_runner import Compiled, check

from phalanx.dialects.errors import CompileError

RNG = np.random.default_rng(11)


def data(*shape: int) -> Any:
    return RNG.standard_normal(shape).astype(np.float32)


def test_reversed_strided_diagonal_and_constant_maps() -> None:
    text = Text()
    x, m = text.argument(6), text.argument(4, 4)
    copy, mul = "%r = arith.addf %x0, %x0 : f32", "%r = arith.mulf %x0, %x1 : f32"
    reverse = text.elementwise(copy, [x], [6], ["5 - d0"])
    evens = text.elementwise(copy, [x], [3], ["2 * d0 + 1"])
    diagonal = text.elementwise(copy, [m], [4], ["d0, d0"])
    row = text.elementwise(copy, [m], [4], ["2, d0"])
    turned = text.elementwise(mul, [m, m], [4, 4], ["d1, d0", "3 - d0, d1"])
    windows = text.empty([2, 3])
    body = ["%s = arith.addf %x0, %x0 : f32", "linalg.yield %s : f32"]
    window = text.generic([(x, "d0 * 2 + d1")], [(windows, "d0, d1")], "pp", body)[0]
    X, M = data(6), data(4, 4)
    expected = [X[::-1] * 2, X[1::2] * 2, M.diagonal() * 2, M[2] * 2, M.T * M[::-1], np.stack([X[0:3], X[2:5]]) * 2]
    check(text.finish([reverse, evens, diagonal, row, turned, window]), [X, M], expected)


def test_permuted_output_map() -> None:
    text = Text()
    x = text.argument(2, 3)
    out = text.empty([3, 2])
    body = ["%s = arith.addf %x0, %x0 : f32", "linalg.yield %s : f32"]
    y = text.generic([(x, "d0, d1")], [(out, "d1, d0")], "pp", body)[0]
    z = text.unary("math.exp", y)
    X = data(2, 3)
    program = check(text.finish([y, z]), [X], [X.T * 2, np.exp(X.T * 2)])
    assert program.report.clusters == 1


def test_reduction_of_a_fill_has_no_input() -> None:
    text = Text()
    x = text.argument(3)
    counts = text.reduce(text.fill([3, 5], "1.0"), [1])
    X = data(3)
    check(text.finish([counts, text.binary("addf", counts, x)]), [X], [np.full(3, 5, np.float32), X + 5])


def test_reduction_of_a_broadcast() -> None:
    text = Text()
    x = text.argument(3)
    name = text.fresh()
    out = text.empty([3, 4])
    text.emit(f"{name} = linalg.broadcast ins({x.name} : {x.type}) outs({out.name} : {out.type}) dimensions = [1]")
    wide = T(name, (3, 4))
    total = text.reduce(wide, [1])
    X = data(3)
    check(text.finish([total, text.scale(wide, "2.0")]), [X], [X * 4, np.repeat(X[:, None], 4, 1) * 2])


def test_reduction_that_starts_from_a_tensor() -> None:
    text = Text()
    x, start = text.argument(3, 4), text.argument(3)
    y = text.scale(start, "2.0")
    body = ["%s = arith.addf %o0, %x0 : f32", "linalg.yield %s : f32"]
    total = text.generic([(x, "d0, d1")], [(y, "d0")], "pr", body)[0]
    X, S = data(3, 4), data(3)
    check(text.finish([total, text.binary("addf", total, y)]), [X, S], [S * 2 + X.sum(1), S * 4 + X.sum(1)])


def test_elementwise_that_reads_its_output() -> None:
    text = Text()
    x, y = text.argument(3), text.argument(3)
    z = text.scale(y, "2.0")
    body = ["%s = arith.addf %o0, %x0 : f32", "linalg.yield %s : f32"]
    r = text.generic([(x, "d0")], [(z, "d0")], "p", body)[0]
    q = text.generic([(x, "d0")], [(text.fill([3], "4.0"), "d0")], "p", body)[0]
    X, Y = data(3), data(3)
    check(text.finish([r, q, z]), [X, Y], [X + 2 * Y, X + 4, 2 * Y])


def test_argmax_has_two_results() -> None:
    text = Text()
    x = text.argument(3, 5)
    best, where = text.fill([3], "0xFF800000"), text.fill([3], "0", "i32")
    body = [
        "%i = linalg.index 1 : index",
        "%j = arith.index_cast %i : index to i32",
        "%g = arith.cmpf ogt, %x0, %o0 : f32",
        "%v = arith.select %g, %x0, %o0 : f32",
        "%k = arith.select %g, %j, %o1 : i32",
        "linalg.yield %v, %k : f32, i32",
    ]
    value, position = text.generic([(x, "d0, d1")], [(best, "d0"), (where, "d0")], "pr", body)
    doubled = text.scale(value, "2.0")
    X = data(3, 5)
    program = check(text.finish([position, doubled]), [X], [X.argmax(1).astype(np.int32), X.max(1) * 2])
    assert program.report.clusters == 1


def test_iota_uses_the_index_of_the_new_loops() -> None:
    text = Text()
    out = text.empty([1, 4, 3], "i32")
    body = [
        "%a = linalg.index 1 : index",
        "%b = linalg.index 2 : index",
        "%z = linalg.index 0 : index",
        "%n = arith.constant 10 : index",
        "%m = arith.muli %a, %n : index",
        "%s = arith.addi %m, %b : index",
        "%t = arith.addi %s, %z : index",
        "%v = arith.index_cast %t : index to i32",
        "linalg.yield %v : i32",
    ]
    r = text.generic([], [(out, "d0, d1, d2")], "ppp", body)[0]
    check(text.finish([r]), [], [(np.arange(4)[:, None] * 10 + np.arange(3)).astype(np.int32)[None]])


def test_gather_reads_a_captured_tensor() -> None:
    text = Text()
    x, rows = text.argument(5, 3), text.argument(4, element="i32")
    y = text.scale(x, "2.0")
    out = text.empty([4, 3])
    body = [
        "%i = arith.index_cast %x0 : i32 to index",
        "%j = linalg.index 1 : index",
        f"%v = tensor.extract {y.name}[%i, %j] : {y.type}",
        "linalg.yield %v : f32",
    ]
    g = text.generic([(rows, "d0")], [(out, "d0, d1")], "pp", body)[0]
    X, R = data(5, 3), np.array([4, 0, 2, 2], np.int32)
    check(text.finish([text.unary("math.exp", g)]), [X, R], [np.exp(2 * X)[R]])


def test_scalars_of_the_driver_reach_bodies_and_slices() -> None:
    text = Text()
    x, where = text.argument(6), text.argument(element="i32")
    start, factor = text.fresh(), text.extract(x, text.index(2))
    raw = text.extract(where)
    text.emit(f"{start} = arith.index_cast {raw} : i32 to index")
    part = text.slice(x, [start[1:]], [3])
    scaled = text.elementwise(f"%r = arith.mulf %x0, {factor} : f32", [part])
    inserted = text.insert(scaled, text.scale(x, "1.0"), [start[1:]], [3])
    X = data(6)
    expected = X.copy()
    expected[3:6] = X[3:6] * X[2]
    check(text.finish([scaled, inserted]), [X, np.int32(3)], [X[3:6] * X[2], expected])


def test_scalar_branch_and_scalar_loop() -> None:
    text = Text()
    x = text.argument(4)
    big = text.compare("ogt", text.extract(x, text.index(0)), "0.0")
    one, two, chosen = text.fresh(), text.fresh(), text.fresh()
    text.emit(f"{one} = arith.constant 1.0 : f32")
    text.emit(f"{two} = arith.constant 2.0 : f32")
    text.lines.append(f"{chosen} = scf.if {big} -> (f32) {{\nscf.yield {one} : f32\n}} else {{\nscf.yield {two} : f32\n}}")
    low, high, step, total = text.index(0), text.index(4), text.index(1), text.fresh()
    text.lines.append(
        f"{total} = scf.for %i = {low} to {high} step {step} iter_args(%acc = {chosen}) -> (f32) {{\n"
        f"%e = tensor.extract {x.name}[%i] : {x.type}\n%n = arith.addf %acc, %e : f32\nscf.yield %n : f32\n}}"
    )
    made = T(text.fresh(), ())
    text.emit(f"{made.name} = tensor.from_elements {total} : {made.type}")
    pair = T(text.fresh(), (2,))
    text.emit(f"{pair.name} = tensor.from_elements {total}, {chosen} : {pair.type}")
    y = text.binary("addf", x, made, maps=["d0", ""])
    for sign in (1, -1):
        X = np.array([1, 2, 3, 4], np.float32) * sign
        t = X.sum() + (1 if sign > 0 else 2)
        check(text.finish([y, made, pair]), [X], [X + t, t, np.array([t, 1 if sign > 0 else 2], np.float32)])


def opaque_cumsum(text: Text, x: T, init: T, n: Any) -> T:
    low, high, step, out = text.index(0), text.size(n), text.index(1), text.fresh()
    zero = text.fresh()
    text.emit(f"{zero} = arith.constant 0.0 : f32")
    text.lines.append(
        f"{out}:2 = scf.for %i = {low} to {high} step {step} iter_args(%t = {init.name}, %s = {zero})"
        f" -> ({init.type}, f32) {{\n"
        f"%e = tensor.extract {x.name}[%i] : {x.type}\n%a = arith.addf %s, %e : f32\n"
        f"%n2 = tensor.insert %a into %t[%i] : {init.type}\nscf.yield %n2, %a : {init.type}, f32\n}} {{px.opaque}}"
    )
    return T(out + "#0", init.shape)


def opaque_scatter_add(text: Text, rows: T, values: T, init: T, n: Any) -> T:
    low, high, step, out = text.index(0), text.size(n), text.index(1), text.fresh()
    text.lines.append(
        f"{out} = scf.for %i = {low} to {high} step {step} iter_args(%t = {init.name}) -> ({init.type}) {{\n"
        f"%r = tensor.extract {rows.name}[%i] : {rows.type}\n%k = arith.index_cast %r : i32 to index\n"
        f"%v = tensor.extract {values.name}[%i] : {values.type}\n%o = tensor.extract %t[%k] : {init.type}\n"
        f"%s = arith.addf %o, %v : f32\n%n2 = tensor.insert %s into %t[%k] : {init.type}\n"
        f'scf.yield %n2 : {init.type}\n}} {{px.opaque}} loc("user.py":77:3)'
    )
    return T(out, init.shape)


def test_opaque_scatter_starts_from_a_copy_or_in_place() -> None:
    text = Text()
    x, rows, values = text.argument(5), text.argument(4, element="i32"), text.argument(4)
    y = text.scale(x, "2.0")
    doubled = text.scale(values, "2.0")
    first = opaque_scatter_add(text, rows, doubled, y, 4)
    second = opaque_scatter_add(text, rows, values, x, 4)
    onto_zero = opaque_scatter_add(text, rows, values, text.fill([5], "0.0"), 4)
    after = text.binary("addf", first, second)
    X, R, V = data(5), np.array([1, 3, 1, 0], np.int32), data(4)
    F, S, Z = X * 2, X.copy(), np.zeros(5, np.float32)
    np.add.at(F, R, V * 2)
    np.add.at(S, R, V)
    np.add.at(Z, R, V)
    program = check(text.finish([first, after, onto_zero, x]), [X, R, V], [F, F + S, Z, X])
    assert program.report.copies == 2  # x is the caller's: copied once for `second`, once as a result
    assert "px.inout" in program.text


def test_opaque_scatter_keeps_a_value_that_is_read_later() -> None:
    text = Text()
    x, rows, values = text.argument(5), text.argument(4, element="i32"), text.argument(4)
    y = text.scale(x, "2.0")
    first = opaque_scatter_add(text, rows, values, y, 4)
    X, R, V = data(5), np.array([1, 3, 1, 0], np.int32), data(4)
    F = X * 2
    np.add.at(F, R, V)
    check(text.finish([text.binary("addf", first, y), first]), [X, R, V], [F + X * 2, F])


@pytest.mark.parametrize("n", [5, 0, 1])
def test_opaque_scan_with_a_scalar_carry_and_a_dynamic_size(n: int) -> None:
    text = Text(["n"])
    x = text.argument("n")
    total = opaque_cumsum(text, text.scale(x, "2.0"), text.empty(["n"]), "n")
    X = data(n)
    check(text.finish([total]), [X], [np.cumsum(X * 2).astype(np.float32)], dims=[n], rtol=1e-4)


def test_host_calls_see_contiguous_operands_in_order() -> None:
    text = Text()
    x = text.argument(2, 3)
    text.header += [
        "func.func private @px_host_0(tensor<3x2xf32>) -> tensor<2xf32> attributes {px.host = 0}",
        "func.func private @px_host_1(tensor<2x3xf32>) attributes {px.host = 1}",
    ]
    turned = text.transpose(text.scale(x, "2.0"), [1, 0])
    answer = T(text.fresh(), (2,))
    text.emit(f"{answer.name} = func.call @px_host_0({turned.name}) : ({turned.type}) -> {answer.type}")

    def step(i: str, v: T) -> list[T]:
        text.emit(f"func.call @px_host_1({x.name}) : ({x.type}) -> ()")
        return [text.scale(v, "3.0")]

    looped = text.loop(2, [answer], step)[0]
    program = Compiled(text.finish([looped]))
    X = data(2, 3)
    seen: list[tuple[int, Any]] = []

    def host(site: int, buffers: Any) -> None:
        floats = [np.ctypeslib.as_array(ctypes.cast(buffers[k], ctypes.POINTER(ctypes.c_float)), (6,)) for k in range(1)]
        seen.append((site, floats[0].copy()))
        if site == 0:
            out = np.ctypeslib.as_array(ctypes.cast(buffers[1], ctypes.POINTER(ctypes.c_float)), (2,))
            out[:] = floats[0][:2]

    program.host = host
    result = program([X], [((2,), np.float32)])[0]
    np.testing.assert_allclose(result, (2 * X.T).ravel()[:2] * 9, rtol=1e-6)
    assert [site for site, _ in seen] == [0, 1, 1] * 2
    np.testing.assert_allclose(seen[0][1], (2 * X.T).ravel())


@pytest.mark.parametrize("element", ["i8", "i16", "i32", "i64", "f16", "bf16", "f32", "f64"])
def test_every_element_type(element: str) -> None:
    kinds = {"f16": np.float16, "bf16": ml_dtypes.bfloat16, "f32": np.float32, "f64": np.float64}
    dtype = np.dtype(kinds.get(element, element.replace("i", "int") if element[0] == "i" else None))
    integer = element.startswith("i")
    op = "addi" if integer else "addf"
    text = Text()
    x, y = text.argument(3, 4, element=element), text.argument(4, element=element)
    z = text.binary(op, x, y)
    part = text.slice(z, [1, 1], [2, 2])
    joined = text.insert(part, text.fill([3, 4], "1" if integer else "1.0", element), [0, 2], [2, 2])
    constant = T(text.fresh(), (3,), element)
    values = "1, 2, 3" if integer else "1.5, -2.0, 3.0"
    text.emit(f"{constant.name} = arith.constant dense<[{values}]> : {constant.type}")
    total = text.binary(op, constant, constant)
    X, Y = np.arange(12).reshape(3, 4).astype(dtype), np.arange(4).astype(dtype)
    Z = X + Y
    J = np.ones((3, 4), dtype)
    J[0:2, 2:4] = Z[1:3, 1:3]
    C = np.array([1, 2, 3] if integer else [1.5, -2, 3]).astype(dtype)
    program = Compiled(text.finish([z, joined, total, constant]))
    got = program([X, Y], [(a.shape, dtype) for a in (Z, J, C, C)])
    for ours, theirs in zip(got, (Z, J, C + C, C), strict=True):
        np.testing.assert_array_equal(ours.astype(np.float64), theirs.astype(np.float64))


def test_while_that_forwards_something_else() -> None:
    """Canonicalisation drops carried values that the second block does not need, and forwards computed ones."""
    text = Text()
    x, limit = text.argument(3), text.argument()
    types = f"{x.type}, {limit.type}"
    out = text.fresh()
    text.lines.append(f"{out}:2 = scf.while (%p = {x.name}, %q = {limit.name}) : ({types}) -> ({x.type}, {x.type}) {{")
    p, q = T("%p", (3,)), T("%q", ())
    doubled = text.scale(p, "2.0")
    proceed = text.compare("ogt", text.extract(q), "0.0")
    text.emit(f"scf.condition({proceed}) {doubled.name}, {p.name} : {x.type}, {x.type}")
    text.lines.append(f"}} do {{\n^bb0(%d: {x.type}, %e: {x.type}):")
    d, e = T("%d", (3,)), T("%e", (3,))
    following = text.binary("addf", d, text.scale(e, "0.5"))
    less = text.scale(text.reduce(e, [0]), "0.0")
    text.emit(f"scf.yield {following.name}, {less.name} : {types}")
    text.emit("}")
    source = text.finish([T(f"{out}#0", (3,)), T(f"{out}#1", (3,))])
    X = data(3)
    for limit_value in (np.float32(1), np.float32(0)):
        P = X * np.float32(2.5) if limit_value > 0 else X
        check(source, [X, limit_value], [P * 2, P])


def test_conditional_inside_a_loop_carries_the_old_value() -> None:
    text = Text()
    x = text.argument(3)

    def step(i: str, v: T) -> list[T]:
        positive = text.compare("olt", text.extract(text.reduce(v, [0])), "10.0")
        return text.branch(positive, lambda: [text.scale(v, "2.0")], lambda: [v])

    X = np.array([0.5, 0.25, 1.0], np.float32)
    V = X
    for _ in range(6):
        V = V * 2 if V.sum() < 10 else V
    check(text.finish(text.loop(6, [x], step)), [X], [V])


def test_loop_over_dynamic_rows() -> None:
    text = Text(["n"])
    x = text.argument("n", 3)
    acc = text.fill([3], "0.0")
    out = text.empty(["n", 3])

    def step(i: str, total: T, rows: T) -> list[T]:
        row = text.slice(x, [i, 0], [1, 3], shape=[3])
        total = text.binary("addf", total, row)
        return [total, text.insert(total, rows, [i, 0], [1, 3])]

    source = text.finish(text.loop("n", [acc, out], step))
    for n in (0, 1, 6):
        X = data(n, 3)
        program = check(source, [X], [X.sum(0), np.cumsum(X, 0).astype(np.float32)], dims=[n], rtol=1e-4)
    assert program.report.copies == 0


def test_dynamic_reshape_concat_and_tail_slices() -> None:
    text = Text(["n", "m"])
    x, y = text.argument("n", 2), text.argument("m", 2)
    total, flat = text.fresh(), text.fresh()
    text.emit(f"{total} = arith.addi %n, %m : index")
    two = text.index(2)
    text.emit(f"{flat} = arith.muli {total}, {two} : index")
    joined = text.insert(text.scale(x, "2.0"), text.empty([total[1:], 2]), [0, 0], ["n", 2])
    joined = text.insert(y, joined, ["n", 0], ["m", 2])
    line = text.collapse(joined, [[0, 1]], [flat[1:]])
    shifted = text.unary("math.exp", line)
    back = text.expand(shifted, [[0, 1]], [total[1:], 2])
    tail = text.slice(joined, ["n", 0], ["m", 2])
    source = text.finish([joined, back, text.scale(tail, "3.0")])
    for n, m in ((3, 2), (0, 4), (2, 0)):
        X, Y = data(n, 2), data(m, 2)
        J = np.concatenate([X * 2, Y])
        check(source, [X, Y], [J, np.exp(J), Y * 3], dims=[n, m], rtol=1e-4)


def test_temporary_of_a_size_that_only_data_knows_is_refused() -> None:
    text = Text()
    x, count = text.argument(6), text.argument(element="i32")
    raw, n = text.extract(count), text.fresh()
    text.emit(f"{n} = arith.index_cast {raw} : i32 to index")
    part = text.slice(x, [0], [n[1:]])
    squares = text.binary("mulf", part, part)
    folded = text.generic(
        [(squares, "d0")], [(text.empty([n[1:]]), "d0")], "p", ["%s = arith.negf %x0 : f32", "linalg.yield %s : f32"]
    )[0]
    total = text.reduce(text.elementwise("%r = arith.addf %x0, %x1 : f32", [folded, squares], [n[1:]]), [0])
    twice = text.elementwise("%r = arith.mulf %x0, %x1 : f32", [folded, total], [n[1:]], ["d0", ""])
    with pytest.raises(CompileError, match="not on the sizes of the arguments alone"):
        Compiled(text.finish([text.reduce(twice, [0])]), fuse=False)
