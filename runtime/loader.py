"""Loads exported libraries (`.so`) and packages (`.pxa`) and calls their functions: NumPy is all it needs.

    predict = px.load("digits.so")
    probabilities = predict(images)

Nothing of a file is mapped as code before its format, completeness, machine, version and processor features have
been checked.
"""

from __future__ import annotations

import _ctypes
import contextlib
import ctypes
import hashlib
import inspect
import mmap
import os
import sys
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from phalanx.dialects.errors import ArgumentError, ArtifactError, DeviceError, DTypeError, PhalanxError, ShapeError
from phalanx.runtime import arrays, cpuid, library_file, manifest
from phalanx.runtime.arrays import Array
from phalanx.runtime.manifest import FunctionEntry, Manifest, WeightsFile

if TYPE_CHECKING:
    from phalanx.runtime.sharing import Sharing

_OVERFLOW, _OVERLAP, _MEMORY, _CONSTRAINT, _CPU = 2, 4, 5, 8, -100
ZIP_START = b"PK\x03\x04"
# Libraries up to this size run from a copy: a mapped file that somebody overwrites takes the process with it.
_COPIED_BYTES = 64 << 20
_SYSTEMS = {"linux": "linux", "darwin": "macos"}


class _Code:
    """A mapped library. It is unmapped when nothing refers to it: neither a Library, a Function nor a running call."""

    def __init__(self, descriptor: int, where: str) -> None:
        # The system's loader takes a path it has seen for the library it has seen; this path belongs to one open file.
        # It stays open as long as the library is mapped, or its number would soon mean another file.
        kept = os.dup(descriptor)
        path = f"/proc/self/fd/{kept}" if os.path.exists("/proc/self/fd") else where
        self._where = where
        try:
            self.library = ctypes.CDLL(path)
        except OSError as error:
            os.close(kept)
            raise ArtifactError(f"{where}: the system cannot load it: {error}") from None
        self._finalizer = weakref.finalize(self, _unmap, self.library._handle, kept)
        self._finalizer.atexit = False  # daemon threads may still be running the code

    def call(self, name: str) -> Callable[..., int]:
        """The generic entry of a function."""
        try:
            found = self.library[name]
        except AttributeError:
            raise ArtifactError(f"{self._where}: has no symbol {name!r} although its manifest says so") from None
        pointer, size = ctypes.c_void_p, ctypes.c_int64
        found.restype = ctypes.c_int32
        found.argtypes = (pointer, pointer, size, pointer, size, pointer, pointer)
        return found


def _unmap(handle: int, descriptor: int) -> None:
    _ctypes.dlclose(handle)
    os.close(descriptor)


