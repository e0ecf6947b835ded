"""Arrays survive the way into the IR and back, bit for bit, in every dtype."""

from __future__ import annotations

import numpy as np
import pytest

from phalanx.compiler.context import context
from phalanx.dialects import dtypes
from phalanx.dialects.attributes import decode, encode


def arrays(dtype):
    if dtype.is_bool:
        return [np.array([True, False]), np.array(True), np.array([True] * 9 + [False]), np.zeros((0,), bool)]
    if dtype.is_float:
        special = np.array([0.0, -0.0, np.nan, np.inf, -1.5]).astype(dtype.numpy)
        return [special, *special.reshape(-1, 1), special[:1].reshape(()), np.zeros((0, 3)).astype(dtype.numpy)]
    ends = np.iinfo(dtype.numpy)
    return [np.array([ends.max, ends.min, 1], dtype.numpy), np.array(ends.max, dtype.numpy),
            np.full((2, 3), ends.min, dtype.numpy), np.zeros((2, 0), dtype.numpy)]


@pytest.mark.parametrize("dtype", dtypes.ALL, ids=str)
def test_arrays(dtype):
    with context():
        for array in arrays(dtype):
            back = decode(encode(array))
            assert (back.dtype, back.shape) == (array.dtype, array.shape)
            assert back.tobytes() == array.tobytes()
