"""Machine code of one entry for one instruction set: the stages from `scheduled` on, then LLVM."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from mlir import ir

from phalanx.compiler import config
from phalanx.compiler.aot.entries import Entry
from phalanx.compiler.aot.wrappers import level_symbol
from phalanx.compiler.context import context
from phalanx.compiler.passes.call_parallel import HEADER_BYTES, PREFIX
from phalanx.compiler.pipeline.stages import Stage, cpu_stages, run_stages, stage_named
from phalanx.compiler.targets import codes
from phalanx.compiler.targets.cpu import ALIGNMENT, llvm_passes, workspace_bytes
from phalanx.compiler.targets.isa import Isa, host, isa
from phalanx.compiler.targets.llvm_c import LlvmModule, TargetMachine, translate
from phalanx.dialects.errors import ArgumentError, CompileError
from phalanx.dialects.records import replace

#: exported code is compiled once and run often, so LLVM does at least this much
LEAST_OPT_LEVEL = 2

_SHARE = re.compile(rf"^declare void @({PREFIX}\w+)\((.*)\)", re.MULTILINE)


def requirement(name: str) -> tuple[Isa, Isa]:
    """The record schedules are made for, and the one code is generated for.

    Code needs no more than a psABI level (or armv8-a), so that what a machine must have can be asked with cpuid;
    the named processor decides tiles and tuning only.
    """
    record = isa(name)
    if record.architecture == "x86_64":
        return record, replace(record, name=record.level, cpu=record.level, features="", tune=record.tune)
    if record.system == "linux":
        return record, replace(record, name="aarch64", level="armv8-a", cpu="generic", features="", tune=record.tune)
    return record, record


def default_targets() -> list[str]:
    """Three levels on x86-64, the machine's architecture elsewhere."""
    here = host()
    if here.architecture == "x86_64":
        return ["x86-64-v2", "x86-64-v3", "x86-64-v4"]
    return ["apple-m1" if here.system == "macos" else "aarch64"]


def targets_of(target: str | Sequence[str] | None) -> list[str]:
    """Names of instruction sets, lowest first; raises ArgumentError for levels that cannot be in one library."""
    if target is None:
        return default_targets()
    names = [part.strip() for part in target.split(",")] if isinstance(target, str) else list(target)
    records = {name: requirement(name)[1] for name in dict.fromkeys(names)}
    places = {(r.architecture, r.system) for r in records.values()}
    if len(places) > 1:
        raise ArgumentError(f"export: {', '.join(names)} are different kinds of machine, which need a library each",
                            hint="export once per machine, or make a .pxa, which holds several libraries")
    levels = [r.level for r in records.values()]
    twice = next((level for level in levels if levels.count(level) > 1), None)
    if twice is not None:
        both = " and ".join(name for name, r in records.items() if r.level == twice)
        raise ArgumentError(f"export: {both} both need {twice}, and a library holds one variant per level")
    if not records:
        raise ArgumentError("export: no target given")
    return sorted(records, key=lambda name: records[name].level)


def stages_for(name: str, record: Isa) -> tuple[Stage, ...]:
    """The CPU stages, with parallel loops calling the host program's callback instead of OpenMP."""
    threaded = cpu_stages(isa=name, threads=True, fuse=config.get("fuse"))
    # The code generated for `record` may have fewer instructions than the machine `name`.
    plain = cpu_stages(isa=record.level if record.architecture == "x86_64" else name, threads=False)
    buffers = stage_named(threaded, "buffers")
    shared = Stage(buffers.name, (("px-call-parallel", "loops of many threads ask the host program for them"),
                                  *buffers.passes), buffers.forbids)
    return (*threaded[:4], shared, stage_named(plain, "llvm"))


def clone(module: Any) -> Any:
    """A copy to run passes on."""
    return ir.Module.parse(module.operation.get_asm(enable_debug_info=True, print_generic_op_form=True))


def to_clusters(entry: Entry) -> dict[str, Any]:
    """The module of an entry after each of the stages that all levels share: px, linalg, clusters."""
    found: dict[str, Any] = {}
    with context():
        module = clone(entry.module)
        stages = cpu_stages(fuse=config.get("fuse"), fastmath=config.get("fastmath"))
        run_stages(module, stages, last="clusters", label=entry.name,
                   after_stage=lambda stage, current: found.update({stage: clone(current)}))
    return found


def level_text(entry: Entry, clusters: Any, target: str) -> str:
    """LLVM IR text of an entry for one target: optimised, everything internal but its code and its measure."""
    scheduled, record = requirement(target)
    symbol = level_symbol(entry, record.level)
    with context():
        module = clone(clusters)
        run_stages(module, stages_for(scheduled.name, record), first="scheduled", label=f"{entry.name}-{target}")
        workspace = workspace_bytes(module)
        for operation in module.body.operations:
            if operation.operation.name == "llvm.func" and "px.cluster" in operation.operation.attributes:
                operation.operation.attributes["no_inline"] = ir.UnitAttr.get(module.context)
        with TargetMachine(record.triple, record.cpu, record.features) as machine, translate(module) as llvm:
            llvm.set_target(machine)
            llvm.rename("main", "px_main")
            for name, text in codes.attached(module).items():
                llvm.link(text, name)
            shares = dict(_SHARE.findall(str(llvm)))
            for name, types in shares.items():
                llvm.link(_share_text(name, types), name)
            llvm.link(_entry_text(entry, symbol, workspace, header=bool(shares)), symbol)
            llvm.keep_only([symbol, f"{symbol}__arena"])
            llvm.add_attributes([("target-cpu", record.cpu), *record.function_attributes])
            _refuse_allocation(entry, llvm)
            llvm.verify()
            llvm.run_passes(llvm_passes(max(LEAST_OPT_LEVEL, config.get("opt_level"))), machine)
            return str(llvm)


