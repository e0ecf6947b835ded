"""Indexing maps and iteration spaces of linalg ops, as plain data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mlir import ir

from phalanx.compiler.schedules.cluster import Expr, Source, refuse
from phalanx.compiler.schedules.text import Index
from phalanx.dialects.errors import CompileError


def affine_map(attribute: Any) -> tuple[Expr, ...]:
    """The results of an affine map attribute."""
    return tuple(_linear(expression) for expression in ir.AffineMapAttr(attribute).value.results)


def _linear(expression: Any) -> Expr:
    terms: dict[int, int] = {}
    constant = _accumulate(expression, 1, terms)
    return Expr(tuple((dim, factor) for dim, factor in sorted(terms.items()) if factor), constant)


def _accumulate(expression: Any, factor: int, terms: dict[int, int]) -> int:
    if isinstance(expression, ir.AffineConstantExpr):
        return factor * int(ir.AffineConstantExpr(expression).value)
    if isinstance(expression, ir.AffineDimExpr):
        position = ir.AffineDimExpr(expression).position
        terms[position] = terms.get(position, 0) + factor
        return 0
    if isinstance(expression, ir.AffineAddExpr):
        both = ir.AffineAddExpr(expression)
        return _accumulate(both.lhs, factor, terms) + _accumulate(both.rhs, factor, terms)
    if isinstance(expression, ir.AffineMulExpr):
        both = ir.AffineMulExpr(expression)
        left, right = both.lhs, both.rhs
        if isinstance(left, ir.AffineConstantExpr):
            left, right = right, left
        if isinstance(right, ir.AffineConstantExpr):
            return _accumulate(left, factor * int(ir.AffineConstantExpr(right).value), terms)
    raise CompileError(f"schedule: indexing map expression {expression} is not linear")


def kept_dims(sizes: Sequence[Index], shape: Sequence[int]) -> list[int]:
    """Which dims a rank-reducing slice keeps: unit dims are dropped from the left until the shapes agree."""
    kept: list[int] = []
    position = 0
    for dim, size in enumerate(sizes):
        left = len(sizes) - dim
        if position < len(shape) and (size != 1 or shape[position] == 1 or left == len(shape) - position):
            kept.append(dim)
            position += 1
    return kept


def domain_sizes(op: Any, rank: int, sources: list[Source], maps: list[tuple[Expr, ...]]) -> list[Index]:
    """Size of every dim of an iteration space, a static one where any operand tells it."""
    sizes: list[Index | None] = [None] * rank
    for source, map_ in zip(sources, maps, strict=True):
        for size, expr in zip(source.sizes, map_, strict=True):
            dim = expr.dim
            if dim is not None and (sizes[dim] is None or isinstance(size, int)):
                sizes[dim] = size
    if any(size is None for size in sizes):
        raise refuse(op, "an iteration dim whose size no operand tells")
    return [size for size in sizes if size is not None]


def along(sizes: Sequence[Index], expr: Expr) -> Index:
    return sizes[expr.dim] if expr.dim is not None else 1
