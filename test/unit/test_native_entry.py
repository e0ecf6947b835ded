"""The entry in machine code: same results as the way through Python, and that way for everything it does not know."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import phalanx as px
from phalanx.compiler import config
from phalanx.compiler.entry import code, layout
from phalanx.compiler.trace import state

pytestmark = pytest.mark.skipif(layout.slots() is None, reason="no native entry in this interpreter")

X = np.arange(6, dtype=np.float32).reshape(2, 3)


def tensors(count: int = 2) -> list[px.Tensor]:
    return [px.asarray(X + i) for i in range(count)]


@pytest.fixture
def fallbacks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A list that grows by one for every call of a compiled function that goes through Python."""
    seen: list[str] = []
    run = px.compiler.execution.Compiled.__call__

    def counted(self: Any, *args: Any, **kwargs: Any) -> Any:
        seen.append(self.traced.name)
        return run(self, *args, **kwargs)

    monkeypatch.setattr(px.compiler.execution.Compiled, "__call__", counted)
    return seen


def test_it_is_a_builtin_that_takes_tensors_and_arrays(fallbacks: list[str]) -> None:
    entry = px.compile(lambda x, y: x * 2 + y, "f32[2,3]", "f32[2,3]").entry
    assert type(entry).__name__ == "builtin_function_or_method"
    for x, y in ((px.asarray(X), px.asarray(X)), (X, px.asarray(X)), (px.asarray(X), X), (X, X), (X.copy(), X + 0)):
        result = entry(x, y)
        assert isinstance(result, px.Tensor)
        assert result.dtype is px.float32
        np.testing.assert_array_equal(result.numpy(), X * 3)
    assert fallbacks == []


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16",
                                   "float32", "float64", "bfloat16", "bool"])
def test_every_dtype(dtype: str, fallbacks: list[str]) -> None:
    name = getattr(px, dtype).short
    entry = px.compile(lambda x: px.where(x == 0, x, x), f"{name}[5]").entry
    value = px.asarray([0, 1, 0, 1, 1]).astype(getattr(px, dtype))
    for _ in range(3):
        assert entry(value).tolist() == value.tolist()
    assert fallbacks == []
    assert entry(value.numpy()).tolist() == value.tolist()
    assert len(fallbacks) == (1 if dtype == "bool" else 0)  # truth values of NumPy may be any byte


@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (1, 1, 1), (7,), (3, 1, 5, 2, 2)])
def test_every_rank(shape: tuple[int, ...], fallbacks: list[str]) -> None:
    value = np.ones(shape, np.float32)
    entry = px.compile(lambda x: x + 1, px.spec(f"f32[{','.join(map(str, shape))}]")).entry
    for argument in (px.asarray(value), value):
        result = entry(argument)
        assert result.shape == shape
        np.testing.assert_array_equal(result.numpy(), value + 1)
    assert fallbacks == []


def test_numbers(fallbacks: list[str]) -> None:
    entry = px.compile(lambda x, n, b: px.where(b, x + n, x), "f32[]", "i32[]", "bool[]").entry
    assert float(entry(1.5, 2, True)) == 3.5
    assert float(entry(1.5, -(1 << 31), True)) == np.float32(1.5) + np.float32(-(1 << 31))
    assert float(entry(-0.0, 2, False)) == 0.0
    assert np.isnan(float(entry(float("nan"), 0, True)))
    assert fallbacks == []
    assert float(entry(float("inf"), 2, True)) == float("inf")
    assert len(fallbacks) == 1
    with pytest.raises(px.DTypeError):
        entry(1.5, 1 << 31, True)
    with pytest.raises(px.DTypeError):
        entry(1, 2, True)


class Derived(np.ndarray):
    pass


