"""Matrix products: a packed-panel micro-kernel in registers, and whatever follows the product fused behind it.

For a tile of the result (rows x columns that stay in the second-level cache): for each panel of columns as wide
as the registers take, pack the panel of the right operand so that it is read forwards; for each block of rows run
over the whole depth with the block's results in registers; put them into the tile. The ops fused behind the
product then walk the tile once with LLVM's vectoriser. Remainders in columns are padding in the packed panel,
remainders in rows are smaller blocks. All sizes and strides may be run-time values; scratch is static.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from phalanx.compiler.schedules.cluster import Cluster, Node, Splat, View, flat
from phalanx.compiler.schedules.domain import Access, Domain, DomainBuilder, operand_key
from phalanx.compiler.schedules.fused import Plan
from phalanx.compiler.schedules.micro import MULTIPLY, PACK, Shared, call
from phalanx.compiler.schedules.nest import Nest
from phalanx.compiler.schedules.parallel import PICOSECONDS_PER_MULTIPLY_ADD, Cut
from phalanx.compiler.schedules.text import Index, Writer
from phalanx.compiler.schedules.workspace import Workspace, element_bytes
from phalanx.compiler.targets.isa import Isa

ROW_BLOCK = 192
"""Rows of a tile: packing a panel is paid once per this many rows."""

COLUMN_BLOCK = 128
"""Columns of a tile: long enough for the fused ops behind the product to run in whole vectors."""

PANEL_BYTES = 1 << 17
"""A depth whose packed panel is not larger is walked in one go; deeper products are cut into blocks of half that."""

NARROW_ROWS = 12
"""Rows of a register block one vector wide: enough sums to keep the multipliers busy, each row with a pointer."""


@dataclass
class Product:
    """A contraction seen as batches of matrix products over loops of a domain."""

    node: Node
    domain: Domain
    placed: dict[Node, list[int | None]]
    left: Access
    right: Access
    outer: list[int]
    rows: int
    columns: int
    depth: int
    element: str


def find_product(cluster: Cluster) -> Product | None:
    """The cluster's contraction as a matrix product; None when loops serve it better."""
    reductions = [node for node in cluster.nodes if node.is_reduction]
    if len(reductions) != 1 or not is_contraction(reductions[0]):
        return None
    (node,) = reductions
    element = node.values[0].element
    if element not in ("f32", "f64") or any(not isinstance(o.source, View) for o in node.operands):
        return None
    if any(isinstance(o.source, View) and o.source.element != element for o in node.operands):
        return None
    builder = DomainBuilder(cluster)
    left, right = (builder.accesses[operand_key(node, operand)] for operand in node.operands)
    for dim, gone in enumerate(builder.reduced):
        in_left, in_right = left.coefficients[dim] != 0, right.coefficients[dim] != 0
        if gone:
            builder.roles[dim] = "depth" if in_left and in_right else "broken"
        else:
            builder.roles[dim] = {(True, False): "rows", (False, True): "columns"}.get((in_left, in_right), "batch")
    dims = [dim for dim, size in enumerate(builder.sizes) if size != 1]
    ranked = ["batch", "rows", "columns", "depth", "broken"]
    order = sorted(dims, key=lambda dim: (ranked.index(builder.roles[dim]), dim))
    domain = builder.build(order)
    roles = [builder.roles[group[0]] for group in domain.groups]
    if roles.count("depth") != 1 or "broken" in roles or "rows" not in roles or "columns" not in roles:
        return None
    rows, columns = _largest(domain, roles, "rows"), _largest(domain, roles, "columns")
    depth = roles.index("depth")
    if min(_static(domain.sizes[rows]), _static(domain.sizes[columns])) < 2 or _static(domain.sizes[depth]) < 4:
        return None
    outer = [loop for loop in range(len(roles)) if loop not in (rows, columns, depth)]
    accesses = [domain.accesses[operand_key(node, operand)] for operand in node.operands]
    return Product(node, domain, builder.placed, accesses[0], accesses[1], outer, rows, columns, depth, element)


def is_contraction(node: Node) -> bool:
    """Whether the body is acc + a * b on its own arguments, in floating point."""
    ops = node.body.ops
    if len(node.operands) != 2 or len(node.values) != 1 or [op.name for op in ops] != ["arith.mulf", "arith.addf"]:
        return False
    first, second, accumulator = node.body.arguments
    product, total = ops
    factors, terms = product.operands, total.operands
    return (
        (factors == [first, second] or factors == [second, first])
        and (terms == [accumulator, product.result] or terms == [product.result, accumulator])
        and node.body.yields == [total.result]
    )


