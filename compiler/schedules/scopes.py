"""Text in nested scopes: names, pure values moved outwards, index arithmetic folded at compile time.

What MLIR text (`text.py`) and LLVM IR text (`llvm_text.py`) have in common.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial

Index = int | str
"""A size, stride or position: known now (int) or the name of an index value in the text."""

Monomial = tuple[int, tuple[str, ...]]


def nothing_from(body: Callable[[], None]) -> Sequence[str]:
    """Run a body that yields no values."""
    body()
    return ()


class Scope:
    """The lines of one region, and the pure values already computed in it."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.known: dict[str, str] = {}


class ScopedText(ABC):
    """Builds the body of one function.

    Pure values go to the outermost scope in which their operands exist, so addresses are computed once per
    row and constants once per function, whatever the order in which the schedule asks for them.
    """

    def __init__(self) -> None:
        self._scopes = [Scope()]
        self._depth: dict[str, int] = {}
        self._monomials: dict[str, Monomial] = {}
        self._products: dict[Monomial, str] = {}
        self._most: dict[str, int] = {}
        self._count = 0

    # -- lines and names -------------------------------------------------------------------------

    def name(self, hint: str = "v") -> str:
        self._count += 1
        return f"%{hint}{self._count}"

    def line(self, text: str) -> None:
        self._scopes[-1].lines.append(self._marked(text))

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
        scope.lines.append(self._marked(f"{name} = {text}"))
        self._depth[name] = depth
        return name

    def text(self) -> str:
        (scope,) = self._scopes
        return "\n".join(scope.lines)

    def _marked(self, line: str) -> str:
        """A line as it is written."""
        return line

    # -- branches ------------------------------------------------------------------------------------

    def conditional(self, condition: str, then: Callable[[], None], otherwise: Callable[[], None] | None = None) -> None:
        """A branch without results."""
        branches = [then] if otherwise is None else [then, otherwise]
        self.choose(condition, [partial(nothing_from, branch) for branch in branches], [])

    @abstractmethod
    def choose(self, condition: str, branches: Sequence[Callable[[], Sequence[str]]], types: Sequence[str]) -> list[str]:
        """One or two branches that return the values of the whole."""

    # -- index arithmetic ----------------------------------------------------------------------------

    @abstractmethod
    def index(self, value: Index) -> str:
        """An index as an operand."""

    @abstractmethod
    def _arithmetic(self, operation: str, a: str, b: str) -> str:
        """`muli`, `addi`, `subi`, `minsi`, `maxsi`, `remsi` or `ceildivsi` of two operands, as text."""

    @abstractmethod
    def _comparison(self, predicate: str, a: str, b: str) -> str:
        """A comparison of two operands, as text."""

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
        result = self._computed("muli", a, b)
        self.declare(result, product)
        return result

    def add(self, a: Index, b: Index) -> Index:
        if isinstance(a, int) and isinstance(b, int):
            return a + b
        if a == 0:
            return b
        if b == 0:
            return a
        return self._computed("addi", a, b)

    def sub(self, a: Index, b: Index) -> Index:
        if isinstance(a, int) and isinstance(b, int):
            return a - b
        if b == 0:
            return a
        return self._computed("subi", a, b)

    def min(self, a: Index, b: Index) -> Index:
        if isinstance(a, int) and isinstance(b, int):
            return min(a, b)
        result = self._computed("minsi", a, b)
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
        return self._computed("maxsi", a, b)

    def ceildiv(self, a: Index, b: int) -> Index:
        if isinstance(a, int):
            return -(-a // b)
        return self._computed("ceildivsi", a, b)

    def floor_to(self, a: Index, multiple: int) -> Index:
        """The largest multiple of `multiple` not above `a`."""
        if isinstance(a, int):
            return a // multiple * multiple
        return self.sub(a, self._computed("remsi", a, multiple))

    def compare(self, predicate: str, a: Index, b: Index) -> str:
        return self.pure(self._comparison(predicate, self.index(a), self.index(b)), self._names(a, b), "b")

    def _computed(self, operation: str, a: Index, b: Index) -> str:
        return self.pure(self._arithmetic(operation, self.index(a), self.index(b)), self._names(a, b), "x")

    def _names(self, *values: Index) -> list[str]:
        return [value for value in values if isinstance(value, str)]
