"""References of higher precision for the functions of compiler/mathlib.

f32 is compared with NumPy and SciPy in f64. f64 is compared with NumPy's long double, which has 64 bits of
mantissa on x86 (elsewhere it may be no better than f64); erf and erfc, which NumPy lacks, use `decimal`.
"""

from __future__ import annotations

import decimal
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
from scipy import special

Array = np.ndarray[Any, Any]
Reference = Callable[..., Array]

_PLAIN: dict[str, Reference] = {
    "exp": np.exp, "exp2": np.exp2, "expm1": np.expm1, "log": np.log, "log2": np.log2, "log10": np.log10,
    "log1p": np.log1p, "tanh": np.tanh, "sinh": np.sinh, "cosh": np.cosh, "asinh": np.arcsinh,
    "acosh": np.arccosh, "atanh": np.arctanh, "sin": np.sin, "cos": np.cos, "tan": np.tan, "asin": np.arcsin,
    "acos": np.arccos, "atan": np.arctan, "atan2": np.arctan2, "powf": np.power, "cbrt": np.cbrt,
    "rsqrt": lambda x: 1 / np.sqrt(x),
}  # fmt: skip
FUNCTIONS = (*_PLAIN, "erf", "erfc")
# Too slow for more than some thousand numbers in f64.
SLOW_IN_DOUBLE = ("erf", "erfc")


def reference(function: str, element: str, *operands: Array) -> Array:
    """The function's value in a wider type: f64 for f32, long double for f64."""
    if function in _PLAIN:
        wide = np.float64 if element == "f32" else np.longdouble
        with np.errstate(all="ignore"):
            return _PLAIN[function](*(operand.astype(wide) for operand in operands))
    if element == "f32":
        return np.asarray(getattr(special, function)(operands[0].astype(np.float64)))
    exact = _erf if function == "erf" else _erfc
    limits = (-1.0, 1.0) if function == "erf" else (2.0, 0.0)
    return np.array([_long(exact, float(x), limits) for x in operands[0]], np.longdouble)


def ulps(got: Array, exact: Array) -> Array:
    """Error in units of the last place of the rounded exact value; inf where one is NaN or inf and the other not."""
    with np.errstate(all="ignore"):
        rounded = exact.astype(got.dtype)
        spacing = np.where(np.isfinite(rounded), np.spacing(np.abs(rounded)), 1).astype(exact.dtype)
        error = np.abs(got.astype(exact.dtype) - exact) / spacing
    same = (got == rounded) | (np.isnan(got) & np.isnan(rounded))
    error = np.where(same & ~np.isfinite(got), 0, error)
    return np.where(np.isnan(error), np.inf, error).astype(np.float64)


def _long(exact: Callable[[Decimal], Decimal], x: float, limits: tuple[float, float]) -> Any:
    if np.isnan(x):
        return np.longdouble(x)
    if np.isinf(x):
        return np.longdouble(limits[0] if x < 0 else limits[1])
    if x == 0:
        return np.longdouble(x) if limits[1] == 1.0 else np.longdouble(1)
    with decimal.localcontext(decimal.Context(prec=60, Emin=-99999, Emax=99999)):
        value = exact(Decimal(x))
        high = float(value)
        return np.longdouble(high) + np.longdouble(float(value - Decimal(high)))


def _erf(x: Decimal) -> Decimal:
    if abs(x) > 3:
        return (1 - _erfc(abs(x))).copy_sign(x)
    square = x * x
    term = total = x
    n = 0
    while abs(term) > abs(total) * Decimal("1e-40"):
        n += 1
        term = -term * square / n
        total += term / (2 * n + 1)
    return total * 2 / _SQRT_PI


def _erfc(x: Decimal) -> Decimal:
    if x < 3:
        return 1 - _erf(x)
    # Continued fraction: sqrt(pi) e**(x**2) erfc(x) = 1 / (x + (1/2) / (x + 1 / (x + (3/2) / (x + ...)))).
    bounded = min(x, Decimal(40))
    tail = bounded
    for n in range(300, 0, -1):
        tail = bounded + Decimal(n) / 2 / tail
    return (-bounded * bounded).exp() / (tail * _SQRT_PI)


_SQRT_PI = Decimal("3.141592653589793238462643383279502884197169399375105820974944592").sqrt(
    decimal.Context(prec=60)
)
