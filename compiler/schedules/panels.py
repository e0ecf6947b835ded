"""Matrices that the driver has packed before a loop, for products inside of it: who reads them, and what packs them.

The clusters stage (`clusters/panels.py`) gives a product a second pointer beside that of its matrix, and room behind it. A
product with a register kernel then reads panels there, and the function that packs them, which names the product in
`px.packs`, is written from what the product expects. Any other product reads its matrix, and that function does nothing.
"""

from __future__ import annotations

from typing import Any

from mlir import ir

from phalanx.compiler.schedules.cluster import View, location_text
from phalanx.compiler.schedules.packing import Packing, packing_function
from phalanx.compiler.schedules.parallel import PICOSECONDS_PER_MULTIPLY_ADD, Cut, emit_parts
from phalanx.compiler.schedules.product import Product
from phalanx.compiler.schedules.routine import Shared
from phalanx.compiler.schedules.text import Index, Writer
from phalanx.dialects.records import record

PACKS = "px.packs"
"""Of a cluster function: the product it packs for."""

PANELS = "px.panels"
"""Of a cluster function: the arguments that are a matrix and the room for its panels, and how many elements that has."""

SHARED_WORK = 20_000_000
"""Picoseconds of packing from which threads share it."""

PACK_COST = 12
"""Multiply-adds in the time it takes to pack an element."""


@record
class Offered:
    """Arguments of a cluster function: a matrix, and room of type `element` for `count` elements of its panels."""

    matrix: int
    panels: int
    count: int
    element: str


@record
class Ahead:
    """Panels that a product reads: from `pointer`, each with the whole `depth`; the packing, and the steps of the matrix."""

    pointer: str
    packing: Packing
    columns: int
    depth: int
    column_step: int
    depth_step: int
    start: int


def offered(function: Any) -> Offered | None:
    """The panels that a cluster function may read, if any."""
    if PANELS not in function.attributes:
        return None
    matrix, panels, count = ir.DenseI64ArrayAttr(function.attributes[PANELS])
    type_ = function.regions[0].blocks[0].arguments[panels].type
    return Offered(matrix, panels, count, str(ir.MemRefType(type_).element_type))


def ahead_of(product: Product, packing: Packing, offer: Offered | None) -> Ahead | None:
    """How a product reads its right operand when it is the matrix of the offer; None when it is not."""
    access = product.right
    if offer is None or access.view.pointer != f"%p{offer.matrix}" or offer.element != product.element:
        return None
    columns, depth = product.size(product.columns), product.size(product.depth)
    steps = access.coefficients[product.columns], access.coefficients[product.depth]
    numbers = [number for number in (columns, depth, *steps, access.offset) if isinstance(number, int)]
    if len(numbers) < 5 or any(access.coefficients[loop] != 0 for loop in product.outer):
        return None
    columns, depth, column_step, depth_step, start = numbers
    if packing.elements(columns, depth) > offer.count:
        return None
    return Ahead(f"%p{offer.panels}", packing, columns, depth, column_step, depth_step, start)


def pack_text(function: Any, ahead: Ahead | None, shared: Shared, cores: int) -> str:
    """The function that packs for a product, as text; `ahead` is None when that wants nothing, `cores` may share the work."""
    location = location_text(function)
    writer = Writer(location)
    source, target, workspace = function.regions[0].blocks[0].arguments
    if ahead is not None:
        _pack(writer, ahead, shared, cores)
    writer.line("func.return")
    name = ir.StringAttr(function.attributes["sym_name"]).value
    pointers = f"%p0: {source.type} {location}, %p1: {target.type} {{llvm.noalias}} {location}"
    attributes = 'px.cluster = "pack", px.workspace = 0 : i64'
    head = f"func.func private @{name}({pointers}, %p2: {workspace.type} {location}) attributes {{{attributes}}} {{"
    return "\n".join([head, writer.text(), f"}} {location}"])


def _pack(writer: Writer, ahead: Ahead, shared: Shared, cores: int) -> None:
    packing = ahead.packing
    source, panels = View("%p0", packing.source, (), ()), View("%p1", packing.element, (), ())
    name = packing_function(shared, packing)

    def part(_: Index, low: Index, high: Index) -> None:
        at = writer.add(ahead.start, writer.mul(low, ahead.column_step))
        place = writer.mul(low, ahead.depth)
        values = [at, ahead.column_step, ahead.depth_step, place, writer.sub(high, low), ahead.depth]
        shared.call(writer, name, [source.pointer, panels.pointer, *values])

    work = ahead.columns * ahead.depth * PACK_COST * PICOSECONDS_PER_MULTIPLY_ADD
    # Vectors that are wider than what is left of a panel write into the next one, which may be another thread's.
    if cores > 1 and work >= SHARED_WORK and packing.width % packing.lanes == 0:
        emit_parts(writer, ahead.columns, Cut(0, cores, packing.width), part)
    else:
        part(0, 0, ahead.columns)
