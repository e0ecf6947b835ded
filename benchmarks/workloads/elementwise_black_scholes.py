"""Prices of European calls and puts after Black and Scholes: log, sqrt, exp and erf, three inputs and two results.

NumPy takes erf from SciPy.
"""

from __future__ import annotations

from typing import Any

from numpy.random import Generator

from benchmarks.harness.workload import TRANSCENDENTAL, Arrays, Call, Case, Sizes, Work


def _work(sizes: Sizes) -> Work:
    return Work(flops=(22 + 4 * TRANSCENDENTAL) * sizes["n"], bytes=20 * sizes["n"])


CASES = [Case(name, {"n": n}, _work) for name, n in (("4K", 1 << 12), ("1M", 1 << 20), ("16M", 1 << 24))]
TINY = [Case("ragged", {"n": 37}, _work)]
RTOL, ATOL = 1e-4, 2e-4

_RATE, _VOLATILITY, _ROOT_HALF = 0.02, 0.3, 0.7071067811865476


def inputs(case: Case, rng: Generator) -> Arrays:
    n = case["n"]
    return {"spot": rng.uniform(5, 30, n).astype("float32"), "strike": rng.uniform(1, 100, n).astype("float32"),
            "years": rng.uniform(0.25, 10, n).astype("float32")}


def _prices(log: Any, sqrt: Any, exp: Any, erf: Any, spot: Any, strike: Any, years: Any) -> tuple[Any, Any]:
    """The formula, for libraries whose functions take whole arrays."""
    deviation = _VOLATILITY * sqrt(years)
    first = (log(spot / strike) + (_RATE + 0.5 * _VOLATILITY**2) * years) / deviation
    second = first - deviation
    discounted = strike * exp(-_RATE * years)
    below_first, below_second = 0.5 + 0.5 * erf(first * _ROOT_HALF), 0.5 + 0.5 * erf(second * _ROOT_HALF)
    call = spot * below_first - discounted * below_second
    return call, call - spot + discounted


def numpy(case: Case, a: Arrays) -> Call:
    import numpy as np
    from scipy.special import erf

    spot, strike, years = a["spot"], a["strike"], a["years"]
    return lambda: _prices(np.log, np.sqrt, np.exp, erf, spot, strike, years)


def phalanx(case: Case, a: Arrays) -> Call:
    import phalanx as px

    function = px.jit(lambda *arrays: _prices(px.log, px.sqrt, px.exp, px.erf, *arrays))
    spot, strike, years = (px.asarray(a[name]) for name in ("spot", "strike", "years"))
    return lambda: function(spot, strike, years)


def jax(case: Case, a: Arrays) -> Call:
    import jax
    import jax.numpy as jnp

    function = jax.jit(lambda *arrays: _prices(jnp.log, jnp.sqrt, jnp.exp, jax.scipy.special.erf, *arrays))
    spot, strike, years = (jax.device_put(a[name]) for name in ("spot", "strike", "years"))
    return lambda: jax.block_until_ready(function(spot, strike, years))


def torch(case: Case, a: Arrays) -> Call:
    import torch

    function = torch.compile(lambda *arrays: _prices(torch.log, torch.sqrt, torch.exp, torch.erf, *arrays))
    spot, strike, years = (torch.from_numpy(a[name]) for name in ("spot", "strike", "years"))
    return lambda: function(spot, strike, years)


def numba(case: Case, a: Arrays) -> Call:
    import math

    import numpy as np
    from numba import njit, prange

    rate, volatility, half, root_half = (np.float32(v) for v in (_RATE, _VOLATILITY, 0.5, _ROOT_HALF))
    drift = np.float32(_RATE + 0.5 * _VOLATILITY**2)

    @njit(parallel=True)
    def function(spot: Any, strike: Any, years: Any) -> Any:
        calls, puts = np.empty_like(spot), np.empty_like(spot)
        for i in prange(spot.size):
            deviation = volatility * math.sqrt(years[i])
            first = (math.log(spot[i] / strike[i]) + drift * years[i]) / deviation
            second = first - deviation
            discounted = strike[i] * math.exp(-rate * years[i])
            below_first = half + half * math.erf(first * root_half)
            below_second = half + half * math.erf(second * root_half)
            calls[i] = spot[i] * below_first - discounted * below_second
            puts[i] = calls[i] - spot[i] + discounted
        return calls, puts

    spot, strike, years = a["spot"], a["strike"], a["years"]
    return lambda: function(spot, strike, years)
