"""Incomplete op classes are refused at import, with the list of what is missing."""

from __future__ import annotations

from typing import Any

import pytest

from phalanx.dialects.errors import ArgumentError, OpDefinitionError
from phalanx.dialects.kinds import Elementwise, Reduction
from phalanx.dialects.opdef import COMPOSITES, REGISTRY, Attr, Number, Op, Operand, composite, lookup, op


@pytest.fixture(autouse=True)
def same_registry(monkeypatch):
    """What a test registers is gone afterwards."""
    before, composites = dict(REGISTRY), dict(COMPOSITES)
    yield
    for table, old in ((REGISTRY, before), (COMPOSITES, composites)):
        table.clear()
        table.update(old)


def test_everything_that_is_missing_is_listed():
    with pytest.raises(OpDefinitionError) as caught:

        @op
        class bare(Op):
            x: Operand[Number]

    message = str(caught.value)
    assert message.startswith("op bare (")
    for facet in ("infer", "eval", "lower", "vjp", "batch", "samples", "docstring"):
        assert f"- {facet}: " in message
    assert "bare" not in REGISTRY


def test_a_kind_asks_for_facets_of_its_own():
    with pytest.raises(OpDefinitionError, match="scalar: code of one element"):

        @op
        class unary(Elementwise):
            """One.

            >>> 1
            1
            """

            x: Operand[Number]
            eval = lambda xp, x: x
            vjp = lambda ct, out, x: (ct,)

    with pytest.raises(OpDefinitionError, match="(?s)init: identity element.*combine: one reduction step"):

        @op
        class reduction(Reduction):
            """One.

            >>> 1
            1
            """

            x: Operand[Number]
            eval = lambda xp, x: x
            vjp = lambda ct, out, x: (ct,)


def test_a_public_op_has_an_example():
    with pytest.raises(OpDefinitionError, match="docstring: a running example"):

        @op
        class silent(Elementwise):
            """Says nothing."""

            x: Operand[Number]
            eval = lambda xp, x: x
            scalar = lambda s, x: x
            vjp = lambda ct, out, x: (ct,)


def test_an_operand_takes_a_set_of_dtypes():
    with pytest.raises(OpDefinitionError, match="field x: Operand"):

        @op
        class odd(Elementwise):
            """One.

            >>> 1
            1
            """

            x: Operand[int]
            eval = lambda xp, x: x
            scalar = lambda s, x: x
            vjp = lambda ct, out, x: (ct,)


def test_a_name_is_given_once():
    with pytest.raises(OpDefinitionError, match="'add' is registered already"):

        @op
        class add(Elementwise):
            """One.

            >>> 1
            1
            """

            x: Operand[Number]
            eval = lambda xp, x: x
            scalar = lambda s, x: x
            vjp = lambda ct, out, x: (ct,)

    with pytest.raises(OpDefinitionError, match="composite add: the name is registered already"):

        @composite
        def add(x: Any) -> Any:
            """>>> 1"""


def test_a_complete_class_is_registered():
    @op(method=True)
    class twice(Elementwise):
        """Two times.

        >>> 1
        1
        """

        x: Operand[Number]
        times: Attr[int] = 2
        eval = lambda xp, x, times: x * times
        scalar = lambda s, x: x
        vjp = lambda ct, out, x, times: (ct * times,)

    assert REGISTRY["twice"] is twice
    assert [f.name for f in twice.operands] == ["x"]
    assert [(a.name, a.default) for a in twice.attributes] == [("times", 2)]
    assert twice.method == "twice"
    assert twice.prepare(1, times=3) == ([1], {"times": 3})
    with pytest.raises(ArgumentError, match="no argument 'time'") as caught:
        twice.prepare(1, time=3)
    assert "did you mean 'times'?" in str(caught.value)


def test_an_unknown_op_gives_the_nearest_names():
    with pytest.raises(ArgumentError, match="no op 'ad'"):
        lookup("ad")
