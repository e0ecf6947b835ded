"""Modules with much to do are compiled in parts that are loaded as one."""

from __future__ import annotations

import numpy as np
import pytest
from mlir import ir

import phalanx as px
from phalanx.compiler import native
from phalanx.compiler.context import context
from phalanx.compiler.targets import machines, parts
from phalanx.compiler.targets.generation import Generation, Worker
from phalanx.compiler.targets.isa import isa
from phalanx.compiler.targets.llvm_c import LlvmModule, parse
from phalanx.dialects.errors import ArtifactError, CompileError
from phalanx.runtime.object_file import join, read_symbols, separate


def function(name: str, loops: int = 0, calls: tuple[str, ...] = (), extra: str = "", kind: str = ' "part"') -> str:
    """A cluster function with some loops and calls."""
    body = [f"func.call @{callee}(%x) : (memref<f32>) -> ()" for callee in calls] + [extra]
    body += [f"scf.for %i{k} = %c0 to %c9 step %c1 {{ memref.store %zero, %x[] : memref<f32> }}" for k in range(loops)]
    lines = "\n  ".join(body)
    attributes = f"attributes {{px.cluster ={kind}, px.workspace = {loops} : i64}}" if kind else ""
    return (f"func.func private @{name}(%x: memref<f32> {{llvm.noalias}}) {attributes} {{\n"
            "  %c0 = arith.constant 0 : index\n  %c1 = arith.constant 1 : index\n  %c9 = arith.constant 9 : index\n"
            f"  %zero = arith.constant 0.0 : f32\n  {lines}\n  return\n}}")


def split(*functions: str) -> tuple[ir.Module, list[ir.Module]]:
    module = ir.Module.parse("\n".join(functions))
    found = parts.split(module)
    for place in (module, *found):
        assert place.operation.verify()
    return module, found


def bodies(module: ir.Module) -> set[str]:
    return {ir.StringAttr(f.attributes["sym_name"]).value for f in module.body.operations if f.operation.regions[0].blocks}


def shared(module: ir.Module) -> set[str]:
    return set(parts.shared(module))


def test_what_is_large_leaves_the_driver() -> None:
    with context():
        module, found = split(function("main", 0, ("one", "two"), kind=""), function("one", 12), function("two", 1))
        assert [bodies(part) for part in found] == [{"one"}]
        assert bodies(module) == {"main", "two"}
        assert shared(module) == shared(found[0]) == {"one"}


def test_parts_declare_what_they_call() -> None:
    code = 'func.func private @kernel(memref<f32>) attributes {px.code = "define"}'
    host = "func.func private @px_host_call(memref<f32>)"
    with context():
        module, (part,) = split(code, host, function("main", 0, ("one",), kind=""), function("small"),
                                function("one", 12, ("small", "kernel", "px_host_call")))
        assert bodies(part) == {"one"}
        assert shared(part) == {"one", "small", "kernel"}  # the process brings the other one along
        assert shared(module) == {"one", "small"}
        assert not any("px.code" in view.attributes for view in part.body.operations)
        (declared,) = (view for view in module.body.operations if view.attributes["sym_name"].value == "one")
        assert ir.IntegerAttr(declared.attributes["px.workspace"]).value == 12
        assert "llvm.noalias" in ir.DictAttr(ir.ArrayAttr(declared.attributes["arg_attrs"])[0])


@pytest.mark.parametrize("functions", [
    [function("main", 12, kind="")],
    [function("main", 0, ("one",), kind=""), function("one", 3)],
    [function("main", 0, ("one",), kind=""), 'memref.global "private" @g : memref<f32> = uninitialized',
     function("one", 12, extra="%g = memref.get_global @g : memref<f32>")],
], ids=["the driver", "small", "a variable"])
def test_others_stay_whole(functions: list[str]) -> None:
    with context():
        _, found = split(*functions)
        assert found == []


def test_much_is_dealt_to_several() -> None:
    with context():
        names = [f"f{k}" for k in range(12)]
        functions = [function("main", 0, tuple(names), kind=""), *(function(name, 10) for name in names)]
        module, found = split(*functions)
        _, again = split(*functions)
        assert [str(part) for part in found] == [str(part) for part in again]
        assert len(found) > 1
        assert set(names) == (bodies(module) - {"main"}).union(*map(bodies, found))


def llvm_module(text: str) -> LlvmModule:
    module = parse(text)
    with machines.borrowed(isa("host")) as machine:
        module.set_target(machine)
    return module


