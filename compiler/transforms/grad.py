"""Reverse mode on the px module: walk the operations of a traced block backwards, one `vjp` facet at a time.

Control flow is differentiated by running the body again inside a backward loop or branch. A counted loop keeps
the carries its backward loop reads in stacks; where the trip count is not known, carries are recomputed from
the start for every step: O(n^2) time, O(1) memory, like Nx.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence

from mlir import ir

from phalanx.compiler.trace import control
from phalanx.compiler.trace.tracer import Tracer
from phalanx.compiler.trace.tracing import Scope, Trace
from phalanx.compiler.transforms import replay
from phalanx.compiler.transforms.cotangents import Cotangents, accumulate, cotangent_of, unbroadcast, zeros
from phalanx.compiler.transforms.custom import FORWARD
from phalanx.compiler.transforms.trips import constant_index, difference, trip_count
from phalanx.dialects import dtypes
from phalanx.dialects.analysis import is_tensor, op_of
from phalanx.dialects.dims import Size
from phalanx.dialects.errors import TraceError
from phalanx.dialects.opdef import NotDifferentiable, lookup, zero_gradient
from phalanx.dialects.registration import attributes_of


def differentiate(trace: Trace, function: Callable[[list[Tracer]], list[Tracer]], primals: Sequence[Tracer],
                  ) -> tuple[list[Tracer], Callable[[Sequence[Tracer | None]], list[Tracer]]]:
    """Trace `function` at `primals`; returns its outputs and the pullback from their cotangents to the primals'."""
    block = trace.new_block([p.aval for p in primals])
    with trace.inside(block):
        outputs = function([trace.wrap(v, p.aval) for v, p in zip(block.arguments, primals, strict=True)])
    moved = replay.operations(block)
    # A value of its own per primal: the same tensor may also be captured, where it counts as a constant.
    roots = [trace.emit(lookup("convert"), [p], {"dtype": p.dtype}) for p in primals]
    results = trace.splice(block, roots, outputs)
    reverse = Reverse(trace, moved, [r.value for r in roots if r.dtype.is_inexact])

    def pullback(cotangents: Sequence[Tracer | None]) -> list[Tracer]:
        seeds: Cotangents = {}
        for result, cotangent in zip(results, cotangents, strict=True):
            if cotangent is not None:
                accumulate(seeds, trace.resolve(result.value), cotangent)
        reverse.run(seeds)
        return [cotangent_of(trace, seeds, r.value) for r in roots]

    return results, pullback


def _latest(trace: Trace, value: ir.Value) -> ir.Value:
    """What stands for a value now that calls run their forward rule."""
    while value in trace.replaced:
        value = trace.replaced[value]
    return value


