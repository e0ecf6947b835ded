"""A product and the reductions of its rows as one cluster: the nearest centroid, a softmax over classes.

Apart, the product goes through memory whole. As one cluster, which has the schedule of a chain without its second product,
a block of its rows stands in scratch that stays in the cache. A block of rows reads the whole matrix that has the columns,
so this pays where that matrix stays in the cache too.
"""

from __future__ import annotations

from collections.abc import Iterator

from phalanx.compiler.clusters.chain import FEWEST_ROWS, largest, loops_of_rows, read_as_made
from phalanx.compiler.clusters.model import Block, Cluster, Node
from phalanx.compiler.clusters.sizes import product

MATRIX_ELEMENTS = 1 << 16
"""Elements of the matrix that has the columns: as many as are read where they stand."""

ROW_ELEMENTS = 1 << 11
"""Longest rows: of longer ones too few stay in the cache at a time."""

NARROW_ROWS = 128
"""Columns up to which joining pays wherever the rows would stand: wider products are faster on their own."""

FAR_ELEMENTS = 1 << 22
"""Elements of all rows from which they would leave the caches: then joining pays for wide rows too."""

_ELEMENTS = ("f32", "f64")


class ReducedRows:
    """Two clusters that could be one: a product, and reductions of its rows."""

    def __init__(self, first: Cluster, middle: Cluster) -> None:
        self.first, self.middle = first, middle

    def refusal(self) -> str | None:
        """Why this cannot be one cluster, in words; None when it can."""
        first, clusters = self.first.nodes[0], (self.first, self.middle)
        wanted = {ref.tensor for ref in self.middle.block.results if hasattr(ref, "tensor")}
        for tensor in (tensor for node in self.first.nodes for tensor in node.outputs):
            if tensor in wanted or any(reader.cluster not in clusters for reader in tensor.readers):
                return "the product is used elsewhere too"
        if str(first.outputs[0].element) not in _ELEMENTS:
            return f"only rows of {' and '.join(_ELEMENTS)} have a schedule"
        if any(init.tensor is not None for init in first.inits):
            return "the product is added to what is there"
        if any(size == 0 for node in (*self.first.nodes, *self.middle.nodes) for size in node.domain):
            return "it has no elements"
        if any(_asks_for_rows(node) for node in (*self.first.nodes, *self.middle.nodes)):
            return "an op asks for its position"
        return self._refusal_of_shapes(first)

    def _refusal_of_shapes(self, first: Node) -> str | None:
        reduced = self.middle.reduced or ()
        if len(reduced) != 1 or self.middle.domain != self.first.domain or not read_as_made(first, self.middle, {}):
            return "rows are not reduced as the product makes them"
        length = self.middle.domain[reduced[0]]
        matrix = product([length, *(first.domain[loop] for loop in first.reduced)])
        if not isinstance(length, int) or length > ROW_ELEMENTS or not isinstance(matrix, int) or matrix > MATRIX_ELEMENTS:
            return "its columns come from a matrix that may not stay in the cache"
        whole = product(self.middle.domain)
        if length > NARROW_ROWS and not (isinstance(whole, int) and whole >= FAR_ELEMENTS):
            return f"wider than {NARROW_ROWS} columns, a product that stays in the caches is faster on its own"
        rows = loops_of_rows(first, reduced[0])
        fewest = largest(first, rows) if rows else 0
        if isinstance(fewest, int) and fewest < FEWEST_ROWS:
            return f"the product has fewer than {FEWEST_ROWS} rows"
        return None

    def merge(self) -> None:
        """Make it one cluster, in the place of the second; nothing else reads what is in between."""
        middle = self.middle
        middle.nodes = [*self.first.nodes, *middle.nodes]
        middle.streams |= self.first.streams
        middle.kind = "chain"
        for node in middle.nodes:
            node.cluster = middle
        self.first.nodes = []


def find_reduced_rows(block: Block) -> Iterator[ReducedRows]:
    """Every cluster of reductions in a block that reads exactly one product of the block."""
    for middle in block.clusters:
        if middle.kind == "reduction" and middle.nodes:
            read = {o.tensor.unit for node in middle.nodes for o in node.operands if o.tensor is not None}
            firsts = [unit for unit in read if unit is not None and unit.kind == "contraction" and unit.block is block]
            if len(firsts) == 1:
                yield ReducedRows(firsts[0], middle)


def _asks_for_rows(node: Node) -> bool:
    """Whether an op asks for a position, unless it is a reduction that asks where in its row it is."""
    if node.body is None:
        return False
    asked = [view.operation for view in node.body.operations if view.operation.name == "linalg.index"]
    if not asked:
        return False
    reduced = {node.kept[loop] for loop in node.reduced}
    if len(asked) > 1 or int(asked[0].attributes["dim"]) not in reduced:
        return True
    uses = {use.owner.name for use in asked[0].results[0].uses}
    return uses != {"arith.index_cast"}
