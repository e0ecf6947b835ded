"""Sizes of the blocks of a matrix product, from the caches of the machine.

After Goto and van de Geijn 2008 and Low et al. 2016, with rows and columns exchanged because results are stored by
rows: a few rows of the left operand stay in the first-level cache, a block of the right one in the second, and
the packed left operand in the third.
"""

from __future__ import annotations

import math

from phalanx.compiler.schedules.text import Index
from phalanx.compiler.schedules.workspace import element_bytes
from phalanx.compiler.targets.isa import Isa
from phalanx.dialects.records import record

NARROW_ROWS = 12
"""Rows of a register block one vector wide: enough sums to keep the multipliers busy."""

LEFT_BYTES = 5 << 18
"""Most bytes of the left operand packed at a time."""

DIRECT_ROWS = 12
"""A right operand used for at most this many register blocks of rows is read where it stands."""

UNPACKED_ROWS = 1 << 12
"""Most rows of a block of a left operand that is read where it stands."""

DIRECT_COLUMNS = 4
"""A left operand used for at most this many panels of columns is read where it stands."""

WAYS = 8
"""Lines of a cache that addresses with the same low bits compete for."""

PAGE_BYTES = 4096
"""Addresses this far apart share lines of the first-level cache: a way of it is a page."""

LINE_BYTES = 64


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
    if isinstance(rows, int) and 0 < rows <= DIRECT_ROWS * block_rows:
        # Blocks of equal height where they can be: a low one reads the right operand again for few rows.
        groups = -(-rows // block_rows)
        block_rows = rows // groups if rows % groups == 0 else block_rows
    depth_block = balanced(depth, isa.l1_bytes * 3 // 4 // (block_rows * nbytes))
    column_block = balanced(columns, isa.l2_bytes // 2 // (depth_block * nbytes), width)
    row_block = LEFT_BYTES // (depth_block * nbytes)
    few_rows = isinstance(rows, int) and rows <= DIRECT_ROWS * block_rows
    few_columns = isinstance(columns, int) and columns <= DIRECT_COLUMNS * width
    readable = right_steps[0] == 1 and (isa.vector_bits >= 256 or (isinstance(columns, int) and columns % width == 0))
    near_right = _span(sizes[1:], right_steps) * nbytes <= isa.l2_bytes
    held = _is_held(isa, (column_block * nbytes, depth_block), right_steps[1], nbytes)
    direct_right = readable and (few_rows or near_right or held)
    near_left = _span((rows, depth), left_steps) * nbytes <= isa.l2_bytes // 4
    apart = left_steps[1] == 1 and _is_apart(block_rows, left_steps[0], nbytes)
    direct_left = few_columns or near_left or apart
    row_block = balanced(rows, max(UNPACKED_ROWS, row_block) if direct_left else row_block, block_rows)
    return Blocking(block_rows, width, lanes, row_block, column_block, depth_block, not direct_left, not direct_right)


def _span(sizes: tuple[Index, ...], steps: tuple[Index, Index]) -> float:
    """Elements between the first and the last of an operand; infinite when they are not known."""
    span = 1
    for size, step in zip(sizes, steps, strict=True):
        if isinstance(size, str) or isinstance(step, str):
            return math.inf
        span += max(size - 1, 0) * abs(step)
    return span


def _is_held(isa: Isa, block: tuple[int, int], step: Index, nbytes: int) -> bool:
    """Whether the second-level cache keeps a block of the right operand where it stands.

    `block` is the bytes of a row and the number of rows. Rows must start with a line, and not many at the same place of
    a way.
    """
    if isinstance(step, str) or step * nbytes % LINE_BYTES:
        return False
    row, count = block
    way = isa.l2_bytes // WAYS
    period = math.gcd(step * nbytes, way)
    return row * count <= way // period * min(row, period) * WAYS


def _is_apart(rows: int, step: Index, nbytes: int) -> bool:
    """Whether the lines of so many rows of the left operand leave each other in the first-level cache."""
    if isinstance(step, str):
        return False
    places = PAGE_BYTES // math.gcd(step * nbytes, PAGE_BYTES)
    return -(-rows // places) < WAYS - 1
