"""The CPU target: a module in the LLVM dialect -> one object with `px_entry` and `px_arena_bytes`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from mlir import ir

from phalanx.compiler.targets import codes, machines, parts
from phalanx.compiler.targets.base import Artifact
from phalanx.compiler.targets.generation import Generation, Worker
from phalanx.compiler.targets.half import HELPERS, helpers_object
from phalanx.compiler.targets.isa import Isa, isa
from phalanx.compiler.targets.llvm_c import Emission, LlvmModule, TargetMachine, Visibility, translate
from phalanx.dialects.errors import CompileError
from phalanx.runtime.object_file import join, read_symbols

ENTRY = "px_entry"
ARENA_BYTES = "px_arena_bytes"
EXPORTS = (ENTRY, ARENA_BYTES)
ALIGNMENT = 64

# instcombine by itself aborts the process when one iteration is not enough; default<O2> turns that check off too.
# What one kernel needs of default<O2>, at two thirds of its compile time and the same speed of the result (softmax
# 512x1000: 24 instead of 36 ms, 252 us both). LLVM's own O1 does not vectorise loops at all.
_QUICK_PASSES = (
    "function(sroa,early-cse<memssa>,simplifycfg,COMBINE),cgscc(inline),globaldce,"
    "function(sroa,early-cse<memssa>,COMBINE,simplifycfg,loop-mssa(loop-rotate,licm),loop(loop-idiom,loop-deletion),"
    "loop-vectorize,COMBINE,simplifycfg,loop-mssa(licm))"
).replace("COMBINE", "instcombine<no-verify-fixpoint>")

_POINTER, _INDEX = "!llvm.ptr", "i64"


def llvm_pipeline(openmp: bool) -> list[tuple[str, str]]:
    """C++ passes from memref/scf/vector/arith/math (no linalg) down to the LLVM dialect, with reasons.

    `openmp` turns `scf.parallel` into OpenMP regions; without it such loops run one after the other.
    """
    steps = [
        ("canonicalize", "before lowering it sees whole loops and costs a third of what it would after"),
        ("cse", "index computations repeat between loop nests"),
    ]
    steps.append(("px-expand-bfloat16", "conversions without instructions would become a call per element"))
    if openmp:
        steps += [
            ("px-outline-parallel", "function arguments keep noalias, which values captured by OpenMP lose"),
            ("convert-scf-to-openmp", "before convert-scf-to-cf, which would make scf.parallel sequential"),
            ("canonicalize", "removes the one-block memref.alloca_scope that scf.for lowering would break"),
            ("px-meet-once", "the barrier of a loop repeats that of the region which ends with it"),
        ]
    steps += [
        ("convert-vector-to-scf{full-unroll=true}", "transfers of rank 2 and up have no LLVM counterpart"),
        ("lower-affine", "affine.apply of tile offsets"),
        ("convert-scf-to-cf", "loops to branches"),
        ("memref-expand", "memref.reshape and atomic ops"),
        ("expand-strided-metadata", "subviews and reinterpret_casts to plain offsets"),
        ("lower-affine", "the pass before emits affine.apply"),
        (
            "convert-vector-to-llvm{vector-contract-lowering=outerproduct reassociate-fp-reductions=1}",
            "a strict-order vector.reduction is a chain of scalar adds",
        ),
        ("convert-math-to-llvm", "sqrt, floor, fma, ... that are instructions"),
        ("convert-math-to-libm", "what px-expand-math leaves"),
        ("convert-index-to-llvm", "index arithmetic"),
        ("convert-arith-to-llvm", "scalars and vectors"),
        ("convert-ub-to-llvm", "ub.poison comes from the vector patterns"),
        ("finalize-memref-to-llvm", "loads, stores, allocas, globals"),
        (
            "convert-func-to-llvm{use-bare-ptr-memref-call-conv=1}",
            "rank-0 memref arguments become plain C pointers, with their noalias",
        ),
    ]
    if openmp:
        steps.append(("convert-openmp-to-llvm", "its regions hold LLVM types by now, but cf branches still"))
    steps += [
        ("convert-cf-to-llvm", "branches last: the passes before still create some"),
        ("reconcile-unrealized-casts", "only the LLVM dialect may be left"),
    ]
    return steps


def llvm_passes(level: int) -> str:
    """LLVM pipeline of an optimisation level: 0 none, 1 quick (eager kernels), 2 and 3 LLVM's own."""
    return {0: "", 1: _QUICK_PASSES, 2: "default<O2>", 3: "default<O3>"}[level]


