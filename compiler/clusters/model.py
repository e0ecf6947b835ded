"""What the clusters stage knows about a function while it works: tensors, buffers, nodes, clusters.

These form one cyclic graph, so they compare by identity and have no generated `repr`.
"""

from __future__ import annotations

from typing import Any

from phalanx.compiler.clusters.sizes import Size, product
from phalanx.compiler.clusters.view import Access, View
from phalanx.dialects.errors import CompileError
from phalanx.dialects.records import field, record

BYTES = {"i1": 1, "i8": 1, "i16": 2, "i32": 4, "i64": 8, "f16": 2, "bf16": 2, "f32": 4, "f64": 8, "index": 8}


@record(frozen=False, eq=False, repr=False)
class Buffer:
    """A piece of memory: an argument, a result, a constant, a slot of the arena, or a loop-carried pointer."""

    kind: str  # "argument" | "result" | "constant" | "arena" | "carried"
    nbytes: Size
    pointer: Any = None  # memref<?xi8> in the driver
    first: int | None = None  # positions of the first and last step that touch it
    last: int | None = None
    shared: bool = False  # holds more than one tensor during its life (never reused in place on death)
    item: int = 1  # bytes of the widest element seen in it


@record(eq=False, repr=False)
class Place:
    """Where a tensor lives: a buffer, an offset in elements, strides in elements."""

    buffer: Buffer
    strides: tuple[Size, ...]
    offset: Size = 0


@record(frozen=False, eq=False, repr=False)
class Tensor:
    """One tensor value that owns storage; every view of it is a `Ref`."""

    sizes: tuple[Size, ...]
    element: Any  # ir.Type
    block: Block
    node: Node | None = None  # None: an argument of its block
    result: int = 0  # which result of the node
    strides: tuple[Size, ...] = ()  # layout readers may rely on; row-major unless a consumer asked otherwise
    role: str = "outside"  # "full" | "row" inside its cluster
    store: tuple[int | None, ...] = ()  # which loop of its producer runs over each dimension, None for unit ones
    loops: int = 0  # number of loops its producer stores over
    readers: list[Node] = field(default_factory=list)
    home: Place | None = None
    extra: list[Place] = field(default_factory=list)  # further write-only destinations
    scalar: Any = None  # rank 0 held in an SSA value of the driver
    preset: Buffer | None = None  # loop carry: the next iteration's buffer already holds all but the inserted parts

    @property
    def view(self) -> View:
        return View(self.sizes, self.strides)

    @property
    def item_bytes(self) -> int:
        try:
            return BYTES[str(self.element)]
        except KeyError:
            raise CompileError(f"clusters: no element type {self.element}",
                               hint=f"one of {', '.join(BYTES)}") from None

    @property
    def nbytes(self) -> Size:
        total = product(self.sizes)
        return total * self.item_bytes if isinstance(total, int) else product((total, self.item_bytes))

    @property
    def access(self) -> Access:
        """How its producer's loops store it in its own layout."""
        return self.store_at(self.strides)

    def store_at(self, strides: tuple[Size, ...]) -> Access:
        """How its producer's loops store it in another layout."""
        steps: list[Size] = [0] * self.loops
        for loop, stride in zip(self.store, strides, strict=True):
            if loop is not None:
                steps[loop] = stride
        return Access(0, tuple(steps))

    @property
    def unit(self) -> Cluster | None:
        return self.node.cluster if self.node is not None else None


@record(repr=False)
class Ref:
    """A tensor seen through a view."""

    tensor: Tensor
    view: View

    @property
    def whole(self) -> bool:
        """The tensor itself, in its own layout."""
        return self.view == self.tensor.view


@record
class Fill:
    """A tensor whose elements are all one scalar: no storage until somebody needs memory."""

    scalar: Any  # ir.Attribute (a typed constant) or ir.Value
    sizes: tuple[Size, ...]
    element: Any
    location: Any


@record
class Empty:
    """`tensor.empty`: contents do not matter."""

    sizes: tuple[Size, ...]
    element: Any


@record(frozen=False, eq=False, repr=False)
class Operand:
    """One input of a loop nest: a tensor with an access, or a scalar that replaces a constant tensor."""

    argument: int  # which block argument of the body it is, -1 for none
    tensor: Tensor | None = None
    access: Access | None = None
    scalar: Any = None


@record(frozen=False, eq=False, repr=False)
class Node:
    """One step of a block.

    kinds: `elementwise`, `reduction`, `contraction` (loop nests), `insert`, `control` (scf), `opaque`, `host`,
    `elements` (from_elements), `glue` (scalar code of the driver).
    """

    kind: str
    op: Any
    block: Block
    position: int
    outputs: list[Tensor] = field(default_factory=list)
    reads: list[Ref] = field(default_factory=list)  # every tensor read, captured ones included
    needs: list[Node] = field(default_factory=list)  # glue whose scalars this node uses
    cluster: Cluster | None = None
    # loop nests
    domain: tuple[Size, ...] = ()
    reduced: tuple[int, ...] = ()
    kept: tuple[int, ...] = ()  # dimension of the original op behind each domain dimension
    operands: list[Operand] = field(default_factory=list)
    inits: list[Operand] = field(default_factory=list)  # initial values, reductions and contractions only
    body: Any = None  # ir.Block of the generic, None for a copy
    captured: list[tuple[Any, Ref]] = field(default_factory=list)  # tensors read at random by the body
    scalars: list[Any] = field(default_factory=list)  # scalars from outside that the body uses
    level: int = 0  # reductions of the same cluster that come before
    # everything else
    payload: Any = None

    @property
    def location(self) -> Any:
        return self.op.location

    @property
    def parallel(self) -> tuple[int, ...]:
        return tuple(d for d in range(len(self.domain)) if d not in self.reduced)


