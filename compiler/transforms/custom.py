"""Functions with their own gradient rule, in the IR: private functions `@f`, `@f_fwd` and `@f_bwd`.

A call of `@f` carries both rules as symbols; grad replaces it by a call of `@f_fwd` and, on the way back, calls
`@f_bwd`. What stays is inlined before lowering. Tensors the functions capture become arguments.

A rule that calls `f` calls it without a rule: `@f_own`. Further derivatives go through the rules themselves, but not through
such a call, whose derivative would be another than that of `f`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mlir import ir

from phalanx.compiler.trace import tree
from phalanx.compiler.trace.tracer import Tracer
from phalanx.compiler.trace.tracing import Trace
from phalanx.compiler.transforms import replay
from phalanx.dialects.aval import Aval
from phalanx.dialects.errors import ShapeError, TraceError
from phalanx.dialects.opdef import lookup

FORWARD = "_fwd"  # behind the symbol of a function: its forward rule


class _Body:
    """A function body traced into a block of its own, with what it captures from outside."""

    def __init__(self, trace: Trace, avals: Sequence[Aval], build: Callable[[list[Tracer]], list[Tracer]]) -> None:
        self.block = trace.new_block(avals)
        with trace.inside(self.block):
            self.results = build([trace.wrap(v, a) for v, a in zip(self.block.arguments, avals, strict=True)])
            trace.operation("func.return", [], [r.value for r in self.results])
        self.captured = _outside(self.block)


def _outside(block: ir.Block) -> list[ir.Value]:
    holder = block.owner
    return replay.captured(holder.operation if hasattr(holder, "operation") else holder)


def call(trace: Trace, function: Callable[..., Any], forward: Callable[..., Any], backward: Callable[..., Any],
         args: Sequence[Any]) -> Any:
    """Trace the three functions and call the first."""
    leaves, structure = tree.flatten(tuple(args), "custom_vjp")
    operands = [trace.lift(leaf) for leaf in leaves]
    avals = [o.aval for o in operands]
    trees: dict[str, Any] = {}

    def primal(tracers: list[Tracer]) -> list[Tracer]:
        found, trees["value"] = tree.flatten(function(*tree.unflatten(structure, tracers)), "custom_vjp")
        return [trace.lift(f) for f in found]

    def ahead(tracers: list[Tracer]) -> list[Tracer]:
        result = forward(*tree.unflatten(structure, tracers))
        if not isinstance(result, tuple) or len(result) != 2:
            raise TraceError("custom_vjp: forward returns (value, residuals)")
        found, value_tree = tree.flatten(result[0], "custom_vjp")
        kept, trees["residuals"] = tree.flatten(result[1], "custom_vjp")
        if value_tree != trees["value"]:
            raise TraceError(f"custom_vjp: forward returns another structure than the function, got {value_tree}")
        return [trace.lift(f) for f in (*found, *kept)]

    name = _reserve(trace)
    body = _Body(trace, avals, primal)
    trace.open_rules.append(name)
    try:
        return _with_rules(trace, name, body, avals, ahead, backward, trees, args, operands)
    finally:
        trace.open_rules.remove(name)


def _with_rules(trace: Trace, name: str, body: _Body, avals: Sequence[Aval], ahead: Callable[[list[Tracer]], list[Tracer]],
                backward: Callable[..., Any], trees: dict[str, Any], args: Sequence[Any],
                operands: Sequence[Tracer]) -> Any:
    """The call of a traced function, whose rules are traced here."""
    first = _Body(trace, avals, ahead)
    count = len(body.results)
    residuals = [r.aval for r in first.results[count:]]
    outputs = [r.aval for r in body.results]
    if [r.aval for r in first.results[:count]] != outputs:
        raise ShapeError("custom_vjp: forward returns other types than the function")

    def back(tracers: list[Tracer]) -> list[Tracer]:
        kept = tree.unflatten(trees["residuals"], tracers[:len(residuals)])
        cotangent = tree.unflatten(trees["value"], tracers[len(residuals):])
        found = backward(kept, cotangent)
        if not isinstance(found, tuple) or len(found) != len(args):
            raise TraceError(f"custom_vjp: backward returns one cotangent per argument, expected {len(args)}")
        return [c for one, argument in zip(found, args, strict=True) for c in _cotangents(trace, one, argument)]

    last = _Body(trace, [*residuals, *outputs], back)
    # All three take what any of them captures, so that the forward rule can pass it on.
    captured = list(dict.fromkeys([*body.captured, *first.captured, *last.captured]))
    _place(trace, name, body, captured)
    _place(trace, f"{name}{FORWARD}", first, captured, extra=captured)
    _place(trace, f"{name}_bwd", last, captured, captured_after=len(residuals))
    symbol = ir.FlatSymbolRefAttr.get
    made = trace.operation(
        "func.call", [r.value.type for r in body.results], [*[o.value for o in operands], *captured],
        {"callee": symbol(name), "px.fwd": symbol(f"{name}{FORWARD}"), "px.bwd": symbol(f"{name}_bwd")})
    return tree.unflatten(trees["value"], [trace.wrap(v, a) for v, a in zip(made.results, outputs, strict=True)])


def call_own(trace: Trace, function: Callable[..., Any], args: Sequence[Any]) -> Any:
    """Call a function in the rule that is being traced for it: there it has none."""
    leaves, structure = tree.flatten(tuple(args), "custom_vjp")
    operands = [trace.lift(leaf) for leaf in leaves]
    trees: list[Any] = []

    def build(tracers: list[Tracer]) -> list[Tracer]:
        found, made = tree.flatten(function(*tree.unflatten(structure, tracers)), "custom_vjp")
        trees.append(made)
        return [trace.lift(f) for f in found]

    body = _Body(trace, [o.aval for o in operands], build)
    name = _reserve(trace)
    _place(trace, name, body, body.captured)
    made = trace.operation(
        "func.call", [r.value.type for r in body.results], [*[o.value for o in operands], *body.captured],
        {"callee": ir.FlatSymbolRefAttr.get(name), "px.own_of": ir.StringAttr.get(trace.open_rules[-1])})
    results = [trace.wrap(v, r.aval) for v, r in zip(made.results, body.results, strict=True)]
    return tree.unflatten(trees[0], results)


def _reserve(trace: Trace) -> str:
    """A symbol for the next function."""
    name = f"custom{len(trace.functions)}"
    trace.functions[name] = ([], [])
    return name


def _cotangents(trace: Trace, given: Any, argument: Any) -> list[Tracer]:
    """Leaves of one returned cotangent, zeros for None."""
    wanted = [trace.lift(leaf).aval for leaf in tree.flatten(argument, "custom_vjp")[0]]
    if given is None:
        return [lookup("full")(a.shape, 0, dtype=a.dtype) for a in wanted]
    found = [trace.lift(leaf) for leaf in tree.flatten(given, "custom_vjp")[0]]
    if [f.shape for f in found] != [w.shape for w in wanted]:
        raise ShapeError(f"custom_vjp: backward returns {[f.aval for f in found]} for arguments {wanted}")
    return [f if f.dtype is w.dtype else lookup("convert")(f, dtype=w.dtype) for f, w in zip(found, wanted, strict=True)]


def _place(trace: Trace, name: str, body: _Body, captured: Sequence[ir.Value], extra: Sequence[ir.Value] = (),
           captured_after: int | None = None) -> None:
    """Make a private function of a traced body; captured values become arguments (and, for `extra`, results)."""
    old = body.block
    arguments = list(old.arguments)
    split = len(arguments) if captured_after is None else captured_after
    order: list[ir.Value] = [*arguments[:split], *captured, *arguments[split:]]
    kinds = [v.type for v in order]
    location = trace.locations.here()
    *operations, last = replay.operations(old)
    results = [*[o.type for o in last.operands], *[e.type for e in extra]]
    function = ir.Operation.create(
        "func.func", regions=1, loc=location, ip=ir.InsertionPoint(trace.module.body), attributes={
            "sym_name": ir.StringAttr.get(name), "sym_visibility": ir.StringAttr.get("private"),
            "function_type": ir.TypeAttr.get(ir.FunctionType.get(kinds, results))})
    block = function.regions[0].blocks.append(*kinds, arg_locs=[location] * len(kinds))
    mapping: replay.Mapping = dict(zip(order, block.arguments, strict=True))
    for value, argument in mapping.items():
        trace.avals[argument] = trace.avals[value]
    avals = [trace.avals[o] for o in last.operands] + [trace.avals[e] for e in extra]
    with trace.inside(block):
        for operation in operations:
            with trace.at(operation.location):
                replay.clone_operation(trace, operation, mapping)
        with trace.at(last.location):
            trace.operation("func.return", [], [mapping.get(o, o) for o in (*last.operands, *extra)])
    trace.functions[name] = (results, avals)
