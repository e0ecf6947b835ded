"""phalanx/__init__.pyi: every public name with its types, for type checkers and editors.

Operations are attached to `phalanx` and to `px.Tensor` from the op table at import, where no type checker sees
them; here they are written out. What takes or returns users' functions stands in `_HEAD`, since inspection
cannot know how those types are related.
"""

from __future__ import annotations

import inspect
import re
from typing import Any

import signatures

import phalanx as px
from phalanx.compiler.described import Described
from phalanx.compiler.tensor import Tensor
from phalanx.dialects import dtypes, errors
from phalanx.dialects.opdef import COMPOSITES, REGISTRY, Composite, Op

_HEAD = '''\
# Written by `make docs` from the op definitions and `phalanx/__init__.py`; edit docs/stubs.py or the definitions.
import builtins
import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, TypeVar, overload

import numpy as np

from phalanx import compiler as compiler
from phalanx import dialects as dialects
from phalanx import runtime as runtime
from phalanx import testing as testing
from phalanx.compiler import bench as bench
from phalanx.compiler.aot.public import Exported
from phalanx.compiler.config import Settings
from phalanx.compiler.execution import Compiled
from phalanx.compiler.profiling import Profile
from phalanx.compiler.trace.traced import Traced
from phalanx.dialects.aval import Aval
{imports}

_T = TypeVar("_T")
_R = TypeVar("_R")
_C = TypeVar("_C", bound=type[Any])
_Axis = int | tuple[int, ...] | None
_Array = np.ndarray[Any, Any]

__version__: str
__array_api_version__: str
__array_api_versions__: tuple[str, ...]
e: float
inf: float
nan: float
newaxis: None
pi: float

class Defn(Generic[_R]):
    """A numerical function: traced once per signature, then run by the chosen compiler on the chosen backend."""

    name: str
    function: Callable[..., _R]
    static: tuple[str, ...]
    donate: tuple[str, ...]
    def __call__(self, *args: Any, **kwargs: Any) -> _R: ...
    def __get__(self, instance: Any, owner: Any = ...) -> Any: ...
    def trace(self, *specs: Any, **keyword_specs: Any) -> Traced: ...
    def compile(self, *specs: Any, **keyword_specs: Any) -> Compiled: ...

class custom_vjp(Generic[_R]):
    """A function with a gradient rule of its own, given by `defvjp(forward, backward)`."""

    function: Callable[..., _R]
    def __init__(self, function: Callable[..., _R]) -> None: ...
    def defvjp(self, forward: Callable[..., tuple[Any, Any]], backward: Callable[[Any, Any], tuple[Any, ...]]) -> None: ...
    def __call__(self, *args: Any, **kwargs: Any) -> _R: ...

@overload
def defn(function: Callable[..., _R], /) -> Defn[_R]: ...
@overload
def defn(*, static: Sequence[str] | str = ..., donate: Sequence[str] | str = ..., compiler: str | None = ...,
         backend: str | None = ..., name: str | None = ..., **options: Any,
         ) -> Callable[[Callable[..., _R]], Defn[_R]]: ...
def jit(function: Callable[..., _R] | Defn[_R], *, static: Sequence[str] | str = ..., donate: Sequence[str] | str = ...,
        compiler: str | None = ..., backend: str | None = ..., name: str | None = ..., **options: Any) -> Defn[_R]: ...
def compile(function: Callable[..., Any], *specs: Any, **keyword_specs: Any) -> Compiled: ...
def spec(text: str | Aval) -> Aval: ...
def grad(function: Callable[..., Any], argnums: int | Sequence[int] = ..., *, has_aux: builtins.bool = ...,
         ) -> Callable[..., Any]: ...
def value_and_grad(function: Callable[..., Any], argnums: int | Sequence[int] = ..., *, has_aux: builtins.bool = ...,
                   ) -> Callable[..., tuple[Any, Any]]: ...
def vjp(function: Callable[..., _R], *primals: Any) -> tuple[_R, Callable[[Any], tuple[Any, ...]]]: ...
def vmap(function: Callable[..., _R], in_axes: Any = ..., out_axes: Any = ...) -> Callable[..., _R]: ...
def cond(pred: Any, true_fn: Callable[..., _T], false_fn: Callable[..., _T], *operands: Any) -> _T: ...
def while_loop(cond_fun: Callable[[_T], Any], body_fun: Callable[[_T], _T], init_val: _T) -> _T: ...
def fori_loop(lower: Any, upper: Any, body_fun: Callable[[Tensor, _T], _T], init_val: _T) -> _T: ...
def scan(f: Callable[[_T, Any], tuple[_T, Any]], init: _T, xs: Any = ..., length: Any = ..., *,
         reverse: builtins.bool = ...) -> tuple[_T, Any]: ...
def io_call(x: _T, function: Callable[[Any], Any] | None = ..., *, name: str = ...) -> _T: ...
def hooks(functions: dict[str, Callable[..., Any]] | None = ..., /, **named: Callable[..., Any],
          ) -> contextlib.AbstractContextManager[None]: ...
def options(**values: Any) -> contextlib.AbstractContextManager[None]: ...
def use_backend(name: str) -> contextlib.AbstractContextManager[None]: ...
def config() -> Settings: ...
@overload
def register_dataclass(cls: _C, /, *, static: Sequence[str] = ...) -> _C: ...
@overload
def register_dataclass(cls: None = ..., /, *, static: Sequence[str] = ...) -> Callable[[_C], _C]: ...
def __array_namespace_info__() -> Information: ...
'''

