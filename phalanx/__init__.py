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
from phalanx.compiler import methods as _methods
from phalanx.compiler.api import Defn, compile, defn, jit, spec
from phalanx.compiler.asarray import asarray, from_dlpack
from phalanx.compiler.config import options, set_default_backend, set_default_options, use_backend
from phalanx.compiler.config import table as config
from phalanx.compiler.tensor import Tensor
from phalanx.compiler.trace.tree import register_dataclass
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
from phalanx.runtime.threads import get_threads, set_threads

random = _families.random

__version__ = "0.1.0"

# Every op and composite is public under its own name.
globals().update({name: op for name, op in _REGISTRY.items() if op.public})
globals().update({name: c.function for name, c in _COMPOSITES.items()})
_methods.attach_all()

# Imported when somebody asks for them: not every program does, and importing Phalanx stays quick. Public name -> module and
# the name there; none: the module itself.
_LATER: dict[str, tuple[str, str]] = {
    "bench": ("phalanx.compiler.bench", ""),
    "testing": ("phalanx.testing", ""),
    "__array_api_version__": ("phalanx.compiler.array_api", "VERSION"),
    "__array_api_versions__": ("phalanx.compiler.array_api", "VERSIONS"),
    "__array_namespace_info__": ("phalanx.compiler.array_api", "Information"),
    **{name: ("phalanx.compiler.array_api", name) for name in (
        "broadcast_shapes", "can_cast", "e", "finfo", "iinfo", "inf", "isdtype", "nan", "newaxis", "pi", "result_type")},
    "assume": ("phalanx.compiler.assume", "assume"),
    "export": ("phalanx.compiler.aot.public", "export"),
    "load": ("phalanx.runtime.loader", "load"),
    "no_compile": ("phalanx.compiler.cache", "no_compile"),
    "profile": ("phalanx.compiler.profiling", "profile"),
    "print": ("phalanx.compiler.effects", "print_"),
    **{name: ("phalanx.compiler.effects", name) for name in ("hooks", "io_call")},
    **{name: ("phalanx.compiler.flow", name) for name in ("cond", "fori_loop", "scan", "while_loop")},
    **{name: ("phalanx.compiler.memory", name) for name in (
        "backend_copy", "backend_deallocate", "backend_transfer", "memory_stats")},
    **{name: ("phalanx.compiler.transforms.public", name) for name in (
        "custom_vjp", "grad", "value_and_grad", "vjp", "vmap")},
}

__all__ = sorted(name for name in {*globals(), *_LATER} if not name.startswith("_") and name != "annotations")


def __getattr__(name: str) -> _Any:
    if name not in _LATER:
        raise AttributeError(f"module 'phalanx' has no attribute {name!r}")
    module, attribute = _LATER[name]
    found = _importlib.import_module(module)
    value = globals()[name] = getattr(found, attribute) if attribute else found
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})
