"""cond, while_loop, fori_loop, scan as users call them: scf operations in a trace, Python outside one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from phalanx.compiler.tensor import Tensor
from phalanx.compiler.trace import state, tree
from phalanx.compiler.trace.carry import check_carry, counter_dtype, loop_bound, pair, scan_length
from phalanx.dialects.errors import ArgumentError
from phalanx.dialects.opdef import COMPOSITES, lookup


def _function(value: Any, who: str, name: str) -> Callable[..., Any]:
    if not callable(value):
        raise ArgumentError(f"{who}: {name} is a function, got a {type(value).__name__}",
                            hint=f"wrap it: lambda *operands: {type(value).__name__.lower()}")
    return value


def cond(pred: Any, true_fn: Callable[..., Any], false_fn: Callable[..., Any], *operands: Any) -> Any:
    """`true_fn(*operands)` where `pred` holds, else `false_fn(*operands)`; only one of them runs.

    `pred` has rank 0. Both functions must return the same structure, shapes and dtypes.

    >>> px.cond(px.asarray(True), lambda x: x + 1, lambda x: x - 1, px.asarray(1.0))
    px.Tensor(2., dtype=float32)
    """
    _function(true_fn, "cond", "true_fn"), _function(false_fn, "cond", "false_fn")
    trace = state.current()
    if trace is None:
        return _tensors(true_fn(*operands) if bool(Tensor.of(pred)) else false_fn(*operands))
    if isinstance(pred, (bool, np.bool_)):
        return true_fn(*operands) if pred else false_fn(*operands)
    from phalanx.compiler.trace import control  # MLIR is loaded by now

    return control.cond(trace, pred, true_fn, false_fn, operands)


def while_loop(cond_fun: Callable[[Any], Any], body_fun: Callable[[Any], Any], init_val: Any) -> Any:
    """`body_fun` applied to the carry as long as `cond_fun(carry)` holds.

    The carry is any container and keeps its structure, shapes and dtypes.

    >>> px.while_loop(lambda x: x < 10, lambda x: x * 2, px.asarray(1))
    px.Tensor(16, dtype=int32)
    """
    _function(cond_fun, "while_loop", "cond_fun"), _function(body_fun, "while_loop", "body_fun")
    trace = state.current()
    if trace is not None:
        from phalanx.compiler.trace import control  # MLIR is loaded by now

        return control.while_loop(trace, cond_fun, body_fun, init_val)
    carry = _tensors(init_val)
    while bool(Tensor.of(cond_fun(carry))):
        carry = _kept("while_loop", carry, body_fun(carry))
    return carry


def fori_loop(lower: Any, upper: Any, body_fun: Callable[[Any, Any], Any], init_val: Any) -> Any:
    """`body_fun(i, carry)` for i from `lower` up to but without `upper`.

    >>> px.fori_loop(0, 5, lambda i, total: total + i, px.asarray(0))
    px.Tensor(10, dtype=int32)
    """
    _function(body_fun, "fori_loop", "body_fun")
    trace = state.current()
    if trace is not None:
        from phalanx.compiler.trace import control  # MLIR is loaded by now

        return control.fori_loop(trace, lower, upper, body_fun, init_val)
    carry = _tensors(init_val)
    first, last = (int(Tensor.of(loop_bound(bound, "fori_loop"))) for bound in (lower, upper))
    counter = counter_dtype(lower, upper).numpy
    for i in range(first, last):
        carry = _kept("fori_loop", carry, body_fun(Tensor.of(counter.type(i)), carry))
    return carry


def scan(f: Callable[[Any, Any], tuple[Any, Any]], init: Any, xs: Any = None, length: Any = None, *,
         reverse: bool = False) -> tuple[Any, Any]:
    """`f(carry, x) -> (carry, y)` over the leading axis of `xs`; returns the last carry and the stacked `y`.

    >>> px.scan(lambda total, x: (total + x, total + x), px.asarray(0.0), px.asarray([1.0, 2.0, 3.0]))
    (px.Tensor(6., dtype=float32), px.Tensor([1. 3. 6.], dtype=float32))
    """
    _function(f, "scan", "f")
    trace = state.current()
    if trace is not None:
        from phalanx.compiler.trace import control  # MLIR is loaded by now

        return control.scan(trace, f, init, xs, length, reverse)
    carry, xs = _tensors(init), _tensors(xs)
    leaves, structure = tree.flatten(xs, "scan")
    count = int(scan_length(leaves, length))
    rows: list[list[Any]] = [[]] * count
    out_tree: Any = None
    for i in reversed(range(count)) if reverse else range(count):
        new, out = pair(f(carry, tree.unflatten(structure, [leaf[i] for leaf in leaves])))
        carry = _kept("scan", carry, new)
        rows[i], out_tree = tree.flatten(_tensors(out), "scan")
    if out_tree is None:  # what the function would give is known from a trace of it
        from phalanx.compiler.api import jit

        return jit(lambda init, xs: scan(f, init, xs, length, reverse=reverse))(carry, xs)
    stack = COMPOSITES["stack"].function
    return carry, tree.unflatten(out_tree, [stack(list(column)) for column in zip(*rows, strict=True)])


def _tensors(value: Any) -> Any:
    return tree.map_leaves(Tensor.of, value)


def _kept(who: str, before: Any, after: Any) -> Any:
    """The new carry, of the types of the old one; Python scalars take its dtype."""
    old, structure = tree.flatten(before, who)
    new, found = tree.flatten(after, who)
    values = []
    for a, b in zip(old, new, strict=False):
        weak = isinstance(b, (bool, int, float)) and not isinstance(b, np.generic)
        values.append(lookup("convert")(Tensor.of(b), dtype=a.dtype) if weak else Tensor.of(b))
    avals = [a.aval for a in old]
    check_carry(who, avals, [v.aval for v in values] if structure == found else avals, (structure, found),
                tree.names(structure))
    return tree.unflatten(structure, values)
