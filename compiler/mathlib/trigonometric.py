"""sin, cos, tan, right for every argument of the format.

f32 reduces in f64: x / (2 pi) modulo 1 is summed from products of x with 29-bit pieces of 1 / (2 pi).
A product of 24 and 29 bits is exact in f64, so is its fractional part, and the pieces reach far enough
for the largest float: a Payne-Hanek reduction without table or branch.
"""

from __future__ import annotations

import math

from phalanx.compiler.mathlib.emitter import Emitter, Value

_INVERSE_TWO_PI_PIECES = (
    0.15915494272485375,
    3.6704158115630214e-10,
    5.690025167992954e-19,
    1.4703036846932608e-27,
    2.5867171752090537e-36,
    9.458140877728297e-46,
    9.301187196294348e-54,
)
# Beyond these pieces a product of a finite f32 stays below 1/2, so nothing is left to drop.
_PIECES_WITH_WHOLE_TURNS = 5

# (sin r - r) / r**3 and (cos r - 1 + r**2 / 2) / r**4 in r**2 on [-pi/4, pi/4]: 2**-28 and 2**-33.
SIN_32 = (-0.16666655, 0.00833216, -0.00019515198)
COS_32 = (0.041666646, -0.0013887315, 2.443306e-05)


def sin(emitter: Emitter, x: Value) -> Value:
    """Sine; NaN at the infinities, -0.0 stays."""
    quadrant, r = _reduce_32(emitter, x)
    result = _quadrant_value(emitter, r, quadrant)
    return emitter.select(emitter.absolute(x) < 2.0**-13, x, result)


def cos(emitter: Emitter, x: Value) -> Value:
    """Cosine; NaN at the infinities."""
    quadrant, r = _reduce_32(emitter, x)
    return _quadrant_value(emitter, r, quadrant + 1)


def _reduce_32(emitter: Emitter, x: Value) -> tuple[Value, Value]:
    """x = k pi/2 + r: (k modulo 2**22 or so, r in f32)."""
    double = emitter.as_double()
    turns, quadrant = _turns(double, double.extend(x))
    r = emitter.truncate(turns * (2.0 * math.pi))
    return emitter.narrow_integer(quadrant), r


def _turns(double: Emitter, x: Value) -> tuple[Value, Value]:
    """For an f32 number held in f64: (x / (2 pi) minus quarter turns, the number of quarter turns)."""
    parts = []
    for position, piece in enumerate(_INVERSE_TWO_PI_PIECES):
        product = x * piece
        if position < _PIECES_WITH_WHOLE_TURNS:
            product = product - double.round_even(product)
        parts.append(product)
    estimate = parts[0]
    for part in parts[1:_PIECES_WITH_WHOLE_TURNS]:
        estimate = estimate + part
    quarters, quadrant = double.round_to_integer(estimate * 4.0)
    # From the largest part down: where the first parts cancel, their difference is exact.
    rest = double.fma(quarters, -0.25, parts[0])
    for part in parts[1:]:
        rest = rest + part
    return rest, quadrant


def _quadrant_value(emitter: Emitter, r: Value, quadrant: Value) -> Value:
    """sin(r + quadrant pi/2)."""
    sine, cosine = _sin_cos_reduced(emitter, r)
    odd = (quadrant & 1).equals(1)
    sign = (quadrant & 2) << (emitter.format.bits - 2)
    return emitter.from_bits(emitter.bits(emitter.select(odd, cosine, sine)) ^ sign)


def _sin_cos_reduced(emitter: Emitter, r: Value) -> tuple[Value, Value]:
    square = r * r
    sine = emitter.fma(emitter.polynomial(square, SIN_32) * square, r, r)
    tail = emitter.polynomial(square, COS_32) * (square * square)
    cosine = emitter.fma(square, -0.5, 1.0) + tail
    return sine, cosine
