"""LLVM IR text that computes named sizes at run time and notices when one overflows or makes no sense."""

from __future__ import annotations

from collections.abc import Mapping

from phalanx.dialects.dims import Dim, Size
from phalanx.dialects.facts import Fact

#: No tensor may take more bytes than this, so that sums over all temporaries stay far from 2**63.
MOST_BYTES = 1 << 47

DECLARATIONS = """
declare { i64, i1 } @llvm.smul.with.overflow.i64(i64, i64)
declare { i64, i1 } @llvm.sadd.with.overflow.i64(i64, i64)
declare i64 @llvm.smax.i64(i64, i64)
declare i64 @llvm.smin.i64(i64, i64)
"""

_OPPOSITE = {"==": "ne", "!=": "eq", "<=": "sgt", ">=": "slt", "<": "sge", ">": "sle"}


class Code:
    """Lines of one function body; values are numbered in the order they are made."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._known: dict[str, str] = {}

    def line(self, text: str) -> None:
        self.lines.append(f"  {text}")

    def label(self, name: str) -> None:
        """Start a block; what was computed before may not be there on every path, so it is forgotten."""
        self.lines.append(f"{name}:")
        self._known.clear()

    def value(self, text: str) -> str:
        """The result of an instruction that may have side effects."""
        name = f"%v{len(self.lines)}"
        self.line(f"{name} = {text}")
        return name

    def pure(self, text: str) -> str:
        """The result of an instruction without side effects: once per block."""
        known = self._known.get(text)
        if known is None:
            known = self._known[text] = self.value(text)
        return known

    def any_of(self, flags: list[str]) -> str:
        """An i1 that is true when one of `flags` is."""
        result = "false"
        for flag in dict.fromkeys(flags):
            result = flag if result == "false" else self.pure(f"or i1 {result}, {flag}")
        return result

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


class SizeCode(Code):
    """Computes size expressions from the i64 values of their names, collecting what went wrong as i1 flags.

    `overflow` are sums and products that do not fit, `invalid` divisions by something that is not positive.
    """

    def __init__(self, names: Mapping[str, str]) -> None:
        super().__init__()
        self.names = dict(names)
        self.overflow: list[str] = []
        self.invalid: list[str] = []

    def size(self, size: Size) -> str:
        """The operand that holds a size."""
        if isinstance(size, int):
            return str(size)
        total = "0"
        for monomial, coefficient in size.terms:
            product = str(coefficient)
            for atom in monomial:
                product = self.multiply(product, self.names[atom] if isinstance(atom, str) else self._atom(atom))
            total = self.add(total, product)
        return total

    def _atom(self, atom: tuple[str, Dim, Dim]) -> str:
        kind, left, right = atom
        a, b = self.size(left.simplify()), self.size(right.simplify())
        if kind in ("max", "min"):
            return self.pure(f"call i64 @llvm.s{kind}.i64(i64 {a}, i64 {b})")
        wrong = self.pure(f"icmp slt i64 {b}, 1")
        self.invalid.append(wrong)
        divisor = self.pure(f"select i1 {wrong}, i64 1, i64 {b}")
        rest = self.pure(f"srem i64 {a}, {divisor}")
        below = self.pure(f"icmp slt i64 {rest}, 0")
        if kind == "%":
            raised = self.pure(f"add i64 {rest}, {divisor}")
            return self.pure(f"select i1 {below}, i64 {raised}, i64 {rest}")
        quotient = self.pure(f"sdiv i64 {a}, {divisor}")
        lowered = self.pure(f"sub i64 {quotient}, 1")
        return self.pure(f"select i1 {below}, i64 {lowered}, i64 {quotient}")

    def broken(self, fact: Fact) -> str:
        """An i1 that is true when a fact does not hold."""
        left, right = self.size(fact.left), self.size(fact.right)
        return self.pure(f"icmp {_OPPOSITE[fact.relation]} i64 {left}, {right}")

    def multiply(self, a: str, b: str) -> str:
        if a == "1":
            return b
        return a if b == "1" else self._checked("smul", a, b)

    def add(self, a: str, b: str) -> str:
        if a == "0":
            return b
        return a if b == "0" else self._checked("sadd", a, b)

    def _checked(self, kind: str, a: str, b: str) -> str:
        pair = self.pure(f"call {{ i64, i1 }} @llvm.{kind}.with.overflow.i64(i64 {a}, i64 {b})")
        self.overflow.append(self.pure(f"extractvalue {{ i64, i1 }} {pair}, 1"))
        return self.pure(f"extractvalue {{ i64, i1 }} {pair}, 0")

    def nbytes(self, shape: tuple[Size, ...], itemsize: int) -> str:
        """Bytes of a tensor; more than MOST_BYTES count as overflow."""
        total = str(itemsize)
        for size in shape:
            if isinstance(size, int) and total.isdecimal():
                total = str(int(total) * size)
            else:
                total = self.multiply(total, self.size(size))
        if not total.isdecimal():
            self.overflow.append(self.pure(f"icmp sgt i64 {total}, {MOST_BYTES}"))
        return total
