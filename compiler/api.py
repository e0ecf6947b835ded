"""defn, jit, compile, spec: where users' functions enter."""

from __future__ import annotations

import functools
import inspect
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from phalanx.compiler import config, execution
from phalanx.compiler.boundary import for_user
from phalanx.compiler.mlir_loading import load_mlir, open_ahead
from phalanx.compiler.pipeline import diagnostics
from phalanx.compiler.static_arguments import Static
from phalanx.compiler.tensor import Tensor
from phalanx.compiler.trace import state, tree
from phalanx.compiler.trace.tracer import Tracer
from phalanx.compiler.warm import Warm, Ways
from phalanx.dialects.aval import Aval, aval_of, items, parse_spec
from phalanx.dialects.errors import ArgumentError, PhalanxError, TraceError

diagnostics.install()  # every error shows the user's line from here on

Spec = Aval


def spec(text: str | Aval) -> Aval:
    """What an argument looks like: dtype and shape, sizes by number or by name.

    >>> px.spec("f32[8,64]")
    f32[8,64]

    Raises ShapeError or DTypeError when the text is not a spec.
    """
    if not isinstance(text, (str, Aval)):
        raise ArgumentError(f"spec: a spec is a text, got {text!r}", hint='write it like px.spec("f32[8,64]")')
    return text if isinstance(text, Aval) else parse_spec(text)


class Signature:
    """How one call looks: the flattened arguments, what is static, and the names of everything."""

    __slots__ = ("avals", "key", "leaves", "names", "static", "structure", "weak")

    def __init__(self, leaves: list[Any], structure: Any, names: list[str], static: tuple[tuple[str, Static], ...],
                 avals: list[Aval], weak: tuple[bool, ...]) -> None:
        self.leaves = leaves
        self.structure = structure
        self.names = names
        self.static = static
        self.avals = avals
        self.weak = weak
        self.key = (structure, static, tuple(avals), weak)


