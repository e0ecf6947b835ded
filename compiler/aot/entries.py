"""What goes into a library: one `Entry` per exported function and signature, with its captured tensors."""

from __future__ import annotations

import functools
import hashlib
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from mlir import ir

from phalanx.compiler.aot.status import MOST_ASSUMPTIONS
from phalanx.compiler.api import Defn
from phalanx.compiler.context import context
from phalanx.compiler.execution import Compiled
from phalanx.compiler.tensor import Tensor
from phalanx.compiler.trace import tree
from phalanx.dialects.analysis import Avals, dim_names
from phalanx.dialects.aval import Aval
from phalanx.dialects.dims import Dim, Size
from phalanx.dialects.dtypes import DType
from phalanx.dialects.errors import ArgumentError, CompileError, ShapeError
from phalanx.dialects.facts import Assumption, Fact
from phalanx.runtime.signature import Argument, Signature, lone_name

#: captured tensors up to this many bytes lie among the constants of the code
SMALL = 4096


@dataclass(frozen=True)
class Captured:
    """A tensor the function captured: its bytes and where they are stored ("rodata", "section" or "file")."""

    name: str
    dtype: DType
    shape: tuple[int, ...]
    data: bytes
    where: str
    offset: int = 0

    @classmethod
    def of(cls, name: str, dtype: DType, shape: tuple[int, ...], data: bytes) -> Captured:
        """A tensor embedded where its size says."""
        return cls(name, dtype, shape, data, "rodata" if len(data) <= SMALL else "section")

    @functools.cached_property
    def symbol(self) -> str:
        """Equal bytes are stored once, whichever function they belong to."""
        return f"px_data_{hashlib.sha256(self.data).hexdigest()[:24]}"


@dataclass(frozen=True)
class Entry:
    """One exported function: its C name, traced module and signature (without captured tensors)."""

    name: str
    module: Any
    signature: Signature
    captured: tuple[Captured, ...]
    arguments: Any
    result: Any
    doc: str
    #: shapes and element sizes of every tensor with named sizes, intermediates included
    tensors: tuple[tuple[tuple[Size, ...], int], ...]
    #: what operations need of the named sizes
    requirements: tuple[Fact, ...] = ()
    #: what the user stated with px.assume, each with a status of its own
    assumptions: tuple[Assumption, ...] = ()

    @property
    def dims(self) -> tuple[str, ...]:
        """The named sizes in the order of the C parameters: as they first appear in the inputs."""
        found: dict[str, None] = {}
        for argument in self.signature.inputs:
            for size in argument.shape:
                if isinstance(size, Dim):
                    found.update(dict.fromkeys(re.findall(r"[A-Za-z_]\w*", str(size))))
        return tuple(name for name in found if name in self.signature.dims)

    @property
    def external(self) -> bool:
        """Whether the weights come from the caller."""
        return any(c.where == "file" for c in self.captured)


def make_entry(function: Callable[..., Any], name: str | None, specs: Sequence[Any] = (),
               keyword_specs: Mapping[str, Any] | None = None) -> Entry:
    """Trace `function` for `specs`; without any, the type hints of its parameters are the specs.

    Raises ArgumentError when there is no signature, CompileError when the function calls the host.
    """
    if isinstance(function, Compiled):
        if specs or keyword_specs:
            raise ArgumentError(f"export: {function.traced.name} is compiled already, so it takes no specs")
        return _entry(function.traced, name, function.structure, "")
    made = function if isinstance(function, Defn) else Defn(function)
    given = dict(keyword_specs or {})
    if not specs and not given:
        given = _hints(made)
    signature = made.signature_of(*specs, **given)
    return _entry(made.trace(*specs, **given), name, signature.structure, inspect.getdoc(made.function) or "")


def _hints(made: Defn) -> dict[str, Any]:
    """Specs written as type hints: `def f(x: px.spec("f32[n]"))` or `def f(x: "f32[n]")`."""
    try:
        names = list(inspect.signature(made.function).parameters)
    except (TypeError, ValueError):
        raise ArgumentError(f"export: {made.name} has no signature to read specs from", hint="pass the specs") from None
    hints = _annotations(made.function)
    for name in names:
        if not isinstance(hints.get(name), (str, Aval)):
            raise ArgumentError(f"export: no spec for argument {name!r} of {made.name}",
                                hint=f'px.export({made.name}, "out.so", {name}="f32[n,128]"), or a type hint')
    return {name: hints[name] for name in names}


def _annotations(function: Callable[..., Any]) -> dict[str, Any]:
    """Type hints as values; texts that are no Python expressions of that module stay texts."""
    try:
        return inspect.get_annotations(function, eval_str=True)
    except (NameError, SyntaxError, TypeError):
        found = inspect.get_annotations(function)
        return {name: hint.strip("'\"") if isinstance(hint, str) else hint for name, hint in found.items()}


