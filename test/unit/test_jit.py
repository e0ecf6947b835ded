"""runtime/jit.py and runtime/object_file.py: object bytes -> running code."""

import ctypes
import gc
import subprocess
import sys
import textwrap
import threading
import weakref

import pytest

from phalanx.compiler.targets.isa import host, isa
from phalanx.compiler.targets.llvm_c import TargetMachine, parse
from phalanx.dialects.errors import ArtifactError, DeviceError
from phalanx.runtime import jit
from phalanx.runtime.object_file import read_symbols

ADD = "define i32 @{name}(i32 %x) {{\n  %r = add i32 %x, {number}\n  ret i32 %r\n}}\n"


def object_of(text: str, instruction_set: str = "host") -> bytes:
    record = isa(instruction_set)
    machine = TargetMachine(record.triple, record.cpu, record.features)
    with machine, parse(text) as module:
        module.set_target(machine)
        return module.emit_object(machine)


def adder(number: int, name: str = "f") -> bytes:
    return object_of(ADD.format(name=name, number=number))


def test_two_objects_with_the_same_names_live_side_by_side():
    first, second = jit.load(adder(1)), jit.load(adder(100))
    assert first.exports == second.exports == ("f",)
    assert first.function("f", ctypes.c_int32, ctypes.c_int32)(5) == 6
    assert second.function("f", ctypes.c_int32, ctypes.c_int32)(5) == 105


def test_function_keeps_its_object_alive():
    code = jit.load(adder(1))
    alive = weakref.ref(code)
    run = code.function("f", ctypes.c_int32, ctypes.c_int32)
    del code
    gc.collect()
    assert alive() is not None
    assert run(1) == 2
    del run
    gc.collect()
    assert alive() is None


def test_closing_frees_and_refuses_later_lookups():
    with jit.load(adder(1)) as code:
        assert code.address("f")
        assert not code.closed
    assert code.closed
    with pytest.raises(DeviceError, match="lookup of 'f' in code that was closed"):
        code.address("f")
    code.close()


def test_unknown_export_lists_what_there_is():
    with pytest.raises(ArtifactError, match="no symbol 'g'; it exports f"):
        jit.load(adder(1)).address("g")


def test_callback_by_absolute_symbol_is_kept():
    seen: list[int] = []
    callback = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_void_p)(lambda site, _: seen.append(site))
    text = "declare void @px_host_call(i64, ptr)\ndefine void @run() {\n"
    data = object_of(text + "  call void @px_host_call(i64 7, ptr null)\n  ret void\n}")
    run = jit.load(data, {"px_host_call": jit.address_of(callback)}, keep=[callback]).function("run", None)
    del callback
    gc.collect()
    run()
    run()
    assert seen == [7, 7]


def test_libm_and_libc_are_found():
    data = object_of(
        "declare double @cbrt(double)\ndeclare ptr @memset(ptr, i32, i64)\n"
        "define double @run(ptr %p, double %x) {\n  %m = call ptr @memset(ptr %p, i32 1, i64 4)\n"
        "  %r = call double @cbrt(double %x)\n  ret double %r\n}"
    )
    buffer = ctypes.c_uint32()
    run = jit.load(data).function("run", ctypes.c_double, ctypes.c_void_p, ctypes.c_double)
    assert run(ctypes.addressof(buffer), 27.0) == pytest.approx(3.0)
    assert buffer.value == 0x01010101


def test_unresolved_symbols_are_all_named():
    data = object_of(
        "declare void @no_such_function()\ndeclare void @px_host_call(i64, ptr)\ndefine void @run() {\n"
        "  call void @no_such_function()\n  call void @px_host_call(i64 1, ptr null)\n  ret void\n}"
    )
    with pytest.raises(ArtifactError, match=r"2 symbol.*: no_such_function, px_host_call") as caught:
        jit.load(data)
    assert "px_host_call" in (caught.value.hint or "")


def test_damaged_objects_are_refused():
    data = adder(1)
    for broken in (b"", b"nonsense", data[:80], data[: len(data) // 2]):
        with pytest.raises(ArtifactError, match="object"):
            jit.load(broken)


def test_object_of_another_machine_is_refused():
    other = "aarch64" if host().architecture == "x86_64" else "x86-64-v2"
    with pytest.raises(ArtifactError, match=f"made for .*, this machine is {host().architecture}"):
        jit.load(object_of(ADD.format(name="f", number=1), other))


@pytest.mark.parametrize("name", ["x86-64-v2", "aarch64", "apple-m1"])
def test_symbol_tables_of_both_formats(name):
    text = (
        "declare float @expf(float)\ndefine internal float @inner(float %x) noinline {\n"
        "  %r = call float @expf(float %x)\n  ret float %r\n}\n"
        "define hidden float @hidden(float %x) {\n  ret float %x\n}\n"
        "define float @outer(float %x) {\n  %r = call float @inner(float %x)\n  ret float %r\n}"
    )
    table = read_symbols(object_of(text, name))
    assert table.machine == isa(name).architecture
    assert table.defined == ("outer",)
    assert table.undefined == ("expf",)


def test_threads_load_and_run_at_once():
    objects = [adder(number) for number in range(4)]
    wrong: list[tuple[int, int]] = []

    def work(number: int) -> None:
        for _ in range(25):
            with jit.load(objects[number]) as code:
                result = code.function("f", ctypes.c_int32, ctypes.c_int32)(1000)
            if result != 1000 + number:
                wrong.append((number, result))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_closed_objects_give_their_memory_back():
    data = adder(1)

    def resident() -> int:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * 4096

    if not sys.platform.startswith("linux"):
        pytest.skip("reads /proc")
    for _ in range(50):
        jit.load(data).address("f")
    before = resident()
    for _ in range(300):
        jit.load(data).address("f")
    assert resident() - before < 300 * 4096


def test_loading_needs_no_mlir():
    code = """
        import sys
        from phalanx.runtime import jit, threads
        jit.session()
        threads.prepare_launch(1)
        sys.exit(any(name == "mlir" or name.startswith("mlir.") for name in sys.modules))
    """
    assert subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=False).returncode == 0
