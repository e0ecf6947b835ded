"""a * b + c in f32, rounded once, on processors without an instruction for it."""

from __future__ import annotations

from phalanx.compiler.mathlib.emitter import Emitter, Value


def multiply_add(emitter: Emitter, a: Value, b: Value, c: Value) -> Value:
    """The product is exact in f64, and its sum with c nearly: only where that lies half way between two f32 does its
    own rounding error decide.
    """
    wide = emitter.as_double()
    product = wide.extend(a) * wide.extend(b)
    total, error = wide.two_sum(product, wide.extend(c))
    nearest = emitter.truncate(total)
    distance = total - wide.extend(nearest)
    beyond = wide.extend(nearest) + distance * 2.0
    other = emitter.truncate(beyond)
    half_way = wide.extend(other).equals(beyond) & (distance * error > 0.0)
    return emitter.select(half_way, other, nearest)
