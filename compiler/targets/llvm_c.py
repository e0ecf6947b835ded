"""The one way to machine code: LLVM's C API through ctypes, in process.

An MLIR module in the LLVM dialect becomes an `LlvmModule`, which is linked, optimised and emitted as object
bytes or assembly text for any processor. Every compile has its own LLVM context, so threads compile side by
side, and ctypes releases the GIL for the length of each call.

>>> with translate(module) as llvm, TargetMachine("x86_64-unknown-linux-gnu", "x86-64-v3") as machine:
...     llvm.set_target(machine)
...     llvm.run_passes("default<O2>", machine)
...     data = llvm.emit_object(machine)
"""

from __future__ import annotations

import ctypes
import enum
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any, NamedTuple

from phalanx.compiler.targets.mlir_c import translate_to_llvm
from phalanx.dialects.errors import CompileError
from phalanx.runtime.libllvm import (
    Handle,
    Text,
    function,
    initialise_generator,
    initialise_native,
    memory_buffer,
    take_error,
    take_message,
)

_Size = ctypes.c_size_t
_HandlePointer = ctypes.POINTER(Handle)
_DiagnosticHandler = ctypes.CFUNCTYPE(None, Handle, Handle)
_SEVERITY_ERROR = 0
_GETELEMENTPTR = 29  # LLVMOpcode
_NO_UNSIGNED_WRAP = 4  # LLVMGEPNoWrapFlags
_VERIFY_RETURN_STATUS = 2
_RELOCATION_PIC = 2
_ASSEMBLY, _OBJECT = 0, 1
_GENERATOR_OF = {"x86_64": "X86", "aarch64": "AArch64", "arm64": "AArch64", "nvptx64": "NVPTX"}


class Linkage(enum.IntEnum):
    """LLVMLinkage, the values in use."""

    EXTERNAL = 0
    INTERNAL = 8


class Visibility(enum.IntEnum):
    """LLVMVisibility."""

    DEFAULT = 0
    HIDDEN = 1


class Function(NamedTuple):
    """A function of an LLVM module: its name and whether it has a body here."""

    name: str
    defined: bool


def host_cpu() -> tuple[str, str, str]:
    """LLVM's (cpu name, feature string, triple) for this machine."""
    initialise_native()
    cpu = take_message(function("LLVMGetHostCPUName", Handle)())
    features = take_message(function("LLVMGetHostCPUFeatures", Handle)())
    features = ",".join(sorted(features.split(",")))  # LLVM gives hash order; records are cache keys
    triple = take_message(function("LLVMGetDefaultTargetTriple", Handle)())
    return cpu, features, triple


class TargetMachine:
    """A code generator for one processor; `level` 0-3 is the effort of code generation, not of IR passes."""

    def __init__(self, triple: str, cpu: str, features: str = "", *, level: int = 2) -> None:
        generator = _GENERATOR_OF.get(triple.split("-")[0])
        if generator is None:
            raise CompileError(f"no code generator for triple {triple!r}; known: {', '.join(_GENERATOR_OF)}")
        initialise_generator(generator)
        target, message = Handle(), Handle()
        find = function("LLVMGetTargetFromTriple", ctypes.c_int, Text, _HandlePointer, _HandlePointer)
        if find(triple.encode(), ctypes.byref(target), ctypes.byref(message)):
            raise CompileError(f"triple {triple!r}: {take_message(message.value)}")
        self.triple, self.cpu, self.features = triple, cpu, features
        integer = ctypes.c_int
        create = function("LLVMCreateTargetMachine", Handle, Handle, Text, Text, Text, integer, integer, integer)
        self._handle: int | None = create(
            target, triple.encode(), cpu.encode(), features.encode(), level, _RELOCATION_PIC, 0
        )
        if not self._handle:
            raise CompileError(f"no code generator for {cpu!r} of {triple!r}")

    @property
    def handle(self) -> int:
        if self._handle is None:
            raise CompileError(f"target machine {self.cpu!r} was closed")
        return self._handle

    def close(self) -> None:
        if self._handle is not None:
            function("LLVMDisposeTargetMachine", None, Handle)(self._handle)
            self._handle = None

    def __enter__(self) -> TargetMachine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Context:
    """An LLVM context that collects diagnostics; LLVM's own handler prints errors and ends the process."""

    def __init__(self) -> None:
        self.handle = function("LLVMContextCreate", Handle)()
        self.errors: list[str] = []
        errors = self.errors

        def collect(diagnostic: int | None, _user: int | None) -> None:
            severity = function("LLVMGetDiagInfoSeverity", ctypes.c_int, Handle)(diagnostic)
            if severity == _SEVERITY_ERROR:
                errors.append(take_message(function("LLVMGetDiagInfoDescription", Handle, Handle)(diagnostic)))

        self._handler = _DiagnosticHandler(collect)  # kept: LLVM holds only the address
        set_handler = function("LLVMContextSetDiagnosticHandler", None, Handle, _DiagnosticHandler, Handle)
        set_handler(self.handle, self._handler, None)

    def raise_errors(self, doing: str) -> None:
        if self.errors:
            text = "; ".join(self.errors)
            self.errors.clear()
            raise CompileError(f"{doing}: {text}")

    def close(self) -> None:
        function("LLVMContextDispose", None, Handle)(self.handle)


