"""What this machine can do: multiply-adds in registers, and streams from memory.

Both are measured with loops in LLVM IR, made for the instruction set in force: independent chains of fused
multiply-adds for the first; for the second, reads of one large array, and the triad `a = b + s * c` of the STREAM benchmark
(McCalpin 1995), counted as three streams. Every thread works on memory of its own.
"""

from __future__ import annotations

import ctypes
import functools
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from phalanx.compiler.targets.isa import Isa
from phalanx.compiler.targets.isa import isa as instruction_set
from phalanx.compiler.targets.llvm_c import TargetMachine, parse
from phalanx.runtime import jit, threads

_CHAINS = 12
"""Independent chains: at least latency times units (4 x 2), and few enough for 16 registers."""

_ROUNDS = 5
_FEWEST_BYTES = 64 << 20


@dataclass(frozen=True)
class Limits:
    """Rates that nothing on this machine exceeds for long.

    `flops_f32`, `flops_f64` are floating-point operations a second (a multiply-add is two), `read_bytes` and
    `stream_bytes` bytes of memory a second: read only, and two reads with one write.
    """

    threads: int
    flops_f32: float
    flops_f64: float
    read_bytes: float
    stream_bytes: float

    def __str__(self) -> str:
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        return (f"{threads}: {self.flops_f32 / 1e9:.0f} GFLOP/s in f32, {self.flops_f64 / 1e9:.0f} in f64; memory "
                f"{self.read_bytes / 1e9:.1f} GB/s read, {self.stream_bytes / 1e9:.1f} GB/s streamed")


