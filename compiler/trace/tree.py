"""Pytrees: nested containers of tensors, by optree; and the names of their leaves, for messages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from phalanx.dialects.errors import ArgumentError

NAMESPACE = "phalanx"
TreeSpec = Any


def flatten(tree: Any, who: str = "arguments") -> tuple[list[Any], TreeSpec]:
    """Leaves and structure of a pytree; None is an empty tree.

    Raises ArgumentError for a container that holds itself.
    """
    import optree  # here and below: 10 ms that importing Phalanx need not pay

    try:
        return optree.tree_flatten(tree, namespace=NAMESPACE)
    except RecursionError:
        raise ArgumentError(f"{who}: a container holds itself (or is nested thousands deep)",
                            hint="pass a finite tree of dicts, lists, tuples and registered dataclasses") from None


def unflatten(structure: TreeSpec, leaves: Sequence[Any]) -> Any:
    """The tree with other leaves."""
    import optree

    return optree.tree_unflatten(structure, leaves)


def names(structure: TreeSpec, root: str = "") -> list[str]:
    """One name per leaf such as `params['w'][0]`."""
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

        optree.register_pytree_node(cls, pack, unpack, namespace=NAMESPACE)  # type: ignore[arg-type]
        return cls

    return register(cls) if cls is not None else register
