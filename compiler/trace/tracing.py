"""Trace: runs a Python function once on Tracers and records px ops into an MLIR module."""

from __future__ import annotations

import contextlib
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from mlir import ir

from phalanx.compiler import config
from phalanx.compiler.tensor import Tensor
from phalanx.compiler.trace.locations import LocationCache, user_location_text, user_position
from phalanx.compiler.trace.tracer import Tracer
from phalanx.dialects import dtypes
from phalanx.dialects.attributes import encode
from phalanx.dialects.aval import Aval, numpy_of
from phalanx.dialects.dims import Dim
from phalanx.dialects.dtypes import DType
from phalanx.dialects.errors import TraceError
from phalanx.dialects.opdef import Op, infer, operand_segments
from phalanx.dialects.types import tensor_type

# NumPy arrays up to this many elements become constants of the IR; larger ones are hidden arguments.
SMALL_CONSTANT = 16

# How many ops share one look at the user's line in the search for unrolled loops.
UNROLL_SAMPLE = 16

# A line that made this many ops is in a loop.
REPEATED = 64


class Scope:
    """A block being filled. Tracers made in it are usable in it and in scopes inside it, while it is open."""

    __slots__ = ("alive", "block", "insertion", "parent")

    def __init__(self, block: ir.Block, parent: Scope | None) -> None:
        self.block = block
        self.parent = parent
        self.alive = True
        self.insertion = ir.InsertionPoint(block)

    def sees(self, other: Scope) -> bool:
        scope: Scope | None = self
        while scope is not None:
            if scope is other:
                return True
            scope = scope.parent
        return False


