"""Where tensors in containers live, and how much memory there is in use: Nx's backend functions, memory_stats."""

from __future__ import annotations

from typing import Any

from phalanx.compiler import config
from phalanx.compiler.tensor import Tensor
from phalanx.compiler.trace import tree
from phalanx.runtime.allocator import HOST
from phalanx.runtime.backends import get_backend
from phalanx.runtime.device import CPU, MemoryStatistics


def backend_copy(container: Any, backend: str | None = None) -> Any:
    """The container with every tensor copied to `backend` (the one in force when None).

    >>> px.backend_copy({"w": px.asarray([1.0])}, "numpy")["w"].backend
    <backend numpy>
    """
    name = config.get("backend") if backend is None else backend

    def copied(leaf: Any) -> Any:
        if not isinstance(leaf, Tensor):
            return leaf
        moved = leaf.to(name)
        return leaf.copy() if moved is leaf else moved

    return tree.map_leaves(copied, container)


def backend_transfer(container: Any, backend: str | None = None) -> Any:
    """The container with every tensor moved to `backend`; those that were elsewhere are deallocated there.

    >>> px.backend_transfer(px.asarray([1.0]), "numpy").backend
    <backend numpy>
    """
    name = config.get("backend") if backend is None else backend
    return tree.map_leaves(lambda leaf: leaf.transfer(name) if isinstance(leaf, Tensor) else leaf, container)


def backend_deallocate(container: Any) -> None:
    """Free the memory of every tensor in the container; none of them can be used afterwards.

    >>> px.backend_deallocate((px.asarray([1.0]), px.asarray([2.0])))
    """
    for leaf in tree.flatten(container, "backend_deallocate")[0]:
        if isinstance(leaf, Tensor):
            leaf.deallocate()


def memory_stats() -> dict[str, MemoryStatistics]:
    """Live, peak and pooled bytes and the number of allocations, by device.

    >>> before = px.memory_stats()["cpu:0"].allocations
    >>> x = px.asarray([1.0, 2.0])
    >>> px.memory_stats()["cpu:0"].allocations > before
    True

    Our own host memory is counted, and what the backend in force counts; array libraries do not say.
    """
    found = {str(CPU): HOST.statistics()}
    backend = get_backend(config.get("backend"))
    place = str(backend.devices[0])
    if place not in found:
        counted = backend.statistics()
        found[place] = MemoryStatistics(counted.live_bytes, counted.peak_bytes, 0, counted.allocations)
    return found
