"""The few functions of MLIR's C API that the Python bindings lack, through ctypes.

The bindings run diagnostic handlers without taking the GIL, which ends the process when the code that reports
runs without it, as everything called through ctypes does; `capture_diagnostics` is the safe form.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from phalanx.dialects.errors import CompileError
from phalanx.runtime.libllvm import SHARED_SUFFIX, Handle, Text, library


class _StringRef(ctypes.Structure):
    """MlirStringRef: not terminated by a zero byte."""

    _fields_ = [("data", Handle), ("length", ctypes.c_size_t)]


_SUCCESS = 1
_StringSink = ctypes.CFUNCTYPE(None, _StringRef, Handle)
# MlirDiagnostic and MlirLogicalResult are structs of one pointer and of one int8, passed as these are.
_DiagnosticHandler = ctypes.CFUNCTYPE(ctypes.c_int8, Handle, Handle)


@functools.cache
def _mlir_library() -> ctypes.PyDLL:
    library()  # first, so that the bindings' library finds this libLLVM already loaded
    spec = importlib.util.find_spec("mlir._mlir_libs")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / f"libMLIRPythonCAPI{SHARED_SUFFIX}"
        if path.exists():
            # PyDLL keeps the GIL: the MLIR context is shared, and other threads may be tracing into it.
            return ctypes.PyDLL(str(path))
    raise CompileError(
        "the MLIR bindings are not installed, so nothing can be compiled",
        hint="pip install xtc-mlir-python-bindings",
    )


def _function(name: str, result: Any, *arguments: Any) -> Any:
    pointer = getattr(_mlir_library(), name)
    pointer.restype, pointer.argtypes = result, list(arguments)
    return pointer


def pointer_of(binding: Any) -> int:
    """The C pointer behind an operation or context of the bindings: a struct of one pointer, in a capsule."""
    capsule = binding._CAPIPtr
    name = ctypes.pythonapi.PyCapsule_GetName
    name.restype, name.argtypes = Text, [ctypes.py_object]
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = Handle, [ctypes.py_object, Text]
    return int(pointer(capsule, name(capsule)))


def _printed(name: str, *arguments: Any) -> str:
    """What a `mlirXPrint(x, callback, data)` function writes."""
    parts: list[bytes] = []

    def collect(text: Any, _data: int | None) -> None:
        parts.append(ctypes.string_at(text.data, text.length) if text.length else b"")

    _function(name, None, Handle, _StringSink, Handle)(*arguments, _StringSink(collect), None)
    return b"".join(parts).decode(errors="replace")


@contextlib.contextmanager
def capture_diagnostics(context: Any) -> Iterator[list[str]]:
    """Collect what MLIR reports in the block as "message at location"; nothing is printed."""
    messages: list[str] = []

    def handle(diagnostic: int | None, _data: int | None) -> int:
        location = _function("mlirDiagnosticGetLocation", Handle, Handle)(diagnostic)
        messages.append(f"{_printed('mlirDiagnosticPrint', diagnostic)} at {_printed('mlirLocationPrint', location)}")
        return _SUCCESS

    handler = _DiagnosticHandler(handle)
    pointer = pointer_of(context)
    attach = _function(
        "mlirContextAttachDiagnosticHandler", ctypes.c_uint64, Handle, _DiagnosticHandler, Handle, Handle
    )
    identifier = attach(pointer, handler, None, None)
    try:
        yield messages
    finally:
        _function("mlirContextDetachDiagnosticHandler", None, Handle, ctypes.c_uint64)(pointer, identifier)


def translate_to_llvm(operation: Any, llvm_context: int) -> tuple[int | None, list[str]]:
    """LLVM module (None on failure) of an operation in the LLVM dialect, and MLIR's messages."""
    with capture_diagnostics(operation.context) as messages:
        run = _function("mlirTranslateModuleToLLVMIR", Handle, Handle, Handle)
        return run(pointer_of(operation), llvm_context), messages
