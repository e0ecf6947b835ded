"""One op at once, on the backend that owns its operands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from phalanx.compiler import config
from phalanx.compiler.recent import Recent
from phalanx.compiler.tensor import Tensor
from phalanx.dialects.aval import Aval
from phalanx.dialects.dtypes import DType
from phalanx.dialects.errors import DeviceError
from phalanx.dialects.opdef import Op, infer
from phalanx.runtime.backends import Backend, get_backend
from phalanx.runtime.backends.cpu import EagerRunner, install_eager

# Inference takes as long as a small op itself; what it found for these operands it finds again.
_inferred: Recent[tuple[Aval, ...]] = Recent(8192)
_numbers: Recent[Tensor] = Recent(1024)


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
    avals = _results_of(op, [o.aval for o in operands], attrs)
    backend = common_backend(op, operands)
    storages = backend.run_op(op, [o.storage for o in operands], attrs, avals)
    if op.results == 1:
        return Tensor(storages[0], avals[0], backend)
    return tuple(Tensor(s, a, backend) for s, a in zip(storages, avals, strict=True))


def _results_of(op: type[Op], avals: Sequence[Aval], attrs: dict[str, Any]) -> tuple[Aval, ...]:
    key = (op, *attrs.items(), *[(a.dtype.short, a.shape) for a in avals])
    try:
        known = _inferred.get(key)
    except TypeError:  # an attribute that is an array
        return infer(op, avals, attrs)
    return known if known is not None else _inferred.put(key, infer(op, avals, attrs))


def number(value: Any, dtype: DType, backend: Backend) -> Tensor:
    """The rank-0 tensor of a Python number, kept for the next op that meets the same one."""
    # repr tells 0.0 from -0.0 and one NaN is as good as another; True is not 1.
    key = (value.__class__, repr(value), dtype.short, backend.name)
    known = _numbers.get(key)
    if known is not None and not known.is_deleted:
        return known
    with np.errstate(over="ignore"):
        return _numbers.put(key, Tensor.from_numpy(np.asarray(value).astype(dtype.numpy), backend))


def _native() -> EagerRunner:
    from phalanx.compiler import eager_cpu  # at the first op

    return eager_cpu.run


install_eager(_native)