class Reverse:
    """The backward walk over a list of operations that stand, in order, before the current position."""

    def __init__(self, trace: Trace, operations: Sequence[ir.Operation], roots: Sequence[ir.Value]) -> None:
        self.trace = trace
        self.active: set[ir.Value] = set(roots)
        self.operations: list[ir.Operation] = []
        self._read(operations)

    def _read(self, operations: Sequence[ir.Operation]) -> None:
        for operation in operations:
            if self._mark(operation):
                if self._is_body(operation):
                    self._read(self._inlined(operation))
                    continue
                operation = self._prepare(operation)
            self.operations.append(operation)

    # Which values depend on the roots.
    def _mark(self, operation: ir.Operation) -> bool:
        op = op_of(operation)
        if op is not None:
            if op.vjp is zero_gradient or not any(o in self.active for o in operation.operands):
                return False
            found = [r for r in operation.results if self._is_inexact(r)]
            self.active.update(found)
            return bool(found)
        if not operation.regions:
            if operation.name == "func.call" and any(o in self.active for o in operation.operands):
                self.active.update(r for r in operation.results if self._is_inexact(r))
                return True
            return False
        inputs = [*operation.operands, *replay.captured(operation)]
        if not any(v in self.active for v in inputs):
            return False
        self.active.update(r for r in operation.results if self._is_inexact(r))
        return True

    def _is_inexact(self, value: ir.Value) -> bool:
        return is_tensor(value) and self.trace.avals[value].dtype.is_inexact

    def _is_body(self, operation: ir.Operation) -> bool:
        """Whether this is a call of a rule, or of a function in its own rule while that is traced: as good as its body."""
        if operation.name != "func.call" or "px.fwd" in operation.attributes:
            return False
        if "px.own_of" not in operation.attributes:
            return True
        return ir.StringAttr(operation.attributes["px.own_of"]).value in self.trace.open_rules

    def _inlined(self, operation: ir.Operation) -> list[ir.Operation]:
        """The operations of a function in the place of its call.

        What a forward rule gives as the value is called anew, with the rule; its body only gives what the rule keeps.
        """
        trace = self.trace
        name = ir.FlatSymbolRefAttr(operation.attributes["callee"]).value
        function = next(f.operation for f in trace.module.body.operations
                        if ir.StringAttr(f.operation.attributes["sym_name"]).value == name)
        with self._before(operation), trace.at(operation.location):
            made, results = replay.clone_block(trace, function.regions[0].blocks[0], list(operation.operands))
            if "px.bwd" in operation.attributes:
                again = self._again(operation, name.removesuffix(FORWARD))
                made = [again, *made]
                results[:len(again.results)] = again.results
        trace.retire(operation, results)
        return made

    def _again(self, operation: ir.Operation, name: str) -> ir.Operation:
        """The call that a call of the forward rule of `name` was made of."""
        kinds, avals = self.trace.functions[name]
        made = self.trace.operation("func.call", kinds, list(operation.operands), {
            "callee": ir.FlatSymbolRefAttr.get(name), "px.fwd": operation.attributes["callee"],
            "px.bwd": operation.attributes["px.bwd"]})
        self.trace.avals.update(zip(made.results, avals, strict=True))
        return made

    def _prepare(self, operation: ir.Operation) -> ir.Operation:
        """Functions with a rule of their own run their forward rule from now on."""
        if operation.name == "func.call" and "px.fwd" in operation.attributes:
            return self._call_forward(operation)
        return operation

    # The walk.
    def run(self, cotangents: Cotangents) -> None:
        """Push cotangents from results to operands, in place."""
        for position in range(len(self.operations) - 1, -1, -1):
            operation = self.operations[position]
            if not any(r in cotangents for r in operation.results):
                continue
            with self.trace.at(operation.location):
                if op_of(operation) is not None:
                    self._px(operation, cotangents)
                elif operation.name == "scf.if":
                    self._if(operation, cotangents)
                elif operation.name == "scf.for":
                    self.operations[position] = self._for(operation, cotangents)
                elif operation.name == "scf.while":
                    self.operations[position] = self._while(operation, cotangents)
                elif operation.name == "func.call":
                    self._call(operation, cotangents)

    def _px(self, operation: ir.Operation, cotangents: Cotangents) -> None:
        op = op_of(operation)
        assert op is not None
        wanted = [o in self.active for o in operation.operands]
        if not any(wanted) or op.vjp is zero_gradient:
            return
        if isinstance(op.vjp, NotDifferentiable):
            raise TraceError(f"{op.name}: has no gradient, {op.vjp.reason}",
                             hint="stop it with px.stop_gradient(x), or give a rule with px.custom_vjp")
        attrs = attributes_of(op, operation)
        operands = [self.trace.tracer_of(o) for o in operation.operands]
        outputs = [self.trace.tracer_of(r) for r in operation.results]
        incoming = [cotangents.get(r) for r in operation.results]
        if op.accumulate is not None and operation.operands[0] in cotangents and wanted[0] and not any(wanted[1:]):
            # Into the cotangent gathered so far, in place: a slice of a large tensor inside a loop stays cheap.
            target = operation.operands[0]
            cotangents[target] = op.accumulate(cotangents[target], incoming[0], *operands, **attrs)
            return
        if op.results == 1:
            found = op.vjp(incoming[0], outputs[0], *operands, **attrs)
        else:
            found = op.vjp(tuple(incoming), tuple(outputs), *operands, **attrs)
        for operand, flag, tracer, cotangent in zip(operation.operands, wanted, operands, found, strict=False):
            if not flag or cotangent is None:
                continue
            if op.broadcasts:
                cotangent = unbroadcast(cotangent, tracer.aval)
            if cotangent.dtype is not tracer.dtype:
                cotangent = lookup("convert")(cotangent, dtype=tracer.dtype)
            accumulate(cotangents, operand, cotangent)

    # Branches.
    def _if(self, operation: ir.Operation, cotangents: Cotangents) -> None:
        trace = self.trace
        sources = [v for v in replay.captured(operation) if v in self.active and self._is_inexact(v)]
        if not sources:
            return
        kinds = [trace.type_of(trace.avals[s]) for s in sources]
        made = trace.operation("scf.if", kinds, [operation.operands[0]], regions=2)
        for old, new in zip(operation.regions, made.regions, strict=True):
            block = new.blocks.append()
            with trace.inside(block):
                copies, yielded = replay.clone_block(trace, old.blocks[0], [], effects=False)
                inner = Reverse(trace, copies, sources)
                yielded = [_latest(trace, y) for y in yielded]
                local: Cotangents = {}
                for result, value in zip(operation.results, yielded, strict=True):
                    if result in cotangents and value in inner.active:
                        accumulate(local, value, cotangents[result])
                inner.run(local)
                found = [cotangent_of(trace, local, s) for s in sources]
                trace.operation("scf.yield", [], [f.value for f in found])
        for source, value in zip(sources, made.results, strict=True):
            accumulate(cotangents, source, trace.wrap(value, trace.avals[source]))

    # Loops.
    def _for(self, operation: ir.Operation, cotangents: Cotangents) -> ir.Operation:
        lower, upper, _, *inits = operation.operands
        trips = trip_count(operation, self.trace)
        if isinstance(trips, int) and trips == 0:  # nothing to run backwards, and no stack has a row
            for init, result in zip(inits, operation.results, strict=True):
                if init in self.active and result in cotangents:
                    accumulate(cotangents, init, cotangents[result])
            return operation
        plan = _LoopPlan(self, operation, operation.regions[0].blocks[0], 1, inits)
        placeholders = plan.backward(cotangents, lower, upper, recompute=None if trips is not None else operation)
        needed = [n for n, p in enumerate(placeholders) if p is not None]
        if not needed or trips is None:
            return operation
        operation, stacks = self._with_stacks(operation, needed, trips)
        for n, stack in zip(needed, stacks, strict=True):
            holder, position = placeholders[n]  # type: ignore[misc]
            with self._before(holder), self.trace.at(holder.location):
                row = control.element(stack, position())
            holder.result.replace_all_uses_with(row.value)
            holder.erase()
        return operation

    def _with_stacks(self, operation: ir.Operation, needed: Sequence[int], trips: Size,
                     ) -> tuple[ir.Operation, list[Tracer]]:
        """The loop again, keeping what the carries `needed` were at every step."""
        trace = self.trace
        inits = list(operation.operands)[3:]
        avals = [trace.avals[inits[n]] for n in needed]
        with self._before(operation), trace.at(operation.location):
            empty = [zeros(trace, a.with_shape((trips, *a.shape))) for a in avals]
            made = trace.operation("scf.for", [*[r.type for r in operation.results], *[e.value.type for e in empty]],
                                   [*operation.operands, *[e.value for e in empty]], regions=1)
        old = operation.regions[0].blocks[0]
        kinds = [*[a.type for a in old.arguments], *[e.value.type for e in empty]]
        block = made.regions[0].blocks.append(*kinds, arg_locs=[operation.location] * len(kinds))
        count = len(old.arguments)
        with trace.inside(block), trace.at(operation.location):
            for before, after in zip(old.arguments, block.arguments, strict=False):
                before.replace_all_uses_with(after)
                if before in trace.avals:
                    trace.avals[after] = trace.avals[before]
            stacks = [trace.wrap(v, e.aval) for v, e in zip(list(block.arguments)[count:], empty, strict=True)]
            *body, last = replay.operations(old)
            yielded = list(last.operands)
            for inner in body:
                inner.detach_from_parent()
                trace.scope.insertion.insert(inner)
            position = control.tensor_of_index(trace, block.arguments[0], dtypes.int64)
            start = constant_index(operation.operands[0])
            if start:
                position = position - start
            carries = [trace.tracer_of(block.arguments[n + 1]) for n in needed]
            written = [control.put(s, c, position) for s, c in zip(stacks, carries, strict=True)]
            trace.operation("scf.yield", [], [*yielded, *[w.value for w in written]])
        self._retire(operation, made)
        found = list(made.results)[len(made.results) - len(needed):]
        return made, [trace.wrap(v, e.aval) for v, e in zip(found, empty, strict=True)]

    def _retire(self, operation: ir.Operation, made: ir.Operation) -> None:
        """Put `made`, whose first results are those of `operation`, in its place."""
        self.active.update(new for old, new in zip(operation.results, made.results, strict=False)
                           if old in self.active)
        self.trace.retire(operation, list(made.results))

    def _while(self, operation: ir.Operation, cotangents: Cotangents) -> ir.Operation:
        trace = self.trace
        incoming = {n: cotangents[r] for n, r in enumerate(operation.results) if r in cotangents}
        operation = self._with_counter(operation)
        for n, cotangent in incoming.items():
            cotangents[operation.results[n]] = cotangent
        trips = trace.tracer_of(operation.results[len(operation.results) - 1])
        lower, upper = control.index_of(trace, 0, "grad"), control.index_of(trace, trips, "grad")
        inits = list(operation.operands)
        plan = _LoopPlan(self, operation, operation.regions[1].blocks[0], 0, inits)
        plan.backward(cotangents, lower, upper, recompute=operation)
        return operation

    def _with_counter(self, operation: ir.Operation) -> ir.Operation:
        """The while loop again, with one more carry that counts its trips."""
        trace = self.trace
        if "px.counted" in operation.attributes:
            return operation
        with self._before(operation), trace.at(operation.location):
            zero = trace.constant(0, dtypes.int64)
            made = trace.operation("scf.while", [*[r.type for r in operation.results], zero.value.type],
                                   [*operation.operands, zero.value], {"px.counted": ir.UnitAttr.get()}, regions=2)
        for number, (old_region, region) in enumerate(zip(operation.regions, made.regions, strict=True)):
            old = old_region.blocks[0]
            kinds = [*[a.type for a in old.arguments], zero.value.type]
            block = region.blocks.append(*kinds, arg_locs=[operation.location] * len(kinds))
            for before, after in zip(old.arguments, block.arguments, strict=False):
                trace.avals[after] = trace.avals[before]
                before.replace_all_uses_with(after)
            with trace.inside(block), trace.at(operation.location):
                *body, last = replay.operations(old)
                operands = list(last.operands)
                for inner in body:
                    inner.detach_from_parent()
                    trace.scope.insertion.insert(inner)
                counter = trace.wrap(block.arguments[len(kinds) - 1], zero.aval)
                if number:
                    counter = counter + 1
                trace.operation(last.name, [], [*operands, counter.value])
        self._retire(operation, made)
        trace.wrap(made.results[len(made.results) - 1], zero.aval)
        return made

    @contextlib.contextmanager
    def _before(self, operation: ir.Operation) -> Iterator[None]:
        """Build right before an operation instead of at the end of the scope."""
        trace, outer = self.trace, self.trace.scope
        scope = Scope(outer.block, outer)
        scope.insertion = ir.InsertionPoint(operation)
        trace.scope = scope
        try:
            yield
        finally:
            trace.scope = outer

    # Functions with their own rule (px.custom_vjp).
    def _call_forward(self, operation: ir.Operation) -> ir.Operation:
        trace = self.trace
        name = ir.FlatSymbolRefAttr(operation.attributes["px.fwd"]).value
        kinds, avals = trace.functions[name]
        with self._before(operation), trace.at(operation.location):
            made = trace.operation("func.call", kinds, list(operation.operands), {
                "callee": operation.attributes["px.fwd"], "px.bwd": operation.attributes["px.bwd"],
                "px.outputs": ir.IntegerAttr.get(ir.IntegerType.get_signless(64), len(operation.results))})
        trace.avals.update(zip(made.results, avals, strict=True))
        self._retire(operation, made)
        return made

    def _call(self, operation: ir.Operation, cotangents: Cotangents) -> None:
        if "px.bwd" not in operation.attributes:
            raise TraceError("grad: a rule of px.custom_vjp calls its own function, which has no rule there: "
                             "the second derivative would not be that of the function",
                             hint="compute what the rule needs with other operations, or keep the call out of it")
        trace = self.trace
        count = ir.IntegerAttr(operation.attributes["px.outputs"]).value
        outputs, residuals = list(operation.results)[:count], list(operation.results)[count:]
        seeds = [cotangent_of(trace, cotangents, o) for o in outputs]
        name = ir.FlatSymbolRefAttr(operation.attributes["px.bwd"]).value
        kinds, avals = trace.functions[name]
        made = trace.operation("func.call", kinds, [*residuals, *[s.value for s in seeds]],
                               {"callee": operation.attributes["px.bwd"]})
        trace.avals.update(zip(made.results, avals, strict=True))
        for operand, value, aval in zip(operation.operands, made.results, avals, strict=False):
            if operand in self.active:
                accumulate(cotangents, operand, trace.wrap(value, aval))


