"""From what callers pass to arrays whose memory native code can read or write."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from phalanx.dialects.dtypes import DType, dtype_of
from phalanx.dialects.errors import ArgumentError, DeviceError, DTypeError
from phalanx.runtime import dlpack
from phalanx.runtime.signature import Argument

Array = np.ndarray[Any, Any]


class Found(NamedTuple):
    """Dtype and shape of what was passed, as a Signature checks them."""

    dtype: DType
    shape: tuple[int, ...]


def flatten(tree: Any, value: Any, path: str) -> Iterator[tuple[int, Any]]:
    """(number, leaf) of every leaf of `value`, which must have the structure of `tree`.

    Raises ArgumentError that names the place where it has not.
    """
    if isinstance(tree, int):
        yield tree, value
        return
    if tree is None:
        if value is not None:
            raise ArgumentError(f"{path} must be None, got {type(value).__name__}")
        return
    ((kind, content),) = tree.items()
    if kind == "dict":
        if not isinstance(value, Mapping) or {str(key) for key in value} != content.keys():
            got = sorted(map(str, value)) if isinstance(value, Mapping) else type(value).__name__
            raise ArgumentError(f"{path} must be a dict with {', '.join(map(repr, content))}, got {got}")
        for key, item in value.items():
            yield from flatten(content[str(key)], item, f"{path}[{key!r}]")
        return
    if not isinstance(value, (list, tuple)) or len(value) != len(content):
        got = f"{len(value)}" if isinstance(value, (list, tuple)) else type(value).__name__
        raise ArgumentError(f"{path} must be a {'tuple' if kind == 'leaves' else kind} of {len(content)}, got {got}")
    for position, (subtree, item) in enumerate(zip(content, value, strict=True)):
        yield from flatten(subtree, item, f"{path}[{position}]")


def unflatten(tree: Any, leaves: Sequence[Any]) -> Any:
    """The tree with `leaves` in their places."""
    if tree is None:
        return None
    if isinstance(tree, int):
        return leaves[tree]
    ((kind, content),) = tree.items()
    if kind == "dict":
        return {key: unflatten(subtree, leaves) for key, subtree in content.items()}
    items = [unflatten(subtree, leaves) for subtree in content]
    return items if kind == "list" else tuple(items)


def as_array(value: Any, argument: Argument) -> Array | str:
    """The array behind a value, sharing its memory where possible; or what is wrong with it, in words."""
    if type(value) is not np.ndarray and isinstance(value, np.ma.MaskedArray):
        return "must be an array without a mask, got a masked one"
    if isinstance(value, np.ndarray):
        return value
    if isinstance(value, (bool, int, float)) and not isinstance(value, np.generic):
        return _scalar(value, argument)
    if hasattr(value, "__dlpack__") and not isinstance(value, np.generic):
        try:
            return dlpack.import_array(value)
        except DeviceError as error:
            where = error.message.removeprefix("from_dlpack: ")
            raise DeviceError(f"argument '{argument.name}' must be an array {argument} on the host: {where}",
                              hint=error.hint) from None
    if hasattr(value, "__array__"):
        return np.asarray(value)
    return f"must be an array {argument}, got {type(value).__name__}"


def _scalar(value: bool | int | float, argument: Argument) -> Array | str:
    """A Python number takes the argument's dtype when its kind allows that."""
    allowed: tuple[type, ...] = {"b": (bool,), "f": (int, float)}.get(argument.dtype.kind, (int,))
    if argument.shape or not isinstance(value, allowed) or (isinstance(value, bool) and not argument.dtype.is_bool):
        return f"must be an array {argument}, got the number {value!r}"
    try:
        return np.asarray(value, argument.dtype.numpy)
    except (OverflowError, ValueError):
        return f"must be {argument}, which {value!r} does not fit"


def found(array: Array, expected: DType | None = None) -> Found:
    """Dtype and shape of an array; a dtype that is not in the table keeps its NumPy name."""
    if expected is not None and array.dtype is expected.numpy:
        return Found(expected, array.shape)
    try:
        dtype = dtype_of(array.dtype)
    except DTypeError:
        dtype = DType(str(array.dtype), str(array.dtype), "c", 8 * array.itemsize, "", "", "")
    return Found(dtype, array.shape)


def readable(array: Array) -> Array:
    """The elements in native byte order, row-major, aligned, truth values 0 or 1; copied only where they are not."""
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    flags = array.flags
    if not (flags.c_contiguous and flags.aligned):
        array = np.require(array, requirements=("C", "A"))
    if array.dtype.kind == "b" and array.size and bool(np.any(array.view(np.uint8) > 1)):
        array = array.view(np.uint8) != 0
    return array


def why_not_written(array: Any, argument: Argument, shape: tuple[int, ...]) -> str | None:
    """Why a result cannot be put into `array`, in words; None when it can."""
    if not isinstance(array, np.ndarray) or isinstance(array, np.ma.MaskedArray):
        return f"must be a NumPy array, got {type(array).__name__}"
    if array.dtype != argument.dtype.numpy or not array.dtype.isnative or array.shape != shape:
        wanted = f"{argument.dtype.short}[{','.join(map(str, shape))}]"
        got = found(array)
        return f"must be {wanted}, got {got.dtype.short}[{','.join(map(str, array.shape))}]"
    if not array.flags.writeable:
        return "is read-only"
    if not (array.flags.c_contiguous and array.flags.aligned):
        return f"must be contiguous in row-major order and aligned, got strides {array.strides}"
    return None


def address(array: Array) -> int:
    """Address of the first element."""
    where: int = array.__array_interface__["data"][0]
    return where
