"""grad, value_and_grad, vjp, vmap, custom_vjp: the transformations as users call them.

Inside a traced function they build into its trace; outside they are a `defn` of their own.
"""

from __future__ import annotations

import contextvars
import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

from phalanx.compiler.api import Defn
from phalanx.compiler.trace import state, tree
from phalanx.dialects.aval import items, normalize_axis
from phalanx.dialects.errors import ArgumentError, DTypeError, ShapeError, TraceError
from phalanx.dialects.opdef import lookup


def _unwrapped(function: Callable[..., Any]) -> Callable[..., Any]:
    if not callable(function):
        raise TraceError(f"a {type(function).__name__} is not a function", hint="px.grad(f)(x), not px.grad(f(x))")
    return function


def _traced_or_defn(function: Callable[..., Any], build: Callable[..., Any]) -> Callable[..., Any]:
    """`build` in the trace in progress, else compiled as a function of its own."""
    compiled = Defn(build, name=getattr(function, "__name__", "function"))

    @functools.wraps(function, updated=())
    def transformed(*args: Any, **kwargs: Any) -> Any:
        return build(*args, **kwargs) if state.current() is not None else compiled(*args, **kwargs)

    return transformed


def _positions(argnums: int | Sequence[int], count: int, who: str) -> tuple[int, ...]:
    found = tuple(items(argnums))
    if not all(isinstance(position, int) for position in found):
        raise ArgumentError(f"{who}: argnums are positions of arguments, got {argnums!r}")
    for position in found:
        if not -count <= position < count:
            raise ArgumentError(f"{who}: argnums {position} is out of range, the call has {count} positional arguments")
    return tuple(p % count for p in found)


def value_and_grad(function: Callable[..., Any], argnums: int | Sequence[int] = 0, *, has_aux: bool = False,
                   ) -> Callable[..., Any]:
    """The function that returns `(value, gradient)`; the gradient has the structure of the argument.

    `argnums` chooses the positional argument(s); with `has_aux` the function returns `(value, aux)` and so does
    the result: `((value, aux), gradient)`.

    >>> px.value_and_grad(lambda x: px.sum(x * x))(px.asarray([1.0, 2.0]))
    (px.Tensor(5., dtype=float32), px.Tensor([2. 4.], dtype=float32))

    Raises ShapeError when the value is not a scalar, DTypeError when an argument is not floating point.
    """
    who = "grad"
    _unwrapped(function)

    def build(*args: Any, **kwargs: Any) -> Any:
        from phalanx.compiler.transforms.grad import differentiate  # MLIR is loaded by now

        trace = _trace()
        positions = _positions(argnums, len(args), who)
        chosen = [args[p] for p in positions]
        leaves, structure = tree.flatten(chosen, who)
        primals = [trace.lift(leaf) for leaf in leaves]
        for primal, name in zip(primals, tree.names(structure, "argument"), strict=True):
            if not primal.dtype.is_inexact:
                raise DTypeError(f"{who}: {name} is {primal.aval}, gradients are with respect to floats",
                                 hint="convert it first: x.astype(px.float32)")
        outer: dict[str, Any] = {}

        def flat(tracers: list[Any]) -> list[Any]:
            replaced = list(args)
            for position, value in zip(positions, tree.unflatten(structure, tracers), strict=True):
                replaced[position] = value
            result = function(*replaced, **kwargs)
            if has_aux and not (isinstance(result, tuple) and len(result) == 2):
                raise TraceError(f"{who}: with has_aux the function returns a pair (value, aux), got "
                                 f"{f'{len(result)} values' if isinstance(result, tuple) else type(result).__name__}")
            value, aux = result if has_aux else (result, None)
            value_leaves, outer["value_tree"] = tree.flatten(value, who)
            aux_leaves, outer["aux_tree"] = tree.flatten(aux, who)
            if len(value_leaves) != 1:
                raise TraceError(f"{who}: the function returns one scalar, got {len(value_leaves)} values",
                                 hint="return (loss, aux) with has_aux=True")
            lifted = trace.lift(value_leaves[0])
            if lifted.ndim:
                raise ShapeError(f"{who}: the function returns a scalar, got {lifted.aval}",
                                 hint="reduce it: px.sum(...) or px.mean(...); px.vjp takes any shape")
            if not lifted.dtype.is_inexact:
                raise DTypeError(f"{who}: the function returns a float, got {lifted.aval}")
            return [lifted, *[trace.lift(leaf) for leaf in aux_leaves]]

        results, pullback = differentiate(trace, flat, primals)
        one = trace.constant(1, results[0].dtype)
        gradients = tree.unflatten(structure, pullback([one, *[None] * (len(results) - 1)]))
        gradient = gradients[0] if isinstance(argnums, int) else tuple(gradients)
        value = tree.unflatten(outer["value_tree"], results[:1])
        if has_aux:
            return (value, tree.unflatten(outer["aux_tree"], results[1:])), gradient
        return value, gradient

    return _traced_or_defn(function, build)


