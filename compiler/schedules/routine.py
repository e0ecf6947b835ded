"""Functions that all matrix products of a module share, as text: each is written once, sizes and strides are arguments."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from phalanx.compiler.schedules.cluster import View, flat
from phalanx.compiler.schedules.text import Index, Writer

LOCATION = 'loc("shared by all products")'


class Routine:
    """One shared function being written.

    `arguments` are (name, kind): the kind is `index`, or the element type of memory the argument points to. Memory
    named in `written` overlaps nothing else.

    >>> routine = Routine("px_zero", [("to", "f32"), ("at", "index")], written=("to",))
    >>> routine.text(lambda: routine.put("to", "%at", 8, "%zero"))
    """

    def __init__(self, name: str, arguments: Sequence[tuple[str, str]], written: Sequence[str] = ()) -> None:
        self.name = name
        self.arguments = arguments
        self.written = frozenset(written)
        self.writer = Writer(LOCATION)
        self.views = {n: View(f"%{n}", kind, (), ()) for n, kind in arguments if kind != "index"}

    @property
    def types(self) -> list[str]:
        """The types of the arguments."""
        return [kind if kind == "index" else f"memref<{kind}>" for _, kind in self.arguments]

    def text(self, body: Callable[[], None]) -> str:
        """The whole function; `body` writes what it does."""
        body()
        self.writer.line("func.return")
        notes = dict.fromkeys(self.written, " {llvm.noalias}")
        pairs = zip(self.arguments, self.types, strict=True)
        arguments = ", ".join(f"%{name}: {kind}{notes.get(name, '')}" for (name, _), kind in pairs)
        attributes = '{px.cluster = "shared", px.workspace = 0 : i64}'
        head = f"func.func private @{self.name}({arguments}) attributes {attributes}"
        return f"{head} {{\n{self.writer.text()}\n}} {LOCATION}"

    # -- vectors -----------------------------------------------------------------------------------

    def get(self, which: str, address: Index, lanes: int, mask: str | None = None) -> str:
        """A vector from memory; lanes that `mask` leaves out are zero and not read."""
        element = self.views[which].element
        vector = f"vector<{lanes}x{element}>"
        place = f"{flat(self.writer, self.views[which])}[{self.writer.index(address)}]"
        if mask is None:
            return self.writer.value(f"vector.load {place} : memref<?x{element}>, {vector}")
        zero = self.zero(vector, element)
        types = f"memref<?x{element}>, vector<{lanes}xi1>, {vector} into {vector}"
        return self.writer.value(f"vector.maskedload {place}, {mask}, {zero} : {types}")

    def put(self, which: str, address: Index, lanes: int, value: str, mask: str | None = None) -> None:
        """A vector to memory; lanes that `mask` leaves out are not written."""
        element = self.views[which].element
        vector = f"vector<{lanes}x{element}>"
        place = f"{flat(self.writer, self.views[which])}[{self.writer.index(address)}]"
        if mask is None:
            self.writer.line(f"vector.store {value}, {place} : memref<?x{element}>, {vector}")
        else:
            types = f"memref<?x{element}>, vector<{lanes}xi1>, {vector}"
            self.writer.line(f"vector.maskedstore {place}, {mask}, {value} : {types}")

    def prefetch(self, which: str, address: Index, *, write: bool) -> None:
        """Asks for the cache line of an element."""
        place = f"{flat(self.writer, self.views[which])}[{self.writer.index(address)}]"
        intent = "write" if write else "read"
        self.writer.line(f"memref.prefetch {place}, {intent}, locality<3>, data : memref<?x{self.views[which].element}>")

    def mask(self, lanes: int, count: Index) -> str:
        """The first `count` of `lanes`; none when it is negative."""
        name = self.writer.index(count)
        return self.writer.pure(f"vector.create_mask {name} : vector<{lanes}xi1>", [name])

    def zero(self, vector: str, element: str) -> str:
        """A vector of zeros."""
        return self.writer.constant(f"dense<{'0.0' if element[0] in 'fb' else '0'}> : {vector}")


def widen(writer: Writer, value: str, source: str, target: str, lanes: int = 0) -> str:
    """A scalar, or a vector of `lanes`, in a wider element type."""
    if source == target:
        return value
    operation = "arith.extf" if target[0] == "f" else "arith.extsi"
    shown = (f"vector<{lanes}x{kind}>" if lanes else kind for kind in (source, target))
    return writer.value(f"{operation} {value} : {' to '.join(shown)}")


def multiply_add(writer: Writer, a: str, b: str, total: str, element: str, kind: str) -> str:
    """`a * b + total`; `kind` is the type of all three."""
    if element[0] == "f":
        term = writer.value(f"arith.mulf {a}, {b} fastmath<contract> : {kind}")
        return writer.value(f"arith.addf {term}, {total} fastmath<contract> : {kind}")
    term = writer.value(f"arith.muli {a}, {b} : {kind}")
    return writer.value(f"arith.addi {term}, {total} : {kind}")


class Shared:
    """The shared functions a module needs so far, by name."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self._types: dict[str, list[str]] = {}

    def define(self, routine: Routine, body: Callable[[], None]) -> str:
        """Writes a function unless one of its name is there; returns the name."""
        if routine.name not in self.texts:
            self._types[routine.name] = routine.types
            self.texts[routine.name] = routine.text(body)
        return routine.name

    def call(self, writer: Writer, name: str, values: Sequence[Index]) -> None:
        """Writes a call of a defined function."""
        shown = ", ".join(writer.index(value) for value in values)
        writer.line(f"func.call @{name}({shown}) : ({', '.join(self._types[name])}) -> ()")