@record(frozen=False, eq=False, repr=False)
class Cluster:
    """Nodes that become one function, or a single node of another kind; no nodes once another cluster took them."""

    number: int
    kind: str  # "elementwise" | "reduction" | "contraction" | "chain" | "scalar" | other node kinds
    block: Block
    domain: tuple[Size, ...]
    reduced: tuple[int, ...] | None = None
    nodes: list[Node] = field(default_factory=list)
    streams: set[tuple[int, Access]] = field(default_factory=set)
    panels: tuple[Operand, Tensor] | None = None  # a matrix of a contraction, and where it is packed before a loop

    @property
    def parallel(self) -> tuple[int, ...]:
        return tuple(d for d in range(len(self.domain)) if d not in (self.reduced or ()))

    @property
    def is_function(self) -> bool:
        return self.kind in ("elementwise", "reduction", "contraction", "chain")


@record(frozen=False, eq=False, repr=False)
class Carry:
    """A loop-carried value: a tensor, or a scalar that stays one."""

    init: Any  # Ref | ir.Value
    inside: Any  # Tensor | ir.Value: the value at the start of an iteration
    index: int  # which result of the terminator continues it
    mode: str = "undecided"  # "scalar" | "in place" | "ping-pong" | "preset" | "follows"
    place: Place | None = None  # where the final value is wanted; in place: where it lives all the time
    copy_init: bool = True
    buffers: tuple[Buffer, ...] = ()  # ping-pong: current, next
    places: tuple[Place, ...] = ()  # ping-pong: initial value and the targets, in the order they are written
    followers: list[Carry] = field(default_factory=list)  # ping-pong: each has the value before of the one in front


@record(frozen=False, eq=False, repr=False)
class Control:
    """An scf op: its blocks and what flows through them."""

    kind: str  # "for" | "while" | "if"
    blocks: list[Block]  # for: body; while: before, after; if: then, else
    carries: list[Carry] = field(default_factory=list)
    results: list[Any] = field(default_factory=list)  # Tensor | ir.Value, in the op's order
    forwards: list[Any] = field(default_factory=list)  # while: carry number, or Tensor | ir.Value of the second block
    condition: Any = None
    bounds: tuple[Size, ...] = ()
    trips: int | None = None
    variable: Any = None
    copies: list[tuple[Tensor, Carry]] = field(default_factory=list)  # further results equal to a carry
    calls_host: bool = False
    decided: bool = False


@record(frozen=False, eq=False, repr=False)
class Insert:
    """`tensor.insert_slice`: the source, what it is inserted into, and the region as a view of the result."""

    source: Ref
    into: Ref | None  # None: undefined contents
    region: View
    static: tuple[tuple[int, int, int], ...] | None  # (offset, size, step) per dimension when known
    direct: bool = False  # the source's producer writes the region itself
    copy_into: bool = True


@record(frozen=False, eq=False, repr=False)
class Opaque:
    """A scalar loop nest kept as one function; `inits[k]` is updated in place and becomes output k."""

    inits: list[Ref]
    copy_init: list[bool]
    scalars: list[Any]


@record(frozen=False, eq=False, repr=False)
class HostCall:
    """A call of the host: operands and results contiguous."""

    site: int
    operands: list[Ref]
    calls_host: bool = True


@record(frozen=False, eq=False, repr=False)
class Pack:
    """The matrix of a product inside of a loop, packed before the loop: its tensor and where in it the matrix starts."""

    product: Cluster
    source: Tensor
    offset: Size


@record(frozen=False, eq=False, repr=False)
class Load:
    """`tensor.extract` in the driver."""

    source: Ref
    offset: Size


@record(frozen=False, eq=False, repr=False)
class Block:
    """The steps of one MLIR block."""

    block: Any
    nodes: list[Node] = field(default_factory=list)
    clusters: list[Cluster] = field(default_factory=list)
    results: list[Any] = field(default_factory=list)  # terminator operands: Ref, or ir.Value of a scalar
    result_needs: list[Node] = field(default_factory=list)  # nodes behind the scalars among the results
    order: Any = None
    outer_reads: list[Ref] = field(default_factory=list)  # tensors of enclosing blocks
    outer_needs: list[Node] = field(default_factory=list)  # scalars of enclosing blocks
    pinned: set[Tensor] = field(default_factory=set)  # read after the last step
    late: list[tuple[Ref, Place]] = field(default_factory=list)  # copies after the last step