class _LoopPlan:
    """The backward loop of one loop: which carries and captured values get cotangents, and how carries come back."""

    def __init__(self, reverse: Reverse, operation: ir.Operation, body: ir.Block, skip: int,
                 inits: Sequence[ir.Value]) -> None:
        self.reverse = reverse
        self.trace = reverse.trace
        self.operation = operation
        self.body = body
        self.skip = skip
        self.inits = list(inits)
        self.sources = [v for v in replay.captured(operation) if v in reverse.active and reverse._is_inexact(v)]
        self.carried = self._active_carries()

    def _active_carries(self) -> list[int]:
        """Carries that depend on the roots after any number of trips."""
        arguments = list(self.body.arguments)[self.skip:]
        yielded = list(replay.terminator(self.body).operands)
        active = {n for n, i in enumerate(self.inits) if i in self.reverse.active}
        while True:
            marked = _marked(self.trace, self.body, [*[arguments[n] for n in active], *self.sources])
            more = {n for n, y in enumerate(yielded) if n < len(arguments) and y in marked} | active
            if more == active:
                return sorted(n for n in active if self.trace.avals[self.inits[n]].dtype.is_inexact)
            active = more

    def backward(self, cotangents: Cotangents, lower: ir.Value, upper: ir.Value,
                 recompute: ir.Operation | None) -> list[tuple[ir.Operation, Callable[[], Tracer]] | None]:
        """Build the backward loop. Carries are recomputed from `recompute`, or stand in as placeholders.

        Returns, per carry, the placeholder if it is in use, and what builds the position to load it from.
        """
        trace = self.trace
        starts = [cotangent_of(trace, cotangents, self.operation.results[n]) for n in self.carried]
        sums = [cotangent_of(trace, cotangents, s) for s in self.sources]
        zero, one = (control.index_of(trace, n, "grad") for n in (0, 1))
        index_type = ir.IndexType.get()
        count, last = (difference(trace, upper, n) for n in (lower, one))
        carries = [*starts, *sums]
        kinds = [trace.type_of(c.aval) for c in carries]
        made = trace.operation("scf.for", kinds, [zero, count, one, *[c.value for c in carries]], regions=1)
        block = made.regions[0].blocks.append(index_type, *kinds, arg_locs=[made.location] * (len(kinds) + 1))
        placeholders: list[ir.Operation] = []
        with trace.inside(block):
            step = difference(trace, last, block.arguments[0])
            if recompute is None:
                avals = [trace.avals[i] for i in self.inits]
                stand_ins = [zeros(trace, a) for a in avals]
                placeholders = [s.value.owner.operation for s in stand_ins]
                values = [s.value for s in stand_ins]
            else:
                values = self._recomputed(lower, step)
            arguments = [step, *values] if self.skip else values
            copies, yielded = replay.clone_block(trace, self.body, arguments, effects=False)
            inner = Reverse(trace, copies, [*[values[n] for n in self.carried], *self.sources])
            yielded = [_latest(trace, y) for y in yielded]
            local: Cotangents = {}
            incoming = [trace.wrap(v, c.aval) for v, c in zip(list(block.arguments)[1:], carries, strict=True)]
            for source, total in zip(self.sources, incoming[len(starts):], strict=True):
                local[source] = total
            for n, cotangent in zip(self.carried, incoming, strict=False):
                accumulate(local, yielded[n], cotangent)
            inner.run(local)
            found = [cotangent_of(trace, local, values[n]) for n in self.carried]
            found += [local[s] for s in self.sources]
            trace.operation("scf.yield", [], [f.value for f in found])
        alive = replay.erase_dead(block, placeholders)
        results = [trace.wrap(v, c.aval) for v, c in zip(made.results, carries, strict=True)]
        for source, total in zip(self.sources, results[len(starts):], strict=True):
            cotangents[source] = total
        for n, cotangent in zip(self.carried, results, strict=False):
            if self.inits[n] in self.reverse.active:
                accumulate(cotangents, self.inits[n], cotangent)

        def position() -> Tracer:
            offset = difference(trace, difference(trace, last, block.arguments[0]), lower)
            return control.tensor_of_index(trace, offset, dtypes.int64)

        return [(p, position) if flag else None for p, flag in zip(placeholders, alive, strict=True)]

    def _recomputed(self, lower: ir.Value, step: ir.Value) -> list[ir.Value]:
        """The carries at the start of trip `step`: the loop once more, stopped there."""
        trace = self.trace
        one = control.index_of(trace, 1, "grad")
        kinds = [i.type for i in self.inits]
        made = trace.operation("scf.for", kinds, [lower, step, one, *self.inits], regions=1)
        block = made.regions[0].blocks.append(ir.IndexType.get(), *kinds,
                                              arg_locs=[made.location] * (len(kinds) + 1))
        with trace.inside(block):
            carried = list(block.arguments)[1:]
            for value, init in zip(carried, self.inits, strict=True):
                trace.avals[value] = trace.avals[init]
            arguments = list(block.arguments) if self.skip else carried
            _, yielded = replay.clone_block(trace, self.body, arguments, effects=False)
            trace.operation("scf.yield", [], yielded)
        for value, init in zip(made.results, self.inits, strict=True):
            trace.avals[value] = trace.avals[init]
        return list(made.results)


def _marked(trace: Trace, block: ir.Block, roots: Sequence[ir.Value]) -> set[ir.Value]:
    """Values of a block that depend on `roots`."""
    active = set(roots)
    for operation in replay.operations(block)[:-1]:
        op = op_of(operation)
        if op is not None and op.vjp is zero_gradient:
            continue
        inputs = [*operation.operands, *(replay.captured(operation) if operation.regions else [])]
        if any(v in active for v in inputs):
            active.update(r for r in operation.results if is_tensor(r) and trace.avals[r].dtype.is_inexact)
    return active
