"""Aval: what is known of a tensor before it has values, its shape and dtype."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

import numpy as np

from phalanx.dialects import dims, dtypes
from phalanx.dialects.dims import Dim, Size
from phalanx.dialects.dtypes import DType
from phalanx.dialects.errors import DTypeError, ShapeError

Shape = tuple[Size, ...]
#: Positions in memory, in bytes, are 64-bit integers.
MOST_ELEMENTS = (2**63 - 1) // 8
_set = object.__setattr__


class Aval:
    """An abstract tensor, printed the way specs are written: `f32[8,n]`. It does not change."""

    __slots__ = ("dtype", "shape")
    __match_args__ = ("shape", "dtype")
    shape: Shape
    dtype: DType

    def __init__(self, shape: Shape, dtype: DType) -> None:
        _set(self, "shape", shape)
        _set(self, "dtype", dtype)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"an aval cannot be changed, got {name!r}")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"an aval cannot be changed, got {name!r}")

    def __eq__(self, other: object) -> bool:
        return self.shape == other.shape and self.dtype is other.dtype if isinstance(other, Aval) else NotImplemented

    def __hash__(self) -> int:
        return hash((self.shape, self.dtype))

    def __reduce__(self) -> tuple[Any, ...]:
        return Aval, (self.shape, self.dtype)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> Size:
        """Number of elements."""
        return dims.product(self.shape)

    @property
    def is_static(self) -> bool:
        return dims.is_static(self.shape)

    def with_shape(self, shape: Shape) -> Aval:
        return Aval(tuple(shape), self.dtype)

    def with_dtype(self, dtype: DType) -> Aval:
        return Aval(self.shape, dtype)

    def bind(self, values: Mapping[str, int]) -> Aval:
        """The same aval with every named size replaced by its value."""
        return Aval(tuple(s.evaluate(values) if isinstance(s, Dim) else s for s in self.shape), self.dtype)

    def __str__(self) -> str:
        return f"{self.dtype.short}[{','.join(str(s) for s in self.shape)}]"

    __repr__ = __str__


def _split_sizes(text: str) -> list[str]:
    """Split at commas outside parentheses."""
    parts, depth, start = [], 0, 0
    for position, char in enumerate(text):
        depth += (char == "(") - (char == ")")
        if char == "," and depth == 0:
            parts.append(text[start:position])
            start = position + 1
    return [*parts, text[start:]]


def parse_spec(text: str) -> Aval:
    """Read a spec such as `f32[8,64]`, `f32[n,128]`, `int32` (rank 0).

    Raises ShapeError or DTypeError when the text is not one.
    """
    match = re.fullmatch(r"\s*(\w+)\s*(?:\[(.*)\])?\s*", text)
    if not match:
        raise ShapeError(f"spec: cannot read {text!r}", hint='write it like px.spec("f32[8,64]")')
    dtype = dtypes.dtype_of(match.group(1))
    inner = (match.group(2) or "").strip()
    shape = tuple(dims.parse(part) for part in _split_sizes(inner)) if inner else ()
    for size in shape:
        if isinstance(size, int) and size < 0:
            raise ShapeError(f"spec: a size cannot be negative, got {size} in {text!r}")
    if math.prod(s for s in shape if isinstance(s, int) and s) > MOST_ELEMENTS:
        raise ShapeError(f"spec: no memory has that many elements, got {text!r}")
    return Aval(shape, dtype)


def aval_of(value: Any) -> Aval:
    """The aval of anything array-like: an object with `.aval`, a NumPy array, a Python scalar or nested lists."""
    known = getattr(value, "aval", None)
    if isinstance(known, Aval):
        return known
    if isinstance(value, (bool, int, float)) and not isinstance(value, np.generic):
        return Aval((), dtypes.scalar_dtype(value))
    array = numpy_of(value)
    return Aval(array.shape, dtypes.dtype_of(array.dtype))


def numpy_of(value: Any) -> np.ndarray[Any, Any]:
    """Anything array-like as a NumPy array; Python numbers and lists of them get the default dtypes.

    Raises DTypeError for objects, strings and ragged lists.
    """
    if isinstance(value, (bool, int, float)) and not isinstance(value, np.generic):
        return np.asarray(value, dtypes.scalar_dtype(value).numpy)
    if type(value) is not np.ndarray and isinstance(value, np.ma.MaskedArray):
        raise DTypeError("asarray: masked arrays have no dense memory", hint="fill it first: x.filled(0)")
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise DTypeError(f"asarray: cannot make a tensor, {error}", hint="nested lists must have equal lengths") from None
    if array.dtype.kind in "OUSVMm" and array.dtype != dtypes.bfloat16.numpy:
        raise DTypeError(f"asarray: a {type(value).__name__} of dtype {array.dtype} is not numeric",
                         hint="pass numbers, booleans, or containers of them")
    if isinstance(value, (list, tuple)) and not _holds_numpy(value):
        if array.dtype == np.float64:
            return array.astype(dtypes.DEFAULT_FLOAT.numpy)
        if array.dtype == np.int64:
            info = np.iinfo(dtypes.DEFAULT_INT.numpy)
            if array.size == 0 or (array.min() >= info.min and array.max() <= info.max):
                return array.astype(dtypes.DEFAULT_INT.numpy)
    return array


def _holds_numpy(value: Any) -> bool:
    """Whether a nested list has an array or NumPy scalar in it, whose dtype then counts."""
    if isinstance(value, (list, tuple)):
        return any(_holds_numpy(v) for v in value)
    return hasattr(value, "dtype")


def shape_of(value: Any) -> Shape:
    """The shape of anything array-like."""
    shape = getattr(value, "shape", None)
    return tuple(shape) if isinstance(shape, tuple) else numpy_of(value).shape


def is_sequence(value: Any) -> bool:
    """Whether a value is several; an array of rank 0 is one."""
    return isinstance(value, Iterable) and getattr(value, "ndim", 1) != 0


def items(value: Any) -> list[Any]:
    """What a sequence holds, or the one value."""
    return list(value) if is_sequence(value) else [value]


def normalize_axis(axis: int, ndim: int, who: str) -> int:
    """`axis` counted from the front; raises ShapeError naming `who` when out of range."""
    try:
        index = int(axis.__index__())
    except (AttributeError, TypeError):
        index = None
    if index is None or isinstance(axis, bool):
        raise ShapeError(f"{who}: an axis is an int, got {axis!r}")
    if not -ndim <= index < ndim:
        raise ShapeError(f"{who}: axis {index} is out of range for a tensor of rank {ndim}")
    return index % ndim


def normalize_axes(axis: int | tuple[int, ...] | list[int] | None, ndim: int, who: str) -> tuple[int, ...]:
    """Every axis counted from the front, in order; None means all. Raises ShapeError on a repeat."""
    if axis is None:
        return tuple(range(ndim))
    axes = tuple(axis) if isinstance(axis, (tuple, list)) else (axis,)
    found = tuple(normalize_axis(a, ndim, who) for a in axes)
    if len(set(found)) != len(found):
        raise ShapeError(f"{who}: an axis appears twice, got {axes}")
    return tuple(sorted(found))


def broadcast_shapes(who: str, *shapes: Shape) -> Shape:
    """The NumPy broadcast of `shapes`; a name broadcasts only with itself and with a literal 1.

    Raises ShapeError when two sizes differ.
    """
    rank = max((len(s) for s in shapes), default=0)
    result: list[Size] = []
    for position in range(rank):
        size: Size = 1
        for shape in shapes:
            offset = position - (rank - len(shape))
            if offset < 0:
                continue
            other = shape[offset]
            if isinstance(other, int) and other == 1:
                continue
            if isinstance(size, int) and size == 1:
                size = other
            elif size != other:
                listed = " and ".join(f"[{','.join(map(str, s))}]" for s in shapes)
                named = isinstance(size, Dim) or isinstance(other, Dim)
                raise ShapeError(
                    f"{who}: shapes do not broadcast, got {listed}",
                    hint=f"sizes {size} and {other} are not known to be equal; use one name for both"
                    if named else None,
                )
        result.append(size)
    return tuple(result)
