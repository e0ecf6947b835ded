"""The machine code behind the native entry: one CPython METH_FASTCALL | METH_KEYWORDS function for all signatures.

Written as LLVM IR, compiled by the LLVM in this process and kept in the disk cache; objects of the interpreter
are external symbols, so that the code itself is the same in every process.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import platform
import sys
from typing import Any

import numpy as np

from phalanx.compiler import cache
from phalanx.compiler.entry import layout
from phalanx.compiler.entry.source import SYMBOL, text
from phalanx.compiler.entry.table import Table
from phalanx.compiler.producer import producer
from phalanx.compiler.tensor import Tensor
from phalanx.dialects.errors import ArtifactError
from phalanx.runtime.allocator import Memory
from phalanx.runtime.buffer import Buffer

_PASSES = ("function(sroa,early-cse<memssa>,simplifycfg,instcombine<no-verify-fixpoint>),cgscc(inline),"
           "function(sroa,gvn,simplifycfg)")
_FASTCALL_WITH_KEYWORDS = 0x80 | 0x2

# Types and constants the code compares with.
_OBJECTS: dict[str, Any] = {
    "px_tensor_type": Tensor,
    "px_buffer_type": Buffer,
    "px_memory_type": Memory,
    "px_array_type": np.ndarray,
    "px_float_type": float,
    "px_int_type": int,
    "px_tuple_type": tuple,
    "px_list_type": list,
    "px_dict_type": dict,
    "px_none": None,
    "px_empty_text": "",
    "px_true": True,
    "px_false": False,
    "px_not_implemented": NotImplemented,
}


class _MethodDefinition(ctypes.Structure):
    """PyMethodDef."""

    _fields_ = [("name", ctypes.c_char_p), ("function", ctypes.c_void_p), ("flags", ctypes.c_int), ("doc", ctypes.c_char_p)]


class Maker:
    """Makes callables of tables; there is one per process, since the code serves all of them."""

    def __init__(self, code: Any) -> None:
        self._code = code
        self._definition = _MethodDefinition(
            b"entry", code.address(SYMBOL), _FASTCALL_WITH_KEYWORDS, b"A compiled function behind one C call.")
        new = ctypes.pythonapi.PyCFunction_NewEx
        self._new = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p)(
            ctypes.cast(new, ctypes.c_void_p).value or 0)

    def __call__(self, table: Table) -> Any:
        """A built-in function whose `self` is the table.

        The table keeps the code: two threads that make the first entries of a process at once have a maker each.
        """
        table.keep(self)
        return self._new(ctypes.addressof(self._definition), table, None)


@functools.cache
def maker() -> Maker | None:
    """How to make native entries here; None where the interpreter is not one we know."""
    found = layout.slots()
    if found is None:
        return None
    from phalanx.runtime import jit  # opens LLVM

    written = text(found, _OBJECTS)
    try:
        code = jit.load(_object(written), {name: id(value) for name, value in _OBJECTS.items()})
        return Maker(code)
    except ArtifactError:  # an interpreter without one of the functions
        return None


def _object(written: str) -> bytes:
    """The code as an object, from the disk cache when it is there."""
    stored = cache.disk()
    parts = {"native entry": hashlib.sha256(written.encode()).hexdigest(), "passes": _PASSES, "producer": producer(),
             "machine": f"{sys.platform} {platform.machine()}"}
    entry = stored.get(cache.key_of(parts)) if stored is not None else None
    if entry is not None:
        return entry.data
    from phalanx.compiler.targets import llvm_c

    triple = llvm_c.host_cpu()[2]
    with (llvm_c.TargetMachine(triple, "", level=1) as machine,  # any machine of the kind: the folder may be shared
          llvm_c.parse(written, "entry") as module):
        module.set_target(machine)
        module.verify()
        module.run_passes(_PASSES, machine)
        data = module.emit_object(machine)
    if stored is not None:
        stored.put(cache.Entry("native entry", parts, data))
    return data
