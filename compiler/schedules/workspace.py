"""Scratch memory of a cluster: typed pieces of its workspace argument."""

from __future__ import annotations

from phalanx.compiler.schedules.cluster import View
from phalanx.compiler.schedules.text import Index, Writer

ALIGNMENT = 64
STACK_BYTES = 64 << 10
"""Most bytes of scratch that stand on the stack of the function that needs them, which is warm in the caches and costs
nothing; threads of any system have several times as much."""
_BYTES = {"i1": 1, "i8": 1, "i16": 2, "i32": 4, "i64": 8, "f16": 2, "bf16": 2, "f32": 4, "f64": 8, "index": 8}


def element_bytes(element: str) -> int:
    """Bytes one element takes in memory."""
    return _BYTES[element]


def on_stack(name: str, count: int) -> list[str]:
    """Lines that make `name` a pointer (memref<i8>) to so many bytes on the stack of the function they begin."""
    return [
        f"{name}_room = memref.alloca() {{alignment = {ALIGNMENT} : i64}} : memref<{count}xi8>",
        f"{name} = memref.reinterpret_cast {name}_room to offset: [0], sizes: [], strides: [] : "
        f"memref<{count}xi8> to memref<i8>",
    ]


class Workspace:
    """Hands out pieces of `pointer` (a memref<i8> argument), which is the caller's to provide.

    `base` is where this worker's share starts, in bytes.
    """

    def __init__(self, pointer: str, base: Index = 0) -> None:
        self.pointer = pointer
        self.base = base
        self.bytes = 0

    def allocate(self, writer: Writer, element: str, count: int) -> View:
        """`count` elements, aligned to a cache line."""
        start = self.bytes
        self.bytes += -(-count * element_bytes(element) // ALIGNMENT) * ALIGNMENT
        whole = writer.pure(
            f"memref.reinterpret_cast {self.pointer} to offset: [0], sizes: [{writer.index((1 << 63) - 1)}], "
            f"strides: [1] : memref<i8> to memref<?xi8>",
            [self.pointer],
            "w",
        )
        offset = writer.index(writer.add(self.base, start))
        pointer = writer.pure(f"memref.view {whole}[{offset}][] : memref<?xi8> to memref<{element}>", [whole, offset], "w")
        return View(pointer, element, (count,), (1,))
