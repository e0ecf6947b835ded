"""Functions that arrive as LLVM IR text are compiled once per process, in any company."""

from __future__ import annotations

import ctypes
import itertools
import os
import threading

import numpy as np
import pytest

import phalanx as px
from phalanx.compiler.context import context
from phalanx.compiler.pipeline.stages import cpu_stages, run_stages
from phalanx.compiler.targets import codes
from phalanx.compiler.targets.generation import Worker
from phalanx.compiler.targets.isa import isa
from phalanx.dialects.errors import CompileError
from phalanx.runtime import jit
from phalanx.runtime.object_file import join, read_symbols

HOST = isa("host")
_numbers = itertools.count()


def text(name: str, added: int) -> str:
    """A function that no test before asked for."""
    return (f"define i64 @{name}(i64 %x) noinline nounwind {{\n  %y = add i64 %x, {added}\n"
            f"  %z = xor i64 %y, {next(_numbers) << 40}\n  %w = and i64 %z, 1048575\n  ret i64 %w\n}}\n")


def call(objects: list[bytes], name: str, value: int) -> int:
    return int(jit.load(join(objects)).function(name, ctypes.c_int64, ctypes.c_int64)(value))


def test_a_text_is_compiled_once() -> None:
    wanted = {"one": text("one", 1), "two": text("two", 2)}
    with Worker() as worker:
        codes.start(wanted, HOST, worker)
    (first,) = codes.objects(wanted, HOST)
    assert codes.objects(wanted, HOST)[0] is first
    assert read_symbols(first).defined == ("one", "two")
    assert call([first], "two", 5) == 7


def test_what_is_new_joins_what_is_known() -> None:
    one, two = text("one", 1), text("two", 2)
    (known,) = codes.objects({"one": one}, HOST)
    objects = codes.objects({"one": one, "two": two}, HOST)
    assert len(objects) == 2 and objects[0] is known
    assert [call(objects, "one", 5), call(objects, "two", 5)] == [6, 7]


def test_objects_that_define_a_function_twice_are_not_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    one, two, three = text("one", 1), text("two", 2), text("three", 3)
    codes.objects({"one": one, "two": two}, HOST)
    monkeypatch.delitem(codes._groups, (one, HOST))
    codes.objects({"one": one, "three": three}, HOST)
    objects = codes.objects({"one": one, "two": two, "three": three}, HOST)
    assert [call(objects, name, 5) for name in ("one", "two", "three")] == [6, 7, 8]


def test_another_instruction_set_has_objects_of_its_own() -> None:
    wanted = {"one": text("one", 1)}
    assert codes.objects(wanted, HOST)[0] is not codes.objects(wanted, isa("x86-64-v2"))[0]


def test_an_instruction_set_of_another_machine() -> None:
    (data,) = codes.objects({"one": text("one", 1)}, isa("aarch64"))
    assert read_symbols(data).machine == "aarch64"


def test_many_threads_ask_for_the_same() -> None:
    wanted = {f"f{number}": text(f"f{number}", number) for number in range(20)}
    found: list[list[bytes]] = []
    threads = [threading.Thread(target=lambda: found.append(codes.objects(wanted, HOST))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(objects[0] is found[0][0] for objects in found) and len(found) == 8


def test_the_oldest_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codes, "_MOST", 3)
    wanted = {f"f{number}": text(f"f{number}", number) for number in range(6)}
    (data,) = codes.objects(wanted, HOST)
    assert len(codes._groups) == 3
    assert read_symbols(data).defined == tuple(sorted(wanted))
    objects = codes.objects(wanted, HOST)
    assert [call(objects, name, 5) for name in wanted] == [5, 6, 7, 8, 9, 10]


def test_text_that_is_wrong() -> None:
    with pytest.raises(CompileError, match="codes"):
        codes.objects({"one": "define void @one() {"}, HOST)
    with pytest.raises(CompileError, match="invalid LLVM module"):
        codes.objects({"one": "define i64 @one() {\n  %x = add i64 %x, 1\n  ret i64 %x\n}"}, HOST)


def test_nothing_asked_for() -> None:
    with Worker() as worker:
        codes.start({}, HOST, worker)
    assert codes.objects({}, HOST) == [] and codes.assembly({}, HOST) == ""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_does_not_wait_for_a_thread_of_its_parent() -> None:
    wanted = {"one": text("one", 1)}
    with Worker() as worker:
        codes.start(wanted, HOST, worker)
        child = os.fork()
        if child == 0:
            done = call(codes.objects(wanted, HOST), "one", 5) == 6
            os._exit(0 if done else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert call(codes.objects(wanted, HOST), "one", 5) == 6


def test_products_of_one_kind_share_their_functions() -> None:
    def declared(rows: int) -> dict[str, str]:
        compiled = px.compile(lambda x, y: x @ y, px.spec(f"f32[{rows},200]"), px.spec("f32[200,300]"))
        module = compiled.traced.module
        with context():
            copy = type(module).parse(module.operation.get_asm(print_generic_op_form=True))
            run_stages(copy, cpu_stages(threads=True), last="scheduled")
            return codes.attached(copy)

    first, second = declared(240), declared(480)
    shared = first.keys() & second.keys()
    assert shared and all(first[name] == second[name] for name in shared)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int8, np.int16, np.int32, np.int64])
@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 0, 3), (13, 40, 33), (70, 300, 5), (130, 30, 200)])
def test_products_of_every_kind_of_element(dtype: type, shape: tuple[int, int, int]) -> None:
    rows, depth, columns = shape
    rng = np.random.default_rng(3)
    a, b = rng.integers(-4, 5, (rows, depth)).astype(dtype), rng.integers(-4, 5, (depth, columns)).astype(dtype)
    product = px.jit(lambda x, y: x @ y)
    wide = a.astype(np.float64) @ b.astype(np.float64)
    expected = wide.astype(np.int64).astype(dtype) if np.dtype(dtype).kind == "i" else wide
    for left in (a, np.ascontiguousarray(a.T).T, np.repeat(a, 2, 1)[:, ::2], a[::-1][::-1]):
        np.testing.assert_array_equal(product(left, b).numpy(), expected)
        np.testing.assert_array_equal(px.jit(lambda x, y: x @ y.T)(left, np.ascontiguousarray(b.T)).numpy(), expected)
