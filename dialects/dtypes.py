"""The one table of element types: name, NumPy type, MLIR types, kind, promotion.

A dtype has three MLIR spellings. `element` is its name inside the `px` dialect, where signedness and
truth values are visible (`ui8`, `i1`); `storage` is what memory holds after lowering (`i8` for bool:
`memref<..xi1>` aborts LLVM 22); `compute` is what scalar code uses (`i1` for bool).
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from phalanx.dialects.errors import DTypeError
from phalanx.dialects.records import record

KINDS = "biufc"  # bool, signed, unsigned, float, complex; later kinds win a promotion


@record(eq=False, repr=False)
class DType:
    """An element type, e.g. `px.float32`; equal only to itself and to the NumPy dtype it names."""

    name: str
    short: str
    kind: str
    bits: int
    element: str
    storage: str
    compute: str

    @functools.cached_property
    def numpy(self) -> np.dtype[Any]:
        """NumPy's type of the same elements."""
        return _numpy_bfloat16() if self.name == "bfloat16" else np.dtype(self.name)

    @property
    def itemsize(self) -> int:
        """Size of one element in memory, in bytes."""
        return self.bits // 8

    @property
    def is_float(self) -> bool:
        return self.kind == "f"

    @property
    def is_integer(self) -> bool:
        return self.kind in "iu"

    @property
    def is_signed(self) -> bool:
        return self.kind in "if"

    @property
    def is_bool(self) -> bool:
        return self.kind == "b"

    @property
    def is_inexact(self) -> bool:
        return self.kind in "fc"

    def __repr__(self) -> str:
        return f"px.{self.name}"

    def __str__(self) -> str:
        return self.name

    def __eq__(self, other: object) -> bool:
        if isinstance(other, DType):
            return self is other
        if isinstance(other, (str, np.dtype)) or (isinstance(other, type) and issubclass(other, np.generic)):
            try:
                return self.numpy == np.dtype(other)
            except TypeError:
                return False
        return NotImplemented

    def __hash__(self) -> int:
        return hash(self.numpy)

    def __reduce__(self) -> tuple[Any, ...]:
        return dtype_of, (self.name,)


def _numpy_bfloat16() -> np.dtype[Any]:
    try:
        import ml_dtypes  # a twentieth of the time that importing Phalanx takes, for one type
    except ImportError:  # the runtime alone needs NumPy only; elements are then two bytes without arithmetic
        return np.dtype("V2")
    return np.dtype(ml_dtypes.bfloat16)


def _make(name: str, short: str, kind: str, bits: int, element: str, storage: str = "", compute: str = "") -> DType:
    storage = storage or element
    return DType(name, short, kind, bits, element, storage, compute or storage)


# Rows of one kind stand in order of width.
bool_ = _make("bool", "bool", "b", 8, "i1", "i8", "i1")
int8 = _make("int8", "i8", "i", 8, "i8")
int16 = _make("int16", "i16", "i", 16, "i16")
int32 = _make("int32", "i32", "i", 32, "i32")
int64 = _make("int64", "i64", "i", 64, "i64")
uint8 = _make("uint8", "u8", "u", 8, "ui8", "i8")
uint16 = _make("uint16", "u16", "u", 16, "ui16", "i16")
uint32 = _make("uint32", "u32", "u", 32, "ui32", "i32")
uint64 = _make("uint64", "u64", "u", 64, "ui64", "i64")
float16 = _make("float16", "f16", "f", 16, "f16")
bfloat16 = _make("bfloat16", "bf16", "f", 16, "bf16")
float32 = _make("float32", "f32", "f", 32, "f32")
float64 = _make("float64", "f64", "f", 64, "f64")

ALL: tuple[DType, ...] = (
    bool_, int8, int16, int32, int64, uint8, uint16, uint32, uint64, float16, bfloat16, float32, float64,
)
FLOATS = tuple(d for d in ALL if d.kind == "f")
INTEGERS = tuple(d for d in ALL if d.kind in "iu")
SIGNED_INTEGERS = tuple(d for d in ALL if d.kind == "i")
UNSIGNED_INTEGERS = tuple(d for d in ALL if d.kind == "u")
NUMBERS = INTEGERS + FLOATS

DEFAULT_INT = int32
DEFAULT_FLOAT = float32

