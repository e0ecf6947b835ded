"""Object bytes -> loaded code, through LLVM's LLJIT.

Every object gets a namespace of its own: the names in it (`px_entry`, `px_arena_bytes`) never meet another
object's, and closing it gives the code pages back. All names an object needs are resolved here, before LLVM
sees it.
"""

from __future__ import annotations

import ctypes
import functools
import itertools
import os
import platform
import sys
import threading
import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from phalanx.dialects.errors import ArtifactError, DeviceError
from phalanx.runtime import threads
from phalanx.runtime.libllvm import Handle, Text, function, initialise_native, memory_buffer, take_error
from phalanx.runtime.object_file import read_symbols, separate


class _Symbol(ctypes.Structure):
    """LLVMJITEvaluatedSymbol."""

    _fields_ = [
        ("address", ctypes.c_uint64),
        ("generic_flags", ctypes.c_uint8),
        ("target_flags", ctypes.c_uint8),
    ]


class _Pair(ctypes.Structure):
    """LLVMOrcCSymbolMapPair: an interned name and what it stands for."""

    _fields_ = [("name", Handle), ("symbol", _Symbol)]


class _SearchElement(ctypes.Structure):
    """LLVMOrcCJITDylibSearchOrderElement."""

    _fields_ = [("namespace", Handle), ("flags", ctypes.c_int)]


class _LookupElement(ctypes.Structure):
    """LLVMOrcCLookupSetElement."""

    _fields_ = [("name", Handle), ("flags", ctypes.c_int)]


_ErrorReporter = ctypes.CFUNCTYPE(None, Handle, Handle)
_LookupReceiver = ctypes.CFUNCTYPE(None, Handle, ctypes.POINTER(_Pair), ctypes.c_size_t, Handle)
_EXPORTED_ONLY, _REQUIRED = 0, 0
_ARCHITECTURES = {"AMD64": "x86_64", "arm64": "aarch64"}  # other names of the same
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


class JitSession:
    """One LLJIT, with a namespace per object. `load` uses one session per process."""

    def __init__(self) -> None:
        initialise_native()
        self.process = os.getpid()
        self.reports: list[str] = []
        jit = Handle()
        create = function("LLVMOrcCreateLLJIT", Handle, ctypes.POINTER(Handle), Handle)
        _check(create(ctypes.byref(jit), None), "starting the loader failed", self.reports)
        self._jit = jit
        self._session = function("LLVMOrcLLJITGetExecutionSession", Handle, Handle)(jit)
        self._names = itertools.count()
        self._free: list[int] = []

        def report(_context: int | None, error: int | None) -> None:
            self.reports.append(take_error(error) or "unknown error")

        self._reporter = _ErrorReporter(report)  # kept: LLVM holds only the address
        set_reporter = function("LLVMOrcExecutionSessionSetErrorReporter", None, Handle, _ErrorReporter, Handle)
        set_reporter(self._session, self._reporter, None)

    def add(self, data: bytes, addresses: Mapping[str, int]) -> int:
        """Load an object into a namespace of its own, next to the external `addresses`; return its handle."""
        namespace = self._new_namespace()
        if addresses:
            pairs = (_Pair * len(addresses))()
            for pair, (name, address) in zip(pairs, addresses.items(), strict=True):
                pair.name = self._intern(name)
                pair.symbol.address = address
                pair.symbol.generic_flags = _EXPORTED_CALLABLE
            absolute = function("LLVMOrcAbsoluteSymbols", Handle, ctypes.POINTER(_Pair), ctypes.c_size_t)
            define = function("LLVMOrcJITDylibDefine", Handle, Handle, Handle)
            error = define(namespace, absolute(pairs, len(addresses)))
            _check(error, "external symbols refused by the loader", self.reports)
        add = function("LLVMOrcLLJITAddObjectFile", Handle, Handle, Handle, Handle)
        for number, part in enumerate(separate(data)):
            error = add(self._jit, namespace, memory_buffer(part, f"phalanx{number or ''}"))
            _check(error, "object refused by the loader", self.reports)
        return namespace

    def _new_namespace(self) -> int:
        try:
            return self._free.pop()  # LLVM cannot delete a namespace, only clear it
        except IndexError:
            create = function("LLVMOrcExecutionSessionCreateBareJITDylib", Handle, Handle, Text)
            return int(create(self._session, f"object{next(self._names)}".encode()))

    def lookup(self, namespace: int, name: str) -> int:
        """Address of `name`; the first lookup links the object."""
        found: list[int] = []
        errors: list[str] = []

        def receive(error: int | None, pairs: Any, count: int, _context: int | None) -> None:
            text = take_error(error)
            if text is not None:
                errors.append(text)
            else:
                found.extend(pairs[i].symbol.address for i in range(count))

        order = _SearchElement(namespace, _EXPORTED_ONLY)
        wanted = _LookupElement(self._intern(name), _REQUIRED)
        lookup = function(
            "LLVMOrcExecutionSessionLookup",
            None,
            Handle,
            ctypes.c_int,
            ctypes.POINTER(_SearchElement),
            ctypes.c_size_t,
            ctypes.POINTER(_LookupElement),
            ctypes.c_size_t,
            _LookupReceiver,
            Handle,
        )
        # Linking happens inside this call: the session has no threads of its own.
        receiver = _LookupReceiver(receive)
        lookup(self._session, 0, ctypes.byref(order), 1, ctypes.byref(wanted), 1, receiver, None)
        if errors or not found:
            details = "; ".join([*self.reports, *errors]) or "no address given"
            self.reports.clear()
            raise ArtifactError(f"loading {name!r} failed: {details}")
        return found[0]

    def remove(self, namespace: int) -> None:
        """Free an object's code. Does nothing in a forked child: the session may be locked there for ever."""
        if self.process == os.getpid():
            error = take_error(function("LLVMOrcJITDylibClear", Handle, Handle)(namespace))
            if error is None:
                self._free.append(namespace)

    def _intern(self, name: str) -> int:
        return int(function("LLVMOrcLLJITMangleAndIntern", Handle, Handle, Text)(self._jit, name.encode()))


