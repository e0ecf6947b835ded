"""Reading and writing at positions that are data: gather and scatter.

Both take one integer tensor per indexed axis; these broadcast against each other. What is read or written
has the axes of the indices first, then the axes of the tensor that are not indexed, in order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from phalanx.dialects.aval import Aval, Shape, broadcast_shapes, items, numpy_of, shape_of
from phalanx.dialects.dims import Size
from phalanx.dialects.dtypes import DType, int32
from phalanx.dialects.errors import ArgumentError, DTypeError, ShapeError
from phalanx.dialects.kinds import Indexing, Sample, emit, sample_values
from phalanx.dialects.opdef import AnyType, Attr, Axes, Integer, Operand, Variadic, lookup, op
from phalanx.dialects.px.host_indexing import HostArray, host_gather, host_scatter, unindexed
from phalanx.dialects.px.scatter_gradients import Site, scatter_gradients
from phalanx.dialects.px.scatter_nests import Scatter, clamp, lower_scatter
from phalanx.dialects.px.shape import is_size, move_axis, with_batch_axis, zeros_like
from phalanx.dialects.px.slicing import iota_along
from phalanx.dialects.requirements import at_least

COMBINES = ("set", "add", "multiply", "min", "max")
MODES = ("clip", "drop")


def _selection_shape(who: str, aval: Aval, indices: Sequence[Aval], axes: Axes) -> Shape:
    """Shape of what is read or written: index axes, then the axes not indexed."""
    if len(indices) != len(axes) or len(set(axes)) != len(axes) or any(not 0 <= a < aval.ndim for a in axes):
        raise ShapeError(f"{who}: needs one index tensor per axis of {aval}, got {len(indices)} for axes {axes}")
    lead = broadcast_shapes(who, *[i.shape for i in indices])
    return (*lead, *(aval.shape[a] for a in unindexed(aval.ndim, axes)))


def _prepare_indices(who: str, x: Any, indices: Any, axes: Any) -> tuple[list[Any], Axes]:
    """The index tensors as a list, and the axes they index (the first ones by default).

    A single tensor is in Nx's form: its last axis holds the coordinates.
    """
    listed = list(indices) if isinstance(indices, (tuple, list)) else _coordinates(who, indices)
    rank = len(shape_of(x))
    chosen = range(len(listed)) if axes is None else items(axes)
    return listed, tuple(Indexing.axis(a, rank, who) for a in chosen)


def _coordinates(who: str, indices: Any) -> list[Any]:
    shape = shape_of(indices)
    indices = indices if hasattr(indices, "dtype") else numpy_of(indices)
    if not shape or not isinstance(shape[-1], int):
        raise ShapeError(f"{who}: indices are a list of tensors, or a tensor whose last axis has the coordinates, got "
                         f"shape [{','.join(map(str, shape))}]")
    return [indices[..., k] for k in range(shape[-1])]


@op
class gather(Indexing):
    """Elements (or slices) at positions: one index tensor per axis in `axes`, clamped into range.

    >>> px.gather(px.asarray([[1.0, 2.0], [3.0, 4.0]]), [px.asarray([0, 1]), px.asarray([1, 1])])
    px.Tensor([2. 4.], dtype=float32)

    The result has the broadcast shape of the indices, then the axes not indexed. A single tensor instead of
    a list holds the coordinates in its last axis, as in Nx. Negative indices do not count from the end here
    (they clamp to 0); `x[...]` and `px.take` count them. Raises ShapeError when the indices do not
    broadcast, or when an empty axis is read.
    """

    x: Operand[AnyType]
    indices: Variadic[Integer]
    axes: Attr[Axes]

    @classmethod
    def prepare(cls, x: Any, /, indices: Any, axes: Any = None) -> Any:
        listed, chosen = _prepare_indices(cls.name, x, indices, axes)
        return [x, *listed], {"axes": chosen}

    @classmethod
    def infer(cls, avals: Sequence[Aval], attrs: dict[str, Any]) -> Aval:
        aval, *indices = avals
        shape = _selection_shape(cls.name, aval, indices, attrs["axes"])
        if all(isinstance(s, int) and s > 0 for s in shape):
            empty = f"gather: nothing to read along an empty axis, got {aval}"
            if not all(at_least(aval.shape[a], 1, empty) for a in attrs["axes"]):
                raise ShapeError(empty)
        return aval.with_shape(shape)

    eval = lambda xp, x, *indices, axes: xp.through_numpy(
        lambda a, *i: host_gather(a, *i, axes=axes), x, *indices)

    @classmethod
    def lower(cls, b: Any, operands: Sequence[Any], results: Sequence[Aval], attrs: dict[str, Any]) -> Any:
        x, *indices = operands
        result, axes = results[0], attrs["axes"]
        rest = unindexed(x.aval.ndim, axes)
        lead = result.ndim - len(rest)
        if any(is_size(s, 0) for s in result.shape):
            return b.uninitialised(result)
        spread = result.with_shape(result.shape[:lead])
        last = [b.size(x.aval.shape[a] - 1) for a in axes]

        def body(*values: Any) -> Any:
            s = b.scalars
            position: list[Any] = [None] * x.aval.ndim
            for axis, value, index, end in zip(axes, values, indices, last, strict=True):
                position[axis] = clamp(s, s.to_index(value, index.aval.dtype), end, index.aval.dtype)
            for loop, axis in enumerate(rest, lead):
                position[axis] = s.loop_index(loop)
            return s.extract(x, position)

        return b.generic([(i, b.broadcast_map(i.aval, spread)) for i in indices], [result], body)[0]

    vjp = lambda ct, out, x, *indices, axes: (
        emit(scatter, [zeros_like(x), ct, *indices], {"axes": axes, "combine": "add", "mode": "clip"}),
        *[None] * len(indices))

    accumulate = lambda total, ct, x, *indices, axes: (
        emit(scatter, [total, ct, *indices], {"axes": axes, "combine": "add", "mode": "clip"}))

    @classmethod
    def batch(cls, size: Size, batched: Sequence[bool], operands: Sequence[Any], attrs: dict[str, Any]) -> Any:
        x, *indices = operands
        axes = tuple(a + batched[0] for a in attrs["axes"])
        if not any(batched[1:]):
            lead = max((i.ndim for i in indices), default=0)
            return move_axis(emit(cls, operands, {"axes": axes}), lead, 0)
        lead = max(i.ndim - flag for i, flag in zip(indices, batched[1:], strict=True))
        aligned = _align(indices, batched[1:], lead)
        if batched[0]:
            aligned, axes = [iota_along(size, 0, lead + 1), *aligned], (0, *axes)
        return emit(cls, [x, *aligned], {"axes": axes})

    @classmethod
    def samples(cls, dtype: DType) -> list[Sample]:
        return [([sample_values(dtype, shape, (-3.0, 3.0), 0), *indices], {"axes": axes})
                for shape, indices, axes in _index_cases()]


def _align(indices: Sequence[Any], batched: Sequence[bool], lead: int) -> list[Any]:
    """Index tensors of one rank, the batch axis in front of those that have it."""
    found = []
    for index, flag in zip(indices, batched, strict=True):
        missing = lead + 1 - index.ndim
        if flag and missing:
            index = lookup("reshape")(index, (index.shape[0], *[1] * missing, *index.shape[1:]))
        found.append(index)
    return found


def _index_cases() -> list[tuple[tuple[int, ...], list[HostArray], Axes]]:
    """Shapes, indices (repeated and out of range ones among them) and axes for sample inputs."""

    def i(*values: int) -> HostArray:
        return np.array(values, np.int32)

    return [
        ((5,), [i(0, 4, 4, 2)], (0,)), ((5,), [i(-3, 9, 1)], (0,)), ((5,), [np.asarray(3, np.int32)], (0,)),
        ((3, 4), [i(2, 0)], (0,)), ((3, 4), [i(1, 3, 1)], (1,)), ((3, 4), [i(0, 2, 0), i(1, 3, 1)], (0, 1)),
        ((3, 4), [i(0, 2).reshape(2, 1), i(1, 3, 0)], (0, 1)), ((2, 3, 4), [i(1, 0), i(3, 3)], (0, 2)),
        ((2, 3, 2, 2), [i(2, 0, 1).reshape(3, 1)], (1,)), ((3, 2), [np.zeros((0,), np.int64)], (0,)),
        ((4,), [np.array([[0, 200], [3, 1]], np.uint8)], (0,)),
    ]


@op
class scatter(Indexing):
    """`x` with `updates` combined in at positions, in order: "set", "add", "multiply", "min" or "max".

    >>> px.scatter(px.zeros((3,)), px.asarray([1.0, 2.0, 4.0]), [px.asarray([0, 2, 2])], combine="add")
    px.Tensor([1. 0. 6.], dtype=float32)

    `updates` has the broadcast shape of the indices, then the axes of `x` not indexed. Of repeated
    positions "set" keeps the last update. Positions out of range are dropped (`mode="drop"`, as JAX's
    `.at[]`) or moved to the nearest in range (`mode="clip"`, as Nx). Raises ShapeError when `updates` does not fit.
    """

    x: Operand[AnyType]
    updates: Operand[AnyType]
    indices: Variadic[Integer]
    axes: Attr[Axes]
    combine: Attr[str]
    mode: Attr[str]
    promotes = ("x", "updates")

    @classmethod
    def prepare(cls, x: Any, updates: Any, /, indices: Any, axes: Any = None, *, combine: str = "set",
                mode: str = "drop") -> Any:
        listed, chosen = _prepare_indices(cls.name, x, indices, axes)
        return [x, updates, *listed], {"axes": chosen, "combine": combine, "mode": mode}

    @classmethod
    def infer(cls, avals: Sequence[Aval], attrs: dict[str, Any]) -> Aval:
        aval, updates, *indices = avals
        if attrs["combine"] not in COMBINES or attrs["mode"] not in MODES:
            raise ArgumentError(f"scatter: combine is one of {', '.join(COMBINES)} and mode one of {', '.join(MODES)}, "
                                f"got {attrs['combine']!r} and {attrs['mode']!r}")
        if aval.dtype is not updates.dtype:
            raise DTypeError(f"scatter: operands have different dtypes, got {aval} and {updates}")
        if aval.dtype.is_bool and attrs["combine"] in ("add", "multiply"):
            raise DTypeError(f"scatter: cannot {attrs['combine']} bool", hint="use combine='max' for or, 'min' for and")
        shape = _selection_shape(cls.name, aval, indices, attrs["axes"])
        if updates.shape != shape:
            raise ShapeError(f"scatter: updates must have shape [{','.join(map(str, shape))}], got {updates}")
        return aval

    eval = lambda xp, x, updates, *indices, axes, combine, mode: xp.through_numpy(
        lambda a, u, *i: host_scatter(a, u, *i, axes=axes, combine=combine, mode=mode), x, updates, *indices)

    @classmethod
    def lower(cls, b: Any, operands: Sequence[Any], results: Sequence[Aval], attrs: dict[str, Any]) -> Any:
        x, updates, *indices = operands
        if any(is_size(s, 0) for s in (*x.aval.shape, *updates.aval.shape)):
            return x
        return lower_scatter(Scatter(b, x, updates, indices, attrs["axes"], attrs["combine"], attrs["mode"]))

    @staticmethod
    def vjp(ct: Any, out: Any, x: Any, updates: Any, *indices: Any, axes: Axes, combine: str, mode: str) -> Any:
        gradients = scatter_gradients(ct, out, x, updates, Site(list(indices), axes, mode), combine)
        return *gradients, *[None] * len(indices)

    @classmethod
    def batch(cls, size: Size, batched: Sequence[bool], operands: Sequence[Any], attrs: dict[str, Any]) -> Any:
        x, updates, *indices = operands
        x, updates = with_batch_axis(x, batched[0], size), with_batch_axis(updates, batched[1], size)
        lead = max((i.ndim - flag for i, flag in zip(indices, batched[2:], strict=True)), default=0)
        aligned = [iota_along(size, 0, lead + 1), *_align(indices, batched[2:], lead)]
        return emit(cls, [x, updates, *aligned], {**attrs, "axes": (0, *(a + 1 for a in attrs["axes"]))})

    @classmethod
    def samples(cls, dtype: DType) -> list[Sample]:
        found: list[Sample] = []
        for number, (shape, indices, axes) in enumerate(_index_cases()):
            avals = [Aval(i.shape, int32) for i in indices]
            window = _selection_shape(cls.name, Aval(shape, dtype), avals, axes)
            values = [sample_values(dtype, _static(s), (-3.0, 3.0), n) for n, s in enumerate((shape, window))]
            combines = ("set", "min", "max") if dtype.is_bool else COMBINES
            found += [([*values, *indices], {"axes": axes, "combine": c, "mode": MODES[number % 2]}) for c in combines]
        return found


def _static(shape: Shape) -> tuple[int, ...]:
    return tuple(s.__index__() for s in shape)
