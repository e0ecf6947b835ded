"""Moving elements without computing: reshape, transpose, broadcast, concatenate, reverse."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from phalanx.dialects import dims
from phalanx.dialects.aval import MOST_ELEMENTS, Aval, Shape, is_sequence, items, normalize_axes, normalize_axis, shape_of
from phalanx.dialects.dims import Dim, Size
from phalanx.dialects.dtypes import DType
from phalanx.dialects.errors import ArgumentError, DTypeError, ShapeError, TraceError
from phalanx.dialects.kinds import Movement, Sample, emit
from phalanx.dialects.opdef import VARIADIC_LIMIT, AnyType, Attr, Axes, Operand, Sizes, Variadic, lookup, op


def normalize_size(value: Any, who: str) -> Size:
    """One size of a shape: an int of at least 0, or a Dim."""
    if isinstance(value, Dim):
        return value
    try:
        size = int(value.__index__())
    except (AttributeError, TypeError) as error:
        if isinstance(error, TraceError):
            raise
        raise ShapeError(f"{who}: a size is an int, got {value!r}") from None
    if size < 0:
        raise ShapeError(f"{who}: a size cannot be negative, got {size}")
    return size


def normalize_shape(shape: Any, who: str) -> Shape:
    """A shape given as one size or as a sequence of sizes."""
    sizes = tuple(normalize_size(s, who) for s in items(shape))
    # Counted without the zeros, as strides are.
    if math.prod(s for s in sizes if isinstance(s, int) and s) > MOST_ELEMENTS:
        raise ShapeError(f"{who}: no memory has that many elements, got shape {sizes}")
    return sizes


def is_size(size: Size, value: int) -> bool:
    """Whether a size is known to be `value`."""
    return isinstance(size, int) and size == value


def as_tensor(x: Any) -> Any:
    """`x` as something with `.shape`, `.dtype` and operators, for functions made of ops."""
    return x if hasattr(x, "aval") else reshape(x, shape_of(x))


def sequence(tensors: Any, who: str) -> list[Any]:
    """The tensors of a sequence, or of the first axis of one."""
    if not is_sequence(tensors):
        raise ArgumentError(f"{who}: takes a sequence of tensors, got {tensors!r}")
    return list(tensors)


def filled(shape: Shape, value: Any, dtype: DType) -> Any:
    """A tensor of one Python number, for rules."""
    return emit(broadcast, [np.asarray(value, dtype.numpy)], {"shape": tuple(shape), "axes": ()})


def zeros_like(x: Any) -> Any:
    """Zeros of the shape and dtype of `x`, for rules."""
    return filled(x.shape, 0, x.dtype)


def with_batch_axis(x: Any, batched: bool, size: Size) -> Any:
    """`x` with the batch axis in front: itself when it is batched, else repeated."""
    if batched:
        return x
    axes = tuple(range(1, x.ndim + 1))
    return emit(broadcast, [x], {"shape": (size, *x.shape), "axes": axes})


def move_axis(x: Any, source: int, target: int) -> Any:
    """`x` with axis `source` at position `target`, the others in order."""
    order = [a for a in range(x.ndim) if a != source]
    order.insert(target, source)
    return x if order == list(range(x.ndim)) else emit(transpose, [x], {"axes": tuple(order)})


@op(method=True)
class reshape(Movement):
    """The same elements, in row-major order, with another shape; one size may be -1.

    >>> px.reshape(px.asarray([1.0, 2.0, 3.0, 4.0]), (2, -1))
    px.Tensor([[1. 2.]
               [3. 4.]], dtype=float32)

    Raises ShapeError when the numbers of elements differ.
    """

    x: Operand[AnyType]
    shape: Attr[Sizes]

    @classmethod
    def prepare(cls, x: Any, /, *sizes: Any, shape: Any = None, copy: bool | None = None) -> Any:
        wanted = shape if shape is not None else sizes[0] if len(sizes) == 1 else sizes
        listed = items(wanted)
        return [x], {"shape": resolve_shape(shape_of(x), listed, cls.name)}

    @classmethod
    def infer(cls, avals: Sequence[Aval], attrs: dict[str, Any]) -> Aval:
        (aval,) = avals
        if aval.size != dims.product(attrs["shape"]):
            raise ShapeError(f"reshape: the number of elements differs, got {aval} and shape {_text(attrs['shape'])}")
        return aval.with_shape(attrs["shape"])

    eval = lambda xp, x, shape: xp.reshape(x, shape)

    @classmethod
    def lower(cls, b: Any, operands: Sequence[Any], results: Sequence[Aval], attrs: dict[str, Any]) -> Any:
        return lower_reshape(b, operands[0], results[0])

    vjp = lambda ct, out, x, shape: (emit(reshape, [ct], {"shape": x.shape}),)

    @classmethod
    def batch(cls, size: Size, batched: Sequence[bool], operands: Sequence[Any], attrs: dict[str, Any]) -> Any:
        return emit(cls, operands, {"shape": (size, *attrs["shape"])})

    @classmethod
    def samples(cls, dtype: DType) -> list[Sample]:
        cases = [((), (1, 1)), ((6,), (2, 3)), ((2, 3), (6,)), ((2, 3, 4), (4, 6)), ((2, 3, 4), (2, 1, 12)),
                 ((1, 5, 1), (5,)), ((1, 1), ()), ((0, 3), (3, 0, 2)), ((2, 3, 2, 2), (3, 8)), ((4, 3), (1, 2, 2, 3))]
        return [(cls.data_samples(dtype, source), {"shape": target}) for source, target in cases]


def _text(shape: Iterable[Any]) -> str:
    return "[" + ",".join(map(str, shape)) + "]"


def resolve_shape(source: Shape, wanted: Sequence[Any], who: str) -> Shape:
    """The shape with -1 replaced by what is left of the elements of `source`."""
    unknown = [i for i, s in enumerate(wanted) if is_size(s, -1)]
    if not unknown:
        return normalize_shape(wanted, who)
    if len(unknown) > 1:
        raise ShapeError(f"{who}: only one size can be -1, got {_text(wanted)}")
    rest = normalize_shape([s for i, s in enumerate(wanted) if i != unknown[0]], who)
    total, known = dims.product(source), dims.product(rest)
    if is_size(known, 0):
        raise ShapeError(f"{who}: -1 is not determined beside a size of 0, got {_text(wanted)}")
    left = dims.floor_divide(total, known)
    if left * known != total:
        hint = None
        if not (isinstance(total, int) and isinstance(known, int)):
            hint = f"{total} is not known to be a multiple of {known}; name the size so that it is, as in f32[2*n]"
        raise ShapeError(f"{who}: {total} elements do not divide into {_text(wanted)}", hint=hint)
    return (*rest[: unknown[0]], left, *rest[unknown[0]:])


def _matching_groups(source: Shape, target: Shape) -> list[tuple[list[int], list[int]]] | None:
    """The finest groups of neighbouring axes with equal numbers of elements; None when sizes cannot tell."""
    groups: list[tuple[list[int], list[int]]] = []
    i = j = 0
    while i < len(source) and j < len(target):
        left, right = [i], [j]
        p, q = source[i], target[j]
        while p != q:
            grow_left = _divides(p, q)
            if grow_left and i + 1 < len(source):
                i += 1
                left.append(i)
                p = p * source[i]
            elif not grow_left and j + 1 < len(target):
                j += 1
                right.append(j)
                q = q * target[j]
            else:
                return None
        groups.append((left, right))
        i, j = i + 1, j + 1
    if not groups:
        return None
    for axis in range(i, len(source)):  # only sizes of 1 are left
        groups[-1][0].append(axis)
    for axis in range(j, len(target)):
        groups[-1][1].append(axis)
    return groups


def _divides(p: Size, q: Size) -> bool:
    """Whether the left product is the one to grow: the smaller of two ints, or the one the other is a multiple of."""
    if isinstance(p, int) and isinstance(q, int):
        return p < q
    return not is_size(q, 1) and (is_size(p, 1) or dims.modulo(q, p) == 0)


def lower_reshape(b: Any, source: Any, result: Aval) -> Any:
    """A reshape that joins and splits only the axes it must, so that views stay views."""
    if source.aval.shape == result.shape:
        return source
    if any(is_size(s, 0) for s in result.shape):
        return b.uninitialised(result)
    groups = _matching_groups(source.aval.shape, result.shape)
    if groups is None:
        return b.reshape(source, result)
    joined = source
    if any(len(left) > 1 for left, _ in groups):
        sizes = tuple(dims.product(tuple(source.aval.shape[a] for a in left)) for left, _ in groups)
        joined = b.collapse(source, [left for left, _ in groups], result.with_shape(sizes))
    if all(len(right) == 1 for _, right in groups):
        return joined
    return b.expand(joined, [right for _, right in groups], result)


@op(method=True)
class transpose(Movement):
    """Axes in another order: axis i of the result is axis `axes[i]` of `x`; all reversed by default.

    >>> px.transpose(px.asarray([[1.0, 2.0], [3.0, 4.0]]))
    px.Tensor([[1. 3.]
               [2. 4.]], dtype=float32)

    Raises ShapeError when `axes` is not a permutation.
    """

    x: Operand[AnyType]
    axes: Attr[Axes]

    @classmethod
    def prepare(cls, x: Any, /, *order: Any, axes: Any = None) -> Any:
        rank = len(shape_of(x))
        wanted = axes if axes is not None else order[0] if len(order) == 1 else order or None
        if wanted is None:
            return [x], {"axes": tuple(reversed(range(rank)))}
        listed = tuple(items(wanted))
        return [x], {"axes": tuple(normalize_axis(a, rank, cls.name) for a in listed)}

    @classmethod
    def infer(cls, avals: Sequence[Aval], attrs: dict[str, Any]) -> Aval:
        (aval,) = avals
        if sorted(attrs["axes"]) != list(range(aval.ndim)):
            raise ShapeError(f"transpose: axes must name each axis of {aval} once, got {attrs['axes']}")
        return aval.with_shape(tuple(aval.shape[a] for a in attrs["axes"]))

    eval = lambda xp, x, axes: xp.permute_dims(x, axes)

    @classmethod
    def lower(cls, b: Any, operands: Sequence[Any], results: Sequence[Aval], attrs: dict[str, Any]) -> Any:
        axes = attrs["axes"]
        return b.generic([(operands[0], [axes.index(a) for a in range(len(axes))])], [results[0]],
                         lambda value: value, raw=True)[0]

    vjp = lambda ct, out, x, axes: (emit(transpose, [ct], {"axes": tuple(int(a) for a in np.argsort(axes))}),)

    @classmethod
    def batch(cls, size: Size, batched: Sequence[bool], operands: Sequence[Any], attrs: dict[str, Any]) -> Any:
        return emit(cls, operands, {"axes": (0, *(a + 1 for a in attrs["axes"]))})

    @classmethod
    def samples(cls, dtype: DType) -> list[Sample]:
        cases: list[tuple[tuple[int, ...], Axes]] = [
            ((), ()), ((5,), (0,)), ((3, 4), (1, 0)), ((2, 3, 4), (2, 0, 1)), ((2, 3, 4), (0, 2, 1)),
            ((2, 1, 3, 2), (3, 1, 0, 2)), ((0, 3), (1, 0))]
        return [(cls.data_samples(dtype, shape), {"axes": axes}) for shape, axes in cases]


@op
class broadcast(Movement):
    """`x` repeated to `shape`; axis i of `x` becomes axis `axes[i]` (aligned at the end by default).

    >>> px.broadcast(px.asarray([1.0, 2.0]), (2, 3), axes=(0,))
    px.Tensor([[1. 1. 1.]
               [2. 2. 2.]], dtype=float32)

    Raises ShapeError when a size of `x` is neither 1 nor that of the result.
    """

    x: Operand[AnyType]
    shape: Attr[Sizes]
    axes: Attr[Axes]

    @classmethod
    def prepare(cls, x: Any, /, shape: Any, axes: Any = None) -> Any:
        target, rank = normalize_shape(shape, cls.name), len(shape_of(x))
        if axes is None:
            if rank > len(target):
                raise ShapeError(f"broadcast: the rank cannot shrink, got {_text(shape_of(x))} to {_text(target)}")
            return [x], {"shape": target, "axes": tuple(range(len(target) - rank, len(target)))}
        listed = tuple(items(axes))
        return [x], {"shape": target, "axes": tuple(normalize_axis(a, len(target), cls.name) for a in listed)}

    @classmethod
    def infer(cls, avals: Sequence[Aval], attrs: dict[str, Any]) -> Aval:
        (aval,) = avals
        shape, axes = attrs["shape"], attrs["axes"]
        if len(axes) != aval.ndim or list(axes) != sorted(set(axes)):
            raise ShapeError(f"broadcast: needs one axis, in rising order, per axis of {aval}, got {axes}")
        for size, axis in zip(aval.shape, axes, strict=True):
            if not is_size(size, 1) and size != shape[axis]:
                raise ShapeError(f"broadcast: {aval} does not fit {_text(shape)}, got size {size} for axis {axis}")
        return aval.with_shape(shape)

    @staticmethod
    def eval(xp: Any, x: Any, *, shape: Any, axes: Axes) -> Any:
        spread = [1] * len(shape)
        for size, axis in zip(x.shape, axes, strict=True):
            spread[axis] = size
        return xp.broadcast_to(xp.reshape(x, tuple(spread)), shape)

    @classmethod
    def lower(cls, b: Any, operands: Sequence[Any], results: Sequence[Aval], attrs: dict[str, Any]) -> Any:
        (x,), result = operands, results[0]
        entries = [("c", 0) if is_size(size, 1) and not is_size(result.shape[axis], 1) else axis
                   for size, axis in zip(x.aval.shape, attrs["axes"], strict=True)]
        return b.generic([(x, entries)], [result], lambda value: value, raw=True)[0]

    @staticmethod
    def vjp(ct: Any, out: Any, x: Any, *, shape: Any, axes: Axes) -> Any:
        repeated = [a for a in range(len(shape)) if a not in axes]
        repeated += [a for size, a in zip(x.shape, axes, strict=True) if is_size(size, 1) and not is_size(shape[a], 1)]
        total = lookup("sum")(ct, axis=tuple(sorted(repeated))) if repeated else ct
        return (emit(reshape, [total], {"shape": x.shape}),)

    @classmethod
    def batch(cls, size: Size, batched: Sequence[bool], operands: Sequence[Any], attrs: dict[str, Any]) -> Any:
        return emit(cls, operands, {"shape": (size, *attrs["shape"]), "axes": (0, *(a + 1 for a in attrs["axes"]))})

    @classmethod
    def samples(cls, dtype: DType) -> list[Sample]:
        cases: list[tuple[tuple[int, ...], tuple[int, ...], Axes]] = [
            ((), (), ()), ((), (3,), ()), ((), (2, 0), ()), ((3,), (2, 3), (1,)), ((3,), (3, 2), (0,)),
            ((3, 1), (3, 4), (0, 1)), ((1, 3), (2, 5, 3), (1, 2)), ((2, 1, 3), (2, 4, 2, 3), (0, 1, 3)),
            ((1,), (0,), (0,))]
        return [(cls.data_samples(dtype, source), {"shape": shape, "axes": axes}) for source, shape, axes in cases]


@op
class concatenate(Movement):
    """Tensors joined along an existing axis; all other sizes are equal.

    >>> px.concatenate([px.asarray([1.0]), px.asarray([2.0, 3.0])])
    px.Tensor([1. 2. 3.], dtype=float32)

    Raises ShapeError when the ranks or other sizes differ.
    """

    tensors: Variadic[AnyType]
    axis: Attr[int]
    promotes = True

    @classmethod
    def prepare(cls, tensors: Any, /, axis: int | None = 0) -> Any:
        parts = sequence(tensors, cls.name)
        if not parts:
            raise ShapeError("concatenate: needs at least one tensor, got none")
        if axis is None:
            parts = [reshape(p, (-1,)) if len(shape_of(p)) != 1 else p for p in parts]
        place = normalize_axis(0 if axis is None else axis, len(shape_of(parts[0])), cls.name)
        while len(parts) > VARIADIC_LIMIT:
            groups = [parts[i:i + VARIADIC_LIMIT] for i in range(0, len(parts), VARIADIC_LIMIT)]
            parts = [concatenate(group, place) for group in groups]
        return parts, {"axis": place}

    @classmethod
    def infer(cls, avals: Sequence[Aval], attrs: dict[str, Any]) -> Aval:
        first, axis = avals[0], attrs["axis"]
        total: Size = 0
        for aval in avals:
            if aval.dtype is not first.dtype:
                raise DTypeError(f"concatenate: tensors have different dtypes, got {first} and {aval}")
            others = [aval.shape[:axis] + aval.shape[axis + 1:] for aval in (first, aval)]
            if aval.ndim != first.ndim or others[0] != others[1]:
                raise ShapeError(f"concatenate: sizes differ outside axis {axis}, got {first} and {aval}")
            total = total + aval.shape[axis]
        return first.with_shape((*first.shape[:axis], total, *first.shape[axis + 1:]))

    eval = lambda xp, *tensors, axis: xp.concat(list(tensors), axis=axis)

    @classmethod
    def lower(cls, b: Any, operands: Sequence[Any], results: Sequence[Aval], attrs: dict[str, Any]) -> Any:
        if len(operands) == 1:
            return operands[0]
        result, axis = results[0], attrs["axis"]
        joined = b.uninitialised(result)
        position: Size = 0
        for part in operands:
            if any(is_size(s, 0) for s in part.aval.shape):
                continue  # MLIR refuses a slice that starts at the end, be it empty
            offsets: list[Size] = [0] * result.ndim
            offsets[axis] = position
            joined = b.insert(part, joined, offsets)
            position = position + part.aval.shape[axis]
        return joined

    @staticmethod
    def vjp(ct: Any, out: Any, *tensors: Any, axis: int) -> Any:
        position: Size = 0
        parts = []
        for part in tensors:
            start: list[Size] = [0] * part.ndim
            limit: list[Size] = list(ct.shape)
            start[axis], limit[axis] = position, position + part.shape[axis]
            parts.append(emit(lookup("slice"), [ct], {
                "start": tuple(start), "limit": tuple(limit), "strides": (1,) * part.ndim}))
            position = position + part.shape[axis]
        return tuple(parts)

    @classmethod
    def batch(cls, size: Size, batched: Sequence[bool], operands: Sequence[Any], attrs: dict[str, Any]) -> Any:
        parts = [with_batch_axis(x, flag, size) for x, flag in zip(operands, batched, strict=True)]
        return emit(cls, parts, {"axis": attrs["axis"] + 1})

    @classmethod
    def samples(cls, dtype: DType) -> list[Sample]:
        cases: list[tuple[list[tuple[int, ...]], int]] = [
            ([(3,)], 0), ([(3,), (2,)], 0), ([(3,), (0,), (1,)], 0), ([(2, 3), (2, 1)], 1), ([(2, 3), (4, 3)], 0),
            ([(2, 1, 3), (2, 2, 3), (2, 1, 3)], 1), ([(0, 2), (0, 3)], 1), ([(1, 2, 3, 2), (1, 2, 3, 1)], 3)]
        return [(cls.data_samples(dtype, *shapes), {"axis": axis}) for shapes, axis in cases]


@op
class reverse(Movement):
    """Elements in the opposite order along `axis` (an axis, several, or all).

    >>> px.reverse(px.asarray([1.0, 2.0, 3.0]))
    px.Tensor([3. 2. 1.], dtype=float32)
    """

    x: Operand[AnyType]
    axes: Attr[Axes]

    @classmethod
    def prepare(cls, x: Any, /, axis: Any = None) -> Any:
        return [x], {"axes": normalize_axes(axis, len(shape_of(x)), cls.name)}

    @classmethod
    def infer(cls, avals: Sequence[Aval], attrs: dict[str, Any]) -> Aval:
        return avals[0]

    eval = lambda xp, x, axes: xp.flip(x, axis=axes) if axes else x

    @classmethod
    def lower(cls, b: Any, operands: Sequence[Any], results: Sequence[Aval], attrs: dict[str, Any]) -> Any:
        (x,), result = operands, results[0]
        if any(is_size(s, 0) for s in result.shape) or not attrs["axes"]:
            return x
        if all(isinstance(result.shape[a], int) for a in attrs["axes"]):
            entries = [("d", a, -1, size - 1) if a in attrs["axes"] else a for a, size in enumerate(result.shape)]
            return b.generic([(x, entries)], [result], lambda value: value, raw=True)[0]
        last = {a: b.size(result.shape[a] - 1) for a in attrs["axes"]}

        def body() -> Any:
            s = b.scalars
            here = [s.loop_index(a) for a in range(result.ndim)]
            return s.extract(x, [s.arith("subi", last[a], i) if a in last else i for a, i in enumerate(here)])

        return b.generic([], [result], body)[0]

    vjp = lambda ct, out, x, axes: (emit(reverse, [ct], {"axes": axes}),)

    @classmethod
    def batch(cls, size: Size, batched: Sequence[bool], operands: Sequence[Any], attrs: dict[str, Any]) -> Any:
        return emit(cls, operands, {"axes": tuple(a + 1 for a in attrs["axes"])})

    @classmethod
    def samples(cls, dtype: DType) -> list[Sample]:
        cases: list[tuple[tuple[int, ...], Axes]] = [
            ((), ()), ((5,), (0,)), ((3, 4), (1,)), ((3, 4), (0, 1)), ((2, 3, 2, 2), (1, 3)), ((0, 3), (0, 1)),
            ((1,), (0,))]
        return [(cls.data_samples(dtype, shape), {"axes": axes}) for shape, axes in cases]
