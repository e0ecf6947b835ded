"""`@op`: one Python class is one operation, with every facet; incomplete classes are refused at import.

An op is never instantiated: calling the class (`add(x, y)`) builds the operation in the current trace or
runs it on the current backend, through the dispatcher the compiler installs. What ops share lives in the
kinds (`kinds.py`). The facets and who reads them are listed in docs/adding-an-op.md.
"""

from __future__ import annotations

import enum
import functools
import inspect
import sys
import typing
from collections.abc import Callable, Sequence
from typing import Annotated, Any, ClassVar, TypeVar, overload

from phalanx.dialects import dtypes
from phalanx.dialects.aval import Aval
from phalanx.dialects.dtypes import DType
from phalanx.dialects.errors import ArgumentError, DTypeError, OpDefinitionError
from phalanx.dialects.records import record
from phalanx.dialects.static_arguments import checked

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


class _Mark(enum.Enum):
    """Which kind of field an annotation declares."""

    OPERAND = enum.auto()
    VARIADIC = enum.auto()
    ATTRIBUTE = enum.auto()


#: annotation of a tensor operand: `lhs: Operand[Number]`
Operand = Annotated[T, _Mark.OPERAND]
#: annotation of a list of tensor operands; the only operand field of its op
Variadic = Annotated[T, _Mark.VARIADIC]
#: annotation of a static attribute: `axes: Attr[Axes] = ()`
Attr = Annotated[T, _Mark.ATTRIBUTE]


# Sets of dtypes an operand may have.
class TypeSet:
    """A named set of dtypes for use inside `Operand[...]`."""

    dtypes: ClassVar[tuple[DType, ...]] = ()


class AnyType(TypeSet):
    dtypes = dtypes.ALL


class Number(TypeSet):
    dtypes = dtypes.NUMBERS


class Float(TypeSet):
    dtypes = dtypes.FLOATS


class Integer(TypeSet):
    dtypes = dtypes.INTEGERS


class Signed(TypeSet):
    dtypes = dtypes.SIGNED_INTEGERS + dtypes.FLOATS


class Logical(TypeSet):
    dtypes = (dtypes.bool_,)


class Bits(TypeSet):
    """Booleans and integers."""

    dtypes = (dtypes.bool_, *dtypes.INTEGERS)


class UInt32(TypeSet):
    dtypes = (dtypes.uint32,)


#: how many values a variadic operand can have
VARIADIC_LIMIT = 16


# What an attribute may hold; `attributes.py` knows how each is written in MLIR.
Axes = tuple[int, ...]
Ints = tuple[int, ...]
Sizes = tuple[Any, ...]  # ints and Dims


@record
class Field:
    """One operand or attribute of an op."""

    name: str
    types: type[TypeSet] = AnyType
    variadic: bool = False
    annotation: Any = None
    default: Any = inspect.Parameter.empty


@record
class NotDifferentiable:
    """The `vjp` of an op that has none, and why."""

    reason: str


def not_differentiable(reason: str) -> Any:
    """Declare that an op has no gradient; `grad` through it raises with `reason`."""
    return NotDifferentiable(reason)


def zero_gradient(*_: Any, **__: Any) -> tuple[None, ...]:
    """The `vjp` of an op that is flat almost everywhere (sign, floor, comparisons): no gradient flows."""
    return ()


Dispatcher = Callable[["type[Op]", tuple[Any, ...], dict[str, Any]], Any]
_dispatcher: list[Dispatcher] = []


def install_dispatcher(dispatcher: Dispatcher) -> None:
    """Say what calling an op class does; the compiler installs this once at import."""
    _dispatcher[:] = [dispatcher]


