"""The namespace `xp` that op definitions are evaluated in: the array API standard plus what ops need besides.

`Namespace` wraps any standard namespace. Everything the standard has is passed through, with our dtypes
accepted wherever the library's are. The rest is built from standard functions; `NumPyNamespace` replaces
what NumPy does better or differently. Meanings that differ between libraries are fixed here:

- `astype` from float to integer truncates and saturates, NaN becomes 0.
- `argmax`/`argmin` give the first extreme element, and the first NaN where there is one.
- indices of `take`, `gather` and `take_along_axis` are clamped; updates out of range are dropped.
- 16-bit floats are summed and multiplied in float32.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import numpy as np

from phalanx.dialects.dtypes import ALL, DType, bfloat16, dtype_of, float16, float32, int64
from phalanx.dialects.errors import DTypeError
from phalanx.runtime.backends import indexing, movement, special

Array = Any
Axis = int | tuple[int, ...] | None

_NARROW_FLOATS = (float16, bfloat16)


class Namespace:
    """A standard namespace with the extra functions; `xp.add`, `xp.erf`, `xp.dot_general`, ...

    >>> xp = Namespace(array_api_strict)
    >>> xp.astype(xp.asarray([2.7, float("nan"), 1e20]), int32)
    Array([2, 0, 2147483647], dtype=array_api_strict.int32)
    """

    #: element types the library only stores; operations on them run on NumPy
    host_dtypes: frozenset[DType] = frozenset()

    def __init__(self, module: ModuleType) -> None:
        self.module = module
        self._native: dict[DType, Any] = {}
        for dtype in ALL:
            native = self.native_or_none(dtype)
            if native is not None:
                self._native[dtype] = native
        self._ours = {native: dtype for dtype, native in self._native.items()}

    # Element types.
    def native_or_none(self, dtype: DType) -> Any:
        """The library's spelling of an element type."""
        return getattr(self.module, dtype.name, None)

    @property
    def dtypes(self) -> frozenset[DType]:
        """The element types the library has."""
        return frozenset(self._native)

    def native(self, dtype: Any) -> Any:
        """The library's dtype for one of ours."""
        if not isinstance(dtype, DType):
            return dtype
        try:
            return self._native[dtype]
        except KeyError:
            raise DTypeError(f"{self.module.__name__}: the library has no {dtype}") from None

    def ours(self, native: Any) -> DType:
        """Our dtype for one of the library's."""
        found = self._ours.get(native)
        if found is None:
            raise DTypeError(f"{self.module.__name__}: dtype {native} is not in Phalanx's table")
        return found

    def dtype_of(self, array: Array) -> DType:
        """Our dtype of a library array."""
        return self.ours(array.dtype)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.module, name)
        if isinstance(value, type) or not callable(value):
            return value
        forwarded = self._forward(value)
        self.__dict__[name] = forwarded
        return forwarded

    def _forward(self, function: Callable[..., Any]) -> Callable[..., Any]:
        native = self.native

        def forwarded(*args: Any, **kwargs: Any) -> Any:
            if isinstance(kwargs.get("dtype"), DType):
                kwargs["dtype"] = native(kwargs["dtype"])
            return function(*args, **kwargs)

        return forwarded

    # Crossing to NumPy for what the standard cannot say.
    def to_numpy(self, array: Array) -> np.ndarray[Any, Any]:
        """The elements on the host."""
        return np.asarray(array)

    def from_numpy(self, array: np.ndarray[Any, Any]) -> Array:
        """A library array with the elements of a NumPy array."""
        return self.module.asarray(array)

    def through_numpy(self, function: Callable[..., Any], *arrays: Array) -> Array:
        """Apply a NumPy function to library arrays."""
        return self.from_numpy(np.asarray(function(*(self.to_numpy(a) for a in arrays))))

    # Types.
    def astype(self, array: Array, dtype: Any, *, copy: bool = True) -> Array:
        """Convert; float to integer truncates toward zero and saturates, NaN gives 0."""
        target = dtype if isinstance(dtype, DType) else self.ours(dtype)
        source = self.dtype_of(array)
        if source is target:
            return self._convert(array, target, copy) if copy else array
        if target.is_bool:
            return self.not_equal(array, self.zeros_like(array))
        if source.is_float and target.is_integer:
            return self._saturate(array, source, target)
        return self._convert(array, target, copy)

    def _convert(self, array: Array, dtype: DType, copy: bool = True) -> Array:
        return self.module.astype(array, self.native(dtype), copy=copy)

    def _saturate(self, array: Array, source: DType, target: DType) -> Array:
        if source in _NARROW_FLOATS:
            array = self._convert(array, float32)
        limits = np.iinfo(target.numpy)
        above = 2.0 ** (limits.bits - target.is_signed)  # the first value that does not fit; exact in float32
        whole = self.trunc(array)
        high, low = whole >= above, whole < limits.min
        safe = self.where(high | low | self.isnan(array), self.zeros_like(whole), whole)
        converted = self._convert(safe, target)
        converted = self.where(high, self.full_like(converted, limits.max), converted)
        return self.where(low, self.full_like(converted, limits.min), converted)

    def bitcast(self, array: Array, dtype: DType) -> Array:
        """The same bits read as another dtype of equal size."""
        source = self.dtype_of(array)
        if source.itemsize != dtype.itemsize:
            raise DTypeError(f"bitcast: sizes differ, got {source} and {dtype}")
        return self.through_numpy(lambda a: a.view(dtype.numpy), array)

    # Elementwise functions outside the standard.
    def erf(self, array: Array) -> Array:
        """Error function."""
        return special.erf(self, array)

    def erfc(self, array: Array) -> Array:
        """1 - erf(x) without cancellation."""
        return special.erfc(self, array)

    def erfinv(self, array: Array) -> Array:
        """Inverse error function."""
        return special.erfinv(self, array)

    def cbrt(self, array: Array) -> Array:
        """Real cube root."""
        return special.cbrt(self, array)

    def rsqrt(self, array: Array) -> Array:
        """1 / sqrt(x)."""
        return self.astype(1.0 / self.sqrt(array), self.dtype_of(array), copy=False)

    def logistic(self, array: Array) -> Array:
        """1 / (1 + exp(-x)) without overflow."""
        return special.logistic(self, array)

    def population_count(self, array: Array) -> Array:
        """Number of one bits, in the dtype of the operand."""
        return self.through_numpy(special.population_count, array)

    def count_leading_zeros(self, array: Array) -> Array:
        """Number of zero bits above the highest one, in the dtype of the operand."""
        return self.through_numpy(special.count_leading_zeros, array)

    # Reductions.
    def sum(self, array: Array, *, axis: Axis = None, dtype: DType | None = None, keepdims: bool = False) -> Array:
        """Sum; in the dtype of the operand unless another is given."""
        return self._accumulate("sum", array, axis, dtype, keepdims)

    def prod(self, array: Array, *, axis: Axis = None, dtype: DType | None = None, keepdims: bool = False) -> Array:
        """Product; in the dtype of the operand unless another is given."""
        return self._accumulate("prod", array, axis, dtype, keepdims)

    def _accumulate(self, name: str, array: Array, axis: Axis, dtype: DType | None, keepdims: bool) -> Array:
        result = dtype or self.dtype_of(array)
        wide = float32 if result in _NARROW_FLOATS else result
        array = self.astype(array, wide, copy=False)
        total = getattr(self.module, name)(array, axis=axis, dtype=self.native(wide), keepdims=keepdims)
        return self.astype(total, result, copy=False)

    def argmax(self, array: Array, *, axis: int | None = None, keepdims: bool = False) -> Array:
        """Index of the first largest element, or of the first NaN."""
        return self._first_extreme(array, self.module.max, axis, keepdims)

    def argmin(self, array: Array, *, axis: int | None = None, keepdims: bool = False) -> Array:
        """Index of the first smallest element, or of the first NaN."""
        return self._first_extreme(array, self.module.min, axis, keepdims)

    def _first_extreme(self, array: Array, extreme: Callable[..., Array], axis: int | None, keepdims: bool) -> Array:
        if self.dtype_of(array).is_bool:
            array = self._convert(array, dtype_of("int8"))
        rank = array.ndim
        if axis is None:
            flat = self._first_extreme(self.reshape(array, (-1,)), extreme, 0, keepdims=False)
            return self.reshape(flat, (1,) * rank) if keepdims else flat
        axis = axis % rank
        best = extreme(array, axis=axis, keepdims=True)
        hit = array == best
        if self.dtype_of(array).is_float:
            hit = hit | self.isnan(array)
            hit = self.where(self.isnan(best), self.isnan(array), hit)
        size = array.shape[axis]
        positions = self.reshape(self.arange(size, dtype=int64), tuple(size if a == axis else 1 for a in range(rank)))
        candidates = self.where(hit, positions, self.full_like(positions, size))
        return self.module.min(candidates, axis=axis, keepdims=keepdims)

    # Contraction.
    def dot_general(
        self,
        lhs: Array,
        rhs: Array,
        contract: tuple[Sequence[int], Sequence[int]],
        batch: tuple[Sequence[int], Sequence[int]] = ((), ()),
        dtype: DType | None = None,
    ) -> Array:
        """Sum of products over the contracted axes; results are batch axes, free lhs axes, free rhs axes."""
        result = dtype or self.dtype_of(lhs)
        wide = float32 if result in _NARROW_FLOATS else result
        left_free = [a for a in range(lhs.ndim) if a not in contract[0] and a not in batch[0]]
        right_free = [a for a in range(rhs.ndim) if a not in contract[1] and a not in batch[1]]
        batch_shape = tuple(lhs.shape[a] for a in batch[0])
        left_shape = tuple(lhs.shape[a] for a in left_free)
        right_shape = tuple(rhs.shape[a] for a in right_free)
        depth = math.prod(lhs.shape[a] for a in contract[0])
        left = self.permute_dims(lhs, (*batch[0], *left_free, *contract[0]))
        right = self.permute_dims(rhs, (*batch[1], *contract[1], *right_free))
        groups = math.prod(batch_shape)
        left = self.reshape(left, (groups, math.prod(left_shape), depth))
        right = self.reshape(right, (groups, depth, math.prod(right_shape)))
        product = self.matmul(self.astype(left, wide, copy=False), self.astype(right, wide, copy=False))
        product = self.reshape(product, (*batch_shape, *left_shape, *right_shape))
        return self.astype(product, result, copy=False)

    # Movement and indexing.
    def pad(
        self, array: Array, value: Any, low: Sequence[int], high: Sequence[int], interior: Sequence[int] | None = None
    ) -> Array:
        """Put `low`/`high` copies of `value` around and `interior` between elements; negative ones crop."""
        return movement.pad(self, array, value, low, high, interior)

    def dynamic_slice(self, array: Array, starts: Sequence[Any], sizes: Sequence[int]) -> Array:
        """`sizes` elements from run-time `starts`, clamped so that the slice stays inside."""
        return movement.dynamic_slice(array, starts, sizes)

    def dynamic_update_slice(self, array: Array, update: Array, starts: Sequence[Any]) -> Array:
        """`array` with `update` written at run-time `starts`, clamped so that it stays inside."""
        return movement.dynamic_update_slice(self, array, update, starts)

    def take(self, array: Array, indices: Array, *, axis: int) -> Array:
        """Elements along one axis; indices of any rank, clamped."""
        return indexing.take(self, array, indices, axis)

    def take_along_axis(self, array: Array, indices: Array, axis: int = -1) -> Array:
        """One element along `axis` per index; indices clamped."""
        return indexing.take_along_axis(self, array, indices, axis)

    def gather(self, array: Array, indices: Array, axes: Sequence[int] | None = None) -> Array:
        """Slices at coordinates: `indices[..., k]` along `axes[k]`, then the other axes whole."""
        return self.through_numpy(lambda a, i: indexing.gather(a, i, axes), array, indices)

    def indexed_add(self, array: Array, indices: Array, updates: Array, axes: Sequence[int] | None = None) -> Array:
        """`array` with `updates` added at coordinates; repeated coordinates add up."""
        return self.through_numpy(lambda a, i, u: indexing.scatter(a, i, u, axes, add=True), array, indices, updates)

    def indexed_put(self, array: Array, indices: Array, updates: Array, axes: Sequence[int] | None = None) -> Array:
        """`array` with `updates` written at coordinates; of repeated coordinates the last one stays."""
        return self.through_numpy(lambda a, i, u: indexing.scatter(a, i, u, axes, add=False), array, indices, updates)


