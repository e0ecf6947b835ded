"""compiler/targets/llvm_c.py, half.py and cpu.py: MLIR in the LLVM dialect -> machine code."""

import ctypes
import threading
import time

import ml_dtypes
import numpy as np
import pytest
from mlir import ir

from phalanx.compiler.pipeline import run as pipeline
from phalanx.compiler.targets import cpu, half
from phalanx.compiler.targets.isa import isa
from phalanx.compiler.targets.llvm_c import Function, Linkage, TargetMachine, Visibility, parse, translate
from phalanx.dialects.errors import CompileError
from phalanx.runtime import jit
from phalanx.runtime.object_file import read_symbols

LINUX = "x86_64-unknown-linux-gnu"

TWO_FUNCTIONS = """
@table = global i32 7
declare float @expf(float)
define float @twice(float %x) {
  %y = fadd float %x, %x
  ret float %y
}
define float @user(float %x) {
  %y = call float @twice(float %x)
  %z = call float @expf(float %y)
  ret float %z
}
"""

# A saxpy over n elements, written at the level that the schedules hand over.
SAXPY = """
func.func private @saxpy_L1(%x0: memref<f32> {llvm.noalias}, %y0: memref<f32> {llvm.noalias},
                            %out0: memref<f32> {llvm.noalias}, %n: index)
    attributes {px.cluster = "elementwise", px.workspace = 100 : i64} {
  %x = memref.reinterpret_cast %x0 to offset: [0], sizes: [%n], strides: [1] : memref<f32> to memref<?xf32>
  %y = memref.reinterpret_cast %y0 to offset: [0], sizes: [%n], strides: [1] : memref<f32> to memref<?xf32>
  %out = memref.reinterpret_cast %out0 to offset: [0], sizes: [%n], strides: [1]
    : memref<f32> to memref<?xf32>
  %two = arith.constant 2.0 : f32
  %zero = arith.constant 0 : index
  %one = arith.constant 1 : index
  scf.for %i = %zero to %n step %one {
    %a = memref.load %x[%i] : memref<?xf32>
    %b = memref.load %y[%i] : memref<?xf32>
    %c = arith.mulf %a, %two : f32
    %d = arith.addf %c, %b : f32
    memref.store %d, %out[%i] : memref<?xf32>
  }
  return
}
func.func @main(%x: memref<f32>, %y: memref<f32>, %out: memref<f32>, %n: index, %arena: memref<i8>) {
  call @saxpy_L1(%x, %y, %out, %n) : (memref<f32>, memref<f32>, memref<f32>, index) -> ()
  return
}
func.func @main_arena_bytes(%n: index) -> i64 {
  %bytes = arith.index_cast %n : index to i64
  return %bytes : i64
}
"""


def lowered(text: str, *, openmp: bool = False) -> ir.Module:
    module = ir.Module.parse(text)
    pipeline.run(module, ",".join(name for name, _reason in cpu.llvm_pipeline(openmp)))
    return module


@pytest.fixture
def context():
    with ir.Context() as created, ir.Location.unknown():
        created.enable_multithreading(False)
        yield created


@pytest.fixture
def saxpy(context):
    module = lowered(SAXPY)
    cpu.add_entry(module, inputs=2, results=1, dims=1)
    return module


def pointers(*arrays: np.ndarray) -> ctypes.Array:
    return (ctypes.c_void_p * len(arrays))(*(array.ctypes.data for array in arrays))


def test_functions_and_undefined_symbols():
    with parse(TWO_FUNCTIONS) as module:
        assert module.functions() == [
            Function("expf", False),
            Function("twice", True),
            Function("user", True),
        ]
        assert module.undefined() == ["expf"]


def test_keep_only_makes_the_rest_internal():
    with parse(TWO_FUNCTIONS) as module, TargetMachine(LINUX, "x86-64-v2") as machine:
        module.set_target(machine)
        module.keep_only(["user"])
        assert "define internal float @twice" in str(module)
        assert "@table = internal global" in str(module)
        table = read_symbols(module.emit_object(machine))
    assert table.defined == ("user",)
    assert table.undefined == ("expf",)