def _refuse_allocation(entry: Entry, llvm: LlvmModule) -> None:
    if "malloc" in llvm.undefined():
        raise CompileError(f"export: {entry.name} needs memory whose size is not known from its named sizes",
                           hint="give the result of the data-dependent step a fixed size")


def _entry_text(entry: Entry, symbol: str, workspace: int, *, header: bool) -> str:
    """`i32 symbol(pointers, sizes, arena, parallel, user)` and `i64 symbol__arena(sizes)`."""
    pointers = len(entry.signature.inputs) + len(entry.captured) + len(entry.signature.outputs)
    dims = len(entry.dims)
    order = [entry.dims.index(name) for name in entry.signature.dims]  # the compiler has them sorted
    loads = [f"  %pa{i} = getelementptr ptr, ptr %pointers, i64 {i}\n  %p{i} = load ptr, ptr %pa{i}, align 8\n"
             for i in range(pointers)]
    sizes = [f"  %da{i} = getelementptr i64, ptr %sizes, i64 {i}\n  %d{i} = load i64, ptr %da{i}, align 8\n"
             for i in order]
    values = [f"i64 %d{i}" for i in order]
    arguments = ", ".join([*(f"ptr %p{i}" for i in range(pointers)), *values, "ptr %arena"])
    types = ", ".join(["ptr"] * pointers + ["i64"] * dims + ["ptr"])
    planned = f"  %planned = call i64 @main_arena_bytes({', '.join(values)})\n"
    store = "" if not header else planned + (
        "  %home = getelementptr i8, ptr %arena, i64 %planned\n"
        "  store ptr %parallel, ptr %home, align 8\n"
        "  %home.user = getelementptr i8, ptr %home, i64 8\n"
        "  store ptr %user, ptr %home.user, align 8\n")
    extra = workspace + (HEADER_BYTES if header else 0) + ALIGNMENT - 1
    return f"""
declare void @px_main({types})
declare i64 @main_arena_bytes({', '.join(['i64'] * dims)})
define i32 @{symbol}(ptr %pointers, ptr %sizes, ptr %arena, ptr %parallel, ptr %user) nounwind {{
{''.join(loads)}{''.join(sizes)}{store}  call void @px_main({arguments})
  ret i32 0
}}
define i64 @{symbol}__arena(ptr %sizes) nounwind {{
{''.join(sizes)}{planned}  %more = add i64 %planned, {extra}
  %bytes = and i64 %more, {-ALIGNMENT}
  ret i64 %bytes
}}
"""


def _share_text(name: str, types: str) -> str:
    """The body of `px_share__X(arguments..., count, workspace)`: X for every number, by the callback if there is one."""
    body = name.removeprefix(PREFIX)
    kinds = [kind.split()[0] for kind in types.split(",")][:-2]
    passed = ", ".join([*(f"{kind} %a{i}" for i, kind in enumerate(kinds)), "i64 %i"])
    parameters = ", ".join([*(f"{kind} %a{i}" for i, kind in enumerate(kinds)), "i64 %count", "ptr %workspace"])
    struct = "{ " + ", ".join(kinds) + " }" if kinds else "{ i64 }"
    field = "  %f{i} = getelementptr {struct}, ptr %context, i32 0, i32 {i}\n"
    stores = "".join(field.format(i=i, struct=struct) + f"  store {kind} %a{i}, ptr %f{i}\n" for i, kind in enumerate(kinds))
    loads = "".join(field.format(i=i, struct=struct) + f"  %a{i} = load {kind}, ptr %f{i}\n" for i, kind in enumerate(kinds))
    return f"""
declare void @{body}({', '.join([*kinds, 'i64'])})
define void @px_task__{body}(ptr %context, i64 %begin, i64 %end, i64 %lane) nounwind {{
entry:
{loads}  br label %test
test:
  %i = phi i64 [ %begin, %entry ], [ %next, %work ]
  %more = icmp slt i64 %i, %end
  br i1 %more, label %work, label %done
work:
  call void @{body}({passed})
  %next = add i64 %i, 1
  br label %test
done:
  ret void
}}
define void @{name}({parameters}) nounwind {{
  %context = alloca {struct}
{stores}  %home = getelementptr i8, ptr %workspace, i64 {-HEADER_BYTES}
  %parallel = load ptr, ptr %home, align 8
  %home.user = getelementptr i8, ptr %home, i64 8
  %user = load ptr, ptr %home.user, align 8
  %alone = icmp eq ptr %parallel, null
  br i1 %alone, label %sequential, label %shared
sequential:
  call void @px_task__{body}(ptr %context, i64 0, i64 %count, i64 0)
  ret void
shared:
  call void %parallel(ptr %user, i64 %count, ptr @px_task__{body}, ptr %context)
  ret void
}}
"""