_BY_NAME = {d.name: d for d in ALL} | {d.short: d for d in ALL} | {"bool_": bool_}
_BY_NUMPY = {d.numpy: d for d in ALL if d is not bfloat16}
_BY_ELEMENT = {d.element: d for d in ALL}


def dtype_of(value: Any) -> DType:
    """The DType named by a DType, a name (`"float32"`, `"f32"`), a NumPy type or a Python scalar type.

    >>> px.dtype("bf16")
    px.bfloat16

    Raises DTypeError for anything outside the table (complex, strings, objects, ...).
    """
    if isinstance(value, DType):
        return value
    if isinstance(value, str) and value in _BY_NAME:
        return _BY_NAME[value]
    if value is bool:
        return bool_
    if value is int:
        return DEFAULT_INT
    if value is float:
        return DEFAULT_FLOAT
    try:
        # NumPy would take None for float64.
        found = None if value is None else _of_numpy(np.dtype(value).newbyteorder("="))
    except (TypeError, ValueError, SyntaxError):
        found = None
    if found is None:
        raise DTypeError(
            f"dtype: no element type {value!r}",
            hint="one of " + ", ".join(d.name for d in ALL),
        )
    return found


def _of_numpy(dtype: np.dtype[Any]) -> DType | None:
    found = _BY_NUMPY.get(dtype)
    return bfloat16 if found is None and dtype.kind == "V" and dtype == bfloat16.numpy else found


def from_element(text: str) -> DType:
    """The DType whose `px` element type is spelled `text`, e.g. `ui8`."""
    try:
        return _BY_ELEMENT[text]
    except KeyError:
        raise DTypeError(f"dtype: the px dialect has no element type {text}") from None


def scalar_dtype(value: Any) -> DType:
    """The dtype a bare Python scalar gets when nothing else decides: bool, int32 or float32.

    An int outside int32 gets the first of int64 and uint64 that holds it.
    """
    if isinstance(value, bool):
        return bool_
    if isinstance(value, int):
        for candidate in (int32, int64, uint64):
            info = np.iinfo(candidate.numpy)
            if info.min <= value <= info.max:
                return candidate
        raise DTypeError(f"dtype: {value} does not fit any integer type")
    if isinstance(value, float):
        return DEFAULT_FLOAT
    raise DTypeError(f"dtype: {type(value).__name__} is not a scalar Phalanx knows")


def _same_kind(a: DType, b: DType) -> DType:
    if a.bits == b.bits and a is not b:  # float16 with bfloat16: neither holds the other
        return float32
    return a if a.bits >= b.bits else b


_SIGNED_ABOVE = {8: int16, 16: int32, 32: int64}


def promote(a: DType, b: DType) -> DType:
    """The dtype two tensors meet in: the array-API table inside a kind, the higher kind across kinds.

    >>> promote(int64, float32), promote(uint8, int8)
    (px.float32, px.int16)

    uint64 with a signed integer has no common integer type in the standard; like Nx it gives int64.
    """
    if a is b:
        return a
    if a.kind == b.kind:
        return _same_kind(a, b)
    if {a.kind, b.kind} == {"i", "u"}:
        signed, unsigned = (a, b) if a.kind == "i" else (b, a)
        if signed.bits > unsigned.bits:
            return signed
        return _SIGNED_ABOVE.get(unsigned.bits, int64)
    return a if KINDS.index(a.kind) > KINDS.index(b.kind) else b


def promote_scalar(tensor: DType, value: Any) -> DType:
    """The dtype a Python scalar and a tensor meet in; the scalar is weak: only its kind counts.

    >>> promote_scalar(uint8, 3), promote_scalar(int64, 0.5)
    (px.uint8, px.float32)
    """
    if isinstance(value, (bool, np.bool_)):
        return tensor
    if isinstance(value, (int, np.integer)):
        return scalar_dtype(int(value)) if tensor.is_bool else tensor
    return tensor if tensor.is_inexact else DEFAULT_FLOAT


def accumulation(dtype: DType) -> DType:
    """The dtype a sum or product of `dtype` has by default: narrow integers widen to 32 bits, bool to int32."""
    if dtype.is_bool:
        return DEFAULT_INT
    if dtype.kind == "i" and dtype.bits < 32:
        return int32
    if dtype.kind == "u" and dtype.bits < 32:
        return uint32
    return dtype


def to_floating(dtype: DType) -> DType:
    """`dtype` itself when inexact, else the default float."""
    return dtype if dtype.is_inexact else DEFAULT_FLOAT
