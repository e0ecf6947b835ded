"""Special functions for any array namespace.

erf and erfc follow FDLIBM (s_erf.c, Sun Microsystems, 1993): rational approximations on five intervals,
within 1 and 3 ulp in float64. erfinv in float32 is M. Giles' polynomial ("Approximating the erfinv
function", 2010), in float64 that value refined by Halley's method. Everything is computed in float64 except
where said.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from phalanx.dialects.dtypes import float32, float64

Array = Any

_ERX = 8.45062911510467529297e-01
_EFX = 1.28379167095512586316e-01
_PP = (1.28379167095512558561e-01, -3.25042107247001499370e-01, -2.84817495755985104766e-02,
       -5.77027029648944159157e-03, -2.37630166566501626084e-05)  # fmt: skip
_QQ = (1.0, 3.97917223959155352819e-01, 6.50222499887672944485e-02, 5.08130628187576562776e-03,
       1.32494738004321644526e-04, -3.96022827877536812320e-06)  # fmt: skip
_PA = (-2.36211856075265944077e-03, 4.14856118683748331666e-01, -3.72207876035701323847e-01,
       3.18346619901161753674e-01, -1.10894694282396677476e-01, 3.54783043256182359371e-02,
       -2.16637559486879084300e-03)  # fmt: skip
_QA = (1.0, 1.06420880400844228286e-01, 5.40397917702171048937e-01, 7.18286544141962662868e-02,
       1.26171219808761642112e-01, 1.36370839120290507362e-02, 1.19844998467991074170e-02)  # fmt: skip
_RA = (-9.86494403484714822705e-03, -6.93858572707181764372e-01, -1.05586262253232909814e+01,
       -6.23753324503260060396e+01, -1.62396669462573470355e+02, -1.84605092906711035994e+02,
       -8.12874355063065934246e+01, -9.81432934416914548592e+00)  # fmt: skip
_SA = (1.0, 1.96512716674392571292e+01, 1.37657754143519042600e+02, 4.34565877475229228821e+02,
       6.45387271733267880336e+02, 4.29008140027567833386e+02, 1.08635005541779435134e+02,
       6.57024977031928170135e+00, -6.04244152148580987438e-02)  # fmt: skip
_RB = (-9.86494292470009928597e-03, -7.99283237680523006574e-01, -1.77579549177547519889e+01,
       -1.60636384855821916062e+02, -6.37566443368389627722e+02, -1.02509513161107724954e+03,
       -4.83519191608651397019e+02)  # fmt: skip
_SB = (1.0, 3.03380607434824582924e+01, 3.25792512996573918826e+02, 1.53672958608443695994e+03,
       3.19985821950859553908e+03, 2.55305040643316442583e+03, 4.74528541206955367215e+02,
       -2.24409524465858183362e+01)  # fmt: skip

# Giles' coefficients, highest power first: for w < 5 in w - 2.5, else in sqrt(w) - 3.
_GILES_NEAR = (2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087, -0.00125372503,
               -0.00417768164, 0.246640727, 1.50140941)  # fmt: skip
_GILES_FAR = (-0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773, -0.0076224613,
              0.00943887047, 1.00167406, 2.83297682)  # fmt: skip


def _rising(x: Array, coefficients: Sequence[float]) -> Array:
    """Polynomial whose coefficients are in rising order of powers."""
    value = x * 0.0 + coefficients[-1]
    for coefficient in reversed(coefficients[:-1]):
        value = value * x + coefficient
    return value


def _wide(xp: Any, x: Array) -> Array:
    return xp.astype(x, float64, copy=False)


def _like(xp: Any, value: Array, x: Array) -> Array:
    return xp.astype(value, xp.dtype_of(x), copy=False)


def _middle(xp: Any, size: Array) -> Array:
    """erf(|x|) - erx for 0.84375 <= |x| < 1.25."""
    s = xp.clip(size, 0.84375, 1.25) - 1.0
    return _rising(s, _PA) / _rising(s, _QA)


def _tail(xp: Any, size: Array) -> Array:
    """erfc(|x|) for 1.25 <= |x| < 28."""
    a = xp.clip(size, 1.25, 28.0)
    s = 1.0 / (a * a)
    near = a < 1.0 / 0.35
    ratio = xp.where(near, _rising(s, _RA) / _rising(s, _SA), _rising(s, _RB) / _rising(s, _SB))
    # exp(-a*a) in two factors: z is `a` with the low half of its bits cleared, so z*z is exact.
    z = xp.astype(xp.astype(a, float32), float64)
    return xp.exp(-z * z - 0.5625) * xp.exp((z - a) * (z + a) + ratio) / a


def _small_ratio(xp: Any, x: Array, size: Array) -> Array:
    z = xp.where(size < 0.84375, x * x, xp.zeros_like(x))
    return _rising(z, _PP) / _rising(z, _QQ)


def erf(xp: Any, x: Array) -> Array:
    """Error function."""
    wide = _wide(xp, x)
    size = xp.abs(wide)
    small = xp.where(size < 2.0**-28, wide + _EFX * wide, wide + wide * _small_ratio(xp, wide, size))
    large = xp.where(size < 1.25, _ERX + _middle(xp, size), 1.0 - _tail(xp, size))
    large = xp.where(size >= 6.0, xp.ones_like(size), large)
    value = xp.where(size < 0.84375, small, xp.where(wide < 0, -large, large))
    return _like(xp, xp.where(xp.isnan(wide), wide, value), x)


def erfc(xp: Any, x: Array) -> Array:
    """1 - erf(x) without cancellation."""
    wide = _wide(xp, x)
    size = xp.abs(wide)
    ratio = _small_ratio(xp, wide, size)
    small = xp.where(wide < 0.25, 1.0 - (wide + wide * ratio), 0.5 - (wide - 0.5 + wide * ratio))
    middle = _middle(xp, size)
    tail = xp.where(size >= 28.0, xp.zeros_like(size), _tail(xp, size))
    positive = xp.where(size < 1.25, (1.0 - _ERX) - middle, tail)
    negative = xp.where(size < 1.25, 1.0 + (_ERX + middle), 2.0 - tail)
    value = xp.where(size < 0.84375, small, xp.where(wide < 0, negative, positive))
    return _like(xp, xp.where(xp.isnan(wide), wide, value), x)


def _giles(xp: Any, x: Array, w: Array) -> Array:
    near = w < 5.0
    t = xp.where(near, w - 2.5, xp.sqrt(w) - 3.0)
    value = xp.where(near, xp.zeros_like(t) + _GILES_NEAR[0], xp.zeros_like(t) + _GILES_FAR[0])
    for a, b in zip(_GILES_NEAR[1:], _GILES_FAR[1:], strict=True):
        value = value * t + xp.where(near, xp.zeros_like(t) + a, xp.zeros_like(t) + b)
    return value * x


def erfinv(xp: Any, x: Array) -> Array:
    """Inverse error function; float32 by Giles' polynomial, float64 refined to rounding error."""
    if xp.dtype_of(x) is float64:
        wide = x
        value, inside = _erfinv_refined(xp, x)
    else:
        wide = xp.astype(x, float32, copy=False)
        inside = xp.abs(wide) < 1.0
        safe = xp.where(inside, wide, xp.zeros_like(wide))
        value = _giles(xp, safe, -xp.log1p(-safe * safe))
    value = xp.where(wide == 0.0, wide, value)  # keeps -0.0
    edge = xp.where(wide < 0, xp.zeros_like(wide) - math.inf, xp.zeros_like(wide) + math.inf)
    outside = xp.where(xp.abs(wide) == 1.0, edge, xp.zeros_like(wide) + math.nan)
    return _like(xp, xp.where(inside, value, outside), x)


