"""Compiles hand-written cluster functions and calls them on NumPy arrays (used by test_schedules*.py)."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from mlir import ir

from phalanx.compiler.pipeline.stages import cpu_stages, run_stages
from phalanx.compiler.schedules.schedule import schedule
from phalanx.compiler.targets import codes
from phalanx.compiler.targets.half import link_helpers
from phalanx.compiler.targets.isa import Isa, isa
from phalanx.compiler.targets.llvm_c import TargetMachine, translate
from phalanx.runtime import jit, threads
from phalanx.runtime.object_file import join

ELEMENTS = {
    "f32": np.float32, "f64": np.float64, "f16": np.float16, "i8": np.int8, "i16": np.int16, "i32": np.int32,
    "i64": np.int64, "bf16": np.uint16,
}  # fmt: skip


@dataclass(frozen=True)
class Array:
    """One array argument: element type, sizes (int or name of an index argument), strides (dense when None)."""

    element: str
    sizes: tuple[int | str, ...]
    strides: tuple[int | str, ...] | None = None
    alias: int | None = None

    def memref(self) -> str:
        dims = ["?" if isinstance(size, str) else str(size) for size in self.sizes]
        shape = "x".join([*dims, self.element])
        if self.strides is None:
            return f"memref<{shape}>"
        strides = ", ".join("?" if isinstance(step, str) else str(step) for step in self.strides)
        return f"memref<{shape}, strided<[{strides}]>>"

    def tensor(self) -> str:
        return "tensor<" + "x".join(["?" if isinstance(s, str) else str(s) for s in self.sizes] + [self.element]) + ">"


def view_text(name: str, array: Array, writer: list[str]) -> None:
    """The reinterpret_cast of a rank-0 argument to its shape."""
    sizes = ", ".join(f"%{size}" if isinstance(size, str) else str(size) for size in array.sizes)
    if array.strides is not None:
        strides = [f"%{step}" if isinstance(step, str) else str(step) for step in array.strides]
    else:
        strides = []
        step: int | str = 1
        for position, size in enumerate(reversed(array.sizes)):
            strides.insert(0, step if isinstance(step, str) else str(step))
            if position == len(array.sizes) - 1:
                break
            if isinstance(step, int) and isinstance(size, int):
                step *= size
            else:
                left = step if isinstance(step, str) else f"%{name}c{position}"
                if isinstance(step, int):
                    writer.append(f"{left} = arith.constant {step} : index")
                right = f"%{size}"
                if isinstance(size, int):
                    right = f"%{name}d{position}"
                    writer.append(f"{right} = arith.constant {size} : index")
                writer.append(f"%{name}s{position} = arith.muli {left}, {right} : index")
                step = f"%{name}s{position}"
    memref = array.memref()
    if array.strides is None and len(array.sizes) and any(isinstance(s, str) for s in array.sizes[1:]):
        shown = ", ".join("?" if s.startswith("%") else s for s in strides)
        memref = f"{memref[:-1]}, strided<[{shown}]>>"
    writer.append(
        f"%{name}v = memref.reinterpret_cast %{name} to offset: [0], sizes: [{sizes}], "
        f"strides: [{', '.join(strides)}] : memref<{array.element}> to {memref}"
    )
    writer.append(f"// {memref}")


def cluster_text(
    kind: str,
    inputs: Sequence[Array],
    outputs: Sequence[Array],
    body: str,
    results: Sequence[str],
    dims: Sequence[str] = (),
    scalars: Sequence[str] = (),
    name: str = "k",
) -> str:
    """A cluster function: inputs are %t0, %t1, ... in `body`, `results` name the tensors that are stored."""
    arguments = [f"%in{i}: memref<{array.element}>" for i, array in enumerate(inputs)]
    for i, array in enumerate(outputs):
        note = "llvm.noalias" if array.alias is None else f"px.alias = {array.alias} : i64"
        arguments.append(f"%out{i}: memref<{array.element}> {{{note}}}")
    arguments += [f"%{dim}: index" for dim in dims] + list(scalars) + ["%ws: memref<i8>"]
    lines: list[str] = []
    types: dict[str, str] = {}
    for prefix, arrays in (("in", inputs), ("out", outputs)):
        for i, array in enumerate(arrays):
            view_text(f"{prefix}{i}", array, lines)
            types[f"{prefix}{i}"] = lines.pop()[3:]
    for i, array in enumerate(inputs):
        memref = types[f"in{i}"]
        lines.append(f"%t{i} = bufferization.to_tensor %in{i}v restrict : {memref} to {array.tensor()}")
    lines.append(body)
    for i, (array, result) in enumerate(zip(outputs, results, strict=True)):
        memref = types[f"out{i}"]
        lines.append(
            f"bufferization.materialize_in_destination {result} in restrict writable %out{i}v : "
            f"({array.tensor()}, {memref}) -> ()"
        )
    shown = "\n  ".join(lines)
    attributes = f'px.cluster = "{kind}", px.outs = {len(outputs)} : i64'
    return (
        f"func.func private @{name}({', '.join(arguments)}) attributes {{{attributes}}} {{\n  {shown}\n  return\n}}\n"
    )


class Kernel:
    """A compiled cluster function."""

    def __init__(
        self,
        text: str,
        *,
        parallel: bool = False,
        level: str | Isa = "host",
        name: str = "k",
        passes: str = "default<O2>",
    ) -> None:
        with ir.Context() as context:
            context.enable_multithreading(False)
            module = ir.Module.parse(text)
            schedule(module, isa(level), threads=parallel)
            module.operation.verify()
            self.text = str(module)
            function = next(
                op for op in module.body.operations if ir.StringAttr(op.attributes["sym_name"]).value == name
            )
            self.workspace_bytes = ir.IntegerAttr(function.attributes["px.workspace"]).value
            self.arguments = [str(argument.type) for argument in function.regions[0].blocks[0].arguments]
            del function.attributes["sym_visibility"]
            run_stages(module, cpu_stages(threads=parallel), first="buffers")
            record = isa(level)
            with TargetMachine(record.triple, record.cpu, record.features) as machine, translate(module) as llvm:
                llvm.set_target(machine)
                llvm.keep_only([name])
                link_helpers(llvm)
                llvm.add_attributes(record.function_attributes)
                llvm.verify()
                llvm.run_passes(passes, machine)
                texts = codes.attached(module)
                data = join([llvm.emit_object(machine), *codes.objects(texts, record)])
                self.assembly = llvm.emit_assembly(machine) + codes.assembly(texts, record)
        self.loaded = jit.load(data)
        types = [ctypes.c_int64 if kind == "index" else ctypes.c_void_p for kind in self.arguments]
        self.types = types
        self.function = self.loaded.function(name, None, *types)
        self.workspace = np.full(self.workspace_bytes + 128, 0xFF, np.uint8)

    def bind(self, arrays: Sequence[np.ndarray[Any, Any]], dims: Sequence[int] = ()) -> list[Any]:
        pointer = self.workspace.ctypes.data
        aligned = pointer + (-pointer % 64)
        return [*(array.ctypes.data for array in arrays), *dims, aligned]

    def __call__(self, arrays: Sequence[np.ndarray[Any, Any]], dims: Sequence[int] = ()) -> None:
        self.workspace[:] = 0xFF
        threads.prepare_launch()
        self.function(*self.bind(arrays, dims))


def run(
    kind: str,
    inputs: Sequence[tuple[Array, np.ndarray[Any, Any]]],
    outputs: Sequence[Array],
    body: str,
    results: Sequence[str],
    dims: dict[str, int] | None = None,
    **options: Any,
) -> list[np.ndarray[Any, Any]]:
    """Compile, call once, return the outputs (filled with garbage before the call)."""
    dims = dims or {}
    text = cluster_text(kind, [array for array, _ in inputs], outputs, body, results, list(dims))
    kernel = Kernel(text, **options)
    values: list[np.ndarray[Any, Any]] = [data for _, data in inputs]
    made: list[np.ndarray[Any, Any]] = []
    for array in outputs:
        if array.alias is not None:
            made.append(values[array.alias])
            continue
        shape = [dims[size] if isinstance(size, str) else size for size in array.sizes]
        made.append(np.full(shape, 77, ELEMENTS[array.element]))
    kernel([*values, *made], list(dims.values()))
    return made
