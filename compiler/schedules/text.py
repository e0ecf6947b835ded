"""Writes MLIR text: nested scopes, index arithmetic folded at compile time and hoisted, a location on every line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from phalanx.compiler.schedules.scopes import Index, Scope, ScopedText, nothing_from

__all__ = ["Index", "Writer"]


class Writer(ScopedText):
    """Builds the body of one function of MLIR.

    >>> w = Writer("loc(unknown)")
    >>> w.mul(3, 4), w.add("%n", 0)
    (12, '%n')
    """

    def __init__(self, location: str) -> None:
        super().__init__()
        self.location = location
        self._constants: dict[str, str] = {}

    def _marked(self, line: str) -> str:
        return f"{line} {self.location}"

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
        lines = self._region([variable], partial(nothing_from, partial(body, variable)), [])
        lines[-1] = f"scf.reduce {self.location}"
        self._close(f"scf.parallel ({variable}) = ({zero}) to ({high}) step ({one}) {{", lines, [])

    def _close(self, head: str, lines: list[str], results: Sequence[str]) -> None:
        scope = self._scopes[-1]
        scope.lines.append(head)
        scope.lines += lines
        scope.lines.append(f"}} {self.location}")
        for result in results:
            self._depth[result] = len(self._scopes) - 1

    # -- constants, and operations on indices --------------------------------------------------------

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

    def _arithmetic(self, operation: str, a: str, b: str) -> str:
        overflow = " overflow<nsw>" if operation in ("muli", "addi", "subi") else ""
        return f"arith.{operation} {a}, {b}{overflow} : index"

    def _comparison(self, predicate: str, a: str, b: str) -> str:
        return f"arith.cmpi {predicate}, {a}, {b} : index"
