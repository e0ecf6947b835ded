"""Vectorisation on the px module: replay a traced block with an extra leading axis on some values.

Every op brings its `batch` facet. A branch on a batched condition runs both sides and selects; a loop with a
batched condition goes on until no entry wants to, entries that are done keep their values.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from mlir import ir

from phalanx.compiler.trace import control
from phalanx.compiler.trace.tracer import Tracer
from phalanx.compiler.trace.tracing import Trace
from phalanx.compiler.transforms import replay
from phalanx.dialects import dtypes
from phalanx.dialects.analysis import op_of
from phalanx.dialects.aval import Aval
from phalanx.dialects.dims import Size
from phalanx.dialects.errors import TraceError
from phalanx.dialects.opdef import lookup
from phalanx.dialects.registration import attributes_of


@dataclass(frozen=True)
class Entry:
    """What a value of the unbatched block became: a value, batched (axis 0) or not.

    A batched scalar (the predicate of a branch, a loop bound) is kept as the tensor it is read from.
    """

    value: ir.Value
    batched: bool


def vectorize(trace: Trace, function: Callable[[list[Tracer]], list[Tracer]], arguments: Sequence[Tracer],
              batched: Sequence[bool], size: Size) -> tuple[list[Tracer], list[bool]]:
    """Trace `function` on single entries and replay it on batches; says which results are batched."""
    avals = [a.aval.with_shape(a.shape[1:]) if flag else a.aval for a, flag in zip(arguments, batched, strict=True)]
    block = trace.new_block(avals)
    with trace.inside(block):
        outputs = function([trace.wrap(v, a) for v, a in zip(block.arguments, avals, strict=True)])
    replayer = _Replay(trace, size)
    for argument, value, flag in zip(block.arguments, arguments, batched, strict=True):
        replayer.set(argument, value.value, flag)
    for operation in replay.operations(block):
        replayer.operation(operation)
    found = [replayer.get(o.value) for o in outputs]
    return [trace.tracer_of(e.value) for e in found], [e.batched for e in found]


class _Replay:
    """Copies operations into the current scope, batching what depends on batched values."""

    def __init__(self, trace: Trace, size: Size, known: dict[ir.Value, Entry] | None = None) -> None:
        self.trace = trace
        self.size = size
        self.known: dict[ir.Value, Entry] = dict(known or {})

    def get(self, value: ir.Value) -> Entry:
        return self.known.get(value) or Entry(value, False)

    def set(self, old: ir.Value, new: ir.Value, batched: bool) -> None:
        self.known[old] = Entry(new, batched)

    def tracer(self, value: ir.Value) -> Tracer:
        return self.trace.tracer_of(self.get(value).value)

    def batched(self, value: ir.Value) -> Tracer:
        """The value with the batch axis, added when it has none."""
        entry = self.get(value)
        tracer = self.trace.tracer_of(entry.value)
        return tracer if entry.batched else self.expand(tracer)

    def expand(self, tracer: Tracer) -> Tracer:
        made: Tracer = lookup("broadcast")(tracer, (self.size, *tracer.shape))
        return made

    def operation(self, operation: ir.Operation) -> None:
        with self.trace.at(operation.location):
            op = op_of(operation)
            inputs = [*operation.operands, *(replay.captured(operation) if operation.regions else [])]
            if not any(self.get(v).batched for v in inputs):
                self._copy(operation)
            elif op is not None:
                self._px(operation, op)
            elif operation.name in ("tensor.extract", "arith.index_cast"):
                # A scalar read from a batched tensor: its user decides what to do with the tensor.
                self.known[operation.result] = self.get(operation.operands[0])
            elif operation.name == "tensor.from_elements":
                self.known[operation.result] = self.get(operation.operands[0])
            elif operation.name in ("arith.subi", "arith.addi"):
                self._index_arithmetic(operation)
            elif operation.name == "scf.if":
                self._if(operation)
            elif operation.name == "scf.for":
                self._for(operation)
            elif operation.name == "scf.while":
                self._while(operation)
            elif operation.name == "func.call":
                self._call(operation)
            else:
                raise TraceError(f"vmap: no rule for {operation.name}")

    def _copy(self, operation: ir.Operation) -> None:
        mapping = {old: entry.value for old, entry in self.known.items() if not entry.batched}
        made = replay.clone_operation(self.trace, operation, mapping)
        for old, new in zip(operation.results, made.results, strict=True):
            self.set(old, new, False)

    def _px(self, operation: ir.Operation, op: Any) -> None:
        flags = [self.get(o).batched for o in operation.operands]
        operands = [self.tracer(o) for o in operation.operands]
        found = op.batch(self.size, flags, operands, attributes_of(op, operation))
        results = [] if op.results == 0 else [found] if op.results == 1 else list(found)
        for old, new in zip(operation.results, results, strict=True):
            self.set(old, new.value, True)

    def _index_arithmetic(self, operation: ir.Operation) -> None:
        left, right = (self._index_tensor(o) for o in operation.operands)
        name = "subtract" if operation.name == "arith.subi" else "add"
        self.set(operation.result, lookup(name)(left, right).value, True)

    def _index_tensor(self, value: ir.Value) -> Tracer:
        """An index value as an int64 tensor, batched or of rank 0."""
        entry = self.get(value)
        if entry.batched:
            tracer = self.trace.tracer_of(entry.value)
            return tracer if tracer.dtype is dtypes.int64 else lookup("convert")(tracer, dtype=dtypes.int64)
        return control.tensor_of_index(self.trace, entry.value, dtypes.int64)

    # Control flow.
    def _block(self, block: ir.Block) -> list[ir.Value]:
        """Replay a block here; returns the old operands of its terminator."""
        *body, last = replay.operations(block)
        for operation in body:
            self.operation(operation)
        return list(last.operands)

    def _child(self) -> _Replay:
        return _Replay(self.trace, self.size, self.known)

    def _if(self, operation: ir.Operation) -> None:
        condition = self.get(operation.operands[0])
        if condition.batched:
            self._select(operation, self.trace.tracer_of(condition.value))
            return
        flags = self._yield_flags(operation)
        trace = self.trace
        avals = [self._aval(r, f) for r, f in zip(operation.results, flags, strict=True)]
        made = trace.operation("scf.if", [trace.type_of(a) for a in avals], [condition.value], regions=2)
        for old, new in zip(operation.regions, made.regions, strict=True):
            with trace.inside(new.blocks.append()):
                child = self._child()
                yielded = child._block(old.blocks[0])
                values = [child.batched(y) if f else child.tracer(y) for y, f in zip(yielded, flags, strict=True)]
                trace.operation("scf.yield", [], [v.value for v in values])
        self._results(operation, made, avals, flags)

    def _results(self, operation: ir.Operation, made: ir.Operation, avals: Sequence[Aval],
                 flags: Sequence[bool]) -> None:
        for old, new, aval, flag in zip(operation.results, made.results, avals, flags, strict=False):
            self.trace.wrap(new, aval)
            self.set(old, new, flag)

    def _aval(self, value: ir.Value, batched: bool) -> Aval:
        aval = self.trace.avals[value]
        return aval.with_shape((self.size, *aval.shape)) if batched else aval

    def _yield_flags(self, operation: ir.Operation) -> list[bool]:
        """Which results of a branch are batched on either side: tried out in blocks that are thrown away."""
        flags = [False] * len(operation.results)
        for region in operation.regions:
            with self.trace.inside(self.trace.new_block([])):
                child = self._child()
                for n, value in enumerate(child._block(region.blocks[0])):
                    flags[n] = flags[n] or child.get(value).batched
        return flags

    def _select(self, operation: ir.Operation, condition: Tracer) -> None:
        sides = []
        for region in operation.regions:
            child = self._child()
            sides.append([child.batched(y) for y in child._block(region.blocks[0])])
        for old, yes, no in zip(operation.results, *sides, strict=True):
            self.set(old, choose(condition, yes, no).value, True)

    def _carry_flags(self, body: ir.Block, skip: int, flags: list[bool], test: ir.Block | None = None) -> list[bool]:
        """Which carries are batched after any number of trips."""
        flags = list(flags)
        while True:
            with self.trace.inside(self.trace.new_block([])):
                child = self._trial(body, skip, flags)
                yielded = [child.get(y).batched for y in child._block(body)]
                forced = False
                if test is not None:
                    condition = self._trial(test, 0, flags)
                    forced = condition.get(condition._block(test)[0]).batched
            grown = [a or b or forced for a, b in zip(flags, yielded, strict=True)]
            if grown == flags:
                return flags
            flags = grown

    def _trial(self, body: ir.Block, skip: int, flags: Sequence[bool]) -> _Replay:
        child = self._child()
        avals = [self._aval(a, f) for a, f in zip(list(body.arguments)[skip:], flags, strict=True)]
        stand_in = self.trace.new_block(avals)
        for argument, value, aval, flag in zip(list(body.arguments)[skip:], stand_in.arguments, avals, flags,
                                               strict=True):
            self.trace.wrap(value, aval)
            child.set(argument, value, flag)
        if skip:
            child.set(body.arguments[0], control.index_of(self.trace, 0, "vmap"), False)
        return child

    def _for(self, operation: ir.Operation) -> None:
        lower, upper, step, *inits = operation.operands
        if any(self.get(o).batched for o in (lower, upper)):
            self._ragged_for(operation)
            return
        trace = self.trace
        body = operation.regions[0].blocks[0]
        flags = self._carry_flags(body, 1, [self.get(i).batched for i in inits])
        starts = [self.batched(i) if f else self.tracer(i) for i, f in zip(inits, flags, strict=True)]
        avals = [s.aval for s in starts]
        kinds = [trace.type_of(a) for a in avals]
        made = trace.operation("scf.for", kinds, [*[self.get(b).value for b in (lower, upper, step)],
                                                  *[s.value for s in starts]], regions=1)
        block = made.regions[0].blocks.append(ir.IndexType.get(), *kinds,
                                              arg_locs=[operation.location] * (len(kinds) + 1))
        with trace.inside(block):
            child = self._enter(body, block, avals, flags, 1)
            yielded = child._block(body)
            values = [child.batched(y) if f else child.tracer(y) for y, f in zip(yielded, flags, strict=True)]
            trace.operation("scf.yield", [], [v.value for v in values])
        self._results(operation, made, avals, flags)

    def _enter(self, old: ir.Block, new: ir.Block, avals: Sequence[Aval], flags: Sequence[bool], skip: int) -> _Replay:
        child = self._child()
        if skip:
            child.set(old.arguments[0], new.arguments[0], False)
        for before, after, aval, flag in zip(list(old.arguments)[skip:], list(new.arguments)[skip:], avals, flags,
                                             strict=False):
            self.trace.wrap(after, aval)
            child.set(before, after, flag)
        return child

    def _ragged_for(self, operation: ir.Operation) -> None:
        """Bounds differ between entries: run over all of them, each entry changes only between its own."""
        trace = self.trace
        lower, upper = (self._index_tensor(o) for o in list(operation.operands)[:2])
        first, last = (lookup(n)(b) if b.ndim else b for n, b in (("min", lower), ("max", upper)))
        inits = list(operation.operands)[3:]
        body = operation.regions[0].blocks[0]
        starts = [self.batched(i) for i in inits]
        flags = [True] * len(inits)

        def step(index: ir.Value, carried: list[Tracer]) -> list[Tracer]:
            child = self._child()
            child.set(body.arguments[0], index, False)
            for before, after in zip(list(body.arguments)[1:], carried, strict=True):
                child.set(before, after.value, True)
            found = [child.batched(y) for y in child._block(body)]
            position = control.tensor_of_index(trace, index, dtypes.int64)
            inside = (lower <= position) & (position < upper)
            return [choose(inside, new, old) for new, old in zip(found, carried, strict=True)]

        results = control.counted_loop(trace, first, last, starts, step, "vmap")
        for old, new, flag in zip(operation.results, results, flags, strict=True):
            self.set(old, new.value, flag)

    def _while(self, operation: ir.Operation) -> None:
        trace = self.trace
        test, body = (r.blocks[0] for r in operation.regions)
        inits = list(operation.operands)
        flags = self._carry_flags(body, 0, [self.get(i).batched for i in inits], test)
        starts = [self.batched(i) if f else self.tracer(i) for i, f in zip(inits, flags, strict=True)]
        avals = [s.aval for s in starts]
        kinds = [trace.type_of(a) for a in avals]
        made = trace.operation("scf.while", kinds, [s.value for s in starts], regions=2)
        place = [operation.location] * len(kinds)
        before = made.regions[0].blocks.append(*kinds, arg_locs=place)
        with trace.inside(before):
            flag, _ = self._condition(test, before, avals, flags)
            trace.operation("scf.condition", [], [control.predicate(trace, _any(flag), "vmap")
                                                  if isinstance(flag, Tracer) else flag, *before.arguments])
        after = made.regions[1].blocks.append(*kinds, arg_locs=place)
        with trace.inside(after):
            flag, _ = self._condition(test, after, avals, flags)
            child = self._enter(body, after, avals, flags, 0)
            found = [child.batched(y) if f else child.tracer(y) for y, f in zip(child._block(body), flags, strict=True)]
            if isinstance(flag, Tracer):
                old = [trace.tracer_of(a) for a in after.arguments]
                found = [choose(flag, new, kept) for new, kept in zip(found, old, strict=True)]
            trace.operation("scf.yield", [], [f.value for f in found])
        self._results(operation, made, avals, flags)

    def _condition(self, test: ir.Block, block: ir.Block, avals: Sequence[Aval], flags: Sequence[bool],
                   ) -> tuple[Any, _Replay]:
        """The condition in this block: a batched tensor, or an `i1` when it is the same for all entries."""
        child = self._enter(test, block, avals, flags, 0)
        entry = child.get(child._block(test)[0])
        return (self.trace.tracer_of(entry.value) if entry.batched else entry.value), child

    def _call(self, operation: ir.Operation) -> None:
        """A function with a gradient rule of its own: its body is batched, the rule is given up."""
        name = ir.FlatSymbolRefAttr(operation.attributes["callee"]).value
        function = next(f.operation for f in self.trace.module.body.operations
                        if ir.StringAttr(f.operation.attributes["sym_name"]).value == name)
        body = function.regions[0].blocks[0]
        child = _Replay(self.trace, self.size)
        for argument, operand in zip(body.arguments, operation.operands, strict=True):
            entry = self.get(operand)
            child.set(argument, entry.value, entry.batched)
        for old, value in zip(operation.results, child._block(body), strict=True):
            self.known[old] = child.get(value)


def choose(condition: Tracer, yes: Tracer, no: Tracer) -> Tracer:
    """`select` with one condition per batch entry."""
    missing = yes.ndim - condition.ndim
    if missing:
        condition = lookup("reshape")(condition, (*condition.shape, *[1] * missing))
    made: Tracer = lookup("select")(condition, yes, no)
    return made


def _any(flag: Tracer) -> Tracer:
    made: Tracer = lookup("any")(flag)
    return made


