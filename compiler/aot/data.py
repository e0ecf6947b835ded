"""Bytes of captured tensors, put into an LLVM module without going through text."""

from __future__ import annotations

import ctypes

from phalanx.compiler.targets.llvm_c import LlvmModule
from phalanx.runtime.libllvm import Handle, Text, function

ALIGNMENT = 64
#: one section for everything large, so that tools can see and strip it
SECTION = ".phalanx.weights"


def declaration(symbol: str, size: int) -> str:
    """LLVM IR text of bytes that `define_bytes` fills in."""
    return f"@{symbol} = external hidden constant [{size} x i8], align {ALIGNMENT}\n"


def define_bytes(module: LlvmModule, symbol: str, data: bytes, *, section: str = "") -> None:
    """Give a declared constant its bytes, in a section of its own or among the other constants."""
    context = function("LLVMGetModuleContext", Handle, Handle)(module.handle)
    make = function("LLVMConstStringInContext2", Handle, Handle, Text, ctypes.c_size_t, ctypes.c_int)
    value = function("LLVMGetNamedGlobal", Handle, Handle, Text)(module.handle, symbol.encode())
    function("LLVMSetInitializer", None, Handle, Handle)(value, make(context, data, len(data), 1))
    function("LLVMSetAlignment", None, Handle, ctypes.c_uint)(value, ALIGNMENT)
    if section:
        function("LLVMSetSection", None, Handle, Text)(value, section.encode())
