"""The forms eager ops are compiled in: which axes become one, which share a name."""

from __future__ import annotations

from typing import Any

import pytest

from phalanx.compiler.eager_forms import dynamic_form
from phalanx.dialects.opdef import lookup


def form(name: str, *shapes: tuple[int, ...], **attributes: Any) -> tuple[Any, dict[str, int]]:
    found = dynamic_form(lookup(name), shapes, attributes)
    return found.shapes, found.sizes


@pytest.mark.parametrize("shape", [(), (5,), (2, 3), (2, 3, 4), (0, 3), (1, 1)])
def test_equal_operands_are_one_axis_whatever_the_rank(shape: tuple[int, ...]) -> None:
    size = 1
    for n in shape:
        size *= n
    assert form("add", shape, shape) == ((("n0",), ("n0",)), {"n0": size})


@pytest.mark.parametrize(("left", "right", "shapes", "sizes"), [
    ((2, 3), (3,), (("n0", "n1"), (1, "n1")), {"n0": 2, "n1": 3}),
    ((2, 3, 4), (4,), (("n0", "n1"), (1, "n1")), {"n0": 6, "n1": 4}),
    ((2, 3, 4), (3, 4), (("n0", "n1"), (1, "n1")), {"n0": 2, "n1": 12}),
    ((2, 3), (), (("n0",), (1,)), {"n0": 6}),
    ((3, 1), (1, 4), (("n0", 1), (1, "n1")), {"n0": 3, "n1": 4}),
    ((2, 1, 5), (2, 3, 5), (("n0", 1, "n2"), ("n0", "n1", "n2")), {"n0": 2, "n1": 3, "n2": 5}),
    ((1, 7), (7,), (("n0",), ("n0",)), {"n0": 7}),
    ((0, 3), (1, 3), (("n0", "n1"), (1, "n1")), {"n0": 0, "n1": 3}),
    ((1, 1), (), (("n0",), ("n0",)), {"n0": 1}),
])
def test_broadcasting(left: Any, right: Any, shapes: Any, sizes: Any) -> None:
    assert form("add", left, right) == (shapes, sizes)


@pytest.mark.parametrize(("shape", "axes", "named", "kept_axes"), [
    ((4, 5), (1,), ("n0", "n1"), (1,)),
    ((2, 3, 4, 5), (2, 3), ("n0", "n1"), (1,)),
    ((2, 3, 4), (1,), ("n0", "n1", "n2"), (1,)),
    ((2, 3), (0, 1), ("n0",), (0,)),
    ((2, 1, 3), (1,), ("n0", "n1"), (1,)),
    ((), (), ("n0",), (0,)),
])
def test_reductions(shape: Any, axes: Any, named: Any, kept_axes: Any) -> None:
    found = dynamic_form(lookup("sum"), [shape], {"axes": axes, "keepdims": True, "dtype": None})
    assert found.shapes == (named,)
    assert found.attributes == {"axes": kept_axes, "keepdims": False, "dtype": None}


def test_contractions_share_what_is_summed() -> None:
    shapes, sizes = form("dot_general", (2, 3, 4), (2, 4, 5), contract=((2,), (1,)), batch_axes=((0,), (0,)))
    assert shapes == (("b0", "lhs1", "k0"), ("b0", "k0", "rhs2"))
    assert sizes == {"b0": 2, "lhs1": 3, "k0": 4, "rhs2": 5}


def test_indexing_shares_the_axes_of_the_indices() -> None:
    shapes, _ = form("gather", (5, 6, 7), (3, 1), (4,), axes=(0, 2))
    assert shapes == (("x0", "x1", "x2"), ("i0", 1), ("i1",))
    shapes, _ = form("scatter", (5, 6), (3, 6), (3,), axes=(0,), combine="add", mode="drop")
    assert shapes == (("x0", "x1"), ("i0", "x1"), ("i0",))
