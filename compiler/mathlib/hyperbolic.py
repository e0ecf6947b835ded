"""tanh."""

from __future__ import annotations

from phalanx.compiler.mathlib.emitter import Emitter, Value
from phalanx.compiler.mathlib.exponential import exp_normal, expm1

# (tanh x - x) / x**3 in x**2 for |x| < 0.625: 2**-28.
TANH_32 = (-0.3333328, 0.1333142, -0.053737797, 0.020632545, -0.0056973817)


def tanh(emitter: Emitter, x: Value) -> Value:
    """Hyperbolic tangent; the sign is copied, so -0.0 stays."""
    magnitude = emitter.absolute(x)
    if emitter.is_double:
        # FDLIBM: with t = e**(-2|x|) - 1 nothing cancels.
        t = expm1(emitter, magnitude * -2.0)
        return emitter.copysign(-t / (t + 2.0), x)
    square = magnitude * magnitude
    small = emitter.fma(emitter.polynomial(square, TANH_32) * square, magnitude, magnitude)
    grown = exp_normal(emitter, emitter.clamp_above(magnitude, 10.0) * 2.0)
    large = emitter.constant(1.0) - emitter.constant(2.0) / (grown + 1.0)
    return emitter.copysign(emitter.select(magnitude < 0.625, small, large), x)
