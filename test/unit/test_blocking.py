"""Which operands of a product are packed, and how it is cut for threads."""

from __future__ import annotations

import pytest

from phalanx.compiler.schedules.blocking import Blocking, balanced, choose
from phalanx.compiler.schedules.parallel import Cut
from phalanx.compiler.schedules.product_loops import longest, uneven
from phalanx.compiler.targets.isa import isa
from phalanx.dialects.records import replace

MACHINE = replace(isa("x86-64-v4"), l1_bytes=32 << 10, l2_bytes=1 << 20)


def blocking(rows: int | str, columns: int | str, depth: int | str, **how: bool) -> Blocking:
    """For row-major operands; with `turned` the right one is stored by columns."""
    right = (depth, 1) if how.get("turned") else (1, columns)
    return choose(MACHINE, "f32", (rows, columns, depth), (depth, 1), right)


@pytest.mark.parametrize(
    "sizes", [(64, 64, 64), (256, 256, 256), (512, 512, 512), (511, 513, 257), (128, 3072, 768), (1056, 1056, 1056)]
)
def test_in_place_where_the_caches_hold_both(sizes: tuple[int, int, int]) -> None:
    found = blocking(*sizes)
    assert not found.pack_left and not found.pack_right


def test_left_rows_a_page_apart_are_packed() -> None:
    assert blocking(1024, 512, 1024).pack_left
    assert not blocking(1024, 512, 1000).pack_left
    assert not blocking(1024, 512, 1536).pack_left
    assert not blocking(1024, 128, 1024).pack_left  # few columns


def test_right_blocks_that_compete_or_split_lines_are_packed() -> None:
    assert blocking(1024, 1024, 1024).pack_right
    assert blocking(1000, 1000, 1000).pack_right
    assert not blocking(992, 992, 992).pack_right
    assert not blocking(128, 1024, 1024).pack_right  # few rows
    assert blocking(128, 1024, 1024, turned=True).pack_right


def test_sizes_that_are_not_known_are_packed() -> None:
    found = blocking("%n", "%m", "%k")
    assert found.pack_left and found.pack_right


def test_the_packed_left_block_is_bounded() -> None:
    found = blocking(4096, 4096, 4096)
    assert found.row_block * found.depth_block * 4 <= 3 << 19
    assert found.row_block % found.rows == 0


@pytest.mark.parametrize("size", [1, 7, 96, 511, 513, 1000])
@pytest.mark.parametrize("grain", [1, 4, 32])
def test_parts_cover_a_loop(size: int, grain: int) -> None:
    for parts in (1, 2, 3, 8):
        part = longest(size, Cut(0, parts, grain))
        assert isinstance(part, int)
        assert part % grain == 0 and parts * part >= size > parts * (part - grain)
        assert uneven(size, Cut(0, parts, grain)) >= 0


def test_blocks_are_even() -> None:
    assert balanced(1000, 640, 12) == 504
    assert balanced("%n", 640, 12) == 636
    assert balanced(0, 640, 12) == 12
