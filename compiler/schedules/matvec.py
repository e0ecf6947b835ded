"""Products with a vector, and with so few columns that inner products serve them better than register blocks.

The matrix is read once, forwards, several rows at a time. Which of the two forms it takes depends on what stands side
by side in it: the elements of one row (inner products), or those of one depth (combinations of rows).
"""

from __future__ import annotations

from phalanx.compiler.schedules.cluster import Cluster, View
from phalanx.compiler.schedules.domain import Access
from phalanx.compiler.schedules.following import FollowingNest, holder, nothing_follows
from phalanx.compiler.schedules.packing import Packing, packing_function
from phalanx.compiler.schedules.product import Product, VectorProduct, static
from phalanx.compiler.schedules.product_loops import ProductLoops, Range
from phalanx.compiler.schedules.routine import Shared
from phalanx.compiler.schedules.text import Index
from phalanx.compiler.schedules.vectors import combine_kernel, dot_kernel
from phalanx.compiler.schedules.workspace import Workspace, element_bytes
from phalanx.compiler.targets.isa import Isa
from phalanx.dialects.records import replace

DOT_ROWS = 8
"""Most rows multiplied at a time: as many streams as processors fetch ahead."""

ROW_BLOCK = 256
"""Rows of inner products between two runs of the fused ops."""

FEW_COLUMNS = 3, 4
"""Up to this part of a vector's lanes, inner products beat a register block one vector wide."""

SHORTEST = 4
"""Vectors of the depth from which adding up the lanes of the sums does not matter."""

FEWEST_ROWS = 24
"""Rows from which a right operand that leaves the first-level cache is rearranged for inner products."""

LONGEST = 1 << 14
"""Deepest product with few columns whose right operand is rearranged for inner products."""


def suits_dots(product: Product, isa: Isa) -> bool:
    """Whether inner products serve a matrix product: few columns, and rows of the left operand along memory."""
    lanes = isa.lanes(8 * element_bytes(product.element))
    depth, columns = product.size(product.depth), product.size(product.columns)
    if not isinstance(columns, int) or not isinstance(depth, int) or isa.vector_bits < 256:
        return False
    few = columns * FEW_COLUMNS[1] <= lanes * FEW_COLUMNS[0]
    rearranged = product.right.coefficients[product.depth] != 1
    if rearranged and depth * columns * element_bytes(product.element) > isa.l1_bytes:
        few = few and static(product.size(product.rows)) >= FEWEST_ROWS
    return few and product.left.coefficients[product.depth] == 1 and SHORTEST * lanes <= depth <= LONGEST


def suits_vector(product: VectorProduct, isa: Isa) -> bool:
    """Whether the matrix stands in memory in one of the two forms, and is large enough for it."""
    lanes = isa.lanes(8 * element_bytes(product.element))
    if product.left.coefficients[product.free] == 1:
        return static(product.size(product.free)) >= lanes
    along = product.left.coefficients[product.depth], product.right.coefficients[product.depth]
    return along == (1, 1) and static(product.size(product.depth)) >= 2 * lanes