def _static(size: Index) -> int:
    return size if isinstance(size, int) else 1 << 62


def _largest(domain: Domain, roles: list[str], role: str) -> int:
    """The loop of that role with the most iterations (unknown sizes count as large), innermost on a tie."""
    loops = [loop for loop, name in enumerate(roles) if name == role]
    return max(loops, key=lambda loop: (_static(domain.sizes[loop]), loop))


def balanced(size: Index, most: int) -> int:
    """Block length of at most `most` that splits a static size most evenly."""
    if isinstance(size, str):
        return most
    return -(-size // -(-size // most))


class Gemm:
    """The emitter of one product."""

    def __init__(
        self, cluster: Cluster, product: Product, workspace: Workspace, isa: Isa, shared: Shared
    ) -> None:
        self.cluster = cluster
        self.product = product
        self.workspace = workspace
        self.shared = shared
        self.writer: Writer = cluster.writer
        self.sizes = product.domain.sizes
        rows, columns, depth = (self.sizes[loop] for loop in (product.rows, product.columns, product.depth))
        self.lanes = isa.lanes(8 * element_bytes(product.element))
        block_rows, block_columns = isa.gemm_tile(product.element)
        if isinstance(columns, int) and columns <= self.lanes:
            block_columns, block_rows = self.lanes, max(block_rows, NARROW_ROWS)
        self.vectors = block_columns // self.lanes
        self.width = block_columns
        self.block_rows = block_rows
        self.tile_rows = self._tile(rows, self.block_rows, ROW_BLOCK)
        self.tile_columns = self._tile(columns, self.width, COLUMN_BLOCK)
        whole = PANEL_BYTES // (self.width * element_bytes(product.element))
        self.whole_depth = isinstance(depth, int) and depth <= whole
        self.depth_block = depth if isinstance(depth, int) and depth <= whole else balanced(depth, whole // 2)
        self.vector = f"vector<{self.lanes}x{product.element}>"
        self.zero = self.writer.constant(f"dense<0.0> : {self.vector}")
        self.panel = workspace.allocate(self.writer, product.element, self.depth_block * self.width)
        self.tile = workspace.allocate(self.writer, product.element, self.tile_rows * self.tile_columns)
        self.positions: list[Index | None] = [None] * len(self.sizes)

    @staticmethod
    def _tile(size: Index, block: int, target: int) -> int:
        most = max(1, target // block) * block
        return min(most, -(-size // block) * block) if isinstance(size, int) else most

    # -- loops -------------------------------------------------------------------------------------

    def emit(self, bounds: dict[int, tuple[Index, Index]] | None = None) -> None:
        """Writes the loops; `bounds` restricts some of them to a part."""
        self.writer.location = self.product.node.location
        self.bounds = bounds or {}
        self._outer(self.product.outer)

    def size(self, loop: int) -> Index:
        return self.sizes[loop]

    def work(self) -> Index:
        """Estimated picoseconds for one thread."""
        total: Index = PICOSECONDS_PER_MULTIPLY_ADD
        for size in self.sizes:
            total = self.writer.mul(total, size)
        return total

    def cut(self, cores: int) -> Cut | None:
        """The loop to share among threads: a batch, else rows or columns, whichever there are more of."""
        rows, columns = self.product.rows, self.product.columns
        for loop in self.product.outer:
            size = self.sizes[loop]
            if isinstance(size, str) or size >= 2 * cores:
                return Cut(loop, cores)
        cuts = [(rows, self.block_rows), (columns, self.width)]
        cuts.sort(key=lambda cut: -_static(self.sizes[cut[0]]))
        for loop, grain in cuts:
            size = self.sizes[loop]
            if isinstance(size, str) or size >= cores * grain:
                return Cut(loop, cores, grain)
        return None

    def _range(self, loop: int) -> tuple[Index, Index]:
        return self.bounds.get(loop, (0, self.sizes[loop]))

    def _outer(self, loops: list[int]) -> None:
        if not loops:
            self._column_tiles()
            return
        first, *rest = loops

        def inner(variable: str, _: list[str]) -> None:
            self.positions[first] = variable
            self._outer(rest)

        low, high = self._range(first)
        self.writer.loop(low, high, 1, inner)

    def _blocks(self, low: Index, high: Index, step: int, body: Callable[[Index, Index], None]) -> None:
        """`body(start, length)` for every block; no loop when one static block covers the range."""
        if isinstance(low, int) and isinstance(high, int) and high - low <= step:
            body(low, high - low)
            return

        def one(start: str, _: list[str]) -> None:
            if isinstance(low, int) and isinstance(high, int) and (high - low) % step == 0:
                body(start, step)
            else:
                body(start, self.writer.min(step, self.writer.sub(high, start)))

        self.writer.loop(low, high, step, one)

    def _column_tiles(self) -> None:
        self._blocks(*self._range(self.product.columns), self.tile_columns, self._row_tiles)

    def _row_tiles(self, column: Index, columns: Index) -> None:
        low, high = self._range(self.product.rows)
        self._blocks(low, high, self.tile_rows, lambda row, rows: self._one_tile(row, rows, column, columns))

    def _one_tile(self, row: Index, rows: Index, column: Index, columns: Index) -> None:
        depth = self.sizes[self.product.depth]
        if not self.whole_depth:
            self._clear(rows)

        def block(start: Index, length: Index) -> None:
            self._blocks(
                0,
                columns,
                self.width,
                lambda offset, width: self._panel(row, rows, self.writer.add(column, offset), offset, width, start, length),
            )

        self._blocks(0, depth, self.depth_block, block)
        self._epilogue(row, rows, column, columns)

    def _clear(self, rows: Index) -> None:
        """The tile starts at zero when the depth is walked in blocks."""
        end = self.writer.mul(rows, self.tile_columns)
        self.writer.loop(0, end, self.lanes, lambda at, _: self._put(self.tile, at, self.zero))

    # -- one panel ---------------------------------------------------------------------------------

    def _panel(
        self, row: Index, rows: Index, column: Index, offset: Index, width: Index, start: Index, length: Index
    ) -> None:
        self._pack(column, width, start, length)
        block = self.block_rows
        whole = self.writer.floor_to(rows, block)

        def rows_at(at: str, _: list[str]) -> None:
            self._micro(block, self.writer.add(row, at), at, offset, start, length)

        if whole != 0:
            self.writer.loop(0, whole, block, rows_at)
        left = self.writer.sub(rows, whole)
        if left != 0:
            self._row_remainder(row, whole, left, offset, start, length)

    def _row_remainder(self, row: Index, at: Index, left: Index, offset: Index, start: Index, length: Index) -> None:
        """Rows left over, as blocks of 8, 4, 2, 1: a few kernels then serve products of all sizes."""
        size = 1
        while size * 2 < self.block_rows:
            size *= 2
        while size:
            micro = partial(self._micro, size, self.writer.add(row, at), at, offset, start, length)
            if isinstance(left, int):
                bit: Index = left & size
                if bit:
                    micro()
            else:
                bit = self.writer.pure(f"arith.andi {left}, {self.writer.index(size)} : index", [left], "x")
                self.writer.conditional(self.writer.compare("ne", bit, 0), micro)
            at = self.writer.add(at, bit)
            size //= 2

    def _pack(self, column: Index, width: Index, start: Index, length: Index) -> None:
        """Copies `length` x `width` of the right operand to the panel, rows of full register width."""
        coefficients = self.product.right.coefficients
        columns, depths = coefficients[self.product.columns], coefficients[self.product.depth]
        pack = partial(self._call_pack, column, width, start, length)
        if columns == 1 and isinstance(width, str):
            whole = self.writer.compare("eq", width, self.width)
            self.writer.conditional(whole, partial(pack, "rows"), partial(pack, "part"))
        elif columns == 1:
            pack("rows" if width == self.width else "part")
        else:
            pack("turned" if depths == 1 else "any")

    def _call_pack(self, column: Index, width: Index, start: Index, length: Index, kind: str) -> None:
        right = self.product.right
        name = self.shared.pack(self.product.element, kind, vectors=self.vectors, lanes=self.lanes)
        steps = right.coefficients[self.product.columns], right.coefficients[self.product.depth]
        values = [right.view.pointer, self._right(column, start), *steps, self.panel.pointer, self.width, width, length]
        call(self.writer, name, self.product.element, PACK, values)

    def _right(self, column: Index, depth: Index) -> Index:
        self.positions[self.product.columns] = column
        self.positions[self.product.depth] = depth
        return self.product.right.address(self.writer, self.positions)

    # -- registers -----------------------------------------------------------------------------------

    def _put(self, view: View, address: Index, value: str) -> None:
        memory = flat(self.writer, view)
        self.writer.line(
            f"vector.store {value}, {memory}[{self.writer.index(address)}] : memref<?x{view.element}>, {self.vector}"
        )

    def _micro(self, count: int, row: Index, at: Index, offset: Index, start: Index, length: Index) -> None:
        """`count` rows by one panel, over the depth `start .. start + length`."""
        writer, left, element = self.writer, self.product.left, self.product.element
        name = self.shared.multiply(
            element, rows=count, vectors=self.vectors, lanes=self.lanes, add=not self.whole_depth
        )
        self.positions[self.product.depth] = start
        self.positions[self.product.rows] = row
        steps = left.coefficients[self.product.rows], left.coefficients[self.product.depth]
        place = writer.add(writer.mul(at, self.tile_columns), offset)
        values = [left.view.pointer, left.address(writer, self.positions), *steps, self.panel.pointer]
        call(writer, name, element, MULTIPLY, [*values, self.tile.pointer, place, self.tile_columns, length])

    # -- what follows the product ------------------------------------------------------------------

    def _epilogue(self, row: Index, rows: Index, column: Index, columns: Index) -> None:
        """The fused ops, over the tile."""
        product, writer = self.product, self.writer
        loops = [*product.outer, product.rows, product.columns]

        def narrow(access: Access) -> Access:
            return replace(access, coefficients=[access.coefficients[loop] for loop in loops])

        domain = Domain(
            [self.sizes[loop] for loop in loops],
            [False] * len(loops),
            [product.domain.groups[loop] for loop in loops],
            {key: narrow(access) for key, access in product.domain.accesses.items()},
        )
        start = writer.add(writer.mul(row, self.tile_columns), column)
        coefficients: list[Index] = [*(0 for _ in product.outer), self.tile_columns, 1]
        tile = Access(self.tile, writer.sub(0, start), coefficients, safe=False)
        bounds: dict[int, tuple[Index, Index]] = {}
        for number, loop in enumerate(product.outer):
            position = self.positions[loop]
            assert position is not None
            bounds[number] = position, writer.add(position, 1)
        bounds[len(loops) - 2] = row, writer.add(row, rows)
        bounds[len(loops) - 1] = column, writer.add(column, columns)
        nodes = [node for node in self.cluster.nodes if node is not product.node]
        plan = Plan(dict.fromkeys(nodes, 0), set(nodes), 0, dict.fromkeys(range(len(self.cluster.outputs)), 0))
        cluster = replace(self.cluster, nodes=nodes)
        external = {product.node.values[0].key: tile}
        FollowingNest(cluster, domain, product.placed, plan, self.workspace, bounds, external, product.node).emit()


class FollowingNest(Nest):
    """The loops behind a product: its value comes from the tile, plus what the product started from."""

    def __init__(
        self,
        cluster: Cluster,
        domain: Domain,
        placed: dict[Node, list[int | None]],
        plan: Plan,
        workspace: Workspace,
        bounds: dict[int, tuple[Index, Index]],
        external: dict[tuple[Node, int], Access],
        product: Node,
    ) -> None:
        super().__init__(cluster, domain, placed, plan, workspace, bounds, external)
        self.product = product
        (init,) = product.inits
        self.starts_at_zero = isinstance(init.source, Splat) and starts_at_zero(cluster.writer, init.source)

    def _value(self, key: tuple[Node, int]) -> str:
        node, _ = key
        if node is not self.product:
            return super()._value(key)
        value = super()._value(key)
        if self.starts_at_zero:
            return value
        if (key, "sum") not in self.memo:
            (init,) = self._inits(node)
            element = node.values[0].element
            self.memo[key, "sum"] = self.writer.value(f"arith.addf {value}, {init} : {element}")
        total: str = self.memo[key, "sum"]
        return total


def starts_at_zero(writer: Writer, source: Splat) -> bool:
    """Whether the splat is the constant 0.0."""
    return source.scalar is not None and writer.constant_text(source.scalar) in (
        "0.000000e+00 : f32",
        "0.000000e+00 : f64",
    )
