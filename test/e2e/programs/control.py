"""Control flow in random programs: the bodies are blocks of statements that see what is around them."""

from __future__ import annotations

from typing import Any

from programs.generator import Generator, Scope, Statement, shadow

from phalanx.dialects.aval import Aval


def _block(g: Generator, scope: Scope, depth: int, parameters: dict[str, Aval], rounded: bool) -> Scope:
    """A body that sees the outer values and its parameters."""
    inner = Scope(scope)
    for name, aval in parameters.items():
        inner.add(name, shadow(aval.shape, aval.dtype), rounded and aval.dtype.is_inexact)
    g.fill(inner, g.rng.randint(1, 4), depth + 1)
    return inner


def _of_type(g: Generator, inner: Scope, aval: Aval, fallback: str) -> str:
    """An expression of exactly that type, made of something in scope."""
    name = g.pick(inner, lambda v: v.aval == aval)
    if name is None or g.rng.random() < 0.2:
        other = g.pick(inner, lambda v: v.shape == aval.shape and v.dtype.is_inexact == aval.dtype.is_inexact
                       and (v.dtype.is_bool == aval.dtype.is_bool))
        kind = "bool" if aval.dtype.is_bool else aval.dtype.name
        return f"{other}.astype(px.{kind})" if other else fallback
    return name


def _define(name: str, parameters: str, inner: Scope, result: str) -> list[str]:
    lines = [line for statement in inner.statements for line in statement.lines]
    return [f"def {name}({parameters}):", *["    " + line for line in lines], f"    return {result}"]


def _carries(g: Generator, scope: Scope, most: int = 3) -> list[str]:
    found = [g.pick(scope) for _ in range(g.rng.randint(1, most))]
    return [f for f in found if f is not None]


def _tuple(parts: list[str]) -> str:
    return f"({', '.join(parts)},)"


def _finish(g: Generator, scope: Scope, lines: list[str], call: str, avals: list[Aval], feature: str) -> None:
    names = [g.fresh() for _ in avals]
    scope.statements.append(Statement(tuple(names), [*lines, f"{', '.join(names)}, = {call}"], {feature}))
    for name, aval in zip(names, avals, strict=True):
        scope.add(name, shadow(aval.shape, aval.dtype), aval.dtype.is_inexact)


def cond(g: Generator, scope: Scope, depth: int) -> None:
    predicate = g.pick(scope, lambda v: v.ndim == 0 and v.dtype.is_bool)
    if predicate is None:
        source = g.pick(scope, lambda v: v.ndim == 0 and v.dtype.is_integer)
        other = g.pick(scope, exact=True)
        if source is None and other is None:
            return
        predicate = f"px.greater({source}, 0)" if source else f"px.{g.rng.choice(('any', 'all'))}({other})"
    carried = _carries(g, scope)
    avals = [scope.values[c].aval for c in carried]
    lines: list[str] = []
    functions = []
    for _ in range(2):
        name, parameters = g.fresh("branch"), [g.fresh("p") for _ in carried]
        inner = _block(g, scope, depth, dict(zip(parameters, avals, strict=True)), True)
        results = [_of_type(g, inner, a, p) for a, p in zip(avals, parameters, strict=True)]
        lines += _define(name, ", ".join(parameters), inner, _tuple(results))
        functions.append(name)
    call = f"px.cond({predicate}, {', '.join(functions)}, {', '.join(carried)})"
    _finish(g, scope, lines, call, avals, "cond")


def _bound(g: Generator, scope: Scope) -> str:
    """A trip count: a number, or read from a tensor."""
    source = g.pick(scope, lambda v: v.ndim == 0 and v.dtype.is_integer)
    if source is not None and g.rng.random() < 0.5:
        return f"px.clip({source}, 0, 4)"
    return str(g.rng.randint(0, 5))


def fori_loop(g: Generator, scope: Scope, depth: int) -> None:
    carried = _carries(g, scope)
    avals = [scope.values[c].aval for c in carried]
    name, counter, parameters = g.fresh("body"), g.fresh("i"), [g.fresh("p") for _ in carried]
    upper = _bound(g, scope)
    known: dict[str, Any] = dict(zip(parameters, avals, strict=True))
    if upper.isdigit():
        known[counter] = Aval((), Aval((), scope_int()).dtype)
    inner = _block(g, scope, depth, known, True)
    results = [_of_type(g, inner, a, p) for a, p in zip(avals, parameters, strict=True)]
    lines = _define(name, f"{counter}, carry", Scope(), _tuple(results))
    unpack = f"    {', '.join(parameters)}, = carry"
    body = ["    " + line for statement in inner.statements for line in statement.lines]
    lines = [lines[0], unpack, *body, lines[-1]]
    _finish(g, scope, lines, f"px.fori_loop({g.rng.choice(('0', '0', '1'))}, {upper}, {name}, {_tuple(carried)})",
            avals, "fori_loop")


def scope_int() -> Any:
    """The dtype of a loop counter with plain bounds."""
    from phalanx.dialects import dtypes

    return dtypes.int32


def while_loop(g: Generator, scope: Scope, depth: int) -> None:
    """A loop that counts itself down, and stops early where a carried bool says so."""
    carried = _carries(g, scope)
    avals = [scope.values[c].aval for c in carried]
    name, test, parameters = g.fresh("body"), g.fresh("test"), [g.fresh("p") for _ in carried]
    counter = g.fresh("n")
    known: dict[str, Any] = {**dict(zip(parameters, avals, strict=True)), counter: Aval((), scope_int())}
    inner = _block(g, scope, depth, known, True)
    results = [_of_type(g, inner, a, p) for a, p in zip(avals, parameters, strict=True)]
    body = ["    " + line for statement in inner.statements for line in statement.lines]
    lines = [f"def {name}(carry):", f"    {counter}, {', '.join(parameters)}, = carry", *body,
             f"    return {_tuple([f'{counter} - 1', *results])}",
             f"def {test}(carry):", "    return carry[0] > 0"]
    start = g.rng.randint(0, 4)
    call = f"px.while_loop({test}, {name}, {_tuple([f'px.asarray({start})', *carried])})[1:]"
    _finish(g, scope, lines, call, avals, "while_loop")


def scan(g: Generator, scope: Scope, depth: int) -> None:
    xs = g.pick(scope, lambda v: v.ndim >= 1)
    if xs is None:
        return
    whole = scope.values[xs].aval
    row = Aval(whole.shape[1:], whole.dtype)
    carried = _carries(g, scope, 2)
    avals = [scope.values[c].aval for c in carried]
    name, element, parameters = g.fresh("body"), g.fresh("x"), [g.fresh("p") for _ in carried]
    inner = _block(g, scope, depth, {**dict(zip(parameters, avals, strict=True)), element: row}, True)
    results = [_of_type(g, inner, a, p) for a, p in zip(avals, parameters, strict=True)]
    out = g.pick(inner, lambda v: v.size * whole.shape[0] <= 4096) or element
    stacked = Aval((whole.shape[0], *inner.values[out].shape), inner.values[out].dtype)
    body = ["    " + line for statement in inner.statements for line in statement.lines]
    lines = [f"def {name}(carry, {element}):", f"    {', '.join(parameters)}, = carry", *body,
             f"    return {_tuple(results)}, {out}"]
    reverse = g.rng.choice(("", ", reverse=True"))
    found = g.fresh("s")
    lines.append(f"{found} = px.scan({name}, {_tuple(carried)}, {xs}{reverse})")
    _finish(g, scope, lines, f"(*{found}[0], {found}[1])", [*avals, stacked], "scan")


CONTROL = (cond, fori_loop, while_loop, scan)