@functools.cache
def measure_limits(count: int | None = None) -> Limits:
    """The limits of `count` threads (default: the number in force), measured once per process in about a second.

    >>> limits = measure_limits(1)
    >>> limits.flops_f32 > limits.flops_f64 > 0
    True
    """
    wanted = threads.get_threads() if count is None else count
    target = instruction_set(None)
    kernels = _kernels(target)
    nbytes = max(_FEWEST_BYTES, 4 * target.l3_bytes)
    arrays = [[np.ones(nbytes // 4, np.float32) for _ in range(3)] for _ in range(wanted)]
    addresses = [[array.ctypes.data for array in row] for row in arrays]

    def multiply_adds(name: str, lanes: int) -> float:
        trips = 2_000_000
        kernel = kernels.function(name, ctypes.c_double, ctypes.c_int64)
        return wanted * trips * _CHAINS * lanes * 2 / _seconds(wanted, lambda _: kernel(trips))

    read = kernels.function("px_read", ctypes.c_float, ctypes.c_void_p, ctypes.c_int64)
    triad = kernels.function("px_triad", None, *[ctypes.c_void_p] * 3, ctypes.c_int64)
    reads = _seconds(wanted, lambda number: read(addresses[number][0], nbytes))
    streams = _seconds(wanted, lambda number: triad(*addresses[number], nbytes))
    return Limits(wanted, multiply_adds("px_fma_float", target.lanes(32)), multiply_adds("px_fma_double", target.lanes(64)),
                  wanted * nbytes / reads, wanted * 3 * nbytes / streams)


def _seconds(count: int, work: Callable[[int], Any]) -> float:
    """The least time in which `count` threads that start together do their work; ctypes calls run side by side."""
    best = float("inf")
    for _ in range(_ROUNDS):
        start_line = threading.Barrier(count + 1)
        spans: list[tuple[float, float]] = []

        def run(number: int, line: threading.Barrier = start_line, found: list[tuple[float, float]] = spans) -> None:
            line.wait()
            start = time.perf_counter()
            work(number)
            found.append((start, time.perf_counter()))

        team = [threading.Thread(target=run, args=(number,)) for number in range(count)]
        for thread in team:
            thread.start()
        start_line.wait()
        for thread in team:
            thread.join()
        best = min(best, max(end for _, end in spans) - min(start for start, _ in spans))
    return best


def _kernels(target: Isa) -> Any:
    """The loops as loaded machine code."""
    text = "\n".join([_multiply_adds("float", target.lanes(32)), _multiply_adds("double", target.lanes(64)),
                      _streams(target.lanes(32))])
    with parse(text, "limits") as module, TargetMachine(target.triple, target.cpu, target.features) as machine:
        module.set_target(machine)
        module.add_attributes(target.function_attributes)
        module.verify()
        return jit.load(module.emit_object(machine))


def _multiply_adds(element: str, lanes: int) -> str:
    """`_CHAINS` vectors, each multiplied and added to itself in every trip; their sum is returned so that none goes."""
    kind = f"<{lanes} x {element}>"
    suffix = f"v{lanes}f{32 if element == 'float' else 64}"
    splat = f"{kind} splat ({element} 5.000000e-01)"
    phis = "\n".join(f"  %a{i} = phi {kind} [ splat ({element} {i + 1}.000000e+00), %entry ], [ %b{i}, %loop ]"
                     for i in range(_CHAINS))
    steps = "\n".join(f"  %b{i} = call {kind} @llvm.fma.{suffix}({kind} %a{i}, {splat}, {splat})" for i in range(_CHAINS))
    sums = "\n".join(f"  %s{i} = fadd {kind} %s{i - 1}, %b{i}" if i else f"  %s0 = fadd {kind} %b0, %b0"
                     for i in range(_CHAINS))
    widen = "fpext float %lane to double" if element == "float" else "fadd double %lane, 0.000000e+00"
    return f"""
declare {kind} @llvm.fma.{suffix}({kind}, {kind}, {kind})
define double @px_fma_{element}(i64 %trips) {{
entry:
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
{phis}
{steps}
  %next = add i64 %i, 1
  %more = icmp ult i64 %next, %trips
  br i1 %more, label %loop, label %done
done:
{sums}
  %lane = extractelement {kind} %s{_CHAINS - 1}, i64 0
  %result = {widen}
  ret double %result
}}
"""


def _streams(lanes: int) -> str:
    """Reading (8 accumulators) and the triad (4 vectors a trip, written past the caches)."""
    kind, step = f"<{lanes} x float>", 4 * lanes
    reads = "\n".join(
        f"  %o{i} = add i64 %at, {i * step}\n  %p{i} = getelementptr i8, ptr %a, i64 %o{i}\n"
        f"  %v{i} = load {kind}, ptr %p{i}, align 4\n  %b{i} = fadd {kind} %s{i}, %v{i}" for i in range(8))
    phis = "\n".join(f"  %s{i} = phi {kind} [ zeroinitializer, %entry ], [ %b{i}, %loop ]" for i in range(8))
    sums = "\n".join(f"  %t{i} = fadd {kind} %t{i - 1}, %b{i}" if i else f"  %t0 = fadd {kind} %b0, zeroinitializer"
                     for i in range(8))
    triads = "\n".join(
        f"  %o{i} = add i64 %at, {i * step}\n"
        + "".join(f"  %p{n}{i} = getelementptr i8, ptr %{n}, i64 %o{i}\n" for n in "abc")
        + f"  %x{i} = load {kind}, ptr %pb{i}, align 4\n  %y{i} = load {kind}, ptr %pc{i}, align 4\n"
        f"  %m{i} = fmul {kind} %y{i}, splat (float 2.500000e-01)\n  %z{i} = fadd {kind} %x{i}, %m{i}\n"
        f"  store {kind} %z{i}, ptr %pa{i}, align {step}, !nontemporal !0" for i in range(4))
    return f"""
define float @px_read(ptr %a, i64 %bytes) {{
entry:
  br label %loop
loop:
  %at = phi i64 [ 0, %entry ], [ %next, %loop ]
{phis}
{reads}
  %next = add i64 %at, {8 * step}
  %more = icmp ult i64 %next, %bytes
  br i1 %more, label %loop, label %done
done:
{sums}
  %result = extractelement {kind} %t7, i64 0
  ret float %result
}}
define void @px_triad(ptr %target, ptr %b, ptr %c, i64 %bytes) {{
entry:
  %number = ptrtoint ptr %target to i64
  %up = add i64 %number, {step - 1}
  %aligned = and i64 %up, {-step}
  %a = inttoptr i64 %aligned to ptr
  %last = sub i64 %bytes, {8 * step}
  br label %loop
loop:
  %at = phi i64 [ 0, %entry ], [ %next, %loop ]
{triads}
  %next = add i64 %at, {4 * step}
  %more = icmp ult i64 %next, %last
  br i1 %more, label %loop, label %done
done:
  ret void
}}
!0 = !{{i32 1}}
"""