#: names whose types `_HEAD` gives
_GIVEN = frozenset(re.findall(r"^(?:def|class) (\w+)", _HEAD, re.MULTILINE)) | {
    "e", "inf", "nan", "newaxis", "pi", "compiler", "dialects", "runtime", "random", "annotations", "Tensor"}

_BINARY = {"+": "add", "-": "sub", "*": "mul", "/": "truediv", "//": "floordiv", "%": "mod", "**": "pow", "@": "matmul",
           "&": "and", "|": "or", "^": "xor", "<<": "lshift", ">>": "rshift"}
_COMPARE = {"==": "eq", "!=": "ne", "<": "lt", "<=": "le", ">": "gt", ">=": "ge"}
_UNARY = {"u-": "neg", "u+": "pos", "~": "invert", "abs": "abs"}

#: composites that give one tensor or several, by what they get
_EITHER = frozenset({"atleast_1d", "atleast_2d", "atleast_3d"})


def text() -> str:
    """The whole stub."""
    body = "\n".join([
        *_tensor(),
        "",
        *[f"def {name}{_parameters(signatures.of_op(op))} -> {_op_result(op)}: ..."
          for name, op in sorted(REGISTRY.items()) if op.public],
        *[f"def {name}{_parameters(inspect.signature(c.function))} -> {_composite_result(c)}: ..."
          for name, c in sorted(COMPOSITES.items())],
        *[_plain(name) for name in _plain_functions()],
        "",
    ])
    return _HEAD.format(imports=_imports(body)) + "\n" + body


def _imports(body: str) -> str:
    """Imports of the public names that are re-exported as they are, and of what the annotations mention."""
    lines = ["from phalanx.compiler.array_api import Information as Information"]
    named = {d.name: d.name for d in dtypes.ALL} | {"bool": "bool_", "DType": "DType", "dtype": "dtype_of"}
    lines += [f"from phalanx.dialects.dtypes import {source} as {name}"
              for name, source in sorted(named.items(), key=lambda pair: pair[1])]
    lines += [f"from phalanx.dialects.errors import {name} as {name}" for name in sorted(vars(errors))
              if isinstance(getattr(px, name, None), type)]
    lines += ["from phalanx.dialects.px import random as random"]
    known = set(re.findall(r"(?:class|as|import|,) (\w+)", _HEAD + "\n".join(lines))) | {"Tensor"}
    for name in sorted(set(re.findall(r"[:>|\[ ]([A-Z]\w+)\b", body)) - known):
        home = _homes().get(name)
        if home is not None:
            lines.append(f"from {home} import {name} as {name}")
    return "\n".join(lines)


def _homes() -> dict[str, str]:
    """Classes that modules of public functions use, and where each is defined."""
    modules = {inspect.getmodule(value) for value in [*(getattr(px, name) for name in dir(px)), Tensor] if callable(value)}
    scopes = [vars(module) for module in modules if module is not None]
    return {name: value.__module__ for scope in scopes for name, value in scope.items()
            if isinstance(value, type) and value.__module__.startswith("phalanx.")}


