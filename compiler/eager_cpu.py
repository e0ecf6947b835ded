"""Single ops on the `cpu` backend: one-op executables with dynamic sizes, compiled once and kept.

An op that computes is compiled natively in the form `eager_forms.py` finds, so that new shapes rarely compile
again. An op that only moves bytes (slices, transposes, concatenations) or fills them (ranges, constants) is
copied by NumPy into a fresh buffer: its sizes are attributes, so every shape would be another compile of some
100 ms, and NumPy's strided copies take as long as ours (2000x3000 float32: 2 ms for slices, 3 for reversals, 12 to
20 for transposes, either way). `reshape` copies nothing.

Options that change code (`opt_level`, `isa`) count as they are when an op is first needed.
"""

from __future__ import annotations

import ctypes
import math
import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from phalanx.compiler import config
from phalanx.compiler.eager_forms import Form, dynamic_form, static_form
from phalanx.compiler.mlir_loading import load_mlir
from phalanx.compiler.recent import Recent
from phalanx.dialects.aval import Aval
from phalanx.dialects.dims import Dim
from phalanx.dialects.dtypes import DType
from phalanx.dialects.errors import DeviceError, PhalanxError
from phalanx.dialects.kinds import Creation, Movement
from phalanx.dialects.opdef import Op, infer
from phalanx.runtime.allocator import HOST
from phalanx.runtime.backends.namespace import NumPyNamespace
from phalanx.runtime.buffer import Buffer
from phalanx.runtime.device import CPU
from phalanx.runtime.executable import ARENA_SYMBOL, ENTRY_SYMBOL
from phalanx.runtime.signature import Argument, Signature
from phalanx.runtime.threads import prepare_launch

_MOST_PROGRAMS = 1024
_MOST_PLANS = 8192
_WORTH_THREADS = 1 << 12  # elements
_QUICK = 1  # the optimisation level of single ops: one loop nest gains nothing from more

Runner = Callable[[Sequence[Buffer]], list[Buffer]]


class Program:
    """Machine code of one op, for all values of its named sizes."""

    def __init__(self, code: Any, signature: Signature) -> None:
        pointer = ctypes.c_void_p
        self.entry = code.function(ENTRY_SYMBOL, ctypes.c_int32, pointer, pointer, pointer)
        self.measure = code.function(ARENA_SYMBOL, ctypes.c_int64, pointer)
        self.dims = signature.dims
        self.pointers = pointer * (len(signature.inputs) + len(signature.outputs))
        self.outputs = signature.outputs


class Plan:
    """A program at fixed sizes: everything that is the same in every call on operands of these shapes."""

    __slots__ = ("_arena", "_entry", "_large", "_name", "_pointers", "_results", "_sizes")

    def __init__(self, name: str, program: Program, sizes: Mapping[str, int], results: Sequence[Any]) -> None:
        self._name = name
        self._entry = program.entry
        self._pointers = program.pointers
        self._sizes = (ctypes.c_int64 * len(program.dims))(*[sizes[dim] for dim in program.dims])
        self._arena = int(program.measure(self._sizes))
        self._results = [(r.dtype, tuple(r.shape), math.prod(r.shape) * r.dtype.itemsize) for r in results]
        # Reading the option takes as long as a small op, which no second thread would help.
        self._large = math.prod(max(n, 1) for n in sizes.values()) >= _WORTH_THREADS

    def __call__(self, operands: Sequence[Buffer]) -> list[Buffer]:
        allocate = HOST.allocate
        memories = [operand.memory for operand in operands]  # held whatever other threads deallocate meanwhile
        found = [Buffer(allocate(nbytes), dtype, shape, CPU) for dtype, shape, nbytes in self._results]
        addresses = [memory.address for memory in memories]
        addresses += [buffer.pointer for buffer in found]
        arena = allocate(self._arena) if self._arena else None
        prepare_launch((config.get("num_threads") or None) if self._large else None)
        status = self._entry(self._pointers(*addresses), self._sizes, arena.address if arena is not None else None)
        if status:
            raise DeviceError(f"{self._name}: native code failed with status {status}")
        return found


class _Copy:
    """An op that moves or fills memory: a NumPy view or array, copied into a fresh buffer."""

    __slots__ = ("_attributes", "_op", "_results")

    def __init__(self, op: type[Op], attributes: Mapping[str, Any], results: Sequence[Any]) -> None:
        self._op = op
        self._attributes = attributes
        self._results = results

    def __call__(self, operands: Sequence[Buffer]) -> list[Buffer]:
        arrays = [operand.to_numpy_unshared() for operand in operands]
        value = self._op.eval(_HOST_NAMESPACE, *arrays, **self._attributes)
        values = value if isinstance(value, (tuple, list)) else (value,)
        return [Buffer.from_numpy(np.asarray(v, r.dtype.numpy)) for v, r in zip(values, self._results, strict=True)]


class _Concatenate:
    """NumPy writes into the buffer itself: a copy of its result would cost as much again."""

    __slots__ = ("_axis", "_result")

    def __init__(self, axis: int, result: Any) -> None:
        self._axis = axis
        self._result = result

    def __call__(self, operands: Sequence[Buffer]) -> list[Buffer]:
        found = Buffer.empty(self._result.shape, self._result.dtype)
        np.concatenate([o.to_numpy_unshared() for o in operands], axis=self._axis, out=found.writable_view())
        return [found]


