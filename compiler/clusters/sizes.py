"""Sizes, strides and offsets: plain integers, or polynomials over index values that are known only at run time.

Two symbolic sizes are equal exactly when their normal forms are equal. Anything that is not a sum or a
product (a division, a loaded index, a loop variable) is an atom of the polynomial.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Union

Size = Union[int, "Symbolic"]  # a forward reference in `|` fails at run time


@dataclass(frozen=True)
class Leaf:
    """An index value of the program: an argument of `main`, a loop variable, a computed index."""

    number: int
    value: Any = field(compare=False)  # the ir.Value of the original function


@dataclass(frozen=True)
class Apply:
    """A two-operand index operation that polynomials cannot express, e.g. `arith.floordivsi`."""

    name: str
    lhs: Size
    rhs: Size


Atom = Leaf | Apply
Monomial = tuple[Atom, ...]


@dataclass(frozen=True)
class Symbolic:
    """A polynomial in normal form: sorted monomials, no zero coefficient, not a plain constant."""

    terms: tuple[tuple[Monomial, int], ...]


def _atom_order(atom: Atom) -> tuple[int, str]:
    return (atom.number, "") if isinstance(atom, Leaf) else (1 << 30, repr(atom))


def _terms(size: Size) -> dict[Monomial, int]:
    if isinstance(size, Symbolic):
        return dict(size.terms)
    return {(): size} if size else {}


def _normal(terms: dict[Monomial, int]) -> Size:
    kept = [(monomial, factor) for monomial, factor in terms.items() if factor]
    if not kept:
        return 0
    if len(kept) == 1 and kept[0][0] == ():
        return kept[0][1]
    kept.sort(key=lambda term: (-len(term[0]), [_atom_order(atom) for atom in term[0]]))
    return Symbolic(tuple(kept))


def leaf(number: int, value: Any) -> Symbolic:
    """The size that is one index value."""
    return Symbolic((((Leaf(number, value),), 1),))


def add(lhs: Size, rhs: Size) -> Size:
    """Sum of two sizes."""
    if isinstance(lhs, int) and isinstance(rhs, int):
        return lhs + rhs
    terms = _terms(lhs)
    for monomial, factor in _terms(rhs).items():
        terms[monomial] = terms.get(monomial, 0) + factor
    return _normal(terms)


def multiply(lhs: Size, rhs: Size) -> Size:
    """Product of two sizes."""
    if isinstance(lhs, int) and isinstance(rhs, int):
        return lhs * rhs
    if lhs == 1 or rhs == 1:
        return rhs if lhs == 1 else lhs
    terms: dict[Monomial, int] = {}
    for left, left_factor in _terms(lhs).items():
        for right, right_factor in _terms(rhs).items():
            monomial = tuple(sorted(left + right, key=_atom_order))
            terms[monomial] = terms.get(monomial, 0) + left_factor * right_factor
    return _normal(terms)


def product(sizes: Iterable[Size]) -> Size:
    """Product of many sizes, 1 for none."""
    total: Size = 1
    for size in sizes:
        total = multiply(total, size)
    return total


_EXACT: dict[str, Callable[[int, int], int]] = {
    "arith.floordivsi": lambda a, b: a // b,
    "arith.ceildivsi": lambda a, b: -(-a // b),
    "arith.divsi": lambda a, b: abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1),
    "arith.remsi": lambda a, b: abs(a) % abs(b) * (1 if a >= 0 else -1),
    "arith.maxsi": max,
    "arith.minsi": min,
}
APPLIED = frozenset(_EXACT) | {"arith.divui", "arith.remui", "arith.ceildivui", "arith.maxui", "arith.minui"}
_DIVISIONS = frozenset(name for name in APPLIED if "div" in name or "rem" in name)


def apply(name: str, lhs: Size, rhs: Size) -> Size:
    """`lhs name rhs` for an index operation that is not a ring operation."""
    if isinstance(lhs, int) and isinstance(rhs, int) and lhs >= 0 and rhs >= (name in _DIVISIONS):
        unsigned = {"divui": "divsi", "remui": "remsi", "ceildivui": "ceildivsi", "maxui": "maxsi", "minui": "minsi"}
        return _EXACT["arith." + unsigned.get(name.removeprefix("arith."), name.removeprefix("arith."))](lhs, rhs)
    if rhs == 1 and name in _DIVISIONS and "div" in name:
        return lhs
    return Symbolic((((Apply(name, lhs, rhs),), 1),))


def leaves(size: Size) -> set[Leaf]:
    """Every index value a size depends on."""
    found: set[Leaf] = set()
    if isinstance(size, Symbolic):
        for monomial, _ in size.terms:
            for atom in monomial:
                found |= {atom} if isinstance(atom, Leaf) else leaves(atom.lhs) | leaves(atom.rhs)
    return found


def row_major(sizes: tuple[Size, ...]) -> tuple[Size, ...]:
    """Strides, in elements, of a contiguous array.

    >>> row_major((2, 3, 4))
    (12, 4, 1)
    """
    strides: list[Size] = []
    step: Size = 1
    for size in reversed(sizes):
        strides.append(step)
        step = multiply(step, size)
    return tuple(reversed(strides))