def _functions(module: Any) -> Iterator[tuple[str, Any]]:
    for operation in module.body.operations:
        if operation.operation.name == "llvm.func":
            yield ir.StringAttr(operation.attributes["sym_name"]).value, operation.operation


def workspace_bytes(module: Any) -> int:
    """Largest `px.workspace` of any function: clusters share one workspace, as they run one at a time."""
    sizes = [
        ir.IntegerAttr(function.attributes["px.workspace"]).value
        for _, function in _functions(module)
        if "px.workspace" in function.attributes
    ]
    return max(sizes, default=0)


def add_entry(module: Any, *, inputs: int, results: int, dims: int) -> None:
    """Append `px_entry(ptrs, dims, arena)` and `px_arena_bytes(dims)` to a module in the LLVM dialect.

    `ptrs` is an array of `inputs` then `results` pointers, `dims` an array of i64. Raises CompileError when
    `@main` (pointers, sizes, arena) or `@main_arena_bytes` (sizes -> bytes) does not have that signature.
    """
    functions = dict(_functions(module))
    _check_signature(functions, "main", [_POINTER] * (inputs + results) + [_INDEX] * dims + [_POINTER])
    _check_signature(functions, "main_arena_bytes", [_INDEX] * dims)
    text = _entry_text(inputs + results, dims, workspace_bytes(module))
    with module.context, ir.Location.name("px_entry"):
        added = ir.Module.parse(text)
        with ir.InsertionPoint(module.body):
            for operation in added.body.operations:
                if operation.operation.regions[0].blocks:  # not the text's declarations
                    operation.operation.clone()


def _check_signature(functions: dict[str, Any], name: str, expected: list[str]) -> None:
    if name not in functions or not functions[name].regions[0].blocks:
        raise CompileError(f"module has no function @{name} with a body")
    actual = [str(argument.type) for argument in functions[name].regions[0].blocks[0].arguments]
    if actual != expected:
        raise CompileError(f"@{name}: expected arguments ({', '.join(expected)}), got ({', '.join(actual)})")


def _entry_text(pointers: int, dims: int, workspace: int) -> str:
    types = ", ".join([_POINTER] * pointers + [_INDEX] * dims + [_POINTER])
    sizes = ", ".join([_INDEX] * dims)
    load_pointers = "".join(
        f"  %pa{i} = llvm.getelementptr %ptrs[{i}] : (!llvm.ptr) -> !llvm.ptr, !llvm.ptr\n"
        f"  %p{i} = llvm.load %pa{i} : !llvm.ptr -> !llvm.ptr\n"
        for i in range(pointers)
    )
    load_dims = "".join(
        f"  %da{i} = llvm.getelementptr %dims[{i}] : (!llvm.ptr) -> !llvm.ptr, i64\n"
        f"  %d{i} = llvm.load %da{i} : !llvm.ptr -> i64\n"
        for i in range(dims)
    )
    dim_values = ", ".join(f"%d{i}" for i in range(dims))
    values = ", ".join([*(f"%p{i}" for i in range(pointers)), *([dim_values] if dims else []), "%arena"])
    return f"""
llvm.func @main({types})
llvm.func @main_arena_bytes({sizes}) -> i64
llvm.func @{ENTRY}(%ptrs: !llvm.ptr, %dims: !llvm.ptr, %arena: !llvm.ptr) -> i32 {{
{load_pointers}{load_dims}  llvm.call @main({values}) : ({types}) -> ()
  %status = llvm.mlir.constant(0 : i32) : i32
  llvm.return %status : i32
}}
llvm.func @{ARENA_BYTES}(%dims: !llvm.ptr) -> i64 {{
{load_dims}  %planned = llvm.call @main_arena_bytes({dim_values}) : ({sizes}) -> i64
  %extra = llvm.mlir.constant({workspace + ALIGNMENT - 1} : i64) : i64
  %mask = llvm.mlir.constant({-ALIGNMENT} : i64) : i64
  %sum = llvm.add %planned, %extra : i64
  %bytes = llvm.and %sum, %mask : i64
  llvm.return %bytes : i64
}}
"""