class _CallSignature:
    """`inspect.signature(px.add)`: how users call an op, made when somebody asks."""

    def __get__(self, instance: None, owner: type[Op]) -> inspect.Signature:
        if owner.prepare.__func__ is not Op.prepare.__func__:  # type: ignore[attr-defined]
            return inspect.signature(owner.prepare).replace(return_annotation="Any")
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        operands = [inspect.Parameter(f.name, kind, annotation="Any") for f in owner.operands]
        attributes = [inspect.Parameter(f.name, kind, annotation="Any", default=f.default) for f in owner.attributes]
        return inspect.Signature([*operands, *attributes])


class Op:
    """Base of every op; kinds fill in what ops share. `add(x, y)` calls the operation, it makes no object."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        return _dispatcher[0](cls, args, kwargs)

    __signature__ = _CallSignature()

    # Filled by @op.
    name: ClassVar[str]
    operands: ClassVar[tuple[Field, ...]] = ()
    attributes: ClassVar[tuple[Field, ...]] = ()
    family: ClassVar[str] = ""
    symbol: ClassVar[str | None] = None
    method: ClassVar[str | None] = None

    #: facets a kind asks of its ops beyond those of every op: name -> what it is
    required: ClassVar[dict[str, str]] = {}

    # What a kind or op may set.
    results: ClassVar[int] = 1
    side_effect: ClassVar[bool] = False
    #: operands (True: all; or the named ones) meet in one dtype before the op sees them
    promotes: ClassVar[bool | tuple[str, ...]] = False
    #: integer operands become the default float first (math functions)
    floats: ClassVar[bool] = False
    #: operands broadcast against each other inside the op
    broadcasts: ClassVar[bool] = False
    #: whether it stays inside the namespace (not a public function of its own)
    public: ClassVar[bool] = True
    #: the interval generated tests draw float operands from
    domain: ClassVar[tuple[float, float]] = (-3.0, 3.0)

    # Facets (class attributes holding plain functions, or classmethods of a kind).
    infer: ClassVar[Any]
    eval: ClassVar[Any]
    lower: ClassVar[Any]
    vjp: ClassVar[Any]
    #: for ops that read a part of their first operand: add a cotangent into one gathered so far,
    #: `accumulate(total, ct, *operands, **attrs)`
    accumulate: ClassVar[Any] = None
    batch: ClassVar[Any]
    samples: ClassVar[Any]

    @classmethod
    def prepare(cls, *args: Any, **kwargs: Any) -> tuple[list[Any], dict[str, Any]]:
        """Split a call into operands and attributes; ops with another public signature override this."""
        return _bind(cls, args, kwargs)


REGISTRY: dict[str, type[Op]] = {}
COMPOSITES: dict[str, Composite] = {}

_FACETS = {
    "infer": "result shapes and dtypes",
    "eval": "meaning, in terms of an array-API namespace",
    "lower": "lowering to linalg (elementwise kinds: `scalar`)",
    "vjp": "gradient, or not_differentiable(why)",
    "batch": "vectorisation under vmap",
    "samples": "sample inputs for generated tests",
}


@functools.cache
def _annotations(cls: type[Any]) -> dict[str, Any]:
    """A class's own annotations, evaluated; once for the kinds that many ops share."""
    if cls is Op or cls.__module__ == "builtins":
        return {}
    names = vars(sys.modules[cls.__module__])
    return {name: _evaluated(text, names) for name, text in cls.__annotations__.items()}


# By identity of what is subscripted and with what, which are kept: `Operand[Number]` stands in a hundred classes.
_subscripted: dict[tuple[int, int], tuple[Any, Any, Any]] = {}


def _evaluated(text: Any, names: dict[str, Any]) -> Any:
    """What an annotation stands for. `Operand[Number]` and its like are looked up: two hundred compiles take a while."""
    head, _, rest = text.partition("[") if isinstance(text, str) else ("", "", "")
    if head in names and rest[:-1] in names:
        generic, argument = names[head], names[rest[:-1]]
        known = _subscripted.get((id(generic), id(argument)))
        if known is None:
            known = _subscripted[id(generic), id(argument)] = generic, argument, generic[argument]
        return known[2]
    return eval(text, names) if isinstance(text, str) else text  # as `inspect.get_annotations(eval_str=True)` does