def _entry(traced: Any, name: str | None, structure: Any, doc: str) -> Entry:
    chosen = name or traced.name
    if traced.call_sites:
        site = traced.call_sites[0].name
        raise CompileError(f"export: {chosen} calls Python ({'io_call ' + repr(site) if site else 'print or io_call'}), "
                           "which a library cannot do", hint="return the value and use it outside")
    inputs = _arguments(traced.names, traced.inputs)
    outputs = _arguments(_result_names(traced), traced.outputs)
    signature = Signature(chosen, inputs, outputs, tuple(dim_names(list(traced.inputs))))
    _check_inferable(signature)
    captured = tuple(_captured(i, t) for i, t in enumerate(traced.hidden))
    return Entry(chosen, _from_anywhere(traced.module), signature, captured,
                 _plain(structure, len(inputs)) if structure is not None else {"leaves": list(range(len(inputs)))},
                 _plain(traced.out_tree, len(outputs)), doc.strip().split("\n\n")[0], tensors_of(traced.module),
                 tuple(dict.fromkeys(r.fact for r in traced.requirements)),
                 tuple(Assumption(a.fact, a.message, _short(a.location)) for a in traced.assumptions))


def assuming(entries: Sequence[Entry], facts: Sequence[Fact]) -> list[Entry]:
    """Entries with further facts, each for the functions that have all its sizes.

    Raises ArgumentError for a fact that no function has the sizes of, or that never holds.
    """
    for fact in facts:
        if fact.impossible():
            raise ArgumentError(f"export: assumes {fact}, which never holds")
        if not any(fact.names() <= set(entry.dims) for entry in entries) or not fact.names():
            known = ", ".join(dict.fromkeys(name for entry in entries for name in entry.dims)) or "none"
            raise ArgumentError(f"export: assumes {fact}, and no function has these named sizes", hint=f"there are {known}")
    made = []
    for entry in entries:
        stated = {assumption.fact for assumption in entry.assumptions}
        more = [Assumption(fact) for fact in facts if fact not in stated and fact.names() <= set(entry.dims)]
        made.append(replace(entry, assumptions=(*entry.assumptions, *more)))
        if len(made[-1].assumptions) > MOST_ASSUMPTIONS:
            raise ArgumentError(f"export: {entry.name} assumes {len(made[-1].assumptions)} facts, and there are statuses "
                                f"for {MOST_ASSUMPTIONS}")
    return made


def _short(location: str) -> str:
    """`model.py:12` for `/home/me/model.py:12:5-30`."""
    file, _, rest = location.rpartition("/")[2].partition(":")
    return f"{file}:{rest.partition(':')[0]}" if rest else file


def _from_anywhere(module: Any) -> Any:
    """The module without the line that asked for it, so that the same function gives the same bytes from any line."""
    with context():
        main = next(op.operation for op in module.body.operations if op.operation.name == "func.func")
        text = module.operation.get_asm(enable_debug_info=True, print_generic_op_form=True, use_local_scope=True)
        return ir.Module.parse(text.replace(str(main.location), "loc(unknown)"))


def _arguments(names: Sequence[str], avals: Sequence[Aval]) -> tuple[Argument, ...]:
    return tuple(Argument(n, a.dtype, a.shape) for n, a in zip(names, avals, strict=True))


def _result_names(traced: Any) -> list[str]:
    return tree.names(traced.out_tree, "result")


def _captured(index: int, tensor: Tensor) -> Captured:
    array = np.ascontiguousarray(tensor.numpy())
    return Captured.of(f"captured{index}", tensor.dtype, tuple(array.shape) if tensor.ndim else (), array.tobytes())


def with_file(entry: Entry, offsets: Mapping[str, int]) -> Entry:
    """The same entry with its large tensors in a file, at these offsets by symbol."""
    return replace(entry, captured=tuple(
        replace(c, where="file", offset=offsets[c.symbol]) if c.symbol in offsets else c for c in entry.captured))


def _check_inferable(signature: Signature) -> None:
    """Every named size must stand alone, or in `a*n + b`, somewhere among the inputs."""
    for name in signature.dims:
        if locate(signature, name) is None:
            raise ShapeError(f"export: {signature.function}: the size {name} cannot be found from the arguments",
                             hint=f"some argument needs an axis of size {name}, or of a multiple of it")


def locate(signature: Signature, name: str) -> tuple[int, int, int] | None:
    """Where a name can be read: (position among the sizes of all inputs, factor, offset); None when nowhere."""
    position = 0
    found: tuple[int, int, int] | None = None
    for argument in signature.inputs:
        for size in argument.shape:
            if isinstance(size, Dim):
                if lone_name(size) == name:
                    return position, 1, 0
                terms = dict(size.terms)
                offset = terms.pop((), 0)
                if found is None and list(terms) == [(name,)] and terms[(name,)] > 0:
                    found = position, terms[(name,)], offset
            position += 1
    return found


def _plain(structure: Any, count: int) -> Any:
    """The structure of a call or result as JSON values; leaves are their numbers."""
    return _value(tree.unflatten(structure, list(range(count))))


def _value(value: Any) -> Any:
    if value is None or isinstance(value, int):
        return value
    if isinstance(value, dict):
        return {"dict": {str(k): _value(v) for k, v in value.items()}}
    if type(value) is list:
        return {"list": [_value(v) for v in value]}
    if type(value) is tuple:
        return {"tuple": [_value(v) for v in value]}
    return {"leaves": tree.flatten(value)[0]}


def tensors_of(module: Any) -> tuple[tuple[tuple[Size, ...], int], ...]:
    """Shapes and element sizes of all tensors with named sizes, intermediates included."""
    with context():
        main = next(op.operation for op in module.body.operations if op.operation.name == "func.func")
        avals = Avals(main).known.values()
        return tuple(dict.fromkeys((a.shape, a.dtype.itemsize) for a in avals if not a.is_static))
