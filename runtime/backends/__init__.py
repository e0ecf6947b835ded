"""The backends: `get_backend("cpu")`, and what it takes to add one."""

from __future__ import annotations

import functools
import importlib

from phalanx.runtime.backends import cpu
from phalanx.runtime.backends.base import (
    REGISTRY,
    Availability,
    Backend,
    Operation,
    ResultType,
    Statistics,
    Storage,
    Unavailable,
    get_backend,
)


def _nowhere() -> Backend:
    from phalanx.runtime.backends.null import NullBackend  # when it is asked for

    return NullBackend()


REGISTRY.register("cpu", "aligned host buffers, each op a cached one-op compile", cpu.CpuBackend)
REGISTRY.register("null", "counts operations and bytes, runs nothing", _nowhere)


def _over_a_library(name: str) -> Backend:
    backend: Backend = importlib.import_module("phalanx.runtime.backends.array_api").open_module(name)  # when it is asked for
    return backend


for _name, _summary in {
    "numpy": "NumPy arrays, each op its definition: the oracle",
    "torch": "torch CPU tensors, each op its definition",
    "cupy": "CuPy arrays on CUDA device 0",
    "array_api_strict": "the standard and nothing else",
}.items():
    REGISTRY.register(_name, _summary, functools.partial(_over_a_library, _name))
REGISTRY.register_prefix("array_api", _over_a_library)

backend_names = REGISTRY.names
backend_availability = REGISTRY.availability

__all__ = [
    "REGISTRY",
    "Availability",
    "Backend",
    "Operation",
    "ResultType",
    "Statistics",
    "Storage",
    "Unavailable",
    "backend_availability",
    "backend_names",
    "get_backend",
]