class Trace:
    """One function being traced. Ops go to the end of the innermost open scope."""

    def __init__(self, context: ir.Context, name: str = "main") -> None:
        self.context = context
        self.locations = LocationCache(ir, context)
        self.module = ir.Module.create(loc=self.locations.here())
        self.name = name
        self.function: ir.Operation | None = None
        self.root: Scope | None = None
        self.scope: Scope
        self.hidden: list[Tensor] = []
        self._hidden_tracers: dict[int, Tracer] = {}
        self._types: dict[tuple[Any, ...], ir.Type] = {}
        self.call_sites: list[Any] = []
        self.op_count = 0
        self._unroll_limit: int = config.get("unroll_warning")
        self._lines: Counter[tuple[str, int]] = Counter()
        self._warned = False
        self._holders: list[ir.Operation] = []
        self._retired: list[ir.Operation] = []
        #: aval of every tensor value made here, for transformations that walk the IR
        self.avals: dict[ir.Value, Aval] = {}
        #: results of operations that gave way to others; tracers that hold one follow it when used
        self.replaced: dict[ir.Value, ir.Value] = {}
        #: result types and avals of the private functions of custom rules, by symbol
        self.functions: dict[str, tuple[list[ir.Type], list[Aval]]] = {}
        #: custom rules that are being traced, by the same symbols
        self.open_rules: list[str] = []

    # Types, locations.
    def type_of(self, aval: Aval) -> ir.Type:
        key = (aval.dtype.name, *(s if isinstance(s, int) else None for s in aval.shape))
        known = self._types.get(key)
        if known is None:
            known = self._types[key] = tensor_type(aval.shape, aval.dtype)
        return known

    @contextlib.contextmanager
    def at(self, location: ir.Location) -> Iterator[None]:
        """Pin the location of the ops built inside, for rules that derive ops from others."""
        before, self.locations.override = self.locations.override, location
        try:
            yield
        finally:
            self.locations.override = before

    # Scopes.
    def open_function(self, avals: Sequence[Aval]) -> list[Tracer]:
        """Make `func.func @name` with one argument per aval and open its body."""
        location = self.locations.here()
        kinds = [self.type_of(a) for a in avals]
        function_type = ir.FunctionType.get(kinds, [], context=self.context)
        self.function = ir.Operation.create(
            "func.func", regions=1, loc=location, ip=ir.InsertionPoint(self.module.body),
            attributes={"sym_name": ir.StringAttr.get(self.name), "function_type": ir.TypeAttr.get(function_type)})
        block = self.function.regions[0].blocks.append(*kinds, arg_locs=[location] * len(kinds))
        self.root = self.scope = Scope(block, None)
        return [self.wrap(v, a) for v, a in zip(block.arguments, avals, strict=True)]

    @contextlib.contextmanager
    def inside(self, block: ir.Block) -> Iterator[Scope]:
        """Build into `block` until the end of the `with`; its tracers die with it."""
        outer = self.scope
        self.scope = Scope(block, outer)
        try:
            yield self.scope
        finally:
            self.scope.alive = False
            self.scope = outer

    def wrap(self, value: ir.Value, aval: Aval) -> Tracer:
        """A tracer of this scope for an SSA value."""
        self.avals[value] = aval
        return Tracer(self, self.scope, value, aval)

    def tracer_of(self, value: ir.Value) -> Tracer:
        """A tracer of this scope for a tensor value met in the IR."""
        return Tracer(self, self.scope, value, self.avals[value])

    def new_block(self, avals: Sequence[Aval]) -> ir.Block:
        """A block outside the function, to be filled with `inside` and placed with `splice`.

        Its operation is kept until the trace ends, or the block would go with it.
        """
        holder = ir.Operation.create("scf.execute_region", regions=1, loc=self.locations.here())
        self._holders.append(holder)
        kinds = [self.type_of(a) for a in avals]
        return holder.regions[0].blocks.append(*kinds, arg_locs=[holder.location] * len(kinds))

    def splice(self, block: ir.Block, arguments: Sequence[Tracer], results: Sequence[Tracer]) -> list[Tracer]:
        """Move the operations of `block` to the current scope, its arguments replaced; `results` for use here."""
        replaced = dict(zip(block.arguments, arguments, strict=True))
        found = [replaced[r.value] if r.value in replaced else self.wrap(r.value, r.aval) for r in results]
        for old, new in replaced.items():
            old.replace_all_uses_with(new.value)
        for moved in list(block.operations):
            moved.operation.detach_from_parent()
            self.scope.insertion.insert(moved.operation)
        return found

    def retire(self, operation: ir.Operation, results: Sequence[ir.Value]) -> None:
        """Let `results` stand for those of `operation`, which leaves the program but lives until the trace ends."""
        for old, new in zip(operation.results, results, strict=False):
            self.avals[new] = self.avals[old]
            old.replace_all_uses_with(new)
            self.replaced[old] = new
        operation.detach_from_parent()
        self._retired.append(operation)

    # Ops.
    def operation(self, name: str, results: Sequence[ir.Type], operands: Sequence[ir.Value],
                  attributes: dict[str, ir.Attribute] | None = None, regions: int = 0) -> ir.Operation:
        """Any operation at the end of the current scope, at the user's line."""
        return ir.Operation.create(name, results=list(results), operands=list(operands), attributes=attributes,
                                   regions=regions, loc=self.locations.here(), ip=self.scope.insertion)

    def emit(self, op: type[Op], operands: Sequence[Tracer], attrs: dict[str, Any]) -> Any:
        """One px op; returns a Tracer, or a tuple for ops with several results."""
        avals = infer(op, [o.aval for o in operands], attrs)
        attributes = {k: encode(v) for k, v in attrs.items()}
        segments = operand_segments(op, len(operands))
        if segments is not None:
            attributes["operandSegmentSizes"] = ir.DenseI32ArrayAttr.get(segments)
        made = ir.Operation.create(
            f"px.{op.name}", results=[self.type_of(a) for a in avals], operands=[o.value for o in operands],
            attributes=attributes or None, loc=self.locations.here(),
            ip=self.scope.insertion)
        self._count()
        found = tuple(self.wrap(v, a) for v, a in zip(made.results, avals, strict=True))
        return found[0] if op.results == 1 else found

    def _count(self) -> None:
        self.op_count += 1
        limit = self._unroll_limit
        # Looking up the line costs more than the op: sample it, one op in 16.
        if not limit or self.op_count % UNROLL_SAMPLE or self.locations.override is not None:
            return
        position = user_position()
        if position is None:
            return
        name, file, (line, *_rest) = position
        self._lines[file, line] += UNROLL_SAMPLE
        if self.op_count >= limit and self._lines[file, line] >= REPEATED and not self._warned:
            self._warned = True
            warnings.warn(
                f"{file}:{line}: {self.op_count} ops so far, and this line of {name} has made "
                f"{self._lines[file, line]} of them: a Python loop is being unrolled. "
                "Use px.fori_loop(lo, hi, body, init), px.scan(f, init, xs) or px.while_loop(cond, body, init).",
                category=UnrollWarning, stacklevel=2)

    # Values.
    def constant(self, value: Any, dtype: DType) -> Tracer:
        """A `px.constant` of a scalar or small array."""
        from_numpy = np.asarray(value).astype(dtype.numpy)
        aval = Aval(from_numpy.shape, dtype)
        made = ir.Operation.create("px.constant", results=[self.type_of(aval)], operands=[],
                                   attributes={"value": encode(from_numpy)}, loc=self.locations.here(),
                                   ip=self.scope.insertion)
        return self.wrap(made.result, aval)

    def lift(self, value: Any, dtype: DType | None = None) -> Tracer:
        """Anything array-like as a Tracer of this trace: constants inline, tensors as hidden arguments."""
        if isinstance(value, Tracer):
            self.check(value)
            return value
        if isinstance(value, Tensor):
            return self._capture(value)
        if isinstance(value, (bool, int, float)) and not isinstance(value, np.generic):
            return self.constant(value, dtype or dtypes.scalar_dtype(value))
        array = numpy_of(value)
        own = dtypes.dtype_of(array.dtype)
        if array.size <= SMALL_CONSTANT:
            return self.constant(array, own)
        return self._capture(Tensor.from_numpy(array))

    def _capture(self, tensor: Tensor) -> Tracer:
        known = self._hidden_tracers.get(id(tensor))
        if known is None:
            assert self.root is not None
            value = self.root.block.add_argument(self.type_of(tensor.aval), self.locations.here())
            self.avals[value] = tensor.aval
            known = Tracer(self, self.root, value, tensor.aval)
            self._hidden_tracers[id(tensor)] = known
            self.hidden.append(tensor)
        return known

    def resolve(self, value: ir.Value) -> ir.Value:
        """The value that stands for `value` now."""
        while self.replaced and value in self.replaced:
            value = self.replaced[value]
        return value

    def check(self, tracer: Tracer) -> None:
        """Raise TraceError when a tracer outlived the function (or loop body) that made it."""
        if tracer.trace is self and tracer.scope.alive and self.scope.sees(tracer.scope):
            tracer.value = self.resolve(tracer.value)
            return
        where = "of another traced call" if tracer.trace is not self else "of a loop or branch that is over"
        raise TraceError(
            f"leaked tracer: {tracer!r} {where} is used here",
            hint="return values from the function (or carry them through the loop) instead of storing them outside",
            location=user_location_text())

    # Finishing.
    def close_function(self, results: Sequence[Tracer]) -> None:
        """Return `results` and fix the function's type."""
        assert self.function is not None and self.root is not None
        for tracer in results:
            self.check(tracer)
        self.operation("func.return", [], [r.value for r in results])
        block = self.root.block
        kind = ir.FunctionType.get([a.type for a in block.arguments], [r.value.type for r in results],
                                   context=self.context)
        self.function.attributes["function_type"] = ir.TypeAttr.get(kind)
        self.root.alive = False

    def discard(self) -> None:
        """Destroy what was built on the side. MLIR aborts on an operation destroyed before its users, so users
        go first: retired operations, then what is in the blocks, youngest first, then the blocks.
        """
        for operation in reversed(self._retired):
            _erase_contents(operation)
            operation.erase()
        for holder in reversed(self._holders):
            _erase_contents(holder)
        for holder in reversed(self._holders):
            holder.erase()
        self._retired.clear()
        self._holders.clear()
        self.replaced.clear()
        self.avals.clear()

    def annotate_arguments(self, names: Sequence[str], avals: Sequence[Aval]) -> None:
        """Write argument names, and the named sizes of dynamic ones, as argument attributes."""
        assert self.function is not None
        rows = []
        for name, aval in zip(names, avals, strict=True):
            row: dict[str, ir.Attribute] = {"px.name": ir.StringAttr.get(name)}
            if not aval.is_static:
                row["px.shape"] = encode(aval.shape)
            rows.append(ir.DictAttr.get(row, context=self.context))
        self.function.attributes["arg_attrs"] = ir.ArrayAttr.get(rows)
        named = sorted({n for a in avals for s in a.shape if isinstance(s, Dim) for n in s.names()})
        if named:
            self.function.attributes["px.dims"] = ir.ArrayAttr.get([ir.StringAttr.get(n) for n in named])


def _erase_contents(operation: ir.Operation) -> None:
    for region in operation.regions:
        for block in region.blocks:
            for inner in reversed(list(block.operations)):
                inner.operation.erase()


class UnrollWarning(UserWarning):
    """A Python loop inside a traced function has been unrolled into very many ops."""
