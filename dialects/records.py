"""`@record`: frozen classes of named values, as `@dataclass(frozen=True)` makes them, without generating code.

A dataclass writes and compiles its methods when its module is imported, half a millisecond each; importing Phalanx
defines two dozen. The methods here are shared by all records.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, dataclass_transform

C = TypeVar("C", bound=type[Any])


def _initialise(self: Any, *values: Any, **named: Any) -> None:
    cls = type(self)
    names: tuple[str, ...] = cls.__match_args__
    if len(values) == len(names) and not named:
        vars(self).update(zip(names, values, strict=True))
        return
    if len(values) > len(names):
        raise TypeError(f"{cls.__name__}() takes {len(names)} values, got {len(values)}")
    found = dict(zip(names, values, strict=False))
    for name, value in named.items():
        if name not in names or name in found:
            raise TypeError(f"{cls.__name__}() got an unexpected value {name!r}")
        found[name] = value
    for name in names:
        if name not in found:
            if name not in cls._defaults:
                raise TypeError(f"{cls.__name__}() needs a value for {name!r}")
            found[name] = cls._defaults[name]
    vars(self).update(found)


def _refuse(self: Any, name: str, *_: Any) -> None:
    raise AttributeError(f"a {type(self).__name__} cannot be changed, got {name!r}")


def _values(self: Any) -> tuple[Any, ...]:
    held = vars(self)
    return tuple([held[name] for name in self.__match_args__])


def _equal(self: Any, other: Any) -> Any:
    return _values(self) == _values(other) if type(other) is type(self) else NotImplemented


def _hash(self: Any) -> int:
    return hash(_values(self))


def _text(self: Any) -> str:
    pairs = zip(self.__match_args__, _values(self), strict=True)
    return f"{type(self).__qualname__}({', '.join(f'{name}={value!r}' for name, value in pairs)})"


_METHODS: dict[str, Callable[..., Any]] = {
    "__init__": _initialise, "__setattr__": _refuse, "__delattr__": _refuse, "__eq__": _equal, "__hash__": _hash,
    "__repr__": _text,
}


@dataclass_transform(frozen_default=True)
def record(cls: C) -> C:
    """Make a class with annotated names a record; what the class defines itself stays.

    >>> @record
    ... class Place:
    ...     file: str
    ...     line: int = 1
    >>> Place("a.py") == Place("a.py", 1)
    True
    """
    names = tuple(cls.__annotations__)
    setattr(cls, "__match_args__", names)  # noqa: B010 - not a name type checkers let anybody assign
    cls._defaults = {name: vars(cls)[name] for name in names if name in vars(cls)}
    for name, method in _METHODS.items():
        if name not in vars(cls) or (name == "__hash__" and vars(cls)[name] is None):
            setattr(cls, name, method)
    return cls
