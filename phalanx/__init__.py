"""Phalanx: numerical functions in Python, compiled through MLIR.

    import phalanx as px

    @px.defn
    def predict(x, w, b):
        return px.softmax(x @ w + b, axis=-1)

Public names only; nothing here has logic. Importing Phalanx does not import MLIR: the first trace does.
"""

from __future__ import annotations

import importlib as _importlib
from typing import Any as _Any

from phalanx.compiler import dispatch as _dispatch
from phalanx.compiler import eager_cpu as _eager_cpu
from phalanx.compiler import methods as _methods
from phalanx.compiler.aot.public import export
from phalanx.compiler.api import Defn, compile, defn, jit, spec
from phalanx.compiler.array_api import (
    VERSIONS as __array_api_versions__,
)
from phalanx.compiler.array_api import (
    Information as __array_namespace_info__,
)
from phalanx.compiler.array_api import (
    broadcast_shapes,
    can_cast,
    e,
    finfo,
    iinfo,
    inf,
    isdtype,
    nan,
    newaxis,
    pi,
    result_type,
)
from phalanx.compiler.asarray import asarray, from_dlpack
from phalanx.compiler.assume import assume
from phalanx.compiler.cache import no_compile
from phalanx.compiler.config import options, set_default_backend, set_default_options, use_backend
from phalanx.compiler.config import table as config
from phalanx.compiler.effects import hooks, io_call
from phalanx.compiler.effects import print_ as print
from phalanx.compiler.flow import cond, fori_loop, scan, while_loop
from phalanx.compiler.memory import backend_copy, backend_deallocate, backend_transfer, memory_stats
from phalanx.compiler.tensor import Tensor
from phalanx.compiler.trace.tree import register_dataclass
from phalanx.compiler.transforms.public import custom_vjp, grad, value_and_grad, vjp, vmap
from phalanx.dialects import px as _families
from phalanx.dialects.dtypes import (
    DType,
    bfloat16,
    float16,
    float32,
    float64,
    int8,
    int16,
    int32,
    int64,
    uint8,
    uint16,
    uint32,
    uint64,
)
from phalanx.dialects.dtypes import (
    bool_ as bool,
)
from phalanx.dialects.dtypes import dtype_of as dtype
from phalanx.dialects.errors import (
    ArgumentError,
    ArtifactError,
    CompileError,
    DeviceError,
    DTypeError,
    ImmutableError,
    OutOfRangeError,
    PhalanxError,
    ShapeError,
    TraceError,
)
from phalanx.dialects.opdef import COMPOSITES as _COMPOSITES
from phalanx.dialects.opdef import REGISTRY as _REGISTRY
from phalanx.runtime.loader import load
from phalanx.runtime.threads import get_threads, set_threads

random = _families.random

__version__ = "0.1.0"
__array_api_version__ = __array_api_versions__[-1]

# Every op and composite is public under its own name.
globals().update({name: op for name, op in _REGISTRY.items() if op.public})
globals().update({name: c.function for name, c in _COMPOSITES.items()})
_methods.attach_all()

# Tools that most programs do without, loaded when they are asked for.
_LATER = {"bench": "phalanx.compiler.bench", "testing": "phalanx.testing"}


def __getattr__(name: str) -> _Any:
    if name in _LATER:
        return _importlib.import_module(_LATER[name])
    raise AttributeError(f"module 'phalanx' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})
