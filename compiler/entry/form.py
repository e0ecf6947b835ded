"""How a call is written: which arguments come by position and by name, and which containers hold the leaves.

The native entry walks the arguments of a call along a `Form` and compares as it goes; what it finds are the leaves.
"""

from __future__ import annotations

import ctypes
import inspect
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

from phalanx.compiler.static_arguments import Static
from phalanx.compiler.trace.tree import Shallow
from phalanx.dialects.records import record

Address = ctypes.c_void_p
Count = ctypes.c_int64

LEAF, NONE, TUPLE, LIST, DICT, STATIC = range(6)
_KINDS: dict[Any, int] = {tuple: TUPLE, list: LIST, dict: DICT}
# Static values for which equal and of one type means the same to every program (-0.0 and 0.0 are equal; so are (1,) and
# (True,)). Others have to be the very same object.
_COMPARED = (int, str, bool)


class Node(ctypes.Structure):
    """One node of the arguments, its children behind it."""

    _fields_ = [
        ("kind", Count),
        ("count", Count),    # children; of a static value: whether an equal one will do
        ("object", Address),  # of a dictionary: its keys in order; of a static value: the value
    ]


class FormTable(ctypes.Structure):
    """A form as machine code reads it."""

    _fields_ = [
        ("positional", Count),
        ("keywords", Count),
        ("names", Address),   # of the keywords
        ("arguments", Count),
        ("order", Address),   # for each argument in the order of leaves: which of the positional ones and then keywords
        ("nodes", Address),
    ]


@record
class Form:
    """Arguments `order` of a call with `positional` values and `keywords`, each with its nodes."""

    positional: int
    keywords: tuple[str, ...]
    order: tuple[int, ...]
    nodes: tuple[tuple[int, int, Any], ...]

    def laid_out(self) -> tuple[FormTable, list[Any]]:
        """The table, and what has to live as long as it."""
        names = (Address * len(self.keywords))(*map(id, self.keywords))
        order = (Count * len(self.order))(*self.order)
        kept: list[Any] = [self, names, order]
        nodes = (Node * len(self.nodes))()
        for node, (kind, count, what) in zip(nodes, self.nodes, strict=True):
            node.kind, node.count = kind, count
            if kind == DICT:
                keys = (Address * len(what))(*map(id, what))
                kept.append(keys)
                node.object = ctypes.addressof(keys)
            elif kind == STATIC:
                node.object = id(what)
        kept.append(nodes)
        table = FormTable(self.positional, len(self.keywords), ctypes.addressof(names), len(self.order),
                          ctypes.addressof(order), ctypes.addressof(nodes))
        return table, [*kept, table]


def form_of(signature: inspect.Signature | None, count: int, keywords: Sequence[str], structure: Any,
            static: Sequence[tuple[str, Static]]) -> Form | None:
    """The form of a call of `signature` with so many positional arguments and these keywords; None when there is none.

    `structure` is that of the arguments by name, `static` what is no part of it. Subclasses of containers, registered
    classes, keys that are not texts and variadic arguments have no form.
    """
    if signature is None:
        return None
    by_place = [p.name for p in signature.parameters.values()
                if p.kind in (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)]
    if count > len(by_place):
        return None
    places = {name: place for place, name in enumerate([*by_place[:count], *keywords])}
    arguments = _arguments(structure)
    if arguments is None or not arguments.keys() <= places.keys():
        return None
    passed = [(name, known.value) for name, known in static if name in places]  # others are defaults
    if len(arguments) + len(passed) != len(places):
        return None
    nodes: list[tuple[int, int, Any]] = []
    for argument in arguments.values():
        if not _read(argument, nodes):
            return None
    nodes += [(STATIC, int(type(value) in _COMPARED), value) for _, value in passed]
    order = tuple(places[name] for name in [*arguments, *(name for name, _ in passed)])
    return Form(count, tuple(keywords), order, tuple(nodes))


def _arguments(structure: Any) -> Mapping[str, Any] | None:
    """The structure of each argument by name."""
    if type(structure) is Shallow:
        return dict.fromkeys(structure.keys, _LEAF) if structure.kind is OrderedDict else None
    if structure.type is not OrderedDict:
        return None
    return dict(zip(structure.entries(), structure.children(), strict=True))


_LEAF = Shallow(None, 1)


def _read(structure: Any, nodes: list[tuple[int, int, Any]]) -> bool:
    """Append the nodes of a structure; False when it has none."""
    if structure.is_leaf():
        nodes.append((LEAF, 0, None))
        return True
    if structure.type is type(None):
        nodes.append((NONE, 0, None))
        return True
    kind = _KINDS.get(structure.type)
    if kind is None:
        return False
    keys = structure.entries() if kind == DICT else []
    if any(type(key) is not str for key in keys):
        return False
    children = structure.children()
    nodes.append((kind, len(children), tuple(keys)))
    return all(_read(child, nodes) for child in children)