def test_linkage_visibility_and_name():
    with parse(TWO_FUNCTIONS) as module:
        module.rename("user", "user__v3")
        module.set_visibility("user__v3", Visibility.HIDDEN)
        module.set_linkage("twice", Linkage.INTERNAL)
        text = str(module)
        assert "define hidden float @user__v3" in text
        assert "define internal float @twice" in text
        with pytest.raises(CompileError, match="no symbol 'user'"):
            module.rename("user", "again")


def test_link_resolves_a_declaration():
    with parse("declare i32 @g()\ndefine i32 @f() {\n  %r = call i32 @g()\n  ret i32 %r\n}") as module:
        assert module.undefined() == ["g"]
        module.link("define i32 @g() {\n  ret i32 42\n}", "helpers")
        assert module.undefined() == []
        with pytest.raises(CompileError, match=r"linking 'twin' failed.*@?g"):
            module.link("define i32 @g() {\n  ret i32 43\n}", "twin")


def test_passes_and_their_errors():
    with parse(TWO_FUNCTIONS) as module, TargetMachine(LINUX, "x86-64-v3") as machine:
        module.set_target(machine)
        with pytest.raises(CompileError, match="unknown pass name 'no-such-pass'"):
            module.run_passes("no-such-pass", machine)
        module.keep_only(["user"])
        module.run_passes("default<O2>", machine)
        assert "@twice" not in str(module)


def test_bad_ir_text_and_bad_targets():
    with pytest.raises(CompileError, match="expected instruction opcode"):
        parse("define void @f() {\n  nonsense\n}")
    with pytest.raises(CompileError, match="no code generator for triple 'z80-unknown'"):
        TargetMachine("z80-unknown", "generic")


def test_verify_names_the_broken_rule():
    # The parser accepts a block that a phi does not list; the verifier does not.
    text = "define i32 @f(i1 %c) {\na:\n  br i1 %c, label %b, label %d\nb:\n  br label %d\nd:\n"
    with parse(text + "  %p = phi i32 [ 1, %a ], [ 2, %b ]\n  ret i32 %p\n}") as module:
        module.verify()
    broken = parse(text + "  %p = phi i32 [ 1, %a ]\n  ret i32 %p\n}")
    with broken, pytest.raises(CompileError, match="PHINode"):
        broken.verify()


def test_use_after_close_is_refused():
    module = parse(TWO_FUNCTIONS)
    module.close()
    module.close()
    with pytest.raises(CompileError, match="was closed"):
        module.functions()


def test_leftover_dialect_is_an_error_with_its_message(context):
    module = ir.Module.parse("func.func @f(%x: f32) -> f32 {\n  return %x : f32\n}")
    with pytest.raises(CompileError, match=r"translation to LLVM IR failed: .*func\.func"):
        translate(module)


def test_backend_error_does_not_end_the_process():
    text = 'define void @f() {\n  call void asm sideeffect "no_such_instruction", ""()\n  ret void\n}'
    with parse(text) as module, TargetMachine(LINUX, "x86-64-v2") as machine:
        module.set_target(machine)
        with pytest.raises(CompileError, match="invalid instruction mnemonic"):
            module.emit_object(machine)


@pytest.mark.parametrize(
    ("name", "register", "absent"),
    [("x86-64-v2", "xmm", "ymm"), ("x86-64-v3", "ymm", "zmm"), ("x86-64-v4", "zmm", None)],
)
def test_vectors_as_wide_as_the_level(saxpy, name, register, absent):
    text = cpu.CpuTarget(name).assembly(saxpy)
    assert f"%{register}" in text
    assert absent is None or f"%{absent}" not in text
    assert "addps" in text


@pytest.mark.parametrize("level", [1, 2, 3])
def test_every_level_but_the_lowest_vectorises(saxpy, level):
    assert "zmm" in cpu.CpuTarget("x86-64-v4", passes=cpu.llvm_passes(level)).assembly(saxpy)