def generation(text: str, passes: str = "default<O2>") -> Generation:
    return Generation(llvm_module(text), machines.take(isa("host")), passes)


def numbered(number: int) -> Generation:
    return generation(f"define i64 @f{number}(i64 %x) {{\n  %y = mul i64 %x, {number}\n  ret i64 %y\n}}")


@pytest.mark.parametrize("passes", ["", "default<O2>"])
def test_a_module_becomes_an_object(passes: str) -> None:
    made = generation("define i64 @f(i64 %x) {\n  %y = mul i64 %x, 3\n  ret i64 %y\n}", passes)
    assert read_symbols(made.result()).defined == ("f",)
    made.close()


def test_a_worker_and_who_helps_it_run_everything_once() -> None:
    several = [numbered(number) for number in range(12)]
    with Worker() as worker:
        for number, one in enumerate(several):
            worker.add(one, part=number % 2 == 0)
        worker.help()
        assert [read_symbols(one.result()).defined for one in several] == [(f"f{number}",) for number in range(12)]


def test_what_nobody_asked_for_is_closed() -> None:
    one, two = numbered(1), numbered(2)
    with Worker() as worker:
        worker.add(one, part=True)
    assert not one._open
    assert two._open
    two.close()
    two.run()


def test_an_error_arrives() -> None:
    with pytest.raises(CompileError, match="no-such-pass"):
        generation("define void @f() {\n  ret void\n}", "no-such-pass").result()


def test_machines_are_kept_and_never_shared() -> None:
    record = isa("x86-64-v3")
    with machines.borrowed(record) as one, machines.borrowed(record) as two:
        assert one is not two
    with machines.borrowed(record) as again:
        assert again in (one, two)


def test_what_was_begun_is_given_up_with_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[Generation] = []
    add = Worker.add

    def note(self: Worker, generation: Generation, *, part: bool = False) -> None:
        begun.extend([generation] if part else [])
        add(self, generation, part=part)

    def fail(*_: object, **__: object) -> None:
        raise CompileError("the driver")

    monkeypatch.setattr(Worker, "add", note)
    monkeypatch.setattr(native, "add_entry", fail)
    with pytest.raises(CompileError, match="the driver"):
        chain(px.defn, disk_cache=False)(*arrays())
    assert begun and not any(one._open for one in begun)


def test_joined_objects_are_separated_again() -> None:
    pieces = [b"", b"one", b"x" * 1000]
    assert separate(join(pieces)) == pieces
    assert separate(join([b"alone"])) == [b"alone"]
    assert join([b"alone"]) == b"alone"
    with pytest.raises(ArtifactError, match="cut short"):
        separate(join(pieces)[:-1])
    with pytest.raises(ArtifactError, match="cut short"):
        separate(join(pieces)[:14])


def arrays() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.standard_normal((96, 96)).astype(np.float32) for _ in range(2)]


def chain(decorate, **options):
    return decorate(lambda x, w: px.softmax(px.tanh(x @ w) @ (x @ w.T), axis=0), **options)


def test_a_function_of_many_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    x, w = arrays()
    y = np.tanh(x @ w) @ (x @ w.T)
    e = np.exp(y - y.max(axis=0))
    found = chain(px.defn, disk_cache=False)(x, w).numpy()
    np.testing.assert_allclose(found, e / e.sum(axis=0), rtol=1e-3, atol=1e-5)
    monkeypatch.setattr(parts, "_WORTH_PARTS", ())
    native._loaded.clear()
    np.testing.assert_array_equal(found, chain(px.defn, disk_cache=False)(x, w).numpy())


def test_sixteen_bit_floats_in_parts() -> None:
    """Helpers of code generation are an object of their own, joined when a part calls one."""
    x, w = (array.astype(np.float16) for array in arrays())
    found = px.defn(lambda x, w: px.softmax(px.tanh(x @ w), axis=0), disk_cache=False, isa="x86-64-v2")(x, w)
    y = np.tanh(x.astype(np.float32) @ w.astype(np.float32))
    e = np.exp(y - y.max(axis=0))
    np.testing.assert_allclose(found.numpy(), e / e.sum(axis=0), rtol=1e-2, atol=1e-4)


def test_many_arguments() -> None:
    several = [np.full((3, 2), number, np.float32) for number in range(120)]

    def function(*arrays):
        total = px.softmax(arrays[0] @ px.matrix_transpose(arrays[1]), axis=-1)
        for array in arrays:
            total = px.tanh(total @ array) @ px.matrix_transpose(array)
        return total

    assert px.jit(function)(*several).shape == (3, 3)