class CpuTarget:
    """Code generation for host processors.

    >>> target = CpuTarget("x86-64-v3")
    >>> add_entry(module, inputs=2, results=1, dims=0)
    >>> artifact = target.finish(module)
    """

    name = "cpu"

    def __init__(self, instruction_set: str | Isa | None = None, *, passes: str = "default<O2>") -> None:
        """`instruction_set` defaults to this machine; `passes` is an LLVM pipeline, e.g. of `llvm_passes`."""
        self.isa = isa(instruction_set)
        self.passes = passes

    def begin(self, module: Any, worker: Worker) -> None:
        """Lets a worker compile a part of a program, a module that holds only the LLVM dialect."""
        machine = machines.take(self.isa)
        worker.add(Generation(self._prepared(module, machine, ()), machine, self.passes), part=True)

    def finish(self, module: Any, worker: Worker | None = None) -> Artifact:
        """Object of a module that holds only the LLVM dialect and went through `add_entry`, and of its parts."""
        if worker is None:
            with Worker() as worker:
                return self.finish(module, worker)
        texts = codes.attached(module)
        codes.start(texts, self.isa, worker)
        with machines.borrowed(self.isa) as machine, self._prepared(module, machine, EXPORTS) as llvm:
            if self.passes:
                llvm.run_passes(self.passes, machine)
            emission = Emission(llvm, machine, spent=True)
            emission.run()
            objects = [emission.take()]
        worker.help()
        objects += [part.result() for part in worker.parts]
        objects += codes.objects(texts, self.isa)
        table = read_symbols(join(objects))
        if not HELPERS.isdisjoint(table.undefined):
            objects.append(helpers_object(self.isa))
            table = read_symbols(join(objects))
        metadata = {
            "target": self.name,
            "passes": self.passes,
            "openmp": any(name.startswith("__kmpc_") for name in table.undefined),
        }
        return Artifact(join(objects), table.defined, table.undefined, self.isa, metadata)

    def assembly(self, module: Any) -> str:
        """Assembly text of the same code, for reading."""
        with machines.borrowed(self.isa) as machine, self._prepared(module, machine, EXPORTS) as llvm:
            if self.passes:
                llvm.run_passes(self.passes, machine)
            return llvm.emit_assembly(machine) + codes.assembly(codes.attached(module), self.isa)

    def _prepared(self, module: Any, machine: TargetMachine, exported: Sequence[str]) -> LlvmModule:
        for _, function in _functions(module):
            # Clusters stay functions: compile time then grows linearly and profiles name the user's line.
            if "px.cluster" in function.attributes:
                function.attributes["no_inline"] = ir.UnitAttr.get(module.context)
        hidden = [*parts.shared(module), *codes.attached(module)]  # known to the objects that this one is joined with
        llvm = translate(module)
        try:
            llvm.set_target(machine)
            llvm.keep_only([*exported, *hidden])
            for name in hidden:
                llvm.set_visibility(name, Visibility.HIDDEN)
            if exported:
                llvm.rename("main", "px_main")  # C gives `main` a meaning that debuggers and linkers act on
            llvm.allow_negative_offsets()
            llvm.add_attributes(self.isa.function_attributes)
            llvm.verify()
        except CompileError:
            llvm.close()
            raise
        return llvm
