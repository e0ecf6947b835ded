"""Random programs: typed straight-line code over the whole op set, with control flow, written as Python source.

Every statement is tried on the `null` backend as it is made, which infers shapes and dtypes and runs nothing; one
that is refused is dropped. So the generator needs no typing rules of its own, and every program is valid.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import phalanx as px
from phalanx.dialects import dtypes
from phalanx.dialects.dtypes import DType
from phalanx.dialects.errors import PhalanxError
from phalanx.runtime.backends import get_backend

Array = np.ndarray[Any, Any]

COMMON_DTYPES = (dtypes.float32, dtypes.float32, dtypes.float64, dtypes.int32, dtypes.int64, dtypes.bool_)
LARGEST = 4096  # elements of one value: programs are for correctness
SIZES = (0, 1, 1, 2, 3, 4, 5, 7, 17)


@dataclass(frozen=True)
class Argument:
    """An argument of a program and the seed of its values."""

    name: str
    shape: tuple[int, ...]
    dtype: DType
    seed: int

    def values(self) -> Array:
        """Reproducible values: small integers, floats of modest size, sometimes special ones."""
        generator = np.random.default_rng(self.seed)
        if self.dtype.is_bool:
            return generator.integers(0, 2, self.shape).astype(np.bool_)
        if self.dtype.is_integer:
            low = 0 if self.dtype.kind == "u" else -9
            return generator.integers(low, 10, self.shape).astype(self.dtype.numpy)
        found = np.asarray(generator.normal(0, 2, self.shape))
        if self.seed % 8 == 0 and found.size:
            found.reshape(-1)[generator.integers(found.size)] = (np.nan, np.inf, -np.inf, -0.0)[self.seed // 8 % 4]
        return found.astype(self.dtype.numpy)


@dataclass
class Statement:
    """Some lines of source that define `names`."""

    names: tuple[str, ...]
    lines: list[str]
    features: set[str] = field(default_factory=set)


@dataclass
class Program:
    """A program: arguments, statements and what it returns."""

    arguments: list[Argument]
    statements: list[Statement]
    outputs: list[str]

    @property
    def source(self) -> str:
        """The program as Python code, to be run with `px` and `np` in scope."""
        lines = [f"def program({', '.join(a.name for a in self.arguments)}):"]
        lines += ["    " + line for statement in self.statements for line in statement.lines]
        return "\n".join([*lines, f"    return [{', '.join(self.outputs)}]"]) + "\n"

    @property
    def script(self) -> str:
        """The program with its arguments, as a file that shows the difference."""
        made = [f"{a.name} = np.{_construct(a)}" for a in self.arguments]
        names = ", ".join(a.name for a in self.arguments)
        return "\n".join([
            "import ml_dtypes", "import numpy as np", "import phalanx as px", "", self.source, *made,
            f'print(px.jit(program, compiler="evaluator", backend="numpy")({names}))',
            f"print(px.jit(program)({names}))"]) + "\n"

    def function(self) -> Callable[..., Any]:
        """The Python function."""
        scope: dict[str, Any] = {"px": px, "np": np}
        exec(compile(self.source, "<random program>", "exec"), scope)
        made: Callable[..., Any] = scope["program"]
        return made


def _construct(argument: Argument) -> str:
    values = argument.values()
    name = "float32" if argument.dtype.name == "bfloat16" else "bool_" if argument.dtype.is_bool else argument.dtype.name
    text = np.array2string(values.astype(name), separator=", ", threshold=LARGEST, floatmode="unique")
    text = text.replace("nan", "np.nan").replace("inf", "np.inf")
    cast = ".astype(ml_dtypes.bfloat16)" if argument.dtype.name == "bfloat16" else ""
    return f"array({text}, np.{name}).reshape({argument.shape}){cast}"


class Scope:
    """What a block of code sees: values on the null backend by name, and which of them are rounded."""

    def __init__(self, parent: Scope | None = None) -> None:
        self.values: dict[str, Any] = dict(parent.values) if parent else {}
        self.rounded: set[str] = set(parent.rounded) if parent else set()
        self.statements: list[Statement] = []

    def add(self, name: str, value: Any, rounded: bool) -> None:
        self.values[name] = value
        if rounded:
            self.rounded.add(name)


def shadow(shape: tuple[int, ...], dtype: DType) -> px.Tensor:
    """A tensor of that type without elements."""
    return px.Tensor.from_numpy(np.broadcast_to(np.zeros((), dtype.numpy), shape), get_backend("null"))


class Generator:
    """Makes one program from a source of random choices."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.count = 0

    # Choices.
    def fresh(self, stem: str = "v") -> str:
        self.count += 1
        return f"{stem}{self.count}"

    def shape(self, rank: int | None = None) -> tuple[int, ...]:
        rank = self.rng.choice((0, 1, 1, 2, 2, 2, 3, 4)) if rank is None else rank
        return tuple(self.rng.choice(SIZES[:8] if rank > 2 else SIZES) for _ in range(rank))

    def dtype(self) -> DType:
        return self.rng.choice(COMMON_DTYPES if self.rng.random() < 0.7 else dtypes.ALL)

    def pick(self, scope: Scope, fits: Callable[[Any], bool] = lambda v: True, exact: bool = False) -> str | None:
        """The name of a value, later ones more often."""
        names = [n for n, v in scope.values.items() if fits(v) and not (exact and n in scope.rounded)]
        if not names:
            return None
        return names[max(self.rng.randrange(len(names)), self.rng.randrange(len(names)))]

    # Programs.
    def program(self, length: int) -> Program:
        """A program of about `length` statements."""
        scope = Scope()
        arguments: list[Argument] = []
        base = self.shape()
        for number in range(self.rng.randint(1, 4)):
            shape = base if self.rng.random() < 0.6 else self.shape()
            argument = Argument(f"a{number}", shape, self.dtype(), self.rng.randrange(2**20))
            arguments.append(argument)
            scope.add(argument.name, shadow(shape, argument.dtype), False)
        self.fill(scope, length, depth=0)
        names = list(scope.values)
        read = {word for s in scope.statements for line in s.lines for word in _words(line.partition(" = ")[2] or line)}
        unread = [n for n in names if n.startswith("v") and n not in read] or [names[-1]]
        outputs = sorted({*unread[:12], *(self.rng.choice(names) for _ in range(self.rng.randint(0, 2)))})
        return Program(arguments, scope.statements, outputs)

    def fill(self, scope: Scope, length: int, depth: int) -> None:
        """Add about `length` statements to a scope."""
        from programs.control import CONTROL
        from programs.statements import STATEMENTS

        tries = 0
        while len(scope.statements) < length and tries < 6 * length + 6:
            tries += 1
            if depth < 2 and self.rng.random() < 0.07:
                self.rng.choice(CONTROL)(self, scope, depth)
                continue
            made = self.rng.choice(STATEMENTS)(self, scope)
            if made is not None:
                self.attempt(scope, *made)

    def attempt(self, scope: Scope, expression: str, rounded: bool) -> str | None:
        """Add `name = expression` if it is valid; the value is rounded when `rounded` or an operand is."""
        try:
            value = px.asarray(eval(expression, {"px": px, "np": np}, dict(scope.values)))
        except (PhalanxError, IndexError):
            return None
        if value.size > LARGEST:
            return None
        name = self.fresh()
        rounded = rounded or any(n in scope.rounded for n in _names(expression))
        scope.statements.append(Statement((name,), [f"{name} = {expression}"]))
        scope.add(name, value, rounded and value.dtype.is_inexact)
        return name


def _names(expression: str) -> set[str]:
    return set(compile(expression, "<expression>", "eval").co_names)


def _words(text: str) -> set[str]:
    return set("".join(c if c.isalnum() or c == "_" else " " for c in text).split())