def _erfinv_refined(xp: Any, x: Array) -> tuple[Array, Array]:
    inside = xp.abs(x) < 1.0
    safe = xp.where(inside, x, xp.zeros_like(x))
    rest = 1.0 - xp.abs(safe)
    w = -xp.log(rest * (1.0 + xp.abs(safe)))
    # Beyond the polynomial's range: erfc(y) = exp(-y*y) / (y * sqrt(pi)), solved by iteration.
    far = w > 16.0
    target = xp.where(far, -xp.log(rest * math.sqrt(math.pi)), xp.ones_like(w) + 8.0)
    tail = xp.sqrt(target)
    for _ in range(3):
        tail = xp.sqrt(target - xp.log(tail))
    value = xp.where(far, xp.where(x < 0, -tail, tail), _giles(xp, safe, w))
    for _ in range(3):
        value = _halley(xp, safe, value)
    return value, inside


def _halley(xp: Any, x: Array, y: Array) -> Array:
    size = xp.abs(x)
    half = xp.abs(y)
    # Near 1 the error is taken between complements, where it does not cancel.
    error = xp.where(size < 0.5, erf(xp, half) - size, (1.0 - size) - erfc(xp, half))
    step = error / (2.0 / math.sqrt(math.pi) * xp.exp(-half * half))
    better = half - step / (1.0 + half * step)
    return xp.where(x < 0, -better, better)


def cbrt(xp: Any, x: Array) -> Array:
    """Real cube root, one Newton step from the power function."""
    wide = _wide(xp, x)
    size = xp.abs(wide)
    usable = (size > 0) & xp.isfinite(size)
    safe = xp.where(usable, size, xp.ones_like(size))
    root = safe ** (1.0 / 3.0)
    root = root - (root - safe / (root * root)) / 3.0
    value = xp.where(wide < 0, -root, root)
    return _like(xp, xp.where(usable, value, wide), x)


def logistic(xp: Any, x: Array) -> Array:
    """1 / (1 + exp(-x)); the exponential is only taken of numbers below 0."""
    decay = xp.exp(-xp.abs(x))
    return _like(xp, xp.where(x < 0, decay, xp.ones_like(decay)) / (1 + decay), x)


def _unsigned(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return x.view(np.dtype(f"u{x.dtype.itemsize}"))


def population_count(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Number of one bits of NumPy integers."""
    return np.bitwise_count(_unsigned(x)).astype(x.dtype)


def count_leading_zeros(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Number of zero bits above the highest one of NumPy integers."""
    bits = _unsigned(x).copy()
    for shift in (1, 2, 4, 8, 16, 32):
        if shift < x.dtype.itemsize * 8:
            bits |= bits >> bits.dtype.type(shift)
    zeros = x.dtype.itemsize * 8 - np.bitwise_count(bits).astype(np.int64)
    return zeros.astype(x.dtype)