class NumPyNamespace(Namespace):
    """NumPy with bfloat16 from ml_dtypes and direct forms of the extras."""

    def __init__(self) -> None:
        super().__init__(np)

    def native_or_none(self, dtype: DType) -> Any:
        return dtype.numpy

    def ours(self, native: Any) -> DType:
        return dtype_of(native)

    def from_numpy(self, array: np.ndarray[Any, Any]) -> Array:
        return array

    def _convert(self, array: Array, dtype: DType, copy: bool = True) -> Array:
        return np.asarray(array).astype(dtype.numpy, copy=copy)

    def bitcast(self, array: Array, dtype: DType) -> Array:
        if np.dtype(array.dtype).itemsize != dtype.itemsize:
            raise DTypeError(f"bitcast: sizes differ, got {self.dtype_of(array)} and {dtype}")
        return np.asarray(array).view(dtype.numpy)

    def argmax(self, array: Array, *, axis: int | None = None, keepdims: bool = False) -> Array:
        found: Any = np.argmax(self._ordered(array), axis=axis, keepdims=bool(keepdims))  # type: ignore[call-overload,unused-ignore]
        return found

    def argmin(self, array: Array, *, axis: int | None = None, keepdims: bool = False) -> Array:
        found: Any = np.argmin(self._ordered(array), axis=axis, keepdims=bool(keepdims))  # type: ignore[call-overload,unused-ignore]
        return found

    def _ordered(self, array: Array) -> Array:
        # The argmax of bfloat16 does not stop at NaN.
        return array.astype(np.float32) if self.dtype_of(array) is bfloat16 else array

    def take_along_axis(self, array: Array, indices: Array, axis: int = -1) -> Array:
        limit = array.shape[axis]
        return np.take_along_axis(array, np.clip(indices, 0, max(limit - 1, 0)), axis)

    def take(self, array: Array, indices: Array, *, axis: int) -> Array:
        return np.take(array, indices, axis=axis, mode="clip")