@pytest.mark.parametrize("argument", [
    np.asfortranarray(X), np.ones((4, 6), np.float32)[::2, ::2], X.view(Derived),
    np.frombuffer(bytearray(25), np.uint8)[1:].view(np.float32).reshape(2, 3),
], ids=["column-major", "strided", "subclass", "unaligned"])
def test_other_arguments_go_through_python(argument: Any, fallbacks: list[str]) -> None:
    entry = px.compile(lambda x: x + 1, "f32[2,3]").entry
    np.testing.assert_array_equal(entry(argument).numpy(), np.asarray(argument, np.float32) + 1)
    assert len(fallbacks) == 1


@pytest.mark.parametrize(("arguments", "error"), [
    ((X[:1],), px.ShapeError), ((X[0],), px.ShapeError), ((np.ones((2, 3, 1), np.float32),), px.ShapeError),
    ((X.astype(np.float64),), px.DTypeError), ((X.astype(np.int32),), px.DTypeError),
    ((px.asarray(X[:1]),), px.ShapeError), ((px.asarray(X.astype(np.int32)),), px.DTypeError),
    ((), px.ArgumentError), ((X, X), px.ArgumentError), (("text",), px.PhalanxError), ((None,), px.PhalanxError),
    ((np.ma.masked_array(X),), px.DTypeError),
])
def test_what_does_not_fit_raises_as_ever(arguments: tuple[Any, ...], error: type[Exception]) -> None:
    entry = px.compile(lambda x: x + 1, "f32[2,3]").entry
    for _ in range(3):
        with pytest.raises(error):
            entry(*arguments)
    np.testing.assert_array_equal(entry(X).numpy(), X + 1)


def test_keywords_go_through_python(fallbacks: list[str]) -> None:
    entry = px.compile(lambda x, y: x - y, "f32[2,3]", "f32[2,3]").entry
    np.testing.assert_array_equal(entry(y=X, x=X + 1).numpy(), np.ones_like(X))
    np.testing.assert_array_equal(entry(X + 1, y=X).numpy(), np.ones_like(X))
    assert len(fallbacks) == 2


def test_memory_that_is_gone() -> None:
    entry = px.compile(lambda x: x + 1, "f32[2,3]").entry
    deallocated, donated = tensors()
    entry(deallocated)
    deallocated.deallocate()
    px.defn(lambda x: x * 2, donate=("x",))(donated)
    for gone in (deallocated, donated):
        with pytest.raises(px.DeviceError):
            entry(gone)


def test_captured_tensors() -> None:
    weight = px.asarray(X)
    entry = px.compile(lambda x: x * weight, "f32[2,3]").entry
    np.testing.assert_array_equal(entry(X).numpy(), X * X)
    weight.deallocate()
    with pytest.raises(px.DeviceError):
        entry(X)


def test_tensors_of_other_backends() -> None:
    with px.use_backend("numpy"):
        x = px.asarray(X)
    entry = px.compile(lambda x: x + 1, "f32[2,3]").entry
    assert entry(x).backend.name == "numpy"
    assert entry(X).backend.name == "cpu"
    with px.use_backend("numpy"):
        assert entry(X).backend.name == "numpy"


def test_options_are_compared(fallbacks: list[str]) -> None:
    entry = px.compile(lambda x: x + 1, "f32[2,3]").entry
    entry(X)
    assert fallbacks == []
    with px.options(num_threads=1):
        entry(X)
    assert len(fallbacks) == 1
    entry(X)
    assert len(fallbacks) == 1
    config.reload()
    entry(X)
    assert len(fallbacks) == 2


def test_a_function_called_often_gets_one() -> None:
    f = px.jit(lambda x, y: x * 2 + y)
    x, y = tensors()
    for _ in range(40):
        np.testing.assert_array_equal(f(x, y).numpy(), X * 3 + 1)
    assert f._ways.entries
    np.testing.assert_array_equal(f(X, X).numpy(), X * 3)  # arrays are traced like tensors
    assert float(f(1.0, 2)) == 4.0
    assert f(px.asarray(X[:1]), px.asarray(X[:1])).shape == (1, 3)
    np.testing.assert_array_equal(f(x, y).numpy(), X * 3 + 1)
    with px.options(compiler="evaluator"):
        np.testing.assert_array_equal(f(x, y).numpy(), X * 3 + 1)
    np.testing.assert_array_equal(f(y=x, x=y).numpy(), X * 3 + 2)


