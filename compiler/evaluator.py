"""The evaluator: walks a px module and has a backend run each op. The oracle, the debugger, the honest baseline.

A function is read once into a `Program` (flat instructions on numbered slots); running it never touches MLIR.
A slot is freed right after its last reader.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from mlir import ir

from phalanx.dialects.analysis import Avals, dim_names, evaluate_attributes, has_names, op_of
from phalanx.dialects.aval import Aval
from phalanx.dialects.errors import CompileError
from phalanx.dialects.opdef import infer
from phalanx.dialects.registration import attributes_of
from phalanx.runtime.backends import Backend

Run = Callable[["_Frame"], None]


class _Frame:
    """What one run knows: slot values, the backend, values of named sizes, host call sites."""

    __slots__ = ("backend", "sites", "sizes", "slots")

    def __init__(self, backend: Backend, count: int, sizes: dict[str, int], sites: Sequence[Any]) -> None:
        self.backend = backend
        self.slots: list[Any] = [None] * count
        self.sizes = sizes
        self.sites = sites


@dataclass
class _Block:
    """Instructions of one block; `arguments` and `results` are slots."""

    arguments: list[int] = field(default_factory=list)
    steps: list[Run] = field(default_factory=list)
    results: list[int] = field(default_factory=list)

    def run(self, frame: _Frame, values: Sequence[Any]) -> list[Any]:
        for slot, value in zip(self.arguments, values, strict=True):
            frame.slots[slot] = value
        for step in self.steps:
            step(frame)
        return [frame.slots[r] for r in self.results]


class Program:
    """A px function ready to run on any backend."""

    def __init__(self, module: ir.Module, name: str = "main", sites: Sequence[Any] = ()) -> None:
        self._slots: dict[ir.Value, int] = {}
        functions = {ir.StringAttr(f.operation.attributes["sym_name"]).value: f.operation
                     for f in module.body.operations if f.operation.name == "func.func"}
        function = functions[name]
        self._avals = Avals(function)
        self.inputs: list[Aval] = list(self._avals.arguments)
        self.names = dim_names(self.inputs)
        self.sites = sites
        self._body = self._block(function.regions[0].blocks[0])
        self.count = len(self._slots)
        self.outputs = [self._output(v) for v in self._terminator(function.regions[0].blocks[0]).operands]
        # Nothing below reads the IR again.
        del self._avals, self._slots

    def run(self, backend: Backend, storages: Sequence[Any], sizes: dict[str, int] | None = None,
            sites: Sequence[Any] | None = None) -> list[Any]:
        """Results for `storages`, which belong to `backend`; `sizes` gives the named sizes."""
        frame = _Frame(backend, self.count, sizes or {}, self.sites if sites is None else sites)
        return self._body.run(frame, storages)

    def _output(self, value: ir.Value) -> Aval:
        return self._avals[value]

    # Reading.
    def _slot(self, value: ir.Value) -> int:
        return self._slots.setdefault(value, len(self._slots))

    @staticmethod
    def _terminator(block: ir.Block) -> ir.Operation:
        return block.operations[len(block.operations) - 1].operation

    def _block(self, block: ir.Block) -> _Block:
        read = _Block([self._slot(a) for a in block.arguments])
        operations = [o.operation for o in block.operations]
        for operation in operations[:-1]:
            read.steps.append(self._step(operation))
        self._free_after_last_use(read, block, operations)
        read.results = [self._slot(v) for v in operations[-1].operands]
        return read

    def _free_after_last_use(self, read: _Block, block: ir.Block, operations: list[ir.Operation]) -> None:
        """Wrap the step that reads a value of this block last, so that it drops the slot afterwards."""
        position = {operation: index for index, operation in enumerate(operations)}
        drops: dict[int, list[int]] = {}
        for operation in operations[:-1]:
            for result in operation.results:
                last = -1
                for use in result.uses:
                    owner = use.owner.operation if hasattr(use.owner, "operation") else use.owner
                    while owner not in position and owner is not None:
                        owner = owner.parent.operation if owner.parent is not None else None
                    last = max(last, position.get(owner, len(operations)))
                if last < len(operations) - 1:
                    drops.setdefault(max(last, position[operation]), []).append(self._slot(result))
        for index, slots in drops.items():
            read.steps[index] = _dropping(read.steps[index], slots)

    def _step(self, operation: ir.Operation) -> Run:
        op = op_of(operation)
        if op is not None:
            return self._px(operation, op)
        reader = getattr(self, "_" + operation.name.replace(".", "_"), None)
        if reader is None:
            raise CompileError(f"evaluator: no rule for {operation.name}")
        made: Run = reader(operation)
        return made

    def _px(self, operation: ir.Operation, op: Any) -> Run:
        attrs = attributes_of(op, operation)
        operands = [self._slot(o) for o in operation.operands]
        results = [self._slot(r) for r in operation.results]
        avals = [self._avals[o] for o in operation.operands]
        inferred = [self._avals[r] for r in operation.results]
        dynamic = has_names(attrs) or any(not a.is_static for a in (*avals, *inferred))
        if op.side_effect:
            return _host_step(op, attrs, operands, results)

        def step(frame: _Frame) -> None:
            bound, types = attrs, inferred
            if dynamic:
                bound = evaluate_attributes(attrs, frame.sizes)
                types = list(infer(op, [a.bind(frame.sizes) for a in avals], bound))
            values = frame.backend.run_op(op, [frame.slots[o] for o in operands], bound, types)
            for slot, value in zip(results, values, strict=True):
                frame.slots[slot] = value

        return step

    def _tensor_extract(self, operation: ir.Operation) -> Run:
        source, result = self._slot(operation.operands[0]), self._slot(operation.result)

        def step(frame: _Frame) -> None:
            frame.slots[result] = frame.backend.to_numpy(frame.slots[source]).item()

        return step

    def _tensor_from_elements(self, operation: ir.Operation) -> Run:
        source, result = self._slot(operation.operands[0]), self._slot(operation.result)
        dtype = self._avals[operation.result].dtype.numpy

        def step(frame: _Frame) -> None:
            frame.slots[result] = frame.backend.asarray(np.asarray(frame.slots[source], dtype))

        return step

    def _arith_constant(self, operation: ir.Operation) -> Run:
        result = self._slot(operation.result)
        value = ir.IntegerAttr(operation.attributes["value"]).value
        return lambda frame: frame.slots.__setitem__(result, value)

    def _arith_index_cast(self, operation: ir.Operation) -> Run:
        source, result = self._slot(operation.operands[0]), self._slot(operation.result)
        return lambda frame: frame.slots.__setitem__(result, int(frame.slots[source]))

    _arith_index_castui = _arith_index_cast

    def _arith_subi(self, operation: ir.Operation) -> Run:
        left, right = (self._slot(o) for o in operation.operands)
        result = self._slot(operation.result)
        return lambda frame: frame.slots.__setitem__(result, frame.slots[left] - frame.slots[right])

    def _scf_if(self, operation: ir.Operation) -> Run:
        condition = self._slot(operation.operands[0])
        branches = [self._block(r.blocks[0]) if len(r.blocks) else _Block() for r in operation.regions]
        results = [self._slot(r) for r in operation.results]

        def step(frame: _Frame) -> None:
            chosen = branches[0] if frame.slots[condition] else branches[1]
            for slot, value in zip(results, chosen.run(frame, []), strict=True):
                frame.slots[slot] = value

        return step

    def _scf_for(self, operation: ir.Operation) -> Run:
        lower, upper, step_slot, *inits = [self._slot(o) for o in operation.operands]
        body = self._block(operation.regions[0].blocks[0])
        results = [self._slot(r) for r in operation.results]

        def step(frame: _Frame) -> None:
            carried = [frame.slots[i] for i in inits]
            for index in range(frame.slots[lower], frame.slots[upper], frame.slots[step_slot]):
                carried = body.run(frame, [index, *carried])
            for slot, value in zip(results, carried, strict=True):
                frame.slots[slot] = value

        return step

    def _scf_while(self, operation: ir.Operation) -> Run:
        inits = [self._slot(o) for o in operation.operands]
        before, after = (self._block(r.blocks[0]) for r in operation.regions)
        results = [self._slot(r) for r in operation.results]

        def step(frame: _Frame) -> None:
            carried = [frame.slots[i] for i in inits]
            while True:
                condition, *carried = before.run(frame, carried)
                if not condition:
                    break
                carried = after.run(frame, carried)
            for slot, value in zip(results, carried, strict=True):
                frame.slots[slot] = value

        return step


def _dropping(step: Run, slots: Sequence[int]) -> Run:
    def run(frame: _Frame) -> None:
        step(frame)
        for slot in slots:
            frame.slots[slot] = None

    return run


def _host_step(op: Any, attrs: dict[str, Any], operands: list[int], results: list[int]) -> Run:
    def step(frame: _Frame) -> None:
        arrays = [frame.backend.to_numpy(frame.slots[o]) for o in operands]
        found = frame.sites[attrs["site"]].call(arrays)
        for slot, value in zip(results, found, strict=True):
            frame.slots[slot] = frame.backend.asarray(value)

    return step
