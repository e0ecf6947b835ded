"""Static arguments of composites, checked in one place from their annotations `int`, `bool`, `float` and `str`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from phalanx.dialects.dims import Dim
from phalanx.dialects.errors import ArgumentError, TraceError


def whole(value: Any, who: str, name: str) -> Any:
    """An int, or a named size as it is."""
    if isinstance(value, (int, Dim)):
        return value
    try:
        return int(value.__index__())
    except (AttributeError, TypeError) as error:
        if isinstance(error, TraceError):
            raise
        raise ArgumentError(f"{who}: {name} is an int, got {value!r}") from None


def flag(value: Any, who: str, name: str) -> bool:
    """A bool, also as NumPy's or as an int."""
    if isinstance(value, (bool, np.bool_, int)):
        return bool(value)
    raise ArgumentError(f"{who}: {name} is True or False, got {value!r}")


def real(value: Any, who: str, name: str) -> float:
    """A Python float; not a traced tensor."""
    if isinstance(value, str):
        raise ArgumentError(f"{who}: {name} is a number, got {value!r}")
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError) as error:
        if isinstance(error, TraceError):
            raise
        raise ArgumentError(f"{who}: {name} is a number, got {value!r}") from None


def _number(value: Any, who: str, name: str) -> Any:
    """A number, or a tensor where the function computes with it."""
    if isinstance(value, (int, float, np.number, np.ndarray)) or hasattr(value, "aval"):
        return value
    raise ArgumentError(f"{who}: {name} is a number, got {value!r}")


def _word(value: Any, who: str, name: str) -> str:
    if isinstance(value, str):
        return value
    raise ArgumentError(f"{who}: {name} is a string, got {value!r}")


_CHECKS: dict[str, Callable[[Any, str, str], Any]] = {"int": whole, "bool": flag, "float": _number, "str": _word}


def checked(function: Callable[..., Any], who: str) -> Callable[..., Any]:
    """`function` with every argument annotated `int`, `bool`, `float` or `str` checked, and axes left to themselves.

    A wrong one raises ArgumentError. A function without such arguments is returned as it is.
    """
    code = function.__code__
    names = code.co_varnames[:code.co_argcount + code.co_kwonlyargcount]
    checks = {name: _CHECKS[kind] for name, kind in function.__annotations__.items()
              if kind in _CHECKS and name in names and name != "axis"}
    if not checks:
        return function
    places = [(place, name, checks[name]) for place, name in enumerate(names[:code.co_argcount]) if name in checks]

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        for name in kwargs:
            if name in checks:
                kwargs[name] = checks[name](kwargs[name], who, name)
        if places and places[0][0] < len(args):
            values = list(args)
            for place, name, check in places:
                if place < len(values):
                    values[place] = check(values[place], who, name)
            args = tuple(values)
        return function(*args, **kwargs)

    return call
