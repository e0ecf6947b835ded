"""einsum: products of labelled axes, contracted pair by pair in a cheap order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from phalanx.dialects.dims import Size
from phalanx.dialects.errors import ArgumentError, ShapeError
from phalanx.dialects.kinds import emit
from phalanx.dialects.opdef import composite, lookup
from phalanx.dialects.px.products import contract_pair, in_order, sum_labels
from phalanx.dialects.px.shape import as_tensor, is_size, move_axis, reshape
from phalanx.dialects.px.slicing import iota_along, slice_

# What a named size counts as when the order of contractions is chosen.
_TYPICAL_SIZE = 64


@composite
def einsum(subscripts: str, /, *operands: Any) -> Any:
    """Sums of products written with a letter per axis: "ij,jk->ik" is a matrix product.

    >>> px.einsum("ii->i", px.asarray([[1.0, 2.0], [3.0, 4.0]]))
    px.Tensor([1. 4.], dtype=float32)

    A letter that is not in the output is summed over; one that stands twice on a tensor takes the diagonal;
    `...` stands for leading axes that broadcast. Without `->` the output has the letters that stand once, in
    alphabetical order. Several operands are contracted pair by pair in the order of `numpy.einsum_path`.
    Raises ArgumentError for subscripts that do not fit the operands, ShapeError for sizes that do not match.
    """
    tensors = [as_tensor(o) for o in operands]
    inputs, out = _parse(subscripts, tensors)
    _check_sizes(subscripts, tensors, inputs)
    terms = [_diagonal(x, labels) for x, labels in zip(tensors, inputs, strict=True)]
    for chosen in _path(subscripts, tensors):
        picked = [terms.pop(i) for i in sorted(chosen, reverse=True)][::-1]
        needed = {n for _, labels in terms for n in labels} | set(out)
        while len(picked) > 1:
            (x, x_labels), (y, y_labels), *rest = picked
            later = needed | {n for _, labels in rest for n in labels}
            kept = [n for n in dict.fromkeys((*x_labels, *y_labels)) if n in later]
            last = not rest and not terms
            kept = list(out) if last else kept
            picked = [(contract_pair(x, x_labels, y, y_labels, kept), kept), *rest]
        terms.append(picked[0])
    x, labels = terms[0]
    x, labels = sum_labels(x, labels, [n for n in labels if n not in out])
    return in_order(x, labels, out)


def _parse(subscripts: str, tensors: Sequence[Any]) -> tuple[list[list[Hashable]], list[Hashable]]:
    """Labels per operand and of the output; an axis of `...` has a number, counted from the end."""
    text = subscripts.replace(" ", "")
    left, arrow, right = text.partition("->")
    parts = left.split(",")
    if len(parts) != len(tensors):
        raise ArgumentError(f"einsum: {subscripts!r} names {len(parts)} operands, got {len(tensors)}")
    inputs = [_labels(part, x.ndim, subscripts) for part, x in zip(parts, tensors, strict=True)]
    around = max((sum(isinstance(n, int) for n in labels) for labels in inputs), default=0)
    numbers: list[Hashable] = list(range(-around, 0))
    if not arrow:
        counts = Counter(n for labels in inputs for n in labels if isinstance(n, str))
        return inputs, [*numbers, *sorted(n for n, c in counts.items() if c == 1)]
    out = _labels(right, None, subscripts)
    place = next((i for i, n in enumerate(out) if n == "..."), None)
    if place is not None:
        out[place: place + 1] = numbers
    known = {n for labels in inputs for n in labels}
    if len(set(out)) != len(out) or not set(out) <= known or (around and place is None):
        raise ArgumentError(f"einsum: the output of {subscripts!r} must have letters of the operands, each once"
                            + (", and `...`" if around else ""))
    return inputs, out


def _labels(part: str, rank: int | None, subscripts: str) -> list[Hashable]:
    """The letters of one operand (or, with rank None, of the output, where `...` stays)."""
    before, dots, after = part.partition("...")
    letters = before + after
    if any(not (c.isascii() and c.isalpha()) for c in letters):
        raise ArgumentError(f"einsum: cannot read {part!r} in {subscripts!r}", hint="letters, `,`, `...` and `->` only")
    if rank is None:
        return [*before, *(["..."] if dots else []), *after]
    extra = rank - len(letters)
    if extra < 0 or (extra and not dots):
        raise ArgumentError(f"einsum: {part!r} in {subscripts!r} names {len(letters)} axes of a tensor of rank {rank}")
    return [*before, *range(-extra, 0), *after]


def _check_sizes(subscripts: str, tensors: Sequence[Any], inputs: Sequence[Sequence[Hashable]]) -> None:
    sizes: dict[Hashable, Size] = {}
    for x, labels in zip(tensors, inputs, strict=True):
        for label, size in zip(labels, x.shape, strict=True):
            known = sizes.get(label, 1)
            if is_size(known, 1):
                sizes[label] = size
            elif not is_size(size, 1) and size != known:
                raise ShapeError(f"einsum: {label!r} in {subscripts!r} has sizes {known} and {size}")


def _diagonal(x: Any, labels: Sequence[Hashable]) -> tuple[Any, list[Hashable]]:
    """`x` with one axis per label: the diagonal of those that stand twice."""
    left = list(labels)
    while len(set(left)) < len(left):
        label = next(n for n in left if left.count(n) > 1)
        first = left.index(label)
        second = left.index(label, first + 1)
        del left[second], left[first]
        left.append(label)
        x = _pair_diagonal(x, first, second)
    return x, left


def _pair_diagonal(x: Any, first: int, second: int) -> Any:
    """The diagonal of two axes, as the last axis of the result."""
    size = x.shape[first]
    if x.shape[second] != size:
        raise ShapeError(f"einsum: a diagonal needs equal sizes, got {size} and {x.shape[second]}")
    x = move_axis(move_axis(x, first, x.ndim - 1), second - 1, x.ndim - 1)
    rest = x.shape[:-2]
    if not isinstance(size, int):
        along = iota_along(size, 0, 1)
        found = emit(lookup("gather"), [x, along, along], {"axes": (x.ndim - 2, x.ndim - 1)})
        return move_axis(found, 0, found.ndim - 1)
    flat = emit(reshape, [x], {"shape": (*rest, size * size)})  # every (size + 1)-th element is on the diagonal
    return emit(slice_, [flat], {"start": (0,) * flat.ndim, "limit": flat.shape,
                                 "strides": (*[1] * len(rest), size + 1)})


def _path(subscripts: str, tensors: Sequence[Any]) -> list[tuple[int, ...]]:
    """Which operands to contract next, in positions of the shrinking list."""
    if len(tensors) <= 2:
        return [tuple(range(len(tensors)))]
    shapes = [tuple(s if isinstance(s, int) else _TYPICAL_SIZE for s in x.shape) for x in tensors]
    dummies = [np.broadcast_to(np.float32(0), shape) for shape in shapes]
    path, _ = np.einsum_path(subscripts, *dummies, optimize="greedy")
    return list(path[1:])
