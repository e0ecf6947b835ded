"""Tracer: what a traced function computes with; every operation on it builds a px op."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NoReturn

from phalanx.compiler import config
from phalanx.compiler.described import Described
from phalanx.compiler.trace.locations import user_location_text
from phalanx.dialects.aval import Aval
from phalanx.dialects.dims import Size
from phalanx.dialects.errors import TraceError
from phalanx.runtime.backends import get_backend
from phalanx.runtime.device import Device, parse_device

if TYPE_CHECKING:
    from phalanx.compiler.trace.tracing import Scope, Trace


class Tracer(Described[Size]):
    """A tensor that has no value yet. Operators and methods come from the op table (`compiler/methods.py`)."""

    __slots__ = ("__weakref__", "aval", "scope", "trace", "value", "weak")

    def __init__(self, trace: Trace, scope: Scope, value: Any, aval: Aval) -> None:
        self.trace = trace
        self.scope = scope
        self.value = value
        self.aval = aval
        self.weak = False

    @property
    def device(self) -> Device:
        """Where the function will run: the device new tensors go to."""
        return get_backend(config.get("backend")).devices[0]

    def to_device(self, device: Device | str, /, *, stream: object = None) -> Tracer:
        """The tracer itself: a traced function runs on one device.

        Raises DeviceError when the backend in force has no such device.
        """
        get_backend(config.get("backend")).check_device(parse_device(device))
        return self

    def __len__(self) -> int:
        if not self.ndim:
            raise TraceError("len: a rank-0 tensor has no length", location=user_location_text())
        return self.shape[0].__index__()

    def __iter__(self) -> Iterator[Any]:
        if not self.ndim:
            raise TraceError("iteration over a rank-0 tensor", location=user_location_text())
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        return f"Tracer<{self.aval}>"

    def _refuse(self, what: str, hint: str) -> NoReturn:
        raise TraceError(f"{what} of a traced tensor: {self!r} has no value while the function is traced",
                         hint=hint, location=user_location_text())

    def __bool__(self) -> NoReturn:
        self._refuse("the truth value", "use px.where(condition, a, b), px.cond(condition, true_fn, false_fn, *operands) "
                     "or px.while_loop(cond, body, init); `&`, `|`, `~` instead of and, or, not")

    def __float__(self) -> NoReturn:
        self._refuse("float()", "stay with tensors (x.astype(px.float32)), or move the conversion outside the defn")

    def __int__(self) -> NoReturn:
        self._refuse("int()", "stay with tensors (x.astype(px.int32)), or make the argument static: "
                     "@px.defn(static=(\"name\",))")

    def __index__(self) -> NoReturn:
        self._refuse("use as an index or a size", "use px.take or px.dynamic_slice for positions; sizes must be static: "
                     "@px.defn(static=(\"name\",)) or px.fori_loop(lo, hi, body, init) for loops")

    def __complex__(self) -> NoReturn:
        self._refuse("complex()", "stay with tensors")

    def __format__(self, spec: str) -> str:
        if spec:
            self._refuse(f"the format {spec!r}", "print values with px.print(x), or format the result outside the defn")
        return str(self)

    def __array__(self, *_: Any, **__: Any) -> NoReturn:
        self._refuse("a NumPy call", "call the px function of the same name instead of the numpy one, "
                     "or px.io_call(function, x) to run host code")

    def __array_function__(self, function: Any, *_: Any, **__: Any) -> NoReturn:
        self._refuse(f"numpy.{getattr(function, '__name__', 'function')}",
                     f"call px.{getattr(function, '__name__', 'function')} instead")

    def __dlpack__(self, *_: Any, **__: Any) -> NoReturn:
        self._refuse("an export", "export the result outside the defn")

    def __getstate__(self) -> NoReturn:
        self._refuse("a pickle", "return the tensor from the function and pickle the result")

    def item(self) -> NoReturn:
        self._refuse("item()", "return the tensor and call item() on the result outside the defn")

    def tolist(self) -> NoReturn:
        self._refuse("tolist()", "return the tensor and call tolist() on the result outside the defn")

    def numpy(self) -> NoReturn:
        self._refuse("numpy()", "return the tensor and call numpy() on the result outside the defn")
