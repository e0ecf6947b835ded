"""The clusters stage: `form_clusters(module)` turns linalg on tensors into cluster functions and a driver."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from mlir import ir

from phalanx.compiler.clusters import arguments, build
from phalanx.compiler.clusters.dense import copy_together
from phalanx.compiler.clusters.driver import Driver
from phalanx.compiler.clusters.form import Former, Remark
from phalanx.compiler.clusters.memory import Emitter, Memory, dynamic_total
from phalanx.compiler.clusters.model import Block, Buffer, Control, Place, Ref, Tensor
from phalanx.compiler.clusters.outline import Outliner
from phalanx.compiler.clusters.panels import pack_ahead
from phalanx.compiler.clusters.place import place_function
from phalanx.compiler.clusters.plan import ArenaPlan
from phalanx.compiler.clusters.prune import prune
from phalanx.compiler.clusters.read import Reader
from phalanx.compiler.clusters.settle import settle
from phalanx.compiler.clusters.sizes import row_major
from phalanx.dialects.errors import CompileError
from phalanx.dialects.records import field, record


@record
class PlannedBuffer:
    """A temporary in the arena: its bytes, and the first and last step of the driver that touches it.

    `hosted`: in the memory of a result that is written later, and takes no room of the arena.
    """

    offset: int
    nbytes: int
    first: int
    last: int
    hosted: bool = False


@record(frozen=False)
class ClusterReport:
    """What the stage did: sizes of the plan, counts, and why ops were or were not fused."""

    remarks: list[Remark] = field(default_factory=list)
    nodes: int = 0
    clusters: int = 0
    functions: int = 0
    calls: int = 0
    copies: int = 0
    arena_bytes: int | None = None  # None: known only at run time
    live_bytes: int = 0  # most bytes of static temporaries alive at one time
    buffers: list[PlannedBuffer] = field(default_factory=list)  # those of static size


_collected: ContextVar[list[ClusterReport] | None] = ContextVar("collected cluster reports", default=None)


@contextmanager
def collect_reports() -> Iterator[list[ClusterReport]]:
    """The reports of every run of the stage inside the `with` block, also as a pass of a pipeline.

    >>> with collect_reports() as reports:
    ...     run_stages(module, stages)
    """
    reports: list[ClusterReport] = []
    token = _collected.set(reports)
    try:
        yield reports
    finally:
        _collected.reset(token)


def form_clusters(module: Any, *, fuse: bool = True) -> ClusterReport:
    """Rewrite the `main` of a module in place (see the module's docstring); `fuse=False` keeps one op per cluster."""
    report = ClusterReport()
    collected = _collected.get()
    if collected is not None:
        collected.append(report)
    main = _main(module)
    with _paused_collection(), module.context, main.location:
        _branches_of_selects(main)
        _Stage(module, main, report, fuse).run()
    return report


@contextmanager
def _paused_collection() -> Iterator[None]:
    """No garbage collection: hardly any of the stage's many objects die before its end, looking costs a third."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def _main(module: Any) -> Any:
    for op in module.body.operations:
        if op.operation.name == "func.func" and ir.StringAttr(op.attributes["sym_name"]).value == "main":
            return op.operation
    raise CompileError("px-form-clusters: the module has no function @main")


def _branches_of_selects(main: Any) -> None:
    """Give whole tensors chosen by a scalar their `scf.if` back, which canonicalize made an `arith.select` of."""
    found: list[Any] = []

    def visit(op: Any) -> ir.WalkResult:
        if op.name == "arith.select" and isinstance(op.results[0].type, ir.RankedTensorType):
            found.append(op)
        return ir.WalkResult.ADVANCE

    main.walk(visit)
    for op in found:
        condition, *choices = op.operands
        made = ir.Operation.create(
            "scf.if", [op.results[0].type], [condition], regions=2, loc=op.location, ip=ir.InsertionPoint(op)
        )
        for region, choice in zip(made.regions, choices, strict=True):
            block = region.blocks.append(arg_locs=[])
            ir.Operation.create("scf.yield", operands=[choice], loc=op.location, ip=ir.InsertionPoint(block))
        op.results[0].replace_all_uses_with(made.results[0])
        op.erase()


class _Stage:
    """One run over one module."""

    def __init__(self, module: Any, main: Any, report: ClusterReport, fuse: bool) -> None:
        self.module, self.main, self.report, self.fuse = module, main, report, fuse
        self.location = main.location
        self.reader = Reader(module)
        self.entry = main.regions[0].blocks[0]
        self.function_type = ir.FunctionType(ir.TypeAttr(main.attributes["function_type"]).value)

    def run(self) -> None:
        block = Block(self.entry)
        self.dims = [v for v in self.entry.arguments if not isinstance(v.type, ir.RankedTensorType)]
        tensors = arguments.read_arguments(self.reader, self.main, self.entry, block)
        self.reader.read_block(self.entry, block)
        prune(block)
        self._form(block)
        if self.fuse:
            captured = [tensors[number] for number in arguments.captured(self.main, self.entry)]
            pack_ahead(block, captured, self.report.remarks)
        self.overwritten = arguments.donated_results(self.main, block, tensors)
        results = [self._result_place(number, ref, tensors) for number, ref in enumerate(block.results)]
        place_function(block, results)
        self._write(block, tensors, results)
        self.main.erase()

    def _form(self, block: Block) -> None:
        Former(block, self.report.remarks, self.fuse).run()
        if self.fuse:
            settle(block)
        copy_together(block, self.report.remarks)
        self.report.nodes += len(block.nodes)
        self.report.clusters += sum(1 for cluster in block.clusters if cluster.nodes)
        for node in block.nodes:
            if isinstance(node.payload, Control):
                for inner in node.payload.blocks:
                    self._form(inner)

    def _result_place(self, number: int, ref: Ref, tensors: list[Tensor]) -> Place:
        donated = tensors[self.overwritten[number]].home if number in self.overwritten else None
        if donated is not None:
            return donated
        nbytes = Tensor(ref.view.sizes, ref.tensor.element, ref.tensor.block).nbytes
        return Place(Buffer("result", nbytes), row_major(ref.view.sizes))

    def _write(self, block: Block, tensors: list[Tensor], results: list[Place]) -> None:
        byte_pointer = build.pointer_type(ir.IntegerType.get_signless(8))
        count = len(tensors) + len(results)
        types = [byte_pointer] * count + [value.type for value in self.dims] + [byte_pointer]
        with ir.InsertionPoint(self.module.body), self.location:
            function = self._function("main", types, [])
        entry = function.regions[0].blocks.append(*types, arg_locs=[self.location] * len(types))
        inner = list(entry.arguments)
        values = dict(zip(self.dims, inner[count : count + len(self.dims)], strict=True))
        memory = Memory(self.reader, self.module, entry, values)
        driver = Driver(memory, self.reader, Outliner(self.module, self.reader))
        with ir.InsertionPoint(entry), self.location:
            buffers = [t.home.buffer for t in tensors if t.home is not None] + [place.buffer for place in results]
            for buffer, pointer in zip(buffers, inner, strict=False):
                buffer.pointer = _byte_array(pointer, memory.size(buffer.nbytes))
            unknown = ir.IntegerAttr.get(memory.index, -1)
            room = build.create("arith.constant", [memory.index], [], {"value": unknown})
            memory.arena = _byte_array(inner[-1], room.result)
            driver.workspace = build.create("memref.view", [byte_pointer], [memory.arena, room.result]).result
            driver.block(block)
            build.create("func.return")
        plan = memory.finish()
        with self.location:
            self._patch_room(memory, plan, room, entry, values)
            self._arena_bytes(plan)
            self._attributes(function, plan, len(tensors), len(results))
            if memory.calls_host:
                self._declare_host()
        self._account(driver, memory, plan)

    def _function(self, name: str, types: Sequence[Any], results: Sequence[Any]) -> Any:
        type_ = ir.TypeAttr.get(ir.FunctionType.get(list(types), list(results)))
        return build.create("func.func", attributes={"sym_name": ir.StringAttr.get(name), "function_type": type_}, regions=1)

    def _patch_room(self, memory: Memory, plan: ArenaPlan, room: Any, entry: Any, values: dict[Any, Any]) -> None:
        if not plan.slots:
            room.attributes["value"] = ir.IntegerAttr.get(memory.index, plan.static_bytes)
            return
        with ir.InsertionPoint(room):
            total, slots = dynamic_total(Emitter(self.reader, entry, values), plan)
        memory.patch_starts(slots)
        room.result.replace_all_uses_with(total)
        room.erase()

    def _arena_bytes(self, plan: ArenaPlan) -> None:
        i64 = ir.IntegerType.get_signless(64)
        types = [value.type for value in self.dims]
        with ir.InsertionPoint(self.module.body):
            function = self._function("main_arena_bytes", types, [i64])
        entry = function.regions[0].blocks.append(*types, arg_locs=[self.location] * len(types))
        with ir.InsertionPoint(entry):
            emitter = Emitter(self.reader, entry, dict(zip(self.dims, entry.arguments, strict=True)))
            total = dynamic_total(emitter, plan)[0]
            build.create("func.return", [], [build.create("arith.index_cast", [i64], [total]).result])

    def _attributes(self, function: Any, plan: ArenaPlan, inputs: int, results: int) -> None:
        i64 = ir.IntegerType.get_signless(64)
        function.attributes["px.inputs"] = ir.IntegerAttr.get(i64, inputs)
        function.attributes["px.results"] = ir.IntegerAttr.get(i64, results)
        if self.overwritten:
            pairs = [number for pair in self.overwritten.items() for number in pair]
            function.attributes["px.overwrites"] = ir.DenseI64ArrayAttr.get(pairs)
        captured = arguments.captured(self.main, self.entry)
        if captured:
            function.attributes["px.captured"] = ir.DenseI64ArrayAttr.get(captured)
        if "px.dims" in self.main.attributes:
            function.attributes["px.dims"] = self.main.attributes["px.dims"]
        if not plan.slots:
            function.attributes["px.arena"] = ir.IntegerAttr.get(i64, plan.static_bytes)

    def _declare_host(self) -> None:
        i64 = ir.IntegerType.get_signless(64)
        for op in list(self.module.body.operations):
            if "px.host" in op.operation.attributes:
                op.operation.erase()
        with ir.InsertionPoint(self.module.body):
            declaration = self._function("px_host_call", [i64, build.pointer_type(i64)], [])
        declaration.attributes["sym_visibility"] = ir.StringAttr.get("private")

    def _account(self, driver: Driver, memory: Memory, plan: ArenaPlan) -> None:
        self.report.functions = len(driver.outliner.known)
        self.report.calls = driver.calls
        self.report.copies = len(driver.copies)
        for location, why in driver.copies:
            self.report.remarks.append(Remark(why, str(location), missed=True))
        self.report.arena_bytes = None if plan.slots else plan.static_bytes
        self.report.live_bytes = memory.most_alive(plan)
        self.report.buffers = [
            PlannedBuffer(offset, buffer.nbytes, buffer.first, buffer.last, buffer in plan.hosts)
            for buffer, offset in plan.offsets.items()
            if isinstance(buffer.nbytes, int) and buffer.first is not None and buffer.last is not None
        ]


def _byte_array(pointer: Any, count: Any) -> Any:
    """`memref<i8>` -> `memref<?xi8>`."""
    return build.create(
        "memref.reinterpret_cast",
        [build.bytes_type()],
        [pointer, count],
        {
            "static_offsets": build.numbers([0]),
            "static_sizes": build.numbers([ir.ShapedType.get_dynamic_size()]),
            "static_strides": build.numbers([1]),
            "operandSegmentSizes": ir.DenseI32ArrayAttr.get([1, 0, 1, 0]),
        },
    ).result
