"""Running sums, products, maxima and minima along an axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from phalanx.dialects import dtypes
from phalanx.dialects.aval import Aval, normalize_axis, shape_of
from phalanx.dialects.dims import Size
from phalanx.dialects.dtypes import DType, dtype_of, int32
from phalanx.dialects.errors import ArgumentError, DTypeError, TraceError
from phalanx.dialects.kinds import Sample, emit, sample_values
from phalanx.dialects.opdef import AnyType, Attr, Op, Operand, composite, lookup, op
from phalanx.dialects.px.cumulative_nests import Running, lower_cumulative
from phalanx.dialects.px.rearrange import part_of
from phalanx.dialects.px.shape import as_tensor, concatenate, filled, is_size, zeros_like
from phalanx.dialects.px.slicing import iota_along, size_tensor
from phalanx.dialects.static_arguments import flag

_UFUNCS: dict[str, np.ufunc] = {"add": np.add, "multiply": np.multiply, "min": np.minimum, "max": np.maximum}


@op
class cumulative(Op):
    """What `combine` ("add", "multiply", "min", "max") makes of the elements up to each one along an axis.

    >>> px.cumulative(px.asarray([1.0, 3.0, 2.0]), axis=0, combine="max")
    px.Tensor([1. 3. 3.], dtype=float32)

    With `reverse` it is of the elements from each one on. Elements are combined in order.
    """

    x: Operand[AnyType]
    axis: Attr[int]
    combine: Attr[str]
    reverse: Attr[bool] = False

    @classmethod
    def prepare(cls, x: Any, /, axis: int, combine: str, *, reverse: bool = False) -> Any:
        return [x], {"axis": normalize_axis(axis, len(shape_of(x)), cls.name), "combine": combine,
                     "reverse": flag(reverse, cls.name, "reverse")}

    @classmethod
    def infer(cls, avals: Sequence[Aval], attrs: dict[str, Any]) -> Aval:
        (aval,) = avals
        if attrs["combine"] not in _UFUNCS:
            raise ArgumentError(f"cumulative: combine is one of {', '.join(_UFUNCS)}, got {attrs['combine']!r}")
        if aval.dtype.is_bool and attrs["combine"] in ("add", "multiply"):
            raise DTypeError(f"cumulative: cannot {attrs['combine']} bool", hint="convert to an integer dtype first")
        return aval

    @staticmethod
    def eval(xp: Any, x: Any, *, axis: int, combine: str, reverse: bool) -> Any:
        def run(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
            ordered = np.flip(array, axis) if reverse else array
            with np.errstate(over="ignore"):
                found = _UFUNCS[combine].accumulate(ordered, axis=axis, dtype=array.dtype)
            return np.flip(found, axis) if reverse else found

        return xp.through_numpy(run, x)

    @classmethod
    def lower(cls, b: Any, operands: Sequence[Any], results: Sequence[Aval], attrs: dict[str, Any]) -> Any:
        (x,), axis = operands, attrs["axis"]
        shape = x.aval.shape
        if any(is_size(n, 0) for n in shape) or is_size(shape[axis], 1):
            return x
        return lower_cumulative(Running(b, x, axis, attrs["combine"], attrs["reverse"]))

    @staticmethod
    def vjp(ct: Any, out: Any, x: Any, *, axis: int, combine: str, reverse: bool) -> Any:
        if combine == "add":
            return (_run(ct, axis, "add", not reverse),)
        if combine == "multiply":
            return (_product_gradient(ct, x, axis, reverse),)
        return (_extreme_gradient(ct, out, x, axis, reverse),)

    @classmethod
    def batch(cls, size: Size, batched: Sequence[bool], operands: Sequence[Any], attrs: dict[str, Any]) -> Any:
        return emit(cls, operands, {**attrs, "axis": attrs["axis"] + 1})

    @classmethod
    def samples(cls, dtype: DType) -> list[Sample]:
        cases: list[tuple[tuple[int, ...], int]] = [
            ((5,), 0), ((3, 4), 0), ((3, 4), 1), ((2, 3, 2), 1), ((2, 1, 3, 2), 1), ((1, 2, 3, 2), 2), ((0,), 0),
            ((3, 0), 0)]
        combines = ("min", "max") if dtype.is_bool else tuple(_UFUNCS)
        return [([sample_values(dtype, shape, (-3.0, 3.0), n)],
                 {"axis": axis, "combine": combine, "reverse": bool((n + k) % 2)})
                for n, (shape, axis) in enumerate(cases) for k, combine in enumerate(combines)]


def _run(x: Any, axis: int, combine: str, reverse: bool) -> Any:
    return emit(cumulative, [x], {"axis": axis, "combine": combine, "reverse": reverse})


def _shifted(x: Any, axis: int, by: int, value: float, reverse: bool) -> Any:
    """`x` moved by `by` places along the direction of the scan, `value` coming in."""
    size = x.shape[axis]
    around = filled((*x.shape[:axis], by, *x.shape[axis + 1:]), value, x.dtype)
    if reverse:
        return concatenate([part_of(x, axis, by, size), around], axis)
    return concatenate([around, part_of(x, axis, 0, size - by)], axis)


def _product_gradient(ct: Any, x: Any, axis: int, reverse: bool) -> Any:
    """With p the product before and s[j] = ct[j] + x[j+1] * s[j+1], the gradient is p * s, zeros or not."""
    size = x.shape[axis]
    if not isinstance(size, int):
        raise TraceError(f"cumulative: the gradient of a product needs a fixed size, got {size} along axis {axis}")
    if size == 0:
        return ct
    before = _shifted(_run(x, axis, "multiply", reverse), axis, 1, 1.0, reverse)
    # The recurrence in log2(size) steps: pairs (factor, sum) combine associatively.
    factor, total = _shifted(x, axis, 1, 0.0, not reverse), ct
    step = 1
    while step < size:
        total = total + factor * _shifted(total, axis, step, 0.0, not reverse)
        factor = factor * _shifted(factor, axis, step, 1.0, not reverse)
        step *= 2
    return before * total


def _extreme_gradient(ct: Any, out: Any, x: Any, axis: int, reverse: bool) -> Any:
    """The cotangent goes to the element that set the record; of equal ones to the first."""
    size = x.shape[axis]
    if is_size(size, 0):
        return ct
    place = iota_along(size, axis, x.ndim)
    first = size_tensor(size - 1 if reverse else 0, int32)
    new = (place == first) | (x != _shifted(out, axis, 1, 0.0, reverse))
    found = lookup("select")(new & (x == out), place, first)
    holder = _run(found, axis, "min" if reverse else "max", reverse)
    positions = [holder if a == axis else iota_along(n, a, x.ndim) for a, n in enumerate(x.shape)]
    return emit(lookup("scatter"), [zeros_like(x), ct, *positions],
                {"axes": tuple(range(x.ndim)), "combine": "add", "mode": "clip"})


def _scan(x: Any, axis: int | None, combine: str, reverse: bool, who: str) -> Any:
    x = as_tensor(x)
    if axis is None:
        if x.ndim != 1:
            raise ArgumentError(f"{who}: needs an axis, got {x.aval}")
        axis = 0
    return cumulative(x, axis, combine, reverse=reverse)


def _widened(x: Any, dtype: Any) -> Any:
    """`x` in the dtype sums of it have, or in the one asked for."""
    x = as_tensor(x)
    target = dtypes.accumulation(x.dtype) if dtype is None else dtype_of(dtype)
    return x if x.dtype is target else lookup("convert")(x, target)


@composite
def cumulative_sum(x: Any, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False,
                   reverse: bool = False) -> Any:
    """Running sums along an axis; narrow integers and bools widen to 32 bits.

    >>> px.cumulative_sum(px.asarray([1.0, 2.0, 3.0]))
    px.Tensor([1. 3. 6.], dtype=float32)

    `include_initial` puts the empty sum, 0, in front; `reverse` sums from the end.
    """
    found = _scan(_widened(x, dtype), axis, "add", reverse, "cumulative_sum")
    return _with_initial(found, axis or 0, 0, reverse) if include_initial else found


@composite
def cumulative_prod(x: Any, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False,
                    reverse: bool = False) -> Any:
    """Running products along an axis; Nx calls it `cumulative_product`.

    >>> px.cumulative_prod(px.asarray([1.0, 2.0, 3.0]))
    px.Tensor([1. 2. 6.], dtype=float32)
    """
    found = _scan(_widened(x, dtype), axis, "multiply", reverse, "cumulative_prod")
    return _with_initial(found, axis or 0, 1, reverse) if include_initial else found


def _with_initial(x: Any, axis: int, value: int, reverse: bool) -> Any:
    place = normalize_axis(axis, x.ndim, "cumulative")
    edge = filled((*x.shape[:place], 1, *x.shape[place + 1:]), value, x.dtype)
    return concatenate([x, edge] if reverse else [edge, x], place)


@composite
def cumulative_max(x: Any, /, *, axis: int | None = None, reverse: bool = False) -> Any:
    """Running maxima along an axis.

    >>> px.cumulative_max(px.asarray([1.0, 3.0, 2.0]))
    px.Tensor([1. 3. 3.], dtype=float32)
    """
    return _scan(x, axis, "max", reverse, "cumulative_max")


@composite
def cumulative_min(x: Any, /, *, axis: int | None = None, reverse: bool = False) -> Any:
    """Running minima along an axis.

    >>> px.cumulative_min(px.asarray([2.0, 3.0, 1.0]))
    px.Tensor([2. 2. 1.], dtype=float32)
    """
    return _scan(x, axis, "min", reverse, "cumulative_min")
