"""Control flow on tensors: cond, while_loop, fori_loop, scan, built as upstream scf operations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from mlir import ir

from phalanx.compiler.trace import tree
from phalanx.compiler.trace.carry import check_carry, counter_dtype, pair, scan_length
from phalanx.compiler.trace.tracer import Tracer
from phalanx.compiler.trace.tracing import Trace
from phalanx.dialects import dtypes
from phalanx.dialects.aval import Aval
from phalanx.dialects.dims import Size
from phalanx.dialects.dtypes import DType
from phalanx.dialects.errors import DTypeError, ShapeError, TraceError
from phalanx.dialects.opdef import lookup


def lift_tree(trace: Trace, value: Any, who: str) -> tuple[list[Tracer], tree.TreeSpec]:
    """Leaves of `value` as tracers."""
    leaves, structure = tree.flatten(value, who)
    return [trace.lift(leaf) for leaf in leaves], structure


def predicate(trace: Trace, value: Tracer, who: str) -> ir.Value:
    """The `i1` scalar of a rank-0 bool tensor."""
    if value.ndim:
        raise ShapeError(f"{who}: the condition must have rank 0, got {value.aval}",
                         hint="reduce it first: px.all(...) or px.any(...)")
    if not value.dtype.is_bool:
        value = value != 0
    return trace.operation("tensor.extract", [ir.IntegerType.get_signless(1)], [value.value]).result


def index_of(trace: Trace, value: Any, who: str) -> ir.Value:
    """A loop bound as an index: a constant when it is a Python int, else read from a rank-0 integer tensor."""
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        attribute = ir.IntegerAttr.get(ir.IndexType.get(), int(value))
        return trace.operation("arith.constant", [ir.IndexType.get()], [], {"value": attribute}).result
    tracer = trace.lift(value)
    if tracer.ndim or not tracer.dtype.is_integer:
        raise DTypeError(f"{who}: a loop bound is a rank-0 integer, got {tracer.aval}")
    if tracer.dtype is not dtypes.int64:
        tracer = lookup("convert")(tracer, dtype=dtypes.int64)
    number = trace.operation("tensor.extract", [ir.IntegerType.get_signless(64)], [tracer.value]).result
    return trace.operation("arith.index_cast", [ir.IndexType.get()], [number]).result


def tensor_of_index(trace: Trace, index: ir.Value, dtype: DType) -> Tracer:
    """A loop counter as a rank-0 tensor."""
    i64 = ir.IntegerType.get_signless(64)
    number = trace.operation("arith.index_cast", [i64], [index]).result
    aval = Aval((), dtypes.int64)
    tensor = trace.wrap(trace.operation("tensor.from_elements", [trace.type_of(aval)], [number]).result, aval)
    return tensor if dtype is dtypes.int64 else lookup("convert")(tensor, dtype=dtype)


def coerce_carry(trace: Trace, values: list[Tracer], wanted: Sequence[Aval]) -> list[Tracer]:
    """Weak results (Python scalars) take the dtype of the carry they go to."""
    return [lookup("convert")(v, dtype=a.dtype) if getattr(v, "weak", False) and v.dtype is not a.dtype else v
            for v, a in zip(values, wanted, strict=True)]


def cond(trace: Trace, condition: Any, true_fn: Callable[..., Any], false_fn: Callable[..., Any],
         operands: Sequence[Any]) -> Any:
    """`scf.if`; both branches are traced and must give the same structure, shapes and dtypes."""
    flag = predicate(trace, trace.lift(condition), "cond")
    arguments = [tree.unflatten(structure, leaves)
                 for leaves, structure in (lift_tree(trace, o, "cond") for o in operands)]
    branches: list[tuple[list[Tracer], Any, ir.Block]] = []
    for function in (true_fn, false_fn):
        # The result types are known only after both branches are traced, so each starts in a block of its own.
        block = trace.new_block([])
        with trace.inside(block):
            leaves, structure = lift_tree(trace, function(*arguments), "cond")
            branches.append((leaves, structure, block))
    (yes, yes_tree, _), (no, no_tree, _) = branches
    if yes_tree != no_tree:
        raise TraceError(f"cond: the branches return different structures, got {yes_tree} and {no_tree}")
    yes, no = _meet(trace, branches)
    wrong = [f"result{n}: {a.aval} and {b.aval}"
             for n, a, b in zip(tree.names(yes_tree), yes, no, strict=True) if a.aval != b.aval]
    if wrong:
        dtype_only = all(a.shape == b.shape for a, b in zip(yes, no, strict=True))
        raise (DTypeError if dtype_only else ShapeError)(
            "cond: the branches return different types, got " + "; ".join(wrong),
            hint="convert one of them: x.astype(...), px.broadcast_to(...)")
    made = trace.operation("scf.if", [trace.type_of(t.aval) for t in yes], [flag], regions=2)
    for region, (_, _, block), results in zip(made.regions, branches, (yes, no), strict=True):
        ir.Operation.create("scf.yield", operands=[r.value for r in results], loc=made.location,
                            ip=ir.InsertionPoint(block))
        block.append_to(region)
    return tree.unflatten(yes_tree, [trace.wrap(v, t.aval) for v, t in zip(made.results, yes, strict=True)])


def _meet(trace: Trace, branches: Sequence[tuple[list[Tracer], Any, ir.Block]]) -> list[list[Tracer]]:
    """Results that come from Python scalars take the dtype of the other branch."""
    met: list[list[Tracer]] = []
    for own, other in ((0, 1), (1, 0)):
        leaves, _, block = branches[own]
        with trace.inside(block) as scope:
            for leaf in leaves:
                leaf.scope = scope if not leaf.scope.alive else leaf.scope
            wanted = [t.aval for t in branches[other][0]]
            met.append(coerce_carry(trace, leaves, wanted) if len(wanted) == len(leaves) else leaves)
    return met


def while_loop(trace: Trace, condition: Callable[..., Any], body: Callable[..., Any], init: Any) -> Any:
    """`scf.while` with the condition in the before region and the body in the after region."""
    inits, structure = lift_tree(trace, init, "while_loop")
    avals = [t.aval for t in inits]
    kinds = [trace.type_of(a) for a in avals]
    made = trace.operation("scf.while", kinds, [t.value for t in inits], regions=2)
    place = [made.location] * len(kinds)
    before = made.regions[0].blocks.append(*kinds, arg_locs=place)
    with trace.inside(before):
        carry = tree.unflatten(structure, [trace.wrap(v, a) for v, a in zip(before.arguments, avals, strict=True)])
        result = condition(carry)
        leaves, _ = tree.flatten(result, "while_loop")
        if len(leaves) != 1:
            raise TraceError(f"while_loop: the condition returns one bool, got {len(leaves)} values")
        flag = predicate(trace, trace.lift(leaves[0]), "while_loop")
        trace.operation("scf.condition", [], [flag, *before.arguments])
    after = made.regions[1].blocks.append(*kinds, arg_locs=place)
    with trace.inside(after):
        carry = tree.unflatten(structure, [trace.wrap(v, a) for v, a in zip(after.arguments, avals, strict=True)])
        leaves = _checked(trace, "while_loop", body(carry), avals, structure)
        trace.operation("scf.yield", [], [t.value for t in leaves])
    return tree.unflatten(structure, [trace.wrap(v, a) for v, a in zip(made.results, avals, strict=True)])


def counted_loop(trace: Trace, lower: Any, upper: Any, inits: Sequence[Tracer],
                 body: Callable[[ir.Value, list[Tracer]], Sequence[Tracer]], who: str) -> list[Tracer]:
    """An `scf.for` over [lower, upper) with flat carries; `body` gets the index value."""
    avals = [t.aval for t in inits]
    kinds = [trace.type_of(a) for a in avals]
    low, high, step = index_of(trace, lower, who), index_of(trace, upper, who), index_of(trace, 1, who)
    made = trace.operation("scf.for", kinds, [low, high, step, *[t.value for t in inits]], regions=1)
    index_type = ir.IndexType.get()
    block = made.regions[0].blocks.append(index_type, *kinds, arg_locs=[made.location] * (len(kinds) + 1))
    with trace.inside(block):
        carried = [trace.wrap(v, a) for v, a in zip(list(block.arguments)[1:], avals, strict=True)]
        trace.operation("scf.yield", [], [t.value for t in body(block.arguments[0], carried)])
    return [trace.wrap(v, a) for v, a in zip(made.results, avals, strict=True)]


def fori_loop(trace: Trace, lower: Any, upper: Any, body: Callable[..., Any], init: Any) -> Any:
    """`scf.for` from `lower` to `upper` by one; the counter has the dtype `counter_dtype` says."""
    inits, structure = lift_tree(trace, init, "fori_loop")
    avals = [t.aval for t in inits]
    counter = counter_dtype(lower, upper)

    def step(index: ir.Value, carried: list[Tracer]) -> Sequence[Tracer]:
        result = body(tensor_of_index(trace, index, counter), tree.unflatten(structure, carried))
        return _checked(trace, "fori_loop", result, avals, structure)

    return tree.unflatten(structure, counted_loop(trace, lower, upper, inits, step, "fori_loop"))


def _checked(trace: Trace, who: str, result: Any, avals: Sequence[Aval], structure: Any) -> list[Tracer]:
    leaves, found = lift_tree(trace, result, who)
    if found == structure:
        leaves = coerce_carry(trace, leaves, avals)
        check_carry(who, avals, [t.aval for t in leaves], (structure, found), tree.names(structure))
    else:
        check_carry(who, avals, avals, (structure, found), tree.names(structure))
    return leaves


def scan(trace: Trace, function: Callable[..., Any], init: Any, xs: Any, length: Size | None, reverse: bool) -> Any:
    """`scf.for` whose carry also holds the stacked outputs, each written at its place."""
    inits, structure = lift_tree(trace, init, "scan")
    sources, xs_tree = lift_tree(trace, xs, "scan")
    count = scan_length(sources, length)
    avals = [t.aval for t in inits]
    rows = [t.aval.with_shape(t.shape[1:]) for t in sources]
    # The body is traced once, into a block of its own, since the stacked outputs' types come out of it.
    body = trace.new_block([*avals, *rows])
    with trace.inside(body):
        values = [trace.wrap(v, a) for v, a in zip(body.arguments, [*avals, *rows], strict=True)]
        carry, out = pair(function(tree.unflatten(structure, values[:len(inits)]),
                                    tree.unflatten(xs_tree, values[len(inits):])))
        new_carry = _checked(trace, "scan", carry, avals, structure)
        parts, out_tree = lift_tree(trace, out, "scan")
    stacked = [lookup("full")((count, *p.shape), 0, dtype=p.dtype) for p in parts]
    if isinstance(count, int) and count == 0:  # no row to read, not even in a body that never runs
        return tree.unflatten(structure, inits), tree.unflatten(out_tree, stacked)
    upper = count if isinstance(count, int) else lookup("dim_size")(size=count)

    def step(index: ir.Value, carried: list[Tracer]) -> Sequence[Tracer]:
        position = tensor_of_index(trace, index, dtypes.int64)
        if reverse:
            last = (trace.constant(count - 1, dtypes.int64) if isinstance(count, int)
                    else lookup("convert")(upper, dtype=dtypes.int64) - 1)
            position = last - position
        row = [element(x, position) for x in sources]
        found = trace.splice(body, [*carried[:len(inits)], *row], [*new_carry, *parts])
        written = [put(whole, part, position)
                   for whole, part in zip(carried[len(inits):], found[len(inits):], strict=True)]
        return [*found[:len(inits)], *written]

    found = counted_loop(trace, 0, upper, [*inits, *stacked], step, "scan")
    return (tree.unflatten(structure, found[:len(inits)]), tree.unflatten(out_tree, found[len(inits):]))


def element(x: Tracer, position: Tracer) -> Tracer:
    """`x[position]` along the first axis."""
    starts = [position, *[0] * (x.ndim - 1)]
    row = lookup("dynamic_slice")(x, starts, (1, *x.shape[1:]))
    return lookup("reshape")(row, x.shape[1:])


def put(whole: Tracer, part: Tracer, position: Tracer) -> Tracer:
    """`whole` with `part` at `position` of its first axis."""
    row = lookup("reshape")(part, (1, *part.shape))
    return lookup("dynamic_update_slice")(whole, row, [position, *[0] * part.ndim])
