"""Trigonometric and hyperbolic functions; integers become float32 first."""

from __future__ import annotations

import math
from typing import Any

from phalanx.dialects.kinds import FloatFunction
from phalanx.dialects.opdef import Float, Operand, op
from phalanx.dialects.px.logic import select
from phalanx.dialects.px.mathematics import hypot, rsqrt, steep


@op(method=True)
class sin(FloatFunction):
    """Elementwise sine of radians.

    >>> px.sin(px.asarray([0.0, 1.0])).numpy().round(3)
    array([0.   , 0.841], dtype=float32)
    """

    x: Operand[Float]
    eval = lambda xp, x: xp.sin(x)
    scalar = lambda s, x: s.math("sin", x)
    vjp = lambda ct, out, x: (ct * cos(x),)


@op(method=True)
class cos(FloatFunction):
    """Elementwise cosine of radians.

    >>> px.cos(px.asarray([0.0, 1.0])).numpy().round(3)
    array([1.  , 0.54], dtype=float32)
    """

    x: Operand[Float]
    eval = lambda xp, x: xp.cos(x)
    scalar = lambda s, x: s.math("cos", x)
    vjp = lambda ct, out, x: (-ct * sin(x),)


@op
class tan(FloatFunction):
    """Elementwise tangent of radians.

    >>> px.tan(px.asarray([0.0, 1.0])).numpy().round(3)
    array([0.   , 1.557], dtype=float32)
    """

    x: Operand[Float]
    domain = (-1.2, 1.2)
    eval = lambda xp, x: xp.tan(x)
    scalar = lambda s, x: s.math("tan", x)
    vjp = lambda ct, out, x: (ct * (1.0 + out * out),)


@op
class asin(FloatFunction):
    """Elementwise arc sine in radians; NaN outside -1..1.

    >>> px.asin(px.asarray([0.0, 1.0])).numpy().round(3)
    array([0.   , 1.571], dtype=float32)
    """

    x: Operand[Float]
    domain = (-0.9, 0.9)
    eval = lambda xp, x: xp.asin(x)
    scalar = lambda s, x: s.math("asin", x)
    vjp = lambda ct, out, x: (steep(ct, rsqrt((1.0 - x) * (1.0 + x))),)


@op
class acos(FloatFunction):
    """Elementwise arc cosine in radians; NaN outside -1..1.

    >>> px.acos(px.asarray([1.0, 0.0])).numpy().round(3)
    array([0.   , 1.571], dtype=float32)
    """

    x: Operand[Float]
    domain = (-0.9, 0.9)
    eval = lambda xp, x: xp.acos(x)
    scalar = lambda s, x: s.math("acos", x)
    vjp = lambda ct, out, x: (steep(-ct, rsqrt((1.0 - x) * (1.0 + x))),)


@op
class atan(FloatFunction):
    """Elementwise arc tangent in radians.

    >>> px.atan(px.asarray([0.0, 1.0])).numpy().round(3)
    array([0.   , 0.785], dtype=float32)
    """

    x: Operand[Float]
    eval = lambda xp, x: xp.atan(x)
    scalar = lambda s, x: s.math("atan", x)
    vjp = lambda ct, out, x: (ct / (1.0 + x * x),)


def _angle(s: Any, y: Any, x: Any) -> Any:
    """atan2; the origin apart, since MLIR folds math.atan2 of two constant zeros to NaN."""
    zero, one = s.like(0, x), s.like(1, x)
    origin = s.arith("andi", s.cmpf("oeq", x, zero), s.cmpf("oeq", y, zero))
    half_turn = s.cmpf("olt", s.math("copysign", one, x), zero)
    angle = s.math("copysign", s.select(half_turn, s.like(math.pi, x), zero), y)
    return s.select(origin, angle, s.math("atan2", y, x))


@op
class atan2(FloatFunction):
    """The angle in radians of the point with ordinate `y` and abscissa `x`.

    >>> px.atan2(px.asarray([1.0, 1.0]), px.asarray([1.0, -1.0])).numpy().round(3)
    array([0.785, 2.356], dtype=float32)
    """

    y: Operand[Float]
    x: Operand[Float]
    domain = (0.2, 3.0)
    eval = lambda xp, y, x: xp.atan2(y, x)
    scalar = _angle

    @staticmethod
    def vjp(ct: Any, out: Any, y: Any, x: Any) -> tuple[Any, Any]:
        squared = y * y + x * x
        scaled = ct / select(squared == 0, 1.0, squared)
        return scaled * x, -scaled * y


@op
class sinh(FloatFunction):
    """Elementwise hyperbolic sine.

    >>> px.sinh(px.asarray([0.0, 1.0])).numpy().round(3)
    array([0.   , 1.175], dtype=float32)
    """

    x: Operand[Float]
    eval = lambda xp, x: xp.sinh(x)
    scalar = lambda s, x: s.math("sinh", x)
    vjp = lambda ct, out, x: (ct * cosh(x),)


@op
class cosh(FloatFunction):
    """Elementwise hyperbolic cosine.

    >>> px.cosh(px.asarray([0.0, 1.0])).numpy().round(3)
    array([1.   , 1.543], dtype=float32)
    """

    x: Operand[Float]
    eval = lambda xp, x: xp.cosh(x)
    scalar = lambda s, x: s.math("cosh", x)
    vjp = lambda ct, out, x: (ct * sinh(x),)


@op(method=True)
class tanh(FloatFunction):
    """Elementwise hyperbolic tangent.

    >>> px.tanh(px.asarray([0.0, 1.0])).numpy().round(3)
    array([0.   , 0.762], dtype=float32)
    """

    x: Operand[Float]
    eval = lambda xp, x: xp.tanh(x)
    scalar = lambda s, x: s.math("tanh", x)
    vjp = lambda ct, out, x: (ct * ((1.0 - out) * (1.0 + out)),)


@op
class asinh(FloatFunction):
    """Elementwise inverse hyperbolic sine.

    >>> px.asinh(px.asarray([0.0, 1.0])).numpy().round(3)
    array([0.   , 0.881], dtype=float32)
    """

    x: Operand[Float]
    eval = lambda xp, x: xp.asinh(x)
    scalar = lambda s, x: s.math("asinh", x)
    vjp = lambda ct, out, x: (ct / hypot(x, 1.0),)


@op
class acosh(FloatFunction):
    """Elementwise inverse hyperbolic cosine; NaN below 1.

    >>> px.acosh(px.asarray([1.0, 2.0])).numpy().round(3)
    array([0.   , 1.317], dtype=float32)
    """

    x: Operand[Float]
    domain = (1.1, 4.0)
    eval = lambda xp, x: xp.acosh(x)
    scalar = lambda s, x: s.math("acosh", x)
    vjp = lambda ct, out, x: (steep(ct, rsqrt(x - 1.0) * rsqrt(x + 1.0)),)


@op
class atanh(FloatFunction):
    """Elementwise inverse hyperbolic tangent; NaN outside -1..1.

    >>> px.atanh(px.asarray([0.0, 0.5])).numpy().round(3)
    array([0.   , 0.549], dtype=float32)
    """

    x: Operand[Float]
    domain = (-0.9, 0.9)
    eval = lambda xp, x: xp.atanh(x)
    scalar = lambda s, x: s.math("atanh", x)
    vjp = lambda ct, out, x: (steep(ct, 1.0 / ((1.0 - x) * (1.0 + x))),)
