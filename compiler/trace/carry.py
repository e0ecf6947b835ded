"""What a carry and a scan must keep: the rules loops share inside and outside a trace, free of MLIR."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from phalanx.dialects import dtypes
from phalanx.dialects.aval import Aval
from phalanx.dialects.dims import Size
from phalanx.dialects.dtypes import DType
from phalanx.dialects.errors import DTypeError, ShapeError, TraceError
from phalanx.dialects.px.shape import normalize_size


def check_carry(who: str, before: Sequence[Aval], after: Sequence[Aval], structures: tuple[Any, Any],
                names: Sequence[str]) -> None:
    """The carry must keep its structure, shapes and dtypes."""
    if structures[0] != structures[1]:
        raise TraceError(f"{who}: the body changes the structure of the carry, from {structures[0]} to {structures[1]}")
    wrong = [f"carry{n}: {a} becomes {b}" for n, a, b in zip(names, before, after, strict=True) if a != b]
    if wrong:
        dtype_only = all(a.shape == b.shape for a, b in zip(before, after, strict=True))
        raise (DTypeError if dtype_only else ShapeError)(
            f"{who}: the body changes the type of the carry, " + "; ".join(wrong),
            hint="give the initial value the final type: x.astype(...), px.broadcast_to(...)")


def counter_dtype(lower: Any, upper: Any) -> DType:
    """The dtype a loop counts in: that of a bound that is a tensor, else int32, or int64 where a bound needs it."""
    wide = False
    for bound in (upper, lower):
        dtype = getattr(getattr(bound, "aval", None), "dtype", None)
        if isinstance(dtype, DType):
            return dtype
        if isinstance(bound, (int, np.integer)) and not -2**63 <= int(bound) < 2**63:
            raise DTypeError(f"fori_loop: a loop bound is an int64 at most, got {bound}")
        wide |= isinstance(bound, (int, np.integer)) and not -2**31 <= int(bound) < 2**31
    return dtypes.int64 if wide else dtypes.int32


def loop_bound(bound: Any, who: str) -> Any:
    """A bound of a loop that runs outside a trace, as a Python int or a tensor that becomes one."""
    aval = getattr(bound, "aval", None)
    if isinstance(bound, (bool, np.bool_, float, np.floating)) or (aval and (aval.ndim or not aval.dtype.is_integer)):
        raise DTypeError(f"{who}: a loop bound is a rank-0 integer, got {aval or repr(bound)}")
    return bound


def pair(result: Any) -> tuple[Any, Any]:
    """The (carry, output) a scanned function returns."""
    if not isinstance(result, tuple) or len(result) != 2:
        raise TraceError(f"scan: the function returns a pair (carry, output), got {type(result).__name__}",
                         hint="return carry, None when there is no output")
    return result


def scan_length(sources: Sequence[Any], length: Size | None) -> Size:
    """The common leading size of the scanned tensors."""
    found = None if length is None else normalize_size(length, "scan")
    for source in sources:
        if not source.ndim:
            raise ShapeError(f"scan: every xs needs a leading axis, got {source.aval}")
        if found is None:
            found = source.shape[0]
        elif found != source.shape[0]:
            raise ShapeError(f"scan: xs have different leading sizes, got {found} and {source.shape[0]}")
    if found is None:
        raise ShapeError("scan: give xs or length", hint="px.scan(f, init, xs) or px.scan(f, init, None, length=10)")
    return found