class LlvmModule:
    """An LLVM module and its context; use as a context manager, which frees both."""

    def __init__(self, handle: int, context: _Context) -> None:
        self._handle: int | None = handle
        self._context = context

    @property
    def handle(self) -> int:
        if self._handle is None:
            raise CompileError("LLVM module was closed")
        return self._handle

    def close(self) -> None:
        if self._handle is not None:
            function("LLVMDisposeModule", None, Handle)(self._handle)
            self._handle = None
            self._context.close()

    def __enter__(self) -> LlvmModule:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __str__(self) -> str:
        return take_message(function("LLVMPrintModuleToString", Handle, Handle)(self.handle))

    # --- contents

    def _functions(self) -> Iterator[tuple[int, Function]]:
        following = function("LLVMGetNextFunction", Handle, Handle)
        declaration = function("LLVMIsDeclaration", ctypes.c_int, Handle)
        value = function("LLVMGetFirstFunction", Handle, Handle)(self.handle)
        while value:
            yield value, Function(_value_name(value), not declaration(value))
            value = following(value)

    def functions(self) -> list[Function]:
        """Every function, intrinsics left out."""
        return [item for _, item in self._functions() if not item.name.startswith("llvm.")]

    def undefined(self) -> list[str]:
        """Functions and globals used here and defined elsewhere (code generation may add helper calls)."""
        names = [item.name for item in self.functions() if not item.defined]
        following = function("LLVMGetNextGlobal", Handle, Handle)
        declaration = function("LLVMIsDeclaration", ctypes.c_int, Handle)
        value = function("LLVMGetFirstGlobal", Handle, Handle)(self.handle)
        while value:
            if declaration(value):
                names.append(_value_name(value))
            value = following(value)
        return sorted(names)

    def _named(self, name: str) -> int:
        value = function("LLVMGetNamedFunction", Handle, Handle, Text)(self.handle, name.encode())
        if not value:
            value = function("LLVMGetNamedGlobal", Handle, Handle, Text)(self.handle, name.encode())
        if not value:
            raise CompileError(f"LLVM module has no symbol {name!r}")
        return int(value)

    def set_linkage(self, name: str, linkage: Linkage) -> None:
        function("LLVMSetLinkage", None, Handle, ctypes.c_int)(self._named(name), linkage)

    def set_visibility(self, name: str, visibility: Visibility) -> None:
        function("LLVMSetVisibility", None, Handle, ctypes.c_int)(self._named(name), visibility)

    def rename(self, name: str, new: str) -> None:
        encoded = new.encode()
        function("LLVMSetValueName2", None, Handle, Text, _Size)(self._named(name), encoded, len(encoded))

    def keep_only(self, exported: Iterable[str]) -> None:
        """Make every other symbol with a body internal (MLIR's `private` stays visible in LLVM)."""
        keep = frozenset(exported)
        set_linkage = function("LLVMSetLinkage", None, Handle, ctypes.c_int)
        set_visibility = function("LLVMSetVisibility", None, Handle, ctypes.c_int)
        declaration = function("LLVMIsDeclaration", ctypes.c_int, Handle)
        for kind in ("Function", "Global"):
            following = function(f"LLVMGetNext{kind}", Handle, Handle)
            value = function(f"LLVMGetFirst{kind}", Handle, Handle)(self.handle)
            while value:
                name = _value_name(value)
                if not declaration(value) and name not in keep and not name.startswith("llvm."):
                    set_visibility(value, Visibility.DEFAULT)  # internal symbols may carry no other
                    set_linkage(value, Linkage.INTERNAL)
                value = following(value)

    def add_attributes(self, attributes: Iterable[tuple[str, str]]) -> None:
        """Add string attributes ("tune-cpu", "prefer-vector-width", ...) to every function with a body."""
        pairs = [(key.encode(), value.encode()) for key, value in attributes]
        add = function("LLVMAddTargetDependentFunctionAttr", None, Handle, Text, Text)
        for value, item in self._functions():
            if item.defined:
                for key, text in pairs:
                    add(value, key, text)

    # --- transformation

    def allow_negative_offsets(self) -> None:
        """Take `nuw` off every getelementptr.

        MLIR's lowering of memref.load and memref.store promises that no offset is negative. A reversed view starts
        at its last element, so LLVM would conclude that its pointer is null and read from address -1.
        """
        first_block = function("LLVMGetFirstBasicBlock", Handle, Handle)
        next_block = function("LLVMGetNextBasicBlock", Handle, Handle)
        first_instruction = function("LLVMGetFirstInstruction", Handle, Handle)
        next_instruction = function("LLVMGetNextInstruction", Handle, Handle)
        opcode = function("LLVMGetInstructionOpcode", ctypes.c_int, Handle)
        flags_of = function("LLVMGEPGetNoWrapFlags", ctypes.c_uint, Handle)
        set_flags = function("LLVMGEPSetNoWrapFlags", None, Handle, ctypes.c_uint)
        for value, item in self._functions():
            block = first_block(value) if item.defined else None
            while block:
                instruction = first_instruction(block)
                while instruction:
                    if opcode(instruction) == _GETELEMENTPTR:
                        flags = flags_of(instruction)
                        if flags & _NO_UNSIGNED_WRAP:
                            set_flags(instruction, flags & ~_NO_UNSIGNED_WRAP)
                    instruction = next_instruction(instruction)
                block = next_block(block)

    def link(self, text: str, name: str = "linked") -> None:
        """Link a module given as LLVM IR text into this one."""
        other = _parse(text, self._context, name)
        if function("LLVMLinkModules2", ctypes.c_int, Handle, Handle)(self.handle, other):
            self._context.raise_errors(f"linking {name!r} failed")
            raise CompileError(f"linking {name!r} failed")

    def verify(self) -> None:
        """Raise CompileError when the module breaks LLVM's rules."""
        message = Handle()
        check = function("LLVMVerifyModule", ctypes.c_int, Handle, ctypes.c_int, _HandlePointer)
        failed = check(self.handle, _VERIFY_RETURN_STATUS, ctypes.byref(message))
        text = take_message(message.value)
        if failed:
            raise CompileError(f"invalid LLVM module: {text.strip()}")

    def set_target(self, machine: TargetMachine) -> None:
        """Write the machine's triple and data layout into the module; passes and codegen need both."""
        layout = function("LLVMCreateTargetDataLayout", Handle, Handle)(machine.handle)
        function("LLVMSetModuleDataLayout", None, Handle, Handle)(self.handle, layout)
        function("LLVMDisposeTargetData", None, Handle)(layout)
        function("LLVMSetTarget", None, Handle, Text)(self.handle, machine.triple.encode())

    def run_passes(self, pipeline: str, machine: TargetMachine) -> None:
        """Run a pass pipeline in `opt -passes=` spelling, e.g. "default<O2>"."""
        options = function("LLVMCreatePassBuilderOptions", Handle)()
        run = function("LLVMRunPasses", Handle, Handle, Text, Handle, Handle)
        try:
            error = take_error(run(self.handle, pipeline.encode(), machine.handle, options))
        finally:
            function("LLVMDisposePassBuilderOptions", None, Handle)(options)
        if error is not None:
            raise CompileError(f"LLVM passes {pipeline!r}: {error}")
        self._context.raise_errors(f"LLVM passes {pipeline!r}")

    # --- output

    def emit_object(self, machine: TargetMachine) -> bytes:
        """Relocatable object, position independent."""
        return self._emit(machine, _OBJECT)

    def emit_assembly(self, machine: TargetMachine) -> str:
        """Assembly text of what `emit_object` would give."""
        return self._emit(machine, _ASSEMBLY).decode()

    def _emit(self, machine: TargetMachine, kind: int) -> bytes:
        emission = Emission(self, machine, kind)
        emission.run()
        return emission.take()

    def clone(self) -> int:
        """A copy in the same context, to be given to LLVM."""
        return int(function("LLVMCloneModule", Handle, Handle)(self.handle))

    def raise_errors(self, doing: str) -> None:
        """Raise what LLVM reported about the module as a CompileError."""
        self._context.raise_errors(doing)