def test_python_numbers_stay_weak() -> None:
    f = px.jit(lambda x, n: x * n)
    half = px.asarray(X).astype(px.float16)
    for n in range(40):
        assert f(half, float(n)).dtype is px.float16
    assert f._ways.entries
    assert f(half, px.asarray(2.0)).dtype is px.float32
    assert f(half, np.float32(2.0)).dtype is px.float32


def test_inside_a_trace_it_is_traced() -> None:
    f = px.jit(lambda x: px.sin(x) * 2)
    x = px.asarray(X)
    for _ in range(40):
        f(x)
    assert f._ways.entries
    outer = px.jit(lambda y: f(y) + f(x))
    np.testing.assert_allclose(outer(x).numpy(), np.sin(X) * 4, rtol=1e-6)
    np.testing.assert_allclose(px.grad(lambda y: px.sum(f(y)))(x).numpy(), 2 * np.cos(X), rtol=1e-6)
    np.testing.assert_allclose(px.vmap(f)(x).numpy(), 2 * np.sin(X), rtol=1e-6)
    assert state.current() is None


def test_results_that_are_held_keep_their_values() -> None:
    entry = px.compile(lambda x: x + 1, "f32[2,3]").entry
    held = [entry(X + i) for i in range(20)]
    views = [entry(X - i).numpy() for i in range(20)]  # the tensor dies, the array does not
    shared = [px.from_dlpack(entry(X * i)) for i in range(20)]
    for i in range(20):
        np.testing.assert_array_equal(held[i].numpy(), X + i + 1)
        np.testing.assert_array_equal(views[i], X - i + 1)
        np.testing.assert_array_equal(shared[i].numpy(), X * i + 1)
    assert len({id(t) for t in held}) == 20


def test_results_of_every_call_may_be_kept() -> None:
    entry = px.compile(lambda x: (x + 1, x[0] * 2), "f32[2,3]").entry
    held = [entry(X + i) for i in range(100)]
    pointers = {tensor.storage.pointer for pair in held for tensor in pair}
    assert len(pointers) == 200 and all(pointer % 64 == 0 for pointer in pointers)
    for i, (first, second) in enumerate(held):
        np.testing.assert_array_equal(first.numpy(), X + i + 1)
        np.testing.assert_array_equal(second.numpy(), (X + i)[0] * 2)


def test_large_results_do_not_stay_with_the_entry(fallbacks: list[str]) -> None:
    compiled = px.compile(lambda x: (x + 1, px.sum(x)), "f32[1400,300]")
    entry, x = compiled.entry, np.ones((1400, 300), np.float32)
    first, total = entry(x)
    second, _ = entry(px.asarray(x * 2))
    np.testing.assert_array_equal(first.numpy(), x + 1)
    np.testing.assert_array_equal(second.numpy(), x * 2 + 1)
    assert total.item() == x.size
    gone = weakref.ref(second)
    gc.collect()
    before = px.memory_stats()["cpu:0"].live_bytes
    del first, second
    gc.collect()
    assert gone() is None
    assert px.memory_stats()["cpu:0"].live_bytes <= before - 2 * x.nbytes
    with pytest.raises(px.ShapeError):  # after the room for its result has been made
        entry(x[1:])
    np.testing.assert_array_equal(entry(x)[0].numpy(), x + 1)
    assert len(fallbacks) == 1  # the one that raised