def test_level_zero_still_runs(saxpy):
    entry = jit.load(cpu.CpuTarget(passes=cpu.llvm_passes(0)).finish(saxpy).object).function(
        "px_entry", ctypes.c_int32, *[ctypes.c_void_p] * 3
    )
    x, out = np.arange(100, dtype="f4"), np.zeros(100, "f4")
    assert entry(pointers(x, x, out), (ctypes.c_int64 * 1)(100), None) == 0
    np.testing.assert_array_equal(out, 3 * x)


@pytest.mark.parametrize(
    ("name", "magic"),
    [("aarch64", b"\x7fELF"), ("apple-m1", b"\xcf\xfa\xed\xfe"), ("znver3", b"\x7fELF")],
)
def test_cross_compilation(saxpy, name, magic):
    artifact = cpu.CpuTarget(name).finish(saxpy)
    assert artifact.object.startswith(magic)
    assert artifact.symbols == ("px_arena_bytes", "px_entry")
    assert artifact.undefined == ()


def test_objects_are_reproducible(saxpy):
    target = cpu.CpuTarget("x86-64-v3")
    assert target.finish(saxpy).object == target.finish(saxpy).object


def test_entry_runs(saxpy):
    artifact = cpu.CpuTarget().finish(saxpy)
    assert dict(artifact.metadata) == {"target": "cpu", "passes": "default<O2>", "openmp": False}
    code = jit.load(artifact.object)
    entry = code.function("px_entry", ctypes.c_int32, *[ctypes.c_void_p] * 3)
    arena_bytes = code.function("px_arena_bytes", ctypes.c_int64, ctypes.c_void_p)
    for size in (0, 1, 31, 1000):
        x, y = np.arange(size, dtype="f4"), np.ones(size, "f4")
        out = np.full(size, np.nan, "f4")
        sizes = (ctypes.c_int64 * 1)(size)
        assert entry(pointers(x, y, out), sizes, None) == 0
        np.testing.assert_array_equal(out, 2 * x + y)
        assert arena_bytes(sizes) == -(-(size + 100) // 64) * 64


def test_clusters_stay_functions_that_profiles_can_name(saxpy):
    assert "saxpy_L1:" in cpu.CpuTarget("x86-64-v3").assembly(saxpy)


def test_entry_refuses_another_signature(context):
    with pytest.raises(CompileError, match=r"@main: expected arguments .*got"):
        cpu.add_entry(lowered(SAXPY), inputs=1, results=1, dims=1)
    with pytest.raises(CompileError, match="no function @main with a body"):
        cpu.add_entry(ir.Module.parse("module {}"), inputs=0, results=0, dims=0)


def test_pipeline_has_a_reason_for_every_pass():
    for openmp in (False, True):
        assert all(name and reason for name, reason in cpu.llvm_pipeline(openmp))
    names = [name for name, _ in cpu.llvm_pipeline(True)]
    assert names.index("convert-scf-to-openmp") < names.index("convert-scf-to-cf")
    assert "convert-scf-to-openmp" not in [name for name, _ in cpu.llvm_pipeline(False)]


# --- 16-bit floats


def conversion(source: str, operation: str, result: str) -> str:
    return f"""
    define void @convert(ptr noalias %from, ptr noalias %to, i64 %n) {{
    entry:
      %none = icmp eq i64 %n, 0
      br i1 %none, label %exit, label %loop
    loop:
      %i = phi i64 [ 0, %entry ], [ %next, %loop ]
      %a = getelementptr {source}, ptr %from, i64 %i
      %v = load {source}, ptr %a
      %w = {operation} {source} %v to {result}
      %b = getelementptr {result}, ptr %to, i64 %i
      store {result} %w, ptr %b
      %next = add i64 %i, 1
      %done = icmp eq i64 %next, %n
      br i1 %done, label %exit, label %loop
    exit:
      ret void
    }}"""


def convert(values: np.ndarray, source: str, operation: str, result: str, to: np.dtype) -> np.ndarray:
    # Level 2 has no 16-bit float instructions at all, so that every conversion goes through a helper.
    with parse(conversion(source, operation, result)) as module, TargetMachine(LINUX, "x86-64-v2") as machine:
        module.set_target(machine)
        assert half.link_helpers(module)
        module.verify()
        module.run_passes("default<O2>", machine)
        data = module.emit_object(machine)
    assert not [name for name in read_symbols(data).undefined if name.startswith("__")]
    out = np.zeros(values.shape, to)
    with jit.load(data) as code:
        run = code.function("convert", None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)
        run(values.ctypes.data, out.ctypes.data, values.size)
    return out


def assert_same_bits(actual: np.ndarray, expected: np.ndarray) -> None:
    number = f"u{actual.dtype.itemsize}"
    nan = np.isnan(expected.astype("f8"))
    assert np.array_equal(np.isnan(actual.astype("f8")), nan)
    np.testing.assert_array_equal(actual.view(number)[~nan], expected.view(number)[~nan])


def hard_cases(kind: np.dtype) -> np.ndarray:
    """Every value of the 16-bit type, the midpoints between neighbours, and both moved by a hair."""
    every = np.arange(65536, dtype="u2").view(kind).astype("f8")
    finite = np.sort(every[np.isfinite(every)])
    middle = (finite[1:] + finite[:-1]) / 2
    return np.concatenate([every, middle, middle * (1 + 2.0**-50), middle * (1 - 2.0**-50), [1e300, -1e300]])


@pytest.mark.parametrize(("name", "kind"), [("half", np.float16), ("bfloat", ml_dtypes.bfloat16)])
def test_narrowing_is_bit_exact(name, kind):
    kind = np.dtype(kind)
    with np.errstate(all="ignore"):
        wide = hard_cases(kind)
        single = wide.astype("f4")
        assert_same_bits(convert(single, "float", "fptrunc", name, kind), single.astype(kind))
        narrowed = convert(wide, "double", "fptrunc", name, kind)
        if kind == np.float16:
            assert_same_bits(narrowed, wide.astype(kind))
            return
        # ml_dtypes rounds f64 twice, through f32; the nearest value with ties to even is worked out here.
        inside = np.isfinite(wide) & (np.abs(wide) < float(ml_dtypes.finfo(kind).max))
        twice = wide[inside].astype(kind).view("i2").astype("i4")
        bits = np.stack([twice, np.maximum(twice - 1, np.where(twice < 0, -32768, 0)), twice + 1])
        candidates = bits.astype("i2").view(kind).astype("f8")
        distance = np.abs(candidates - wide[inside])
        distance[np.isnan(distance)] = np.inf
        nearest = distance.min(axis=0)
        got = narrowed[inside].astype("f8")
        np.testing.assert_array_equal(np.abs(got - wide[inside]), nearest)
        ties = (distance == nearest).sum(axis=0) > 1
        assert not np.any(narrowed[inside].view("u2")[ties & (got != 0)] & 1)


def test_widening_half_is_bit_exact():
    every = np.arange(65536, dtype="u2").view("f2")
    widened = convert(every, "half", "fpext", "float", np.dtype("f4"))
    with np.errstate(invalid="ignore"):
        assert_same_bits(widened, every.astype("f4"))


BFLOAT_SCALE = """
func.func @main(%x0: memref<bf16> {llvm.noalias}, %out0: memref<bf16> {llvm.noalias}, %n: index,
                %arena: memref<i8>) {
  %x = memref.reinterpret_cast %x0 to offset: [0], sizes: [%n], strides: [1] : memref<bf16> to memref<?xbf16>
  %out = memref.reinterpret_cast %out0 to offset: [0], sizes: [%n], strides: [1]
    : memref<bf16> to memref<?xbf16>
  %factor = arith.constant 1.0078125 : f32
  %zero = arith.constant 0 : index
  %one = arith.constant 1 : index
  scf.for %i = %zero to %n step %one {
    %a = memref.load %x[%i] : memref<?xbf16>
    %b = arith.extf %a : bf16 to f32
    %c = arith.mulf %b, %factor : f32
    %d = arith.truncf %c : f32 to bf16
    memref.store %d, %out[%i] : memref<?xbf16>
  }
  return
}
func.func @main_arena_bytes(%n: index) -> i64 {
  %bytes = arith.constant 0 : i64
  return %bytes : i64
}
"""


def test_bfloat_loops_are_exact_and_vectorised(context):
    module = lowered(BFLOAT_SCALE)
    cpu.add_entry(module, inputs=1, results=1, dims=1)
    text = cpu.CpuTarget("x86-64-v3").assembly(module)
    assert "vmulps" in text
    assert "call" not in text.split("px_entry:")[1].split(".size")[0]
    every = np.arange(65536, dtype="u2").view(ml_dtypes.bfloat16)
    out = np.zeros_like(every)
    entry = jit.load(cpu.CpuTarget().finish(module).object).function("px_entry", ctypes.c_int32, *[ctypes.c_void_p] * 3)
    assert entry(pointers(every, out), (ctypes.c_int64 * 1)(every.size), None) == 0
    with np.errstate(all="ignore"):
        expected = (every.astype("f4") * np.float32(1.0078125)).astype(ml_dtypes.bfloat16)
        assert_same_bits(out, expected)


def test_helpers_only_where_needed():
    with parse(TWO_FUNCTIONS) as module:
        assert not half.link_helpers(module)


# --- threads


def test_gil_is_free_while_llvm_works():
    body = "".join(f"  %v{i + 1} = fdiv float %v{i}, %x\n" for i in range(4000))
    text = f"define float @f(float %x, float %v0) {{\n{body}  ret float %v4000\n}}"
    steps: list[float] = []
    stop = threading.Event()

    def tick() -> None:
        while not stop.is_set():
            steps.append(time.perf_counter())
            time.sleep(0.001)

    ticker = threading.Thread(target=tick)
    with parse(text) as module, TargetMachine(LINUX, "x86-64-v3") as machine:
        module.set_target(machine)
        ticker.start()
        begin = time.perf_counter()
        module.emit_object(machine)
        end = time.perf_counter()
        stop.set()
        ticker.join()
    inside = [step for step in steps if begin < step < end]
    assert len(inside) >= 3, f"{len(inside)} ticks in {1e3 * (end - begin):.0f} ms"


def test_threads_compile_side_by_side():
    results: dict[int, bytes] = {}

    def compile_it(number: int) -> None:
        with ir.Context() as created, ir.Location.unknown():
            created.enable_multithreading(False)
            module = lowered(SAXPY)
            cpu.add_entry(module, inputs=2, results=1, dims=1)
            results[number] = cpu.CpuTarget(isa("x86-64-v3")).finish(module).object

    threads = [threading.Thread(target=compile_it, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    assert len(set(results.values())) == 1


def test_choices_in_loops_are_not_branches():
    """A value chosen by data in a scalar loop: the one conditional jump left is that of the loop."""
    text = """
define i32 @longest(ptr %a, i64 %n) {
entry:
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
  %run = phi i32 [ 0, %entry ], [ %run1, %loop ]
  %best = phi i32 [ 0, %entry ], [ %best1, %loop ]
  %p = getelementptr double, ptr %a, i64 %i
  %x = load double, ptr %p
  %positive = fcmp ogt double %x, 0.0
  %longer = add i32 %run, 1
  %run1 = select i1 %positive, i32 %longer, i32 0
  %more = icmp sgt i32 %run1, %best
  %best1 = select i1 %more, i32 %run1, i32 %best
  %next = add i64 %i, 1
  %done = icmp eq i64 %next, %n
  br i1 %done, label %exit, label %loop
exit:
  ret i32 %best1
}
"""
    with parse(text) as module, TargetMachine(LINUX, "x86-64-v3") as machine:
        module.set_target(machine)
        lines = [line.strip() for line in module.emit_assembly(machine).splitlines()]
    jumps = [line for line in lines if line.startswith("j") and not line.startswith("jmp")]
    assert len(jumps) == 1, jumps