class Emission:
    """One run of the code generator: `run` is a single call of LLVM, the only one that takes long.

    Code generation rewrites the module it is given. With `spent` that is this one, which then can only be closed.
    """

    def __init__(self, module: LlvmModule, machine: TargetMachine, kind: int = _OBJECT, *, spent: bool = False) -> None:
        self._module = module
        self._machine = machine
        self._copy = None if spent else module.clone()
        self._buffer, self._message = Handle(), Handle()
        pointers = (_HandlePointer, _HandlePointer)
        emit = function("LLVMTargetMachineEmitToMemoryBuffer", ctypes.c_int, Handle, Handle, ctypes.c_int, *pointers)
        self._call = partial(emit, machine.handle, self._copy or module.handle, kind, ctypes.byref(self._message),
                             ctypes.byref(self._buffer))
        self._failed = False

    def run(self) -> None:
        """Generate the code."""
        self._failed = bool(self._call())

    def take(self) -> bytes:
        """What `run` made; raises CompileError when it failed."""
        if self._copy is not None:
            function("LLVMDisposeModule", None, Handle)(self._copy)
        doing = f"code generation for {self._machine.cpu!r}"
        if self._failed:
            raise CompileError(f"{doing}: {take_message(self._message.value)}")
        data = take_buffer(self._buffer)
        self._module.raise_errors(doing)
        return data