def test_results_that_were_given_away_are_not_used_again() -> None:
    entry = px.compile(lambda x: x + 1, "f32[2,3]").entry
    give = px.defn(lambda x: x * 2, donate=("x",))
    for i in range(12):
        np.testing.assert_array_equal(give(entry(X + i)).numpy(), (X + i + 1) * 2)
        entry(X).deallocate()
        moved = entry(X + i).transfer("numpy")
        np.testing.assert_array_equal(moved.numpy(), X + i + 1)


def test_a_weak_reference_dies_with_its_tensor() -> None:
    entry = px.compile(lambda x: x + 1, "f32[2,3]").entry
    seen: list[int] = []
    for _ in range(10):
        result = entry(X)
        reference = weakref.ref(result)
        weakref.finalize(result, seen.append, 1)
        del result
        for _ in range(10):
            assert entry(X) is not reference()
    for _ in range(20):
        entry(X)
    del entry
    gc.collect()
    assert reference() is None
    assert sum(seen) == 10


@pytest.mark.parametrize("function", [
    lambda x: (x + 1, x * 2), lambda x: [x + 1, x * 2], lambda x: {"a": x + 1, "b": (x * 2, None)}, lambda x: (x + 1,),
    lambda x: ((x + 1, x), x * 2), lambda x: x,
], ids=["tuple", "list", "dict", "one", "nested", "identity"])
def test_structures_of_results(function: Any, fallbacks: list[str]) -> None:
    import optree

    entry = px.compile(function, "f32[2,3]").entry
    expected, structure = optree.tree_flatten(function(X))
    for _ in range(10):
        found, same = optree.tree_flatten(entry(X))
        assert same == structure
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_array_equal(a.numpy(), b)
    assert fallbacks == []


def test_results_never_share_the_argument() -> None:
    entry = px.compile(lambda x: x, "f32[2,3]").entry
    mine = X.copy()
    result = entry(mine)
    mine[:] = -1
    np.testing.assert_array_equal(result.numpy(), X)


def test_scratch_memory_and_parallel_loops() -> None:
    rng = np.random.default_rng(3)
    a, b = (rng.standard_normal((128, 96)).astype(np.float32) for _ in range(2))
    f = lambda x, y: px.softmax((x @ y.T) @ (x + y), axis=0)
    compiled = px.compile(f, "f32[128,96]", "f32[128,96]")
    expected = compiled(a, b).numpy()
    for _ in range(5):
        np.testing.assert_array_equal(compiled.entry(a, b).numpy(), expected)
    with px.options(num_threads=1):
        alone = px.compile(f, "f32[128,96]", "f32[128,96]").entry
        np.testing.assert_allclose(alone(a, b).numpy(), expected, rtol=1e-6)


def test_functions_without_an_entry_are_called_as_ever() -> None:
    for function, spec, argument in (
        (lambda x: x + 1, "f32[n,3]", X),
        (lambda tree: tree[0] + 1, ("f32[2,3]",), (X,)),
    ):
        compiled = px.compile(function, spec)
        assert compiled.entry is compiled
        assert compiled.entry(argument).shape[-1] == 3


def test_the_option_switches_it_off() -> None:
    with px.options(native_entry=False):
        compiled = px.compile(lambda x: x + 1, "f32[2,3]")
        assert compiled.entry is compiled
    f = px.defn(lambda x: x + 1, native_entry=False)
    for _ in range(40):
        f(X)
    assert not f._ways.entries


def test_an_unknown_interpreter_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("VERSIONS", ((9, 9),)), ("ARRAY_DATA", 24), ("FOREIGN_ADDRESS", 24), ("ARRAY_DTYPE", 48)):
        layout.slots.cache_clear()
        with monkeypatch.context() as patch:
            patch.setattr(layout, name, value)
            assert layout.slots() is None
    layout.slots.cache_clear()
    code.maker.cache_clear()
    monkeypatch.setattr(layout, "slots", lambda: None)
    compiled = px.compile(lambda x: x + 1, "f32[2,3]")
    try:
        assert compiled.entry is compiled
    finally:
        code.maker.cache_clear()


