"""The backends: `get_backend("cpu")`, and what it takes to add one."""

from __future__ import annotations

from phalanx.runtime.backends import array_api, cpu, null
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

REGISTRY.register("cpu", "aligned host buffers, each op a cached one-op compile", cpu.CpuBackend)
REGISTRY.register("null", "counts operations and bytes, runs nothing", null.NullBackend)
for _library in array_api.LIBRARIES:
    REGISTRY.register(_library.name, _library.summary, _library.open)
REGISTRY.register_prefix("array_api", array_api.open_module)

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
