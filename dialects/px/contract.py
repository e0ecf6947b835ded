"""The general dot product, which every matrix product is made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from phalanx.dialects.aval import Aval, items, normalize_axis, shape_of
from phalanx.dialects.dims import Size
from phalanx.dialects.dtypes import DType, float32
from phalanx.dialects.errors import ArgumentError, DTypeError, ShapeError
from phalanx.dialects.kinds import Contraction, Sample, ScalarScope, emit, sample_values
from phalanx.dialects.opdef import Attr, Axes, Number, Operand, op
from phalanx.dialects.px.shape import transpose

AxisPair = tuple[Axes, Axes]


def _pair(axes: Any, ranks: tuple[int, int], what: str) -> AxisPair:
    """Two lists of axes of equal length, counted from the front."""
    sides = tuple(tuple(items(side)) for side in items(axes))
    if len(sides) != 2 or len(sides[0]) != len(sides[1]):
        raise ArgumentError(f"dot_general: {what} is (axes of lhs, axes of rhs) of equal length, got {axes!r}")
    left, right = (tuple(normalize_axis(a, rank, "dot_general") for a in side)
                   for side, rank in zip(sides, ranks, strict=True))
    return left, right


def free_axes(rank: int, contract: Axes, batch: Axes) -> list[int]:
    """The axes neither summed nor shared, in order."""
    return [a for a in range(rank) if a not in contract and a not in batch]


def accumulator(dtype: DType) -> DType:
    """The dtype sums are held in: float32 for the 16-bit floats."""
    return float32 if dtype.is_float and dtype.bits == 16 else dtype


@op
class dot_general(Contraction):
    """Sums of products over contracting axes; the result has the batch axes, then the free axes of each side.

    >>> px.dot_general(px.asarray([[1.0, 2.0]]), px.asarray([[3.0, 4.0]]), contract=((1,), (1,)))
    px.Tensor([[11.]], dtype=float32)

    `contract` and `batch` are pairs (axes of lhs, axes of rhs). float16 and bfloat16 are summed in float32
    and rounded once; integers wrap. Raises ShapeError when paired sizes differ.
    """

    lhs: Operand[Number]
    rhs: Operand[Number]
    contract: Attr[AxisPair]
    batch_axes: Attr[AxisPair]

    @classmethod
    def prepare(cls, lhs: Any, rhs: Any, /, contract: Any = ((), ()), batch: Any = ((), ())) -> Any:
        ranks = (len(shape_of(lhs)), len(shape_of(rhs)))
        return [lhs, rhs], {"contract": _pair(contract, ranks, "contract"), "batch_axes": _pair(batch, ranks, "batch")}

    @classmethod
    def infer(cls, avals: Sequence[Aval], attrs: dict[str, Any]) -> Aval:
        lhs, rhs = avals
        contract, batch = attrs["contract"], attrs["batch_axes"]
        if lhs.dtype is not rhs.dtype:
            raise DTypeError(f"dot_general: operands have different dtypes, got {lhs} and {rhs}")
        for side in (0, 1):
            used = (*contract[side], *batch[side])
            if len(set(used)) != len(used):
                raise ShapeError(f"dot_general: an axis is used twice, got contract={contract}, batch={batch}")
        for left, right in [*zip(*contract, strict=True), *zip(*batch, strict=True)]:
            if lhs.shape[left] != rhs.shape[right]:
                raise ShapeError(f"dot_general: paired sizes differ, got {lhs} axis {left} and {rhs} axis {right}")
        shape = [lhs.shape[a] for a in batch[0]]
        shape += [lhs.shape[a] for a in free_axes(lhs.ndim, contract[0], batch[0])]
        shape += [rhs.shape[a] for a in free_axes(rhs.ndim, contract[1], batch[1])]
        return lhs.with_shape(tuple(shape))

    eval = lambda xp, lhs, rhs, contract, batch_axes: xp.dot_general(lhs, rhs, contract, batch_axes)

    @classmethod
    def lower(cls, b: Any, operands: Sequence[Any], results: Sequence[Aval], attrs: dict[str, Any]) -> Any:
        lhs, rhs = operands
        result, (contract, batch) = results[0], (attrs["contract"], attrs["batch_axes"])
        free = [free_axes(x.aval.ndim, contract[i], batch[i]) for i, x in enumerate(operands)]
        shared, first, depth = len(batch[0]), len(free[0]), len(contract[0])
        loops = result.ndim + depth
        maps = []
        for side, start in ((0, shared), (1, shared + first)):
            loop_of = {a: i for i, a in enumerate(batch[side])}
            loop_of |= {a: start + i for i, a in enumerate(free[side])}
            loop_of |= {a: result.ndim + i for i, a in enumerate(contract[side])}
            maps.append([loop_of[a] for a in range(operands[side].aval.ndim)])
        wide = result.with_dtype(accumulator(result.dtype))
        s = ScalarScope(b.scalars, wide.dtype, wide.dtype, attrs)
        multiply = "mulf" if wide.dtype.is_float else "muli"
        if not depth:
            return b.generic([(lhs, maps[0]), (rhs, maps[1])], [result], lambda x, y: s.arith(multiply, x, y))[0]

        def body(x: Any, y: Any, total: Any) -> Any:
            if wide.dtype.is_float:
                return s.arith("addf", total, s.arith("mulf", x, y, fastmath="contract"), fastmath="reassoc,contract")
            return s.arith("addi", total, s.arith("muli", x, y))

        (total,) = b.generic([(lhs, maps[0]), (rhs, maps[1])], [wide], body, loops=loops,
                             reductions=range(result.ndim, loops), output_maps=[range(result.ndim)],
                             inits=[b.fill(wide, 0)], kind="contraction")
        if wide.dtype is result.dtype:
            return total
        return b.elementwise([total], result, lambda v: b.scalars.convert(v, wide.dtype, result.dtype))

    @staticmethod
    def vjp(ct: Any, out: Any, lhs: Any, rhs: Any, *, contract: AxisPair, batch_axes: AxisPair) -> Any:
        return (_cotangent(ct, lhs, rhs, contract, batch_axes, side=0),
                _cotangent(ct, rhs, lhs, contract[::-1], batch_axes[::-1], side=1))

    @classmethod
    def batch(cls, size: Size, batched: Sequence[bool], operands: Sequence[Any], attrs: dict[str, Any]) -> Any:
        contract, batch = (
            tuple(tuple(a + flag for a in side) for side, flag in zip(attrs[name], batched, strict=True))
            for name in ("contract", "batch_axes"))
        if all(batched):
            return emit(cls, operands, {"contract": contract, "batch_axes": tuple((0, *side) for side in batch)})
        found = emit(cls, operands, {"contract": contract, "batch_axes": batch})
        # The batch axis is the first free axis of its side.
        at = len(batch[0])
        if batched[1]:
            at += len(free_axes(operands[0].ndim, contract[0], batch[0]))
        order = (at, *(a for a in range(found.ndim) if a != at))
        return found if at == 0 else emit(transpose, [found], {"axes": order})

    @classmethod
    def samples(cls, dtype: DType) -> list[Sample]:
        cases: list[tuple[tuple[int, ...], tuple[int, ...], AxisPair, AxisPair]] = [
            ((), (), ((), ()), ((), ())), ((3,), (3,), ((0,), (0,)), ((), ())), ((3,), (4,), ((), ()), ((), ())),
            ((2, 3), (3, 4), ((1,), (0,)), ((), ())), ((3, 2), (4, 3), ((0,), (1,)), ((), ())),
            ((2, 3, 4), (2, 4, 5), ((2,), (1,)), ((0,), (0,))), ((2, 3, 4), (4, 3), ((1, 2), (1, 0)), ((), ())),
            ((3, 2, 4, 2), (2, 4, 3), ((2,), (1,)), ((3, 0), (0, 2))), ((0, 3), (3, 2), ((1,), (0,)), ((), ())),
            ((2, 0), (0, 3), ((1,), (0,)), ((), ())), ((2, 1, 3), (3, 1), ((2,), (0,)), ((), ()))]
        return [([sample_values(dtype, left, (-2.0, 2.0), 0), sample_values(dtype, right, (-2.0, 2.0), 1)],
                 {"contract": contract, "batch_axes": batch}) for left, right, contract, batch in cases]


def _cotangent(ct: Any, x: Any, other: Any, contract: AxisPair, batch: AxisPair, *, side: int) -> Any:
    """What flows to `x`: the cotangent contracted with the free axes of `other`, in the axis order of `x`.

    `contract` and `batch` have the axes of `x` first; `side` is 1 when `x` is the right operand.
    """
    shared = len(batch[0])
    own, others = free_axes(x.ndim, contract[0], batch[0]), free_axes(other.ndim, contract[1], batch[1])
    # In `ct`: batch axes, free axes of the left operand, free axes of the right one.
    start = shared + len(own) if side == 0 else shared
    ct_free = tuple(range(start, start + len(others)))
    # The contracted axes of `x`, in the order `other` has them.
    summed = [contract[0][i] for i in sorted(range(len(contract[1])), key=lambda i: contract[1][i])]
    first, last = (tuple(range(shared)), ct_free), (batch[1], tuple(others))
    if [*batch[0], *summed, *own] == list(range(x.ndim)):  # `x` starts with what `other` keeps: no transpose
        return emit(dot_general, [other, ct], {"contract": (last[1], first[1]), "batch_axes": (last[0], first[0])})
    product = emit(dot_general, [ct, other], {"contract": (first[1], last[1]), "batch_axes": (first[0], last[0])})
    layout = [*batch[0], *own, *summed]
    order = tuple(layout.index(a) for a in range(x.ndim))
    return product if order == tuple(range(x.ndim)) else emit(transpose, [product], {"axes": order})
