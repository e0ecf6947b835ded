"""Matrices that products of a loop read in every trip are packed once, in front of the loop.

    for step in range(128):                       panels = pack(weights)
        state = f(state @ weights)        ->      for step in range(128):
                                                      state = f(state @ panels)

A register kernel walks panels of columns in the order in which they stand. Packing them in every trip costs as much as a
dozen rows of the product; reading the matrix where it stands costs a part of it. Which layout panels have is not known
here: the scheduled stage knows, and packs (`schedules/panels.py`). This stage finds the matrices, gives the panels room
in the arena for as long as the loop runs, and calls for the packing.

>>> pack_ahead(block, captured, remarks)
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from mlir import ir

from phalanx.compiler.clusters import sizes
from phalanx.compiler.clusters.form import Remark, line_of
from phalanx.compiler.clusters.model import Block, Cluster, Control, Node, Operand, Pack, Ref, Tensor
from phalanx.compiler.clusters.outline import Body, Outliner
from phalanx.dialects.records import record

PACKING = 12
"""Rows of a product that take as long as packing its matrix, element for element (`schedules/panels.py: PACK_COST`)."""

READING = 2
"""The same for reading the matrix where it stands, instead of panels."""

UNKNOWN_TRIPS = 16
"""Trips that a loop is taken to make when their number is not known."""

LEAST_PART = 16
"""Panels that save less than this part of a product are not worth the memory they take."""

FEWEST_COLUMNS = 32
"""Narrower products may be inner products, which read no panels."""

LEAST_BYTES = 1 << 12, 1 << 15
"""Smaller matrices are not worth it: such that would be packed in every trip, and such that are read where they stand."""

WIDEST = 64
"""Columns of the widest panel of any processor; the last panel of a matrix is filled up."""

BEHIND_BYTES = 64 * (WIDEST + 1)
"""Room behind the panels, where the last vectors of a packing may write."""

_SUMS = ("f32", "f64", "i32", "i64")


@record(eq=False)
class _Loop:
    """A loop around a product, the block it stands in, and the blocks whose arguments are known there."""

    outside: Block
    around: tuple[Any, ...]
    node: Node

    @property
    def control(self) -> Control:
        found: Control = self.node.payload
        return found

    @property
    def trips(self) -> int:
        return UNKNOWN_TRIPS if self.control.trips is None else self.control.trips


@record(eq=False)
class _Matrix:
    """The operand of a product that has its columns, and the rows it is used for; None for what is not known.

    `beside`: the columns stand side by side.
    """

    operand: Operand
    columns: int | None
    depth: int | None
    beside: bool
    rows: int | None

    @property
    def saving(self) -> int:
        """What panels save in a trip, in rows of the product."""
        return READING if self.beside else PACKING


def pack_ahead(block: Block, captured: Collection[Tensor], remarks: list[Remark]) -> None:
    """Insert the packings in front of the loops of a block; `captured` arguments of one reader are packed by the caller."""

    def visit(block: Block, loops: list[_Loop], around: tuple[Any, ...]) -> None:
        around = (*around, block.block)
        for cluster in list(block.clusters):
            if cluster.kind == "contraction" and cluster.nodes and loops:
                _offer(cluster, loops, captured, remarks)
            for node in cluster.nodes:
                if isinstance(node.payload, Control):
                    # What a branch computes may never be wanted: nothing is packed in front of it.
                    inner = [] if node.payload.kind == "if" else [*loops, _Loop(block, around, node)]
                    for body in node.payload.blocks:
                        visit(body, inner, around)

    visit(block, [], ())


def _offer(cluster: Cluster, loops: list[_Loop], captured: Collection[Tensor], remarks: list[Remark]) -> None:
    """Pack the matrix of a product in front of the outermost loop that leaves it as it is, where that pays."""
    matrix = _matrix(cluster)
    if matrix is None or matrix.operand.tensor is None:
        return
    tensor, location = matrix.operand.tensor, str(cluster.nodes[0].location)
    first = next((n for n, loop in enumerate(loops) if _invariant(matrix.operand, loop, loops[n:])), None)
    if first is None or (tensor in captured and _read_once(tensor)):
        return
    trips = 1
    for loop in loops[first:]:
        trips *= loop.trips
    line = line_of(loops[first].node.location)
    refusal = _refusal(matrix, trips)
    if refusal is None and not _insert(cluster, matrix, loops[first]):
        refusal = "the order of the steps around it leaves no place"
    if refusal is None:
        remarks.append(Remark(f"the matrix of this product is packed once, before the loop of line {line}", location))
    else:
        message = f"the matrix of this product is not packed before the loop of line {line}: {refusal}"
        remarks.append(Remark(message, location, missed=True))


def _refusal(matrix: _Matrix, trips: int) -> str | None:
    if matrix.columns is None or matrix.depth is None or matrix.operand.tensor is None:
        return "its size, or how it stands in memory, is not known"
    if matrix.rows is not None and matrix.rows > LEAST_PART * matrix.saving:
        return f"with {matrix.rows} rows that saves next to nothing"
    nbytes = matrix.columns * matrix.depth * matrix.operand.tensor.item_bytes
    if matrix.columns < FEWEST_COLUMNS or nbytes < LEAST_BYTES[matrix.beside]:
        return "it is too small"
    if trips * matrix.saving < 2 * PACKING:
        return "too few trips"
    return None


def _matrix(cluster: Cluster) -> _Matrix | None:
    """The matrix of a cluster's product, as far as it may be read from panels; None for other contractions."""
    node = cluster.nodes[0]
    if node.kind != "contraction" or len(node.operands) != 2 or str(node.outputs[0].element) not in _SUMS:
        return None
    left, right = node.operands
    if left.access is None or right.access is None:
        return None
    loops = [loop for loop, size in enumerate(node.domain) if size != 1]
    columns = [n for n in loops if n not in node.reduced and left.access.steps[n] == 0]
    rows = [n for n in loops if n not in node.reduced and right.access.steps[n] == 0]
    depth = [n for n in loops if n in node.reduced]
    stored = dict(zip(node.parallel, node.outputs[0].access.steps, strict=True))
    if all(stored[n] != 1 for n in columns) and any(stored[n] == 1 for n in rows):
        left, right, columns, rows = right, left, rows, columns  # results stand by columns: the transposed product
    if len(columns) != 1 or len(depth) != 1 or not rows or right.access is None:
        return None
    if len(rows) + 2 != len(loops):  # a batch, with a matrix of its own for each
        return None
    steps = right.access.steps
    shape = node.domain[columns[0]], node.domain[depth[0]]
    across, along = steps[columns[0]], steps[depth[0]]
    placed = isinstance(across, int) and isinstance(along, int)
    width, deep = (size if placed and isinstance(size, int) else None for size in shape)
    count = sizes.product(node.domain[n] for n in rows)
    return _Matrix(right, width, deep, across == 1, count if isinstance(count, int) else None)


