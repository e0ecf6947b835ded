"""Functions made of other ops, mostly for machine learning: statistics, softmax, activations, norms.

16-bit floats are computed in float32 and rounded once at the end.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from phalanx.dialects.aval import normalize_axes, normalize_axis
from phalanx.dialects.dims import product
from phalanx.dialects.dtypes import DType, dtype_of, float32, int64, to_floating
from phalanx.dialects.errors import ArgumentError
from phalanx.dialects.opdef import composite
from phalanx.dialects.px.compare import isfinite, isnan
from phalanx.dialects.px.convert import convert, stop_gradient
from phalanx.dialects.px.elementwise import abs_, maximum, minimum
from phalanx.dialects.px.logic import select
from phalanx.dialects.px.mathematics import erfc, exp, expm1, log, logaddexp, power, sigmoid, sqrt
from phalanx.dialects.px.rearrange import expand_dims, part_of
from phalanx.dialects.px.reduce import all_, max_, min_, sum_
from phalanx.dialects.px.shape import as_tensor, concatenate, is_size, reshape
from phalanx.dialects.px.slicing import iota_along, size_tensor
from phalanx.dialects.px.trigonometry import tanh
from phalanx.dialects.static_arguments import real

Axis = int | tuple[int, ...] | None


def _convert(x: Any, dtype: DType) -> Any:
    return x if x.dtype is dtype else convert(x, dtype)


def _floating(x: Any) -> Any:
    """`x` as a tensor of floats."""
    x = as_tensor(x)
    return _convert(x, to_floating(x.dtype))


def _in_float32(x: Any, function: Callable[[Any], Any]) -> Any:
    """`function(x)` on floats, 16-bit ones computed in float32."""
    x = _floating(x)
    if x.dtype.bits > 16:
        return function(x)
    return _convert(function(_convert(x, float32)), x.dtype)


def _select(condition: Any, yes: Any, no: Any) -> Any:
    return select(condition, yes, no)


# Statistics.
def _count(x: Any, axis: Axis, dtype: DType) -> Any:
    """How many elements a reduction combines, as an operand of `dtype`."""
    axes = normalize_axes(axis, x.ndim, "mean")
    size = product(tuple(x.shape[a] for a in axes))
    return float(size) if isinstance(size, int) else _convert(size_tensor(size, int64), dtype)


def _mean(x: Any, axis: Axis, keepdims: bool) -> Any:
    return sum_(x, axis=axis, keepdims=keepdims) / _count(x, axis, x.dtype)


@composite(method=True)
def mean(x: Any, /, *, axis: Axis = None, keepdims: bool = False) -> Any:
    """Arithmetic mean over `axis` (all by default); NaN of nothing.

    >>> px.mean(px.asarray([1.0, 2.0, 6.0]))
    px.Tensor(3., dtype=float32)
    """
    return _in_float32(x, lambda v: _mean(v, axis, keepdims))


def _variance(x: Any, axis: Axis, correction: float, keepdims: bool) -> Any:
    centred = x - _mean(x, axis, True)
    count = _count(x, axis, x.dtype)
    left = max(count - correction, 0.0) if isinstance(count, float) else maximum(count - correction, 0.0)
    return sum_(centred * centred, axis=axis, keepdims=keepdims) / left


@composite(method=True)
def var(x: Any, /, *, axis: Axis = None, correction: float = 0.0, keepdims: bool = False) -> Any:
    """Variance: mean squared distance from the mean, divided by the count less `correction` (Nx: `ddof`).

    >>> px.var(px.asarray([1.0, 2.0, 6.0]))
    px.Tensor(4.6666665, dtype=float32)
    """
    degrees = real(correction, "var", "correction")
    return _in_float32(x, lambda v: _variance(v, axis, degrees, keepdims))


@composite(method=True)
def std(x: Any, /, *, axis: Axis = None, correction: float = 0.0, keepdims: bool = False) -> Any:
    """Standard deviation, the root of `var`.

    >>> px.std(px.asarray([1.0, 3.0]))
    px.Tensor(1., dtype=float32)
    """
    degrees = real(correction, "std", "correction")
    return _in_float32(x, lambda v: sqrt(_variance(v, axis, degrees, keepdims)))


# Exponentials.
def _finite_maximum(x: Any, axis: Axis) -> Any:
    """The maximum over `axis`, kept as size 1, without a gradient; 0 where it is infinite."""
    top = stop_gradient(max_(x, axis=axis, keepdims=True))
    return _select(isfinite(top), top, 0.0)


@composite
def logsumexp(x: Any, /, *, axis: Axis = None, keepdims: bool = False) -> Any:
    """log(sum(exp(x))) over `axis` without overflow.

    >>> px.logsumexp(px.asarray([1000.0, 1000.0]))
    px.Tensor(1000.6932, dtype=float32)
    """

    def compute(v: Any) -> Any:
        top = _finite_maximum(v, axis)
        total = log(sum_(exp(v - top), axis=axis, keepdims=True)) + top
        if keepdims:
            return total
        axes = normalize_axes(axis, v.ndim, "logsumexp")
        return reshape(total, tuple(s for i, s in enumerate(v.shape) if i not in axes))

    return _in_float32(x, compute)


@composite
def softmax(x: Any, /, *, axis: Axis = -1) -> Any:
    """exp(x) / sum(exp(x)) along `axis`, without overflow.

    >>> px.softmax(px.asarray([1.0, 1.0]))
    px.Tensor([0.5 0.5], dtype=float32)
    """

    def compute(v: Any) -> Any:
        top = stop_gradient(max_(v, axis=axis, keepdims=True))
        unscaled = exp(v - top)
        return unscaled / sum_(unscaled, axis=axis, keepdims=True)

    return _in_float32(x, compute)


@composite
def log_softmax(x: Any, /, *, axis: Axis = -1) -> Any:
    """log(softmax(x)) without loss of digits.

    >>> px.log_softmax(px.asarray([0.0, 1000.0]))
    px.Tensor([-1000.     0.], dtype=float32)
    """

    def compute(v: Any) -> Any:
        shifted = v - stop_gradient(max_(v, axis=axis, keepdims=True))
        return shifted - log(sum_(exp(shifted), axis=axis, keepdims=True))

    return _in_float32(x, compute)


# Activations.
@composite
def clip(x: Any, /, min: Any = None, max: Any = None) -> Any:
    """`x` held between two bounds, each a number, a tensor, or None.

    >>> px.clip(px.asarray([-1.0, 0.5, 2.0]), 0, 1)
    px.Tensor([0.  0.5 1. ], dtype=float32)
    """
    x = as_tensor(x)
    if min is not None:
        x = maximum(x, min)
    return x if max is None else minimum(x, max)


@composite
def relu(x: Any, /) -> Any:
    """max(x, 0), with gradient 0 at 0.

    >>> px.relu(px.asarray([-1.0, 2.0]))
    px.Tensor([0. 2.], dtype=float32)
    """
    x = as_tensor(x)
    return _select(x <= 0, 0, x)


@composite
def leaky_relu(x: Any, /, negative_slope: float = 0.01) -> Any:
    """`x`, times a small slope where it is negative.

    >>> px.leaky_relu(px.asarray([-1.0, 2.0]), 0.5)
    px.Tensor([-0.5  2. ], dtype=float32)
    """
    x = _floating(x)
    return _select(x < 0, x * negative_slope, x)


@composite
def elu(x: Any, /, alpha: float = 1.0) -> Any:
    """`x`, or alpha * (exp(x) - 1) where it is negative.

    >>> px.elu(px.asarray([0.0, 2.0]))
    px.Tensor([0. 2.], dtype=float32)
    """
    x = _floating(x)
    below = minimum(x, 0.0)  # the branch not taken must not overflow
    return _select(x > 0, x, expm1(below) * alpha)


@composite
def softplus(x: Any, /) -> Any:
    """log(1 + exp(x)) without overflow.

    >>> px.softplus(px.asarray([-1000.0, 1000.0]))
    px.Tensor([   0. 1000.], dtype=float32)
    """
    return logaddexp(_floating(x), 0.0)


@composite
def log_sigmoid(x: Any, /) -> Any:
    """log(sigmoid(x)) without loss of digits.

    >>> px.log_sigmoid(px.asarray([-1000.0]))
    px.Tensor([-1000.], dtype=float32)
    """
    return -softplus(-_floating(x))


@composite
def silu(x: Any, /) -> Any:
    """x * sigmoid(x), also called swish.

    >>> px.silu(px.asarray([0.0, 100.0]))
    px.Tensor([  0. 100.], dtype=float32)
    """
    x = _floating(x)
    return x * sigmoid(x)


@composite
def gelu(x: Any, /, *, approximate: str = "none") -> Any:
    """x times the normal distribution function at x; "tanh" is the usual approximation of it.

    >>> px.gelu(px.asarray([0.0, 10.0]))
    px.Tensor([ 0. 10.], dtype=float32)

    Source: Hendrycks and Gimpel, "Gaussian error linear units" (2016).
    """
    x = _floating(x)
    if approximate == "none":
        # erfc keeps its digits where the function is near 0.
        return x * erfc(x * -math.sqrt(0.5)) * 0.5
    if approximate == "tanh":
        inner = (x + x * x * x * 0.044715) * math.sqrt(2.0 / math.pi)
        return x * (tanh(inner) + 1.0) * 0.5
    raise ArgumentError(f"gelu: approximate is 'none' or 'tanh', got {approximate!r}")


# Other.
@composite
def one_hot(indices: Any, num_classes: int, /, *, dtype: Any = float32, axis: int = -1) -> Any:
    """A new axis that is 1 at the index and 0 elsewhere (everywhere for an index out of range).

    >>> px.one_hot(px.asarray([1, 0]), 3)
    px.Tensor([[0. 1. 0.]
               [1. 0. 0.]], dtype=float32)
    """
    indices = as_tensor(indices)
    place = normalize_axis(axis, indices.ndim + 1, "one_hot")
    classes = _convert(iota_along(num_classes, place, indices.ndim + 1), indices.dtype)
    return _convert(expand_dims(indices, place) == classes, dtype_of(dtype))


@composite
def diff(x: Any, /, *, axis: int = -1, n: int = 1, prepend: Any = None, append: Any = None) -> Any:
    """Differences of neighbours along an axis, taken `n` times; Nx calls `n` the order.

    >>> px.diff(px.asarray([1.0, 4.0, 9.0]))
    px.Tensor([3. 5.], dtype=float32)
    """
    x = as_tensor(x)
    if n < 0:
        raise ArgumentError(f"diff: n is at least 0, got {n}")
    place = normalize_axis(axis, x.ndim, "diff")
    around = [part for part in (prepend, x, append) if part is not None]
    x = concatenate(around, place) if len(around) > 1 else x
    for _ in range(n):
        size = x.shape[place]
        if is_size(size, 0):
            break
        later, earlier = part_of(x, place, 1, size), part_of(x, place, 0, size - 1)
        x = later != earlier if x.dtype.is_bool else later - earlier
    return x


@composite
def vector_norm(x: Any, /, *, axis: Axis = None, keepdims: bool = False, ord: float = 2) -> Any:
    """The norm of vectors: (sum of |x|^ord)^(1/ord); also for ord 0, inf and -inf.

    >>> px.vector_norm(px.asarray([3.0, 4.0]))
    px.Tensor(5., dtype=float32)
    """
    order = real(ord, "vector_norm", "ord")
    reduce = {"axis": axis, "keepdims": keepdims}

    def compute(v: Any) -> Any:
        if order == 2:
            return sqrt(sum_(v * v, **reduce))
        size = abs_(v)
        if order == math.inf:
            return max_(size, **reduce)
        if order == -math.inf:
            return min_(size, **reduce)
        if order == 0:
            return sum_(_convert(v != 0, v.dtype), **reduce)
        if order == 1:
            return sum_(size, **reduce)
        return power(sum_(power(size, order), **reduce), 1.0 / order)

    return _in_float32(x, compute)


@composite
def isclose(lhs: Any, rhs: Any, /, *, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Any:
    """Where |lhs - rhs| <= atol + rtol * |rhs|; equal infinities are close.

    >>> px.isclose(px.asarray([1.0, 2.0]), px.asarray([1.0, 2.1]))
    px.Tensor([ True False], dtype=bool)
    """
    lhs, rhs = _floating(lhs), _floating(rhs)
    finite = isfinite(lhs) & isfinite(rhs)
    near = abs_(lhs - rhs) <= abs_(rhs) * rtol + atol
    found = (finite & near) | (lhs == rhs)
    if equal_nan:
        found = found | (isnan(lhs) & isnan(rhs))
    return found


@composite
def allclose(lhs: Any, rhs: Any, /, *, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Any:
    """Whether all elements are close, as a bool tensor of rank 0; Nx calls it `all_close`.

    >>> px.allclose(px.asarray([1.0]), px.asarray([1.0]))
    px.Tensor(True, dtype=bool)
    """
    return all_(isclose(lhs, rhs, rtol=rtol, atol=atol, equal_nan=equal_nan))