# By identity of the annotation, which is kept.
_marks: dict[int, tuple[Any, _Mark | None, Any]] = {}


def _mark_of(annotation: Any) -> tuple[_Mark | None, Any]:
    """What kind of field an annotation makes, None for none, and what stands in its brackets."""
    known = _marks.get(id(annotation))
    if known is None:
        mark = next((m for m in getattr(annotation, "__metadata__", ()) if isinstance(m, _Mark)), None)
        argument = typing.get_args(annotation)[0] if mark is not None else None
        known = _marks[id(annotation)] = annotation, mark, argument
    return known[1:]


def _fields(cls: type[Op]) -> tuple[list[Field], list[Field], list[str]]:
    hints: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        hints.update(_annotations(base))
    operands: list[Field] = []
    attributes: list[Field] = []
    problems: list[str] = []
    for name, annotation in hints.items():
        mark, argument = _mark_of(annotation)
        if mark is None:
            continue
        if mark is _Mark.ATTRIBUTE:
            default = getattr(cls, name, inspect.Parameter.empty)
            attributes.append(Field(name, annotation=argument, default=default))
        elif isinstance(argument, type) and issubclass(argument, TypeSet):
            operands.append(Field(name, argument, variadic=mark is _Mark.VARIADIC))
        else:
            problems.append(f"field {name}: Operand[...] takes a set of dtypes such as Number")
    return operands, attributes, problems