def _invariant(operand: Operand, loop: _Loop, inner: list[_Loop]) -> bool:
    """Whether a loop, with those `inner` to it, leaves the operand, and where it starts, as they are."""
    own = {block for one in inner for block in one.control.blocks}
    assert operand.tensor is not None and operand.access is not None
    if operand.tensor.block in own:
        return False
    return all(leaf.value.owner in loop.around for leaf in sizes.leaves(operand.access.offset))


def _read_once(tensor: Tensor) -> bool:
    """Whether a single step reads an argument of the program, in a loop or outside."""
    if len(tensor.readers) != 1:
        return False
    payload = tensor.readers[0].payload
    inner = payload.blocks if isinstance(payload, Control) else []
    return sum(ref.tensor is tensor for block in inner for ref in block.outer_reads) <= 1


def _insert(cluster: Cluster, matrix: _Matrix, loop: _Loop) -> bool:
    """A step in front of the loop that makes the panels; False when the order of the block has no room for it."""
    outside, tensor, access = loop.outside, matrix.operand.tensor, matrix.operand.access
    product = cluster.nodes[0]
    assert loop.node.cluster is not None and tensor is not None and access is not None
    order = outside.order
    number = order.insert(loop.node.cluster.number)
    if number is None:
        return False
    own = tensor.block is outside
    if own and tensor.unit is not None and not order.edge(tensor.unit.number, number):
        return False
    node = Node("pack", product.op, outside, loop.node.position, payload=Pack(cluster, tensor, access.offset))
    sums = product.outputs[0]
    panels = Tensor((_room(matrix, sums.item_bytes),), sums.element, outside, node, strides=(1,))
    node.outputs.append(panels)
    if own:
        node.reads.append(Ref(tensor, tensor.view))
        tensor.readers.append(node)
    node.cluster = Cluster(number, "pack", outside, (), nodes=[node])
    outside.clusters.append(node.cluster)
    cluster.panels = matrix.operand, panels
    return True


def _room(matrix: _Matrix, nbytes: int) -> int:
    """Elements of the panels, however wide they will be."""
    assert matrix.columns is not None and matrix.depth is not None
    return -(-matrix.columns // WIDEST) * WIDEST * matrix.depth + BEHIND_BYTES // nbytes


def pack_function(outliner: Outliner, product: str, node: Node) -> str:
    """The name of the function that packs for the cluster function `product`; its contents are the schedule's to write."""
    pack: Pack = node.payload
    body = Body(outliner, "pack", node.location, [pack.source.element], [node.outputs[0].element])
    body.function.attributes["px.packs"] = ir.FlatSymbolRefAttr.get(product)
    with node.location:
        body.close({})
    return outliner.finish(body, "pack", node.location)
