"""Functions that matrix products share, as LLVM IR text: each is written once, sizes and strides are arguments.

The text stands in the attribute `px.code` of the function's declaration. It passes through no pass, and is compiled once
for all modules that have it (`compiler/targets/codes.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from phalanx.compiler.schedules.llvm_text import LlvmWriter, llvm_element
from phalanx.compiler.schedules.scopes import Index
from phalanx.compiler.schedules.text import Writer
from phalanx.compiler.schedules.workspace import element_bytes
from phalanx.compiler.targets.codes import CODE


class Routine:
    """One shared function being written.

    `arguments` are (name, kind): the kind is `index`, or the element type of memory the argument points to. Memory
    named in `written` overlaps nothing else.

    >>> routine = Routine("px_zero", [("to", "f32"), ("at", "index")], written=("to",))
    >>> routine.text(lambda: routine.put("to", "%at", 8, routine.zero))
    """

    zero = "zeroinitializer"

    def __init__(self, name: str, arguments: Sequence[tuple[str, str]], written: Sequence[str] = ()) -> None:
        self.name = name
        self.arguments = arguments
        self.written = frozenset(written)
        self.writer = LlvmWriter()
        self._elements = {name: kind for name, kind in arguments if kind != "index"}

    @property
    def types(self) -> list[str]:
        """The types of the arguments, in MLIR."""
        return [kind if kind == "index" else f"memref<{kind}>" for _, kind in self.arguments]

    def text(self, body: Callable[[], None]) -> str:
        """The whole function; `body` writes what it does."""
        body()
        self.writer.line("ret void")
        notes = dict.fromkeys(self.written, " noalias")
        arguments = ", ".join(f"{'i64' if kind == 'index' else 'ptr'}{notes.get(name, '')} %{name}"
                              for name, kind in self.arguments)
        return f"define hidden void @{self.name}({arguments}) noinline nounwind {{\n{self.writer.text()}\n}}\n"

    def element(self, which: str) -> str:
        """The element type of an argument's memory."""
        return self._elements[which]

    # -- memory ------------------------------------------------------------------------------------

    def get(self, which: str, address: Index, lanes: int, mask: str | None = None) -> str:
        """A vector from memory; lanes that `mask` leaves out are zero and not read."""
        element = self._elements[which]
        kind, align, place = vector(lanes, element), element_bytes(element), self._place(which, address)
        if mask is None:
            return self.writer.value(f"load {kind}, ptr {place}, align {align}")
        return self.writer.value(f"call {kind} @llvm.masked.load.{_suffix(lanes, element)}.p0(ptr align {align} {place}, "
                                 f"<{lanes} x i1> {mask}, {kind} {self.zero})")

    def put(self, which: str, address: Index, lanes: int, value: str, mask: str | None = None) -> None:
        """A vector to memory; lanes that `mask` leaves out are not written."""
        element = self._elements[which]
        kind, align, place = vector(lanes, element), element_bytes(element), self._place(which, address)
        if mask is None:
            self.writer.line(f"store {kind} {value}, ptr {place}, align {align}")
        else:
            self.writer.line(f"call void @llvm.masked.store.{_suffix(lanes, element)}.p0({kind} {value}, "
                             f"ptr align {align} {place}, <{lanes} x i1> {mask})")

    def load(self, which: str, address: Index) -> str:
        """One element from memory."""
        element = self._elements[which]
        place = self._place(which, address)
        return self.writer.value(f"load {llvm_element(element)}, ptr {place}, align {element_bytes(element)}")

    def store(self, which: str, address: Index, value: str) -> None:
        """One element to memory."""
        element = self._elements[which]
        place = self._place(which, address)
        self.writer.line(f"store {llvm_element(element)} {value}, ptr {place}, align {element_bytes(element)}")

    def prefetch(self, which: str, address: Index, *, write: bool) -> None:
        """Asks for the cache line of an element."""
        place = self._place(which, address)
        self.writer.line(f"call void @llvm.prefetch.p0(ptr {place}, i32 {int(write)}, i32 3, i32 1)")

    def _place(self, which: str, address: Index) -> str:
        at = self.writer.index(address)
        return self.writer.pure(f"getelementptr inbounds {llvm_element(self._elements[which])}, ptr %{which}, i64 {at}",
                                [at], "p")

    # -- values ------------------------------------------------------------------------------------

    def mask(self, lanes: int, count: Index) -> str:
        """The first `count` of `lanes`; none when it is negative."""
        if isinstance(count, int):
            return "<" + ", ".join(f"i1 {'true' if lane < count else 'false'}" for lane in range(lanes)) + ">"
        # LLVM compares lanes in 32 bits, so what is far out of range is brought near first.
        near = self.writer.max(self.writer.min(count, lanes), 0)
        short = self.writer.pure(f"trunc i64 {near} to i32", [self.writer.index(near)])
        numbers = ", ".join(f"i32 {lane}" for lane in range(lanes))
        return self.writer.pure(f"icmp sgt <{lanes} x i32> {self._spread(short, 'i32', lanes)}, <{numbers}>", [short], "m")

    def spread(self, scalar: str, element: str, lanes: int) -> str:
        """A vector of one value."""
        return self._spread(scalar, llvm_element(element), lanes)

    def _spread(self, scalar: str, element: str, lanes: int) -> str:
        kind = f"<{lanes} x {element}>"
        first = self.writer.pure(f"insertelement {kind} poison, {element} {scalar}, i64 0", [scalar])
        return self.writer.pure(f"shufflevector {kind} {first}, {kind} poison, <{lanes} x i32> {self.zero}", [first])

    def shuffle(self, pair: tuple[str, str], order: Sequence[int], element: str, lanes: int) -> str:
        """Lanes of two vectors in another order; the second one's are counted behind the first one's."""
        kind = vector(lanes, element)
        numbers = ", ".join(f"i32 {lane}" for lane in order)
        return self.writer.value(f"shufflevector {kind} {pair[0]}, {kind} {pair[1]}, <{len(order)} x i32> <{numbers}>")

    def joined(self, parts: Sequence[str], element: str, lanes: int) -> str:
        """Vectors of `lanes` one behind the other; their number is a power of two."""
        parts = list(parts)
        while len(parts) > 1:
            parts = [self.shuffle(pair, range(2 * lanes), element, lanes)
                     for pair in zip(parts[::2], parts[1::2], strict=True)]
            lanes *= 2
        return parts[0]

    def plus(self, a: str, b: str, element: str, lanes: int) -> str:
        """The sum of two vectors."""
        operation = "fadd" if element[0] in "fb" else "add"
        return self.writer.value(f"{operation} {vector(lanes, element)} {a}, {b}")

    def multiply_add(self, a: str, b: str, total: str, element: str, lanes: int) -> str:
        """`a * b + total` of vectors, rounded once where the processor can."""
        kind = vector(lanes, element)
        times, plus = ("fmul contract", "fadd contract") if element[0] in "fb" else ("mul", "add")
        term = self.writer.value(f"{times} {kind} {a}, {b}")
        return self.writer.value(f"{plus} {kind} {term}, {total}")

    def total(self, value: str, element: str, lanes: int) -> str:
        """The sum of the lanes of a vector, in any order."""
        kind, short, suffix = vector(lanes, element), llvm_element(element), _suffix(lanes, element)
        if element[0] in "fb":
            return self.writer.value(f"call reassoc {short} @llvm.vector.reduce.fadd.{suffix}({short} -0.0, {kind} {value})")
        return self.writer.value(f"call {short} @llvm.vector.reduce.add.{suffix}({kind} {value})")

    def widen(self, value: str, source: str, target: str, lanes: int = 0) -> str:
        """A scalar, or a vector of `lanes`, in a wider element type."""
        if source == target:
            return value
        if source == "bf16":  # its bits are the upper half of an f32
            value = self._converted("bitcast", value, "bf16", "i16", lanes)
            value = self._converted("zext", value, "i16", "i32", lanes)
            shift = f"<{', '.join(['i32 16'] * lanes)}>" if lanes else "16"
            value = self.writer.value(f"shl {_kind('i32', lanes)} {value}, {shift}")
            return self.widen(self._converted("bitcast", value, "i32", "f32", lanes), "f32", target, lanes)
        return self._converted("fpext" if target[0] == "f" else "sext", value, source, target, lanes)

    def _converted(self, operation: str, value: str, source: str, target: str, lanes: int) -> str:
        return self.writer.value(f"{operation} {_kind(source, lanes)} {value} to {_kind(target, lanes)}")


def vector(lanes: int, element: str) -> str:
    """The type of a vector in LLVM IR.

    >>> vector(8, "f32")
    '<8 x float>'
    """
    return f"<{lanes} x {llvm_element(element)}>"


def _kind(element: str, lanes: int) -> str:
    return vector(lanes, element) if lanes else llvm_element(element)


def _suffix(lanes: int, element: str) -> str:
    return f"v{lanes}{element}"


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

    def declarations(self) -> list[str]:
        """What a module says of the functions, in MLIR."""
        return [f"func.func private @{name}({', '.join(self._types[name])}) attributes {{{CODE} = {_quoted(text)}}} "
                'loc("shared by all products")' for name, text in self.texts.items()]


def _quoted(text: str) -> str:
    """A text as an MLIR attribute."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\0A")
    return f'"{escaped}"'