def _annotation(written: str) -> str:
    """An annotation of the source as the stub needs it: `bool` means the dtype there."""
    return re.sub(r"(?<![\w.])Axis\b", "_Axis", re.sub(r"(?<![\w.])bool\b", "builtins.bool", written)).replace(
        "Array", "_Array").replace("__Array", "_Array")


def _parameters(signature: inspect.Signature, *, skip: int = 0, first: str = "") -> str:
    return signatures.written(signature, annotate=_annotation, skip=skip, first=first)


def _op_result(op: type[Op]) -> str:
    return "Tensor" if op.results == 1 else f"tuple[{', '.join(['Tensor'] * op.results)}]"


def _composite_result(composite: Composite) -> str:
    if composite.name in _EITHER:
        return "Any"
    declared = str(inspect.signature(composite.function).return_annotation)
    return declared.replace("Any", "Tensor")


def _plain_functions() -> list[str]:
    known = {*REGISTRY, *COMPOSITES, *_GIVEN}
    return sorted(name for name, value in ((name, getattr(px, name)) for name in dir(px))
                  if not name.startswith("_") and name not in known and inspect.isfunction(value) and name != "dtype")


def _plain(name: str) -> str:
    function = getattr(px, name)
    signature = inspect.signature(function)
    returned = "Tensor" if name in ("asarray", "from_dlpack") else _annotation(str(signature.return_annotation))
    if hasattr(function, "__wrapped__"):  # @contextmanager around a generator
        returned = returned.replace("Iterator[", "contextlib.AbstractContextManager[")
    return f"def {name}{_parameters(signature)} -> {returned}: ..."


def _tensor() -> list[str]:
    """`px.Tensor` with the operators and methods of the op table. Inside a `defn` a Tracer stands in for it."""
    lines = ["class Tensor:", '    """An immutable tensor; inside a `defn` the value still to be computed."""', ""]
    lines += [f"    @property\n    def {name}(self) -> {returned}: ..." for name, returned in (
        ("at", "Any"), ("T", "Tensor"), ("mT", "Tensor"), ("backend", "Backend"), ("aval", "Aval"))]
    members = {**vars(Described), **vars(Tensor)}
    for name, value in members.items():
        if isinstance(value, property) and value.fget is not None and name not in ("at", "T", "mT"):
            returned = _annotation(re.sub(r"\bS\b", "int", str(inspect.signature(value.fget).return_annotation)))
            lines.append(f"    @property\n    def {name}(self) -> {returned}: ...")
    lines.append("    def __hash__(self) -> int: ...")
    attached = _attached()
    for name, value in members.items():
        private = name.startswith("_") and not name.startswith("__")
        if name in attached or private or name in ("__init__", "__getattr__", "__setitem__", "from_numpy", "of"):
            continue
        if inspect.isfunction(value) and value.__module__ in (Described.__module__, Tensor.__module__):
            signature = inspect.signature(value)
            returned = _annotation(str(signature.return_annotation))
            lines.append(f"    def {name}{_parameters(signature, skip=1, first='self')} -> {returned}: ...")
    return [*lines, *attached.values()]


def _attached() -> dict[str, str]:
    """Operators and methods of the op table: name -> line of the stub."""
    found: dict[str, str] = {}
    table: list[tuple[Any, inspect.Signature, str]] = [
        *[(op, signatures.of_op(op), _op_result(op)) for op in REGISTRY.values()],
        *[(c, inspect.signature(c.function), _composite_result(c)) for c in COMPOSITES.values()]]
    for definition, signature, result in table:
        symbol, method = definition.symbol, definition.method
        if symbol in _BINARY:
            for name in (f"__{_BINARY[symbol]}__", f"__r{_BINARY[symbol]}__"):
                found[name] = f"    def {name}(self, other: Any) -> Tensor: ..."
        elif symbol in _COMPARE:
            ignored = "  # type: ignore[override]" if symbol in ("==", "!=") else ""
            name = f"__{_COMPARE[symbol]}__"
            found[name] = f"    def {name}(self, other: {'object' if ignored else 'Any'}) -> Tensor: ...{ignored}"
        elif symbol in _UNARY:
            found[f"__{_UNARY[symbol]}__"] = f"    def __{_UNARY[symbol]}__(self) -> Tensor: ..."
        if method:
            found[method] = f"    def {method}{_parameters(signature, skip=1, first='self')} -> {result}: ..."
    return found
