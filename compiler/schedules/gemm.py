"""Matrix products: blocks of both operands packed for the caches, a register kernel, whatever follows fused behind it.

    for a block of rows:              (the packed left block stays in the third-level cache)
      for a block of the depth:       pack the left operand
        for a block of columns:       pack the right operand (second-level cache)
          for a few rows:             strips of registers over all columns of the block, then the fused ops

Operands that are small or used only a few times are read where they stand. Sums are collected in the memory of a
result where one can hold them, else in a tile of scratch; then the depth is walked inside of the columns. All
sizes and strides may be run-time values; scratch is static.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

from phalanx.compiler.schedules.blocking import balanced, choose
from phalanx.compiler.schedules.cluster import Cluster, View
from phalanx.compiler.schedules.domain import Access
from phalanx.compiler.schedules.following import FollowingNest, holder, nothing_follows
from phalanx.compiler.schedules.packing import Packing, packing_function
from phalanx.compiler.schedules.panels import PACK_COST, Offered, ahead_of
from phalanx.compiler.schedules.parallel import Cut
from phalanx.compiler.schedules.prepacked import panels_of
from phalanx.compiler.schedules.product import Product, Steps, static
from phalanx.compiler.schedules.product_loops import (
    NAMED_GROUPS,
    SMALLER_GROUPS,
    ProductLoops,
    Range,
    longest,
    uneven,
)
from phalanx.compiler.schedules.routine import Shared
from phalanx.compiler.schedules.spread import table_of_places
from phalanx.compiler.schedules.strips import Strip, strip_kernel
from phalanx.compiler.schedules.text import Index
from phalanx.compiler.schedules.workspace import Workspace, element_bytes
from phalanx.compiler.targets.isa import Isa
from phalanx.dialects.records import record, replace

TILE_ROWS = 192
"""Most rows of a block whose sums stand in scratch."""

TABLE_ROWS = 1 << 10
"""Most rows of a block whose places stand in a table."""

GROUP = 2
"""Register blocks of rows between two runs of the fused ops: what they work on is still in the first-level cache."""

LEAST_VECTOR_BYTES = 16
"""Columns left over go through vectors not shorter than this: they take a fraction of the time of longer ones."""

READ_COST = 24, 4
"""Multiply-adds in the time it takes to fetch an element of the left and of the right operand where it stands."""

WIDENED_ROWS = 2
"""A narrow right operand used for at most this many register blocks of rows is widened as it is read."""

SHARED_ROWS = 4
"""Threads get multiples of this many rows: the rest of a register block is then not slow."""


@record
class Operand:
    """Where the kernel reads an operand: pointer, start, strides across and along the depth, stride between panels.

    `across` of panels counts all of a panel's columns as equally far apart.
    """

    pointer: str
    at: Index
    across: Index
    depth: Index
    panel: Index = 0


@record
class Block:
    """What one block of columns is computed from."""

    rows: Range
    columns: Range
    depth: Range
    left: Operand
    right: Operand


class Gemm(ProductLoops):
    """The emitter of one product."""

    def __init__(
        self,
        cluster: Cluster,
        product: Product,
        workspace: Workspace,
        isa: Isa,
        shared: Shared,
        captured: frozenset[int] = frozenset(),
        cores: int = 1,
        offer: Offered | None = None,
    ) -> None:
        """`captured` are arguments that may be expected packed; `prepacked` then says how the right operand is.

        So many `cores` will share the product. `offer` is a matrix that was packed before a loop; `ahead` then says how.
        """
        super().__init__(cluster, product, workspace, shared)
        self.product = product
        self.rows, self.columns = product.rows, product.columns
        self.masks_narrow = isa.vector_bits >= 512
        left, right = product.left.coefficients, product.right.coefficients
        self.blocking = choose(
            isa,
            product.element,
            (self.sizes[self.rows], self.sizes[self.columns], self.sizes[self.depth]),
            (left[self.rows], left[self.depth]),
            (right[self.columns], right[self.depth]),
        )
        if product.spread or product.deep:
            block_rows = self.blocking.rows
            row_block = balanced(self.sizes[self.rows], TABLE_ROWS, block_rows)
            self.blocking = replace(self.blocking, pack_left=False, row_block=row_block)
        self.holder = holder(cluster, product, product.columns)
        self.prepacked = panels_of(product, self.blocking.width, captured) if not product.sums else None
        self.left_packing = self._packing(product.left, self.rows, self.blocking.rows)
        self.right_packing = self._packing(product.right, self.columns, self.blocking.width)
        self.ahead = ahead_of(product, self.right_packing, offer) if self.prepacked is None and not product.sums else None
        self.row_block = self._row_block(cores)
        # Sums of the whole depth are used at once: the tile then holds a few rows, however long the block is.
        self.at_once = self.holder is None and self.blocking.depth_block == self.sizes[self.depth] and not product.sums
        if self.holder is None and not self.at_once:
            block = self.blocking.rows
            # Where the right operand is packed for every block of rows, there are as many as the second-level cache holds.
            line = self.blocking.column_block * element_bytes(product.element)
            most = max(TILE_ROWS, isa.l2_bytes // 2 // line) if self.packs_right else TILE_ROWS
            self.row_block = min(self.row_block, max(most // block, 1) * block)
        self.left_panels: View | None = None
        self.right_panels: View | None = None
        self.tile: View | None = None
        self.row_places: View | None = None
        self.depth_places: View | None = None
        self.stale: str | None = None
        self._allocate()

    def keeps_right(self) -> bool:
        """Whether the right operand is packed whole, so that another product with it may find it packed.

        `stale` may then name the condition under which it is not.
        """
        whole = static(self.sizes[self.columns]) <= self.blocking.column_block and not self.product.sums
        return self.right_panels is not None and whole and self.sizes[self.depth] == self.blocking.depth_block

    def _row_block(self, cores: int) -> int:
        """Rows of a block; no more than a thread has, or than there can be where the product is a part of something."""
        grain, cut = self.blocking.rows, self.cut(cores) if cores > 1 else None
        most = self.writer.most(self.sizes[self.rows])
        if most is None:
            return self.blocking.row_block
        if cut is not None and cut.loop == self.rows:
            share = longest(most, cut)
            assert isinstance(share, int)
            most = min(most, share)
        return balanced(most, self.blocking.row_block, grain)

    @property
    def packs_left(self) -> bool:
        return self.blocking.pack_left or self.left_packing.source != self.product.element

    @property
    def packs_right(self) -> bool:
        if self._panels is not None:
            return False
        return self.blocking.pack_right or (self.right_packing.source != self.product.element and not self._widens_right())

    def _widens_right(self) -> bool:
        """Whether the right operand is widened as it is read: for few rows that is less than packing it."""
        rows, columns = static(self.sizes[self.rows]), self.sizes[self.columns]
        whole = isinstance(columns, int) and columns % self.blocking.width == 0
        return rows <= WIDENED_ROWS * self.blocking.rows and (whole or self.masks_narrow)

    @property
    def _panels(self) -> tuple[str, int] | None:
        """Panels of the whole right operand that are there already: where they start, and their depth."""
        if self.prepacked is not None:
            return self.product.right.view.pointer, self.prepacked.depth
        return (self.ahead.pointer, self.ahead.depth) if self.ahead is not None else None

    def _narrow(self) -> str:
        """The element type of a right operand that the kernel widens."""
        source = self.right_packing.source
        return source if self.right_panels is None and self._panels is None and source != self.product.element else ""

    def _lost(self, cut: Cut) -> float:
        """Parts are not equal, and what all of them read is read, and packed, by every one."""
        left, right = READ_COST
        by_rows = PACK_COST if self.packs_right else right
        by_columns = PACK_COST if self.packs_left else left
        part = longest(self.sizes[cut.loop], cut)
        again = (by_rows if cut.loop == self.rows else by_columns) / part if isinstance(part, int) else 0.0
        return uneven(self.sizes[cut.loop], cut) + again

    def _packing(self, access: Access, loop: int, width: int) -> Packing:
        across, along = access.coefficients[loop], access.coefficients[self.depth]
        kind = "across" if across == 1 else "depth" if along == 1 else "any"
        return Packing(kind, access.view.element, self.product.element, width, self.blocking.lanes)

    def _allocate(self) -> None:
        blocking, element = self.blocking, self.product.element
        depth = blocking.depth_block
        if self.packs_left:
            count = self.left_packing.elements(self.row_block, depth)
            self.left_panels = self.workspace.allocate(self.writer, element, count)
        if self.packs_right:
            count = self.right_packing.elements(blocking.column_block, depth)
            self.right_panels = self.workspace.allocate(self.writer, element, count)
        if self.product.spread:
            self.row_places = self.workspace.allocate(self.writer, "i64", self.row_block)
        if self.product.deep:
            self.depth_places = self.workspace.allocate(self.writer, "i64", depth)
        if self.holder is None:
            rows = min(GROUP * blocking.rows, self.row_block) if self.at_once else self.row_block
            self.tile = self.workspace.allocate(self.writer, element, rows * blocking.column_block)

    def _cuts(self) -> list[tuple[int, int]]:
        return [(self.rows, SHARED_ROWS), (self.columns, self.blocking.width)]

    def describe(self) -> str:
        """The schedule in words."""
        blocking = self.blocking
        packed = [name for name, panels in (("left", self.left_panels), ("right", self.right_panels)) if panels]
        once = ", the right one ahead of time" if self.prepacked is not None else ""
        once = ", the right one before the loop" if self.ahead is not None else once
        return (
            f"matrix product in blocks of {self.row_block}x{blocking.column_block}, {blocking.depth_block} deep, "
            f"registers {blocking.rows}x{blocking.width} in {blocking.vectors} vectors of {blocking.lanes}, "
            f"{' and '.join(packed) or 'no'} operand{'s' if len(packed) > 1 else ''} packed{once}"
        )

    # -- loops -------------------------------------------------------------------------------------

    def _inside(self) -> None:
        in_memory = self.holder is not None or self.at_once
        inside = self._depths_then_columns if in_memory else self._columns_then_depths
        self._blocks_of(self.rows, self.row_block, partial(self._rows, inside))

    def _rows(self, inside: Callable[[Range], None], rows: Range) -> None:
        """A block of rows; where they are not evenly spaced, it is written down first where they start."""
        self._write_places(self.row_places, self.product.spread, rows)
        inside(rows)

    def _write_places(self, table: View | None, steps: Steps, part: Range) -> None:
        if table is not None:
            sizes, strides = zip(*steps, strict=True)
            values = [table.pointer, part.start, part.length, *sizes, *strides]
            self.shared.call(self.writer, table_of_places(self.shared, len(sizes)), values)

    def _depths(self, body: Callable[[Range], None], sums: Sequence[int] | None = None) -> None:
        """Blocks of the depth; one of length 0 when there is no depth at all, which makes sums of nothing."""
        sums = self.product.sums if sums is None else sums
        if sums:
            around, *inner = sums

            def within(position: str, _: list[str]) -> None:
                self.positions[around] = position
                self._depths(body, inner)

            self.writer.loop(0, self.sizes[around], 1, within)
            return
        size = self.sizes[self.depth]
        end = size if isinstance(size, int) else self.writer.max(size, 1)

        def one(block: Range) -> None:
            length = block.length if isinstance(size, int) else self.writer.min(block.length, size)
            part = Range(block.start, length)
            self._write_places(self.depth_places, self.product.deep, part)
            body(part)

        self._blocks(0, end, self.blocking.depth_block, one)

    def _depths_then_columns(self, rows: Range) -> None:
        def one(depth: Range) -> None:
            left = self._left(rows, depth)
            self._blocks_of(
                self.columns,
                self.blocking.column_block,
                lambda columns: self._block(Block(rows, columns, depth, left, self._right(columns, depth))),
            )

        self._depths(one)

    def _columns_then_depths(self, rows: Range) -> None:
        def one(columns: Range) -> None:
            self._depths(
                lambda depth: self._block(Block(rows, columns, depth, self._left(rows, depth), self._right(columns, depth)))
            )

        self._blocks_of(self.columns, self.blocking.column_block, one)

    def _block(self, block: Block) -> None:
        def one(part: Range) -> None:
            self._strips(part, block)
            self._follow(part, block)

        self._blocks(0, block.rows.length, GROUP * self.blocking.rows, one)

    # -- operands ------------------------------------------------------------------------------------

    def _left(self, rows: Range, depth: Range) -> Operand:
        access = self.product.left
        across, along = access.coefficients[self.rows], access.coefficients[self.depth]
        starts: dict[int, Index | None] = {self.rows: rows.start, self.depth: depth.start}
        starts |= {loop: 0 for loop, steps in ((self.rows, self.product.spread), (self.depth, self.product.deep)) if steps}
        at = self._address(access, starts)
        if self.left_panels is None:
            return Operand(access.view.pointer, at, across, along)
        where = at, across, along
        self._pack(self.left_packing, access.view, where, self.left_panels, rows.length, depth.length)
        return Operand(self.left_panels.pointer, 0, 1, self.blocking.rows)

    def _right(self, columns: Range, depth: Range) -> Operand:
        access, width = self.product.right, self.blocking.width
        across, along = access.coefficients[self.columns], access.coefficients[self.depth]
        if self._panels is not None:
            pointer, whole = self._panels
            at = self.writer.add(self.writer.mul(columns.start, whole), self.writer.mul(depth.start, width))
            return Operand(pointer, at, whole, width, width * whole)
        at = self._address(access, {self.columns: columns.start, self.depth: depth.start})
        if self.right_panels is None:
            return Operand(access.view.pointer, at, across, along, width)
        where = at, across, along
        pack = partial(self._pack, self.right_packing, access.view, where, self.right_panels, columns.length, depth.length)
        if self.stale is None:
            pack()
        else:
            self.writer.conditional(self.stale, pack)
        return Operand(self.right_panels.pointer, 0, depth.length, width, self.writer.mul(width, depth.length))

    def _pack(
        self,
        packing: Packing,
        view: View,
        where: tuple[Index, Index, Index],
        panels: View,
        count: Index,
        length: Index,
    ) -> None:
        name = packing_function(self.shared, packing)
        self.shared.call(self.writer, name, [view.pointer, panels.pointer, *where, 0, count, length])

    # -- strips --------------------------------------------------------------------------------------

    def _strips(self, part: Range, block: Block) -> None:
        """All columns of the block for a few rows: whole register blocks, then what is left in smaller ones."""
        rows, block_rows = self.sizes[self.rows], self.blocking.rows
        multiple = math.gcd(rows, SHARED_ROWS, block_rows) if isinstance(rows, int) else 1
        smaller = NAMED_GROUPS if isinstance(rows, str) else SMALLER_GROUPS
        self._groups(part.length, block_rows, multiple, lambda count, at: self._strip(count, part, at, block), smaller)

    def _strip(self, count: int, part: Range, at_row: Index, block: Block) -> None:
        """`count` rows of the part, from row `at_row` of it on."""
        writer, blocking, left, right = self.writer, self.blocking, block.left, block.right
        row = writer.add(part.start, at_row)
        packed = blocking.rows if self.left_panels is not None else 0
        if packed:
            panel = row if count == packed else writer.floor_to(row, packed)
            at = writer.add(writer.mul(panel, block.depth.length), writer.sub(row, panel) if panel != row else 0)
        else:
            at = left.at if self.row_places is not None else writer.add(left.at, writer.mul(row, left.across))
        target, place, step = self._target(at_row if self.at_once else row, block)

        def call(strip: Strip, first: Index, length: Index) -> None:
            start = writer.add(right.at, writer.mul(first, right.across))
            values = [
                left.pointer, right.pointer, target.pointer,
                at, left.across, left.depth,
                start, right.depth, right.panel,
                writer.add(place, first), step,
                block.depth.length, length, self._before(block.depth.start),
            ]  # fmt: skip
            if self.row_places is not None:
                values += [self.row_places.pointer, row]
            if self.depth_places is not None:
                values += [self.depth_places.pointer]
            self.shared.call(writer, strip_kernel(self.shared, strip), values)

        whole_depth = block.depth.length == self.sizes[self.depth] and not self.product.sums
        strip = Strip(self.product.element, count, blocking.vectors, blocking.lanes, packed, adds=not whole_depth,
                      spread=self.row_places is not None, deep=self.depth_places is not None, narrow=self._narrow())
        columns, total = block.columns.length, self.sizes[self.columns]
        if isinstance(total, int) and total % blocking.width == 0:
            call(strip, 0, columns)  # blocks and the shares of threads are whole panels
            return
        whole = writer.floor_to(columns, blocking.width)
        tail = writer.sub(columns, whole)
        if whole != 0:
            call(strip, 0, whole)
        strip = replace(strip, tail=True, guarded=self.right_panels is None and self._panels is None)
        if isinstance(total, int):
            left_over = total % blocking.width
            rest = left_over % blocking.lanes
            least = min(blocking.lanes, LEAST_VECTOR_BYTES // element_bytes(self.product.element))
            last = max(1 << (rest - 1).bit_length(), least) if rest else blocking.lanes
            strip = replace(strip, vectors=-(-left_over // blocking.lanes), last=last, full=rest in (0, last))
        if isinstance(tail, str):
            writer.conditional(writer.compare("ne", tail, 0), partial(call, strip, whole, tail))
        elif tail:
            call(strip, whole, tail)

    def _before(self, depth: Index) -> Index:
        """How much is summed already: 0 at the first block of the depth."""
        for loop in self.product.sums:
            position = self.positions[loop]
            assert position is not None
            depth = self.writer.add(depth, position)
        return depth

    def _target(self, row: Index, block: Block) -> tuple[View, Index, Index]:
        """Where the sums of a row go, counted as the tile or the block counts: memory, place, stride from row to row."""
        writer = self.writer
        if self.tile is not None:
            step = self.blocking.column_block
            return self.tile, writer.mul(row, step), step
        assert self.holder is not None
        first = writer.add(block.rows.start, row)
        place = self._address(self.holder, {self.columns: block.columns.start, self.rows: first, self.depth: None})
        return self.holder.view, place, self.holder.coefficients[self.rows]

    # -- what follows the product ------------------------------------------------------------------

    def _follow(self, part: Range, block: Block) -> None:
        """The fused ops over a part of the rows, once the whole depth is summed."""
        if self.holder is not None and nothing_follows(self.cluster, self.product):
            return
        writer, rows, columns, depth = self.writer, block.rows, block.columns, block.depth
        if self.tile is not None:
            step = self.blocking.column_block
            first_row = writer.add(rows.start, part.start) if self.at_once else rows.start
            start = writer.add(writer.mul(first_row, step), columns.start)
            coefficients: list[Index] = [0] * len(self.sizes)
            coefficients[self.rows], coefficients[self.columns] = step, 1
            results = Access(self.tile, writer.sub(0, start), coefficients, safe=False)
        else:
            assert self.holder is not None
            results = replace(self.holder, safe=False)
        first = writer.add(rows.start, part.start)
        bounds = self._outer_bounds()
        bounds[self.rows] = first, writer.add(first, part.length)
        bounds[self.columns] = columns.start, writer.add(columns.start, columns.length)
        nest = FollowingNest(self.cluster, self.product, self.workspace, results, bounds)
        end, size = self._before(writer.add(depth.start, depth.length)), self.sizes[self.depth]
        for loop in self.product.sums:
            size = writer.add(size, writer.sub(self.sizes[loop], 1))
        if end == size:
            nest.emit()
        else:
            writer.conditional(writer.compare("sge", end, size), nest.emit)
