"""Sizes of the blocks of a matrix product, from the caches of the machine.

After Goto and van de Geijn 2008 and Low et al. 2016, with rows and columns exchanged because results are stored by
rows: a few rows of the left operand stay in the first-level cache, a block of the right one in the second, and
the packed left operand in the third.
"""

from __future__ import annotations

from phalanx.compiler.schedules.text import Index
from phalanx.compiler.schedules.workspace import element_bytes
from phalanx.compiler.targets.isa import Isa
from phalanx.dialects.records import record

NARROW_ROWS = 12
"""Rows of a register block one vector wide: enough sums to keep the multipliers busy."""

LEFT_BYTES = 1 << 21
"""Most bytes of the left operand packed at a time."""

DIRECT_ROWS = 2
"""A right operand used for at most this many register blocks of rows is read where it stands."""

DIRECT_COLUMNS = 4
"""A left operand used for at most this many panels of columns is read where it stands."""


@record
class Blocking:
    """Register block (`rows` x `width`), cache blocks, and which operands are packed."""

    rows: int
    width: int
    lanes: int
    row_block: int
    column_block: int
    depth_block: int
    pack_left: bool
    pack_right: bool

    @property
    def vectors(self) -> int:
        return self.width // self.lanes


def balanced(size: Index, most: int, multiple: int = 1) -> int:
    """Block length of about `most`, a multiple of `multiple`, that splits a static size evenly."""
    most = max(multiple, most // multiple * multiple)
    if isinstance(size, str):
        return most
    blocks = max(1, -(-size // most))
    return min(most, -(-max(1, -(-size // blocks)) // multiple) * multiple)


def choose(
    isa: Isa,
    element: str,
    sizes: tuple[Index, Index, Index],
    left_steps: tuple[Index, Index],
    right_steps: tuple[Index, Index],
) -> Blocking:
    """The blocking of a product of `sizes` (rows, columns, depth).

    `left_steps` are the strides of the left operand along rows and depth, `right_steps` those of the right one along
    columns and depth.
    """
    rows, columns, depth = sizes
    nbytes = element_bytes(element)
    lanes = isa.lanes(8 * nbytes)
    block_rows, width = isa.gemm_tile(element)
    if isinstance(columns, int) and columns <= lanes:
        width, block_rows = lanes, max(block_rows, NARROW_ROWS)
    depth_block = balanced(depth, isa.l1_bytes * 3 // 4 // (block_rows * nbytes))
    column_block = balanced(columns, isa.l2_bytes // 2 // (depth_block * nbytes), width)
    row_block = balanced(rows, LEFT_BYTES // (depth_block * nbytes), block_rows)
    few_rows = isinstance(rows, int) and rows <= DIRECT_ROWS * block_rows
    few_columns = isinstance(columns, int) and columns <= DIRECT_COLUMNS * width
    readable = right_steps[0] == 1 and (isa.vector_bits >= 256 or (isinstance(columns, int) and columns % width == 0))
    direct_right = readable and (few_rows or _near(isa, (columns, depth), right_steps, nbytes))
    direct_left = few_columns or _near(isa, (rows, depth), left_steps, nbytes)
    return Blocking(block_rows, width, lanes, row_block, column_block, depth_block, not direct_left, not direct_right)


def _near(isa: Isa, sizes: tuple[Index, Index], steps: tuple[Index, Index], nbytes: int) -> bool:
    """Whether the memory an operand spans stays in a quarter of the second-level cache."""
    span = 0
    for size, step in zip(sizes, steps, strict=True):
        if isinstance(size, str) or isinstance(step, str):
            return False
        span += size * abs(step)
    return span * nbytes <= isa.l2_bytes // 4
