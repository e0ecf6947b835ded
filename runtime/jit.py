"""Object bytes -> loaded code, through LLVM's LLJIT.

Every object gets an LLJIT of its own: the names in it (`px_entry`, `px_arena_bytes`) never meet another
object's, and closing it gives the code pages back. All names an object needs are resolved here, before LLVM
sees it.
"""

from __future__ import annotations

import ctypes
import functools
import sys
import threading
import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from phalanx.dialects.errors import ArtifactError, DeviceError
from phalanx.runtime import threads
from phalanx.runtime.libllvm import Handle, Text, function, initialise_native, memory_buffer, take_error
from phalanx.runtime.object_file import read_symbols

_ErrorReporter = ctypes.CFUNCTYPE(None, Handle, Handle)


class _Pair(ctypes.Structure):
    """LLVMOrcCSymbolMapPair: an interned name with the address and flags it stands for."""

    _fields_ = [
        ("name", Handle),
        ("address", ctypes.c_uint64),
        ("generic_flags", ctypes.c_uint8),
        ("target_flags", ctypes.c_uint8),
    ]


_EXPORTED_CALLABLE = 1 | 4  # LLVMJITSymbolGenericFlagsExported | Callable


@functools.cache
def _process_libraries() -> tuple[ctypes.CDLL, ...]:
    """Where C names come from: what the process has loaded, then libm (Python need not be linked with it)."""
    libraries = [ctypes.CDLL(None)]
    if sys.platform.startswith("linux"):
        for name in ("libm.so.6", "libm.so"):
            try:
                libraries.append(ctypes.CDLL(name))
                break
            except OSError:
                continue
    return tuple(libraries)


def _address_in(library: ctypes.CDLL, name: str) -> int | None:
    try:
        symbol = getattr(library, name)
    except AttributeError:
        return None
    return ctypes.cast(symbol, Handle).value


def address_of(function_pointer: Any) -> int:
    """Address of a ctypes function or CFUNCTYPE callback, for the `symbols` of `load`."""
    address = ctypes.cast(function_pointer, Handle).value
    if not address:
        raise ArtifactError(f"{function_pointer!r} is a null function pointer")
    return address


def resolve(names: Iterable[str], symbols: Mapping[str, int]) -> dict[str, int]:
    """Address of every name: from `symbols`, then the OpenMP runtime, then the process and libm.

    Raises ArtifactError that lists all names found nowhere.
    """
    found: dict[str, int] = {}
    missing: list[str] = []
    for name in names:
        address = symbols.get(name)
        if address is None and name.startswith(("__kmpc_", "omp_", "kmp_")):
            runtime = threads.openmp_library()
            address = _address_in(runtime, name) if runtime else None
        elif address is None:
            address = next(filter(None, (_address_in(lib, name) for lib in _process_libraries())), None)
        if address is None:
            missing.append(name)
        else:
            found[name] = address
    if missing:
        raise ArtifactError(
            f"object needs {len(missing)} symbol(s) found nowhere: {', '.join(sorted(missing))}",
            hint=_hint(missing),
        )
    return found


def _hint(missing: list[str]) -> str:
    if any(name.startswith("__kmpc_") for name in missing):
        return "the object was compiled with threads and no OpenMP runtime is here: pip install cmeel-libomp"
    if any(name.startswith("px_host_") for name in missing):
        return "pass the host callback's address: load(object, {'px_host_call': address_of(callback)})"
    if "memrefCopy" in missing:
        return "a strided memref.copy reached code generation; lower it to loops before"
    return "pass the addresses in `symbols`"


def _check(error: int | None, doing: str, reports: list[str]) -> None:
    text = take_error(error)
    if text is not None:
        details = "; ".join([*reports, text])
        reports.clear()
        raise ArtifactError(f"{doing}: {details}")


