"""Named sizes: integer polynomials over names such as `n`, with floor division, modulo, max and min as atoms.

Two expressions are equal exactly when their normal forms (sorted monomials) are equal; anything a normal
form does not decide raises TraceError, so that no program silently depends on a size it cannot know.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Union

from phalanx.dialects.errors import ShapeError, TraceError
from phalanx.dialects.facts import RELATIONS, Fact

Size = Union[int, "Dim"]
Atom = Any  # str, or ("//" | "%" | "max" | "min", Dim, Dim)
Monomial = tuple[Atom, ...]


def _atom_key(atom: Atom) -> str:
    return atom if isinstance(atom, str) else _atom_text(atom)


def _atom_text(atom: Atom) -> str:
    if isinstance(atom, str):
        return atom
    kind, lhs, rhs = atom
    if kind in ("max", "min"):
        return f"{kind}({lhs}, {rhs})"
    return f"({lhs}) {kind} {rhs}" if rhs.isdecimal_text() else f"({lhs}) {kind} ({rhs})"


class Dim:
    """A size that is known by name until the call: `px.spec("f32[n,128]")` has the Dim `n`.

    >>> n = Dim.named("n")
    >>> (n + 1) * 2
    2*n + 2
    """

    __slots__ = ("_hash", "terms")

    def __init__(self, terms: Mapping[Monomial, int]) -> None:
        ordered = sorted(
            ((m, c) for m, c in terms.items() if c),
            key=lambda item: (-len(item[0]), [_atom_key(a) for a in item[0]]),
        )
        self.terms: tuple[tuple[Monomial, int], ...] = tuple(ordered)
        self._hash = hash(self.terms)

    @staticmethod
    def named(name: str) -> Dim:
        if not re.fullmatch(r"[A-Za-z_]\w*", name):
            raise ShapeError(f"dim: {name!r} is not a name")
        return Dim({(name,): 1})

    @staticmethod
    def of(value: Size) -> Dim:
        return value if isinstance(value, Dim) else Dim({(): int(value)})

    def simplify(self) -> Size:
        """The plain int when no name is left."""
        if not self.terms:
            return 0
        if len(self.terms) == 1 and self.terms[0][0] == ():
            return self.terms[0][1]
        return self

    def isdecimal_text(self) -> bool:
        return isinstance(self.simplify(), int) or (len(self.terms) == 1 and self.terms[0][1] == 1)

    def names(self) -> set[str]:
        """Every name the expression uses."""
        found: set[str] = set()
        for monomial, _ in self.terms:
            for atom in monomial:
                if isinstance(atom, str):
                    found.add(atom)
                else:
                    found |= atom[1].names() | atom[2].names()
        return found

    def evaluate(self, values: Mapping[str, int]) -> int:
        """The size once every name has a value."""
        total = 0
        for monomial, coefficient in self.terms:
            product = coefficient
            for atom in monomial:
                product *= values[atom] if isinstance(atom, str) else _evaluate_atom(atom, values)
            total += product
        return total

    # Arithmetic.
    def __add__(self, other: Size) -> Size:
        if not isinstance(other, (int, Dim)):
            return NotImplemented
        terms = dict(self.terms)
        for monomial, coefficient in Dim.of(other).terms:
            terms[monomial] = terms.get(monomial, 0) + coefficient
        return Dim(terms).simplify()

    __radd__ = __add__

    def __neg__(self) -> Size:
        return Dim({m: -c for m, c in self.terms}).simplify()

    def __sub__(self, other: Size) -> Size:
        if not isinstance(other, (int, Dim)):
            return NotImplemented
        return self + (-other)

    def __rsub__(self, other: Size) -> Size:
        return (-self) + other

    def __mul__(self, other: Size) -> Size:
        if not isinstance(other, (int, Dim)):
            return NotImplemented
        terms: dict[Monomial, int] = {}
        for left, a in self.terms:
            for right, b in Dim.of(other).terms:
                monomial = tuple(sorted(left + right, key=_atom_key))
                terms[monomial] = terms.get(monomial, 0) + a * b
        return Dim(terms).simplify()

    __rmul__ = __mul__

    def __floordiv__(self, other: Size) -> Size:
        return floor_divide(self, other)

    def __rfloordiv__(self, other: Size) -> Size:
        return floor_divide(other, self)

    def __mod__(self, other: Size) -> Size:
        return modulo(self, other)

    def __rmod__(self, other: Size) -> Size:
        return modulo(other, self)

    # Decisions: a bool where the normal form proves it, else a Fact.
    def __eq__(self, other: object) -> Any:
        if isinstance(other, Dim) and self.terms == other.terms:
            return True
        return Fact(self, "==", other) if isinstance(other, (int, Dim)) else NotImplemented

    def __ne__(self, other: object) -> Any:
        if isinstance(other, Dim) and self.terms == other.terms:
            return False
        return Fact(self, "!=", other) if isinstance(other, (int, Dim)) else NotImplemented

    def __hash__(self) -> int:
        return self._hash

    def _undecided(self, what: str) -> TraceError:
        return TraceError(
            f"dim: {what} is not known while tracing, since the size {self} has no value yet",
            hint="compute with sizes instead of branching on them, or give the argument a fixed size",
        )

    def __bool__(self) -> bool:
        raise self._undecided(f"the truth of {self}")

    def __index__(self) -> int:
        raise self._undecided(f"int({self})")

    def __lt__(self, other: Size) -> Any:
        return self._ordered("<", other, 1, -1)

    def __le__(self, other: Size) -> Any:
        return self._ordered("<=", other, 0, -1)

    def __gt__(self, other: Size) -> Any:
        return self._ordered(">", other, 1, 1)

    def __ge__(self, other: Size) -> Any:
        return self._ordered(">=", other, 0, 1)

    def _ordered(self, relation: str, other: Size, least: int, sign: int) -> Any:
        """Whether sign * (self - other) >= least."""
        if not isinstance(other, (int, Dim)):
            return NotImplemented
        difference = Dim.of((self - other) * sign - least)  # sizes are at least 0, so coefficients of one sign decide
        if all(c >= 0 for _, c in difference.terms):
            return True
        if all(c <= 0 for _, c in difference.terms) and any(m == () for m, _ in difference.terms):
            return False
        return Fact(self, relation, other)

    def __str__(self) -> str:
        if not self.terms:
            return "0"
        pieces: list[str] = []
        for monomial, coefficient in self.terms:
            factors = [_atom_text(a) if isinstance(a, str) else f"({_atom_text(a)})" for a in monomial]
            magnitude = abs(coefficient)
            body = "*".join(([str(magnitude)] if magnitude != 1 or not factors else []) + factors)
            sign = "-" if coefficient < 0 else "+"
            pieces.append(f" {sign} {body}" if pieces else (f"-{body}" if coefficient < 0 else body))
        return "".join(pieces)

    __repr__ = __str__

    def __reduce__(self) -> tuple[Any, ...]:
        return parse, (str(self),)


def _evaluate_atom(atom: Atom, values: Mapping[str, int]) -> int:
    kind, lhs, rhs = atom
    a, b = lhs.evaluate(values), rhs.evaluate(values)
    if kind == "max":
        return max(a, b)
    if kind == "min":
        return min(a, b)
    if b == 0:
        raise ShapeError(f"dim: division by zero in {_atom_text(atom)}")
    return int(a // b if kind == "//" else a % b)


def floor_divide(lhs: Size, rhs: Size) -> Size:
    """`lhs // rhs`, exact when every coefficient divides."""
    if isinstance(lhs, int) and isinstance(rhs, int):
        return lhs // rhs
    left, right = Dim.of(lhs), Dim.of(rhs)
    if left == right:
        return 1
    divisor = right.simplify()
    if isinstance(divisor, int):
        if divisor == 1:
            return left.simplify()
        if divisor > 0 and all(c % divisor == 0 for _, c in left.terms):
            return Dim({m: c // divisor for m, c in left.terms}).simplify()
    elif len(right.terms) == 1:  # n*m*k // (n*m)
        quotient = _divide_by_monomial(left, *right.terms[0])
        if quotient is not None:
            return quotient.simplify()
    return Dim({(("//", left, right),): 1})


def _divide_by_monomial(left: Dim, monomial: Monomial, coefficient: int) -> Dim | None:
    terms: dict[Monomial, int] = {}
    for other, c in left.terms:
        rest = list(other)
        for atom in monomial:
            if atom not in rest:
                return None
            rest.remove(atom)
        if c % coefficient:
            return None
        terms[tuple(rest)] = c // coefficient
    return Dim(terms)


def modulo(lhs: Size, rhs: Size) -> Size:
    """`lhs % rhs`, 0 when the division is exact."""
    if isinstance(lhs, int) and isinstance(rhs, int):
        return lhs % rhs
    quotient = floor_divide(lhs, rhs)
    if Dim.of(quotient * rhs) == Dim.of(lhs):
        return 0
    return Dim({(("%", Dim.of(lhs), Dim.of(rhs)),): 1})


def maximum(lhs: Size, rhs: Size) -> Size:
    """The larger size; stays symbolic when undecided."""
    if isinstance(lhs, int) and isinstance(rhs, int):
        return max(lhs, rhs)
    try:
        return lhs if lhs >= rhs else rhs
    except TraceError:
        if (rhs >= lhs) is True:
            return rhs
        left, right = sorted((Dim.of(lhs), Dim.of(rhs)), key=str)
        return Dim({(("max", left, right),): 1})


def minimum(lhs: Size, rhs: Size) -> Size:
    """The smaller size; stays symbolic when undecided."""
    if isinstance(lhs, int) and isinstance(rhs, int):
        return min(lhs, rhs)
    try:
        return rhs if lhs >= rhs else lhs
    except TraceError:
        if (rhs >= lhs) is True:
            return lhs
        left, right = sorted((Dim.of(lhs), Dim.of(rhs)), key=str)
        return Dim({(("min", left, right),): 1})


def is_static(shape: tuple[Size, ...]) -> bool:
    """Whether every size is a plain int."""
    return all(isinstance(s, int) for s in shape)


def product(sizes: tuple[Size, ...]) -> Size:
    """Number of elements of a shape."""
    total: Size = 1
    for size in sizes:
        total = total * size
    return total


_TOKEN = r"\s*(?:(\d+)|([A-Za-z_]\w*)|(//|[-+*%(),]))"


class _Parser:
    """Recursive descent over the text `Dim.__str__` prints and specs use."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens: list[str] = []
        position = 0
        while position < len(text.rstrip()):
            match = re.compile(_TOKEN).match(text, position)
            if not match:
                raise ShapeError(f"dim: cannot read the size {text!r}")
            self.tokens.append(match.group(0).strip())
            position = match.end()
        self.at = 0

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self, wanted: str | None = None) -> str:
        token = self.peek()
        if not token or (wanted is not None and token != wanted):
            raise ShapeError(f"dim: cannot read the size {self.text!r}")
        self.at += 1
        return token

    def sum(self) -> Size:
        value: Size = -self.term() if self.peek() == "-" and self.take() else self.term()
        while self.peek() in ("+", "-"):
            value = value + self.term() if self.take() == "+" else value - self.term()
        return value

    def term(self) -> Size:
        value = self.factor()
        while self.peek() in ("*", "//", "%"):
            operator = self.take()
            right = self.factor()
            if operator == "*":
                value = value * right
            else:
                value = floor_divide(value, right) if operator == "//" else modulo(value, right)
        return value

    def factor(self) -> Size:
        token = self.take()
        if token == "(":
            value = self.sum()
            self.take(")")
            return value
        if token in ("max", "min") and self.peek() == "(":
            self.take("(")
            left = self.sum()
            self.take(",")
            right = self.sum()
            self.take(")")
            return maximum(left, right) if token == "max" else minimum(left, right)
        if token.isdigit():
            if len(token) > 19:
                raise ShapeError(f"dim: no memory has that many elements, got {token[:40]}")
            return int(token)
        return Dim.named(token)


def parse(text: str) -> Size:
    """Read a size: `128`, `n`, `2*n + 1`, `(n + 3) // 4`.

    Raises ShapeError when the text is not a size expression.
    """
    parser = _Parser(text)
    value = parser.sum()
    if parser.peek():
        raise ShapeError(f"dim: cannot read the size {text!r}")
    return value


_RELATION = r"(==|!=|<=|>=|<|>)"


def parse_fact(text: str) -> Fact:
    """Read a statement about sizes: `n % 8 == 0`, `n <= 4096`.

    >>> parse_fact("n<=2 * m")
    n <= 2*m

    Raises ShapeError when the text is not one comparison of sizes.
    """
    parts = re.split(_RELATION, text)
    if len(parts) != 3:
        raise ShapeError(f"dim: {text!r} is not a comparison of two sizes", hint=f"one of {' '.join(RELATIONS)}: n % 8 == 0")
    return Fact(parse(parts[0]), parts[1], parse(parts[2]))
