"""Writes MLIR text: nested scopes, index arithmetic folded at compile time and hoisted, a location on every line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

Index = int | str
"""A size, stride or position: known now (int) or the name of an `index` value in the text."""

Monomial = tuple[int, tuple[str, ...]]


def _nothing_from(body: Callable[[], None]) -> Sequence[str]:
    body()
    return ()


class Scope:
    """The lines of one region, and the pure values already computed in it."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.known: dict[str, str] = {}


class Writer:
    """Builds the body of one function.

    Pure values go to the outermost scope in which their operands exist, so addresses are computed once per
    row and constants once per function, whatever the order in which the schedule asks for them.

    >>> w = Writer("loc(unknown)")
    >>> w.mul(3, 4), w.add("%n", 0)
    (12, '%n')
    """

    def __init__(self, location: str) -> None:
        self.location = location
        self._scopes = [Scope()]
        self._depth: dict[str, int] = {}
        self._monomials: dict[str, Monomial] = {}
        self._products: dict[Monomial, str] = {}
        self._constants: dict[str, str] = {}
        self._most: dict[str, int] = {}
        self._count = 0

    # -- lines and names -------------------------------------------------------------------------

    def name(self, hint: str = "v") -> str:
        self._count += 1
        return f"%{hint}{self._count}"

    def line(self, text: str) -> None:
        self._scopes[-1].lines.append(f"{text} {self.location}")

    def value(self, text: str, hint: str = "v") -> str:
        """One operation with one result, in the current scope."""
        name = self.name(hint)
        self.line(f"{name} = {text}")
        self._depth[name] = len(self._scopes) - 1
        return name

    def pure(self, text: str, operands: Sequence[str], hint: str = "v") -> str:
        """One operation that may move outwards: emitted once, in the scope of its deepest operand."""
        depth = max((self._depth.get(operand, 0) for operand in operands), default=0)
        scope = self._scopes[depth]
        if (known := scope.known.get(text)) is not None:
            return known
        name = scope.known[text] = self.name(hint)
        scope.lines.append(f"{name} = {text} {self.location}")
        self._depth[name] = depth
        return name

    def text(self) -> str:
        (scope,) = self._scopes
        return "\n".join(scope.lines)

    # -- regions -----------------------------------------------------------------------------------

    def _region(self, names: Sequence[str], body: Callable[[], Sequence[str]], types: Sequence[str]) -> list[str]:
        self._scopes.append(Scope())
        for name in names:
            self._depth[name] = len(self._scopes) - 1
        yielded = body()
        self.line(f"scf.yield {', '.join(yielded)} : {', '.join(types)}" if types else "scf.yield")
        return self._scopes.pop().lines

    def loop(
        self,
        lower: Index,
        upper: Index,
        step: Index,
        body: Callable[[str, list[str]], Sequence[str] | None],
        inits: Sequence[str] = (),
        types: Sequence[str] = (),
        hint: str = "i",
        bound_type: str = "index",
    ) -> list[str]:
        """An scf.for; `body(induction value, carried values)` returns the next carried values."""
        low, high, by = self.index(lower), self.index(upper), self.index(step)
        variable = self.name(hint)
        carried = [self.name("a") for _ in inits]
        results = [self.name("r") for _ in inits]
        head = f"scf.for {variable} = {low} to {high} step {by}"
        if inits:
            pairs = ", ".join(f"{a} = {b}" for a, b in zip(carried, inits, strict=True))
            head = f"{', '.join(results)} = {head} iter_args({pairs}) -> ({', '.join(types)})"
        if bound_type != "index":
            head += f" : {bound_type}"
        lines = self._region([variable, *carried], lambda: body(variable, carried) or (), types)
        self._close(f"{head} {{", lines, results)
        return results

    def conditional(self, condition: str, then: Callable[[], None], otherwise: Callable[[], None] | None = None) -> None:
        """An scf.if without results."""
        branches = [then] if otherwise is None else [then, otherwise]
        self.choose(condition, [partial(_nothing_from, branch) for branch in branches], [])

    def choose(self, condition: str, branches: Sequence[Callable[[], Sequence[str]]], types: Sequence[str]) -> list[str]:
        """An scf.if whose one or two branches return the values it yields."""
        results = [self.name("r") for _ in types]
        lines = self._region([], branches[0], types)
        for branch in branches[1:]:
            lines.append("} else {")
            lines += self._region([], branch, types)
        head = f"scf.if {condition}"
        if types:
            head = f"{', '.join(results)} = {head} -> ({', '.join(types)})"
        self._close(f"{head} {{", lines, results)
        return results

    def repeat(
        self,
        inits: Sequence[str],
        types: Sequence[str],
        test: Callable[[list[str]], tuple[str, list[str], list[str]]],
        body: Callable[[list[str]], Sequence[str]],
    ) -> list[str]:
        """An scf.while.

        `test(carried)` returns the condition, the values passed on and their types, `body` the next carried values.
        """
        carried = [self.name("a") for _ in inits]
        self._scopes.append(Scope())
        for name in carried:
            self._depth[name] = len(self._scopes) - 1
        condition, passed, kinds = test(carried)
        suffix = f" {', '.join(passed)} : {', '.join(kinds)}" if kinds else ""
        self.line(f"scf.condition({condition}){suffix}")
        lines = self._scopes.pop().lines
        arguments = [self.name("a") for _ in kinds]
        results = [self.name("r") for _ in kinds]
        shown = ", ".join(f"{name}: {kind}" for name, kind in zip(arguments, kinds, strict=True))
        lines += ["} do {", f"^bb0({shown}):"]
        lines += self._region(arguments, lambda: body(arguments), types)
        head = "scf.while "
        if inits:
            head += f"({', '.join(f'{a} = {b}' for a, b in zip(carried, inits, strict=True))}) "
        head += f": ({', '.join(types)}) -> ({', '.join(kinds)})"
        self._close(f"{', '.join(results)} = {head} {{" if results else f"{head} {{", lines, results)
        return results

    def parallel(self, upper: Index, body: Callable[[str], None]) -> None:
        """An scf.parallel over 0 .. upper."""
        zero, one, high = self.index(0), self.index(1), self.index(upper)
        variable = self.name("chunk")
        lines = self._region([variable], partial(_nothing_from, partial(body, variable)), [])
        lines[-1] = f"scf.reduce {self.location}"
        self._close(f"scf.parallel ({variable}) = ({zero}) to ({high}) step ({one}) {{", lines, [])

    def _close(self, head: str, lines: list[str], results: Sequence[str]) -> None:
        scope = self._scopes[-1]
        scope.lines.append(head)
        scope.lines += lines
        scope.lines.append(f"}} {self.location}")
        for result in results:
            self._depth[result] = len(self._scopes) - 1

    # -- constants and index arithmetic ------------------------------------------------------------

    def constant(self, attribute: str) -> str:
        """A constant from its attribute text, e.g. `1.0 : f32`."""
        name = self.pure(f"arith.constant {attribute}", [], "c")
        self._constants[name] = attribute
        return name

    def constant_text(self, name: str) -> str | None:
        """The attribute text of a value made by `constant`."""
        return self._constants.get(name)

    def index(self, value: Index) -> str:
        return value if isinstance(value, str) else self.constant(f"{value} : index")

    def monomial(self, value: Index) -> Monomial:
        """The value as integer times a product of named values: equal monomials mean equal values."""
        if isinstance(value, int):
            return value, ()
        return self._monomials.get(value, (1, (value,)))

    def equal(self, a: Index, b: Index) -> bool:
        """Whether two indices are provably the same."""
        return self.monomial(a) == self.monomial(b)

    def declare(self, name: str, monomial: Monomial) -> None:
        """States what the value `name` is, when it was computed outside `mul`."""
        self._monomials[name] = monomial
        if self._depth.get(name, 0) == 0:
            self._products.setdefault(monomial, name)

    def mul(self, a: Index, b: Index) -> Index:
        if isinstance(a, int) and isinstance(b, int):
            return a * b
        if a == 0 or b == 0:
            return 0
        if a == 1:
            return b
        if b == 1:
            return a
        (ca, va), (cb, vb) = self.monomial(a), self.monomial(b)
        product = (ca * cb, tuple(sorted(va + vb)))
        if (known := self._products.get(product)) is not None:
            return known
        names = self._names(a, b)
        result = self.pure(f"arith.muli {self.index(a)}, {self.index(b)} overflow<nsw> : index", names, "x")
        self.declare(result, product)
        return result

    def add(self, a: Index, b: Index) -> Index:
        if isinstance(a, int) and isinstance(b, int):
            return a + b
        if a == 0:
            return b
        if b == 0:
            return a
        return self.pure(f"arith.addi {self.index(a)}, {self.index(b)} overflow<nsw> : index", self._names(a, b), "x")

    def sub(self, a: Index, b: Index) -> Index:
        if isinstance(a, int) and isinstance(b, int):
            return a - b
        if b == 0:
            return a
        return self.pure(f"arith.subi {self.index(a)}, {self.index(b)} overflow<nsw> : index", self._names(a, b), "x")

    def min(self, a: Index, b: Index) -> Index:
        if isinstance(a, int) and isinstance(b, int):
            return min(a, b)
        result = self.pure(f"arith.minsi {self.index(a)}, {self.index(b)} : index", self._names(a, b), "x")
        bounds = [bound for bound in (self.most(a), self.most(b)) if bound is not None]
        if bounds:
            self._most[result] = min(bounds)
        return result

    def most(self, value: Index) -> int | None:
        """The largest an index can be where that is known: it is a number, or the minimum of a number and another index."""
        return value if isinstance(value, int) else self._most.get(value)

    def max(self, a: Index, b: Index) -> Index:
        if isinstance(a, int) and isinstance(b, int):
            return max(a, b)
        return self.pure(f"arith.maxsi {self.index(a)}, {self.index(b)} : index", self._names(a, b), "x")

    def ceildiv(self, a: Index, b: int) -> Index:
        if isinstance(a, int):
            return -(-a // b)
        return self.pure(f"arith.ceildivsi {a}, {self.index(b)} : index", [a], "x")

    def floor_to(self, a: Index, multiple: int) -> Index:
        """The largest multiple of `multiple` not above `a`."""
        if isinstance(a, int):
            return a // multiple * multiple
        rest = self.pure(f"arith.remsi {a}, {self.index(multiple)} : index", [a], "x")
        return self.sub(a, rest)

    def compare(self, predicate: str, a: Index, b: Index) -> str:
        names = self._names(a, b)
        return self.pure(f"arith.cmpi {predicate}, {self.index(a)}, {self.index(b)} : index", names, "b")

    def _names(self, *values: Index) -> list[str]:
        return [value for value in values if isinstance(value, str)]
