"""The `mlir` compiler: px module -> stages -> machine code -> executable, cached by structure."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

from mlir import ir

from phalanx.compiler import config
from phalanx.compiler.context import context
from phalanx.compiler.execution import Runner, now
from phalanx.compiler.isolation import Announcer, attempt
from phalanx.compiler.pipeline.instruments import Instrument
from phalanx.compiler.pipeline.stages import cpu_stages, run_stages
from phalanx.compiler.targets.cpu import CpuTarget, add_entry, llvm_passes
from phalanx.compiler.targets.isa import runs_here
from phalanx.dialects.errors import DeviceError
from phalanx.runtime import jit, threads
from phalanx.runtime.backends import Backend
from phalanx.runtime.buffer import Buffer
from phalanx.runtime.executable import Executable
from phalanx.runtime.host_calls import HOST_CALL_ADDRESS, HOST_CALL_SYMBOL
from phalanx.runtime.signature import Signature

# Loaded code by structure: the IR without locations plus every option that changes code.
_loaded: dict[bytes, Any] = {}
_lock = threading.Lock()


def structure_key(module: ir.Module) -> bytes:
    """What makes two modules compile to the same code."""
    text = module.operation.get_asm(enable_debug_info=False)
    return hashlib.sha256(repr(config.compile_key()).encode() + text.encode()).digest()


def clone(module: ir.Module) -> ir.Module:
    """A copy to run passes on; the traced module stays as it is."""
    return ir.Module.parse(module.operation.get_asm(enable_debug_info=True, print_generic_op_form=True))


def lower(module: ir.Module, label: str, instruments: Sequence[Instrument] = ()) -> tuple[ir.Module, CpuTarget]:
    """Run all CPU stages on a copy of a px module."""
    target = CpuTarget(config.get("isa"), passes=llvm_passes(config.get("opt_level")))
    if not runs_here(target.isa):
        raise DeviceError(f"{label}: code for {target.isa.name} does not run on this processor",
                          hint="use isa='host', or export the function for the other machine")
    lowered = clone(module)
    run_stages(lowered, cpu_stages(isa=config.get("isa"), threads=threads.openmp_available(), fuse=config.get("fuse")),
               label=label, instruments=instruments)
    return lowered, target


def _try_in_a_child(module: ir.Module, signature: Signature, label: str) -> None:
    """The whole compile in a forked child; raises CompileError when it ends the child."""
    def work(announcer: Announcer) -> None:
        lowered, target = lower(module, label, [announcer])
        add_entry(lowered, inputs=len(signature.inputs), results=len(signature.outputs), dims=len(signature.dims))
        announcer.say("code generation")
        target.finish(lowered)

    attempt(work)


def load(module: ir.Module, signature: Signature, label: str, seconds: dict[str, float]) -> Any:
    """Machine code of a px module, compiled unless a module of the same structure was."""
    key = structure_key(module)
    with _lock:
        known = _loaded.get(key)
    if known is not None:
        seconds["cache hit"] = 0.0
        return known
    start = now()
    with context():
        if config.get("compile_isolated"):
            _try_in_a_child(module, signature, label)
        lowered, target = lower(module, label)
        add_entry(lowered, inputs=len(signature.inputs), results=len(signature.outputs), dims=len(signature.dims))
        seconds["passes"] = now() - start
        start = now()
        artifact = target.finish(lowered)
    seconds["llvm"] = now() - start
    start = now()
    code = jit.load(artifact.object, symbols={HOST_CALL_SYMBOL: HOST_CALL_ADDRESS})
    seconds["load"] = now() - start
    with _lock:
        return _loaded.setdefault(key, code)


def aliases_of(signature: Signature, donated: Sequence[int]) -> dict[int, int]:
    """Which result takes the memory of which donated argument: the first of the same type, each once."""
    found: dict[int, int] = {}
    free = list(range(len(signature.outputs)))
    for index in donated:
        argument = signature.inputs[index]
        for output in free:
            result = signature.outputs[output]
            if (result.dtype, result.shape) == (argument.dtype, argument.shape):
                found[output] = index
                free.remove(output)
                break
    return found


def runner(traced: Any, signature: Signature, donated: Sequence[int], seconds: dict[str, float]) -> Runner:
    """Compile a traced function and say how to run it on any host backend."""
    code = load(traced.module, signature, traced.name, seconds)
    executable = Executable(code, signature, donated=donated, aliases=aliases_of(signature, donated),
                            sites=traced.call_sites)

    def run(backend: Backend, storages: list[Any]) -> Sequence[Any]:
        count = config.get("num_threads")
        with threads.limit_threads(count) if count else nullcontext():
            return run_on(backend, storages)

    def run_on(backend: Backend, storages: list[Any]) -> Sequence[Any]:
        if backend.name == "cpu":
            return executable(storages)
        if backend.name == "null":
            sizes = signature.bind(storages)
            return [backend.allocate(s, o.dtype)
                    for s, o in zip(signature.output_shapes(sizes), signature.outputs, strict=True)]
        buffers = [Buffer.from_numpy(backend.to_numpy(s), copy=None) for s in storages]
        return [backend.asarray(result.to_numpy()) for result in executable(buffers)]

    return run
