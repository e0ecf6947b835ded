"""Calls from native code back into Python: one C entry point, `px_host_call(site, buffers)`.

Native code calls it on the thread that launched it, so a stack per thread says which executable's call
sites are meant. A Python exception cannot travel through native code: it is kept, later calls of the same
launch do nothing, and whoever launched raises it afterwards.
"""

from __future__ import annotations

import ctypes
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from phalanx.dialects.errors import DTypeError, ShapeError
from phalanx.dialects.records import record, replace
from phalanx.runtime.signature import Argument

Array = np.ndarray[Any, Any]


class HostSite(Protocol):
    """One place in a compiled function that calls Python."""

    @property
    def inputs(self) -> Sequence[Argument]: ...

    @property
    def outputs(self) -> Sequence[Argument]: ...

    def call(self, arrays: Sequence[Array]) -> Sequence[Array]:
        """Run the Python function on read-only arrays; the results have the types of `outputs`."""


@record
class HostCallback:
    """A named Python function with the types it takes and gives.

    >>> HostCallback("log", print, (Argument("loss", float32, ()),), ()).call([np.float32(1.5)])
    1.5
    []
    """

    name: str
    function: Callable[..., Any]
    inputs: tuple[Argument, ...]
    outputs: tuple[Argument, ...]

    def call(self, arrays: Sequence[Array]) -> list[Array]:
        """Run the function; raises ShapeError or DTypeError when its results are not what was declared."""
        found = self.function(*arrays)
        if not self.outputs:
            return []
        values = list(found) if isinstance(found, (tuple, list)) else [found]
        if len(values) != len(self.outputs):
            raise ShapeError(f"io_call '{self.name}': declared {len(self.outputs)} results, got {len(values)}")
        results = []
        for value, output in zip(values, self.outputs, strict=True):
            array = np.asarray(value)
            if not np.can_cast(array.dtype, output.dtype.numpy, "same_kind"):
                raise DTypeError(f"io_call '{self.name}': result '{output.name}' must be {output}, got {array.dtype}")
            if not output.dynamic and array.shape != output.shape:
                raise ShapeError(f"io_call '{self.name}': result '{output.name}' must be {output}, got {array.shape}")
            results.append(array.astype(output.dtype.numpy, copy=False))
        return results

    def overridden(self, functions: Mapping[str, Callable[..., Any]]) -> HostCallback:
        """This site with the function that a call gives for its name."""
        return replace(self, function=functions.get(self.name, self.function))


class Launch:
    """The call sites of one running executable, and the first exception one of them raised."""

    __slots__ = ("error", "names", "sites")

    def __init__(self, sites: Sequence[HostSite], names: Mapping[str, int]) -> None:
        self.sites = sites
        self.names = names
        self.error: BaseException | None = None

    def __enter__(self) -> Launch:
        _launches.stack.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        _launches.stack.pop()

    def run(self, index: int, pointers: Any) -> None:
        """Call site `index` with the operand pointers, and fill the result pointers that follow them."""
        site = self.sites[index]
        count = len(site.inputs)
        targets = [
            _memory(pointers[count + k], output.bound(self.names), output) for k, output in enumerate(site.outputs)
        ]
        if self.error is not None:
            for target in targets:
                target.fill(0)
            return
        try:
            arrays = []
            for k, argument in enumerate(site.inputs):
                # A copy: the arena is reused as soon as native code goes on, the callee may keep its arrays.
                array = _memory(pointers[k], argument.bound(self.names), argument).copy()
                array.flags.writeable = False
                arrays.append(array)
            for target, value in zip(targets, site.call(arrays), strict=True):
                if np.shape(value) != target.shape:
                    raise ShapeError(f"io_call: result must have shape {target.shape}, got {np.shape(value)}")
                target[...] = value
        except BaseException as error:  # noqa: BLE001 - raised by the launcher, native code cannot carry it
            self.error = error
            for target in targets:
                target.fill(0)


def _memory(address: int | None, shape: tuple[int, ...], argument: Argument) -> Array:
    """The elements at `address`; an empty array for no elements, whose address may be anything."""
    nbytes = math.prod(shape) * argument.dtype.itemsize
    if nbytes == 0 or address is None:
        return np.empty(shape, argument.dtype.numpy)
    raw = memoryview((ctypes.c_uint8 * nbytes).from_address(address)).cast("B")
    return np.frombuffer(raw, dtype=np.uint8).view(argument.dtype.numpy).reshape(shape)


class _Launches(threading.local):
    def __init__(self) -> None:
        self.stack: list[Launch] = []


_launches = _Launches()


def _dispatch(site: int, pointers: Any) -> None:
    _launches.stack[-1].run(site, pointers)


#: `void px_host_call(int64_t site, void** buffers)`; kept for the life of the process.
HOST_CALL = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.POINTER(ctypes.c_void_p))(_dispatch)
HOST_CALL_SYMBOL = "px_host_call"
HOST_CALL_ADDRESS: int = ctypes.cast(HOST_CALL, ctypes.c_void_p).value or 0
