"""Pytrees: nested containers of tensors, by optree; and the names of their leaves, for messages.

Most calls take tensors by name and return one, or a tuple of some: those have a structure of our own, since importing
optree is 10 ms of the first call of a process.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from phalanx.compiler.tensor import Tensor
from phalanx.compiler.trace.tracer import Tracer
from phalanx.dialects.errors import ArgumentError

NAMESPACE = "phalanx"
TreeSpec = Any

# What is never a container, whatever has been registered.
_LEAVES = frozenset({Tensor, Tracer, np.ndarray, bool, int, float})
_CONTAINERS = frozenset({OrderedDict, tuple, list})


class Shallow:
    """The structure of one leaf, or of one container with nothing but leaves; `keys` are those of a dictionary."""

    __slots__ = ("count", "keys", "kind")

    def __init__(self, kind: type[Any] | None, count: int, keys: tuple[Any, ...] = ()) -> None:
        self.kind = kind
        self.count = count
        self.keys = keys

    def __eq__(self, other: object) -> bool:
        return type(other) is Shallow and (self.kind, self.count, self.keys) == (other.kind, other.count, other.keys)

    def __hash__(self) -> int:
        return hash((self.kind, self.count, self.keys))

    def __repr__(self) -> str:
        leaves = ["*"] * self.count
        if self.kind is None:
            return "*"
        if self.kind is OrderedDict:
            return "{" + ", ".join(f"{key!r}: *" for key in self.keys) + "}"
        return str(leaves if self.kind is list else tuple(leaves)).replace("'", "")

    def is_leaf(self) -> bool:
        """Whether there is no container."""
        return self.kind is None

    def names(self) -> list[str]:
        """What to write after the name of the whole to get each leaf."""
        if self.kind is None:
            return [""]
        return [f"[{key!r}]" for key in (self.keys if self.kind is OrderedDict else range(self.count))]

    def unflatten(self, leaves: Sequence[Any]) -> Any:
        """The container with other leaves."""
        if len(leaves) != self.count:
            raise ValueError(f"expected {self.count} leaves, got {len(leaves)}")
        if self.kind is None:
            return leaves[0]
        if self.kind is OrderedDict:
            return OrderedDict(zip(self.keys, leaves, strict=True))
        return self.kind(leaves)


def _contents(tree: Any) -> tuple[list[Any], Shallow]:
    """What a container of one of the known kinds holds, and its structure if all of that are leaves."""
    kind = type(tree)
    values = list(tree.values() if kind is OrderedDict else tree)
    return values, Shallow(kind, len(values), tuple(tree) if kind is OrderedDict else ())


def _shallow(tree: Any) -> tuple[list[Any], Shallow] | None:
    """Leaves and structure of what has one of the common structures, and of no other."""
    kind = type(tree)
    if kind in _LEAVES:
        return [tree], Shallow(None, 1)
    if kind not in _CONTAINERS:
        return None
    leaves, structure = _contents(tree)
    return (leaves, structure) if all(type(leaf) in _LEAVES for leaf in leaves) else None


def _with_other_leaves(tree: Any, leaves: list[Any]) -> Shallow | None:
    """The same structure for leaves of types that are not known here, such as arrays of other libraries."""
    if len(leaves) == 1 and leaves[0] is tree:
        return Shallow(None, 1)
    if type(tree) not in _CONTAINERS:
        return None
    values, structure = _contents(tree)
    same = len(values) == len(leaves) and all(a is b for a, b in zip(values, leaves, strict=True))
    return structure if same else None


def flatten(tree: Any, who: str = "arguments") -> tuple[list[Any], TreeSpec]:
    """Leaves and structure of a pytree; None is an empty tree.

    Raises ArgumentError for a container that holds itself.
    """
    shallow = _shallow(tree)
    if shallow is not None:
        return shallow
    import optree  # here and below: for trees that need it

    try:
        leaves, structure = optree.tree_flatten(tree, namespace=NAMESPACE)
    except RecursionError:
        raise ArgumentError(f"{who}: a container holds itself (or is nested thousands deep)",
                            hint="pass a finite tree of dicts, lists, tuples and registered dataclasses") from None
    return leaves, _with_other_leaves(tree, leaves) or structure


def unflatten(structure: TreeSpec, leaves: Sequence[Any]) -> Any:
    """The tree with other leaves."""
    if type(structure) is Shallow:
        return structure.unflatten(leaves)
    import optree

    return optree.tree_unflatten(structure, leaves)


def names(structure: TreeSpec, root: str = "") -> list[str]:
    """One name per leaf such as `params['w'][0]`."""
    if type(structure) is Shallow:
        return [root + name for name in structure.names()]
    found = []
    for accessor in structure.accessors():
        text = accessor.codify("") if hasattr(accessor, "codify") else str(accessor)
        found.append(root + text)
    return found


def map_leaves(function: Callable[..., Any], tree: Any, *rest: Any) -> Any:
    """`function` on every leaf, structure kept."""
    import optree

    return optree.tree_map(function, tree, *rest, namespace=NAMESPACE)


def register_dataclass(cls: type[Any] | None = None, /, *, static: Sequence[str] = ()) -> Any:
    """Make a dataclass a container of tensors; `static` fields are part of the structure, not leaves.

    >>> import dataclasses
    >>> @px.register_dataclass(static=("name",))
    ... @dataclasses.dataclass
    ... class Layer:
    ...     weight: px.Tensor
    ...     name: str

    Raises ArgumentError when the class is not a dataclass or a static field does not exist.
    """

    import dataclasses  # loaded already where there are any

    def register(cls: type[Any]) -> type[Any]:
        if not dataclasses.is_dataclass(cls):
            raise ArgumentError(f"register_dataclass: {cls.__name__} is not a dataclass",
                                hint="put @dataclasses.dataclass below @px.register_dataclass")
        fields = [f.name for f in dataclasses.fields(cls) if f.init]
        unknown = [s for s in static if s not in fields]
        if unknown:
            raise ArgumentError(f"register_dataclass: {cls.__name__} has no field {unknown[0]!r}",
                                hint=f"it has {', '.join(fields)}")
        dynamic = tuple(f for f in fields if f not in static)

        def pack(value: Any) -> tuple[list[Any], tuple[Any, ...], tuple[str, ...]]:
            children = [getattr(value, f) for f in dynamic]
            return children, tuple(getattr(value, f) for f in static), dynamic

        def unpack(kept: tuple[Any, ...], children: Sequence[Any]) -> Any:
            return cls(**dict(zip(dynamic, children, strict=True)), **dict(zip(static, kept, strict=True)))

        import optree

        try:
            optree.register_pytree_node(cls, pack, unpack, namespace=NAMESPACE)  # type: ignore[arg-type]
        except ValueError:
            raise ArgumentError(f"register_dataclass: {cls.__name__} is registered already") from None
        return cls

    return register(cls) if cls is not None else register