class Function:
    """A function of a loaded library, called with arrays; safe to call from several threads at once.

    >>> predict = px.load("digits.so")
    >>> predict
    <predict(x: 'f32[n,64]') -> 'f32[n,10]' from digits.so>

    Arguments may be NumPy arrays, px.Tensor and anything with DLPack; results are NumPy arrays. `out=` takes the arrays
    to write results to (one, or a sequence in the order of the results). Calls release the GIL.
    """

    def __init__(self, library: Library, entry: FunctionEntry) -> None:
        self.__signature__ = entry.python_signature()
        self.__name__ = self.__qualname__ = entry.name
        self.__doc__ = _documentation(entry, self.__signature__)
        self.library = library
        self.entry = entry
        self.signature = entry.signature
        code = library.code
        # Together, since a running call must hold the code, whatever another thread closes.
        self._code: tuple[_Code, Callable[..., int]] | None = code, code.call(entry.call_symbol)
        self._names = tuple(self.__signature__.parameters)
        self._simple = _in_order(entry.arguments, len(entry.signature.inputs))
        extra = 1 if entry.external else 0
        self._dtypes = tuple(a.dtype for a in self.signature.inputs)
        self._pointers = ctypes.c_void_p * (len(self.signature.inputs) + len(self.signature.outputs) + extra)
        self._sizes = ctypes.c_int64 * sum(len(a.shape) for a in (*self.signature.inputs, *self.signature.outputs))
        _check_dtypes(entry)

    @property
    def dims(self) -> tuple[str, ...]:
        """The named sizes."""
        return self.signature.dims

    def __call__(self, *args: Any, out: Any = None, **kwargs: Any) -> Any:
        return arrays.unflatten(self.entry.result, self.call_flat(self._arguments(args, kwargs), out))

    def call_flat(self, given: Sequence[Array], out: Any = None) -> list[Array]:
        """Call with one array per input of the library; one array per output comes back."""
        sizes = self.signature.bind([arrays.found(a, d) for a, d in zip(given, self._dtypes, strict=True)])
        if self.entry.assumptions:
            self.signature.check_assumptions(self.entry.assumptions, dict(zip(self.dims, sizes, strict=True)), elsewhere=True)
        inputs = [arrays.readable(a) for a in given]
        shapes = self.signature.output_shapes(sizes)
        outputs = self._outputs(out, shapes)
        self._run(inputs, outputs, dict(zip(self.dims, sizes, strict=True)))
        return outputs

    def _arguments(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Array]:
        """One array per input of the library."""
        values: Sequence[Any] = args
        if not self._simple or kwargs or len(args) != len(self._names):
            values = self._flattened(args, kwargs)
        found: list[Any] = [value if type(value) is np.ndarray else arrays.as_array(value, argument)
                 for value, argument in zip(values, self.signature.inputs, strict=True)]
        if all(type(one) is np.ndarray for one in found):
            return found
        problems = [f"argument '{argument.name}' {text}"
                    for text, argument in zip(found, self.signature.inputs, strict=True) if isinstance(text, str)]
        if problems:
            raise DTypeError(f"{self.__name__}: " + "\n  ".join(problems), hint="np.asarray(x, np.float32)")
        return found

    def _flattened(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
        try:
            bound = self.__signature__.bind(*args, **kwargs)
        except TypeError as error:
            raise ArgumentError(f"{self.__name__}: {error}",
                                hint=f"the signature is {self.__name__}{self.__signature__}") from None
        tree = self.entry.arguments
        leaves: dict[int, Any] = {}
        if isinstance(tree, dict) and "dict" in tree:
            subtrees = list(tree["dict"].values())
        else:
            subtrees = list(range(len(self.signature.inputs)))
        for subtree, (name, value) in zip(subtrees, bound.arguments.items(), strict=True):
            try:
                leaves.update(arrays.flatten(subtree, value, f"argument '{name}'"))
            except ArgumentError as error:
                raise ArgumentError(f"{self.__name__}: {error.message}") from None
        return [leaves[i] for i in range(len(leaves))]

    def _outputs(self, out: Any, shapes: list[tuple[int, ...]]) -> list[Array]:
        declared = self.signature.outputs
        if out is None:
            return [np.empty(shape, o.dtype.numpy) for shape, o in zip(shapes, declared, strict=True)]
        given = list(out) if isinstance(out, (list, tuple)) else [out]
        if len(given) != len(declared):
            raise ArgumentError(f"{self.__name__}: out= takes {len(declared)} arrays, got {len(given)}")
        problems = [f"out array '{output.name}' {text}"
                    for array, output, shape in zip(given, declared, shapes, strict=True)
                    if (text := arrays.why_not_written(array, output, shape)) is not None]
        if problems:
            raise ShapeError(f"{self.__name__}: " + "\n  ".join(problems))
        return given

    def _run(self, inputs: list[Array], outputs: list[Array], named: Mapping[str, int]) -> None:
        held, weights = self._code, self.library.weights
        if held is None:
            raise DeviceError(f"{self.__name__}: {self.library.path} was closed")
        everything = [*inputs, *outputs]
        addresses = [arrays.address(a) for a in everything]
        if self.entry.external and weights is not None:
            addresses.append(arrays.address(weights))
        sizes = [size for array in everything for size in array.shape]
        shared = self.library.sharing
        status = held[1](self._pointers(*addresses), self._sizes(*sizes), len(sizes), None, 0,
                         shared.address if shared is not None else None, None)
        if status:
            raise self._failure(status, inputs, outputs, named)

    def _failure(self, status: int, inputs: list[Array], outputs: list[Array], named: Mapping[str, int]) -> PhalanxError:
        texts = self.library.manifest.status
        text = texts.get(status) or texts.get(1000 if status >= 1000 else status, "unknown status")
        where = f"{self.__name__}: {text}"
        if status == _OVERLAP:
            pairs = [f"'{o.name}' with '{other.name}'"
                     for i, (o, array) in enumerate(zip(self.signature.outputs, outputs, strict=True))
                     for other, against in [*zip(self.signature.inputs, inputs, strict=True),
                                            *zip(self.signature.outputs[:i], outputs[:i], strict=True)]
                     if np.may_share_memory(array, against)]
            return ArgumentError(f"{where}: {', '.join(pairs)}", hint="pass other arrays in out=")
        if status in (_OVERFLOW, _CONSTRAINT):
            values = ", ".join(f"{n} = {v}" for n, v in named.items()) or "the sizes it was made for"
            return ShapeError(f"{where}, got {values}", note="it needs " + " and ".join(self.entry.constraints))
        if status == _CPU:
            levels = ", ".join(level.name for level in self.library.manifest.levels)
            return ArtifactError(f"{where}: {self.library.path} is for {levels}",
                                 hint="export it with a lower target, e.g. x86-64-v2")
        if status == _MEMORY:
            return DeviceError(f"{where}, while calling with {', '.join(str(a.shape) for a in inputs)}")
        return DeviceError(f"{where} (status {status})")

    def release(self) -> None:
        """Let go of the code; later calls raise DeviceError."""
        self._code = None

    def __reduce__(self) -> tuple[Any, ...]:
        return _load_pinned, (str(self.library.path), self.library.sha256(), self.entry.name, self.library.threads)

    def __repr__(self) -> str:
        return f"<{self.__name__}{self.__signature__} from {self.library.path.name}>"


class Library:
    """A loaded library: its functions by name, as items and attributes.

    >>> with px.load("model.so", library=True) as model:
    ...     model.encode(x), model["decode"](y)

    `close()` (or the end of the `with`) lets go of the code; calls that are running in other threads end in peace.
    """

    def __init__(self, path: Path, found: Manifest, descriptor: int, weights: Array | None) -> None:
        self.path = path
        self.manifest = found
        self.weights = weights
        self.code: _Code = _Code(descriptor, str(path))
        self.sharing: Sharing | None = None
        self._identity = _identity(path)
        self.functions = {entry.name: Function(self, entry) for entry in found.functions}

    def __getitem__(self, name: str) -> Function:
        try:
            return self.functions[name]
        except KeyError:
            raise ArgumentError(f"{self.path}: has no function {name!r}",
                                hint=f"it has {', '.join(self.functions)}") from None

    def __getattr__(self, name: str) -> Function:
        functions = self.__dict__.get("functions", {})
        if name in functions:
            found: Function = functions[name]
            return found
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}; functions are {', '.join(functions)}")

    def __iter__(self) -> Iterator[Function]:
        return iter(self.functions.values())

    def __len__(self) -> int:
        return len(self.functions)

    def sha256(self) -> str:
        """Digest of the file the code came from; raises ArtifactError when it was replaced since."""
        if _identity(self.path) != self._identity:
            raise ArtifactError(f"{self.path}: the file changed after it was loaded", hint="load it again")
        return _digest(self.path)

    def close(self) -> None:
        """Let go of the code and the weights."""
        for function in self.functions.values():
            function.release()
        self.__dict__.pop("code", None)
        self.weights = None

    def __enter__(self) -> Library:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return _load_pinned, (str(self.path), self.sha256(), None, self.threads)

    @property
    def threads(self) -> int:
        """How many threads calls may use."""
        return 1 if self.sharing is None else self.sharing.threads

    def __repr__(self) -> str:
        return f"<library {self.path.name}: {', '.join(self.functions)}>"


