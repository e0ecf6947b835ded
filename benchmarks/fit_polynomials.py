"""Fits the polynomials of compiler/mathlib again and compares: `pip install mpmath`, then run this file.

Remez's exchange on a Chebyshev grid in 60 digits: the polynomial p that minimises max |weight * (f - p)|. The weight
turns the error of p into the relative error of the function that uses it. Exits with 1 when a coefficient differs.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import mpmath as mp
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:  # a checkout that is not installed
    sys.path.insert(0, str(ROOT))

from phalanx.compiler.mathlib import (  # noqa: E402
    error_function,
    exponential,
    hyperbolic,
    inverse_trigonometric,
    logarithm,
    power,
    trigonometric,
)

Real = Any
Function = Callable[[Real], Real]
_GRID = 801
_SMALLEST_WEIGHT = mp.mpf("1e-7")


class Fit(NamedTuple):
    """One polynomial: where it stands, what it approximates, where, and how errors count."""

    module: Any
    name: str
    function: Function
    low: Real
    high: Real
    weight: Function


def remez(fit: Fit, degree: int) -> tuple[list[Real], Real]:
    """(coefficients from the constant term upwards, largest weighted error)."""
    low, high, count = mp.mpf(fit.low), mp.mpf(fit.high), degree + 2
    grid = [(low + high) / 2 - (high - low) / 2 * mp.cos(mp.pi * i / _GRID) for i in range(_GRID + 1)]
    values = [fit.function(x) for x in grid]
    weights = [max(abs(fit.weight(x)), _SMALLEST_WEIGHT) for x in grid]
    places = [round(_GRID * i / (count - 1)) for i in range(count)]
    while True:
        matrix, right = mp.matrix(count, count), mp.matrix(count, 1)
        for row, place in enumerate(places):
            for column in range(degree + 1):
                matrix[row, column] = grid[place] ** column
            matrix[row, degree + 1] = (-1) ** row / weights[place]
            right[row] = values[place]
        solution = mp.lu_solve(matrix, right)
        coefficients, level = list(solution)[:-1], abs(solution[degree + 1])
        errors = [w * (v - mp.polyval(coefficients[::-1], x)) for x, v, w in zip(grid, values, weights, strict=True)]
        largest = max(abs(error) for error in errors)
        places = _extrema(errors, count)
        if largest - level < level / 1000:
            return coefficients, largest


def _extrema(errors: list[Real], count: int) -> list[int]:
    """The largest error of each run of one sign, `count` of them."""
    found, best = [], 0
    for place in range(1, len(errors)):
        if (errors[place] > 0) != (errors[best] > 0):
            found.append(best)
            best = place
        elif abs(errors[place]) > abs(errors[best]):
            best = place
    found.append(best)
    while len(found) > count:
        found.pop(0 if abs(errors[found[0]]) < abs(errors[found[-1]]) else -1)
    return found


def _quotient(numerator: Function, power_of_x: int, limit: Real, threshold: str) -> Function:
    return lambda x: numerator(x) / x**power_of_x if abs(x) > mp.mpf(threshold) else mp.mpf(limit)


def _odd(function: Function, limit: Real, threshold: str) -> Function:
    """(f(x) - x) / x**3 as a function of x**2."""
    return lambda z: (function(mp.sqrt(z)) - mp.sqrt(z)) / mp.sqrt(z) ** 3 if z > mp.mpf(threshold) else mp.mpf(limit)


def fits() -> list[Fit]:
    """Every polynomial of the package."""
    ln2, root2 = mp.log(2), mp.sqrt(2)
    half = ln2 / 2 * 1.01
    low, high = 1 / root2 - 1 - mp.mpf("1e-6"), root2 - 1 + mp.mpf("1e-6")
    s_high = high / (2 + high)
    ratio = (root2 - 1) / (root2 + 1) * 1.00001
    octant, eighth = mp.mpf(0.7855) ** 2, (mp.tan(mp.pi / 8) * 1.0001) ** 2
    exp_tail = _quotient(lambda r: mp.expm1(r) - r, 2, 0.5, "1e-14")
    exp2_tail = _quotient(lambda r: mp.expm1(r * ln2), 1, ln2, "1e-14")
    sine = _odd(mp.sin, -mp.mpf(1) / 6, "1e-20")
    cosine: Function = lambda z: (mp.cos(mp.sqrt(z)) - 1 + z / 2) / z**2  # noqa: E731
    cosine_tail: Function = lambda z: cosine(z) if z > 1e-14 else mp.mpf(1) / 24  # noqa: E731
    log_tail = _quotient(lambda f: mp.log1p(f) - f + f * f / 2, 3, mp.mpf(1) / 3, "1e-12")
    log2_tail = _quotient(lambda f: (mp.log1p(f) - f) / ln2, 2, -0.5 / ln2, "1e-12")
    atanh_tail = _odd(lambda s: 2 * mp.atanh(s) - s, mp.mpf(2) / 3, "1e-20")
    log2_ratio_tail = _odd(lambda s: 2 * (mp.atanh(s) - s) / ln2 + s, 2 / (3 * ln2), "1e-20")
    root2_ratio = (root2 - 1) / (root2 + 1)
    erf_ratio: Function = lambda z: mp.erf(mp.sqrt(z)) / mp.sqrt(z) if z else 2 / mp.sqrt(mp.pi)  # noqa: E731

    def log_erfc(x: Real) -> Real:
        return mp.log(mp.erfc(x)) / x + 1 if x > mp.mpf("1e-20") else 1 - 2 / mp.sqrt(mp.pi)

    def log_erfc_weight(x: Real) -> Real:
        return x * mp.erfc(x) / mp.erf(x) if x else mp.sqrt(mp.pi) / 2

    def long_tail(z: Real) -> Real:
        s = mp.sqrt(z)
        return (2 * mp.atanh(s) - 2 * s - 2 * s**3 / 3) / s**5 if z > 1e-12 else mp.mpf(2) / 5

    def scaled_erfc(t: Real) -> Real:
        x = 3.75 * (1 + t) / (1 - t)
        return mp.exp(x * x) * mp.erfc(x) * (1 + 2 * x)

    def short_scaled_erfc(d: Real) -> Real:
        x = 1 / d - 3
        return mp.exp(x * x) * mp.erfc(x) / d

    def share(power_of_x: int, of: Function) -> Function:
        return lambda x: x**power_of_x / of(x) if x else mp.mpf(0)

    def share_of_root(of: Function) -> Function:
        return lambda z: z * mp.sqrt(z) / of(mp.sqrt(z)) if z else mp.mpf(0)

    e, h = exponential, hyperbolic
    return [
        Fit(e, "EXP_32", exp_tail, -half, half, share(2, mp.exp)),
        Fit(e, "EXP_64", exp_tail, -half, half, share(2, mp.exp)),
        Fit(e, "EXPM1_32", exp_tail, -half, half, share(2, mp.expm1)),
        Fit(e, "EXPM1_64", exp_tail, -half, half, share(2, mp.expm1)),
        Fit(e, "EXP2_32", exp2_tail, -0.501, 0.501, share(1, lambda r: mp.exp(r * ln2))),
        Fit(e, "EXP2_64", exp2_tail, -0.501, 0.501, share(1, lambda r: mp.exp(r * ln2))),
        Fit(logarithm, "LOG_32", log_tail, low, high, share(3, mp.log1p)),
        Fit(logarithm, "LOG2_32", log2_tail, low, high, share(2, lambda f: mp.log1p(f) / ln2)),
        Fit(logarithm, "LOG_64", atanh_tail, 0, s_high**2 * 1.001, lambda z: z),
        Fit(power, "LOG_TAIL_64", long_tail, 0, ratio**2, lambda z: z * z / 2),
        Fit(power, "LOG2_OF_SINGLE_64", log2_ratio_tail, 0, (root2_ratio * 1.0005) ** 2, lambda z: z * ln2 / 2),
        Fit(e, "EXP2_OF_SINGLE_64", exp2_tail, -0.501, 0.501, share(1, lambda r: mp.exp(r * ln2))),
        Fit(power, "INVERSE_CBRT", lambda t: t ** (-mp.mpf(1) / 3), 0.353, 2.83, lambda t: t ** (mp.mpf(1) / 3)),
        Fit(h, "TANH_32", _odd(mp.tanh, -mp.mpf(1) / 3, "1e-12"), 0, mp.mpf(0.626) ** 2, share_of_root(mp.tanh)),
        Fit(trigonometric, "SIN_32", sine, 0, octant, share_of_root(mp.sin)),
        Fit(trigonometric, "SIN_64", sine, 0, octant, lambda z: z),
        Fit(trigonometric, "COS_32", cosine_tail, 0, octant, lambda z: z * z / mp.cos(mp.sqrt(z))),
        Fit(trigonometric, "COS_64", cosine_tail, 0, octant, lambda z: z * z),
        Fit(inverse_trigonometric, "ATAN_64", _odd(mp.atan, -mp.mpf(1) / 3, "1e-20"), 0, eighth, lambda z: z),
        Fit(inverse_trigonometric, "ASIN_64", _odd(mp.asin, mp.mpf(1) / 6, "1e-20"), 0, mp.mpf("0.2501"), lambda z: z),
        Fit(error_function, "ERF_64", erf_ratio, 0, 1, lambda _: mp.mpf(1)),
        Fit(error_function, "LOG_ERFC_32", log_erfc, 0, mp.mpf("3.93"), log_erfc_weight),
        Fit(error_function, "ERFCX_64", scaled_erfc, mp.mpf(-13) / 17, mp.mpf(97) / 127, lambda t: 1 / scaled_erfc(t)),
        Fit(
            error_function, "ERFCX_OF_SINGLE_64", short_scaled_erfc, 1 / mp.mpf("13.1"), 1 / mp.mpf(3),
            lambda d: 1 / short_scaled_erfc(d),
        ),
    ]


def main() -> int:
    mp.mp.dps = 60
    different = 0
    for fit in fits():
        stored = getattr(fit.module, fit.name)
        fitted, error = remez(fit, len(stored) - 1)
        if fit.name.startswith("ERF_"):
            fitted[0] -= 1
        kind = np.float32 if fit.name.endswith("_32") else np.float64
        distance = max(abs(float(kind(float(a))) - float(kind(b))) for a, b in zip(fitted, stored, strict=True))
        different += distance > 0
        sys.stdout.write(f"{fit.name}: error 2**{float(mp.log(error, 2)):.1f}, largest difference {distance:.2g}\n")
    return 1 if different else 0


if __name__ == "__main__":
    raise SystemExit(main())
