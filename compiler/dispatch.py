"""What calling an op does: promote the operands, then build into the current trace or run on the backend."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from phalanx.compiler import config, eager
from phalanx.compiler.boundary import for_user
from phalanx.compiler.tensor import Tensor
from phalanx.compiler.trace import state
from phalanx.compiler.trace.tracer import Tracer
from phalanx.dialects import dtypes
from phalanx.dialects.aval import numpy_of
from phalanx.dialects.dtypes import DType
from phalanx.dialects.errors import ArgumentError, DTypeError, PhalanxError, TraceError
from phalanx.dialects.kinds import install_emitter
from phalanx.dialects.opdef import Op, install_dispatcher, lookup
from phalanx.runtime.backends import Backend, get_backend


def call(op: type[Op], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """`op(*args, **kwargs)` as users write it."""
    try:
        operands, attrs = _split(op, args, kwargs)
        return apply(op, promote(op, operands), attrs)
    except PhalanxError as error:
        raise for_user(error) from error.__cause__


def _split(op: type[Op], args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """`op.prepare`, which calls of ops without attributes do not need."""
    plain = _plain.get(op)
    if plain is None:
        own = op.prepare.__func__ is not Op.prepare.__func__  # type: ignore[attr-defined]
        needed = own or op.attributes or any(f.variadic for f in op.operands)
        plain = _plain[op] = -1 if needed else len(op.operands)
    if kwargs or len(args) != plain:
        try:
            return op.prepare(*args, **kwargs)
        except TypeError:
            _check_call(op, args, kwargs)
            raise
    return list(args), {}


def _check_call(op: type[Op], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Raise ArgumentError, with the signature, when the arguments do not fit it."""
    signature = inspect.signature(op)
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        names = ", ".join(signature.parameters)
        raise ArgumentError(f"{op.name}: {error}", hint=f"the arguments are px.{op.name}({names})") from None


# By op: the number of operands when a call needs no preparation, -1 when it does.
_plain: dict[type[Op], int] = {}


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


def as_value(value: Any, who: str, backend: Backend | None = None) -> Any:
    """A Tensor, Tracer or Python scalar; other array-likes become Tensors, on `backend` or the one in force."""
    if isinstance(value, (Tensor, Tracer)) or is_weak(value):
        return value
    if isinstance(value, complex):
        raise DTypeError(f"{who}: complex numbers are not supported", hint="pass the real and imaginary parts apart")
    if callable(value) and not hasattr(value, "__array__") and not hasattr(value, "__dlpack__"):
        raise DTypeError(f"{who}: a {type(value).__name__} is not a tensor", hint="pass the result of calling it")
    trace = state.current()
    if trace is not None and (isinstance(value, np.generic) or (isinstance(value, np.ndarray) and not value.shape)):
        return trace.lift(value)  # a number: known to the compiler, not a hidden argument
    if isinstance(value, (list, tuple)) and _list_readers:
        value = _list_readers[0](value)
        if isinstance(value, (Tensor, Tracer)):
            return value
    return Tensor.from_numpy(numpy_of(value), backend)


_list_readers: list[Callable[[Any], Any]] = []


def install_list_reader(reader: Callable[[Any], Any]) -> None:
    """Say what becomes of a list given as an operand: one with tensors inside is stacked, others come back as they are."""
    _list_readers[:] = [reader]


def common_dtype(values: Sequence[Any]) -> DType:
    """The dtype tensors and weak Python scalars meet in."""
    found: DType | None = None
    weak: list[Any] = []
    for value in values:
        if is_weak(value) or value.weak:
            weak.append(value)
        else:
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
    first = operands[0] if operands else None
    if type(first) is Tensor and (not op.floats or first.dtype.is_inexact):
        dtype = first.dtype
        if all(type(o) is Tensor and o.dtype is dtype for o in operands):
            return list(operands)
    backend = _home(operands)
    values = [as_value(o, op.name, backend) for o in operands]
    chosen = list(range(len(values))) if op.promotes is True else []
    if isinstance(op.promotes, tuple):
        names = [f.name for f in op.operands]
        chosen = [names.index(n) for n in op.promotes]
    if chosen:
        target = common_dtype([values[i] for i in chosen])
        if op.floats:
            target = dtypes.to_floating(target)
        for i in chosen:
            values[i] = cast(values[i], target, op.name, backend)
    for i, value in enumerate(values):
        if is_weak(value):
            values[i] = cast(value, dtypes.scalar_dtype(value), op.name, backend)
    return values


def _home(operands: Sequence[Any]) -> Backend | None:
    """The backend numbers and arrays go to: where the first tensor among the operands is."""
    for operand in operands:
        if isinstance(operand, Tensor):
            return operand.backend
    return None


def cast(value: Any, dtype: DType, who: str, backend: Backend | None = None) -> Any:
    """`value` in `dtype`; a Python scalar must fit."""
    if is_weak(value):
        return scalar(value, dtype, who, backend)
    if value.dtype is dtype:
        return value
    return apply(lookup("convert"), [value], {"dtype": dtype})


def scalar(value: Any, dtype: DType, who: str, backend: Backend | None = None) -> Any:
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
    return eager.number(value, dtype, backend or get_backend(config.get("backend")))


install_dispatcher(call)
install_emitter(apply)
