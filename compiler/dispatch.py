"""What calling an op does: promote the operands, then build into the current trace or run on the backend."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from phalanx.compiler import eager
from phalanx.compiler.tensor import Tensor
from phalanx.compiler.trace import state
from phalanx.compiler.trace.locations import user_location_text
from phalanx.compiler.trace.tracer import Tracer
from phalanx.dialects import dtypes
from phalanx.dialects.dtypes import DType
from phalanx.dialects.errors import DTypeError, PhalanxError, TraceError
from phalanx.dialects.kinds import install_emitter
from phalanx.dialects.opdef import Op, install_dispatcher, lookup


def call(op: type[Op], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """`op(*args, **kwargs)` as users write it."""
    try:
        operands, attrs = op.prepare(*args, **kwargs)
        return apply(op, promote(op, operands), attrs)
    except PhalanxError as error:
        if error.location is None:
            error.location = user_location_text()
        raise


def apply(op: type[Op], operands: Sequence[Any], attrs: dict[str, Any]) -> Any:
    """An op whose operands already have their dtypes and whose attributes are in normal form."""
    trace = state.current()
    if trace is not None:
        return trace.emit(op, [trace.lift(o) for o in operands], attrs)
    for operand in operands:
        if isinstance(operand, Tracer):
            raise TraceError(
                f"leaked tracer: {operand!r} is used after the function that made it was traced",
                hint="return values from the function instead of storing them outside")
    return eager.run(op, [Tensor.of(o) for o in operands], attrs)


def is_weak(value: Any) -> bool:
    """Python scalars take the dtype of what they meet."""
    return isinstance(value, (bool, int, float)) and not isinstance(value, np.generic)


def as_value(value: Any, who: str) -> Any:
    """A Tensor, Tracer or Python scalar; other array-likes become Tensors."""
    if isinstance(value, (Tensor, Tracer)) or is_weak(value):
        return value
    if isinstance(value, complex):
        raise DTypeError(f"{who}: complex numbers are not supported", hint="pass the real and imaginary parts apart")
    if callable(value) and not hasattr(value, "__array__") and not hasattr(value, "__dlpack__"):
        raise DTypeError(f"{who}: a {type(value).__name__} is not a tensor", hint="pass the result of calling it")
    return Tensor.of(value)


def common_dtype(values: Sequence[Any]) -> DType:
    """The dtype tensors and weak Python scalars meet in."""
    found: DType | None = None
    weak = [v for v in values if is_weak(v) or getattr(v, "weak", False)]
    for value in values:
        if not any(value is w for w in weak):
            found = value.dtype if found is None else dtypes.promote(found, value.dtype)
    for value in weak:
        own = dtypes.scalar_dtype(value) if is_weak(value) else value.dtype
        if found is None:
            found = own
        elif dtypes.KINDS.index(own.kind) > dtypes.KINDS.index(found.kind):
            found = own if found.is_bool or own.is_inexact else found
    assert found is not None
    return found


def promote(op: type[Op], operands: Sequence[Any]) -> list[Any]:
    """Bring operands to the dtypes the op wants: a common one, floats, or just tensors."""
    values = [as_value(o, op.name) for o in operands]
    chosen = list(range(len(values))) if op.promotes is True else []
    if isinstance(op.promotes, tuple):
        names = [f.name for f in op.operands]
        chosen = [names.index(n) for n in op.promotes]
    if chosen:
        target = common_dtype([values[i] for i in chosen])
        if op.floats:
            target = dtypes.to_floating(target)
        for i in chosen:
            values[i] = cast(values[i], target, op.name)
    for i, value in enumerate(values):
        if is_weak(value):
            values[i] = cast(value, dtypes.scalar_dtype(value), op.name)
    return values


def cast(value: Any, dtype: DType, who: str) -> Any:
    """`value` in `dtype`; a Python scalar must fit."""
    if is_weak(value):
        return scalar(value, dtype, who)
    if value.dtype is dtype:
        return value
    return apply(lookup("convert"), [value], {"dtype": dtype})


def scalar(value: Any, dtype: DType, who: str) -> Any:
    """A rank-0 tensor of a Python scalar.

    Raises DTypeError when an int lies outside the range of an integer dtype.
    """
    if dtype.is_integer and not isinstance(value, bool):
        info = np.iinfo(dtype.numpy)
        if not info.min <= value <= info.max:
            raise DTypeError(f"{who}: {value} does not fit {dtype.name}",
                             hint=f"convert the tensor first: x.astype(px.{dtypes.scalar_dtype(int(value)).name})")
    trace = state.current()
    if trace is not None:
        return trace.constant(value, dtype)
    with np.errstate(over="ignore"):
        return Tensor.from_numpy(np.asarray(value).astype(dtype.numpy))


install_dispatcher(call)
install_emitter(apply)
