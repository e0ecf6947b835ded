"""What the array API standard asks of a namespace besides operations: dtypes, limits, devices, versions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from phalanx.compiler import config, dispatch
from phalanx.dialects import aval, dtypes
from phalanx.dialects.dtypes import DType, dtype_of
from phalanx.dialects.errors import ArgumentError, DTypeError
from phalanx.dialects.px.shape import normalize_shape
from phalanx.runtime.backends import get_backend
from phalanx.runtime.device import Device

VERSIONS = ("2022.12", "2023.12", "2024.12", "2025.12")
VERSION = VERSIONS[-1]

e = math.e
inf = math.inf
nan = math.nan
newaxis = None
pi = math.pi

_KINDS: dict[str, tuple[DType, ...]] = {
    "bool": (dtypes.bool_,),
    "signed integer": dtypes.SIGNED_INTEGERS,
    "unsigned integer": dtypes.UNSIGNED_INTEGERS,
    "integral": dtypes.INTEGERS,
    "real floating": dtypes.FLOATS,
    "complex floating": (),
    "numeric": dtypes.NUMBERS,
}


@dataclass(frozen=True)
class IntegerLimits:
    """The range of an integer dtype."""

    bits: int
    max: int
    min: int
    dtype: DType


@dataclass(frozen=True)
class FloatLimits:
    """Range and precision of a floating-point dtype."""

    bits: int
    eps: float
    max: float
    min: float
    smallest_normal: float
    dtype: DType


def _dtype_from(value: Any) -> DType:
    return value.dtype if isinstance(getattr(value, "aval", None), aval.Aval) else dtype_of(getattr(value, "dtype", value))


def iinfo(type: Any, /) -> IntegerLimits:
    """Limits of an integer dtype, or of a tensor's.

    >>> px.iinfo(px.int8).max
    127
    """
    dtype = _dtype_from(type)
    if not dtype.is_integer:
        raise DTypeError(f"iinfo: not an integer dtype, got {dtype}", hint=f"px.finfo(px.{dtype})")
    info = np.iinfo(dtype.numpy)
    return IntegerLimits(dtype.bits, int(info.max), int(info.min), dtype)


def finfo(type: Any, /) -> FloatLimits:
    """Limits of a floating-point dtype, or of a tensor's.

    >>> px.finfo(px.bfloat16).eps
    0.0078125
    """
    dtype = _dtype_from(type)
    if not dtype.is_inexact:
        raise DTypeError(f"finfo: not a floating-point dtype, got {dtype}", hint=f"px.iinfo(px.{dtype})")
    info: Any = ml_dtypes.finfo(dtype.numpy)  # type: ignore[no-untyped-call]
    return FloatLimits(dtype.bits, float(info.eps), float(info.max), float(info.min), float(info.smallest_normal), dtype)


def isdtype(dtype: Any, kind: Any) -> bool:
    """Whether a dtype is of a kind: a dtype, a name such as "integral", or a tuple of these.

    >>> px.isdtype(px.uint8, ("bool", "integral"))
    True
    """
    if isinstance(kind, tuple):
        return any(isdtype(dtype, k) for k in kind)
    if isinstance(kind, str) and kind in _KINDS:
        return dtype_of(dtype) in _KINDS[kind]
    if isinstance(kind, str):
        raise ArgumentError(f"isdtype: unknown kind {kind!r}", hint="one of " + ", ".join(_KINDS))
    return dtype_of(dtype) is dtype_of(kind)


def result_type(*arrays_and_dtypes: Any) -> DType:
    """The dtype the arguments meet in; Python numbers only count by their kind.

    >>> px.result_type(px.uint8, px.int8, 1)
    px.int16
    """
    if not arrays_and_dtypes:
        raise ArgumentError("result_type: at least one tensor, dtype or number")
    weak = [v for v in arrays_and_dtypes if dispatch.is_weak(v)]
    strong = [_dtype_from(v) for v in arrays_and_dtypes if not dispatch.is_weak(v)]
    if not strong:
        return dispatch.common_dtype(weak)
    found = strong[0]
    for dtype in strong[1:]:
        found = dtypes.promote(found, dtype)
    for value in weak:
        found = dtypes.promote_scalar(found, value)
    return found


def can_cast(from_: Any, to: DType, /) -> bool:
    """Whether promotion turns `from_` (a dtype or tensor) into `to`.

    >>> px.can_cast(px.int8, px.int32), px.can_cast(px.float32, px.int32)
    (True, False)
    """
    target = dtype_of(to)
    return dtypes.promote(_dtype_from(from_), target) is target


def broadcast_shapes(*shapes: Any) -> tuple[Any, ...]:
    """The shape that shapes broadcast to.

    >>> px.broadcast_shapes((3, 1), (4,))
    (3, 4)

    Raises ShapeError when they do not fit.
    """
    return aval.broadcast_shapes("broadcast_shapes", *[normalize_shape(s, "broadcast_shapes") for s in shapes])


class Information:
    """The standard's inspection functions, `px.__array_namespace_info__()`."""

    def capabilities(self) -> dict[str, Any]:
        """Which optional parts of the standard there are."""
        # Masks and sizes are taken outside traced functions, where values are known.
        return {"boolean indexing": True, "data-dependent shapes": False, "max dimensions": 64}

    def default_device(self) -> Device:
        """Where new tensors go."""
        return get_backend(config.get("backend")).devices[0]

    def devices(self) -> list[Device]:
        """The devices of the backend in force."""
        return list(get_backend(config.get("backend")).devices)

    def default_dtypes(self, *, device: Device | str | None = None) -> dict[str, DType]:
        """The dtypes of Python numbers and of positions."""
        return {"real floating": dtypes.DEFAULT_FLOAT, "integral": dtypes.DEFAULT_INT, "indexing": dtypes.DEFAULT_INT}

    def dtypes(self, *, device: Device | str | None = None, kind: Any = None) -> dict[str, DType]:
        """The dtypes by name, all or those of a kind as `px.isdtype` takes it."""
        return {d.name: d for d in dtypes.ALL if kind is None or isdtype(d, kind)}
