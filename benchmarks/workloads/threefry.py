"""Four million uniform float32 numbers from Threefry-2x32: integer arithmetic only, the same numbers for everyone.

jax: with the counters of `jax_threefry_partitionable=False`, which give these numbers and cost it half of the other.
torch: left out, its generators draw other numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.harness.workload import Case, Work

SEED = 7
_PARITY, _ONE = np.uint32(0x1BD11BDA), np.uint32(0x3F800000)
_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))

# Two words take 20 rounds of an addition, a rotation (three operations) and an exclusive or, and 5 key additions.
CASES = [Case("4M", {"n": 1 << 22}, Work(flops=(1 << 22) * (20 * 5 + 20) / 2, bytes=4 << 22))]
TINY = [Case("7", {"n": 7})]
RTOL, ATOL = 0.0, 0.0


def inputs(case: Case, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """The key of a seed."""
    return {"key": np.array([0, SEED], np.uint32)}


def numpy(case: Case, a: dict[str, np.ndarray]) -> Callable[[], Any]:
    """The rounds on whole arrays."""
    first, second = a["key"]
    keys, n = (first, second, first ^ second ^ _PARITY), case["n"]
    half = -(-n // 2)

    def run() -> Any:
        counters = np.arange(2 * half, dtype=np.uint32)
        counters[n:] = 0
        x, y = counters[:half] + keys[0], counters[half:] + keys[1]
        for group in range(5):
            for distance in _ROTATIONS[group % 2]:
                x += y
                y = (y << np.uint32(distance)) | (y >> np.uint32(32 - distance))
                y ^= x
            x += keys[(group + 1) % 3]
            y += keys[(group + 2) % 3] + np.uint32(group + 1)
        words = np.concatenate([x, y])[:n]
        return ((words >> np.uint32(9)) | _ONE).view(np.float32) - np.float32(1)

    return run


def phalanx(case: Case, a: dict[str, np.ndarray]) -> Callable[[], Any]:
    """`px.random.uniform`."""
    import phalanx as px

    n = case["n"]
    compiled = px.jit(lambda key: px.random.uniform(key, (n,)))
    key = px.asarray(a["key"])
    return lambda: compiled(key)


def jax(case: Case, a: dict[str, np.ndarray]) -> Callable[[], Any]:
    """`jax.random.uniform`."""
    import jax
    import jax.numpy as jnp

    n = case["n"]
    jax.config.update("jax_threefry_partitionable", False)
    compiled = jax.jit(lambda key: jax.random.uniform(jax.random.wrap_key_data(key), (n,)))
    key = jnp.asarray(a["key"])
    return lambda: jax.block_until_ready(compiled(key))


def numba(case: Case, a: dict[str, np.ndarray]) -> Callable[[], Any]:
    """A pair of words per turn, the rounds spelled out; 23 bits times 2**-23 is what bit tricks give."""
    from numba import njit, prange

    n = case["n"]
    half = -(-n // 2)
    parity, step = _PARITY, np.float32(2.0**-23)

    @njit
    def mix(x, y, distance):  # type: ignore[no-untyped-def]
        x = np.uint32(x + y)
        y = np.uint32(np.uint32(y << np.uint32(distance)) | np.uint32(y >> np.uint32(32 - distance)))
        return x, np.uint32(y ^ x)

    @njit
    def even(x, y):  # type: ignore[no-untyped-def]
        x, y = mix(x, y, 13)
        x, y = mix(x, y, 15)
        x, y = mix(x, y, 26)
        return mix(x, y, 6)

    @njit
    def odd(x, y):  # type: ignore[no-untyped-def]
        x, y = mix(x, y, 17)
        x, y = mix(x, y, 29)
        x, y = mix(x, y, 16)
        return mix(x, y, 24)

    @njit(parallel=True)
    def run(key):  # type: ignore[no-untyped-def]
        first, second = key[0], key[1]
        third = np.uint32(first ^ second ^ parity)
        numbers = np.empty(2 * half, np.float32)
        for i in prange(half):
            other = i + half
            x = np.uint32(np.uint32(i) + first)
            y = np.uint32((np.uint32(other) if other < n else np.uint32(0)) + second)
            x, y = even(x, y)
            x, y = np.uint32(x + second), np.uint32(y + third + np.uint32(1))
            x, y = odd(x, y)
            x, y = np.uint32(x + third), np.uint32(y + first + np.uint32(2))
            x, y = even(x, y)
            x, y = np.uint32(x + first), np.uint32(y + second + np.uint32(3))
            x, y = odd(x, y)
            x, y = np.uint32(x + second), np.uint32(y + third + np.uint32(4))
            x, y = even(x, y)
            numbers[i] = np.float32(np.uint32(x + third) >> np.uint32(9)) * step
            numbers[other] = np.float32(np.uint32(y + first + np.uint32(5)) >> np.uint32(9)) * step
        return numbers[:n]

    key = a["key"]
    return lambda: run(key)