class Defn:
    """A numerical function: traced once per signature, then run by the chosen compiler on the chosen backend."""

    def __init__(self, function: Callable[..., Any], *, static: Sequence[str] = (), donate: Sequence[str] = (),
                 compiler: str | None = None, backend: str | None = None, name: str | None = None,
                 **options: Any) -> None:
        if not callable(function):
            raise TraceError(f"defn: a {type(function).__name__} is not a function",
                             hint="write @px.defn above a def, or px.jit(f)")
        self.function = function
        self.name: str = name or str(getattr(function, "__name__", type(function).__name__))
        functools.update_wrapper(self, function, updated=())
        self.static = _names_tuple(static, "static")
        self.donate = _names_tuple(donate, "donate")
        chosen = {**options, **{k: v for k, v in (("compiler", compiler), ("backend", backend)) if v is not None}}
        self.options = config.check(chosen)
        self._signature = _signature_of(function)
        self._check_names()
        self._plain = self._plain_names()
        self._cache: dict[Any, execution.Compiled] = {}
        self._lock = threading.RLock()
        self._last_key: Any = None
        self._ways = Ways(self._signature)
        open_ahead()

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else functools.partial(self, instance)

    def __repr__(self) -> str:
        return f"<px.defn {self.name}>"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        ways = self._ways
        entry = ways.newest
        result = entry(*args, **kwargs) if kwargs else entry(*args)  # a call without keywords needs no dict for them
        if result is not NotImplemented:
            return result
        for entry in ways.entries[1:]:
            result = entry(*args, **kwargs)
            if result is not NotImplemented:
                return result
        if state.current() is not None:
            return self.function(*args, **kwargs)
        try:
            return self._call_in_python(args, kwargs)
        except PhalanxError as error:
            raise for_user(error) from error.__cause__

    def _call_in_python(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        result = self._ways.call(args, kwargs, self._like_last)
        if result is not NotImplemented:
            return result
        version = config.version()
        with config.call_options(self.options) if self.options else _nothing:
            signature = self._flatten(args, kwargs)
            compiled = self._lookup(signature)
            result = compiled.run(signature.leaves)
            self._ways.remember(compiled, args, kwargs, signature.leaves, signature.structure, signature.static, version)
        return result

    def _like_last(self, warm: Warm, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Sequence[Any] | None:
        """The leaves of arguments that have the structure of the last call's."""
        dynamic, static = self._bind(args, kwargs)
        if static != warm.static:
            return None
        leaves, structure = tree.flatten(dynamic, self.name)
        return leaves if structure == warm.structure else None

    # Signatures.
    def _check_names(self) -> None:
        if self._signature is None:
            return
        parameters = self._signature.parameters
        if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
            return
        for kind, names in (("static", self.static), ("donate", self.donate)):
            for name in names:
                if name not in parameters:
                    raise ArgumentError(f"{self.name}: {kind} argument {name!r} does not exist",
                                        hint=f"the arguments are {', '.join(parameters)}")

    def _plain_names(self) -> tuple[str, ...]:
        """Argument names of a function whose positional calls need no binding: no static, default or variadic one."""
        if self._signature is None or self.static:
            return ()
        kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        parameters = self._signature.parameters.values()
        if any(p.kind not in kinds or p.default is not inspect.Parameter.empty for p in parameters):
            return ()
        return tuple(self._signature.parameters)

    def _bind(self, args: tuple[Any, ...], kwargs: dict[str, Any],
              ) -> tuple[dict[str, Any], tuple[tuple[str, Static], ...]]:
        """Arguments by name (positional ones of functions without a signature by number), static ones apart."""
        if not kwargs and self._plain and len(args) == len(self._plain):
            return OrderedDict(zip(self._plain, args, strict=True)), ()
        if self._signature is None:
            return OrderedDict({**{str(i): a for i, a in enumerate(args)}, **kwargs}), ()
        try:
            bound = self._signature.bind(*args, **kwargs)
        except TypeError as error:
            raise ArgumentError(f"{self.name}: {error}", hint=f"the signature is {self.name}{self._signature}") from None
        dynamic: OrderedDict[str, Any] = OrderedDict()  # a plain dict would be flattened in the order of its keys
        static: list[tuple[str, Static]] = []
        for name, value in bound.arguments.items():
            if name in self.static:
                static.append((name, self._static(name, value)))
            else:
                dynamic[name] = value
        for name in self.static:
            default = self._signature.parameters[name].default if name in self._signature.parameters else None
            if name not in bound.arguments and default is not inspect.Parameter.empty:
                static.append((name, self._static(name, default)))
        return dynamic, tuple(static)

    def _static(self, name: str, value: Any) -> Static:
        try:
            return Static(value)
        except TypeError:
            raise ArgumentError(f"{self.name}: static argument {name!r} must be hashable, "
                                f"got a {type(value).__name__}", hint="use a tuple instead of a list") from None

    def _flatten(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Signature:
        dynamic, static = self._bind(args, kwargs)
        leaves, structure = tree.flatten(dynamic, self.name)
        avals: list[Aval] = []
        weak: list[bool] = []
        names: list[str] | None = None
        for position, leaf in enumerate(leaves):
            if isinstance(leaf, Tensor):
                avals.append(leaf.aval)
                weak.append(False)
                continue
            if not _is_array_like(leaf):
                names = names or self._leaf_names(structure)
                raise TraceError(
                    f"{self.name}: argument {names[position]} is a {type(leaf).__name__}, not a tensor",
                    hint=f'make it static: @px.defn(static=("{_root(names[position])}",)), or capture it in a closure')
            if isinstance(leaf, Tracer):
                raise TraceError(f"{self.name}: got a leaked tracer {leaf!r}")
            try:
                avals.append(aval_of(leaf))
            except PhalanxError as error:
                names = names or self._leaf_names(structure)
                raise type(error)(f"{self.name}: argument {names[position]}: {error.message}", hint=error.hint) from None
            weak.append(isinstance(leaf, (bool, int, float)) and not isinstance(leaf, np.generic))
        return Signature(leaves, structure, names or [], static, avals, tuple(weak))

    def _leaf_names(self, structure: Any) -> list[str]:
        """`x`, `params['w']`: leaves by argument name."""
        return [_argument_name(n) for n in tree.names(structure)]

    def _call(self, structure: Any, static: tuple[tuple[str, Static], ...], tracers: Sequence[Any]) -> Any:
        """Call the user's function with tracers in the structure of the arguments."""
        values = tree.unflatten(structure, list(tracers))
        if self._signature is None:
            positional = [values[k] for k in values if k.isdigit()]
            return self.function(*positional, **{k: v for k, v in values.items() if not k.isdigit()})
        bound = self._signature.bind_partial()
        bound.arguments.update({**values, **{name: known.value for name, known in static}})
        ordered = {p: bound.arguments[p] for p in self._signature.parameters if p in bound.arguments}
        bound.arguments.clear()
        bound.arguments.update(ordered)
        return self.function(*bound.args, **bound.kwargs)

    # Compiling.
    @property
    def compiled(self) -> tuple[execution.Compiled, ...]:
        """What calls have compiled so far, in order; each says in `reason` why the ones before did not do."""
        return tuple(self._cache.values())

    def _lookup(self, signature: Signature) -> execution.Compiled:
        key = (signature.key, config.get("compiler"), config.compile_key())
        compiled = self._cache.get(key)
        if compiled is None:
            with self._lock:
                compiled = self._cache.get(key)
                if compiled is None:
                    compiled = self._compile(signature, self._reason(key))
                    self._cache[key] = compiled
                    self._last_key = key
        return compiled

    def _reason(self, key: Any) -> str:
        """What changed since the last compile of this function."""
        if self._last_key is None:
            return "first call"
        (structure, static, avals, weak), compiler, options = key
        (old_structure, old_static, old_avals, old_weak), old_compiler, old_options = self._last_key
        if structure != old_structure:
            return "the structure of the arguments changed"
        changes = [f"{n}: {a} -> {b}" for n, a, b in zip(self._leaf_names(structure), old_avals, avals, strict=True)
                   if a != b]
        changes += [f"{n}={v!r}" for n, v in static if (n, v) not in old_static]
        if weak != old_weak:
            changes.append("a Python scalar took the place of a tensor, or the other way round")
        if (compiler, options) != (old_compiler, old_options):
            changes.append("other options are in force")
        return "; ".join(changes) or "a new signature"

    def _compile(self, signature: Signature, reason: str) -> execution.Compiled:
        load_mlir()  # at the first trace
        from phalanx.compiler.trace.traced import trace_function

        names = self._leaf_names(signature.structure)
        start = execution.now()
        traced = trace_function(
            self.function, signature.avals, names,
            lambda _, tracers: self._call(signature.structure, signature.static, tracers), self.name, signature.weak)
        donated = [i for i, n in enumerate(names) if _root(n) in self.donate]
        return execution.build(traced, donated=donated, reason=reason, trace_seconds=execution.now() - start,
                               origin=_origin(self.function))

    def trace(self, *specs: Any, **keyword_specs: Any) -> Any:
        """The px module for arguments like `specs` (specs, spec texts, arrays or containers of them)."""
        load_mlir()  # at the first trace
        from phalanx.compiler.trace.traced import trace_function

        signature = self.signature_of(*specs, **keyword_specs)
        return trace_function(
            self.function, signature.avals, self._leaf_names(signature.structure),
            lambda _, tracers: self._call(signature.structure, signature.static, tracers), self.name)

    def compile(self, *specs: Any, **keyword_specs: Any) -> execution.Compiled:
        """Compile for arguments like `specs` without calling; the result takes only such arguments."""
        with config.call_options(self.options) if self.options else _nothing:
            signature = self.signature_of(*specs, **keyword_specs)
            compiled = self._compile(signature, "px.compile")
            compiled.flatten = lambda args, kwargs: self._flatten(args, kwargs)
            compiled.structure = signature.structure
            compiled.static = signature.static
            compiled.ways, compiled.leaves_like = Ways(self._signature), self._like_last
            compiled.positional = self._takes_leaves(signature.structure)
            return compiled

    def _takes_leaves(self, structure: Any) -> bool:
        """Whether positional arguments are the leaves: nothing to bind, no containers."""
        names = self._plain
        return bool(names) and tree.flatten(OrderedDict.fromkeys(names, 0), self.name)[1] == structure

    def signature_of(self, *specs: Any, **keyword_specs: Any) -> Signature:
        """How a call with arguments like `specs` looks."""
        dynamic, static = self._bind(specs, keyword_specs)
        leaves, structure = tree.flatten(dynamic, self.name)
        avals = [spec(leaf) if isinstance(leaf, (str, Aval)) else aval_of(leaf) for leaf in leaves]
        return Signature(leaves, structure, [], static, avals, ())


def _names_tuple(names: Sequence[str] | str, who: str) -> tuple[str, ...]:
    found = (names,) if isinstance(names, str) else tuple(items(names))
    if any(not isinstance(n, str) for n in found):
        raise ArgumentError(f"defn: {who} takes argument names, got {names!r}", hint=f'{who}=("n",)')
    return found


def _signature_of(function: Callable[..., Any]) -> inspect.Signature | None:
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):
        return None


def _is_array_like(leaf: Any) -> bool:
    return isinstance(leaf, (bool, int, float, complex, Tracer)) or hasattr(leaf, "__array__") or hasattr(
        leaf, "__dlpack__")


def _argument_name(path: str) -> str:
    """`['params']['w']` as `params['w']`."""
    if path.startswith("['"):
        end = path.index("']")
        return path[2:end] + path[end + 2:]
    return path


def _root(name: str) -> str:
    return name.split("[")[0].split(".")[0]


def _origin(function: Callable[..., Any]) -> str:
    code = getattr(inspect.unwrap(function), "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code else ""


class _Nothing:
    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


_nothing = _Nothing()


def defn(function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Make a numerical function of a Python function: traced, compiled and cached per signature.

    >>> @px.defn
    ... def softplus(x):
    ...     return px.log1p(px.exp(x))
    >>> softplus(px.asarray([0.0, 1.0]))
    px.Tensor([0.6931472 1.3132616], dtype=float32)

    `static=("n",)` names arguments that are plain Python values, `donate=("x",)` those whose memory the call may
    take, `compiler=` and `backend=` override the two switches; other options are those of `px.config()`.
    """
    if function is not None:
        return Defn(function, **options)
    return lambda function: Defn(function, **options)


def jit(function: Callable[..., Any], **options: Any) -> Defn:
    """`defn` as a function: `px.jit(f)(x)`.

    >>> px.jit(lambda x: x + 1)(2)
    px.Tensor(3, dtype=int32)
    """
    return function if isinstance(function, Defn) and not options else Defn(
        function.function if isinstance(function, Defn) else function, **options)


def compile(function: Callable[..., Any], *specs: Any, **keyword_specs: Any) -> execution.Compiled:
    """Compile `function` now for arguments like `specs`.

    >>> px.compile(lambda x: x * 2, px.spec("f32[n]"))(np.ones(3, np.float32))
    px.Tensor([2. 2. 2.], dtype=float32)

    Raises ShapeError or DTypeError at the call when an argument does not fit its spec.
    """
    made = function if isinstance(function, Defn) else Defn(function)
    return made.compile(*specs, **keyword_specs)