def load(path: str | os.PathLike[str], function: str | None = None, *, library: bool = False, threads: int = 1) -> Any:
    """Load an exported library (`.so`) or package (`.pxa`).

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = px.export(lambda x: x * 2, f"{folder}/twice.so", "f32[n]", name="twice")
    ...     twice = px.load(f"{folder}/twice.so")
    >>> np.asarray(twice(np.ones(3, np.float32)))
    array([2., 2., 2.], dtype=float32)

    Returns the function of that name, or the only one there is; a Library when there are several or `library` is set.
    `threads` may run the loops that are worth it.
    Raises ArtifactError for files that cannot be used here, saying why.
    """
    loaded = open_library(Path(path))
    if threads != 1:
        from phalanx.runtime.sharing import sharing  # most programs do without

        loaded.sharing = sharing(threads)
    if library:
        return loaded
    if function is not None:
        return loaded[function]
    return next(iter(loaded)) if len(loaded) == 1 else loaded


def open_library(path: Path) -> Library:
    """Check and map a library, or the one of a package that is made for this machine."""
    path = path.absolute()
    with _reading(path), open(path, "rb") as file:
        if file.read(4) == ZIP_START:
            return _from_package(path, file)
        with _mapped(file, path) as data:
            found = check(data, str(path))
            copy = data[:] if len(data) <= _COPIED_BYTES else b""
        weights = _weights_beside(path, found.weights)
        if not copy:
            return Library(path, found, file.fileno(), weights)
        with _anonymous_file(copy, path.name) as descriptor:
            return Library(path, found, descriptor, weights)


def describe(path: Path) -> Manifest:
    """The manifest of a library, whatever machine it is for."""
    with _reading(path), open(path, "rb") as file, _mapped(file, path) as data:
        return manifest.read(library_file.read(data, str(path)).manifest, str(path))


