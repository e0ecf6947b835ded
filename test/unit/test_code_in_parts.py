"""Large modules are compiled in two parts that are loaded as one."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

import phalanx as px
from phalanx.compiler.targets import llvm_c, parts
from phalanx.compiler.targets.isa import isa
from phalanx.dialects.errors import ArtifactError, CompileError
from phalanx.runtime import jit
from phalanx.runtime.object_file import join, read_symbols, separate


def source(functions: int, extra: str = "", length: int = 300) -> str:
    """`entry(x)` calls functions of `length` instructions each, which use each other and a small one."""
    lines = ["@table = internal constant [2 x i64] [i64 3, i64 5]", extra, """
define internal i64 @small(i64 %x) {
  %at = getelementptr [2 x i64], ptr @table, i64 0, i64 1
  %v = load i64, ptr %at
  %y = add i64 %x, %v
  ret i64 %y
}"""]
    for i in range(functions):
        body = "\n".join(f"  %v{j + 1} = mul i64 %v{j}, %x" if j % 2 else f"  %v{j + 1} = xor i64 %v{j}, {j * 7 + i}"
                         for j in range(length))
        after = f"  %w = call i64 @large{i + 1}(i64 %z)\n  ret i64 %w" if i + 1 < functions else "  ret i64 %z"
        lines.append(f"define internal i64 @large{i}(i64 %x) noinline {{\n  %v0 = add i64 %x, 1\n"
                     f"  br label %rest\nrest:\n{body}\n"
                     f"  %z = call i64 @small(i64 %v{length})\n{after}\n}}")
    lines.append("define i64 @entry(i64 %x) {\n  %y = call i64 @large0(i64 %x)\n  ret i64 %y\n}")
    return "\n".join(lines)


def compiled(text: str) -> list[bytes]:
    target = isa("host")

    def one(module: llvm_c.LlvmModule, first: str) -> bytes:
        with llvm_c.TargetMachine(target.triple, target.cpu, target.features) as machine:
            module.run_passes(",".join(filter(None, (first, "default<O2>"))), machine)
            return module.emit_object(machine)

    with llvm_c.TargetMachine(target.triple, target.cpu, target.features) as machine, llvm_c.parse(text) as module:
        module.set_target(machine)
        module.allow_negative_offsets()
        return parts.in_parts(module, ["entry"], one)


def value(objects: list[bytes]) -> int:
    code = jit.load(join(objects))
    return int(code.function("entry", ctypes.c_int64, ctypes.c_int64)(11))


def test_an_entry_that_is_large_itself_stays_visible() -> None:
    body = "\n".join(f"  %v{j + 1} = mul i64 %v{j}, %x" for j in range(700))
    entry = ("define i64 @entry(i64 %x) {\n  %v0 = call i64 @large0(i64 %x)\n  br label %rest\nrest:\n"
             f"{body}\n  ret i64 %v700\n}}")
    text = source(6).replace(source(6)[source(6).index("define i64 @entry"):], entry)
    objects = compiled(text)
    assert len(objects) == 2 and read_symbols(join(objects)).defined == ("entry",)
    value(objects)


def test_two_parts_compute_what_one_does(monkeypatch: pytest.MonkeyPatch) -> None:
    objects = compiled(source(6))
    assert len(objects) == 2
    table = read_symbols(join(objects))
    assert table.defined == ("entry",)
    assert table.undefined == ()
    assert {f"large{i}" for i in range(6)} >= set(table.hidden)
    monkeypatch.setattr(parts, "_WORTH_PARTS", 10**9)
    whole = compiled(source(6))
    assert len(whole) == 1
    assert value(objects) == value(whole)


def test_the_same_module_gives_the_same_parts() -> None:
    assert compiled(source(5)) == compiled(source(5))


@pytest.mark.parametrize("text", [source(1), source(2, length=100), source(6, "@counter = internal global i64 0")],
                         ids=["one function", "small", "a variable"])
def test_others_stay_whole(text: str) -> None:
    assert len(compiled(text)) == 1


def test_an_error_in_the_other_thread_arrives() -> None:
    def fail(module: llvm_c.LlvmModule, first: str) -> bytes:
        if module is not whole:
            raise CompileError("the other part")
        return b""

    with llvm_c.parse(source(6)) as whole:
        whole.allow_negative_offsets()
        with pytest.raises(CompileError, match="the other part"):
            parts.in_parts(whole, ["entry"], fail)


def test_joined_objects_are_separated_again() -> None:
    pieces = [b"", b"one", b"x" * 1000]
    assert separate(join(pieces)) == pieces
    assert separate(join([b"alone"])) == [b"alone"]
    assert join([b"alone"]) == b"alone"
    with pytest.raises(ArtifactError, match="cut short"):
        separate(join(pieces)[:-1])
    with pytest.raises(ArtifactError, match="cut short"):
        separate(join(pieces)[:14])


def test_a_function_of_many_kernels() -> None:
    rng = np.random.default_rng(0)
    x, w = (rng.standard_normal((96, 96)).astype(np.float32) for _ in range(2))
    f = px.defn(lambda x, w: px.softmax(px.tanh(x @ w) @ (x @ w.T), axis=0), disk_cache=False)
    y = np.tanh(x @ w) @ (x @ w.T)
    e = np.exp(y - y.max(axis=0))
    np.testing.assert_allclose(f(x, w).numpy(), e / e.sum(axis=0), rtol=1e-3, atol=1e-5)


def test_many_arguments_make_an_entry_as_large_as_a_function() -> None:
    """The entry stays with the first part, also when it is one of the large functions."""
    arrays = [np.full((3, 2), number, np.float32) for number in range(120)]

    def function(*arrays):
        total = px.softmax(arrays[0] @ px.matrix_transpose(arrays[1]), axis=-1)
        for array in arrays:
            total = px.tanh(total @ array) @ px.matrix_transpose(array)
        return total

    assert px.jit(function)(*arrays).shape == (3, 3)


def test_functions_are_weighed_by_what_passes_work_on() -> None:
    text = source(1, """
define i64 @straight(i64 %x) {
  %y = add i64 %x, 1
  ret i64 %y
}
define i64 @loop(i64 %x) {
entry:
  br label %body
body:
  %i = phi i64 [ 0, %entry ], [ %n, %body ]
  %n = add i64 %i, 1
  %b = icmp slt i64 %n, %x
  br i1 %b, label %body, label %done
done:
  ret i64 %n
}""")
    with llvm_c.parse(text) as module:
        module.allow_negative_offsets()
        assert module.sizes["straight"] == 0
        assert 300 <= module.sizes["large0"] < 310
        assert 40 < module.sizes["loop"] < 80