_session_lock = threading.Lock()
_session: JitSession | None = None


def session() -> JitSession:
    """The session of this process; a forked child gets its own, what it inherited stays loaded."""
    global _session
    with _session_lock:
        if _session is None or _session.process != os.getpid():
            _session = JitSession()
        return _session


class LoadedObject:
    """Loaded machine code; function pointers taken from it keep it alive.

    >>> code = load(artifact.object)
    >>> entry = code.function("px_entry", ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
    """

    def __init__(self, data: bytes, symbols: Mapping[str, int] | None = None, *, keep: Iterable[object] = ()) -> None:
        """Load `data`; `symbols` are extra addresses by name, `keep` what must live as long as the code
        (the CFUNCTYPE callbacks behind `symbols`)."""
        table = read_symbols(data)
        here = _ARCHITECTURES.get(platform.machine(), platform.machine())
        if table.machine != here:  # the loader itself would not notice
            raise ArtifactError(f"object is made for {table.machine}, this machine is {here}")
        self.exports = table.defined
        self.needs = table.undefined
        self._addresses: dict[str, int] = {}
        self._lock = threading.Lock()
        addresses = resolve(table.undefined, symbols or {})
        self._session = session()
        self._namespace = self._session.add(data, addresses)
        self._finalizer = weakref.finalize(self, _remove, self._session, self._namespace, tuple(keep))
        # Daemon threads may run this code while the interpreter shuts down; the process frees it anyway.
        self._finalizer.atexit = False

    def address(self, name: str) -> int:
        """Address of the exported function `name`; valid until `close` or until this object dies."""
        if name not in self.exports:
            have = ", ".join(self.exports) or "nothing"
            raise ArtifactError(f"object has no symbol {name!r}; it exports {have}")
        with self._lock:
            if self.closed:
                raise DeviceError(f"lookup of {name!r} in code that was closed")
            if name not in self._addresses:
                self._addresses[name] = self._session.lookup(self._namespace, name)
            return self._addresses[name]

    def function(self, name: str, result: Any, *arguments: Any) -> Callable[..., Any]:
        """The exported function `name` as a ctypes callable, which keeps this object alive."""
        callable_ = ctypes.CFUNCTYPE(result, *arguments)(self.address(name))
        callable_.loaded_object = self  # type: ignore[attr-defined]
        return callable_

    @property
    def closed(self) -> bool:
        """Whether the code was freed."""
        return not self._finalizer.alive

    def close(self) -> None:
        """Free the code now. The caller promises that nothing runs it or will call a pointer to it."""
        with self._lock:
            self._finalizer()

    def __enter__(self) -> LoadedObject:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _remove(session: JitSession, namespace: int, _keep: object) -> None:
    session.remove(namespace)


def load(data: bytes, symbols: Mapping[str, int] | None = None, *, keep: Iterable[object] = ()) -> LoadedObject:
    """Load object bytes made for this machine.

    >>> load(artifact.object, {"px_host_call": address_of(callback)}, keep=[callback]).exports
    ('px_arena_bytes', 'px_entry')
    """
    return LoadedObject(data, symbols, keep=keep)
