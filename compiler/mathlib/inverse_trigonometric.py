"""asin, acos, atan, atan2 in f64 (f32 goes through f64)."""

from __future__ import annotations

from phalanx.compiler.mathlib.double import through_double
from phalanx.compiler.mathlib.emitter import Emitter, Value

# (atan t - t) / t**3 in t**2 for |t| <= tan(pi/8): 2**-64.
ATAN_64 = (
    -0.33333333333333326, 0.1999999999999769, -0.14285714285390486, 0.11111111088332043,
    -0.09090908150094361, 0.0769228288457189, -0.06666228618016674, 0.05877040033698227,
    -0.05218521887848751, 0.04504027698865108, -0.03348560390299428, 0.015206487589768159,
)  # fmt: skip
# (asin s - s) / s**3 in s**2 for |s| <= 1/2: 2**-60.
ASIN_64 = (
    0.16666666666666763, 0.07499999999970096, 0.04464285717528758, 0.030381942675225794,
    0.022372215907005173, 0.017351595486509382, 0.013981018635565697, 0.011397292660502219,
    0.010789321351144724, 0.0036721903609463046, 0.021790622431691633, -0.02111667061448454,
    0.032702124499695326,
)  # fmt: skip
_TAN_PI_8 = 0.41421356237309503
# pi/4 with 48 bits and the rest: small multiples of the first are exact.
_QUARTER_PI = (0.7853981633974456, 2.6951514290790595e-15)
_HALF_PI = (1.5707963267948966, 6.123233995736766e-17)


@through_double
def atan(emitter: Emitter, x: Value) -> Value:
    """Inverse tangent."""
    magnitude = emitter.absolute(x)
    one = emitter.constant(1.0)
    inside = magnitude <= 1.0
    angle = _octant_angle(
        emitter, emitter.select(inside, magnitude, one), emitter.select(inside, one, magnitude), ~inside, None
    )
    return emitter.copysign(emitter.select(x.is_nan(), x, angle), x)


@through_double
def atan2(emitter: Emitter, y: Value, x: Value) -> Value:
    """Angle of the point (x, y); signed zeros and infinities as C99 has them."""
    width, height = emitter.absolute(x), emitter.absolute(y)
    steep = height > width
    small, large = emitter.select(steep, width, height), emitter.select(steep, height, width)
    infinite = large.equals(float("inf"))
    both = small.equals(float("inf"))
    small = emitter.select(both, 1.0, emitter.select(infinite, 0.0, small))
    large = emitter.select(infinite, emitter.constant(1.0), large)
    # The sum of both must not overflow below.
    shrink = emitter.select(large > 2.0**1000, emitter.constant(2.0**-60), emitter.constant(1.0))
    sign_mask = emitter.format.sign_mask
    negative = (emitter.bits(x) & sign_mask).equals(sign_mask)
    angle = _octant_angle(emitter, small * shrink, large * shrink, steep, negative)
    unordered = x + y
    return emitter.copysign(emitter.select(unordered.is_nan() & ~both, unordered, angle), y)


def _octant_angle(emitter: Emitter, small: Value, large: Value, steep: Value, negative: Value | None) -> Value:
    """atan(small / large), mirrored at 45 degrees where steep and at 90 degrees where negative.

    Written as k pi/4 +- p with |p| <= pi/8, so that the mirrors cost no rounding.
    """
    middle = small > large * _TAN_PI_8
    numerator = emitter.select(middle, small - large, small)
    denominator = emitter.select(middle, small + large, large)
    ratio = emitter.select(small.equals(0.0), 0.0, numerator / denominator)
    square = ratio * ratio
    part = emitter.split_polynomial(square, ATAN_64) * square * ratio
    eighths = emitter.select(middle, emitter.constant(1.0), emitter.constant(0.0))
    eighths = emitter.select(steep, emitter.constant(2.0) - eighths, eighths)
    flipped = steep
    if negative is not None:
        eighths = emitter.select(negative, emitter.constant(4.0) - eighths, eighths)
        flipped = flipped ^ negative
    flip = emitter.select(flipped, emitter.constant(-1.0), emitter.constant(1.0))
    low = emitter.fma(eighths, _QUARTER_PI[1], part * flip)
    high, error = emitter.quick_two_sum(eighths * _QUARTER_PI[0], ratio * flip)
    zero = eighths.equals(0.0)
    return emitter.select(zero, ratio + part, high + (error + low))


@through_double
def asin(emitter: Emitter, x: Value) -> Value:
    """Inverse sine; NaN outside [-1, 1]."""
    magnitude = emitter.absolute(x)
    far, root, tail = _asin_parts(emitter, magnitude)
    near = root + tail
    mirrored = emitter.constant(_HALF_PI[0]) - (near * 2.0 - _HALF_PI[1])
    return emitter.copysign(emitter.select(far, mirrored, near), x)


@through_double
def acos(emitter: Emitter, x: Value) -> Value:
    """Inverse cosine; NaN outside [-1, 1]."""
    far, root, tail = _asin_parts(emitter, emitter.absolute(x))
    near = root + tail
    central = emitter.constant(_HALF_PI[0]) - emitter.copysign(root, x)
    central = central + (emitter.constant(_HALF_PI[1]) - emitter.copysign(tail, x))
    left = emitter.constant(2.0 * _HALF_PI[0]) - (near * 2.0 - 2.0 * _HALF_PI[1])
    outer = emitter.select(x < 0.0, left, near * 2.0)
    return emitter.select(far, outer, central)


def _asin_parts(emitter: Emitter, magnitude: Value) -> tuple[Value, Value, Value]:
    """(a > 1/2, s, tail): asin(s) = s + tail with s = a, or sqrt((1 - a) / 2) where a > 1/2."""
    far = magnitude > 0.5
    square = emitter.select(far, (emitter.constant(1.0) - magnitude) * 0.5, magnitude * magnitude)
    root = emitter.select(far, emitter.sqrt(square), magnitude)
    tail = emitter.split_polynomial(square, ASIN_64) * square * root
    # What the square root rounded off; zero where s is the argument itself.
    lost = emitter.fma(-root, root, square) if emitter.has_fma else _square_error(emitter, root, square)
    correction = lost / (root + root)
    usable = far & (root > 0.0)
    return far, root, tail + emitter.select(usable, correction, emitter.constant(0.0))


def _square_error(emitter: Emitter, root: Value, square: Value) -> Value:
    product, error = emitter.two_product(root, root)
    return (square - product) - error
