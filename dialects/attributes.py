"""How attribute values of ops are written in MLIR and read back.

Python value         MLIR
bool, int, float     `true`, `3 : i64`, `0.5 : f64`
str                  `"zeros"`
DType                the element type, `ui8`
None                 `unit`
tuple of ints        `array<i64: 0, 1>`
tuple with a Dim     `["2*n", 128]`   (named sizes are text)
tuple of tuples      `[array<i64: 0>, array<i64: 1, 2>]`
NumPy array          `dense<...> : tensor<...>`
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from mlir import ir

from phalanx.dialects import dims, dtypes
from phalanx.dialects.dims import Dim
from phalanx.dialects.dtypes import DType
from phalanx.dialects.errors import ArgumentError
from phalanx.dialects.types import element_type, tensor_type


def encode(value: Any) -> ir.Attribute:
    """The MLIR attribute of a Python attribute value; needs a current context."""
    if value is None:
        return ir.UnitAttr.get()
    if isinstance(value, (bool, np.bool_)):
        return ir.BoolAttr.get(bool(value))
    if isinstance(value, (int, np.integer)):
        return ir.IntegerAttr.get(ir.IntegerType.get_signless(64), int(value))
    if isinstance(value, float):
        return ir.FloatAttr.get(ir.F64Type.get(), value, loc=ir.Location.unknown())
    if isinstance(value, str):
        return ir.StringAttr.get(value)
    if isinstance(value, Dim):
        return ir.StringAttr.get(str(value))
    if isinstance(value, DType):
        return ir.TypeAttr.get(element_type(value))
    if isinstance(value, np.ndarray):
        return encode_array(value)
    if isinstance(value, (tuple, list)):
        if all(isinstance(v, (int, np.integer)) and not isinstance(v, bool) for v in value):
            return ir.DenseI64ArrayAttr.get([int(v) for v in value])
        return ir.ArrayAttr.get([encode(v) for v in value])
    raise ArgumentError(f"attribute: a {type(value).__name__} cannot be written in the IR")


def encode_array(array: np.ndarray[Any, Any]) -> ir.Attribute:
    """`dense<...>` of a NumPy array, whatever its dtype in the table."""
    dtype = dtypes.dtype_of(array.dtype)
    array = np.ascontiguousarray(array).reshape(array.shape)
    shaped = tensor_type(array.shape, dtype)
    if dtype.is_bool:  # packed bits in the C API: build it from attributes instead
        if not array.size or (array == array.flat[0]).all():
            return ir.DenseElementsAttr.get_splat(shaped, ir.BoolAttr.get(bool(array.any())))
        return ir.DenseElementsAttr.get([ir.BoolAttr.get(bool(v)) for v in array.reshape(-1)], shaped)
    if array.size == 1:
        return ir.DenseElementsAttr.get_splat(shaped, _scalar(array.reshape(-1)[0], dtype))
    if dtype.name == "bfloat16":
        array = array.view(np.uint16)
    return ir.DenseElementsAttr.get(array, type=element_type(dtype), shape=list(array.shape))


def _scalar(value: Any, dtype: DType) -> ir.Attribute:
    kind = element_type(dtype)
    if dtype.is_float:
        return ir.FloatAttr.get(kind, float(value), loc=ir.Location.unknown())
    number = int(value)
    return ir.IntegerAttr.get(kind, number - 2**64 if number >= 2**63 else number)  # the C API takes an int64


def decode_array(attribute: ir.Attribute) -> np.ndarray[Any, Any]:
    """The NumPy array of a `dense<...>` attribute."""
    dense = ir.DenseElementsAttr(attribute)
    shaped = ir.ShapedType(dense.type)
    dtype = dtypes.from_element(str(shaped.element_type))
    shape = tuple(shaped.shape)
    if dtype.is_bool or dense.is_splat or dtype.is_float:
        if dense.is_splat:
            return np.full(shape, splat_value(dense, dtype), dtype=dtype.numpy)
        if dtype.is_bool:
            return np.array(ir.DenseIntElementsAttr(dense), dtype=np.bool_).reshape(shape)
        if dtype.name == "bfloat16":
            return _bfloat16_values(dense).reshape(shape)
        return np.array(dense).astype(dtype.numpy).reshape(shape)
    values = [int(v) for v in ir.DenseIntElementsAttr(dense)]
    return np.array(values, dtype=dtype.numpy).reshape(shape)


def _bfloat16_values(dense: ir.DenseElementsAttr) -> np.ndarray[Any, Any]:
    """The elements in order, from the text: the bindings cannot read bfloat16."""
    bits = dtypes.bfloat16.numpy
    inner = str(dense).removeprefix("dense<").rsplit(">", 2)[0]
    if inner.startswith('"0x'):
        return np.frombuffer(bytes.fromhex(inner.strip('"')[2:]), bits)
    tokens = re.findall(r"[-+.\w]+", inner)
    values = [np.uint16(int(t, 16)).view(bits) if t.startswith("0x") else bits.type(float(t)) for t in tokens]
    return np.array(values, bits)


def splat_value(dense: ir.DenseElementsAttr, dtype: DType) -> Any:
    """The one value of a splat, as a NumPy scalar."""
    if ir.ShapedType(dense.type).has_static_shape and 0 in tuple(ir.ShapedType(dense.type).shape):
        return dtype.numpy.type(0)
    value = dense.get_splat_value()
    if dtype.is_float:
        return dtype.numpy.type(ir.FloatAttr(value).value)
    if dtype.is_bool:
        return np.bool_(ir.BoolAttr(value).value)
    number = ir.IntegerAttr(value).value
    return dtype.numpy.type(number % 2**dtype.bits if dtype.kind == "u" else number)  # ui64 comes as a signed int


def decode(attribute: ir.Attribute) -> Any:
    """The Python value of an attribute `encode` wrote."""
    if isinstance(attribute, ir.UnitAttr):
        return None
    if isinstance(attribute, ir.BoolAttr):
        return attribute.value
    if isinstance(attribute, ir.IntegerAttr):
        return attribute.value
    if isinstance(attribute, ir.FloatAttr):
        return attribute.value
    if isinstance(attribute, ir.StringAttr):
        return attribute.value
    if isinstance(attribute, ir.TypeAttr):
        return dtypes.from_element(str(attribute.value))
    if isinstance(attribute, ir.DenseI64ArrayAttr):
        return tuple(attribute)
    if isinstance(attribute, ir.DenseElementsAttr):
        return decode_array(attribute)
    if isinstance(attribute, ir.ArrayAttr):
        return tuple(_decode_size(a) for a in attribute)
    raise ArgumentError(f"attribute: cannot read {attribute}")


def _decode_size(attribute: ir.Attribute) -> Any:
    """Inside a list, text is a named size."""
    if isinstance(attribute, ir.StringAttr):
        return dims.parse(attribute.value)
    return decode(attribute)
