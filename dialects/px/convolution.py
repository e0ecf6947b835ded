"""Convolutions: products summed over windows, as one op whose gradients are the same op."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from phalanx.dialects import dims
from phalanx.dialects.aval import Aval, is_sequence, items, shape_of
from phalanx.dialects.dims import Size
from phalanx.dialects.dtypes import DType
from phalanx.dialects.errors import ArgumentError, DTypeError, ShapeError
from phalanx.dialects.kinds import Sample, ScalarScope, WindowContraction, emit, sample_values
from phalanx.dialects.opdef import Attr, Ints, Number, Operand, composite, op
from phalanx.dialects.px.contract import accumulator
from phalanx.dialects.px.shape import as_tensor, concatenate, filled, is_size, reshape, reverse
from phalanx.dialects.px.slicing import pad, slice_
from phalanx.dialects.px.windows import fitting, reach, whole_numbers
from phalanx.dialects.requirements import at_least


@op
class window_product(WindowContraction):
    """Products of windows of `lhs` with `rhs`, summed over every loop that is not an axis of the result.

    >>> lhs, rhs = px.asarray([1.0, 2.0, 3.0, 4.0]), px.asarray([1.0, 10.0])
    >>> px.window_product(lhs, rhs, left=[0], inner=[1], right=[1], rank=1)
    px.Tensor([21. 32. 43.], dtype=float32)

    Loops are numbered: those below `rank` are the axes of the result. Axis i of `lhs` is at loop `left[i]`; where
    `inner[i]` is a loop and not -1, at `strides[i] * left[i] + dilations[i] * inner[i]`. Axis i of `rhs` is at
    loop `right[i]`. What `px.conv` is made of. Raises ShapeError when sizes of one loop differ.
    """

    lhs: Operand[Number]
    rhs: Operand[Number]
    left: Attr[Ints]
    inner: Attr[Ints]
    strides: Attr[Ints]
    dilations: Attr[Ints]
    right: Attr[Ints]
    rank: Attr[int]

    @classmethod
    def prepare(cls, lhs: Any, rhs: Any, /, *, left: Any, right: Any, rank: int, inner: Any = None, strides: Any = 1,
                dilations: Any = 1) -> Any:
        count = len(shape_of(lhs))
        inner = (-1,) * count if inner is None else tuple(items(inner))
        found = {"left": tuple(items(left)), "inner": inner, "right": tuple(items(right))}
        for name, expected in (("left", count), ("inner", count), ("right", len(shape_of(rhs)))):
            if len(found[name]) != expected:
                raise ShapeError(f"window_product: {name} has a loop for every axis, got {found[name]} for {expected} axes")
        return [lhs, rhs], found | {"strides": whole_numbers(strides, count, cls.name, "strides"), "rank": rank,
                                    "dilations": whole_numbers(dilations, count, cls.name, "dilations")}

    @classmethod
    def infer(cls, avals: Sequence[Aval], attrs: dict[str, Any]) -> Aval:
        lhs, rhs = avals
        if lhs.dtype is not rhs.dtype:
            raise DTypeError(f"window_product: operands have different dtypes, got {lhs} and {rhs}")
        sizes = _loop_sizes(lhs.shape, rhs.shape, attrs)
        missing = [loop for loop in range(attrs["rank"]) if loop not in sizes]
        if missing:
            raise ShapeError(f"window_product: no operand gives the size of loop {missing[0]}")
        return lhs.with_shape(tuple(sizes[loop] for loop in range(attrs["rank"])))

    @staticmethod
    def eval(xp: Any, lhs: Any, rhs: Any, *, left: Ints, inner: Ints, strides: Ints, dilations: Ints, right: Ints,
             rank: int) -> Any:
        sizes = _sizes_of(lhs.shape, rhs.shape, left, inner, strides, dilations, right)
        loops = list(left)
        for axis, (outer, loop, stride, dilation) in enumerate(zip(left, inner, strides, dilations, strict=True)):
            if loop >= 0:
                before, span = (slice(None),) * axis, reach(sizes[outer], stride)
                lhs = xp.stack([lhs[(*before, slice(k * dilation, k * dilation + span, stride), ...)]
                                for k in range(sizes[loop])], axis=-1)
                loops.append(loop)
        shared = [loop for loop in loops if loop in right and loop < rank]
        summed = [loop for loop in loops if loop in right and loop >= rank]
        pairs = [tuple(tuple(side.index(loop) for loop in wanted) for side in (loops, list(right)))
                 for wanted in (summed, shared)]
        product = xp.dot_general(lhs, rhs, *pairs)
        found = [*shared, *(n for n in loops if n not in right), *(n for n in right if n not in loops)]
        return xp.permute_dims(product, tuple(found.index(loop) for loop in range(rank)))

    @classmethod
    def lower(cls, b: Any, operands: Sequence[Any], results: Sequence[Aval], attrs: dict[str, Any]) -> Any:
        (lhs, rhs), result, rank = operands, results[0], attrs["rank"]
        maps: list[Any] = []
        for outer, loop, stride, dilation in _axes(attrs):
            maps.append(outer if loop < 0 else ("sum", (outer, stride), (loop, dilation)))
        loops = 1 + max((*range(rank), *attrs["left"], *attrs["inner"], *attrs["right"]), default=-1)
        wide = result.with_dtype(accumulator(result.dtype))
        s = ScalarScope(b.scalars, wide.dtype, wide.dtype, attrs)

        def body(x: Any, y: Any, total: Any) -> Any:
            if wide.dtype.is_float:
                return s.arith("addf", total, s.arith("mulf", x, y, fastmath="contract"), fastmath="reassoc,contract")
            return s.arith("addi", total, s.arith("muli", x, y))

        (total,) = b.generic([(lhs, maps), (rhs, list(attrs["right"]))], [wide], body, loops=loops,
                             reductions=range(rank, loops), output_maps=[range(rank)], inits=[b.fill(wide, 0)],
                             kind="contraction")
        if wide.dtype is result.dtype:
            return total
        return b.elementwise([total], result, lambda v: b.scalars.convert(v, wide.dtype, result.dtype))

    @staticmethod
    def vjp(ct: Any, out: Any, lhs: Any, rhs: Any, *, left: Ints, inner: Ints, strides: Ints, dilations: Ints,
            right: Ints, rank: int) -> Any:
        attrs = {"left": left, "inner": inner, "strides": strides, "dilations": dilations, "right": right, "rank": rank}
        return _of_left(ct, lhs.shape, rhs, attrs), _of_right(ct, _reached(lhs, rhs, attrs), right, attrs)

    @classmethod
    def batch(cls, size: Size, batched: Sequence[bool], operands: Sequence[Any], attrs: dict[str, Any]) -> Any:
        moved = {name: tuple(loop + (loop >= 0) for loop in attrs[name]) for name in ("left", "inner", "right")}
        if batched[0]:
            moved |= {"left": (0, *moved["left"]), "inner": (-1, *moved["inner"])}
            attrs = attrs | {name: (1, *attrs[name]) for name in ("strides", "dilations")}
        if batched[1]:
            moved["right"] = (0, *moved["right"])
        return emit(cls, operands, attrs | moved | {"rank": attrs["rank"] + 1})

    @classmethod
    def samples(cls, dtype: DType) -> list[Sample]:
        cases: list[tuple[tuple[int, ...], tuple[int, ...], Ints, Ints, Ints, Ints, Ints, int]] = [
            ((5,), (2,), (0,), (1,), (1,), (1,), (1,), 1),
            ((7,), (3,), (0,), (1,), (2,), (2,), (1,), 1),
            ((2, 6, 3), (2, 3, 4), (0, 1, 4), (-1, 3, -1), (1, 2, 1), (1, 1, 1), (3, 4, 2), 3),
            ((2, 3, 5, 6), (4, 3, 3, 2), (0, 6, 2, 3), (-1, -1, 4, 5), (1, 1, 1, 2), (1, 1, 2, 1), (1, 6, 4, 5), 4),
            ((2, 5, 3), (2, 3, 3), (3, 4, 1), (-1, 0, -1), (1, 1, 1), (1, 1, 1), (3, 4, 2), 3),
            ((2, 5, 3), (3, 3), (0, 1, 2), (-1, 3, -1), (1, 1, 1), (1, 1, 1), (3, 2), 3),
            ((3, 4), (4, 2), (0, 2), (-1, -1), (1, 1), (1, 1), (2, 1), 2)]
        return [([sample_values(dtype, lhs, (-2.0, 2.0), 0), sample_values(dtype, rhs, (-2.0, 2.0), 1)],
                 {"left": left, "inner": inner, "strides": strides, "dilations": dilations, "right": right, "rank": rank})
                for lhs, rhs, left, inner, strides, dilations, right, rank in cases]


def _axes(attrs: dict[str, Any]) -> list[tuple[int, int, int, int]]:
    """(loop, inner loop or -1, stride, dilation) of every axis of the left operand."""
    return list(zip(attrs["left"], attrs["inner"], attrs["strides"], attrs["dilations"], strict=True))


def _loop_sizes(lhs: Sequence[Size], rhs: Sequence[Size], attrs: dict[str, Any]) -> dict[int, Size]:
    names = ("left", "inner", "strides", "dilations", "right")
    return _sizes_of(lhs, rhs, *(attrs[name] for name in names))


def _sizes_of(lhs: Sequence[Size], rhs: Sequence[Size], left: Ints, inner: Ints, strides: Ints, dilations: Ints,
              right: Ints) -> dict[int, Size]:
    """The size of every loop; of two loops over one axis, one is what the other leaves room for."""
    sizes: dict[int, Size] = {}
    plain = [(loop, size) for loop, within, size in zip(left, inner, lhs, strict=True) if within < 0]
    for loop, size in [*plain, *zip(right, rhs, strict=True)]:
        if sizes.setdefault(loop, size) != size:
            raise ShapeError(f"window_product: sizes of one loop differ, got {sizes[loop]} and {size}")
    for axis, (loop, within, stride, dilation) in enumerate(zip(left, inner, strides, dilations, strict=True)):
        if within < 0:
            continue
        given, step, other, other_step = (
            (within, dilation, loop, stride) if within in sizes else (loop, stride, within, dilation))
        if given not in sizes:
            raise ShapeError(f"window_product: no operand gives the size of loop {within}")
        covered = reach(sizes[given], step)
        message = f"conv: a window of {covered} is longer than axis {axis}, which has {lhs[axis]} elements"
        if not at_least(lhs[axis], covered, message):
            raise ShapeError(message)
        sizes.setdefault(other, fitting(lhs[axis], covered, other_step))
    return sizes


def _reached(lhs: Any, rhs: Any, attrs: dict[str, Any]) -> Any:
    """The part of `lhs` that windows cover: sizes of windows then follow from it and their number."""
    sizes = _loop_sizes(lhs.shape, rhs.shape, attrs)
    limit = tuple(size if within < 0 else reach(sizes[loop], stride) + reach(sizes[within], dilation) - 1
                  for size, (loop, within, stride, dilation) in zip(lhs.shape, _axes(attrs), strict=True))
    if limit == tuple(lhs.shape):
        return lhs
    return emit(slice_, [lhs], {"start": (0,) * lhs.ndim, "limit": limit, "strides": (1,) * lhs.ndim})


def _of_right(ct: Any, lhs: Any, right: Ints, attrs: dict[str, Any]) -> Any:
    """The cotangent of the right operand: windows of `lhs` with `ct`, kept along the loops of that operand."""
    number = {loop: axis for axis, loop in enumerate(right)}
    loops = sorted({*range(attrs["rank"]), *attrs["left"], *(w for w in attrs["inner"] if w >= 0)} - set(right))
    number |= {loop: len(right) + n for n, loop in enumerate(loops)}
    return emit(window_product, [lhs, ct], {
        "left": tuple(number[loop] for loop in attrs["left"]),
        "inner": tuple(number.get(loop, -1) for loop in attrs["inner"]),
        "strides": attrs["strides"], "dilations": attrs["dilations"],
        "right": tuple(number[loop] for loop in range(attrs["rank"])), "rank": len(right)})


def _of_left(ct: Any, shape: Sequence[Size], rhs: Any, attrs: dict[str, Any]) -> Any:
    """The cotangent of the left operand, which has this shape.

    Place h of an axis takes part for every element k of a window, as window (h - k * dilation) / stride. So the operand
    that has the windows' loops is padded, the other one, which has their elements, is reversed, and the product of the
    two is over windows again. With strides, places are done by what is left of h over the stride.
    """
    mine, other = (ct, list(range(attrs["rank"]))), (rhs, list(attrs["right"]))
    if any(loop not in mine[1] for loop, within, _, _ in _axes(attrs) if within >= 0):
        mine, other = other, mine
    sizes: dict[int, Size] = {}
    for tensor, its in (mine, other):
        sizes |= dict(zip(its, tensor.shape, strict=True))
    for axis, (_, within, stride, dilation) in enumerate(_axes(attrs)):
        if within >= 0 and stride > 1 and dilation == 1 and isinstance(shape[axis], int) and isinstance(sizes[within], int):
            return _in_turns(ct, shape, rhs, attrs, axis)
    (spread, loops), (flipped, its) = mine, other
    low: list[Size] = [0] * len(loops)
    high, interior = list(low), [0] * len(loops)
    back: list[int] = []
    number: dict[int, int] = {}
    inner, dilations = [-1] * len(loops), [1] * len(loops)
    for axis, (loop, within, stride, dilation) in enumerate(_axes(attrs)):
        number[loop] = axis
        if within < 0:
            continue
        place, before = loops.index(loop), (sizes[within] - 1) * dilation
        low[place], interior[place] = before, stride - 1
        high[place] = shape[axis] - reach(sizes[loop], stride)
        inner[place], dilations[place] = within, dilation
        back.append(its.index(within))
    if not all(is_size(amount, 0) for amount in [*low, *high, *interior]):
        spread = emit(pad, [spread, np.zeros((), ct.dtype.numpy)],
                      {"low": tuple(low), "high": tuple(high), "interior": tuple(interior)})
    if back:
        flipped = emit(reverse, [flipped], {"axes": tuple(sorted(back))})
    number |= {loop: len(shape) + n for n, loop in enumerate(sorted({*loops, *its} - set(number)))}
    return emit(window_product, [spread, flipped], {
        "left": tuple(number[loop] for loop in loops), "inner": tuple(number[w] if w >= 0 else -1 for w in inner),
        "strides": (1,) * len(loops), "dilations": tuple(dilations),
        "right": tuple(number[loop] for loop in its), "rank": len(shape)})


def _in_turns(ct: Any, shape: Sequence[Size], rhs: Any, attrs: dict[str, Any], axis: int) -> Any:
    """The cotangent of the left operand, place 0, stride, 2 * stride, ... of an axis first, then 1, stride + 1, ..."""
    _, within, stride, _ = _axes(attrs)[axis]
    of_ct = within < attrs["rank"]
    source, at = (ct, within) if of_ct else (rhs, attrs["right"].index(within))
    count = -(-int(shape[axis]) // stride)
    fewer = (*shape[:axis], count, *shape[axis + 1:])
    single = attrs | {"strides": tuple(1 if a == axis else n for a, n in enumerate(attrs["strides"]))}
    parts = []
    for first in range(stride):
        if first >= source.shape[at]:  # no element of a window is there
            parts.append(filled((*fewer[:axis + 1], 1, *fewer[axis + 1:]), 0, ct.dtype))
            continue
        start = tuple(first if a == at else 0 for a in range(source.ndim))
        steps = tuple(stride if a == at else 1 for a in range(source.ndim))
        some = emit(slice_, [source], {"start": start, "limit": source.shape, "strides": steps})
        part = _of_left(some, fewer, rhs, single) if of_ct else _of_left(ct, fewer, some, single)
        parts.append(reshape(part, (*fewer[:axis + 1], 1, *fewer[axis + 1:])))
    joined = emit(concatenate, parts, {"axis": axis + 1})
    whole = reshape(joined, (*shape[:axis], count * stride, *shape[axis + 1:]))
    return emit(slice_, [whole], {"start": (0,) * len(shape), "limit": tuple(shape), "strides": (1,) * len(shape)})


@composite
def conv(
    x: Any,
    kernel: Any,
    /,
    *,
    strides: Any = 1,
    padding: Any = "valid",
    input_dilation: Any = 1,
    kernel_dilation: Any = 1,
    feature_group_size: int = 1,
    batch_group_size: int = 1,
    input_permutation: Any = None,
    kernel_permutation: Any = None,
    output_permutation: Any = None,
) -> Any:
    """Convolution as networks have it (the kernel is not reversed): windows of `x` times `kernel`, summed over channels.

    >>> image, kernel = px.ones((1, 1, 3, 4)), px.ones((2, 1, 2, 2))
    >>> px.conv(image, kernel).shape, px.conv(image, kernel, padding="same", strides=2).shape
    ((1, 2, 2, 3), (1, 2, 2, 2))

    Axes are (batch, channels, *space), those of the kernel (features, channels, *space), those of the result
    (batch, features, *space), unless a permutation says where each of them stands: `(0, 3, 1, 2)` for channels last.
    `padding` is "valid", "same", an amount, or (low, high) per axis of space; negative amounts crop. `input_dilation`
    puts zeros between elements (a transposed convolution). With `feature_group_size` channels and features fall into
    as many groups of their own, with `batch_group_size` entries of the batch and features.
    Raises ShapeError when the kernel does not fit.
    """
    x, kernel = as_tensor(x), as_tensor(kernel)
    if x.ndim < 2 or kernel.ndim != x.ndim:
        raise ShapeError(f"conv: needs (batch, channels, *space) and (features, channels, *space), got {x.aval} and "
                         f"{kernel.aval}")
    space = x.ndim - 2
    inputs, kernels, outputs = (
        _permutation(p, x.ndim) for p in (input_permutation, kernel_permutation, output_permutation))
    steps = whole_numbers(strides, space, "conv", "strides")
    apart = whole_numbers(kernel_dilation, space, "conv", "kernel_dilation")
    spread = whole_numbers(input_dilation, space, "conv", "input_dilation")
    covered = [reach(kernel.shape[a], d) for a, d in zip(kernels[2:], apart, strict=True)]
    x = _surrounded(x, inputs[2:], padding, spread, covered, steps)
    at, within = [("at", n) for n in range(space)], [("in", n) for n in range(space)]
    left, right = _named(["batch", "channels", *at], inputs), _named(["features", "channels", *within], kernels)
    result = _named(["batch", "features", *at], outputs)
    groups = max(feature_group_size, batch_group_size)
    if groups > 1:
        x, left = _in_groups(x, left, "channels" if feature_group_size > 1 else "batch", groups)
        kernel, right = _in_groups(kernel, right, "features", groups)
        result.insert(result.index("features"), "group")
    loops = {name: number for number, name in enumerate([*result, "channels", *within])}
    found = window_product(
        x, kernel, left=[loops[name] for name in left], right=[loops[name] for name in right], rank=len(result),
        inner=[loops["in", name[1]] if name in at else -1 for name in left],
        strides=[steps[name[1]] if name in at else 1 for name in left],
        dilations=[apart[name[1]] if name in at else 1 for name in left])
    if groups == 1:
        return found
    place = result.index("group")
    joined = found.shape[place] * found.shape[place + 1]
    return reshape(found, (*found.shape[:place], joined, *found.shape[place + 2:]))


def _permutation(axes: Any, rank: int) -> Ints:
    """Where batch (or features), channels and the axes of space stand."""
    found = tuple(range(rank)) if axes is None else tuple(items(axes))
    if sorted(found) != list(range(rank)):
        raise ArgumentError(f"conv: a permutation names each of {rank} axes once, got {axes!r}")
    return found


def _named(names: list[Any], axes: Ints) -> list[Any]:
    """The names in the order in which their axes stand."""
    return [names[axes.index(a)] for a in range(len(axes))]


def _in_groups(x: Any, names: list[Any], name: str, groups: int) -> tuple[Any, list[Any]]:
    """The axis of a name in `groups` parts."""
    at = names.index(name)
    size = x.shape[at]
    if size % groups != 0:
        raise ShapeError(f"conv: {size} {name} do not fall into {groups} groups, got {x.aval}")
    parts = reshape(x, (*x.shape[:at], groups, size // groups, *x.shape[at + 1:]))
    return parts, [*names[:at], "group", *names[at:]]


def _surrounded(x: Any, axes: Ints, padding: Any, spread: Ints, covered: Sequence[Size], strides: Ints) -> Any:
    """`x` with zeros between and around its elements, and without what no window reaches."""
    low: list[Size] = [0] * x.ndim
    high, interior = list(low), [0] * x.ndim
    sizes = [reach(x.shape[a], step) for a, step in zip(axes, spread, strict=True)]
    amounts = _amounts(padding, sizes, covered, strides)
    for axis, step, (before, after) in zip(axes, spread, amounts, strict=True):
        low[axis], high[axis], interior[axis] = before, after, step - 1
    if not any(amount != 0 for amount in [*low, *high, *interior]):
        return x
    return emit(pad, [x, np.zeros((), x.dtype.numpy)], {"low": tuple(low), "high": tuple(high), "interior": tuple(interior)})


def _amounts(padding: Any, sizes: Sequence[Size], covered: Sequence[Size], strides: Ints) -> list[tuple[Size, Size]]:
    """Padding before and behind each axis of space."""
    if isinstance(padding, str):
        if padding == "valid":
            return [(0, 0)] * len(sizes)
        if padding != "same":
            raise ArgumentError(f"conv: padding is 'valid', 'same' or amounts, got {padding!r}")
        found = []
        for size, window, stride in zip(sizes, covered, strides, strict=True):
            total = dims.maximum(dims.floor_divide(size - 1, stride) * stride + window - size, 0)
            found.append((dims.floor_divide(total, 2), total - dims.floor_divide(total, 2)))
        return found
    if not is_sequence(padding):
        return [(padding, padding)] * len(sizes)
    rows = [tuple(items(row)) if is_sequence(row) else (row, row) for row in items(padding)]
    if len(rows) != len(sizes) or any(len(row) != 2 for row in rows):
        raise ArgumentError(f"conv: padding has (low, high) per axis of space, got {padding!r} for {len(sizes)}")
    return [(row[0], row[1]) for row in rows]
