"""What the generated op tests share: the cases of an op, running them, and how far results may differ."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import phalanx as px
from phalanx.dialects import dtypes
from phalanx.dialects.dtypes import DType
from phalanx.dialects.kinds import Comparison, Elementwise, Movement, emit, sample_values
from phalanx.dialects.opdef import REGISTRY, Op

Array = np.ndarray[Any, Any]
Sample = tuple[list[Array], dict[str, Any]]

#: ops with sample inputs; the rest belong to control flow and named sizes, which have tests of their own
OPS: tuple[str, ...] = tuple(
    name for name, op in REGISTRY.items() if any(op.samples(d) for d in dtypes.ALL) and not op.side_effect)

#: dtypes whose samples are all run; the others share their code and run a few
THOROUGH = (dtypes.float32, dtypes.int32)
FEW = 3

#: quick code is enough: what the optimiser does is the schedules' and the random programs' to test
QUICK = {"opt_level": 1}

_EXACT = {"add", "subtract", "multiply", "divide", "sqrt", "negative", "positive", "abs", "sign", "copysign",
          "nextafter", "maximum", "minimum", "floor", "ceil", "trunc", "round", "reciprocal", "select",
          "floor_divide", "convert", "bitcast", "stop_gradient", "full", "constant", "gather", "max", "min",
          "argmax", "argmin", "any", "all"}

_SPECIAL_FLOATS = (np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 0.5, 2.0, -2.5)


def allowed_dtypes(op: type[Op]) -> list[DType]:
    """The dtypes that give the op samples of their own; ops without operands, those their attributes take."""
    if not op.operands:
        return [d for d in dtypes.ALL if op.samples(d)]
    return [d for d in dtypes.ALL if d in op.operands[0].types.dtypes or _data_dtype(op, d)]


def _data_dtype(op: type[Op], dtype: DType) -> bool:
    """Whether another operand than the first takes the dtype (select: the condition comes first)."""
    return any(dtype in f.types.dtypes for f in op.operands[1:]) and op.promotes is not True


def edge_samples(op: type[Op], dtype: DType) -> list[Sample]:
    """For elementwise ops, every combination of special values (NaN, infinities, zeros, ends of the range)."""
    if not issubclass(op, Elementwise) or op.results != 1:
        return []
    fields = [f.types.dtypes for f in op.operands]
    values = [_special_values(dtype if dtype in types else types[0]) for types in fields]
    grids = np.meshgrid(*values, indexing="ij")
    attrs = [{}] if not op.attributes else _attribute_choices(op, dtype)
    return [([np.ascontiguousarray(g.reshape(-1)) for g in grids], a) for a in attrs]


def _attribute_choices(op: type[Op], dtype: DType) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for _, attrs in op.samples(dtype):
        if not any(repr(attrs) == repr(f) for f in found):  # attributes may be arrays
            found.append(attrs)
    return found


def _special_values(dtype: DType) -> Array:
    if dtype.is_bool:
        return np.array([False, True])
    if dtype.is_integer:
        info = np.iinfo(dtype.numpy)
        edges = [info.min, info.min + 1, info.max - 1, info.max, 0, 1, 2, 3, 7]
        return np.array(sorted({*edges, *([-1, -2, -7] if info.min < 0 else [])}), dtype.numpy)
    return np.array(_SPECIAL_FLOATS, dtype.numpy)


def cases(op: type[Op], dtype: DType) -> list[Sample]:
    """The inputs of one op and dtype: all samples of a thorough dtype, else the first few; edges always."""
    found = list(op.samples(dtype))
    if dtype not in THOROUGH:
        attributes = _attribute_choices(op, dtype)
        picked = [next(s for s in found if s[1] == a) for a in attributes] if op.name == "convert" else []
        step = max(1, len(found) // FEW)
        found = picked or found[1::step][:FEW] or found
    return found + edge_samples(op, dtype)


def program(op: type[Op], samples: Sequence[Sample]) -> Callable[[list[list[Any]]], list[Any]]:
    """One function that runs the op on every sample: many ops per compile keep the tests fast."""

    def run(rows: list[list[Any]]) -> list[Any]:
        found: list[Any] = []
        for operands, (_, attrs) in zip(rows, samples, strict=True):
            result = emit(op, operands, attrs)
            found.append(result if isinstance(result, tuple) else (result,))
        return found

    run.__name__ = op.name
    return run


def run(op: type[Op], samples: Sequence[Sample], **options: Any) -> list[tuple[Any, ...]]:
    """Results of all samples, as Tensors, under the given options."""
    function = px.jit(program(op, samples), **options)
    found: list[tuple[Any, ...]] = function([list(operands) for operands, _ in samples])
    return found


def evaluate(op: type[Op], samples: Sequence[Sample]) -> list[tuple[Any, ...]]:
    """The oracle: the evaluator on NumPy arrays."""
    with np.errstate(all="ignore"):
        return run(op, samples, compiler="evaluator", backend="numpy")


def ulps(op: type[Op], dtype: DType, samples_scale: float = 1.0) -> float:
    """How many rounding units results of an op may be apart."""
    if not dtype.is_inexact or op.name in _EXACT or issubclass(op, (Movement, Comparison)):
        return 0.0
    return {16: 2.0, 32: 8.0, 64: 8.0}[dtype.bits] * samples_scale


def magnitude(op: type[Op], sample: Sample, results: Sequence[Array]) -> list[Array | None]:
    """What rounding errors scale with: for sums of products, the sum of the absolute products."""
    if op.name not in ("sum", "dot_general", "window_product", "cumulative", "scatter"):
        return [None] * len(results)
    operands, attrs = sample
    positive = [np.abs(x) if x.dtype.kind not in "biu" else x for x in operands]
    with np.errstate(all="ignore"):
        return [np.abs(np.asarray(t).astype(np.float64)) for t in evaluate(op, [(positive, attrs)])[0]]


def assert_same(actual: Array, expected: Array, units: float, where: str, scale: Array | None = None) -> None:
    """Shapes, dtypes, NaNs, infinities and signs of zero agree; other values to `units` rounding units."""
    assert actual.dtype == expected.dtype, f"{where}: dtype {actual.dtype}, expected {expected.dtype}"
    assert actual.shape == expected.shape, f"{where}: shape {actual.shape}, expected {expected.shape}"
    if dtypes.dtype_of(expected.dtype).is_inexact:
        difference = _float_difference(actual, expected, units, scale)
    else:
        difference = actual != expected
    if difference.any():
        first = tuple(int(i) for i in np.argwhere(np.atleast_1d(difference))[0])
        got, wanted = np.atleast_1d(actual)[first], np.atleast_1d(expected)[first]
        raise AssertionError(f"{where}: {int(difference.sum())} of {expected.size} differ, "
                             f"first at {first}: got {got!r}, expected {wanted!r}")


def _float_difference(actual: Array, expected: Array, units: float, scale: Array | None) -> Any:
    dtype = expected.dtype
    a, e = actual.astype(np.float64), expected.astype(np.float64)
    one = float(np.finfo(dtype).eps) if dtype.kind == "f" else 2.0**-7
    smallest = float(np.finfo(dtype).smallest_normal) if dtype.kind == "f" else 2.0**-126
    largest = np.maximum(np.abs(e), scale) if scale is not None else np.abs(e)
    with np.errstate(all="ignore"):
        near = np.abs(a - e) <= units * one * np.maximum(np.where(np.isfinite(largest), largest, 0), smallest)
        zeros = (a == 0) & (e == 0)
        same = np.where(zeros, np.signbit(a) == np.signbit(e) if scale is None else True, (a == e) | near)
    return ~np.where(np.isnan(e), np.isnan(a), same & (np.isfinite(e) | (a == e)))


#: where the standard leaves the sign of a zero result open
ZERO_SIGN_OPEN = {"maximum", "minimum", "max", "min", "sign", "cumulative", "scatter", "sum", "dot_general",
                  "window_product", "prod"}


def plain_zeros(op: type[Op], array: Array) -> Array:
    """The array, with zeros positive where their sign is open."""
    if op.name not in ZERO_SIGN_OPEN or not dtypes.dtype_of(array.dtype).is_inexact:
        return array
    return np.where(array == 0, np.zeros((), array.dtype), array)


def resized(op: type[Op], sample: Sample, change: Callable[[int], int]) -> Sample:
    """A sample whose operands have other sizes: every size above 1 becomes `change(size)`."""
    operands, attrs = sample
    made: list[Array] = []
    for number, x in enumerate(operands):
        shape = tuple(change(s) if s > 1 else s for s in x.shape)
        made.append(sample_values(dtypes.dtype_of(x.dtype), shape, op.domain, number))
    return made, attrs
