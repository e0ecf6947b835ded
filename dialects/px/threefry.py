"""The Threefry-2x32 block cipher as an op: the one source of random bits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from phalanx.dialects.aval import Aval, broadcast_shapes
from phalanx.dialects.dtypes import DType, uint32
from phalanx.dialects.kinds import Elementwise, Sample
from phalanx.dialects.opdef import Operand, UInt32, op, zero_gradient

# Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3" (2011): 20 rounds in five groups.
_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA
_GROUPS = 5


def host_threefry(key0: Any, key1: Any, count0: Any, count1: Any) -> Any:
    """Both words of every block, stacked, in NumPy."""
    keys = (key0, key1, key0 ^ key1 ^ np.uint32(_PARITY))
    low, high = count0 + keys[0], count1 + keys[1]
    for group in range(_GROUPS):
        for rotation in _ROTATIONS[group % 2]:
            low = low + high
            high = ((high << np.uint32(rotation)) | (high >> np.uint32(32 - rotation))) ^ low
        low = low + keys[(group + 1) % 3]
        high = high + keys[(group + 2) % 3] + np.uint32(group + 1)
    return np.stack(np.broadcast_arrays(low, high))


@op
class threefry2x32(Elementwise):
    """Two random 32-bit words for every pair of counters under a pair of key words.

    >>> low, high = px.threefry2x32(*(px.asarray(np.uint32(v)) for v in (0, 0, 0, 0)))
    >>> hex(int(low)), hex(int(high))
    ('0x6b200159', '0x99ba4efe')

    The same words in the same order as JAX and Nx. Users call `px.random`.
    """

    results = 2
    promotes = False
    key0: Operand[UInt32]
    key1: Operand[UInt32]
    count0: Operand[UInt32]
    count1: Operand[UInt32]

    @classmethod
    def infer(cls, avals: Sequence[Aval], attrs: dict[str, Any]) -> Any:
        words = Aval(broadcast_shapes(cls.name, *[a.shape for a in avals]), uint32)
        return words, words

    @staticmethod
    def eval(xp: Any, *operands: Any) -> Any:
        with np.errstate(over="ignore"):
            words = xp.through_numpy(host_threefry, *operands)
        return words[0, ...], words[1, ...]

    @staticmethod
    def scalar(s: Any, key0: Any, key1: Any, count0: Any, count1: Any) -> tuple[Any, Any]:
        parity = s.arith("xori", s.arith("xori", key0, key1), s.like(_PARITY, key0))
        keys = (key0, key1, parity)
        low, high = s.arith("addi", count0, key0), s.arith("addi", count1, key1)
        for group in range(_GROUPS):
            for rotation in _ROTATIONS[group % 2]:
                low = s.arith("addi", low, high)
                turned = s.arith("ori", s.arith("shli", high, s.like(rotation, high)),
                                 s.arith("shrui", high, s.like(32 - rotation, high)))
                high = s.arith("xori", turned, low)
            low = s.arith("addi", low, keys[(group + 1) % 3])
            high = s.arith("addi", s.arith("addi", high, keys[(group + 2) % 3]), s.like(group + 1, high))
        return low, high

    @classmethod
    def lower(cls, b: Any, operands: Sequence[Any], results: Sequence[Aval], attrs: dict[str, Any]) -> Any:
        inputs = [(x, b.broadcast_map(x.aval, results[0])) for x in operands]
        return b.generic(inputs, list(results), lambda *values: cls.scalar(b.scalars, *values))

    vjp = zero_gradient

    @classmethod
    def samples(cls, dtype: DType) -> list[Sample]:
        if dtype is not uint32:
            return []
        found: list[Sample] = []
        for number, shape in enumerate([(), (5,), (2, 3), (0,), (2, 1, 3, 2)]):
            generator = np.random.default_rng(number)
            keys = [generator.integers(0, 2**32, (), dtype=np.uint32) for _ in range(2)]
            counts = [generator.integers(0, 2**32, shape, dtype=np.uint32) for _ in range(2)]
            found.append(([np.asarray(v, np.uint32) for v in (*keys, *counts)], {}))
        return found