class _Reshape:
    """The same memory under another shape."""

    __slots__ = ("_shape",)

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._shape = shape

    def __call__(self, operands: Sequence[Buffer]) -> list[Buffer]:
        return [operands[0].reshaped(self._shape)]


_HOST_NAMESPACE = NumPyNamespace()
_programs: Recent[Program] = Recent(_MOST_PROGRAMS)
_plans: Recent[Runner] = Recent(_MOST_PLANS)
_compiling = threading.RLock()
_compiles = [0]


def _after_fork_in_child() -> None:
    """A thread that was compiling at the fork is not there to finish."""
    global _compiling
    _compiling = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def compiles() -> int:
    """How many eager ops were compiled so far in this process."""
    return _compiles[0]


def clear() -> None:
    """Forget every plan and program, so that ops compile again."""
    _plans.clear()
    _programs.clear()


def run(operation: Any, operands: Sequence[Buffer], attributes: Mapping[str, Any], results: Any = None) -> Sequence[Buffer]:
    """Run one op on buffers; `results` are the inferred types, where the caller has them.

    Raises DeviceError for operands whose memory is gone, CompileError when the op cannot be compiled.
    """
    key: Any = (operation, *attributes.items(), *[(o.dtype.short, o.shape) for o in operands])
    try:
        plan = _plans.get(key)
    except TypeError:  # an attribute that is an array
        plan, key = None, None
    if plan is None:
        plan = _planned(operation, operands, dict(attributes), results)
        if key is not None:
            _plans.put(key, plan)
    return plan(operands)


def _planned(op: type[Op], operands: Sequence[Buffer], attributes: dict[str, Any], results: Any) -> Runner:
    avals = [Aval(o.shape, o.dtype) for o in operands]
    if results is None:
        results = infer(op, avals, attributes)
    if op.name == "reshape":
        return _Reshape(tuple(results[0].shape))
    if op.name == "concatenate":
        return _Concatenate(attributes["axis"], results[0])
    if issubclass(op, (Movement, Creation)):
        return _Copy(op, attributes, results)
    shapes = [o.shape for o in operands]
    types = [o.dtype for o in operands]
    for form in (dynamic_form(op, shapes, attributes), static_form(shapes, attributes)):
        program = _program(op, types, form)
        if program is not None and _fits(program, form, results):
            return Plan(op.name, program, form.sizes, results)
    raise DeviceError(f"{op.name}: inference refuses {avals} once sizes have no values")


def _fits(program: Program, form: Form, results: Sequence[Any]) -> bool:
    """Whether the program makes as many elements as inference on the actual shapes says."""
    made = [(math.prod(output.bound(form.sizes)), output.dtype) for output in program.outputs]
    return made == [(math.prod(r.shape), r.dtype) for r in results]


def _program(op: type[Op], types: Sequence[DType], form: Form) -> Program | None:
    """The compiled op in this form; None when its inference does not take named sizes."""
    key = (op, *form.attributes.items(), *zip([t.short for t in types], form.shapes, strict=True))
    known = _programs.get(key)
    if known is not None:
        return known
    with _compiling:  # two threads that need the same op compile it once
        known = _programs.get(key)
        if known is not None:
            return known
        avals = [Aval(tuple(Dim.named(s) if isinstance(s, str) else s for s in shape), dtype)
                 for shape, dtype in zip(form.shapes, types, strict=True)]
        try:
            outputs = infer(op, avals, form.attributes)
        except PhalanxError:
            if not form.sizes:
                raise
            return None
        return _programs.put(key, _compiled(op, avals, form.attributes, outputs))


def _compiled(op: type[Op], avals: Sequence[Aval], attributes: dict[str, Any], outputs: Sequence[Aval]) -> Program:
    load_mlir()  # at the first op that computes
    from phalanx.compiler import native
    from phalanx.compiler.context import context
    from phalanx.compiler.trace.tracing import Trace
    from phalanx.dialects.analysis import dim_names

    names = [f"operand{i}" for i in range(len(avals))]
    signature = Signature(op.name, tuple(Argument(n, a.dtype, a.shape) for n, a in zip(names, avals, strict=True)),
                          tuple(Argument(f"result{i}", a.dtype, a.shape) for i, a in enumerate(outputs)),
                          tuple(dim_names(list(avals))))
    with context() as mlir, config.call_options({"opt_level": min(_QUICK, config.get("opt_level"))}):
        trace = Trace(mlir)
        arguments = trace.open_function(avals)
        made = trace.emit(op, arguments, attributes)
        trace.close_function(list(made) if isinstance(made, tuple) else [made])
        trace.annotate_arguments(names, avals)
        seconds: dict[str, float] = {}
        code = native.load(trace.module, signature, op.name, seconds)
    _compiles[0] += 1
    if config.get("debug"):
        phases = ", ".join(f"{phase} {time * 1e3:.1f} ms" for phase, time in seconds.items())
        print(f"phalanx: eager {op.name}({', '.join(map(str, avals))}): {phases}", file=sys.stderr)
    return Program(code, signature)