def test_threads_get_their_own_results() -> None:
    entry = px.compile(lambda x, y: px.tanh(x) + y, "f32[40,30]", "f32[40,30]").entry  # large enough to release the GIL
    x = np.linspace(-1, 1, 1200, dtype=np.float32).reshape(40, 30)
    expected = [px.tanh(px.asarray(x + i)).numpy() + x for i in range(8)]
    barrier = threading.Barrier(8)

    def work(i: int) -> bool:
        barrier.wait()
        mine = px.asarray(x + i)
        return all(np.array_equal(entry(mine, x).numpy(), expected[i]) for _ in range(300))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))


@pytest.mark.parametrize("size", [160, 400])  # rows that stay, rows that move
def test_scratch_memory_stays_while_others_take_all_rows(size: int) -> None:
    def f(x: Any) -> Any:
        y = px.softmax(x @ x, axis=-1)
        return px.sum(px.softmax(y @ x, axis=-1) * px.softmax(x @ y, axis=-1), axis=0), y[0]

    entry = px.compile(f, f"f32[{size},{size}]").entry
    x = np.random.default_rng(0).standard_normal((size, size)).astype(np.float32)
    expected = [r.numpy().copy() for r in entry(x)]
    interval = sys.getswitchinterval()

    def work(_: int) -> bool:
        held: list[Any] = []
        good = True
        for _ in range(40):
            held.append(entry(x))  # no row is free: every call makes a new one
            good &= all(np.array_equal(a.numpy(), b) for a, b in zip(held[-1], expected, strict=True))
            if len(held) > 6:
                held.clear()
        return good

    sys.setswitchinterval(1e-5)  # also in the middle of making a row
    try:
        with ThreadPoolExecutor(6) as pool:
            assert all(pool.map(work, range(6)))
    finally:
        sys.setswitchinterval(interval)


def test_it_keeps_what_it_needs() -> None:
    entry = px.compile(lambda x: x + 1, "f32[2,3]").entry
    gc.collect()
    np.testing.assert_array_equal(entry(X).numpy(), X + 1)
    result = entry(X)
    reference = weakref.ref(entry.__self__)
    del entry
    gc.collect()
    assert reference() is None
    np.testing.assert_array_equal(result.numpy(), X + 1)


def test_errors_of_the_structure_are_passed_on() -> None:
    import dataclasses

    @px.register_dataclass
    @dataclasses.dataclass
    class Picky:
        value: Any

        def __post_init__(self) -> None:
            if refuse:
                raise KeyError("refused")

    refuse = False
    entry = px.compile(lambda x: Picky(x + 1), "f32[2,3]").entry
    entry(X)
    refuse = True
    for _ in range(10):
        with pytest.raises(KeyError, match="refused"):
            entry(X)
    refuse = False
    np.testing.assert_array_equal(entry(X).value.numpy(), X + 1)