class LoadedObject:
    """Loaded machine code; function pointers taken from it keep it alive.

    >>> code = load(artifact.object)
    >>> entry = code.function("px_entry", ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
    """

    def __init__(
        self, data: bytes, symbols: Mapping[str, int] | None = None, *, keep: Iterable[object] = ()
    ) -> None:
        """Load `data`; `symbols` are extra addresses by name, `keep` what must live as long as the code
        (the CFUNCTYPE callbacks behind `symbols`)."""
        table = read_symbols(data)
        self.exports = table.defined
        self._keep = tuple(keep)
        self._addresses: dict[str, int] = {}
        self._lock = threading.Lock()
        self._reports: list[str] = []
        addresses = resolve(table.undefined, symbols or {})
        initialise_native()
        jit = Handle()
        create = function("LLVMOrcCreateLLJIT", Handle, ctypes.POINTER(Handle), Handle)
        _check(create(ctypes.byref(jit), None), "starting the loader failed", self._reports)
        self._jit: int | None = jit.value
        reports = self._reports  # the reporter must not hold `self`, or the finalizer would keep it alive

        def report(_context: int | None, error: int | None) -> None:
            reports.append(take_error(error) or "unknown error")

        self._reporter = _ErrorReporter(report)
        self._finalizer = weakref.finalize(self, _dispose, jit, self._reporter, self._keep)
        # Daemon threads may still run this code while the interpreter shuts down; the process frees it
        # anyway.
        self._finalizer.atexit = False
        session = function("LLVMOrcLLJITGetExecutionSession", Handle, Handle)(jit)
        set_reporter = function(
            "LLVMOrcExecutionSessionSetErrorReporter", None, Handle, _ErrorReporter, Handle
        )
        set_reporter(session, self._reporter, None)
        library = function("LLVMOrcLLJITGetMainJITDylib", Handle, Handle)(jit)
        self._define(library, addresses)
        add = function("LLVMOrcLLJITAddObjectFile", Handle, Handle, Handle, Handle)
        error = add(jit, library, memory_buffer(data, "phalanx"))
        _check(error, "object refused by the loader", self._reports)

    def _define(self, library: int, addresses: Mapping[str, int]) -> None:
        if not addresses:
            return
        intern = function("LLVMOrcLLJITMangleAndIntern", Handle, Handle, Text)
        pairs = (_Pair * len(addresses))()
        for pair, (name, address) in zip(pairs, addresses.items(), strict=True):
            pair.name = intern(self._jit, name.encode())
            pair.address = address
            pair.generic_flags = _EXPORTED_CALLABLE
        absolute = function("LLVMOrcAbsoluteSymbols", Handle, ctypes.POINTER(_Pair), ctypes.c_size_t)
        define = function("LLVMOrcJITDylibDefine", Handle, Handle, Handle)
        error = define(library, absolute(pairs, len(addresses)))
        _check(error, "external symbols refused by the loader", self._reports)

    def address(self, name: str) -> int:
        """Address of the exported function `name`; valid until `close` or until this object dies."""
        if name not in self.exports:
            have = ", ".join(self.exports) or "nothing"
            raise ArtifactError(f"object has no symbol {name!r}; it exports {have}")
        with self._lock:
            if self._jit is None:
                raise DeviceError(f"lookup of {name!r} in code that was closed")
            if name not in self._addresses:
                lookup = function("LLVMOrcLLJITLookup", Handle, Handle, ctypes.POINTER(ctypes.c_uint64), Text)
                address = ctypes.c_uint64()
                error = lookup(self._jit, ctypes.byref(address), name.encode())
                _check(error, f"loading {name!r} failed", self._reports)
                self._addresses[name] = address.value
            return self._addresses[name]

    def function(self, name: str, result: Any, *arguments: Any) -> Callable[..., Any]:
        """The exported function `name` as a ctypes callable, which keeps this object alive."""
        callable_ = ctypes.CFUNCTYPE(result, *arguments)(self.address(name))
        callable_.loaded_object = self  # type: ignore[attr-defined]
        return callable_

    @property
    def closed(self) -> bool:
        return self._jit is None

    def close(self) -> None:
        """Free the code now. The caller promises that nothing runs it or will call a pointer to it."""
        with self._lock:
            self._jit = None
            self._addresses.clear()
            self._finalizer()

    def __enter__(self) -> LoadedObject:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _dispose(jit: Handle, _reporter: object, _keep: object) -> None:
    take_error(function("LLVMOrcDisposeLLJIT", Handle, Handle)(jit))


def load(
    data: bytes, symbols: Mapping[str, int] | None = None, *, keep: Iterable[object] = ()
) -> LoadedObject:
    """Load object bytes made for this machine.

    >>> load(artifact.object, {"px_host_call": address_of(callback)}, keep=[callback]).exports
    ('px_arena_bytes', 'px_entry')
    """
    return LoadedObject(data, symbols, keep=keep)