def take_buffer(buffer: Handle) -> bytes:
    """Copy and free a memory buffer of LLVM."""
    start = function("LLVMGetBufferStart", Handle, Handle)(buffer)
    data = ctypes.string_at(start, function("LLVMGetBufferSize", _Size, Handle)(buffer))
    function("LLVMDisposeMemoryBuffer", None, Handle)(buffer)
    return data


def _value_name(value: int) -> str:
    length = _Size()
    pointer = function("LLVMGetValueName2", Handle, Handle, ctypes.POINTER(_Size))(value, ctypes.byref(length))
    return ctypes.string_at(pointer, length.value).decode()


def _parse(text: str, context: _Context, name: str) -> int:
    module, message = Handle(), Handle()
    parse = function("LLVMParseIRInContext", ctypes.c_int, Handle, Handle, _HandlePointer, _HandlePointer)
    buffer = memory_buffer(text.encode(), name)
    if parse(context.handle, buffer, ctypes.byref(module), ctypes.byref(message)):
        raise CompileError(f"LLVM IR text {name!r}: {take_message(message.value).strip()}")
    assert module.value is not None
    return module.value


def parse(text: str, name: str = "parsed") -> LlvmModule:
    """LLVM module from IR text."""
    context = _Context()
    try:
        return LlvmModule(_parse(text, context, name), context)
    except CompileError:
        context.close()
        raise


def translate(module: Any) -> LlvmModule:
    """LLVM module from an MLIR module (or its operation) that holds only the LLVM dialect.

    Raises CompileError with MLIR's own messages when an operation of another dialect is left.
    """
    operation = getattr(module, "operation", module)
    context = _Context()
    handle, messages = translate_to_llvm(operation, context.handle)
    if not handle:
        context.close()
        raise CompileError("translation to LLVM IR failed: " + ("; ".join(messages) or "no message given"))
    return LlvmModule(handle, context)
