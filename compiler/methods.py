"""Gives Tensor and Tracer the operators and methods the op table and the composites declare."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from phalanx.compiler import dispatch
from phalanx.compiler.boundary import for_user
from phalanx.compiler.tensor import Tensor, refuse_assignment
from phalanx.compiler.trace.tracer import Tracer
from phalanx.dialects.errors import PhalanxError
from phalanx.dialects.opdef import COMPOSITES, REGISTRY
from phalanx.dialects.px.rearrange import matrix_transpose
from phalanx.dialects.px.shape import transpose
from phalanx.dialects.px.subscript import At

_BINARY = {
    "+": "add", "-": "sub", "*": "mul", "/": "truediv", "//": "floordiv", "%": "mod", "**": "pow", "@": "matmul",
    "&": "and", "|": "or", "^": "xor", "<<": "lshift", ">>": "rshift",
}
_COMPARE = {"==": "eq", "!=": "ne", "<": "lt", "<=": "le", ">": "gt", ">=": "ge"}
_UNARY = {"u-": "neg", "u+": "pos", "~": "invert", "abs": "abs"}

# Defining __eq__ from the op table must not take hashing away: tensors hash by identity.
_FIXED: dict[str, Callable[..., Any]] = {"__setitem__": refuse_assignment, "__hash__": object.__hash__}
_PROPERTIES: dict[str, Callable[[Any], Any]] = {"at": At, "T": transpose, "mT": matrix_transpose}


def _operator(function: Callable[..., Any], *, reflected: bool = False) -> Callable[..., Any]:
    def binary(self: Any, other: Any) -> Any:
        if not _is_operand(other):
            return NotImplemented
        try:
            return function(other, self) if reflected else function(self, other)
        except PhalanxError as error:
            raise for_user(error) from error.__cause__

    return binary


def _is_operand(value: Any) -> bool:
    return (isinstance(value, (Tensor, Tracer)) or dispatch.is_weak(value) or hasattr(value, "__array__")
            or hasattr(value, "__dlpack__") or isinstance(value, (list, tuple, complex)))


def _method(function: Callable[..., Any]) -> Callable[..., Any]:
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        for name in ("out", "dtype"):  # np.mean(x) and its like call x.mean(axis=None, dtype=None, out=None)
            if name in kwargs and kwargs[name] is None:
                del kwargs[name]
        try:
            return function(self, *args, **kwargs)
        except PhalanxError as error:
            raise for_user(error) from error.__cause__

    method.__doc__ = function.__doc__
    return method


def _attach(cls: type[Any], symbol: str | None, method: str | None, function: Callable[..., Any]) -> None:
    if symbol in _BINARY:
        setattr(cls, f"__{_BINARY[symbol]}__", _operator(function))
        setattr(cls, f"__r{_BINARY[symbol]}__", _operator(function, reflected=True))
    elif symbol in _COMPARE:
        setattr(cls, f"__{_COMPARE[symbol]}__", _operator(function))
    elif symbol in _UNARY:
        setattr(cls, f"__{_UNARY[symbol]}__", _method(function))
    elif symbol is not None:
        raise ValueError(f"no operator is spelled {symbol!r}")
    if method:
        setattr(cls, method, _method(function))


def attach_all() -> None:
    """Install everything; called once, after the op families are imported."""
    for op in REGISTRY.values():
        for cls in (Tensor, Tracer):
            _attach(cls, op.symbol, op.method, op)
    for composite in COMPOSITES.values():
        for cls in (Tensor, Tracer):
            _attach(cls, composite.symbol, composite.method, composite.function)
    for cls in (Tensor, Tracer):
        for name, function in _PROPERTIES.items():
            setattr(cls, name, property(function))
        for name, function in _FIXED.items():
            setattr(cls, name, function)
