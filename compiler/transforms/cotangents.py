"""Cotangents by SSA value: adding them up, zeros where none flowed, and the sums that undo broadcasting."""

from __future__ import annotations

from mlir import ir

from phalanx.compiler.trace.tracer import Tracer
from phalanx.compiler.trace.tracing import Trace
from phalanx.dialects.aval import Aval
from phalanx.dialects.dims import Size
from phalanx.dialects.opdef import lookup

Cotangents = dict[ir.Value, Tracer]


def zeros(trace: Trace, aval: Aval) -> Tracer:
    """The zero cotangent of an aval."""
    made: Tracer = lookup("full")(aval.shape, 0, dtype=aval.dtype)
    return made


def cotangent_of(trace: Trace, cotangents: Cotangents, value: ir.Value) -> Tracer:
    """The cotangent of a value, zero when nothing flowed to it."""
    known = cotangents.get(value)
    return zeros(trace, trace.avals[value]) if known is None else known


def accumulate(cotangents: Cotangents, value: ir.Value, more: Tracer) -> None:
    """Add to the cotangent of a value."""
    known = cotangents.get(value)
    cotangents[value] = more if known is None else known + more


def unbroadcast(cotangent: Tracer, aval: Aval) -> Tracer:
    """Sum a cotangent over the axes along which the operand was broadcast."""
    if cotangent.shape == aval.shape:
        return cotangent
    extra = cotangent.ndim - aval.ndim
    axes = [*range(extra), *[extra + i for i, s in enumerate(aval.shape)
                             if _is_one(s) and not _is_one(cotangent.shape[extra + i])]]
    summed = lookup("sum")(cotangent, axis=tuple(axes), dtype=cotangent.dtype) if axes else cotangent
    return summed if summed.shape == aval.shape else lookup("reshape")(summed, aval.shape)


def _is_one(size: Size) -> bool:
    return isinstance(size, int) and size == 1
