"""Recorded calls: inputs made up from a signature, and what the evaluator says the results are."""

from __future__ import annotations

from typing import Any

import numpy as np

from phalanx.compiler.aot.entries import Entry
from phalanx.compiler.context import context
from phalanx.compiler.evaluator import Program
from phalanx.dialects.errors import PhalanxError
from phalanx.runtime.backends import get_backend
from phalanx.runtime.signature import Argument

Array = np.ndarray[Any, Any]
Call = tuple[list[Array], list[Array]]

#: values tried for named sizes; a function may refuse some
SIZES = (5, 1, 17, 8, 64, 3)


def sample(argument: Argument, sizes: dict[str, int], random: np.random.Generator) -> Array:
    """An array that fits an argument: normal floats, small positive integers, truth values."""
    shape, dtype = argument.bound(sizes), argument.dtype
    if dtype.is_float:
        return np.asarray(random.standard_normal(shape)).astype(dtype.numpy)
    return np.asarray(random.integers(0, 2, shape) if dtype.is_bool else random.integers(1, 5, shape)).astype(dtype.numpy)


def record(entry: Entry, count: int) -> list[Call]:
    """Up to `count` calls, each with other values of the named sizes; equal entries give equal calls."""
    found: list[Call] = []
    backend = get_backend("numpy")
    captured = [np.frombuffer(c.data, c.dtype.numpy).reshape(c.shape) for c in entry.captured]
    with context():
        program = Program(entry.module)
    for number, size in enumerate(SIZES):
        if len(found) == count or (number >= count and not entry.dims):
            break
        sizes = {name: size + 2 * i for i, name in enumerate(entry.dims)}
        random = np.random.default_rng(number)
        try:
            inputs = [sample(a, sizes, random) for a in entry.signature.inputs]
            with np.errstate(all="ignore"):
                outputs = program.run(backend, [backend.asarray(a) for a in (*inputs, *captured)], sizes)
        except (PhalanxError, ValueError, IndexError):
            continue  # the function does not take these sizes
        found.append((inputs, [backend.to_numpy(o) for o in outputs]))
    return found
