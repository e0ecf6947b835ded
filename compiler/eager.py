"""One op at once, on the backend that owns its operands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from phalanx.compiler import config
from phalanx.compiler.tensor import Tensor
from phalanx.dialects.errors import DeviceError
from phalanx.dialects.opdef import Op, infer
from phalanx.runtime.backends import Backend, get_backend


def common_backend(op: type[Op], operands: Sequence[Tensor]) -> Backend:
    """The backend all operands live on; the current one when there are none.

    Raises DeviceError when they live on different ones.
    """
    backend: Backend | None = None
    for operand in operands:
        if backend is None:
            backend = operand.backend
        elif operand.backend is not backend:
            raise DeviceError(f"{op.name}: operands live on different backends, got {backend.name} and "
                              f"{operand.backend.name}", hint=f'move one: x.to("{backend.name}")')
    return backend or get_backend(config.get("backend"))


def run(op: type[Op], operands: Sequence[Tensor], attrs: dict[str, Any]) -> Any:
    """Run `op` eagerly; returns a Tensor, or a tuple for ops with several results."""
    avals = infer(op, [o.aval for o in operands], attrs)
    backend = common_backend(op, operands)
    storages = backend.run_op(op, [o.storage for o in operands], attrs, avals)
    found = tuple(Tensor(s, a, backend) for s, a in zip(storages, avals, strict=True))
    return found[0] if op.results == 1 else found
