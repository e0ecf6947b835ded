"""Chains: a matrix product, operations on its rows, and maybe a second product of them, a block of rows at a time.

For every block of rows: the rows of the first product go to scratch that stays in the second-level cache; what happens
to them (scale, mask, softmax) happens there; they are multiplied with the right operand of the second product, or
leave results of their own. Each of the parts is an ordinary cluster on a slice of the arrays, with the schedule such a
cluster has anywhere. Blocks of all batches are numbered in one line, which is cut for threads; a right operand is packed
once for all blocks that a thread has of a batch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from phalanx.compiler.schedules.cluster import Cluster, Node, Value, View
from phalanx.compiler.schedules.domain import linear_access
from phalanx.compiler.schedules.gemm import SHARED_ROWS, Gemm
from phalanx.compiler.schedules.parallel import PICOSECONDS_PER_MULTIPLY_ADD, PICOSECONDS_PER_OP, Cut
from phalanx.compiler.schedules.product import static
from phalanx.compiler.schedules.slicing import Dims, Place, Slicer
from phalanx.compiler.schedules.text import Index, Writer
from phalanx.compiler.schedules.workspace import Workspace, element_bytes
from phalanx.compiler.targets.isa import Isa
from phalanx.dialects.records import record, replace

LEAST_ROWS = 64
"""Rows of a block even where rows are long: every block reads the right operands again."""

CACHE_SHARE = 8
"""The part of the second-level cache that a block of rows takes: what it is multiplied with stays there too."""


ROW_GRAIN = 16
"""Rows of scratch are odd multiples of this many elements apart: a power of two would keep hitting the same lines of the
cache."""


class Emitter(Protocol):
    """What writes the loops of a part."""

    def emit(self, bounds: dict[int, tuple[Index, Index]] | None = None) -> None: ...


@record(frozen=False)
class Structure:
    """The nodes of a chain by part, and the names of their dims: `kept` ones, `depth`, or None.

    `last` is empty, and `weights` None, where no second product follows.
    """

    first: Node
    middle: list[Node]
    last: list[Node]
    scores: Value
    weights: Value | None
    dims: dict[Node, Dims]
    sizes: dict[str, Index]
    rows: str
    outer: list[str]


def read_structure(cluster: Cluster) -> Structure:
    """What is what in a chain cluster."""
    first, *seconds = (node for node in cluster.nodes if node.kind == "contraction")
    last = seconds
    for node in cluster.nodes:
        if any(isinstance(o.source, Value) and o.source.node in last for o in node.operands) and node not in last:
            last.append(node)
    middle = [node for node in cluster.nodes if node is not first and node not in last]
    root = next(node for node in middle if node.is_reduction)
    names: Dims = tuple("depth" if gone else f"kept{dim}" for dim, gone in enumerate(root.reduced))
    kept = tuple(name for name in names if name != "depth")
    dims = {node: names if len(node.sizes) == len(names) else kept for node in middle}
    (scores,) = first.values
    dims[first] = _named(len(first.sizes), dict(zip(scores.dims, names, strict=True)))
    weights: Value | None = None
    if last:
        (operand,) = (o for o in last[0].operands if isinstance(o.source, Value))
        assert isinstance(operand.source, Value)
        weights = operand.source
        dims[last[0]] = _named(len(last[0].sizes), dict(zip((expr.dim for expr in operand.map), names, strict=True)))
        behind = tuple(dims[last[0]][dim] for dim in last[0].values[0].dims if dim is not None)
        dims.update(dict.fromkeys(last[1:], behind))
    sizes = {name: size for name, size in zip(names, root.sizes, strict=True) if name is not None}
    rows = _rows(cluster.writer, first, dims[first], sizes)
    outer = [name for name in names if name is not None and name not in ("depth", rows)]
    return Structure(first, middle, last, scores, weights, dims, sizes, rows, outer)


def _named(rank: int, names: dict[int | None, str | None]) -> Dims:
    return tuple(names.get(dim) for dim in range(rank))


def _rows(writer: Writer, first: Node, names: Dims, sizes: dict[str, Index]) -> str:
    """The longest dim of the result along which the matrix that has the columns does not change."""
    accesses = [
        linear_access(writer, operand.source, operand.map, range(len(names)), len(names))
        for operand in first.operands
        if isinstance(operand.source, View)
    ]
    (columns,) = (access for access in accesses if access.coefficients[names.index("depth")] != 0)
    free = [name for dim, name in enumerate(names) if name not in (None, "depth") and columns.coefficients[dim] == 0]
    order = [name for name in sizes if name in free]
    return max(order, key=lambda name: (static(sizes[name]), order.index(name)))


class Chain:
    """The emitter of one chain."""

    def __init__(self, cluster: Cluster, workspace: Workspace, isa: Isa, emitter: Callable[[Cluster], Emitter]) -> None:
        """`emitter` chooses how a part is written, in the same workspace."""
        self.cluster = cluster
        self.workspace = workspace
        self.isa = isa
        self.emitter = emitter
        self.writer: Writer = cluster.writer
        self.structure = read_structure(cluster)
        self.element = self.structure.scores.element
        self.block_rows = self._block_rows()
        self.blocks = self.writer.ceildiv(self.structure.sizes[self.structure.rows], self.block_rows)

    def _stride(self) -> Index:
        """Elements from one row of scratch to the next."""
        columns = self.structure.sizes["depth"]
        return columns if isinstance(columns, str) else (-(-columns // ROW_GRAIN) | 1) * ROW_GRAIN

    def _block_rows(self) -> int:
        """As many rows as have their share of the second-level cache, split evenly; without a rest where that is possible."""
        grain, _ = self.isa.gemm_tile(self.element)
        stride = self._stride()
        if isinstance(stride, int):
            most = max(LEAST_ROWS, self.isa.l2_bytes // CACHE_SHARE // (stride * element_bytes(self.element)))
        else:
            most = max(self._given_rows() // self.isa.cores, grain)
        rows = self.structure.sizes[self.structure.rows]
        if isinstance(rows, str):
            return most // grain * grain
        fewest = max(-(-rows // most), self._blocks_for_threads())
        for blocks in range(fewest, min(2 * fewest, rows // LEAST_ROWS) + 1):
            if rows % (blocks * SHARED_ROWS) == 0:
                return rows // blocks
        return min(max(most // grain, 1) * grain, -(-rows // (fewest * grain)) * grain)

    def _given_rows(self) -> int:
        """Rows of the scratch that is an argument."""
        assert self.cluster.scratch is not None
        count = self.cluster.scratch.sizes[0]
        assert isinstance(count, int)
        return count

    def _blocks_for_threads(self) -> int:
        """Blocks of one batch that give every thread some work; 1 where the number of batches is not known."""
        batches = 1
        for name in self.structure.outer:
            size = self.structure.sizes[name]
            if isinstance(size, str):
                return 1
            batches *= size
        return -(-self.isa.cores // max(batches, 1))

    def size(self, loop: int) -> Index:
        """How many blocks there are, over all batches."""
        total = self.blocks
        for name in self.structure.outer:
            total = self.writer.mul(total, self.structure.sizes[name])
        return total

    def work(self) -> Index:
        """Estimated picoseconds for one thread."""
        products: Index = 0
        for node in (self.structure.first, *self.structure.last[:1]):
            one: Index = PICOSECONDS_PER_MULTIPLY_ADD
            for size in node.sizes:
                one = self.writer.mul(one, size)
            products = self.writer.add(products, one)
        rows: Index = PICOSECONDS_PER_OP * sum(node.body.cost for node in self.structure.middle)
        for size in self.structure.sizes.values():
            rows = self.writer.mul(rows, size)
        return self.writer.add(products, rows)

    def cut(self, cores: int) -> Cut | None:
        """The line of blocks, in one part per core, as long as there is scratch for each part."""
        size, parts = self.size(0), cores
        if self.cluster.scratch is not None:
            parts = min(cores, self._given_rows() // self.block_rows)
        return Cut(0, parts) if parts > 1 and (isinstance(size, str) or size > 1) else None

    def describe(self) -> str:
        """The schedule in words."""
        parts = "two products and the rows between them" if self.structure.last else "a product and what follows in its rows"
        return f"{parts}, {self.block_rows} rows at a time"

    def emit(self, bounds: dict[int, tuple[Index, Index]] | None = None) -> None:
        """Writes the loop over blocks, or over a part of them with rows of scratch of its own."""
        low, high = bounds[0] if bounds else (0, self.size(0))
        part: Index = "%part" if bounds else 0
        self.writer.loop(low, high, 1, lambda number, _: self._block(number, low, part))

    def _block(self, number: str, low: Index, part: Index) -> None:
        writer, structure = self.writer, self.structure
        places: dict[str, Place] = {}
        rest: Index = number
        rest, block = self._split(rest, self.blocks)
        for name in reversed(structure.outer):
            rest, position = self._split(rest, structure.sizes[name])
            places[name] = Place(position)
        start = writer.mul(block, self.block_rows)
        rows = structure.sizes[structure.rows]
        length: Index = self.block_rows
        if isinstance(rows, str) or rows % self.block_rows:
            length = writer.min(length, writer.sub(rows, start))
        places[structure.rows] = Place(start, length)
        self._parts(Slicer(self.cluster, structure.dims, places), places, part, self._starts(number, block, low))

    def _starts(self, number: str, block: Index, low: Index) -> str | None:
        """Whether this block is the first that a thread has of its batch; None when every block is."""
        if self.blocks == 1:
            return None
        first, begins = self.writer.compare("eq", block, 0), self.writer.compare("eq", number, low)
        return self.writer.pure(f"arith.ori {first}, {begins} : i1", [first, begins], "b")

    def _split(self, number: Index, size: Index) -> tuple[Index, Index]:
        """Quotient and remainder."""
        if size == 1:
            return number, 0
        if isinstance(number, int):
            number = self.writer.index(number)
        names = [name for name in (number, size) if isinstance(name, str)]
        quotient = self.writer.pure(f"arith.divui {number}, {self.writer.index(size)} : index", names, "x")
        return quotient, self.writer.sub(number, self.writer.mul(quotient, size))

    def _parts(self, slicer: Slicer, places: dict[str, Place], part: Index, starts: str | None) -> None:
        """`starts` says whether the matrices that all blocks of a batch read have not been packed yet."""
        structure, writer = self.structure, self.writer
        memory = self._held(structure.scores, structure.dims[structure.first], places, self._scratch(part))
        held = {structure.scores.key: memory}
        kept = [] if structure.weights is None else [(structure.weights, self._weights(structure.weights, memory))]
        for value in self._row_values():
            row = self.workspace.allocate(writer, value.element, self.block_rows)
            view = View(row.pointer, row.element, row.sizes, (1,), row.offset)
            kept.append((value, view))
        products = [self._product(structure.first, slicer.part([structure.first], {}, [(structure.scores, memory)]), starts)]
        if structure.last:
            part_of_last = slicer.part(structure.last, {value.key: view for value, view in kept})
            products.append(self._product(structure.last[0], part_of_last, starts))
        products[0].emit()
        self.emitter(slicer.part(structure.middle, held, kept)).emit()
        for product in products[1:]:
            product.emit()

    def _product(self, node: Node, part: Cluster, starts: str | None) -> Emitter:
        """What writes a product in a block of rows; it packs a right operand that every block reads where it `starts`."""
        emitter = self.emitter(part)
        if isinstance(emitter, Gemm) and emitter.keeps_right() and self._for_all_rows(emitter.product.right.view, node, part):
            emitter.stale = starts
        return emitter

    def _for_all_rows(self, view: View, node: Node, part: Cluster) -> bool:
        """Whether an operand of a product, seen in a block of rows, is the same in all of them.

        It need not be the right one of the program: a product whose results are stored by columns is written transposed.
        """
        dims = self.structure.dims[node]
        rank = len(dims)
        for whole, seen in zip(node.operands, part.nodes[0].operands, strict=True):
            if seen.source == view:
                if not isinstance(whole.source, View):
                    return False
                access = linear_access(self.writer, whole.source, whole.map, range(rank), rank)
                if access.coefficients[dims.index(self.structure.rows)] != 0:
                    return False
        return True

    def _weights(self, value: Value, scores: View) -> View:
        """Where the operand of the second product stands: over the scores, unless it is of another type."""
        if value.element == self.element:
            return scores
        stride = self._stride()
        assert isinstance(stride, int)
        rows = self.workspace.allocate(self.writer, value.element, self.block_rows * stride)
        return replace(rows, sizes=scores.sizes, strides=scores.strides)

    def _scratch(self, part: Index) -> View:
        """Memory for a block of rows: the workspace, or a part of the argument where the length of rows is not known."""
        scratch, stride = self.cluster.scratch, self._stride()
        if scratch is None:
            assert isinstance(stride, int)
            return self.workspace.allocate(self.writer, self.element, self.block_rows * stride)
        offset = self.writer.mul(part, self.writer.mul(self.block_rows, stride))
        return replace(scratch, offset=offset)

    def _row_values(self) -> list[Value]:
        """Values per row of the middle that the ops behind the second product read."""
        found: dict[tuple[Node, int], Value] = {}
        for node in self.structure.last:
            for operand in [*node.operands, *node.inits]:
                source = operand.source
                if isinstance(source, Value) and source.node in self.structure.middle:
                    found[source.key] = source
        if self.structure.weights is not None:
            found.pop(self.structure.weights.key)
        return list(found.values())

    def _held(self, value: Value, names: Dims, places: dict[str, Place], memory: View) -> View:
        """This part's scratch as the memory of a value over rows and columns."""
        steps = {self.structure.rows: self._stride(), "depth": 1}
        order = [names[dim] for dim in value.dims if dim is not None]
        inner = [name for name in order if name in steps]
        length = places[self.structure.rows].length
        assert length is not None
        extents = {self.structure.rows: length, "depth": self.structure.sizes["depth"]}
        sizes = tuple(extents[name] for name in inner if name is not None)
        strides = tuple(steps[name] for name in inner if name is not None)
        return View(memory.pointer, memory.element, sizes, strides, memory.offset)
