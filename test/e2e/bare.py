"""Programs without a C library that call one exported function and print what it gave: for emulators of other machines.

    write_program(path, made, arrays, outputs, linker)    the executable, for x86-64 or aarch64 Linux
    run_program(path, architecture, outputs)              status and arrays, by qemu or the `unicorn` package

The only system calls are write and exit, so that any emulator can run them.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from phalanx.compiler.aot.linker import Linker
from phalanx.compiler.targets.isa import Isa
from phalanx.compiler.targets.llvm_c import TargetMachine, parse

Array = np.ndarray[Any, Any]

HEAP = 64 << 20

#: number of write and exit, and how a call of the system is written in LLVM IR
_SYSTEM = {
    "x86_64": (1, 60, 'asm sideeffect "syscall", "={rax},{rax},{rdi},{rsi},{rdx},~{rcx},~{r11},~{memory}"'),
    "aarch64": (64, 93, 'asm sideeffect "svc #0", "={x0},{x8},{x0},{x1},{x2},~{memory}"'),
}

# What exported code needs of libc, as simple as can be; volatile, or LLVM would make memcpy of the loop in memcpy.
_LIBC = f"""
@heap = internal global [{HEAP} x i8] zeroinitializer, align 64
@heap.used = internal global i64 0
define ptr @malloc(i64 %bytes) {{
  %used = load i64, ptr @heap.used
  %up = add i64 %bytes, 63
  %room = and i64 %up, -64
  %next = add i64 %used, %room
  %full = icmp ugt i64 %next, {HEAP}
  br i1 %full, label %none, label %some
some:
  store i64 %next, ptr @heap.used
  %place = getelementptr i8, ptr @heap, i64 %used
  ret ptr %place
none:
  ret ptr null
}}
define void @free(ptr %memory) {{
  ret void
}}
define ptr @memset(ptr %to, i32 %value, i64 %count) {{
entry:
  %byte = trunc i32 %value to i8
  br label %test
test:
  %i = phi i64 [ 0, %entry ], [ %next, %work ]
  %more = icmp ult i64 %i, %count
  br i1 %more, label %work, label %done
work:
  %slot = getelementptr i8, ptr %to, i64 %i
  store volatile i8 %byte, ptr %slot
  %next = add i64 %i, 1
  br label %test
done:
  ret ptr %to
}}
define ptr @memcpy(ptr %to, ptr %from, i64 %count) {{
entry:
  br label %test
test:
  %i = phi i64 [ 0, %entry ], [ %next, %work ]
  %more = icmp ult i64 %i, %count
  br i1 %more, label %work, label %done
work:
  %source = getelementptr i8, ptr %from, i64 %i
  %slot = getelementptr i8, ptr %to, i64 %i
  %byte = load volatile i8, ptr %source
  store volatile i8 %byte, ptr %slot
  %next = add i64 %i, 1
  br label %test
done:
  ret ptr %to
}}
"""


def write_program(path: Path, archive: Path, name: str, record: Isa, arrays: Sequence[Array], outputs: Sequence[Array],
                  linker: Linker) -> None:
    """Link a program that calls `name` of a static library with these inputs, and prints status and outputs."""
    text = _program(name, record.architecture, arrays, outputs)
    baseline = "x86-64" if record.architecture == "x86_64" else record.cpu
    with TargetMachine(record.triple, baseline) as machine, parse(text, "bare") as module:
        module.set_target(machine)
        module.verify()
        start = path.with_suffix(".start.o")
        start.write_bytes(module.emit_object(machine))
    words = [*linker.command, "-static", "-o", str(path), str(start), str(archive)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr


def _program(name: str, architecture: str, arrays: Sequence[Array], outputs: Sequence[Array]) -> str:
    write, leave, call = _SYSTEM[architecture]
    lines, places = [_LIBC], []
    for number, array in enumerate([*arrays, *outputs]):
        escaped = "".join(f"\\{byte:02X}" for byte in array.tobytes())
        lines.append(f'@data{number} = internal global [{array.nbytes} x i8] c"{escaped}", align 64')
        places.append(f"ptr @data{number}")
    sizes = [size for array in [*arrays, *outputs] for size in array.shape]
    lines += [
        f"@pointers = internal global [{len(places)} x ptr] [{', '.join(places)}]",
        f"@sizes = internal global [{max(1, len(sizes))} x i64] [{', '.join(f'i64 {s}' for s in sizes) or 'i64 0'}]",
        "@status = internal global i32 0",
        f"declare i32 @{name}_call(ptr, ptr, i64, ptr, i64, ptr, ptr)",
        "define void @_start() noreturn nounwind alignstack(64) {",
        f"  %status = call i32 @{name}_call(ptr @pointers, ptr @sizes, i64 {len(sizes)}, ptr null, i64 0, ptr null, "
        "ptr null)",
        "  store i32 %status, ptr @status",
    ]
    printed = [("status", 4), *((f"data{len(arrays) + i}", array.nbytes) for i, array in enumerate(outputs))]
    lines += [f"  %w{i} = call i64 {call}(i64 {write}, i64 1, ptr @{symbol}, i64 {count})"
              for i, (symbol, count) in enumerate(printed)]
    lines += [f"  %e = call i64 {call}(i64 {leave}, i64 0, ptr null, i64 0)", "  unreachable", "}"]
    return "\n".join(lines)


def emulator(architecture: str) -> str:
    """What can run programs for a machine with any processor: the path of qemu, "unicorn", or nothing."""
    path = shutil.which(f"qemu-{architecture}-static") or shutil.which(f"qemu-{architecture}")
    if path:
        return path
    try:
        import unicorn  # noqa: F401
    except ImportError:
        return ""
    return "unicorn" if architecture == "aarch64" else ""


def run_program(path: Path, architecture: str, outputs: Sequence[Array], cpu: str = "") -> tuple[int, list[Array]]:
    """Status and outputs of a program."""
    tool = emulator(architecture)
    if tool == "unicorn":
        data = _run_in_unicorn(path.read_bytes())
    else:
        words = [tool, *(["-cpu", cpu] if cpu else []), str(path)]
        done = subprocess.run(words, capture_output=True, check=False, timeout=300)
        assert done.returncode == 0, f"{words}: code {done.returncode} {done.stderr.decode(errors='replace')}"
        data = done.stdout
    found, at = [], 4
    for array in outputs:
        found.append(np.frombuffer(data[at:at + array.nbytes], array.dtype).reshape(array.shape))
        at += array.nbytes
    assert len(data) == at
    return struct.unpack("<i", data[:4])[0], found


def _run_in_unicorn(program: bytes) -> bytes:
    """What an aarch64 program prints, run instruction by instruction in this process."""
    import unicorn
    from unicorn import arm64_const as registers

    machine = unicorn.Uc(unicorn.UC_ARCH_ARM64, unicorn.UC_MODE_ARM)
    machine.reg_write(registers.UC_ARM64_REG_CPACR_EL1, 3 << 20)  # floats and vectors are off after a reset
    (entry, table) = struct.unpack_from("<QQ", program, 24)
    size, count = struct.unpack_from("<HH", program, 54)
    page, mapped = 1 << 16, set()
    for index in range(count):
        kind, _, offset, address, _, stored, needed, _ = struct.unpack_from("<IIQQQQQQ", program, table + index * size)
        if kind != 1:
            continue
        pages = set(range(address // page, (address + needed) // page + 1)) - mapped
        for number in sorted(pages):
            machine.mem_map(number * page, page)
        mapped |= pages
        machine.mem_write(address, program[offset:offset + stored])
    stack = 1 << 40
    machine.mem_map(stack, 1 << 20)
    machine.reg_write(registers.UC_ARM64_REG_SP, stack + (1 << 19))
    printed = bytearray()

    def system_call(uc: Any, *_: Any) -> None:
        number, address, length = (uc.reg_read(r) for r in (
            registers.UC_ARM64_REG_X8, registers.UC_ARM64_REG_X1, registers.UC_ARM64_REG_X2))
        if number == _SYSTEM["aarch64"][0]:
            printed.extend(uc.mem_read(address, length))
        else:
            uc.emu_stop()

    machine.hook_add(unicorn.UC_HOOK_INTR, system_call)
    machine.emu_start(entry, 0)
    return bytes(printed)
