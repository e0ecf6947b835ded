"""How a tensor prints: as NumPy prints the values, with the dtype behind."""

from __future__ import annotations

from typing import Any

import numpy as np

from phalanx.dialects.dtypes import DType, float32

_OPEN = "px.Tensor("


def tensor_text(array: np.ndarray[Any, Any], dtype: DType) -> str:
    """`px.Tensor([1. 2.], dtype=float32)`; rows of higher ranks are aligned, long tensors shortened.

    >>> tensor_text(np.zeros((2, 2), np.float32), float32)
    'px.Tensor([[0. 0.]\\n           [0. 0.]], dtype=float32)'
    """
    tail = f", dtype={dtype.name})"
    if array.size == 0 and array.shape != (0,):
        return f"{_OPEN}[], shape={array.shape}{tail}"
    if dtype.is_inexact and dtype.bits == 16:  # float32 holds every value; ml_dtypes does not know NumPy's options
        array = array.astype(float32.numpy) if dtype.numpy.kind == "V" else array
    return f"{_OPEN}{np.array2string(array, prefix=_OPEN, suffix=tail)}{tail}"
