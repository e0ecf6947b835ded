"""What a cluster function says: views of memory, values, nodes, outputs; and how memory is read and written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from phalanx.compiler.schedules.scalar import Body
from phalanx.compiler.schedules.text import Index, Writer
from phalanx.dialects.errors import CompileError
from phalanx.dialects.records import field, record


@record
class View:
    """A strided window on a pointer argument (or a global): sizes, strides and offset in elements."""

    pointer: str
    element: str
    sizes: tuple[Index, ...]
    strides: tuple[Index, ...]
    offset: Index = 0


@record
class Splat:
    """A tensor whose every element is one scalar; None when the elements are not defined (tensor.empty)."""

    scalar: str | None
    sizes: tuple[Index, ...]


@record(frozen=False, eq=False)
class Value:
    """One result of a node; `dims[k]` is the node dim its k-th dim runs over (None: always 0)."""

    node: Node
    number: int
    element: str
    sizes: tuple[Index, ...]
    dims: tuple[int | None, ...]

    @property
    def key(self) -> tuple[Node, int]:
        """The same for every view of one result."""
        return self.node, self.number


@record
class Carried:
    """A result of an opaque loop nest: a tensor updated in place."""

    nest: Any
    number: int
    sizes: tuple[Index, ...] = ()


@record
class Positions:
    """An operand that is a number: the sum of node dims times their steps (see `positions.py`)."""

    element: str
    terms: tuple[tuple[int, Index], ...]
    sizes: tuple[Index, ...] = ()


Source = View | Splat | Value | Carried | Positions


@record
class Expr:
    """An affine expression: constant + sum of coefficient * dim."""

    terms: tuple[tuple[int, int], ...]
    constant: int = 0

    @property
    def dim(self) -> int | None:
        """The dim, when the expression is just one dim."""
        return self.terms[0][0] if len(self.terms) == 1 and self.terms[0][1] == 1 and self.constant == 0 else None


@record
class Operand:
    """A tensor as one node reads it: element `map[k](node dims)` along its k-th dim."""

    source: Source
    map: tuple[Expr, ...]


@record(frozen=False, eq=False)
class Node:
    """One array op: iteration space, operands, scalar body."""

    name: str
    location: str
    sizes: list[Index]
    reduced: tuple[bool, ...]
    operands: list[Operand]
    inits: list[Operand]
    body: Body
    kind: str | None = None
    values: list[Value] = field(default_factory=list)

    @property
    def is_reduction(self) -> bool:
        return any(self.reduced)


@record
class Output:
    """A tensor the cluster writes, the view it is written to, and whether that memory is also an input's."""

    source: Source
    view: View
    aliased: bool


@record(frozen=False, eq=False)
class Cluster:
    """A cluster function, ready to be scheduled; scalar glue at its top is already in the writer."""

    name: str
    kind: str
    location: str
    nodes: list[Node]
    outputs: list[Output]
    writer: Writer
    scalars: dict[Any, str]
    tensors: dict[Any, Source]
    globals: list[str]
    nests: list[Any]
    workspace: str
    scratch: View | None = None
    """Rows of memory for the middle of a chain."""


def contiguous_strides(sizes: Sequence[Index], writer: Writer) -> tuple[Index, ...]:
    """Row-major strides of a dense array."""
    strides: list[Index] = []
    step: Index = 1
    for size in reversed(sizes):
        strides.insert(0, step)
        step = writer.mul(step, size)
    return tuple(strides)


def identity(rank: int) -> tuple[Expr, ...]:
    return tuple(Expr(((dim, 1),)) for dim in range(rank))


def location_text(op: Any) -> str:
    return str(op.location)


def refuse(op: Any, why: str) -> CompileError:
    """The error for something a schedule does not take, at the user's line."""
    return CompileError(f"schedule: {why}", location=str(op.location))


def copy_node(source: Source, view: View, location: str) -> Node:
    """A node whose value is `source`, over the sizes of `view`."""
    rank = len(view.sizes)
    node = Node("copy", location, list(view.sizes), (False,) * rank, [Operand(source, identity(rank))], [], Body.copy())
    node.values = [Value(node, 0, view.element, view.sizes, tuple(range(rank)))]
    return node


def load(writer: Writer, view: View, address: Index, *, movable: bool = True) -> str:
    """The element at a linear address."""
    memory = flat(writer, view)
    position = writer.index(address)
    text = f"memref.load {memory}[{position}] : memref<?x{view.element}>"
    return writer.pure(text, [memory, position], "v") if movable else writer.value(text)


def store(writer: Writer, view: View, address: Index, value: str) -> None:
    """Writes the element at a linear address."""
    memory = flat(writer, view)
    writer.line(f"memref.store {value}, {memory}[{writer.index(address)}] : memref<?x{view.element}>")


def flat(writer: Writer, view: View) -> str:
    """The memory behind a view as one row of elements."""
    bound = writer.constant(f"{(1 << 63) - 1} : index")
    return writer.pure(
        f"memref.reinterpret_cast {view.pointer} to offset: [0], sizes: [{bound}], strides: [1] : "
        f"memref<{view.element}> to memref<?x{view.element}>",
        [view.pointer],
        "m",
    )
