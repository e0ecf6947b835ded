"""erf and erfc.

f32 erf: 1 - e**Q(x), where Q is log(erfc(x)) = x P(x) - x. f64: x + x P(x**2) below 1, and beyond
e**(-x**2) (1 + 2x) erfcx(x) / (1 + 2x), Shepherd and Laframboise's form, with x**2 in double-double.
f32 erfc: the product in f64, where x**2 is exact, with a polynomial in 1 / (x + 3) that serves near zero too.
"""

from __future__ import annotations

from phalanx.compiler.mathlib.emitter import Emitter, Value
from phalanx.compiler.mathlib.exponential import LOG2_E, exp2_of_single, exp_scaled, expm1_of_sum

# erf(x) / x - 1 in x**2 for |x| < 1: 2**-63.
ERF_64 = (
    0.1283791670955126, -0.3761263890318375, 0.11283791670954885, -0.026866170645077868,
    0.005223977624828385, -0.0008548326981423378, 0.0001205533113289177, -1.4925595770954924e-05,
    1.6461008462559485e-06, -1.6350396102718901e-07, 1.466032816182554e-08, -1.1374954416916059e-09,
    5.960684385170342e-11,
)  # fmt: skip
# log(erfc(x)) / x + 1 on [0, 3.93], weighted so that erf has relative error 2**-27.9.
LOG_ERFC_32 = (
    -0.12837917, -0.6366194, -0.10277783, 0.019153064, 0.00016039495, -0.0016670255,
    0.0006328354, -0.00011764075, 9.256196e-06,
)  # fmt: skip
# (1 + 2x) e**(x**2) erfc(x) in (x - 3.75) / (x + 3.75) on [0.5, 28]: 2**-56.
ERFCX_64 = (
    1.2375126308378275, -0.1402405985855468, 0.0035854154854671307, 0.0822767384901225,
    -0.10880393014192977, 0.09230432116129138, -0.05869339858491676, 0.028362277402367016,
    -0.009746579621147385, 0.0017556260165284617, 0.00029371415809732233, -0.0002901550434837465,
    5.164669966629009e-05, 2.238777710478833e-05, -1.143661590523616e-05, -9.817702670651124e-07,
    1.7363582699671703e-06, -4.545184693840173e-08, -2.3916982793236003e-07, 1.3595600547671969e-08,
    2.4179884542335643e-08,
)  # fmt: skip
# (x + 3) e**(x**2) erfc(x) in 1 / (x + 3) on [0, 10.1]: 2**-34.8.
ERFCX_OF_SINGLE_64 = (
    0.5642020309165867, 1.6915559198475425, 4.832557758426258, 11.895953841649227,
    42.25443124510787, -44.76805402160385, 905.6680597021069, -3674.0131553462465,
    13126.140232983305, -28998.89829584879, 32420.482830626057, -14492.92299883641,
)  # fmt: skip
# The tail of erfc is computed times 2**64, so that its exponential is no denormal before the end.
_TAIL_SHIFT = 64


def erf(emitter: Emitter, x: Value) -> Value:
    """The error function."""
    magnitude = emitter.absolute(x)
    if emitter.is_double:
        small = _erf_near_zero(emitter, magnitude)
        large = emitter.constant(1.0) - _erfc_tail(emitter, magnitude) * 2.0**-_TAIL_SHIFT
        return emitter.copysign(emitter.select(magnitude < 1.0, small, large), x)
    # erfc(3.93) is below half an ulp of 1.
    bounded = emitter.clamp_above(magnitude, 3.93)
    bent = emitter.polynomial(bounded, LOG_ERFC_32) * bounded
    return emitter.copysign(expm1_of_sum(emitter, -bounded, bent), x)


def erfc(emitter: Emitter, x: Value) -> Value:
    """1 - erf(x), with full relative accuracy in the tail."""
    if not emitter.is_double:
        return _erfc_of_single(emitter, x)
    magnitude = emitter.absolute(x)
    centre = emitter.constant(1.0) - emitter.copysign(_erf_near_zero(emitter, magnitude), x)
    tail = _erfc_tail(emitter, magnitude) * 2.0**-_TAIL_SHIFT
    outer = emitter.select(x < 0.0, emitter.constant(2.0) - tail, tail)
    central = (x < 0.5) & (x > -1.0)
    return emitter.select(central, centre, outer)


def _erfc_of_single(emitter: Emitter, x: Value) -> Value:
    """erfc of f32, computed in f64 and rounded once; erfc(10.1) is below half the smallest float."""
    double = emitter.as_double()
    magnitude = double.extend(emitter.clamp_above(emitter.absolute(x), 10.1))
    inverse = double.constant(1.0) / (magnitude + 3.0)
    decay = exp2_of_single(double, magnitude * magnitude * -LOG2_E)
    tail = decay * inverse * double.polynomial(inverse, ERFCX_OF_SINGLE_64)
    return emitter.truncate(double.select(x < 0.0, double.constant(2.0) - tail, tail))


def _erf_near_zero(emitter: Emitter, magnitude: Value) -> Value:
    square = magnitude * magnitude
    return emitter.fma(emitter.split_polynomial(square, ERF_64), magnitude, magnitude)


def _erfc_tail(emitter: Emitter, magnitude: Value) -> Value:
    """erfc(x) * 2**64 for x >= 1/2; erfc(28) is below the smallest float."""
    x = emitter.clamp_above(magnitude, 28.0)
    square, error = emitter.two_product(x, x)
    decay = exp_scaled(emitter, -square, _TAIL_SHIFT)
    decay = emitter.fma(-error, decay, decay)
    t = (x - 3.75) / (x + 3.75)
    return decay * emitter.split_polynomial(t, ERFCX_64) / emitter.fma(x, 2.0, 1.0)
