"""io_call and print: host code called from compiled functions, loops included, and from the evaluator."""

from __future__ import annotations

import contextlib
import contextvars
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from phalanx.compiler.tensor import Tensor
from phalanx.compiler.trace import state, tree
from phalanx.dialects.errors import ArgumentError
from phalanx.dialects.kinds import emit
from phalanx.dialects.opdef import lookup
from phalanx.runtime.signature import Argument

_Hooks = Mapping[str, Callable[..., Any]]
_hooks: contextvars.ContextVar[_Hooks] = contextvars.ContextVar("phalanx_hooks", default=MappingProxyType({}))


@dataclass(frozen=True)
class CallSite:
    """One place that calls the host: its name, its function, and how its arrays form the argument."""

    name: str
    function: Callable[[Any], Any]
    structure: Any
    inputs: tuple[Argument, ...]
    outputs: tuple[Argument, ...] = ()

    def call(self, arrays: Sequence[np.ndarray[Any, Any]]) -> list[np.ndarray[Any, Any]]:
        """Call the function in force for this name; what it returns is ignored."""
        function: Callable[[Any], Any] = _hooks.get().get(self.name, self.function)
        function(tree.unflatten(self.structure, list(arrays)))
        return []


@contextlib.contextmanager
def hooks(functions: dict[str, Callable[..., Any]] | None = None, /, **named: Callable[..., Any]) -> Iterator[None]:
    """Replace the functions of named `io_call`s for the calls inside the block.

    >>> f = px.jit(lambda x: px.io_call(x, print, name="seen"))
    >>> with px.hooks(seen=lambda value: print("hooked", value)):
    ...     y = f(1.0)
    hooked 1.0
    """
    for name, function in {**(functions or {}), **named}.items():
        if not callable(function):
            raise ArgumentError(f"hooks: {name} is a function, got a {type(function).__name__}")
    token = _hooks.set({**_hooks.get(), **(functions or {}), **named})
    try:
        yield
    finally:
        _hooks.reset(token)


def io_call(x: Any, function: Callable[[Any], Any] | None = None, *, name: str = "") -> Any:
    """Call `function(x)` on the host with NumPy arrays when the program gets here, and give `x` back.

    `x` may be any container. Without a function the call does nothing unless `px.hooks` names it.
    What the function raises is raised by the call of the compiled function.

    >>> seen = []
    >>> px.jit(lambda x: px.io_call(x * 2, lambda v: seen.append(float(v))))(3.0), seen
    (px.Tensor(6., dtype=float32), [6.0])
    """
    if function is None and not name:
        raise ArgumentError("io_call: give a function, a name, or both")
    if function is not None and not callable(function):
        raise ArgumentError(f"io_call: a {type(function).__name__} is not a function",
                            hint="px.io_call(x, function, name=...)")
    leaves, structure = tree.flatten(x, "io_call")
    trace = state.current()
    if trace is None:
        tensors = [Tensor.of(leaf) for leaf in leaves]
        CallSite(name, function or _ignore, structure, ()).call([t.numpy() for t in tensors])
        return x
    tracers = [trace.lift(leaf) for leaf in leaves]
    inputs = tuple(Argument(n, t.dtype, t.shape) for n, t in zip(tree.names(structure, "x"), tracers, strict=True))
    trace.call_sites.append(CallSite(name, function or _ignore, structure, inputs))
    emit(lookup("host_call"), tracers, {"site": len(trace.call_sites) - 1, "label": name})
    return tree.unflatten(structure, tracers)


def _ignore(_: Any) -> None:
    """What a named call site does when nobody hooks it."""


def print_(*values: Any, sep: str = " ", end: str = "\n") -> None:
    """Print texts and tensors when the program gets here: `px.print("loss", loss)`.

    Works in compiled functions and loops, in the order of the source.

    >>> px.jit(lambda x: px.print("x is", x))(1.5)
    x is 1.5
    """
    if not (isinstance(sep, str) and isinstance(end, str)):
        raise ArgumentError(f"print: sep and end are strings, got {sep!r} and {end!r}")
    texts = [v if isinstance(v, str) else None for v in values]
    tensors = [v for v in values if not isinstance(v, str)]

    def show(arrays: list[Any]) -> None:
        rest = iter(arrays)
        parts = [t if t is not None else str(next(rest)) for t in texts]
        sys.stdout.write(sep.join(parts) + end)

    io_call(tensors, show)
