"""Compiles a loop over one math function and calls it on NumPy arrays (accuracy.py and the unit tests use it)."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from mlir import ir

from phalanx.compiler.context import context
from phalanx.compiler.passes.expand_math import expand_math
from phalanx.compiler.pipeline.run import run
from phalanx.compiler.targets.cpu import llvm_pipeline
from phalanx.compiler.targets.half import link_helpers
from phalanx.compiler.targets.isa import isa
from phalanx.compiler.targets.llvm_c import TargetMachine, translate
from phalanx.runtime import jit

Array = np.ndarray[Any, Any]

NUMPY = {"f32": np.float32, "f64": np.float64, "f16": np.float16, "bf16": np.uint16}
TWO_OPERANDS = ("powf", "atan2")


def loop_text(function: str, element: str, operands: int) -> str:
    """`for i < n: out[i] = function(in0[i], ...)` on memrefs."""
    memref = f"memref<?x{element}>"
    names = [*(f"in{i}" for i in range(operands)), "out"]
    arguments = ", ".join(f"%{name}0: memref<{element}> {{llvm.noalias}}" for name in names)
    views = "\n".join(
        f"%{name} = memref.reinterpret_cast %{name}0 to offset: [0], sizes: [%n], strides: [1]"
        f" : memref<{element}> to {memref}"
        for name in names
    )
    loads = "\n".join(f"%x{i} = memref.load %in{i}[%i] : {memref}" for i in range(operands))
    values = ", ".join(f"%x{i}" for i in range(operands))
    return f"""func.func @f({arguments}, %n: index) {{
{views}
%zero = arith.constant 0 : index
%one = arith.constant 1 : index
scf.for %i = %zero to %n step %one {{
{loads}
%y = math.{function} {values} : {element}
memref.store %y, %out[%i] : {memref}
}}
return
}}"""


class MathFunction:
    """One math function compiled as a loop.

    >>> MathFunction("exp")(np.zeros(4, np.float32))
    array([1., 1., 1., 1.], dtype=float32)
    """

    def __init__(
        self,
        function: str,
        element: str = "f32",
        *,
        fma: bool = True,
        level: str = "host",
        rewrite: Callable[[ir.Module], None] | None = None,
    ) -> None:
        """`rewrite` replaces the math op by other means than `expand_math`."""
        self.element = element
        self.operands = 3 if function == "fma" else 2 if function in TWO_OPERANDS else 1
        record = isa(level)
        with context():
            module = ir.Module.parse(loop_text(function, element, self.operands))
            if rewrite is None:
                expand_math(module, fma=fma)
            else:
                rewrite(module)
            module.operation.verify()
            run(module, ",".join(name for name, _ in llvm_pipeline(openmp=False)), reproducer=False)
            with TargetMachine(record.triple, record.cpu, record.features) as machine, translate(module) as llvm:
                llvm.set_target(machine)
                llvm.keep_only(["f"])
                link_helpers(llvm)
                llvm.add_attributes(record.function_attributes)
                llvm.run_passes("default<O2>", machine)
                self.assembly = llvm.emit_assembly(machine)
                self._object = llvm.emit_object(machine)
        self._call: Any = None

    def __call__(self, *operands: Array) -> Array:
        arrays = [np.ascontiguousarray(operand, NUMPY[self.element]) for operand in operands]
        out = np.empty_like(arrays[0])
        self._function()(*(array.ctypes.data for array in [*arrays, out]), out.size)
        return out

    def nanoseconds(self, *operands: Array) -> float:
        """Best time per element on operands that should fit the first cache."""
        arrays = [np.ascontiguousarray(operand, NUMPY[self.element]) for operand in operands]
        out = np.empty_like(arrays[0])
        function = self._function()
        pointers = [array.ctypes.data for array in [*arrays, out]]
        best = float("inf")
        for _ in range(30):
            start = time.perf_counter()
            for _ in range(20):
                function(*pointers, out.size)
            best = min(best, (time.perf_counter() - start) / 20)
        return best / out.size * 1e9

    def _function(self) -> Any:
        if self._call is None:
            types = [ctypes.c_void_p] * (self.operands + 1) + [ctypes.c_int64]
            self._call = jit.load(self._object).function("f", None, *types)
        return self._call
