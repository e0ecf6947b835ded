"""erf, and later erfc and their inverse."""

from __future__ import annotations

from phalanx.compiler.mathlib.emitter import Emitter, Value
from phalanx.compiler.mathlib.exponential import exp_normal

# erf(x) / x - 1 in x**2 for |x| < 1: 2**-30.
ERF_32 = (0.12837917, -0.37612626, 0.112835854, -0.026853813, 0.0051883277, -0.00080101937, 7.853862e-05)
# log(erfc(x)) on [0.95, 4], weighted so that erf has relative error 2**-29.
LOG_ERFC_32 = (-0.0002447306, -1.1274749, -0.63751715, -0.103640206, 0.022087581, -0.0030085212, 0.00019242431)


def erf(emitter: Emitter, x: Value) -> Value:
    """The error function."""
    magnitude = emitter.absolute(x)
    square = magnitude * magnitude
    small = emitter.fma(emitter.polynomial(square, ERF_32), magnitude, magnitude)
    # erfc(4) is below half an ulp of 1.
    bounded = emitter.clamp_above(magnitude, 4.0)
    large = emitter.constant(1.0) - exp_normal(emitter, emitter.polynomial(bounded, LOG_ERFC_32))
    return emitter.copysign(emitter.select(magnitude < 1.0, small, large), x)