def grad(function: Callable[..., Any], argnums: int | Sequence[int] = 0, *, has_aux: bool = False,
         ) -> Callable[..., Any]:
    """The gradient function of a scalar function; see `value_and_grad` for the arguments.

    >>> px.grad(lambda x: x ** 3)(2.0)
    px.Tensor(12., dtype=float32)
    """
    both = value_and_grad(function, argnums, has_aux=has_aux)

    @functools.wraps(function, updated=())
    def gradient(*args: Any, **kwargs: Any) -> Any:
        value, found = both(*args, **kwargs)
        return (found, value[1]) if has_aux else found

    return gradient


def vjp(function: Callable[..., Any], *primals: Any) -> tuple[Any, Callable[[Any], tuple[Any, ...]]]:
    """The value of `function` at `primals`, and the pullback from a cotangent of it to those of the primals.

    >>> value, pullback = px.vjp(lambda x: x * x, px.asarray([1.0, 2.0]))
    >>> pullback(px.asarray([1.0, 10.0]))
    (px.Tensor([ 2. 40.], dtype=float32),)
    """
    _unwrapped(function)
    if state.current() is not None:
        return _vjp_in_trace(function, primals)
    value = Defn(function)(*primals)

    def pull(cotangent: Any, *at: Any) -> Any:
        return _vjp_in_trace(function, at)[1](cotangent)

    compiled = Defn(pull, name=getattr(function, "__name__", "function"))
    return value, lambda cotangent: compiled(cotangent, *primals)


def _vjp_in_trace(function: Callable[..., Any], primals: Sequence[Any]) -> tuple[Any, Callable[[Any], tuple[Any, ...]]]:
    from phalanx.compiler.transforms.grad import differentiate  # MLIR is loaded by now

    trace = _trace()
    leaves, structure = tree.flatten(tuple(primals), "vjp")
    lifted = [trace.lift(leaf) for leaf in leaves]
    outer: dict[str, Any] = {}

    def flat(tracers: list[Any]) -> list[Any]:
        found, outer["tree"] = tree.flatten(function(*tree.unflatten(structure, tracers)), "vjp")
        return [trace.lift(f) for f in found]

    results, pullback = differentiate(trace, flat, lifted)

    def pull(cotangent: Any) -> tuple[Any, ...]:
        given, given_tree = tree.flatten(cotangent, "vjp")
        if given_tree != outer["tree"]:
            raise TraceError(f"vjp: the cotangent has another structure than the value, got {given_tree}, "
                             f"expected {outer['tree']}")
        cotangents = []
        for one, result in zip(given, results, strict=True):
            tracer = trace.lift(one, result.dtype)
            if tracer.shape != result.shape:
                raise ShapeError(f"vjp: a cotangent has the shape of its value, got {tracer.aval} for {result.aval}")
            cotangents.append(tracer if tracer.dtype is result.dtype else lookup("convert")(tracer, dtype=result.dtype))
        unflattened: tuple[Any, ...] = tree.unflatten(structure, pullback(cotangents))
        return unflattened

    return tree.unflatten(outer["tree"], results), pull


def vmap(function: Callable[..., Any], in_axes: Any = 0, out_axes: Any = 0) -> Callable[..., Any]:
    """Map a function over an axis of its arguments, as one program on whole batches.

    `in_axes` is an axis, None for an argument every entry shares, or one such per positional argument (a
    container of them for a container argument). `out_axes` says where the batch axis goes in the results.

    >>> px.vmap(lambda a, b: px.sum(a * b))(np.eye(2, dtype=np.float32), np.ones((2, 2), np.float32))
    px.Tensor([1. 1.], dtype=float32)

    Raises ShapeError when batch sizes differ or an axis does not exist.
    """
    _unwrapped(function)

    def build(*args: Any, **kwargs: Any) -> Any:
        from phalanx.compiler.transforms.vmap import vectorize  # MLIR is loaded by now

        trace = _trace()
        leaves, structure = tree.flatten((args, kwargs), "vmap")
        axes = _leaf_axes(in_axes, args, kwargs)
        names = tree.names(structure)
        tracers = [trace.lift(leaf) for leaf in leaves]
        size: Any = None
        moved = []
        for tracer, axis, name in zip(tracers, axes, names, strict=True):
            if axis is None:
                moved.append(tracer)
                continue
            position = normalize_axis(axis, tracer.ndim, f"vmap: argument {name}") if tracer.ndim else None
            if position is None:
                raise ShapeError(f"vmap: argument {name} has rank 0, it has no axis to map over",
                                 hint="in_axes=None for an argument every entry shares")
            if size is None:
                size = tracer.shape[position]
            elif size != tracer.shape[position]:
                raise ShapeError(f"vmap: batch sizes differ, got {size} and {tracer.shape[position]} (argument {name})")
            moved.append(_move(tracer, position, 0))
        if size is None:
            raise ArgumentError("vmap: no argument is mapped, every in_axes is None")
        outer: dict[str, Any] = {}

        def flat(entries: list[Any]) -> list[Any]:
            inner_args, inner_kwargs = tree.unflatten(structure, entries)
            found, outer["tree"] = tree.flatten(function(*inner_args, **inner_kwargs), "vmap")
            return [trace.lift(f) for f in found]

        results, flags = vectorize(trace, flat, moved, [a is not None for a in axes], size)
        out = _out_axes(out_axes, outer["tree"], len(results))
        placed = []
        for result, flag, axis in zip(results, flags, out, strict=True):
            if axis is None:
                if flag:
                    raise ShapeError("vmap: out_axes is None for a result that differs between entries")
                placed.append(result)
                continue
            whole = result if flag else lookup("broadcast")(result, (size, *result.shape))
            placed.append(_move(whole, 0, normalize_axis(axis, whole.ndim, "vmap: out_axes")))
        return tree.unflatten(outer["tree"], placed)

    return _traced_or_defn(function, build)


