"""docs/ops.md: every operation and composite, from the registry."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import signatures

import phalanx as px
from phalanx.dialects import opdef
from phalanx.dialects.opdef import COMPOSITES, REGISTRY, Composite, NotDifferentiable, Op, TypeSet

_TYPE_SETS: dict[type[TypeSet], str] = {
    opdef.AnyType: "any",
    opdef.Number: "number",
    opdef.Float: "float",
    opdef.Integer: "integer",
    opdef.Signed: "signed",
    opdef.Logical: "bool",
    opdef.Bits: "bits",
    opdef.UInt32: "uint32",
}

_HEAD = """# Operations

Written by `make docs` from the op definitions; edit the classes in `dialects/px/`.

{ops} operations (one class each in `dialects/px/`, [adding-an-op.md](adding-an-op.md)) and {composites} composites
(functions made of operations: their gradient, batching and lowering come with their parts). Everything here is
`px.<name>`, takes tensors, NumPy arrays, nested lists and Python numbers, and works eagerly, inside a `px.defn`, under
`px.grad` and under `px.vmap`. `px.random` stands at the end.

Sets of dtypes:

| name | dtypes |
|---|---|
{sets}

| family | operations | composites |
|---|---|---|
{families}
"""


def markdown() -> str:
    """The whole document."""
    families = sorted({op.family for op in REGISTRY.values() if op.public} | {c.family for c in COMPOSITES.values()})
    sets = "\n".join(f"| {name} | {', '.join(d.name for d in kind.dtypes)} |" for kind, name in _TYPE_SETS.items())
    rows = []
    for family in families:
        ops = ", ".join(f"[`{op.name}`](#{op.name})" for op in _ops(family))
        composites = ", ".join(f"[`{c.name}`](#{c.name})" for c in _composites(family))
        rows.append(f"| {family} | {ops} | {composites} |")
    parts = [_HEAD.format(ops=len(REGISTRY), composites=len(COMPOSITES), sets=sets, families="\n".join(rows))]
    for family in families:
        parts.append(f"## {family}\n")
        parts += [_operation(op) for op in _ops(family)]
        parts += [_composite(c) for c in _composites(family)]
    parts.append("## px.random\n")
    parts += [_function(f"random.{name}", getattr(px.random, name)) for name in px.random.__all__]
    inner = [op for op in REGISTRY.values() if not op.public]
    parts.append("## Not public\n")
    parts += [f"- `px.{op.name}`: {_sentence(op)}" for op in inner]
    return "\n".join(parts).rstrip() + "\n"


def _ops(family: str) -> list[type[Op]]:
    return sorted((op for op in REGISTRY.values() if op.family == family and op.public), key=lambda op: op.name)


def _composites(family: str) -> list[Composite]:
    return sorted((c for c in COMPOSITES.values() if c.family == family), key=lambda c: c.name)


def _sentence(documented: Any) -> str:
    return " ".join((inspect.getdoc(documented) or "").split("\n\n")[0].split())


def _entry(name: str, signature: inspect.Signature, documented: Any, facts: list[str]) -> str:
    """Heading, signature, docstring with its example fenced, and a line of facts."""
    lines = [f"### {name}", "", f"`px.{name}{signatures.written(signature)}`", ""]
    fenced = False
    for line in (inspect.getdoc(documented) or "").splitlines():
        if line.startswith(">>>") and not fenced:
            lines.append("```python")
            fenced = True
        if not line and fenced:
            lines.append("```")
            fenced = False
        lines.append(line)
    if fenced:
        lines.append("```")
    return "\n".join([*lines, "", *([" · ".join(facts), ""] if facts else [])])


def _operation(op: type[Op]) -> str:
    spelled = [f"operator `{_operator(op.symbol)}`"] if op.symbol else []
    spelled += [f"method `x.{op.method}`"] if op.method and not op.method.startswith("__") else []
    operands = ", ".join(f"{f.name}: {_TYPE_SETS[f.types]}" + (" (several)" if f.variadic else "") for f in op.operands)
    facts = [*spelled, operands or "no operand", f"gradient: {_gradient(op)}", f"batching: {_batching(op)}"]
    return _entry(op.name, signatures.of_op(op), op, facts)


def _composite(composite: Composite) -> str:
    spelled = [f"operator `{_operator(composite.symbol)}`"] if composite.symbol else []
    if composite.method:
        shown = "x[...]" if composite.method == "__getitem__" else f"x.{composite.method}"
        spelled.append(f"method `{shown}`")
    return _entry(composite.name, inspect.signature(composite.function), composite.function, [*spelled, "composite"])


def _function(name: str, function: Callable[..., Any]) -> str:
    return _entry(name, inspect.signature(function), function, [])


def _operator(symbol: str) -> str:
    return {"u-": "-x", "u+": "+x", "abs": "abs(x)", "~": "~x"}.get(symbol, symbol)


def _gradient(op: type[Op]) -> str:
    if isinstance(op.vjp, NotDifferentiable):
        return f"refused, {op.vjp.reason}"
    return "zero (flat almost everywhere)" if op.vjp is opdef.zero_gradient else "yes"


def _batching(op: type[Op]) -> str:
    """Whose rule vmap uses: the op's own or its kind's."""
    owner = next(base for base in op.__mro__ if "batch" in base.__dict__)
    if not op.operands:
        return "none needed"
    return "its own rule" if owner is op else f"as every {owner.__name__}"
