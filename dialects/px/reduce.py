"""Reductions: sum, prod, max, min, any, all, argmax, argmin."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod as product_of
from typing import Any

import numpy as np

from phalanx.dialects import dims, dtypes
from phalanx.dialects.aval import Aval, normalize_axes, shape_of
from phalanx.dialects.dtypes import DType, dtype_of
from phalanx.dialects.errors import DTypeError
from phalanx.dialects.kinds import Reduction, Sample, ScalarScope, sample_values
from phalanx.dialects.opdef import (
    AnyType,
    Attr,
    Axes,
    Operand,
    composite,
    not_differentiable,
    op,
    zero_gradient,
)
from phalanx.dialects.px.compare import equal
from phalanx.dialects.px.convert import astype, convert
from phalanx.dialects.px.logic import select
from phalanx.dialects.px.shape import broadcast, reshape, reverse, transpose
from phalanx.dialects.px.slicing import pad
from phalanx.dialects.static_arguments import flag


def _kept_shape(x: Any, axes: Axes) -> tuple[Any, ...]:
    return tuple(1 if a in axes else s for a, s in enumerate(x.shape))


def _spread(value: Any, x: Any, axes: Axes) -> Any:
    """A result of a reduction of `x`, repeated over the axes it lost."""
    return broadcast(reshape(value, _kept_shape(x, axes)), x.shape)


class _Accumulation(Reduction):
    """sum and prod: a result dtype may be asked for; by default narrow integers widen to 32 bits."""

    dtype: Attr[DType | None] = None

    @classmethod
    def prepare(cls, x: Any, /, axis: Any = None, *, dtype: Any = None,
                keepdims: bool = False) -> tuple[list[Any], dict[str, Any]]:
        operands, attrs = super().prepare(x, axis, keepdims=keepdims)
        return operands, {**attrs, "dtype": None if dtype is None else dtype_of(dtype)}

    @classmethod
    def result_dtype(cls, operand: DType, attrs: dict[str, Any]) -> DType:
        found: DType = attrs["dtype"] or dtypes.accumulation(operand)
        if found.is_bool:
            raise DTypeError(f"{cls.name}: the result cannot be bool", hint="use px.any or px.all")
        return found

    @classmethod
    def samples(cls, dtype: DType) -> list[Sample]:
        plain = [(arrays, {**attrs, "dtype": None}) for arrays, attrs in super().samples(dtype)]
        others = (dtypes.float32, dtypes.float64, dtypes.int64)
        values = sample_values(dtype, (3, 4), cls.domain, 1)
        return plain + [([values], {"axes": (1,), "keepdims": False, "dtype": d}) for d in others]


def _library_dtype(xp: Any, x: Any, dtype: DType | None) -> DType:
    return dtype or dtypes.accumulation(xp.dtype_of(x))


_FREE_ORDER = "reassoc,contract"


def _float_or_int(s: Any, f: str, i: str, running: Any, value: Any) -> Any:
    if s.dtype.is_float:
        return s.arith(f, running, value, fastmath=_FREE_ORDER)
    return s.arith(i, running, value)


@op(name="sum", method=True)
class sum_(_Accumulation):
    """Sum over `axis` (an axis, several, or all); narrow integers and bools are summed in 32 bits.

    Floats are added in an order that suits the machine, 16-bit ones in float32.

    >>> px.sum(px.asarray([[1.0, 2.0], [3.0, 4.0]]), axis=0)
    px.Tensor([4. 6.], dtype=float32)
    """

    x: Operand[AnyType]
    init = lambda dtype: 0
    combine = lambda s, running, value: _float_or_int(s, "addf", "addi", running, value)

    @staticmethod
    def eval(xp: Any, x: Any, *, axes: Axes, keepdims: bool, dtype: DType | None) -> Any:
        result = _library_dtype(xp, x, dtype)
        if not axes:  # some libraries read () as all axes
            return xp.astype(x, result)
        return xp.sum(x, axis=axes, dtype=result, keepdims=keepdims)

    @staticmethod
    def vjp(ct: Any, out: Any, x: Any, *, axes: Axes, keepdims: bool, dtype: DType | None) -> tuple[Any]:
        return (_spread(astype(ct, x.dtype), x, axes) if x.dtype.is_float else None,)


@op(method=True)
class prod(_Accumulation):
    """Product over `axis` (an axis, several, or all); narrow integers and bools are multiplied in 32 bits.

    >>> px.prod(px.asarray([[1.0, 2.0], [3.0, 4.0]]), axis=0)
    px.Tensor([3. 8.], dtype=float32)
    """

    x: Operand[AnyType]
    init = lambda dtype: 1
    combine = lambda s, running, value: _float_or_int(s, "mulf", "muli", running, value)

    @staticmethod
    def eval(xp: Any, x: Any, *, axes: Axes, keepdims: bool, dtype: DType | None) -> Any:
        result = _library_dtype(xp, x, dtype)
        if not axes:
            return xp.astype(x, result)
        return xp.prod(x, axis=axes, dtype=result, keepdims=keepdims)

    @staticmethod
    def vjp(ct: Any, out: Any, x: Any, *, axes: Axes, keepdims: bool, dtype: DType | None) -> tuple[Any]:
        if not x.dtype.is_float:
            return (None,)
        wide = x if dtype is None else astype(x, dtype)
        if dims.is_static(tuple(x.shape[a] for a in axes)):
            slope = _other_factors(wide, axes)
        else:
            slope = _other_factors_of_unknown_size(wide, axes)
        return (astype(_spread(ct, x, axes) * slope, x.dtype),)


def _other_factors(x: Any, axes: Axes) -> Any:
    """For each element the product of the others over `axes`, by pairing neighbours: no division, so zeros are fine."""
    others = [a for a in range(x.ndim) if a not in axes]
    order = (*others, *axes)
    lead = tuple(x.shape[a] for a in others)
    rows = reshape(transpose(x, order), (*lead, product_of(x.shape[a] for a in axes)))
    found = reshape(_sibling_products(rows), tuple(x.shape[a] for a in order))
    return transpose(found, tuple(int(a) for a in np.argsort(order)))


def _sibling_products(rows: Any) -> Any:
    """`_other_factors` of the last axis."""
    *lead, size = rows.shape
    if size <= 1:
        return broadcast(convert(1.0, rows.dtype), rows.shape)
    if size % 2:
        one, none = convert(1.0, rows.dtype), [(0, 0)] * len(lead)
        even = pad(rows, one, [*none, (0, 1)])
        return pad(_sibling_products(even), one, [*none, (0, -1)])
    pairs = reshape(rows, (*lead, size // 2, 2))
    above = _sibling_products(prod(pairs, axis=-1))
    return reshape(reverse(pairs, axis=-1) * reshape(above, (*lead, size // 2, 1)), rows.shape)


def _other_factors_of_unknown_size(x: Any, axes: Axes) -> Any:
    """`_other_factors` by division; exact for first derivatives only, since it branches on the number of zeros."""
    zero = equal(x, 0)
    nonzero = select(zero, 1.0, x)
    together = prod(nonzero, axis=axes, keepdims=True)
    zeros = sum_(zero, axis=axes, keepdims=True)
    return select(equal(zeros, 0), together / nonzero, select(equal(zeros, 1), select(zero, together, 0.0), 0.0))


class _Extreme(Reduction):
    """max and min; the gradient is split evenly among equal extremes."""

    empty_ok = False

    @staticmethod
    def vjp(ct: Any, out: Any, x: Any, *, axes: Axes, keepdims: bool) -> tuple[Any]:
        hit = equal(x, _spread(out, x, axes))
        share = reshape(ct, _kept_shape(x, axes)) / sum_(convert(hit, x.dtype), axis=axes, keepdims=True)
        return (select(hit, share, 0.0),)


def _lowest(dtype: DType) -> Any:
    if dtype.is_float:
        return -np.inf
    return 0 if dtype.is_bool else int(np.iinfo(dtype.numpy).min)


def _highest(dtype: DType) -> Any:
    if dtype.is_float:
        return np.inf
    return 1 if dtype.is_bool else int(np.iinfo(dtype.numpy).max)


def _extreme_of_kind(s: Any, name: str, logical: str, running: Any, value: Any) -> Any:
    if s.dtype.is_float:
        # Which of two zeros wins is nobody's to rely on (the standard leaves it open); ordering them takes four more
        # instructions per vector than NaN alone.
        return s.arith(f"{name}imumf", running, value, fastmath="nsz")
    suffix = {"i": "si", "u": "ui"}
    return s.arith(logical if s.dtype.is_bool else name + suffix[s.dtype.kind], running, value)


def _without_bools(name: str) -> Any:
    """An `eval` of a reduction the standard has for numbers only."""

    def evaluate(xp: Any, x: Any, *, axes: Axes, keepdims: bool) -> Any:
        dtype = xp.dtype_of(x)
        if not axes:
            return xp.astype(x, dtype)
        usable = xp.astype(x, dtypes.uint8) if dtype.is_bool else x
        return xp.astype(getattr(xp, name)(usable, axis=axes, keepdims=keepdims), dtype, copy=False)

    return evaluate


@op(name="max", method=True)
class max_(_Extreme):
    """The largest element over `axis` (an axis, several, or all); NaN when there is one.

    >>> px.max(px.asarray([[1.0, 4.0], [3.0, 2.0]]), axis=1)
    px.Tensor([4. 3.], dtype=float32)

    Raises ShapeError over an empty axis.
    """

    x: Operand[AnyType]
    eval = _without_bools("max")
    init = _lowest
    combine = lambda s, running, value: _extreme_of_kind(s, "max", "ori", running, value)


@op(name="min", method=True)
class min_(_Extreme):
    """The smallest element over `axis` (an axis, several, or all); NaN when there is one.

    >>> px.min(px.asarray([[1.0, 4.0], [3.0, 2.0]]), axis=1)
    px.Tensor([1. 2.], dtype=float32)

    Raises ShapeError over an empty axis.
    """

    x: Operand[AnyType]
    eval = _without_bools("min")
    init = _highest
    combine = lambda s, running, value: _extreme_of_kind(s, "min", "andi", running, value)


class _Quantifier(Reduction):
    """any and all: elements of any dtype, true where they are not 0."""

    vjp = zero_gradient

    @classmethod
    def result_dtype(cls, operand: DType, attrs: dict[str, Any]) -> DType:
        return dtypes.bool_


@op(name="any", method=True)
class any_(_Quantifier):
    """Whether some element over `axis` is not 0; false over an empty axis.

    >>> px.any(px.asarray([[True, False], [False, False]]), axis=1)
    px.Tensor([ True False], dtype=bool)
    """

    x: Operand[AnyType]
    eval = lambda xp, x, axes, keepdims: (
        xp.any(x, axis=axes, keepdims=keepdims) if axes else xp.astype(x, dtypes.bool_))
    init = lambda dtype: 0
    combine = lambda s, running, value: s.arith("ori", running, value)


@op(name="all", method=True)
class all_(_Quantifier):
    """Whether every element over `axis` is not 0; true over an empty axis.

    >>> px.all(px.asarray([[True, False], [True, True]]), axis=1)
    px.Tensor([False  True], dtype=bool)
    """

    x: Operand[AnyType]
    eval = lambda xp, x, axes, keepdims: (
        xp.all(x, axis=axes, keepdims=keepdims) if axes else xp.astype(x, dtypes.bool_))
    init = lambda dtype: 1
    combine = lambda s, running, value: s.arith("andi", running, value)


class _ExtremeIndex(Reduction):
    """argmax and argmin over one axis, or over all axes of `axes` in row-major order."""

    dtype: Attr[DType] = dtypes.DEFAULT_INT
    empty_ok = False
    vjp = not_differentiable("an index is not a smooth function of the elements")

    @classmethod
    def prepare(cls, x: Any, /, axis: Any = None, *, keepdims: bool = False,
                dtype: Any = dtypes.DEFAULT_INT) -> tuple[list[Any], dict[str, Any]]:
        axes = normalize_axes(axis, len(shape_of(x)), cls.name)
        target = dtype_of(dtype)
        if not target.is_integer:
            raise DTypeError(f"{cls.name}: an index is an integer, got dtype {target.name}")
        return [x], {"axes": axes, "keepdims": flag(keepdims, cls.name, "keepdims"), "dtype": target}

    @classmethod
    def result_dtype(cls, operand: DType, attrs: dict[str, Any]) -> DType:
        return attrs["dtype"]

    @classmethod
    def lower(cls, b: Any, operands: Sequence[Any], results: Sequence[Aval], attrs: dict[str, Any]) -> Any:
        """The extreme, then the first position that holds it: two passes a vectoriser takes, unlike one over pairs."""
        (source,) = operands
        x, axes, dtype = source.aval, attrs["axes"], attrs["dtype"]
        kept = [a for a in range(x.ndim) if a not in axes]
        shape = tuple(x.shape[a] for a in kept)
        held = dtypes.float32 if x.dtype.is_float and x.dtype.bits == 16 else x.dtype
        counted = _position_dtype(tuple(x.shape[a] for a in axes), dtype)
        value, index = Aval(shape, held), Aval(shape, counted)
        scope = ScalarScope(b.scalars, held, held, attrs)
        everywhere = range(x.ndim)

        def better(element: Any, best: Any) -> Any:
            return cls.combine(scope, best, b.scalars.convert(element, x.dtype, held))

        (extreme,) = b.generic([(source, everywhere)], [value], better, loops=x.ndim, reductions=axes,
                               output_maps=[kept], inits=[b.fill(value, cls.init(held))])
        strides = [b.size(dims.product(tuple(x.shape[a] for a in axes if a > axis))) for axis in axes]

        def first(element: Any, best: Any, position: Any) -> Any:
            here = b.scalars.index_constant(0)
            for axis, stride in zip(axes, strides, strict=True):
                step = b.scalars.arith("muli", b.scalars.loop_index(axis), stride)
                here = b.scalars.arith("addi", here, step)
            element = b.scalars.convert(element, x.dtype, held)
            hit = scope.compare("eq", element, best, held)
            if held.is_float:  # the extreme is NaN exactly when an element is
                hit = scope.arith("ori", hit, scope.is_nan(element))
            none = b.scalars.constant(_highest(counted), counted)
            return b.scalars.arith("minsi", position, scope.select(hit, b.scalars.index_to(here, counted), none))

        (found,) = b.generic([(source, everywhere), (extreme, kept)], [index], first, loops=x.ndim, reductions=axes,
                             output_maps=[kept], inits=[b.fill(index, _highest(counted))])
        if counted is not dtype:
            found = b.elementwise([found], index.with_dtype(dtype), lambda v: b.scalars.convert(v, counted, dtype))
        return b.reshape(found, results[0]) if attrs["keepdims"] else found

    @classmethod
    def samples(cls, dtype: DType) -> list[Sample]:
        plain = [(arrays, {**attrs, "dtype": dtypes.int32}) for arrays, attrs in super().samples(dtype)]
        values = sample_values(dtype, (3, 4), cls.domain, 1)
        return [*plain, ([values], {"axes": (1,), "keepdims": False, "dtype": dtypes.int64})]


def _position_dtype(sizes: tuple[Any, ...], dtype: DType) -> DType:
    """The type positions are compared in: 32 bits where that is known, or asked, to be enough."""
    count = dims.product(sizes)
    small = count < 2**31 if isinstance(count, int) else dtype.bits <= 32
    return dtypes.int32 if small else dtypes.int64


def _index_of(name: str) -> Any:
    """An `eval` that flattens the axes searched into one."""

    def evaluate(xp: Any, x: Any, *, axes: Axes, keepdims: bool, dtype: DType) -> Any:
        others = tuple(a for a in range(x.ndim) if a not in axes)
        lead = tuple(x.shape[a] for a in others)
        count = product_of(x.shape[a] for a in axes)
        rows = xp.reshape(xp.permute_dims(x, (*others, *axes)), (*lead, count))
        shape = tuple(1 if a in axes else s for a, s in enumerate(x.shape)) if keepdims else lead
        return xp.reshape(xp.astype(getattr(xp, name)(rows, axis=-1), dtype, copy=False), shape)

    return evaluate


@op(method=True)
class argmax(_ExtremeIndex):
    """Index of the first largest element over `axis`, or over all elements in row-major order; NaN is largest.

    >>> px.argmax(px.asarray([[1.0, 4.0], [3.0, 2.0]]), axis=1)
    px.Tensor([1 0], dtype=int32)

    Raises ShapeError over an empty axis.
    """

    x: Operand[AnyType]
    eval = _index_of("argmax")
    init = _lowest
    combine = lambda s, running, value: _extreme_of_kind(s, "max", "ori", running, value)


@op(method=True)
class argmin(_ExtremeIndex):
    """Index of the first smallest element over `axis`, or over all elements in row-major order; NaN is smallest.

    >>> px.argmin(px.asarray([[1.0, 4.0], [3.0, 2.0]]), axis=1)
    px.Tensor([0 1], dtype=int32)

    Raises ShapeError over an empty axis.
    """

    x: Operand[AnyType]
    eval = _index_of("argmin")
    init = _highest
    combine = lambda s, running, value: _extreme_of_kind(s, "min", "andi", running, value)


@composite
def count_nonzero(x: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    """Number of elements over `axis` that are not 0, as int32.

    >>> px.count_nonzero(px.asarray([1.0, 0.0, 2.0]))
    px.Tensor(2, dtype=int32)
    """
    return sum_(astype(x, dtypes.bool_), axis=axis, keepdims=keepdims)
