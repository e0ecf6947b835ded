"""Executables: argument checks, named sizes, arena, donation, host calls, threads; on real machine code."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from phalanx.compiler.targets.isa import isa
from phalanx.compiler.targets.llvm_c import TargetMachine, parse
from phalanx.dialects import dims
from phalanx.dialects.dtypes import bool_, float32, float64, int32
from phalanx.dialects.errors import ArgumentError, DeviceError, DTypeError, ShapeError
from phalanx.runtime import jit
from phalanx.runtime.allocator import Allocator
from phalanx.runtime.buffer import Buffer
from phalanx.runtime.device import Device
from phalanx.runtime.executable import Executable
from phalanx.runtime.host_calls import HOST_CALL, HOST_CALL_ADDRESS, HOST_CALL_SYMBOL, HostCallback
from phalanx.runtime.signature import Argument, Signature, solve_for_one

N = dims.Dim.named("n")

# out[i] = 2 * x[i] + y[i] for n elements, by way of the arena.
SAXPY = """
define i64 @px_arena_bytes(ptr %dims) {
  %n = load i64, ptr %dims
  %bytes = mul i64 %n, 4
  ret i64 %bytes
}
define i32 @px_entry(ptr %ptrs, ptr %dims, ptr %arena) {
entry:
  %x = load ptr, ptr %ptrs
  %p1 = getelementptr ptr, ptr %ptrs, i64 1
  %y = load ptr, ptr %p1
  %p2 = getelementptr ptr, ptr %ptrs, i64 2
  %out = load ptr, ptr %p2
  %n = load i64, ptr %dims
  br label %head
head:
  %i = phi i64 [0, %entry], [%next, %body]
  %more = icmp slt i64 %i, %n
  br i1 %more, label %body, label %exit
body:
  %xi = getelementptr float, ptr %x, i64 %i
  %yi = getelementptr float, ptr %y, i64 %i
  %ti = getelementptr float, ptr %arena, i64 %i
  %oi = getelementptr float, ptr %out, i64 %i
  %a = load float, ptr %xi
  %b = load float, ptr %yi
  %twice = fadd float %a, %a
  store float %twice, ptr %ti
  %t = load float, ptr %ti
  %sum = fadd float %t, %b
  store float %sum, ptr %oi
  %next = add i64 %i, 1
  br label %head
exit:
  ret i32 0
}
"""

# Calls site 0 with (x, out) twice.
HOST = """
declare void @px_host_call(i64, ptr)
define i64 @px_arena_bytes(ptr %dims) {
  ret i64 0
}
define i32 @px_entry(ptr %ptrs, ptr %dims, ptr %arena) {
  call void @px_host_call(i64 0, ptr %ptrs)
  call void @px_host_call(i64 0, ptr %ptrs)
  ret i32 0
}
"""


def native(text: str) -> jit.LoadedObject:
    host = isa("host")
    with TargetMachine(host.triple, host.cpu, host.features) as machine, parse(text) as module:
        module.set_target(machine)
        module.run_passes("default<O1>", machine)
        data = module.emit_object(machine)
    return jit.load(data, {HOST_CALL_SYMBOL: HOST_CALL_ADDRESS}, keep=[HOST_CALL])


class PythonCode:
    """Stands for machine code: `run(pointers, sizes)` is the entry."""

    def __init__(self, run: Callable[..., Any] = lambda pointers, sizes: 0, arena: int = 0) -> None:
        self.run, self.arena = run, arena

    def function(self, name: str, result: Any, *arguments: Any) -> Any:
        entry = self.run if name == "px_entry" else lambda sizes: self.arena
        body = (lambda p, s, a: entry(p, s)) if name == "px_entry" else entry
        return ctypes.CFUNCTYPE(result, *arguments)(body)


def signature(inputs: dict[str, str], outputs: list[str], dim_names: tuple[str, ...] = ()) -> Signature:
    def argument(name: str, text: str) -> Argument:
        short, _, sizes = text.rstrip("]").partition("[")
        dtype = {"f32": float32, "f64": float64, "i32": int32, "bool": bool_}[short]
        return Argument(name, dtype, tuple(dims.parse(s) for s in sizes.split(",") if s))

    return Signature(
        "step",
        tuple(argument(n, t) for n, t in inputs.items()),
        tuple(argument(f"out{k}", t) for k, t in enumerate(outputs)),
        dim_names,
    )


def buffer(*shape: int, dtype: Any = np.float32, fill: float = 0) -> Buffer:
    return Buffer.from_numpy(np.full(shape, fill, dtype))


@pytest.fixture(scope="module")
def saxpy() -> Executable:
    return Executable(native(SAXPY), signature({"x": "f32[n]", "y": "f32[n]"}, ["f32[n]"], ("n",)))


# Running.
@pytest.mark.parametrize("size", [0, 1, 5, 100_000])
def test_native_code_runs_for_every_size(saxpy: Executable, size: int) -> None:
    x = np.arange(size, dtype=np.float32)
    (out,) = saxpy([Buffer.from_numpy(x), Buffer.from_numpy(x)])
    assert np.array_equal(out.to_numpy(), 3 * x)
    assert saxpy.arena_bytes((size,)) == 4 * size


def test_one_executable_in_many_threads(saxpy: Executable) -> None:
    wrong = []

    def work(k: int) -> None:
        x, y = buffer(2000 + k, fill=k), buffer(2000 + k, fill=1)
        for _ in range(50):
            (out,) = saxpy([x, y])
            if not (out.to_numpy() == 2 * k + 1).all():
                wrong.append(k)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_memory_is_returned_after_the_call() -> None:
    allocator = Allocator()
    step = Executable(native(SAXPY), signature({"x": "f32[n]", "y": "f32[n]"}, ["f32[n]"], ("n",)), allocator=allocator)
    x = buffer(1024)
    results = step([x, x])
    assert allocator.statistics().live_bytes == 4096  # the result, not the arena
    assert allocator.statistics().peak_bytes == 8192
    del results
    assert allocator.statistics().live_bytes == 0


def test_failure_status_and_overflow() -> None:
    step = Executable(PythonCode(lambda p, s: 3), signature({}, ["f32[2]"]))
    with pytest.raises(DeviceError, match="step: native code failed with status 3"):
        step([])
    with pytest.raises(DeviceError, match="step: sizes overflow"):
        Executable(PythonCode(arena=-1), signature({}, []))


def test_representation() -> None:
    step = Executable(PythonCode(), signature({"x": "f32[n,128]"}, ["bool[2*n]"], ("n",)))
    assert repr(step) == "<executable step(x: f32[n,128]) -> (bool[2*n])>"


# Arguments.
def test_every_mismatch_is_listed_at_once() -> None:
    step = Executable(PythonCode(), signature({"x": "f32[8,64]", "y": "f32[64]", "z": "i32[]"}, []))
    with pytest.raises(ShapeError) as caught:
        step([buffer(8, 63), buffer(64), buffer(dtype=np.float64)])
    assert str(caught.value).splitlines() == [
        "step: 2 arguments do not fit",
        "  argument 'x' must be f32[8,64], got f32[8,63]",
        "  argument 'z' must be i32[], got f64[]",
    ]
    with pytest.raises(DTypeError, match=r"step: argument 'z' must be i32\[\], got bool\[\]"):
        step([buffer(8, 64), buffer(64), buffer(dtype=np.bool_)])
    with pytest.raises(ShapeError, match=r"step: takes 3 tensors \('x', 'y', 'z'\), got 1"):
        step([buffer(8, 64)])


def test_buffers_of_other_devices_are_refused() -> None:
    elsewhere = Allocator(Device("cpu", 1))
    step = Executable(PythonCode(), signature({"x": "f32[2]"}, []))
    with pytest.raises(DeviceError, match="argument 'x' is on cpu:1, not on cpu:0"):
        step([Buffer.empty((2,), float32, elsewhere)])


def bound(inputs: dict[str, str], dim_names: tuple[str, ...], *shapes: tuple[int, ...]) -> tuple[int, ...]:
    return signature(inputs, [], dim_names).bind([buffer(*shape) for shape in shapes])


def test_named_sizes_are_bound() -> None:
    assert bound({"x": "f32[n,128]"}, ("n",), (7, 128)) == (7,)
    assert bound({"x": "f32[n,m]", "y": "f32[m]"}, ("m", "n"), (0, 3), (3,)) == (3, 0)
    assert bound({"x": "f32[2*n]"}, ("n",), (10,)) == (5,)
    assert bound({"x": "f32[2*n + m]", "y": "f32[m]"}, ("n", "m"), (10,), (4,)) == (3, 4)
    assert bound({"x": "f32[n + m]", "y": "f32[n + 1]"}, ("n", "m"), (10,), (4,)) == (3, 7)
    assert bound({"x": "f32[n // 2]", "y": "f32[n]"}, ("n",), (3,), (7,)) == (7,)


@pytest.mark.parametrize(
    ("inputs", "shapes", "message"),
    [
        ({"x": "f32[n]", "y": "f32[n]"}, [(3,), (4,)], r"'y' must be f32\[n\], .* n = 3 \(from 'x' axis 0\)"),
        ({"x": "f32[n,4]"}, [(3, 5)], r"'x' must be f32\[n,4\], got f32\[3,5\]"),
        ({"x": "f32[n]"}, [(3, 5)], r"'x' must be f32\[n\], got f32\[3,5\]"),
        ({"x": "f32[2*n]"}, [(3,)], r"no value of n fits the arguments, got\n  argument 'x' axis 0: 2\*n = 3"),
        ({"x": "f32[n + 2]"}, [(1,)], r"no value of n fits"),
        ({"x": "f32[n*n]"}, [(9,)], r"no value of n fits"),
        ({"x": "f32[n // 2]", "y": "f32[n]"}, [(2,), (7,)], r"got f32\[2\] where n = 7 \(from 'y' axis 0\)"),
    ],
)  # fmt: skip
def test_sizes_that_do_not_fit(inputs: dict[str, str], shapes: list[tuple[int, ...]], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        bound(inputs, ("n",), *shapes)


def test_negative_result_size() -> None:
    step = Executable(PythonCode(), signature({"x": "f32[n]"}, ["f32[n - 5]"], ("n",)))
    with pytest.raises(
        ShapeError, match=r"result 'out0' f32\[n - 5\] would have a negative size, got \(-2,\) for n = 3"
    ):
        step([buffer(3)])


def test_solving_for_one_name() -> None:
    assert solve_for_one(dims.parse("2*n + m"), 10, {"m": 4}) == ("n", 3)
    assert solve_for_one(dims.parse("n*m"), 10, {"m": 5}) == ("n", 2)
    assert solve_for_one(dims.parse("n*m"), 10, {"m": 0}) is None
    assert solve_for_one(dims.parse("n + m"), 10, {}) is None
    assert solve_for_one(dims.parse("max(n, 4)"), 10, {}) is None


# Donation.
def doubling(pointers: int, sizes: int) -> int:
    table = (ctypes.c_void_p * 2).from_address(pointers)
    source, target = ((ctypes.c_float * 4).from_address(p) for p in table)
    target[:] = [2 * v for v in source]
    return 0


def donating() -> Executable:
    return Executable(PythonCode(doubling), signature({"x": "f32[4]"}, ["f32[4]"]), donated=[0], aliases={0: 0})


def test_donated_memory_becomes_the_result() -> None:
    x = buffer(4, fill=3)
    address = x.pointer
    (out,) = donating()([x], location="train.py:7:2")
    assert out.pointer == address
    assert out.to_numpy().tolist() == [6.0] * 4
    with pytest.raises(DeviceError, match=r"argument 'x' of 'step' was donated at train.py:7:2"):
        x.to_numpy()
    with pytest.raises(DeviceError, match="was donated"):
        donating()([x])


def test_donated_memory_that_others_see_is_not_overwritten() -> None:
    x = buffer(4, fill=3)
    view = x.to_numpy()
    (out,) = donating()([x])
    assert x.deleted
    assert view.tolist() == [3.0] * 4
    assert out.to_numpy().tolist() == [6.0] * 4
    raw = np.zeros(32, np.float32)
    start = (-raw.ctypes.data % 64) // 4
    mine = raw[start : start + 4]
    donating()([Buffer.from_numpy(mine, copy=False)])
    assert mine.tolist() == [0.0] * 4


def test_one_buffer_passed_twice_is_not_overwritten() -> None:
    step = Executable(PythonCode(), signature({"x": "f32[4]", "y": "f32[4]"}, ["f32[4]"]), donated=[0], aliases={0: 0})
    x = buffer(4)
    address = x.pointer
    (out,) = step([x, x])
    assert out.pointer != address


def test_arguments_that_do_not_fit_are_not_donated() -> None:
    x = buffer(5)
    with pytest.raises(ShapeError):
        donating()([x])
    assert not x.deleted


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"aliases": {0: 0}}, "'x' is aliased but not donated"),
        ({"donated": [1], "aliases": {0: 1}}, r"'y' f32\[3\] cannot hold a f32\[4\]"),
        ({"donated": [0], "aliases": {0: 0, 1: 0}}, "two results alias one argument"),
    ],
)
def test_impossible_aliases_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        Executable(PythonCode(), signature({"x": "f32[4]", "y": "f32[3]"}, ["f32[4]", "f32[4]"]), **options)


# Host calls.
def hosted(function: Callable[..., Any], **options: Any) -> Executable:
    step = signature({"x": "f32[n]"}, ["f32[n]"], ("n",))
    code = native(HOST)
    return Executable(code, step, sites=[HostCallback("double", function, step.inputs, step.outputs)], **options)


def test_native_code_calls_python() -> None:
    seen = []

    def double(x: np.ndarray) -> np.ndarray:
        seen.append(x)
        return x * 2

    step = hosted(double)
    (out,) = step([buffer(3, fill=4)])
    assert out.to_numpy().tolist() == [8.0] * 3
    assert [x.tolist() for x in seen] == [[4.0] * 3] * 2
    assert not seen[0].flags.writeable
    (out,) = step([buffer(0)])
    assert out.shape == (0,)


def test_site_can_be_overridden_per_call() -> None:
    step = hosted(lambda x: x)
    other = [site.overridden({"double": lambda x: x + 1, "unused": print}) for site in step.sites]
    (out,) = step([buffer(2)], sites=other)
    assert out.to_numpy().tolist() == [1.0, 1.0]
    (out,) = step([buffer(2)])
    assert out.to_numpy().tolist() == [0.0, 0.0]


def test_exception_of_a_callback_reaches_the_caller() -> None:
    calls = []

    def fail(x: np.ndarray) -> np.ndarray:
        calls.append(x)
        raise KeyError("inside")

    step = hosted(fail)
    with pytest.raises(KeyError, match="inside"):
        step([buffer(3)])
    assert len(calls) == 1  # the second call of the same launch does nothing


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        (lambda x: x[:1], ShapeError, r"result must have shape \(3,\), got \(1,\)"),
        (lambda x: x * 1j, DTypeError, "io_call 'double': result 'out0' must be f32"),
        (lambda x: (x, x), ShapeError, "declared 1 results, got 2"),
    ],
)
def test_wrong_results_of_a_callback(function: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        hosted(function)([buffer(3)])


def test_callback_may_run_executables(saxpy: Executable) -> None:
    inner = hosted(lambda x: x + 1)

    def outer(x: np.ndarray) -> np.ndarray:
        (a,) = inner([Buffer.from_numpy(x)])
        (b,) = saxpy([a, a])
        return b.to_numpy()

    (out,) = hosted(outer)([buffer(2)])
    assert out.to_numpy().tolist() == [3.0, 3.0]


def test_host_calls_of_threads_do_not_mix() -> None:
    wrong = []

    def work(k: int) -> None:
        step = hosted(lambda x: x + k)
        for _ in range(30):
            (out,) = step([buffer(4)])
            if out.to_numpy().tolist() != [float(k)] * 4:
                wrong.append(k)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
