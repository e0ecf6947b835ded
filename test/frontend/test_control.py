"""cond, while_loop, fori_loop, scan under both compilers and outside a trace; io_call and print."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import phalanx as px

F32 = np.float32


@pytest.fixture(params=["mlir", "evaluator", "eager"])
def run(request: pytest.FixtureRequest) -> Any:
    """Call a function compiled, evaluated, or as it is."""
    if request.param == "eager":
        yield lambda f, *args: f(*[px.asarray(a) for a in args])
    else:
        with px.options(compiler=request.param):
            yield lambda f, *args: px.jit(f)(*args)


def test_cond(run: Any) -> None:
    def f(x: Any) -> Any:
        return px.cond(x > 0, lambda v: {"a": v * 2, "b": v}, lambda v: {"a": -v, "b": v + 1}, x)

    assert float(run(f, F32(3))["a"]) == 6
    assert float(run(f, F32(-3))["a"]) == 3
    assert float(run(f, F32(-3))["b"]) == -2


def test_nested_cond_and_captures(run: Any) -> None:
    def f(x: Any, y: Any) -> Any:
        return px.cond(x > 0, lambda: px.cond(y > 0, lambda: x + y, lambda: x - y), lambda: y)

    for x, y in ((1, 2), (1, -2), (-1, 5)):
        expected = (x + y if y > 0 else x - y) if x > 0 else y
        assert float(run(f, F32(x), F32(y))) == expected


def test_while(run: Any) -> None:
    def collatz(n: Any) -> Any:
        def body(state: Any) -> Any:
            n, steps = state
            return px.where(n % 2 == 0, n // 2, 3 * n + 1), steps + 1

        return px.while_loop(lambda s: s[0] != 1, body, (n, 0))[1]

    assert int(run(collatz, np.int32(27))) == 111


def test_fori_with_tensor_bounds_and_zero_trips(run: Any) -> None:
    def f(n: Any) -> Any:
        return px.fori_loop(0, n, lambda i, c: c + i, px.asarray(0))

    assert int(run(f, np.int32(10))) == 45
    assert int(run(f, np.int32(0))) == 0
    assert int(run(f, np.int32(-3))) == 0


def test_swapped_carries(run: Any) -> None:
    def f(a: Any, b: Any) -> Any:
        return px.fori_loop(0, 5, lambda i, c: (c[1], c[0] + c[1]), (a, b))

    x, y = run(f, np.arange(3, dtype=F32), np.ones(3, F32))
    a, b = np.arange(3.0), np.ones(3)
    for _ in range(5):
        a, b = b, a + b
    np.testing.assert_array_equal(x.numpy(), a)
    np.testing.assert_array_equal(y.numpy(), b)


def test_scan(run: Any) -> None:
    def f(xs: Any) -> Any:
        return px.scan(lambda c, x: (c + x["a"], {"sum": c, "twice": x["b"] * 2}), px.asarray(0.0), xs)

    def forward(a: Any, b: Any) -> Any:
        return f({"a": a, "b": b})

    a, b = np.arange(4, dtype=F32), np.ones((4, 2), F32)
    total, out = run(forward, a, b)
    assert float(total) == 6
    np.testing.assert_array_equal(out["sum"].numpy(), [0, 0, 1, 3])
    assert out["twice"].shape == (4, 2)


def test_scan_reverse_and_length(run: Any) -> None:
    def f(xs: Any) -> Any:
        return px.scan(lambda c, x: (c * 2 + x, c), px.asarray(0.0), xs, reverse=True)

    total, out = run(f, np.array([1, 2, 3], F32))
    assert float(total) == 1 + 2 * (2 + 2 * 3)
    np.testing.assert_array_equal(out.numpy(), [8, 3, 0])

    def g(x: Any) -> Any:
        return px.scan(lambda c, _: (c + x, None), px.asarray(0.0), None, length=3)[0]

    assert float(run(g, F32(2))) == 6


def test_loop_with_stencil(run: Any) -> None:
    def f(u: Any) -> Any:
        return px.fori_loop(0, 10, lambda i, u: u.at[1:-1].set((u[:-2] + u[2:]) / 2), u)

    u = np.linspace(0, 1, 9, dtype=F32) ** 2
    expected = u.copy()
    for _ in range(10):
        expected[1:-1] = (expected[:-2] + expected[2:]) / 2
    np.testing.assert_allclose(run(f, u).numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize("compiler", ["mlir", "evaluator"])
def test_print_and_io_call(compiler: str, capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[Any] = []

    def f(x: Any) -> Any:
        px.print("start", x)
        x = px.fori_loop(0, 3, lambda i, c: px.io_call(c + i, lambda v: seen.append(v.copy()), name="step"), x)
        px.print("end", x, end="!\n")
        return x

    with px.options(compiler=compiler):
        g = px.jit(f)
        assert float(g(F32(1))) == 4
        assert [float(s) for s in seen] == [1, 2, 4]
        hooked: list[float] = []
        with px.hooks(step=lambda v: hooked.append(float(v))):
            g(F32(0))
        assert hooked == [0, 1, 3]
        assert len(seen) == 3
    assert capsys.readouterr().out == "start 1.0\nend 4.0!\nstart 0.0\nend 3.0!\n"


@pytest.mark.parametrize("compiler", ["mlir", "evaluator"])
def test_exception_in_a_host_call_comes_out(compiler: str) -> None:
    def refuse(_: Any) -> None:
        raise ValueError("not this value")

    with px.options(compiler=compiler), pytest.raises(ValueError, match="not this value"):
        px.jit(lambda x: px.io_call(x, refuse))(1.0)


def test_carry_errors() -> None:
    with pytest.raises(px.ShapeError, match=r"while_loop: the body changes the type of the carry.*f32\[2\] becomes f32\[4\]"):
        px.jit(lambda x: px.while_loop(lambda c: px.sum(c) < 3, lambda c: px.concat([c, c]), x))(np.ones(2, F32))
    with pytest.raises(px.DTypeError, match="fori_loop: the body changes the type of the carry"):
        px.jit(lambda x: px.fori_loop(0, 3, lambda i, c: c + 0.5, x))(np.int32(1))
    with pytest.raises(px.TraceError, match="structure"):
        px.jit(lambda x: px.fori_loop(0, 3, lambda i, c: (c, c), x))(1.0)
    with pytest.raises(px.ShapeError, match="cond: the branches return different types"):
        px.jit(lambda x: px.cond(px.sum(x) > 0, lambda: x, lambda: px.sum(x)))(np.ones(2, F32))
    with pytest.raises(px.ShapeError, match="condition must have rank 0"):
        px.jit(lambda x: px.cond(x > 0, lambda: x, lambda: x))(np.ones(2, F32))
    with pytest.raises(px.TraceError, match="scan: the function returns a pair"):
        px.jit(lambda x: px.scan(lambda c, a: c, 0.0, x))(np.ones(2, F32))
    with pytest.raises(px.ShapeError, match="different leading sizes"):
        px.jit(lambda x, y: px.scan(lambda c, a: (c, c), 0.0, (x, y)))(np.ones(2, F32), np.ones(3, F32))
    with pytest.raises(px.ArgumentError, match="true_fn is a function"):
        px.cond(True, 1, lambda: 2)


def test_leaks_are_refused() -> None:
    kept: list[Any] = []
    px.jit(lambda x: kept.append(x) or x)(1.0)
    with pytest.raises(px.TraceError, match="leaked tracer"):
        px.add(kept[0], 1)
    with pytest.raises(px.TraceError, match="leaked tracer"):
        px.jit(lambda x: x + kept[0])(1.0)

    def from_loop(x: Any) -> Any:
        px.fori_loop(0, 3, lambda i, c: kept.append(c) or c, x)
        return kept[-1]

    with pytest.raises(px.TraceError, match="loop or branch that is over"):
        px.jit(from_loop)(1.0)