_LEAK = """
import gc, resource, sys
import numpy as np
import phalanx as px

x = np.arange(6, dtype=np.float32)
t, wrong = px.asarray(x), np.zeros(7, np.float32)
pair = px.compile(lambda x, y: (x + y, x * y), "f32[6]", "f32[6]").entry
single = px.compile(lambda x: x + 1, "f32[6]").entry
number = px.compile(lambda x, n: x + n, "f32[6]", "f32[]").entry
big = px.compile(lambda x, y: px.sum(x @ y, axis=0), "f32[64,64]", "f32[64,64]").entry
square = px.asarray(np.ones((64, 64), np.float32))
large = px.compile(lambda x, y: px.tanh(x @ y) + 1, "f32[300,300]", "f32[300,300]").entry
wide = px.asarray(np.ones((300, 300), np.float32))
f = px.jit(lambda x, y: x - y)

def total(params, x, *, rate, kind):
    params = params[0] if isinstance(params, list) else params
    return {k: x * rate for k in params}, (params["a"] + params["b"][1], kind == "sum" or x)[0]

params = {"a": t, "b": [t, t]}
step = px.jit(total, static=("kind",))
take = px.jit(lambda x, p: (x + p["y"], x * 2), donate=("x",))
kept_memory = [px.asarray(x)]
rows = px.compile(lambda x: x + 1, "f32[n]")
objects = [x, t, square, wide, wide.storage, wide.aval,
           t.storage, t.storage.memory, t.aval, t.backend, px.Tensor, np.ndarray, None, False, True,
           NotImplemented, np.dtype("float32"), px.float32]

def rounds(count):
    for _ in range(count):
        pair(t, x); single(t); single(x); number(t, 2.5); f(t, t); f(x, t)
    for _ in range(count // 20):
        big(square, square)
    for _ in range(count // 500):
        large(wide, wide)
        kept = [single(t) for _ in range(100)]
    for _ in range(count // 50):
        for bad in ((wrong,), (x, x), (None,), ()):
            try:
                single(*bad)
            except px.PhalanxError:
                pass
        single(x=t)
    for _ in range(count):
        step(params, t, rate=0.5, kind="sum"); step([params], t, rate=0.5, kind="sum")
        taken = kept_memory[0]
        kept_memory[0] = take(taken, {"y": t})[0]
        rows(x if _ % 2 else x[:3])
    for bad in ({"a": t}, {"a": t, "c": [t, t]}, {"a": t, "b": [t]}, {"a": t, "b": (t, t)}, None, t,
                {"a": t, "b": [t, None]}):
        for _ in range(count // 500):
            try:
                step(bad, t, rate=0.5, kind="sum")
            except (px.PhalanxError, KeyError, TypeError, ValueError, IndexError):
                pass

def memory():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()

rounds(2000)
gc.collect()
counts, start = [sys.getrefcount(o) for o in objects], memory()
rounds(int(sys.argv[1]))
gc.collect()
grown = memory() - start
changed = {i: (a, b) for i, (a, b) in enumerate(zip(counts, [sys.getrefcount(o) for o in objects])) if abs(a - b) > 60}
assert not changed, changed
assert grown < 4 << 20, grown
assert f._ways.entries
print("even")
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs /proc")
def test_a_million_calls_leave_counts_and_memory_as_they_were() -> None:
    done = subprocess.run([sys.executable, "-c", _LEAK, "170000"], capture_output=True, text=True, timeout=300)
    assert done.stdout.split() == ["even"], done.stderr


_FORK = """
import os
import numpy as np
import phalanx as px

entry = px.compile(lambda x: x @ x, "f32[96,96]").entry
x = np.eye(96, dtype=np.float32)
entry(x)
child = os.fork()
if child == 0:
    os._exit(0 if all(np.array_equal(entry(x).numpy(), x) for _ in range(50)) else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_forked_child_can_call_it() -> None:
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", _FORK], capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == ["0"], done.stderr


def test_a_loop_over_constant_bounds_gets_an_entry_too() -> None:
    looped = px.jit(lambda x: px.fori_loop(0, 3, lambda _, v: v * 2.0, x))
    for _ in range(3):
        np.testing.assert_array_equal(looped(px.asarray([1.0, 2.0])), [8.0, 16.0])


def test_code_lives_as_long_as_what_calls_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two threads that make the first entries of a process each make the code; one of them is in no cache afterwards."""
    makers, make_anew = [], code.maker.__wrapped__

    def another() -> Any:
        made = make_anew()
        makers.append(weakref.ref(made))
        return made

    monkeypatch.setattr(code, "maker", another)
    entry = px.compile(lambda x: x * 2, "f32[2,3]").entry
    gc.collect()
    assert len(makers) == 1 and makers[0]() is not None
    np.testing.assert_array_equal(entry(X).numpy(), X * 2)
    del entry
    gc.collect()
    assert makers[0]() is None
