"""The kinds of ops: what every member of a family shares (inference, lowering, batching, sample inputs)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

from phalanx.dialects import dtypes
from phalanx.dialects.aval import Aval, broadcast_shapes, normalize_axes, normalize_axis, shape_of
from phalanx.dialects.dims import Size
from phalanx.dialects.dtypes import DType
from phalanx.dialects.errors import DTypeError, ShapeError
from phalanx.dialects.opdef import Attr, Axes, Op, lookup
from phalanx.dialects.requirements import at_least
from phalanx.dialects.static_arguments import flag

Sample = tuple[list[np.ndarray[Any, Any]], dict[str, Any]]


def arith_by_kind(*, f: str | None = None, i: str | None = None, u: str | None = None,
                  b: str | None = None) -> Callable[..., Any]:
    """A `scalar` facet that is one arith (or, with a dot, any) op chosen by the kind of the operands.

    `u` defaults to `i`, and `b` (bool) to `u`.
    """
    names = {"f": f, "i": i, "u": u or i, "b": b or u or i}

    def scalar(s: Any, *operands: Any) -> Any:
        name = names[s.dtype.kind]
        if name is None:
            raise DTypeError(f"lowering: no scalar form for {s.dtype.name}")
        full = name if "." in name else f"arith.{name}"
        return s.op(full, operands, operands[0].type)

    return scalar


def sample_values(dtype: DType, shape: tuple[int, ...], domain: tuple[float, float], seed: int) -> np.ndarray[Any, Any]:
    """Reproducible values of `dtype` inside `domain`, edges of small integers included."""
    generator = np.random.default_rng([seed, *shape, dtype.bits])
    low, high = domain
    if dtype.is_bool:
        return generator.integers(0, 2, shape).astype(np.bool_)
    if dtype.is_integer:
        floor = 0 if dtype.kind == "u" else int(np.ceil(low))
        return generator.integers(max(floor, int(np.ceil(low))), int(high) + 1, shape).astype(dtype.numpy)
    return generator.uniform(low, high, shape).astype(np.float64).astype(dtype.numpy)


class ScalarScope:
    """The `s` a scalar facet gets: every method of builders.Scalars, the operand dtype and the result dtype."""

    def __init__(self, scalars: Any, dtype: DType, result: DType, attrs: dict[str, Any]) -> None:
        self._scalars = scalars
        self.dtype = dtype
        self.result = result
        self.attrs = attrs

    def __getattr__(self, name: str) -> Any:
        return getattr(self._scalars, name)


class Elementwise(Op):
    """Same result for every element on its own; operands broadcast and meet in one dtype.

    Ops give `scalar(s, *values)`, the code of one element, with values in compute types.
    """

    promotes: ClassVar[bool | tuple[str, ...]] = True
    broadcasts = True
    scalar: ClassVar[Any] = None
    required: ClassVar[dict[str, str]] = {"scalar": "code of one element"}

    @classmethod
    def result_dtype(cls, operand: DType, attrs: dict[str, Any]) -> DType:
        return operand

    @classmethod
    def infer(cls, avals: Sequence[Aval], attrs: dict[str, Any]) -> Aval:
        first = avals[0].dtype
        if cls.promotes is True and any(a.dtype is not first for a in avals):
            listed = " and ".join(str(a) for a in avals)
            raise DTypeError(f"{cls.name}: operands have different dtypes, got {listed}")
        return Aval(broadcast_shapes(cls.name, *[a.shape for a in avals]), cls.result_dtype(first, attrs))

    @classmethod
    def lower(cls, b: Any, operands: Sequence[Any], results: Sequence[Aval], attrs: dict[str, Any]) -> Any:
        scope = ScalarScope(b.scalars, operands[-1].aval.dtype, results[0].dtype, attrs)
        return b.elementwise(operands, results[0], lambda *values: cls.scalar(scope, *values))

    @classmethod
    def batch(cls, size: Size, batched: Sequence[bool], operands: Sequence[Any], attrs: dict[str, Any]) -> Any:
        rank = max(x.ndim - flag for x, flag in zip(operands, batched, strict=True))
        aligned = [_pad_rank(x, rank) if flag else x for x, flag in zip(operands, batched, strict=True)]
        return cls(*aligned, **attrs)

    @classmethod
    def samples(cls, dtype: DType) -> list[Sample]:
        count = len(cls.operands)
        shapes: list[list[tuple[int, ...]]] = [
            [()] * count, [(5,)] * count, [(3, 4)] * count, [(2, 3, 5)] * count, [(2, 1, 3, 2)] * count,
            [(0,)] * count, [(3, 0, 2)] * count,
        ]
        if count > 1:
            shapes += [[(3, 4), *[(4,)] * (count - 1)], [(3, 1), *[(1, 4)] * (count - 1)], [(), *[(2, 3)] * (count - 1)]]
        found: list[Sample] = []
        for row in shapes:
            values = [sample_values(dtype if dtype in f.types.dtypes else f.types.dtypes[0], s, cls.domain, n)
                      for n, (s, f) in enumerate(zip(row, cls.operands, strict=True))]
            found.append((values, {}))
        return found


def _pad_rank(x: Any, rank: int) -> Any:
    """A batched operand with size-1 axes after the batch axis, so that its inner rank is `rank`."""
    missing = rank - (x.ndim - 1)
    if missing <= 0:
        return x
    return lookup("reshape")(x, shape=(x.shape[0], *([1] * missing), *x.shape[1:]))


class Comparison(Elementwise):
    """Elementwise with a bool result."""

    @classmethod
    def result_dtype(cls, operand: DType, attrs: dict[str, Any]) -> DType:
        return dtypes.bool_


class FloatFunction(Elementwise):
    """Elementwise mathematics: integers become the default float first."""

    floats = True


class Reduction(Op):
    """Combines elements over `axes`; `keepdims` leaves axes of size 1.

    Ops give `init(dtype)`, the identity, and `combine(s, acc, x)`, both in compute types.
    """

    axes: Attr[Axes]
    keepdims: Attr[bool] = False
    init: ClassVar[Any] = None
    combine: ClassVar[Any] = None
    #: whether an empty reduction has a value
    empty_ok: ClassVar[bool] = True
    required: ClassVar[dict[str, str]] = {"init": "identity element of a dtype", "combine": "one reduction step"}

    @classmethod
    def prepare(cls, x: Any, /, axis: Any = None, *, keepdims: bool = False) -> tuple[list[Any], dict[str, Any]]:
        axes = normalize_axes(axis, len(shape_of(x)), cls.name)
        return [x], {"axes": axes, "keepdims": flag(keepdims, cls.name, "keepdims")}

    @classmethod
    def result_dtype(cls, operand: DType, attrs: dict[str, Any]) -> DType:
        return operand

    @classmethod
    def result_shape(cls, aval: Aval, attrs: dict[str, Any]) -> tuple[Size, ...]:
        axes = normalize_axes(attrs["axes"], aval.ndim, cls.name)
        if attrs["keepdims"]:
            return tuple(1 if i in axes else s for i, s in enumerate(aval.shape))
        return tuple(s for i, s in enumerate(aval.shape) if i not in axes)

    @classmethod
    def infer(cls, avals: Sequence[Aval], attrs: dict[str, Any]) -> Aval:
        (aval,) = avals
        shape = cls.result_shape(aval, attrs)
        empty = f"{cls.name}: no value for an empty reduction, got {aval} over axes {attrs['axes']}"
        if not cls.empty_ok and not all(at_least(aval.shape[a], 1, empty) for a in attrs["axes"]):
            raise ShapeError(empty)
        return Aval(shape, cls.result_dtype(aval.dtype, attrs))

    @classmethod
    def lower(cls, b: Any, operands: Sequence[Any], results: Sequence[Aval], attrs: dict[str, Any]) -> Any:
        (source,) = operands
        axes = set(attrs["axes"])
        kept = [i for i in range(source.aval.ndim) if i not in axes]
        # The running value is held wide for 16-bit floats, and rounded once at the end; bools as they are stored, so that
        # the reduction is one plain operation.
        result = Aval(tuple(source.aval.shape[i] for i in kept), results[0].dtype)
        wide = result.with_dtype(_wide(result.dtype))
        scope = ScalarScope(b.scalars, wide.dtype, wide.dtype, attrs)
        init = b.fill(wide, cls.init(wide.dtype))

        def body(value: Any, running: Any) -> Any:
            value = b.scalars.convert(value, source.aval.dtype, result.dtype if result.dtype.is_bool else wide.dtype)
            if result.dtype.is_bool:
                value = b.scalars.convert(value, result.dtype, wide.dtype)
            return cls.combine(scope, running, value)

        (reduced,) = b.generic([(source, range(source.aval.ndim))], [wide], body, loops=source.aval.ndim,
                               reductions=sorted(axes), output_maps=[kept], inits=[init])
        if result.dtype.is_bool:
            reduced = b.wrap(reduced.value, result)
        elif wide.dtype is not result.dtype:
            reduced = b.elementwise([reduced], result, lambda v: b.scalars.convert(v, wide.dtype, result.dtype))
        return b.reshape(reduced, results[0]) if attrs["keepdims"] else reduced

    @classmethod
    def batch(cls, size: Size, batched: Sequence[bool], operands: Sequence[Any], attrs: dict[str, Any]) -> Any:
        moved = {**attrs, "axes": tuple(a + 1 for a in attrs["axes"])}
        return emit(cls, operands, moved)

    @classmethod
    def samples(cls, dtype: DType) -> list[Sample]:
        cases: list[tuple[tuple[int, ...], Axes, bool]] = [
            ((), (), False), ((5,), (0,), False), ((3, 4), (0,), False), ((3, 4), (1,), True),
            ((3, 4), (0, 1), False), ((2, 3, 5), (0, 2), True), ((2, 3, 2, 2), (1, 3), False), ((0, 3), (1,), False),
        ]
        if cls.empty_ok:
            cases += [((0,), (0,), False), ((3, 0), (1,), True)]
        return [([sample_values(dtype, shape, cls.domain, n)], {"axes": axes, "keepdims": keep})
                for n, (shape, axes, keep) in enumerate(cases)]


def _wide(dtype: DType) -> DType:
    if dtype.is_bool:
        return dtypes.uint8
    return dtypes.float32 if dtype.is_float and dtype.bits == 16 else dtype


class Movement(Op):
    """Moves elements without computing: reshape, transpose, slice, concatenate, ..."""

    @classmethod
    def data_samples(cls, dtype: DType, *shapes: tuple[int, ...]) -> list[np.ndarray[Any, Any]]:
        return [sample_values(dtype, s, (-3.0, 3.0), n) for n, s in enumerate(shapes)]


class Contraction(Op):
    """Sums of products over contracting axes."""

    promotes = True


class WindowContraction(Contraction):
    """A contraction over windows of an operand, whose sizes decide how it is computed."""


class Indexing(Op):
    """Reads or writes positions that are data: gather, scatter."""

    @staticmethod
    def axis(value: int, ndim: int, who: str) -> int:
        return normalize_axis(value, ndim, who)


class Creation(Op):
    """Makes a tensor from attributes alone, or from scalars."""

    @classmethod
    def batch(cls, size: Size, batched: Sequence[bool], operands: Sequence[Any], attrs: dict[str, Any]) -> Any:
        raise ShapeError(f"{cls.name}: has no operand to batch")  # vmap replays it unbatched


Emitter = Callable[[type[Op], Sequence[Any], dict[str, Any]], Any]
_emitter: list[Emitter] = []


def install_emitter(emitter: Emitter) -> None:
    """Say how rules build an op from operands and attributes already in normal form; installed by the compiler."""
    _emitter[:] = [emitter]


def emit(cls: type[Op], operands: Sequence[Any], attrs: dict[str, Any]) -> Any:
    """Build an op past its public signature (`prepare`): operands and attributes are in normal form."""
    return _emitter[0](cls, operands, attrs)
