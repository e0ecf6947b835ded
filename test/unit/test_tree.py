"""Structures of arguments and results: our own for flat ones, optree's for the rest, equal when they are the same."""

from __future__ import annotations

from collections import OrderedDict, namedtuple

import numpy as np
import pytest

import phalanx as px
from phalanx.compiler.trace import tree

Pair = namedtuple("Pair", "a b")
X = px.asarray([1.0, 2.0])


class Foreign:
    """An array of another library."""

    def __array__(self, dtype: object = None, copy: object = None) -> np.ndarray:
        return np.ones(2, np.float32)


@pytest.mark.parametrize("value", [X, 1, (X, 2.0), [X], (), [], OrderedDict(b=X, a=1), {"b": X, "a": 1}, (X, (1, 2)),
                                   Pair(X, 2), None, (None, X), OrderedDict(x=[X, None])], ids=repr)
def test_there_and_back(value):
    leaves, structure = tree.flatten(value)
    again, same = tree.flatten(tree.unflatten(structure, leaves))
    assert same == structure
    assert hash(same) == hash(structure)
    assert len(again) == len(leaves)
    assert all(a is b for a, b in zip(again, leaves, strict=True))
    assert type(tree.unflatten(structure, leaves)) is type(value)
    assert len(tree.names(structure)) == len(leaves)


@pytest.mark.parametrize("make", [lambda leaf: leaf, lambda leaf: (leaf, leaf), lambda leaf: OrderedDict(x=leaf, y=leaf)])
def test_the_structure_does_not_depend_on_what_the_leaves_are(make):
    structures = {tree.flatten(make(leaf))[1] for leaf in (X, 1.0, np.float32(1), np.ones(2), Foreign(), "text")}
    assert len(structures) == 1


def test_different_structures_differ():
    values = [X, (X,), [X], (X, X), [X, X], OrderedDict(x=X), OrderedDict(y=X), {"x": X}, Pair(X, X), (X, (X,)), (X, None)]
    structures = [tree.flatten(value)[1] for value in values]
    assert all((a == b) is (i == j) for i, a in enumerate(structures) for j, b in enumerate(structures))


def test_names():
    assert tree.names(tree.flatten(X)[1], "x") == ["x"]
    assert tree.names(tree.flatten((X, 1))[1], "x") == ["x[0]", "x[1]"]
    assert tree.names(tree.flatten(OrderedDict(a=X))[1]) == ["['a']"]
    assert tree.names(tree.flatten(OrderedDict(a=[X, X]))[1]) == ["['a'][0]", "['a'][1]"]


def test_how_structures_print():
    shown = {"*": X, "(*,)": (X,), "[*, *]": [X, 1], "{'a': *}": OrderedDict(a=X)}
    assert [repr(tree.flatten(value)[1]) for value in shown.values()] == list(shown)


def test_too_few_leaves():
    for value in (X, (X, X), [X], OrderedDict(a=X)):
        with pytest.raises(ValueError, match=r"(?i)leaves"):
            tree.unflatten(tree.flatten(value)[1], [])


def test_containers_that_hold_themselves():
    endless = []
    endless.append(endless)
    with pytest.raises(px.ArgumentError, match="holds itself"):
        tree.flatten(endless)


def test_one_compile_for_equal_structures():
    f = px.jit(lambda x: (x, x + 1))
    f(np.ones(2, np.float32))
    f(Foreign())
    f(px.asarray(np.ones(2, np.float32)))
    assert len(f.compiled) == 1
