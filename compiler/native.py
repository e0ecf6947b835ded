"""The `mlir` compiler: px module -> stages -> machine code -> executable, cached by structure."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from mlir import ir

from phalanx.compiler import config
from phalanx.compiler.context import context
from phalanx.compiler.execution import Runner, now
from phalanx.compiler.pipeline.instruments import Instrument
from phalanx.compiler.pipeline.stages import Stage, cpu_stages, extended, run_stages, run_trusted
from phalanx.compiler.recent import Recent
from phalanx.compiler.schedules.prepacked import PREPACKED
from phalanx.compiler.targets import codes, generation, parts
from phalanx.compiler.targets.base import Artifact
from phalanx.compiler.targets.cpu import CpuTarget, add_entry, llvm_passes
from phalanx.compiler.targets.generation import Worker
from phalanx.compiler.targets.isa import runs_here
from phalanx.compiler.trace.locations import user_location_text
from phalanx.dialects.errors import ArtifactError, CompileError, DeviceError
from phalanx.dialects.opdef import REGISTRY
from phalanx.dialects.records import record, replace
from phalanx.runtime import jit, threads
from phalanx.runtime.backends import Backend
from phalanx.runtime.buffer import Buffer
from phalanx.runtime.executable import Executable
from phalanx.runtime.host_calls import HOST_CALL_ADDRESS, HOST_CALL_SYMBOL
from phalanx.runtime.prepacked import Panels, panels_from
from phalanx.runtime.signature import Signature

if TYPE_CHECKING:
    from phalanx.compiler import cache
    from phalanx.compiler.isolation import Announcer


@record
class Loaded:
    """Machine code, which result it writes over which donated argument, and which inputs it expects packed."""

    code: Any
    overwritten: dict[int, int]
    prepacked: tuple[Panels, ...]


# By structure: the IR without locations plus every option that changes code.
_loaded: Recent[Loaded] = Recent(1024)


def structure_digest(module: ir.Module) -> str:
    """What makes two modules compile to the same code, the options in force left aside."""
    import hashlib  # as cache and isolation below: not while MLIR's library is being opened, they wait for other libraries

    return hashlib.sha256(module.operation.get_asm(enable_debug_info=False).encode()).hexdigest()


def clone(module: ir.Module) -> ir.Module:
    """A copy to run passes on; the traced module stays as it is."""
    with module.context:
        copy = ir.Module.create(loc=module.operation.location)
        for attribute in module.operation.attributes:
            copy.operation.attributes[attribute] = module.operation.attributes[attribute]
        with ir.InsertionPoint(copy.body):
            for operation in module.body.operations:
                operation.operation.clone()
        return copy


def target_in_force() -> CpuTarget:
    """Code generation with the options in force."""
    return CpuTarget(config.get("isa"), passes=llvm_passes(config.get("opt_level")))


def stages() -> tuple[Stage, ...]:
    """The stages of a compile with the options in force."""
    usual = cpu_stages(isa=config.get("isa"), threads=threads.openmp_available(), fuse=config.get("fuse"),
                       fastmath=config.get("fastmath"), prepack=config.get("prepack"))
    return extended(usual, config.get("passes"))


# What only text that was read, or whoever looks at the IR, needs: tracing has held operations to what px-verify checks, and
# no line of what follows the schedules is ever shown.
_FOR_READERS = {"px": "px-verify", "buffers": "px-locations", "llvm": "px-locations"}


def _without_readers(found: tuple[Stage, ...]) -> tuple[Stage, ...]:
    """The stages of a compile that nobody watches."""
    return tuple(replace(stage, passes=tuple(step for step in stage.passes if step[0] != _FOR_READERS.get(stage.name)))
                 for stage in found)


def lower(module: ir.Module, label: str, instruments: Sequence[Instrument] = (),
          after_stage: Callable[[str, ir.Module], None] | None = None) -> tuple[ir.Module, CpuTarget]:
    """Run all CPU stages on a copy of a px module."""
    target = target_in_force()
    if not runs_here(target.isa):
        raise DeviceError(f"{label}: code for {target.isa.name} does not run on this processor",
                          hint="use isa='host', or export the function for the other machine")
    lowered = clone(module)
    chosen = stages() if instruments or _watched() else _without_readers(stages())
    own = not _passes_of_others()
    run_stages(lowered, chosen, label=label, instruments=instruments, after_stage=after_stage,
               origin=functools.partial(clone, module) if own else None)
    return lowered, target


class _Ahead:
    """What LLVM can begin with while passes go on: functions that are LLVM IR already, and parts of the module.

    Parts are what `after_stage` of `lower` takes out; they are for `CpuTarget.finish`.
    """

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        # Whoever watches the passes wants to see all of the module, and passes of others may expect it.
        self._whole = _watched() or _passes_of_others()

    def after_stage(self, name: str, module: ir.Module) -> None:
        if name != "scheduled":
            return
        target = target_in_force()
        codes.start(codes.attached(module), target.isa, self._worker)
        for part in () if self._whole else parts.split(module):
            run_trusted(part, [stage for stage in _without_readers(stages()) if stage.name in _AFTER_SCHEDULES])
            target.begin(part, self._worker)


_AFTER_SCHEDULES = ("buffers", "llvm")


def _watched() -> bool:
    return bool(config.get("debug") or config.get("dump_ir"))


def _passes_of_others() -> bool:
    return bool(config.get("passes") or _foreign_operations())


def surroundings() -> dict[str, str]:
    """Everything an object depends on besides its module, by name: parts of its key on disk."""
    import hashlib

    from phalanx.compiler.producer import producer

    target = target_in_force()
    pipeline = "; ".join(stage.text for stage in stages()) + f"; {target.passes}"
    return {
        "options": ", ".join(f"{name}={value!r}" for name, value in config.compile_options().items()),
        "pipeline": hashlib.sha256(pipeline.encode()).hexdigest()[:16],
        "machine": f"{target.isa.cpu} {hashlib.sha256(repr(target.isa).encode()).hexdigest()[:16]}",
        "openmp": str(threads.openmp_available()),
        "producer": producer(),
    }


def _try_in_a_child(module: ir.Module, signature: Signature, label: str) -> None:
    """The whole compile in a forked child; raises CompileError when it ends the child."""
    from phalanx.compiler.isolation import attempt

    def work(announcer: Announcer) -> None:
        lowered, target = lower(module, label, [announcer])
        add_entry(lowered, inputs=len(signature.inputs), results=len(signature.outputs), dims=len(signature.dims))
        announcer.say("code generation")
        target.finish(lowered)

    attempt(work)


def load(module: ir.Module, signature: Signature, label: str, seconds: dict[str, float]) -> Any:
    """Machine code of a px module, compiled unless a module of the same structure was."""
    return _load(module, signature, label, seconds).code


def _load(module: ir.Module, signature: Signature, label: str, seconds: dict[str, float]) -> Loaded:
    digest = structure_digest(module)
    key = (digest, config.compile_key())
    own_passes = bool(config.get("passes"))  # no cache can tell when their source changes
    known = None if own_passes else _loaded.get(key)
    if known is not None:
        seconds["cache hit"] = 0.0
    no_disk = own_passes or known is not None or not config.get("disk_cache") or _has_foreign_operations(module)
    stored = None if no_disk else _disk()
    if stored is not None:
        known = _load_from_disk(stored, digest, key, seconds)
    if known is not None:
        if config.get("dump_ir"):  # the code is there, the reader still wants to see how it came about
            with context():
                lower(module, label)
        return known
    if config.get("no_compile"):
        raise CompileError(f"{label}: would compile inside px.no_compile()",
                           hint="call it once outside, or see `phalanx cache why` for what changed since it was")
    start = now()
    generation.prepare()
    with context(), Worker() as worker:
        if config.get("compile_isolated"):
            _try_in_a_child(module, signature, label)
        lowered, target = lower(module, label, after_stage=_Ahead(worker).after_stage)
        overwritten, prepacked = _overwritten(lowered), prepacked_inputs(lowered)
        seconds["passes"] = now() - start
        artifact, code = _finish(lowered, target, signature, seconds, worker)
    made = Loaded(code, overwritten, prepacked)
    if own_passes:
        return made
    if stored is not None:
        pairs = tuple(number for pair in overwritten.items() for number in pair)
        numbers = tuple(number for panels in prepacked for number in panels.numbers())
        from phalanx.compiler.cache import Entry

        stored.put(Entry(label, {"ir": digest, **surroundings()}, artifact.object, pairs, numbers))
    return _loaded.put(key, made)


def _disk() -> cache.DiskCache | None:
    from phalanx.compiler import cache

    return cache.disk()


def _finish(lowered: ir.Module, target: CpuTarget, signature: Signature, seconds: dict[str, float],
            worker: Worker | None = None) -> tuple[Artifact, Any]:
    """Machine code of a module in the LLVM dialect and of its parts, and that code loaded."""
    start = now()
    add_entry(lowered, inputs=len(signature.inputs), results=len(signature.outputs), dims=len(signature.dims))
    artifact = target.finish(lowered, worker)
    seconds["llvm"] = now() - start
    start = now()
    code = jit.load(artifact.object, symbols={HOST_CALL_SYMBOL: HOST_CALL_ADDRESS})
    seconds["load"] = now() - start
    return artifact, code


def _foreign_operations() -> list[str]:
    """Operations that other packages have defined."""
    return [op.name for op in REGISTRY.values() if not op.__module__.startswith("phalanx.")]


def _has_foreign_operations(module: ir.Module) -> bool:
    """Whether operations defined outside Phalanx occur: the key on disk knows nothing of their source."""
    foreign = _foreign_operations()
    if not foreign:
        return False
    text = module.operation.get_asm(enable_debug_info=False)
    return any(f'"px.{name}"' in text for name in foreign)


def _load_from_disk(stored: cache.DiskCache, digest: str, key: tuple[Any, ...], seconds: dict[str, float],
                    ) -> Loaded | None:
    """The code another process (or this one, earlier) left on disk; None when there is none that runs here."""
    if not runs_here(target_in_force().isa):  # the folder may be shared with another machine
        return None
    start = now()
    from phalanx.compiler.cache import key_of

    name = key_of({"ir": digest, **surroundings()})
    entry = stored.get(name)
    if entry is None:
        return None
    try:
        code = jit.load(entry.data, symbols={HOST_CALL_SYMBOL: HOST_CALL_ADDRESS})
    except ArtifactError:
        stored.drop(name)
        return None
    seconds["disk cache"] = now() - start
    return _loaded.put(key, Loaded(code, _pairs(entry.overwrites), panels_from(entry.prepacked)))


def _main(module: ir.Module) -> ir.Operation:
    return next(o.operation for o in module.body.operations
                if "sym_name" in o.attributes and ir.StringAttr(o.attributes["sym_name"]).value == "main")


def _overwritten(lowered: ir.Module) -> dict[int, int]:
    """Which result the clusters stage writes over which donated argument."""
    attributes = _main(lowered).attributes
    if "px.overwrites" not in attributes:
        return {}
    return _pairs(list(ir.DenseI64ArrayAttr(attributes["px.overwrites"])))


def prepacked_inputs(lowered: ir.Module) -> tuple[Panels, ...]:
    """Which inputs the schedules expect packed, and how."""
    attributes = _main(lowered).attributes
    return panels_from(list(ir.DenseI64ArrayAttr(attributes[PREPACKED]))) if PREPACKED in attributes else ()


def _pairs(numbers: Sequence[int]) -> dict[int, int]:
    return dict(zip(numbers[::2], numbers[1::2], strict=True))


def _mark_arguments(module: ir.Module, donated: Sequence[int], captured: Sequence[int]) -> None:
    """Tell the stages whose memory they may write results to, and what is the same at every call."""
    main = _main(module)
    rows = [{a.name: a.attr for a in ir.DictAttr(row)} for row in ir.ArrayAttr(main.attributes["arg_attrs"])]
    for name, numbers in (("px.donated", donated), ("px.captured", captured)):
        for index in numbers:
            rows[index][name] = ir.UnitAttr.get()
    main.attributes["arg_attrs"] = ir.ArrayAttr.get([ir.DictAttr.get(row) for row in rows])


def runner(traced: Any, signature: Signature, donated: Sequence[int], seconds: dict[str, float]) -> Runner:
    """Compile a traced function and say how to run it on any host backend."""
    if config.get("tune"):
        from phalanx.compiler import tuning  # an option few set

        tuned = tuning.runner(traced, signature, donated)
        if tuned is not None:
            return tuned
    captured = range(len(traced.inputs), len(traced.inputs) + len(traced.hidden))
    if donated or captured:
        with context():
            _mark_arguments(traced.module, donated, captured)
    return _runner(_load(traced.module, signature, traced.name, seconds), traced, signature, donated)


def assembly(lowered: ir.Module, signature: Signature) -> str:
    """What code generation makes of a module in the LLVM dialect, which is spent afterwards."""
    add_entry(lowered, inputs=len(signature.inputs), results=len(signature.outputs), dims=len(signature.dims))
    return target_in_force().assembly(lowered)


def resume(module: ir.Module, after: str | None, traced: Any, signature: Signature, donated: Sequence[int],
           seconds: dict[str, float]) -> Runner:
    """Run the stages that follow `after` (all without) on a module, in place; nothing is cached."""
    names = [stage.name for stage in stages()]
    start = now()
    rest = names[names.index(after) + 1:] if after else names
    if rest:
        run_stages(module, stages(), first=rest[0], label=traced.name)
    overwritten, prepacked = _overwritten(module), prepacked_inputs(module)
    seconds["passes"] = now() - start
    _, code = _finish(module, target_in_force(), signature, seconds)
    return _runner(Loaded(code, overwritten, prepacked), traced, signature, donated)


def _runner(loaded: Loaded, traced: Any, signature: Signature, donated: Sequence[int]) -> Runner:
    parallel = any(name.startswith("__kmpc_") for name in loaded.code.needs)
    executable = Executable(loaded.code, signature, donated=donated, aliases=loaded.overwritten, sites=traced.call_sites,
                            parallel=parallel, prepacked=loaded.prepacked)
    return NativeRunner(executable)


class NativeRunner:
    """Calls an executable with storages of any host backend."""

    def __init__(self, executable: Executable) -> None:
        self.executable = executable

    def __call__(self, backend: Backend, storages: list[Any]) -> Sequence[Any]:
        count = config.get("num_threads")
        with threads.limit_threads(count) if count else nullcontext():
            return self._run(backend, storages)

    def _run(self, backend: Backend, storages: list[Any]) -> Sequence[Any]:
        signature = self.executable.signature
        if backend.name == "cpu":
            location = user_location_text() if self.executable.donated else None
            return self.executable(storages, location=location)
        if backend.name == "null":
            sizes = signature.bind(storages)
            return [backend.allocate(s, o.dtype)
                    for s, o in zip(signature.output_shapes(sizes), signature.outputs, strict=True)]
        buffers = [Buffer.from_numpy(backend.to_numpy(s), copy=None) for s in storages]
        return [backend.asarray(result.to_numpy()) for result in self.executable(buffers)]

    def entry_maker(self, traced: Any, backend: Backend) -> Callable[..., Any]:
        """What makes a built-in function that does what a call does now, or None."""
        count = config.get("num_threads") or None

        def make(**how: Any) -> Any:
            from phalanx.compiler.entry.make import native_entry  # for functions that are called often

            return native_entry(traced, self.executable, backend, count=count, **how)

        return make

    def short(self, backend: Backend, sizes: Sequence[int]) -> Callable[[list[Any]], Sequence[Any]] | None:
        """How to run on arguments that fit and have these named sizes, options as they are now; None for no shorter way."""
        if backend.name != "cpu" or self.executable.sites:
            return None
        if self.executable.donated:
            return functools.partial(self, backend)
        return functools.partial(self.executable.call_plain, sized=self.executable.at(sizes),
                                 threads=config.get("num_threads") or None)
