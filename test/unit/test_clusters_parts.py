"""The parts of the clusters stage that need no IR: sizes, views, order, arena."""

from __future__ import annotations

import random
from typing import Any

import pytest

from phalanx.compiler.clusters import sizes
from phalanx.compiler.clusters.memory import Memory
from phalanx.compiler.clusters.model import Buffer
from phalanx.compiler.clusters.order import Order
from phalanx.compiler.clusters.plan import PACK_LIMIT, aligned, plan_arena
from phalanx.compiler.clusters.view import Access, View

N, M = sizes.leaf(1, "n"), sizes.leaf(2, "m")


def test_sizes_have_one_normal_form() -> None:
    assert sizes.add(sizes.multiply(N, 2), sizes.multiply(-2, N)) == 0
    assert sizes.multiply(sizes.add(N, 1), sizes.add(N, -1)) == sizes.add(sizes.multiply(N, N), -1)
    assert sizes.multiply(N, M) == sizes.multiply(M, N)
    assert sizes.add(N, M) != sizes.add(N, 1)
    assert sizes.apply("arith.floordivsi", 7, 2) == 3
    assert sizes.apply("arith.ceildivsi", 7, 2) == 4
    half = sizes.apply("arith.floordivsi", N, 2)
    assert half == sizes.apply("arith.floordivsi", N, 2) != sizes.apply("arith.floordivsi", M, 2)
    assert {leaf.number for leaf in sizes.leaves(sizes.multiply(half, M))} == {1, 2}


def test_division_by_zero_is_left_to_run_time() -> None:
    assert not isinstance(sizes.apply("arith.divui", 3, 0), int)
    assert not isinstance(sizes.apply("arith.remsi", 3, 0), int)


def test_views_compose() -> None:
    x = View.whole((4, 6, 5))
    y = x.permute([2, 0, 1]).slice([1, 0, 2], [2, 4, 3], [2, 1, 1])
    assert y == View((2, 4, 3), (2, 30, 5), 1 + 2 * 5)
    assert x.collapse([[0, 1], [2]]) == View((24, 5), (5, 1))
    assert x.permute([1, 0, 2]).collapse([[0, 1], [2]]) is None
    assert x.collapse([[0, 1, 2]]) == View((120,), (1,))
    assert View.whole((24, 5)).expand([[0, 1], [2]], (4, 6, 5)) == x
    assert View((1, 4), (77, 1)).contiguous
    assert View((1, 4), (77, 1)).tidy == View.whole((1, 4))
    assert View.whole((N, M)).collapse([[0, 1]]) == View((sizes.multiply(N, M),), (1,))
    assert x.broadcast((4, 2, 6, 5), [1]).strides == (30, 0, 5, 1)


def test_access_of_reversed_and_strided_maps() -> None:
    view = View.whole((6, 8))
    access = Access.of(view, [(5, {0: -1}), (1, {1: 2})], 2)
    assert access == Access(5 * 8 + 1, (-8, 2))
    assert Access.of(View.whole((4, 4)), [(0, {0: 1}), (0, {0: 1})], 1) == Access(0, (5,))


def test_order_refuses_cycles_and_stays_topological() -> None:
    generator = random.Random(3)
    for _ in range(20):
        order, edges = Order(), []
        for _ in range(30):
            order.append()
        for _ in range(120):
            first, second = generator.randrange(30), generator.randrange(30)
            known = _reachable(edges, second)
            assert order.reaches(second, {first}) == (first in known)
            accepted = order.edge(first, second)
            assert accepted == (first not in known)
            if accepted:
                edges.append((first, second))
            position = {step: k for k, step in enumerate(order.sequence())}
            assert all(position[a] < position[b] for a, b in edges)


def _reachable(edges: list[tuple[int, int]], start: int) -> set[int]:
    found, todo = {start}, [start]
    while todo:
        step = todo.pop()
        new = {b for a, b in edges if a == step} - found
        found |= new
        todo += new
    return found


def test_order_gives_up_beyond_its_window() -> None:
    order = Order(window=4)
    for _ in range(20):
        order.append()
    for step in range(19):
        assert order.edge(step, step + 1)
    assert order.reaches(0, {19})
    assert not order.edge(19, 0)


@pytest.mark.parametrize("count", [60, PACK_LIMIT + 200])
def test_arena_never_overlaps_what_is_alive(count: int) -> None:
    generator = random.Random(count)
    buffers = []
    for _ in range(count):
        first = generator.randrange(count)
        size = generator.choice([0, 4, 64, 100, 1000])
        buffers.append(Buffer("arena", size, first=first, last=first + generator.randrange(6)))
    plan = plan_arena(buffers)
    for k, a in enumerate(buffers):
        assert plan.offsets[a] % 64 == 0
        assert plan.offsets[a] + aligned(int(str(a.nbytes))) <= plan.static_bytes
        for b in buffers[:k]:
            if a.first <= b.last and b.first <= a.last:  # type: ignore[operator]
                low, high = sorted((a, b), key=plan.offsets.__getitem__)
                assert plan.offsets[low] + aligned(int(str(low.nbytes))) <= plan.offsets[high]


def test_a_result_holds_temporaries_until_it_is_written() -> None:
    result = Buffer("result", 256, first=5, item=4)
    before = Buffer("arena", 128, first=1, last=4, item=4)
    beside = Buffer("arena", 100, first=2, last=4, item=4)
    during = Buffer("arena", 64, first=3, last=5, item=4)
    wider = Buffer("arena", 64, first=1, last=2, item=8)
    bound = Buffer("arena", 192, first=1, last=2, item=4)
    large = Buffer("arena", 300, first=0, last=0, item=4)
    plan = plan_arena([before, beside, during, wider, bound, large], [result], {bound})
    assert plan.hosts == {before: result, beside: result}
    assert {plan.offsets[before], plan.offsets[beside]} == {0, 128}
    assert plan.static_bytes == 320, "the large one alone is as much as the others together"
    assert not plan_arena([before], [Buffer("result", sizes.leaf(1, "n"), first=5, item=4)]).hosts


def test_dynamic_slots_are_shared_by_equal_sizes_only() -> None:
    early, late, other = (Buffer("arena", size) for size in (N, N, M))
    early.first, early.last = 0, 1
    late.first, late.last = 2, 3
    other.first, other.last = 2, 3
    plan = plan_arena([early, late, other])
    assert [(size, len(group)) for size, group in plan.slots] == [(N, 2), (M, 1)]
    late.first = 1
    assert len(plan_arena([early, late, other]).slots) == 3


def test_a_buffer_from_before_a_loop_lives_to_its_end() -> None:
    memory: Any = Memory.__new__(Memory)
    memory.position, memory.buffers, memory.loops = 0, [], []
    outer, inner = Buffer("arena", 64), Buffer("arena", 64)
    memory.touch(outer)
    memory.enter_loop()
    memory.step()
    memory.touch(outer)
    memory.step()
    memory.touch(inner)
    memory.step()
    memory.leave_loop()
    assert outer.last == memory.position
    assert inner.last is not None
    assert inner.last < memory.position
    assert plan_arena([outer, inner]).static_bytes == 128