def _mapped(file: IO[bytes], path: Path) -> mmap.mmap:
    if not os.fstat(file.fileno()).st_size:
        raise ArtifactError(f"{path}: the file is empty")
    return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def check(data: library_file.Readable, where: str) -> Manifest:
    """The manifest of a library that this machine can run.

    Raises ArtifactError for another machine, system, format or version, and for missing processor features.
    """
    read = library_file.read(data, where)
    here = cpuid.machine()
    if read.machine != here:
        raise ArtifactError(f"{where}: made for {read.machine}, this machine is {here}",
                            hint="export it for this machine, or a .pxa for both")
    found = manifest.read(read.manifest, where)
    system = _SYSTEMS.get(sys.platform, sys.platform)
    if (found.architecture, found.system) != (here, system):
        raise ArtifactError(f"{where}: made for {found.architecture} {found.system}, this is {here} {system}")
    lacks = [(level, cpuid.missing(level.requires)) for level in found.levels]
    if lacks and all(missing for _, missing in lacks):
        level, missing = min(lacks, key=lambda item: len(item[1]))
        raise ArtifactError(f"{where}: made for processors with {level.name}, this one lacks {', '.join(missing)}",
                            hint="export it with a lower target, e.g. x86-64-v2")
    return found


def _from_package(path: Path, file: IO[bytes]) -> Library:
    from phalanx.runtime.package import WEIGHTS, Package  # most programs load plain libraries

    with Package(path, file) as opened:
        where, data = opened.library_for(cpuid.machine(), _SYSTEMS.get(sys.platform, sys.platform))
        found = check(data, where)
        weights = None
        if found.weights is not None:
            weights = _aligned(opened.member(WEIGHTS))
            _check_weights(weights, found.weights, f"{path}, {WEIGHTS}")
    with _anonymous_file(data, path.name) as descriptor:
        return Library(path, found, descriptor, weights)


@contextlib.contextmanager
def _anonymous_file(data: bytes, name: str) -> Iterator[int]:
    """A descriptor of a file that holds `data` and has no name any more."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create(name, os.MFD_CLOEXEC)  # the name is what profilers show
    else:
        import tempfile  # not needed on Linux, and slow to import

        descriptor, place = tempfile.mkstemp(suffix=".so")
        os.unlink(place)
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(data)
        yield descriptor
    finally:
        os.close(descriptor)


def _aligned(data: bytes) -> Array:
    """The bytes at an address that is a multiple of 64."""
    room = np.empty(len(data) + 64, np.uint8)
    start = -arrays.address(room) % 64
    found = room[start:start + len(data)]
    found[:] = np.frombuffer(data, np.uint8)
    found.flags.writeable = False
    return found


def _weights_beside(path: Path, wanted: WeightsFile | None) -> Array | None:
    """The weights mapped from their file, once they are known to be the right ones."""
    if wanted is None:
        return None
    place = path.with_name(wanted.file)
    try:
        with open(place, "rb") as file:
            mapped = np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path}: its weights cannot be read: {error}",
                            hint=f"{wanted.file} belongs beside the library") from None
    _check_weights(mapped, wanted, str(place))
    return mapped


def _check_weights(data: Array, wanted: WeightsFile, where: str) -> None:
    if data.size != wanted.nbytes:
        raise ArtifactError(f"{where}: not the weights of this library, {data.size} bytes instead of {wanted.nbytes}")
    header = int.from_bytes(data[:8].tobytes(), "little")
    if hashlib.sha256(data[8 + header:].data).hexdigest() != wanted.sha256:
        raise ArtifactError(f"{where}: not the weights of this library, their digest differs")


def _check_dtypes(entry: FunctionEntry) -> None:
    """bfloat16 arrays exist only where ml_dtypes is installed."""
    used = [a for a in (*entry.signature.inputs, *entry.signature.outputs) if a.dtype.numpy.kind == "V"]
    if used and used[0].dtype.numpy == np.dtype("V2"):
        raise ArtifactError(f"{entry.name}: '{used[0].name}' is {used[0]}, which NumPy knows only with ml_dtypes",
                            hint="pip install ml_dtypes")


def _in_order(tree: Any, count: int) -> bool:
    """Whether the arguments are the inputs, one by one."""
    if not isinstance(tree, dict):
        return False
    leaves = list(tree["dict"].values()) if "dict" in tree else tree.get("leaves")
    return leaves == list(range(count))


def _documentation(entry: FunctionEntry, signature: inspect.Signature) -> str:
    lines = [entry.doc] if entry.doc else []
    lines.append(f"{entry.name}{signature}")
    if entry.signature.dims:
        lines.append(f"Named sizes: {', '.join(entry.signature.dims)}.")
    return "\n\n".join(lines)


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn what the system says about a file into an ArtifactError."""
    try:
        yield
    except OSError as error:
        raise ArtifactError(f"{path}: {error.strerror or error}") from None


def _identity(path: Path) -> tuple[int, ...] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _digest(path: Path) -> str:
    with _reading(path), open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _load_pinned(path: str, digest: str, function: str | None, threads: int) -> Any:
    """What a pickle holds: the file by its path, which must hold the same bytes as when it was pickled."""
    if _digest(Path(path)) != digest:
        raise ArtifactError(f"{path}: not the file that was pickled, its digest differs")
    return load(path, function, library=function is None, threads=threads)