def _move(tracer: Any, source: int, target: int) -> Any:
    if source == target:
        return tracer
    order = [i for i in range(tracer.ndim) if i != source]
    order.insert(target, source)
    return lookup("transpose")(tracer, tuple(order))


def _leaf_axes(in_axes: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[int | None]:
    """One axis per leaf; keyword arguments are mapped over axis 0."""
    if isinstance(in_axes, (int, type(None))):
        per_argument: Sequence[Any] = [in_axes] * len(args)
    elif not isinstance(in_axes, (tuple, list)):
        raise ArgumentError(f"vmap: in_axes is an axis, None, or one of them per argument, got {in_axes!r}")
    else:
        per_argument = list(in_axes)
        if len(per_argument) != len(args):
            raise ArgumentError(f"vmap: in_axes has {len(per_argument)} entries for {len(args)} positional arguments")
    found: list[int | None] = []
    for axes, argument in zip(per_argument, args, strict=True):
        found += _spread(axes, argument, "in_axes")
    found += [0] * len(tree.flatten(kwargs, "vmap")[0])
    return found


def _spread(axes: Any, value: Any, who: str) -> list[int | None]:
    """`axes`, one for all leaves or a container like `value` with None leaves meaning shared."""
    count = len(tree.flatten(value, "vmap")[0])
    if isinstance(axes, (int, type(None))):
        return [axes] * count
    if isinstance(axes, dict) and isinstance(value, dict) and axes.keys() == value.keys():
        return [a for k in sorted(value) for a in _spread(axes[k], value[k], who)]
    if isinstance(axes, (list, tuple)) and isinstance(value, (list, tuple)) and len(axes) == len(value):
        return [a for one, v in zip(axes, value, strict=True) for a in _spread(one, v, who)]
    raise ArgumentError(f"vmap: {who} does not have the structure of its argument, got {axes!r}")


def _out_axes(out_axes: Any, structure: Any, count: int) -> list[int | None]:
    if isinstance(out_axes, (int, type(None))):
        return [out_axes] * count
    return _spread(out_axes, tree.unflatten(structure, [0] * count), "out_axes")


class custom_vjp:
    """A function with a gradient rule of its own, given by `defvjp(forward, backward)`.

    `forward(*args)` returns `(value, residuals)`; `backward(residuals, cotangent)` returns one cotangent per
    positional argument (None: zero). Both may call the function, which there has no rule. Higher derivatives are
    those of the two.

    >>> @px.custom_vjp
    ... def clip_gradient(x):
    ...     return x
    >>> clip_gradient.defvjp(lambda x: (x, None), lambda _, ct: (px.clip(ct, -1.0, 1.0),))
    >>> px.grad(lambda x: clip_gradient(x) * 10)(2.0)
    px.Tensor(1., dtype=float32)
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = _unwrapped(function)
        functools.update_wrapper(self, function, updated=())
        self.forward: Callable[..., Any] | None = None
        self.backward: Callable[..., Any] | None = None

    def defvjp(self, forward: Callable[..., Any], backward: Callable[..., Any]) -> None:
        """Give the rule."""
        self.forward, self.backward = forward, backward

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.forward is None or self.backward is None:
            raise TraceError(f"custom_vjp: {self.__name__} has no rule",  # type: ignore[attr-defined]
                             hint="call .defvjp(forward, backward)")
        if kwargs:
            args = inspect.signature(self.function).bind(*args, **kwargs).args
        if state.current() is None:
            return self.function(*args)
        from phalanx.compiler.transforms.custom import call, call_own  # MLIR is loaded by now

        if self in _rules.get():
            return call_own(_trace(), self.function, args)
        return call(_trace(), self.function, self._rule(self.forward), self._rule(self.backward), args)

    def _rule(self, rule: Callable[..., Any]) -> Callable[..., Any]:
        """`rule`, in which the function is itself without a rule."""

        def run(*args: Any) -> Any:
            token = _rules.set((*_rules.get(), self))
            try:
                return rule(*args)
            finally:
                _rules.reset(token)

        return run


#: The functions whose rules are being traced.
_rules: contextvars.ContextVar[tuple[custom_vjp, ...]] = contextvars.ContextVar("phalanx_rules", default=())


def _trace() -> Any:
    trace = state.current()
    assert trace is not None
    return trace


