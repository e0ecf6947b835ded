"""`@record`: classes of named values, as `@dataclass` makes them, that cost next to nothing to define.

A dataclass writes and compiles its methods when its module is imported, half a millisecond each; a first compile imports
eighty. The methods here are shared by all records, until a class has made so many objects that its own are worth writing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, dataclass_transform, overload

C = TypeVar("C", bound=type[Any])
T = TypeVar("T")
OWN_METHODS_AFTER = 32
"""How many objects of a class the shared methods make before it gets methods of its own."""


class _Factory:
    """The default of a field that every object gets a new one of."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self.make = make


def field(*, default_factory: Callable[[], Any]) -> Any:
    """A default made anew for each object.

    >>> @record(frozen=False)
    ... class Notes:
    ...     lines: list[str] = field(default_factory=list)
    >>> Notes()
    Notes(lines=[])
    """
    return _Factory(default_factory)


def replace(instance: T, **changes: Any) -> T:
    """A record with some values changed.

    >>> @record
    ... class Place:
    ...     file: str
    ...     line: int = 1
    >>> replace(Place("a.py"), line=2)
    Place(file='a.py', line=2)
    """
    names: tuple[str, ...] = getattr(type(instance), "__match_args__")  # noqa: B009 - not a name of every class
    return type(instance)(**{**{name: getattr(instance, name) for name in names}, **changes})


def _initialise(self: Any, *values: Any, **named: Any) -> None:
    cls = type(self)
    names: tuple[str, ...] = cls.__match_args__
    vars(self).update(zip(names, values, strict=True) if len(values) == len(names) and not named
                      else _found(cls, names, values, named))
    if "_made" in vars(cls):
        cls._made += 1
        if cls._made == OWN_METHODS_AFTER:
            _write_methods(cls)


def _found(cls: type[Any], names: tuple[str, ...], values: tuple[Any, ...], named: dict[str, Any]) -> dict[str, Any]:
    """What each name stands for in a call with some values left out or named."""
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
            default = cls._defaults[name]
            found[name] = default.make() if isinstance(default, _Factory) else default
    return {name: found[name] for name in names}


def _write_methods(cls: type[Any]) -> None:
    """Replace the shared methods of a class by such as a dataclass has, which are faster."""
    names: tuple[str, ...] = cls.__match_args__
    known: dict[str, Any] = {"set_value": object.__setattr__, "left_out": _LEFT_OUT}
    parameters, lines = ["self"], []
    for name in names:
        value = name
        if name not in cls._defaults:
            parameters.append(name)
        elif isinstance(default := cls._defaults[name], _Factory):
            known[f"make_{name}"] = default.make
            parameters.append(f"{name}=left_out")
            value = f"make_{name}() if {name} is left_out else {name}"
        else:
            known[f"default_{name}"] = default
            parameters.append(f"{name}=default_{name}")
        frozen = cls.__setattr__ is _refuse
        lines.append(f" set_value(self, {name!r}, {value})" if frozen else f" self.{name} = {value}")
    texts = {"__init__": f"def __init__({', '.join(parameters)}):\n" + "\n".join(lines or [" pass"])}
    mine, others = (f"({''.join(f'{who}.{name}, ' for name in names)})" for who in ("self", "other"))
    texts["__eq__"] = ("def __eq__(self, other):\n"
                       f" return {mine} == {others} if other.__class__ is self.__class__ else NotImplemented")
    texts["__hash__"] = f"def __hash__(self):\n return hash({mine})"
    for method, text in texts.items():
        if vars(cls).get(method) is _METHODS[method]:
            exec(text, known)  # made of the names of fields, as dataclasses do
            known[method].__qualname__ = f"{cls.__qualname__}.{method}"
            setattr(cls, method, known[method])


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


_LEFT_OUT = object()
_METHODS: dict[str, Callable[..., Any]] = {
    "__init__": _initialise, "__setattr__": _refuse, "__delattr__": _refuse, "__eq__": _equal, "__hash__": _hash,
    "__repr__": _text,
}


@overload
def record(cls: C, /) -> C: ...


@overload
def record(*, frozen: bool = True, eq: bool = True, repr: bool = True) -> Callable[[C], C]: ...


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def record(cls: Any = None, /, *, frozen: bool = True, eq: bool = True, repr: bool = True) -> Any:
    """Make a class with annotated names a record; what the class defines itself stays.

    Records are frozen unless told otherwise, compare by value unless `eq=False` (then as objects do), and a record that
    is not frozen but compares by value has no hash. Fields of a base class that is a record come first.

    >>> @record
    ... class Place:
    ...     file: str
    ...     line: int = 1
    >>> Place("a.py") == Place("a.py", 1)
    True
    """
    if cls is None:
        return lambda made: _make(made, frozen, eq, repr)
    return _make(cls, frozen, eq, repr)


def _make(cls: Any, frozen: bool, eq: bool, repr: bool) -> Any:
    own = tuple(cls.__annotations__)
    base = getattr(cls, "_defaults", None)
    inherited = tuple(name for name in cls.__match_args__ if name not in own) if base is not None else ()
    cls._defaults = {**(base or {}), **{name: vars(cls)[name] for name in own if name in vars(cls)}}
    for name in own:
        if isinstance(vars(cls).get(name), _Factory):
            delattr(cls, name)
    setattr(cls, "__match_args__", (*inherited, *own))  # noqa: B010 - not a name type checkers let anybody assign
    cls._made = 0
    wanted = {"__init__", *(("__setattr__", "__delattr__") if frozen else ()), *(("__repr__",) if repr else ())}
    if eq and "__eq__" not in vars(cls):
        wanted |= {"__eq__", "__hash__"} if frozen else {"__eq__"}
        if not frozen and "__hash__" not in vars(cls):
            cls.__hash__ = None
    elif eq and frozen:
        wanted |= {"__hash__"}
    for name in wanted:
        if name not in vars(cls) or (name == "__hash__" and vars(cls)[name] is None):
            setattr(cls, name, _METHODS[name])
    return cls