class InnerProducts(ProductLoops):
    """Every row of the left operand times every column of the right one."""

    def __init__(
        self, cluster: Cluster, product: Product | VectorProduct, workspace: Workspace, isa: Isa, shared: Shared
    ) -> None:
        super().__init__(cluster, product, workspace, shared)
        self.product = product
        self.rows = product.rows if isinstance(product, Product) else product.free
        self.columns = product.columns if isinstance(product, Product) else None
        self.lanes = isa.lanes(8 * element_bytes(product.element))
        count = self.sizes[self.columns] if self.columns is not None else 1
        assert isinstance(count, int)
        self.count = count
        sums = isa.vector_registers * 3 // 4
        blocks = -(-count // max(sums // 4, 1))
        self.column_blocks = [count * part // blocks for part in range(blocks + 1)]
        widest = -(-count // blocks)
        self.row_group = DOT_ROWS
        while self.row_group > 1 and self.row_group * widest > sums:
            self.row_group //= 2
        self.holder = holder(cluster, product)
        self.packing = self._packing()
        self.panels: View | None = None
        if self.packing is not None:
            size = self.sizes[self.depth]
            assert isinstance(size, int)
            self.panels = workspace.allocate(self.writer, product.element, self.packing.elements(size, count))
        self.tile: View | None = None
        if self.holder is None:
            self.tile = workspace.allocate(self.writer, product.element, ROW_BLOCK * count)

    def _packing(self) -> Packing | None:
        """How the right operand is rearranged so that the depth of each column stands in vectors; None: it does."""
        access = self.product.right
        if self.columns is None or access.coefficients[self.depth] == 1:
            return None
        kind = "depth" if access.coefficients[self.columns] == 1 else "any"
        return Packing(kind, access.view.element, self.product.element, self.lanes, self.lanes)

    def describe(self) -> str:
        """The schedule in words."""
        return f"inner products of {self.row_group} rows and {self.count} columns in vectors of {self.lanes}"

    def _cuts(self) -> list[tuple[int, int]]:
        return [(self.rows, self.row_group)]

    def _inside(self) -> None:
        right = self._right()
        self._blocks_of(self.rows, ROW_BLOCK, lambda rows: self._rows(rows, right))

    def _right(self) -> tuple[View, Index, Index, Index]:
        """The right operand: memory, start, strides from column to column and from vector to vector of the depth."""
        access = self.product.right
        places: dict[int, Index | None] = {self.depth: 0}
        across: Index = 0
        if self.columns is not None:
            places[self.columns] = 0
            across = access.coefficients[self.columns]
        start = self._address(access, places)
        if self.packing is None or self.panels is None:
            return access.view, start, across, self.lanes
        depth = access.coefficients[self.depth]
        values = [access.view.pointer, self.panels.pointer, start, depth, across, 0, self.sizes[self.depth], self.count]
        self.shared.call(self.writer, packing_function(self.shared, self.packing), values)
        return self.panels, 0, self.lanes, self.lanes * self.count

    def _rows(self, rows: Range, right: tuple[View, Index, Index, Index]) -> None:
        writer, access = self.writer, self.product.left
        start = self._address(access, {self.rows: rows.start, self.depth: 0})
        step = access.coefficients[self.rows]
        target = self._target(rows)
        view, right_at, column_step, chunk_step = right
        kinds = access.view.element, view.element

        def group(count: int, at: Index) -> None:
            for low, high in zip(self.column_blocks, self.column_blocks[1:], strict=False):
                name = dot_kernel(self.shared, self.product.element, kinds, count, high - low, self.lanes)
                row_step, column_place = target.coefficients[self.rows], self._along(target)
                place = writer.add(writer.add(target.offset, writer.mul(at, row_step)), writer.mul(low, column_place))
                values = [
                    access.view.pointer, view.pointer, target.view.pointer,
                    writer.add(start, writer.mul(at, step)), step,
                    writer.add(right_at, writer.mul(low, column_step)), column_step, chunk_step,
                    place, row_step, column_place, self.sizes[self.depth],
                ]  # fmt: skip
                self.shared.call(writer, name, values)

        self._groups(rows.length, self.row_group, 1, group)
        self._follow(rows)

    def _along(self, access: Access) -> Index:
        return access.coefficients[self.columns] if self.columns is not None else 0

    def _target(self, rows: Range) -> Access:
        """Where the sums go: offset of the block's first row, strides."""
        coefficients: list[Index] = [0] * len(self.sizes)
        if self.tile is not None:
            coefficients[self.rows] = self.count
            if self.columns is not None:
                coefficients[self.columns] = 1
            return Access(self.tile, 0, coefficients, safe=False)
        assert self.holder is not None
        places: dict[int, Index | None] = {self.rows: rows.start, self.depth: None}
        if self.columns is not None:
            places[self.columns] = 0
        return replace(self.holder, offset=self._address(self.holder, places), safe=False)

    def _follow(self, rows: Range) -> None:
        if self.holder is not None and nothing_follows(self.cluster, self.product):
            return
        if self.holder is not None:
            results = replace(self.holder, safe=False)
        else:
            tile = self._target(rows)
            results = replace(tile, offset=self.writer.sub(0, self.writer.mul(rows.start, self.count)))
        bounds = self._outer_bounds()
        bounds[self.rows] = rows.start, self.writer.add(rows.start, rows.length)
        if self.columns is not None:
            bounds[self.columns] = 0, self.count
        FollowingNest(self.cluster, self.product, self.workspace, results, bounds).emit()


class Combination(ProductLoops):
    """Rows of the matrix, times an element of the vector each, added up where the result stands."""

    def __init__(
        self, cluster: Cluster, product: VectorProduct, workspace: Workspace, isa: Isa, shared: Shared
    ) -> None:
        super().__init__(cluster, product, workspace, shared)
        self.product = product
        self.lanes = isa.lanes(8 * element_bytes(product.element))
        self.block = isa.l1_bytes // 2 // element_bytes(product.element) // self.lanes * self.lanes
        self.holder = holder(cluster, product, product.free)
        self.tile: View | None = None
        if self.holder is None:
            self.tile = workspace.allocate(self.writer, product.element, self.block)

    def describe(self) -> str:
        """The schedule in words."""
        return f"combinations of the rows of a matrix, {self.block} columns in vectors of {self.lanes}"

    def _cuts(self) -> list[tuple[int, int]]:
        return [(self.product.free, self.lanes)]

    def _inside(self) -> None:
        self._blocks_of(self.product.free, self.block, self._columns)

    def _columns(self, columns: Range) -> None:
        product, writer = self.product, self.writer
        matrix, factors = product.left, product.right
        coefficients: list[Index] = [0] * len(self.sizes)
        coefficients[product.free] = 1
        if self.holder is not None:
            results = replace(self.holder, safe=False)
        else:
            assert self.tile is not None
            results = Access(self.tile, writer.sub(0, columns.start), coefficients, safe=False)
        at = self._address(matrix, {product.free: columns.start, self.depth: 0})
        place = self._address(results, {product.free: columns.start, self.depth: None})
        start = self._address(factors, {product.free: None, self.depth: 0})
        kinds = factors.view.element, matrix.view.element
        values = [
            factors.view.pointer, matrix.view.pointer, results.view.pointer,
            start, factors.coefficients[self.depth], at, matrix.coefficients[self.depth],
            place, columns.length, self.sizes[self.depth],
        ]  # fmt: skip
        self.shared.call(writer, combine_kernel(self.shared, product.element, kinds, self.lanes), values)
        if self.holder is not None and nothing_follows(self.cluster, product):
            return
        bounds = self._outer_bounds()
        bounds[product.free] = columns.start, writer.add(columns.start, columns.length)
        FollowingNest(self.cluster, product, self.workspace, results, bounds).emit()