def _bind(cls: type[Op], args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """Operands by position (or name), attributes by name (or following position)."""
    values = dict(zip([f.name for f in (*cls.operands, *cls.attributes)], args, strict=False))
    if len(args) > len(cls.operands) + len(cls.attributes):
        raise ArgumentError(f"{cls.name}: takes at most {len(cls.operands) + len(cls.attributes)} arguments, "
                            f"got {len(args)}")
    for key, value in kwargs.items():
        if key in values:
            raise ArgumentError(f"{cls.name}: argument {key!r} is given twice")
        values[key] = value
    known = [f.name for f in (*cls.operands, *cls.attributes)]
    for key in values:
        if key not in known:
            import difflib  # for errors only

            near = difflib.get_close_matches(key, known, 1)
            raise ArgumentError(f"{cls.name}: no argument {key!r}", hint=f"did you mean {near[0]!r}?" if near else None)
    operands: list[Any] = []
    for operand in cls.operands:
        if operand.name not in values:
            raise ArgumentError(f"{cls.name}: operand {operand.name!r} is missing")
        value = values[operand.name]
        operands.extend(value) if operand.variadic else operands.append(value)
    attributes: dict[str, Any] = {}
    for attribute in cls.attributes:
        value = values.get(attribute.name, attribute.default)
        if value is inspect.Parameter.empty:
            raise ArgumentError(f"{cls.name}: argument {attribute.name!r} is missing")
        attributes[attribute.name] = value
    return operands, attributes


def op(cls: type[Op] | None = None, /, *, name: str | None = None, symbol: str | None = None,
       method: str | bool = False) -> Any:
    """Register a class as an operation; refuses it, listing what is missing, when a facet is absent.

    `symbol` gives tensors an operator (`+`), `method` a method (True: of the op's own name).
    """

    def register(cls: type[Op]) -> type[Op]:
        cls.name = name or cls.__name__.rstrip("_")
        cls.family = cls.__module__.rsplit(".", 1)[-1]
        cls.symbol = symbol
        cls.method = cls.name if method is True else (method or None)
        operands, attributes, problems = _fields(cls)
        cls.operands, cls.attributes = tuple(operands), tuple(attributes)
        problems += [f"{facet}: {what}" for facet, what in {**_FACETS, **cls.required}.items()
                     if getattr(cls, facet, None) is None]
        if not (cls.__doc__ or "").strip() or "__doc__" not in cls.__dict__:
            problems.append("docstring: one sentence and a running example")
        elif ">>>" not in (cls.__doc__ or "") and cls.public:
            problems.append("docstring: a running example (>>>)")
        if cls.name in REGISTRY:
            problems.append(f"name: {cls.name!r} is registered already")
        if problems:
            listed = "\n".join(f"  - {p}" for p in problems)
            raise OpDefinitionError(f"op {cls.name} ({cls.__module__}) is incomplete:\n{listed}")
        REGISTRY[cls.name] = cls
        return cls

    return register(cls) if cls is not None else register


def operand_segments(cls: type[Op], count: int) -> list[int] | None:
    """For IRDL, which of its operand slots the `count` operands of a variadic op fill; None when none is variadic.

    Raises ArgumentError when there are more than fit.
    """
    if not any(f.variadic for f in cls.operands):
        return None
    fixed = len(cls.operands) - 1
    given = count - fixed
    if given > VARIADIC_LIMIT:
        raise ArgumentError(f"{cls.name}: takes at most {VARIADIC_LIMIT} tensors at once, got {given}")
    return [1] * fixed + [1] * given + [0] * (VARIADIC_LIMIT - given)


def lookup(name: str) -> Any:
    """The op called `name`, to be called; for rules that would otherwise import in a circle.

    Raises ArgumentError with the nearest names.
    """
    try:
        return REGISTRY[name]
    except KeyError:
        import difflib  # for errors only

        near = difflib.get_close_matches(name, REGISTRY, 3)
        raise ArgumentError(f"px: no op {name!r}", hint=f"nearest: {', '.join(near)}" if near else None) from None


def check_dtypes(cls: type[Op], avals: Sequence[Aval]) -> None:
    """Raise DTypeError when an operand has a dtype its field does not allow."""
    fields: list[Field] = []
    for operand in cls.operands:
        fields += [operand] * (len(avals) - len(cls.operands) + 1 if operand.variadic else 1)
    for operand, aval in zip(fields, avals, strict=True):
        if aval.dtype not in operand.types.dtypes:
            allowed = ", ".join(d.name for d in operand.types.dtypes)
            raise DTypeError(f"{cls.name}: {operand.name} cannot be {aval.dtype.name}", hint=f"it takes {allowed}")


def infer(cls: type[Op], avals: Sequence[Aval], attrs: dict[str, Any]) -> tuple[Aval, ...]:
    """Check operand dtypes and infer the results of one op."""
    check_dtypes(cls, avals)
    inferred = cls.infer(tuple(avals), attrs)
    return (inferred,) if isinstance(inferred, Aval) else tuple(inferred)


@record
class Composite:
    """A public function made of other ops: gradient, lowering and batching come with its parts."""

    name: str
    function: Callable[..., Any]
    symbol: str | None = None
    method: str | None = None
    family: str = "composite"
    samples: Callable[..., Any] | None = None


@overload
def composite(function: F, /) -> F: ...


@overload
def composite(*, symbol: str | None = None, method: str | bool = False) -> Callable[[F], F]: ...


def composite(function: Callable[..., Any] | None = None, /, *, symbol: str | None = None,
              method: str | bool = False) -> Any:
    """Register a function made of other ops as part of the public surface."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        name = function.__name__.rstrip("_")
        if ">>>" not in (function.__doc__ or ""):
            raise OpDefinitionError(f"composite {name}: its docstring needs a running example (>>>)")
        if name in COMPOSITES or name in REGISTRY:
            raise OpDefinitionError(f"composite {name}: the name is registered already")
        function = checked(function, name)
        COMPOSITES[name] = Composite(name, function, symbol, name if method is True else (method or None),
                                     function.__module__.rsplit(".", 1)[-1])
        return function

    return register(function) if function is not None else register
