"""Writes LLVM IR text: loops and branches as blocks in the form that code generation wants, without any pass in between.

Types are LLVM's; an index is an `i64`, and one known now stands in the text as a number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from phalanx.compiler.schedules.scopes import Index, Scope, ScopedText

_FLAGGED = {"muli": "mul nsw", "addi": "add nsw", "subi": "sub nsw", "remsi": "srem"}
_INTRINSICS = {"minsi": "smin", "maxsi": "smax"}
_ELEMENTS = {"f64": "double", "f32": "float", "f16": "half", "bf16": "bfloat"}


def llvm_element(element: str) -> str:
    """LLVM's name of an element type.

    >>> llvm_element("f32"), llvm_element("i8")
    ('float', 'i8')
    """
    return _ELEMENTS.get(element, element)


class LlvmWriter(ScopedText):
    """Builds the body of one function of LLVM IR; intrinsics need no declaration.

    >>> w = LlvmWriter()
    >>> w.add("%n", 1)
    '%x1'
    """

    def __init__(self) -> None:
        super().__init__()
        self._blocks = ["entry"]  # for each scope the block that its next line belongs to

    def text(self) -> str:
        return f"entry:\n{super().text()}"

    # -- regions -----------------------------------------------------------------------------------

    def loop(
        self,
        lower: Index,
        upper: Index,
        step: Index,
        body: Callable[[str, list[str]], Sequence[str] | None],
        inits: Sequence[str] = (),
        types: Sequence[str] = (),
        hint: str = "i",
    ) -> list[str]:
        """A loop tested at its end, with a test in front unless it is known to run.

        `body(induction value, carried values)` returns the next carried values.
        """
        runs = isinstance(lower, int) and isinstance(upper, int)
        if isinstance(lower, int) and isinstance(upper, int) and lower >= upper:
            return list(inits)
        low, high = self.index(lower), self.index(upper)
        variable, inside, behind = self.name(hint), self.name("body")[1:], self.name("done")[1:]
        carried = [self.name("a") for _ in inits]
        lines, latch, following = self._region(inside, [variable, *carried], lambda: body(variable, carried) or ())
        start = self._blocks[-1]
        self._enter(inside, behind, "" if runs else self._comparison("slt", low, high))
        following_index, more = self.name("n"), self.name("b")
        entries = [("i64", variable, low, following_index), *zip(types, carried, inits, following, strict=True)]
        out = [f"{name} = phi {kind} [ {first}, %{start} ], [ {then}, %{latch} ]" for kind, name, first, then in entries]
        out += [*lines, f"{following_index} = {self._arithmetic('addi', variable, self.index(step))}",
                f"{more} = {self._comparison('slt', following_index, high)}",
                f"br i1 {more}, label %{inside}, label %{behind}", f"{behind}:"]
        self._scopes[-1].lines += out
        self._blocks[-1] = behind
        ways = [latch] if runs else [start, latch]
        return [self.value(f"phi {kind} " + ", ".join(
                    f"[ {value}, %{way} ]" for value, way in zip([init, then][-len(ways):], ways, strict=True)), "r")
                for kind, init, then in zip(types, inits, following, strict=True)]

    def choose(self, condition: str, branches: Sequence[Callable[[], Sequence[str]]], types: Sequence[str]) -> list[str]:
        """One or two branches that return the values of the whole."""
        labels = [self.name("way")[1:] for _ in branches]
        joined = self.name("join")[1:]
        regions = [self._region(label, [], branch) for label, branch in zip(labels, branches, strict=True)]
        other = labels[1] if len(labels) > 1 else joined
        lines = [f"br i1 {condition}, label %{labels[0]}, label %{other}"]
        for label, (inner, _, _) in zip(labels, regions, strict=True):
            lines += [f"{label}:", *inner, f"br label %{joined}"]
        self._scopes[-1].lines += [*lines, f"{joined}:"]
        self._blocks[-1] = joined
        return [self.value(f"phi {kind} " + ", ".join(f"[ {values[number]}, %{end} ]" for _, end, values in regions), "r")
                for number, kind in enumerate(types)]

    def _region(self, label: str, names: Sequence[str], body: Callable[[], Sequence[str]],
                ) -> tuple[list[str], str, Sequence[str]]:
        """The lines of a region that starts with block `label`, the block it ends in, what it yields."""
        self._scopes.append(Scope())
        self._blocks.append(label)
        for name in names:
            self._depth[name] = len(self._scopes) - 1
        yielded = body()
        return self._scopes.pop().lines, self._blocks.pop(), yielded

    def _enter(self, inside: str, behind: str, condition: str) -> None:
        """The end of the block in front of a loop."""
        if condition:
            test = self.name("b")
            self.line(f"{test} = {condition}")
            self.line(f"br i1 {test}, label %{inside}, label %{behind}")
        else:
            self.line(f"br label %{inside}")
        self.line(f"{inside}:")

    # -- operations on indices -----------------------------------------------------------------------

    def index(self, value: Index) -> str:
        return value if isinstance(value, str) else str(value)

    def opaque(self, value: Index) -> Index:
        """The same index, of which loop passes of code generation do not see how it changes.

        They weigh every way to step through memory, for milliseconds when there are many places; with this, addresses stay
        as they are written.
        """
        return self.value(f"xor i64 {value}, 0", "x") if isinstance(value, str) else value

    def _arithmetic(self, operation: str, a: str, b: str) -> str:
        if operation in _INTRINSICS:
            return f"call i64 @llvm.{_INTRINSICS[operation]}.i64(i64 {a}, i64 {b})"
        return f"{_FLAGGED[operation]} i64 {a}, {b}"

    def _comparison(self, predicate: str, a: str, b: str) -> str:
        return f"icmp {predicate} i64 {a}, {b}"
