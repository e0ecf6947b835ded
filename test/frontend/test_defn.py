"""defn, jit, compile, spec: signatures, containers, static arguments, captures, caching, the two switches."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
from collections import namedtuple
from typing import Any

import numpy as np
import pytest

import phalanx as px

F32 = np.float32


def ones(*shape: int) -> np.ndarray[Any, Any]:
    return np.ones(shape, F32)


@pytest.fixture(params=["mlir", "evaluator"])
def compiler(request: pytest.FixtureRequest) -> Any:
    with px.options(compiler=request.param):
        yield request.param


def test_defn_with_and_without_arguments(compiler: str) -> None:
    @px.defn
    def plain(x: Any) -> Any:
        return x + 1

    @px.defn(static=("n",))
    def powered(x: Any, n: int = 2) -> Any:
        return x**n

    assert plain(ones(2)).numpy().tolist() == [2, 2]
    assert powered(px.asarray([3.0])).numpy().tolist() == [9]
    assert powered(px.asarray([3.0]), n=3).numpy().tolist() == [27]
    assert powered(px.asarray([3.0]), 1).numpy().tolist() == [3]
    assert plain.__name__ == "plain"


def test_containers_in_and_out(compiler: str) -> None:
    Point = namedtuple("Point", "x y")

    @px.defn
    def f(tree: Any, pair: Any) -> Any:
        return {"sum": tree["a"] + tree["b"][0], "point": Point(pair[0] * 2, pair[1]), "none": None, "list": [tree["a"]]}

    out = f({"a": ones(2), "b": [ones(2)]}, (ones(1), ones(1)))
    assert out["sum"].numpy().tolist() == [2, 2]
    assert isinstance(out["point"], Point)
    assert out["point"].x.numpy().tolist() == [2]
    assert out["none"] is None
    assert isinstance(out["list"], list)


def test_registered_dataclass_keeps_static_fields(compiler: str) -> None:
    @px.register_dataclass(static=("name",))
    @dataclasses.dataclass
    class Layer:
        weight: Any
        name: str

    traces = []

    @px.defn
    def scale(layer: Layer) -> Layer:
        traces.append(layer.name)
        return Layer(layer.weight * 2, layer.name)

    out = scale(Layer(ones(2), "a"))
    assert isinstance(out, Layer)
    assert out.name == "a"
    scale(Layer(ones(2), "a"))
    scale(Layer(ones(2), "b"))
    assert traces == ["a", "b"]


def test_one_trace_per_signature(compiler: str) -> None:
    traces = []

    @px.defn
    def f(x: Any) -> Any:
        traces.append(x.aval)
        return x * 2

    for x in (ones(2), ones(2), ones(3), np.ones(2, np.float64), ones(2)):
        f(x)
    assert [str(t) for t in traces] == ["f32[2]", "f32[3]", "f64[2]"]


def test_captured_tensors_are_hidden_arguments(compiler: str) -> None:
    weight = px.asarray(np.arange(32, dtype=F32))

    @px.defn
    def f(x: Any) -> Any:
        return x + weight

    np.testing.assert_array_equal(f(1.0).numpy(), np.arange(32) + 1)
    traced = f.trace("f32[]")
    assert "captured0" in traced.text
    assert "dense<" not in traced.text


def test_nested_defns_are_inlined(compiler: str) -> None:
    @px.defn
    def inner(x: Any) -> Any:
        return x * 3

    @px.defn
    def outer(x: Any) -> Any:
        return inner(x) + inner(x + 1)

    assert outer(px.asarray(1.0)).numpy() == 9
    assert inner(px.asarray(1.0)).numpy() == 3


def test_keyword_arguments_and_defaults(compiler: str) -> None:
    @px.defn
    def f(a: Any, *, b: Any = 2.0, **rest: Any) -> Any:
        return a + b + sum(rest.values())

    assert f(1.0).numpy() == 3
    assert f(1.0, b=5.0).numpy() == 6
    assert f(1.0, c=10.0, b=1.0).numpy() == 12


def test_python_scalars_are_weak(compiler: str) -> None:
    f = px.jit(lambda x, rate: x * rate)
    assert f(np.ones(2, np.float64), 2.0).dtype is px.float64
    assert f(px.asarray([1, 2]).astype(px.uint8), 2).dtype is px.uint8
    assert f(px.asarray([1, 2]), 2.0).dtype is px.float32
    half = px.asarray([1.0]).astype(px.bfloat16)
    assert f(half, 0.5).dtype is px.bfloat16


def test_compile_with_named_sizes(compiler: str) -> None:
    compiled = px.compile(lambda x, y: px.sum(x * y, axis=0), px.spec("f32[n,m]"), px.spec("f32[n,1]"))
    for n, m in ((3, 4), (1, 1), (7, 2), (0, 3)):
        x, y = np.random.rand(n, m).astype(F32), np.random.rand(n, 1).astype(F32)
        np.testing.assert_allclose(compiled(x, y).numpy(), (x * y).sum(0), rtol=1e-5)
    with pytest.raises(px.ShapeError, match="argument 'y' must be f32"):
        compiled(ones(3, 4), ones(2, 1))
    with pytest.raises(px.DTypeError, match="argument 'x'"):
        compiled(np.ones((3, 4)), ones(3, 1))


def test_spec() -> None:
    assert str(px.spec("f32[8,64]")) == "f32[8,64]"
    assert str(px.spec("bf16[n, 2*m + 1]")) == "bf16[n,2*m + 1]"
    assert px.spec("int32").shape == ()
    with pytest.raises(px.ShapeError, match="negative"):
        px.spec("f32[-1]")
    with pytest.raises(px.DTypeError, match="no element type 'f31'"):
        px.spec("f31[2]")
    with pytest.raises(px.ShapeError, match="cannot read"):
        px.spec("f32[2")


def test_compiler_switch_is_part_of_the_key() -> None:
    f = px.jit(lambda x: x + 1)
    with px.options(compiler="evaluator"):
        f(1.0)
    f(1.0)
    assert {c.compiler for c in f._cache.values()} == {"evaluator", "mlir"}


def test_switches_do_not_leak_between_threads_and_tasks() -> None:
    seen: dict[str, str] = {}

    def worker() -> None:
        seen["thread"] = px.config()["backend"].value

    with px.use_backend("numpy"):
        thread = threading.Thread(target=worker)
        thread.start()
        thread.join()
        seen["here"] = px.config()["backend"].value
    assert seen == {"thread": px.config()["backend"].value, "here": "numpy"}

    async def task(name: str, backend: str) -> None:
        with px.use_backend(backend):
            await asyncio.sleep(0.01)
            seen[name] = px.zeros(2).backend.name

    async def both() -> None:
        await asyncio.gather(task("a", "numpy"), task("b", "null"))

    asyncio.run(both())
    assert (seen["a"], seen["b"]) == ("numpy", "null")


def test_setters_return_the_old_value() -> None:
    old = px.set_default_backend("numpy")
    try:
        assert px.set_default_backend("numpy") == "numpy"
        assert px.zeros(1).backend.name == "numpy"
    finally:
        px.set_default_backend(old)
    previous = px.set_default_options(compiler="evaluator")
    assert px.set_default_options(**previous) == {"compiler": "evaluator"}


def test_backend_of_the_arguments_decides() -> None:
    f = px.jit(lambda x: x * 2)
    with px.use_backend("numpy"):
        x = px.asarray([1.0])
    assert f(x).backend.name == "numpy"
    with pytest.raises(px.DeviceError, match="different backends"):
        px.jit(lambda a, b: a + b)(x, px.asarray([1.0]))


def test_many_threads_share_one_function() -> None:
    f = px.jit(lambda x: px.sum(px.tanh(x) * 2))
    x = np.linspace(-1, 1, 1000, dtype=F32)
    expected = float(f(x))
    found: list[float] = []
    threads = [threading.Thread(target=lambda: found.extend(float(f(x)) for _ in range(20))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 80


def test_recompile_reason_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    f = px.jit(lambda x: x + 1, name="grow")
    with px.options(debug=1):
        f(ones(2))
        f(ones(3))
    lines = capsys.readouterr().err.splitlines()
    assert "first call" in lines[0]
    assert "x: f32[2] -> f32[3]" in lines[1]
    assert "trace" in lines[1]


def test_donation() -> None:
    f = px.jit(lambda x: x + 1, donate=("x",))
    x = px.asarray(np.zeros(1000, F32))
    assert f(x).numpy()[0] == 1
    with pytest.raises(px.DeviceError, match="donated"):
        x.numpy()


def test_unrolled_loop_warns() -> None:
    def f(x: Any) -> Any:
        for _ in range(100):
            x = x + 1
        return x

    with px.options(unroll_warning=48, compiler="evaluator"), pytest.warns(UserWarning, match="px.fori_loop") as caught:
        px.jit(f)(1.0)
    assert "test_defn.py" in str(caught[0].message)


def test_locations_reach_every_stage() -> None:
    traced = px.jit(lambda x: px.sum(px.exp(x) * 2)).trace("f32[8]")
    from phalanx.compiler import native
    from phalanx.compiler.context import context
    from phalanx.compiler.pipeline.stages import cpu_stages, run_stages

    unknown: list[str] = []

    def check(stage: str, module: Any) -> None:
        text = module.operation.get_asm(enable_debug_info=True, use_local_scope=True)
        inside = text[text.index("@main"):]
        unknown.extend(f"{stage}: {line}" for line in inside.splitlines() if "loc(unknown)" in line)

    with context():
        module = native.clone(traced.module)
        check("px", module)
        run_stages(module, cpu_stages(threads=False), after_stage=check)
    assert unknown == []


def test_custom_rule_of_the_whole_function_and_second_pullback() -> None:
    @px.custom_vjp
    def halved(x: Any) -> Any:
        return x

    halved.defvjp(lambda x: (x, x), lambda kept, ct: (ct / 2,))
    assert float(px.grad(halved)(3.0)) == 0.5
    assert float(px.jit(px.grad(halved))(3.0)) == 0.5

    def twice(x: Any) -> Any:
        _, pull = px.vjp(lambda v: px.fori_loop(0, 3, lambda i, c: c * v, v), x)
        return pull(1.0)[0] + 10 * pull(1.0)[0]

    assert float(px.jit(twice)(2.0)) == 11 * 4 * 2.0**3
