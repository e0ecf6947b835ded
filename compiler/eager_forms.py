"""Which program an eager op needs: its operands with names for sizes, so that one compile serves many shapes.

The axes of dense row-major operands are regrouped where the op does not see them: elementwise ops run on one
axis whatever the rank (more only where operands broadcast), reductions on alternating kept and reduced axes.
Sizes that are part of the attributes stay numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from phalanx.dialects.kinds import Contraction, Elementwise, Indexing, Reduction, WindowContraction
from phalanx.dialects.opdef import Op

Shape = tuple[int, ...]
NamedShape = tuple[int | str, ...]


@dataclass(frozen=True)
class Form:
    """Operand shapes with named sizes, the attributes that go with them, and what the names stand for."""

    shapes: tuple[NamedShape, ...]
    attributes: dict[str, Any]
    sizes: dict[str, int]


def static_form(shapes: Sequence[Shape], attributes: dict[str, Any]) -> Form:
    """The form that serves these shapes and no others."""
    return Form(tuple(shapes), attributes, {})


def dynamic_form(op: type[Op], shapes: Sequence[Shape], attributes: dict[str, Any]) -> Form:
    """The form of an op on operands of these shapes that serves the most other shapes."""
    for kind, rule in _RULES:
        if issubclass(op, kind):
            return rule(op, shapes, attributes)
    return _equal_sizes(shapes, attributes)


def _elementwise(op: type[Op], shapes: Sequence[Shape], attributes: dict[str, Any]) -> Form:
    """Neighbouring axes along which the same operands repeat become one."""
    first = shapes[0]
    if all(shape == first for shape in shapes):
        return Form((("n0",),) * len(shapes), attributes, {"n0": math.prod(first)})
    rank = max(map(len, shapes))
    aligned = [(1,) * (rank - len(shape)) + shape for shape in shapes]
    groups: list[tuple[tuple[bool, ...], int]] = []
    for column in zip(*aligned, strict=True):
        size = next((s for s in column if s != 1), 1)
        if size == 1:
            continue  # every operand has it, and it holds nothing
        present = tuple(s != 1 for s in column)
        if groups and groups[-1][0] == present:
            groups[-1] = (present, groups[-1][1] * size)
        else:
            groups.append((present, size))
    groups = groups or [((True,) * len(shapes), 1)]
    named = tuple(tuple(f"n{i}" if present[k] else 1 for i, (present, _) in enumerate(groups)) for k in range(len(shapes)))
    return Form(named, attributes, {f"n{i}": size for i, (_, size) in enumerate(groups)})


def _reduction(op: type[Op], shapes: Sequence[Shape], attributes: dict[str, Any]) -> Form:
    """Neighbouring axes that are all kept or all reduced become one; there always is a reduced one."""
    (shape,) = shapes
    groups: list[tuple[bool, int]] = []
    for axis, size in enumerate(shape):
        reduced = axis in attributes["axes"]
        if size == 1:
            continue
        if groups and groups[-1][0] == reduced:
            groups[-1] = (reduced, groups[-1][1] * size)
        else:
            groups.append((reduced, size))
    if not any(reduced for reduced, _ in groups):
        groups.append((True, 1))
    axes = tuple(i for i, (reduced, _) in enumerate(groups) if reduced)
    named = tuple(f"n{i}" for i in range(len(groups)))
    return Form((named,), {**attributes, "axes": axes, "keepdims": False},
                {f"n{i}": size for i, (_, size) in enumerate(groups)})


def _contraction(op: type[Op], shapes: Sequence[Shape], attributes: dict[str, Any]) -> Form:
    """Summed and shared axes have one name on both sides."""
    named: list[list[int | str]] = [[f"{side}{axis}" for axis in range(len(shape))]
                                    for side, shape in zip(("lhs", "rhs"), shapes, strict=True)]
    for prefix, (left, right) in (("k", attributes["contract"]), ("b", attributes["batch_axes"])):
        for number, (a, b) in enumerate(zip(left, right, strict=True)):
            named[0][a] = named[1][b] = f"{prefix}{number}"
    return _named(shapes, [tuple(n) for n in named], attributes)


def _windows(op: type[Op], shapes: Sequence[Shape], attributes: dict[str, Any]) -> Form:
    """Every size decides how a product over windows is computed."""
    return static_form(shapes, attributes)


def _indexing(op: type[Op], shapes: Sequence[Shape], attributes: dict[str, Any]) -> Form:
    """Index tensors broadcast; what is written has their axes, then those of the tensor that are not indexed."""
    count = len(attributes["axes"])
    indices = shapes[len(shapes) - count:]
    rank = max(map(len, indices), default=0)
    lead = [next((s[axis - rank] for s in indices if len(s) >= rank - axis and s[axis - rank] != 1), 1)
            for axis in range(rank)]
    tensor = tuple(f"x{axis}" for axis in range(len(shapes[0])))
    named: list[NamedShape] = [tensor]
    if len(shapes) - count == 2:
        named.append((*(f"i{axis}" for axis in range(rank)),
                      *(tensor[axis] for axis in range(len(tensor)) if axis not in attributes["axes"])))
    for shape in indices:
        offset = rank - len(shape)
        named.append(tuple(f"i{axis + offset}" if size == lead[axis + offset] else size
                           for axis, size in enumerate(shape)))
    return _named(shapes, named, attributes)


def _named(shapes: Sequence[Shape], named: Sequence[NamedShape], attributes: dict[str, Any]) -> Form:
    sizes = {name: size for shape, names in zip(shapes, named, strict=True)
             for size, name in zip(shape, names, strict=True) if isinstance(name, str)}
    return Form(tuple(named), attributes, sizes)


def _equal_sizes(shapes: Sequence[Shape], attributes: dict[str, Any]) -> Form:
    """No rule: axes of equal size have one name, those of size 1 stay as they are."""
    sizes = {f"n{number}": size for number, size in enumerate(dict.fromkeys(s for shape in shapes for s in shape if s != 1))}
    names = {size: name for name, size in sizes.items()}
    return Form(tuple(tuple(names.get(s, s) for s in shape) for shape in shapes), attributes, sizes)


_RULES: tuple[tuple[type[Op], Callable[..., Form]], ...] = (
    (Elementwise, _elementwise), (Reduction, _reduction), (WindowContraction, _windows), (Contraction, _contraction),
    (Indexing, _indexing))
