"""Executable: loaded machine code that is called with buffers and returns buffers."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from phalanx.dialects.dtypes import DType
from phalanx.dialects.errors import ArgumentError, DeviceError
from phalanx.dialects.records import record
from phalanx.runtime.allocator import HOST, Allocator
from phalanx.runtime.buffer import Buffer, donation
from phalanx.runtime.host_calls import HostSite, Launch
from phalanx.runtime.prepacked import Panels, Prepacked
from phalanx.runtime.signature import Signature
from phalanx.runtime.threads import prepare_launch

ENTRY_SYMBOL = "px_entry"
ARENA_SYMBOL = "px_arena_bytes"


class Code(Protocol):
    """Loaded machine code: a JIT-compiled object or a shared library."""

    def function(self, name: str, result: Any, *arguments: Any) -> Callable[..., Any]:
        """The exported function as a ctypes callable that keeps the code loaded."""


@record(eq=False)
class Sized:
    """An executable's named sizes, its results (bytes, dtype, shape) and scratch memory for them."""

    sizes: Any
    results: Sequence[tuple[int, DType, tuple[int, ...]]]
    arena: int


class Executable:
    """A compiled function with its signature. Safe to call from several threads at once.

    `aliases` maps a result to the donated input whose memory it takes when nobody else looks at it.
    `sites` are the places where the code calls Python. `threads` overrides the number in force at the call;
    `parallel=False` says that the code has no use for any but the calling one. `prepacked` names the inputs whose panels
    are passed in their place.

    >>> executable = Executable(jit.load(artifact.object), signature)
    >>> (result,) = executable([buffer])
    """

    def __init__(
        self,
        code: Code,
        signature: Signature,
        *,
        donated: Sequence[int] = (),
        aliases: Mapping[int, int] | None = None,
        sites: Sequence[HostSite] = (),
        threads: int | None = None,
        allocator: Allocator = HOST,
        parallel: bool = True,
        prepacked: Sequence[Panels] = (),
    ) -> None:
        self.signature = signature
        self.donated = tuple(donated)
        self.aliases = dict(aliases or {})
        self.sites = tuple(sites)
        self.threads = threads
        self.parallel = parallel
        self._allocator = allocator
        self.prepacked = Prepacked(prepacked, allocator) if prepacked else None
        self._check_aliases()
        pointer = ctypes.c_void_p
        self._entry = code.function(ENTRY_SYMBOL, ctypes.c_int32, pointer, pointer, pointer)
        self._measure = code.function(ARENA_SYMBOL, ctypes.c_int64, pointer)
        self._pointers = ctypes.c_void_p * (len(signature.inputs) + len(signature.outputs))
        self._sizes = ctypes.c_int64 * len(signature.dims)
        self._result_dtypes = [output.dtype for output in signature.outputs]
        self._static_shapes = None if signature.dims else signature.output_shapes(())
        self._static_arena = None if signature.dims else self.arena_bytes(())

    def _check_aliases(self) -> None:
        signature = self.signature
        for output, index in self.aliases.items():
            source, result = signature.inputs[index], signature.outputs[output]
            if index not in self.donated:
                raise ArgumentError(f"{signature.function}: '{source.name}' is aliased but not donated")
            if (source.dtype.itemsize, source.shape) != (result.dtype.itemsize, result.shape):
                raise ArgumentError(f"{signature.function}: '{source.name}' {source} cannot hold a {result}")
        if len(set(self.aliases.values())) != len(self.aliases):
            raise ArgumentError(f"{signature.function}: two results alias one argument")

    def arena_bytes(self, sizes: Sequence[int]) -> int:
        """Scratch memory one call takes, for given values of the named sizes."""
        needed = int(self._measure(self._sizes(*sizes)))
        if needed < 0:
            raise DeviceError(f"{self.signature.function}: sizes overflow, got {tuple(sizes)}")
        return needed

    def __call__(
        self,
        buffers: Sequence[Buffer],
        *,
        sites: Sequence[HostSite] | None = None,
        location: str | None = None,
    ) -> list[Buffer]:
        """Run on `buffers`, one per input; `location` is named by the error after use of a donated one.

        Raises ShapeError or DTypeError listing all arguments that do not fit, DeviceError for memory that
        is gone or elsewhere, and whatever a host call raised.
        """
        sizes = self.signature.bind(buffers)
        device = self._allocator.device
        for buffer in buffers:
            if buffer.device is not device and buffer.device != device:
                raise self._elsewhere(buffers)
        memories = [buffer.memory for buffer in buffers]  # held whatever other threads deallocate meanwhile
        if self.prepacked is not None:
            memories = self.prepacked.replace(memories)
        results = self._results(buffers, sizes)
        memories += [result.memory for result in results]
        addresses = [memory.address for memory in memories]
        for index in self.donated:
            buffers[index].donate(self.signature.inputs[index].name, self.signature.function, location)
        self._launch(self._pointers(*addresses), sizes, self.sites if sites is None else sites)
        return results

    @property
    def allocator(self) -> Allocator:
        """Where results and scratch memory come from."""
        return self._allocator

    def passed(self, number: int, buffer: Buffer) -> Buffer:
        """What the code is given for a buffer as input `number`: itself, or its panels."""
        memory = self.prepacked.memory(number, buffer.memory) if self.prepacked is not None else buffer.memory
        return buffer if memory is buffer.memory else Buffer(memory, buffer.dtype, buffer.shape, buffer.device)

    @property
    def entry_address(self) -> int:
        """Address of `px_entry`, valid as long as this object lives."""
        return ctypes.cast(self._entry, ctypes.c_void_p).value or 0  # type: ignore[arg-type]

    def donation_of(self, number: int) -> str:
        """What the buffer passed as input `number` says once a call took its memory."""
        return donation(self.signature.inputs[number].name, self.signature.function)

    def at(self, sizes: Sequence[int] = ()) -> Sized:
        """What calls with these values of the named sizes share."""
        results = [(math.prod(shape) * dtype.itemsize, dtype, shape)
                   for shape, dtype in zip(self.signature.output_shapes(tuple(sizes)), self._result_dtypes, strict=True)]
        return Sized(self._sizes(*sizes), results, self.arena_bytes(sizes))

    def call_plain(self, buffers: Sequence[Buffer], sized: Sized, threads: int | None = None) -> list[Buffer]:
        """Run on buffers of this device that were compared with the signature and these sizes, as a repeated call does.

        For code that takes no memory of arguments and calls no Python. Raises DeviceError when one of them is gone.
        """
        allocator = self._allocator
        memories = [buffer.memory for buffer in buffers]
        if self.prepacked is not None:
            memories = self.prepacked.replace(memories)
        allocate, device = allocator.allocate, allocator.device
        results = []
        for nbytes, dtype, shape in sized.results:
            memory = allocate(nbytes)
            memories.append(memory)
            results.append(Buffer(memory, dtype, shape, device))
        arena = allocate(sized.arena) if sized.arena else None
        prepare_launch(self.threads if threads is None else threads)
        pointers = self._pointers(*[memory.address for memory in memories])
        status = self._entry(pointers, sized.sizes, arena.address if arena is not None else None)
        if status:
            raise DeviceError(f"{self.signature.function}: native code failed with status {status}")
        return results

    def _elsewhere(self, buffers: Sequence[Buffer]) -> DeviceError:
        here = self._allocator.device
        wrong = [
            f"argument '{argument.name}' is on {buffer.device}, not on {here}"
            for buffer, argument in zip(buffers, self.signature.inputs, strict=True)
            if buffer.device != here
        ]
        return DeviceError(f"{self.signature.function}: {', '.join(wrong)}")

    def _results(self, buffers: Sequence[Buffer], sizes: tuple[int, ...]) -> list[Buffer]:
        shapes = self._static_shapes
        if shapes is None:
            shapes = self.signature.output_shapes(sizes)
        results = []
        for index, shape in enumerate(shapes):
            dtype = self._result_dtypes[index]
            source = self.aliases.get(index)
            if source is not None and _may_overwrite(buffers, source):
                memory = buffers[source].memory
            else:
                memory = self._allocator.allocate(math.prod(shape) * dtype.itemsize)
                if source is not None:  # the code reads such an argument where its result is
                    ctypes.memmove(memory.address, buffers[source].memory.address, math.prod(shape) * dtype.itemsize)
            results.append(Buffer(memory, dtype, shape, self._allocator.device))
        return results

    def _launch(self, pointers: Any, sizes: tuple[int, ...], sites: Sequence[HostSite]) -> None:
        needed = self._static_arena
        if needed is None:
            needed = self.arena_bytes(sizes)
        arena = self._allocator.allocate(needed) if needed else None
        scratch = arena.address if arena is not None else None
        prepare_launch(self.threads)
        if not self.sites:
            status = self._entry(pointers, self._sizes(*sizes), scratch)
        else:
            with Launch(sites, dict(zip(self.signature.dims, sizes, strict=True))) as launch:
                status = self._entry(pointers, self._sizes(*sizes), scratch)
            if launch.error is not None:
                raise launch.error
        if status:
            raise DeviceError(f"{self.signature.function}: native code failed with status {status}")

    def __repr__(self) -> str:
        inputs = ", ".join(f"{a.name}: {a}" for a in self.signature.inputs)
        outputs = ", ".join(str(a) for a in self.signature.outputs)
        return f"<executable {self.signature.function}({inputs}) -> ({outputs})>"


def _may_overwrite(buffers: Sequence[Buffer], index: int) -> bool:
    """Whether the memory of a donated buffer is its own and is passed only once."""
    buffer = buffers[index]
    memory = buffer.memory
    return buffer.exclusive and sum(other.memory is memory for other in buffers) == 1
