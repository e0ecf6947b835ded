"""What a compiled function takes and gives: checking arguments, finding named sizes, sizing results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Protocol

from phalanx.dialects.dims import Dim, Size
from phalanx.dialects.dtypes import DType
from phalanx.dialects.errors import ArgumentError, DTypeError, PhalanxError, ShapeError
from phalanx.dialects.facts import Assumption
from phalanx.dialects.records import record


class Typed(Protocol):
    """Anything with a dtype and the sizes it has at run time, e.g. a Buffer."""

    @property
    def dtype(self) -> DType: ...

    @property
    def shape(self) -> tuple[int, ...]: ...


@record
class Argument:
    """Name, dtype and shape of one input or output; sizes may be named.

    >>> str(Argument("x", float32, (Dim.named("n"), 128)))
    'f32[n,128]'
    """

    name: str
    dtype: DType
    shape: tuple[Size, ...]

    @cached_property
    def dynamic(self) -> bool:
        """Whether some size is named."""
        return any(isinstance(size, Dim) for size in self.shape)

    def bound(self, values: Mapping[str, int]) -> tuple[int, ...]:
        """The sizes once the names have values."""
        return tuple(s.evaluate(values) if isinstance(s, Dim) else s for s in self.shape)

    def __str__(self) -> str:
        return f"{self.dtype.short}[{','.join(str(s) for s in self.shape)}]"


class ShapeTemplate:
    """A shape that is filled in with the values of the named sizes, given in the order of `dims`."""

    __slots__ = ("_dims", "_parts")

    def __init__(self, shape: tuple[Size, ...], dims: tuple[str, ...]) -> None:
        self._dims = dims
        self._parts: list[int | tuple[int] | Dim] = []
        for size in shape:
            name = lone_name(size) if isinstance(size, Dim) else None
            self._parts.append(size if name is None else (dims.index(name),))

    def fill(self, sizes: Sequence[int]) -> tuple[int, ...]:
        """The shape for these values."""
        return tuple(
            [
                part
                if isinstance(part, int)
                else sizes[part[0]]
                if isinstance(part, tuple)
                else part.evaluate(dict(zip(self._dims, sizes, strict=True)))
                for part in self._parts
            ]
        )


@record
class Equation:
    """`size` must equal what axis `axis` of input `index` has."""

    size: Dim
    index: int
    axis: int


@record
class Signature:
    """The call of a compiled function: its name, inputs, outputs and named sizes in the order of the ABI."""

    function: str
    inputs: tuple[Argument, ...]
    outputs: tuple[Argument, ...]
    dims: tuple[str, ...] = ()

    @cached_property
    def _equations(self) -> tuple[Equation, ...]:
        return tuple(
            Equation(size, index, axis)
            for index, argument in enumerate(self.inputs)
            for axis, size in enumerate(argument.shape)
            if isinstance(size, Dim)
        )

    @cached_property
    def _direct(self) -> tuple[tuple[int, int], ...] | None:
        """Where each named size stands alone, as (input, axis); None when some never does."""
        alone: dict[str, tuple[int, int]] = {}
        for equation in self._equations:
            name = lone_name(equation.size)
            if name is not None:
                alone.setdefault(name, (equation.index, equation.axis))
        if not all(name in alone for name in self.dims):
            return None
        return tuple(alone[name] for name in self.dims)

    @cached_property
    def _expected(self) -> tuple[tuple[DType, ShapeTemplate], ...]:
        return tuple((a.dtype, ShapeTemplate(a.shape, self.dims)) for a in self.inputs)

    @cached_property
    def _result_templates(self) -> tuple[ShapeTemplate, ...]:
        return tuple(ShapeTemplate(output.shape, self.dims) for output in self.outputs)

    def bind(self, values: Sequence[Typed]) -> tuple[int, ...]:
        """Check all arguments and return the values of the named sizes.

        Raises ShapeError or DTypeError that lists every mismatch by argument name.
        """
        if len(values) != len(self.inputs):
            raise self._wrong_count(len(values))
        if not self.dims:
            for value, argument in zip(values, self.inputs, strict=True):
                if value.shape != argument.shape or value.dtype is not argument.dtype:
                    raise self._mismatch(values, {})
            return ()
        sizes = self._solve(values)
        for value, (dtype, template) in zip(values, self._expected, strict=True):
            if value.shape != template.fill(sizes) or value.dtype is not dtype:
                raise self._mismatch(values, dict(zip(self.dims, sizes, strict=True)))
        return sizes

    def output_shapes(self, sizes: Sequence[int]) -> list[tuple[int, ...]]:
        """Shapes of the results for the values `bind` returned; raises ShapeError for a negative size."""
        shapes = [template.fill(sizes) for template in self._result_templates]
        for output, shape in zip(self.outputs, shapes, strict=True):
            if shape and min(shape) < 0:
                names = dict(zip(self.dims, sizes, strict=True))
                raise ShapeError(
                    f"{self.function}: result '{output.name}' {output} would have a negative size, "
                    f"got {shape} for {_listed(names)}"
                )
        return shapes

    def _solve(self, values: Sequence[Typed]) -> tuple[int, ...]:
        direct = self._direct
        if direct is not None:
            try:
                return tuple([values[index].shape[axis] for index, axis in direct])
            except IndexError:
                raise self._mismatch(values, {}) from None
        if any(len(v.shape) != len(a.shape) for v, a in zip(values, self.inputs, strict=True)):
            raise self._mismatch(values, {})
        known: dict[str, int] = {}
        waiting = list(self._equations)
        while waiting:
            left = []
            for equation in waiting:
                found = solve_for_one(equation.size, values[equation.index].shape[equation.axis], known)
                if found is not None:
                    known[found[0]] = found[1]
                elif equation.size.names() - known.keys():
                    left.append(equation)
            if len(left) == len(waiting):
                break
            waiting = left
        missing = [name for name in self.dims if name not in known]
        if missing:
            raise self._unsolved(values, missing, known)
        return tuple(known[name] for name in self.dims)

    def check_assumptions(self, assumptions: Sequence[Assumption], sizes: Mapping[str, int], *,
                          elsewhere: bool = False) -> None:
        """Raise ArgumentError at the user's line for the first assumption that the sizes break.

        `elsewhere` says that the file with that line is on another machine.
        """
        for assumption in assumptions:
            if not assumption.fact.holds(sizes):
                values = ", ".join(self._origin(n, sizes[n]) for n in sorted(assumption.fact.names()))
                text = assumption.text_elsewhere if elsewhere else assumption.text
                raise ArgumentError(f"{self.function}: {text}, got {values}",
                                    location=None if elsewhere else assumption.location or None)

    # Errors.
    def _wrong_count(self, count: int) -> ShapeError:
        names = ", ".join(repr(a.name) for a in self.inputs)
        return ShapeError(f"{self.function}: takes {len(self.inputs)} tensors ({names}), got {count}")

    def _unsolved(self, values: Sequence[Typed], missing: list[str], known: dict[str, int]) -> PhalanxError:
        lines = [
            f"  argument '{self.inputs[e.index].name}' axis {e.axis}: {e.size} = {values[e.index].shape[e.axis]}"
            for e in self._equations
            if e.size.names() & set(missing)
        ]
        where = "\n".join(lines)
        return ShapeError(
            f"{self.function}: no value of {', '.join(missing)} fits the arguments, got\n{where}",
            note=f"known: {_listed(known)}" if known else None,
        )

    def _mismatch(self, values: Sequence[Typed], names: Mapping[str, int]) -> PhalanxError:
        lines: list[str] = []
        kind: type[PhalanxError] = DTypeError
        for value, argument in zip(values, self.inputs, strict=True):
            fits = (
                value.shape == argument.bound(names)
                if names or not argument.dynamic
                else (len(value.shape) == len(argument.shape))
            )
            if fits and value.dtype is argument.dtype:
                continue
            got = f"{value.dtype.short}[{','.join(map(str, value.shape))}]"
            line = f"argument '{argument.name}' must be {argument}, got {got}"
            used = {n for s in argument.shape if isinstance(s, Dim) for n in s.names()} & names.keys()
            if used and not fits:
                line += f" where {', '.join(self._origin(n, names[n]) for n in sorted(used))}"
            lines.append(line)
            if not fits:
                kind = ShapeError
        if len(lines) == 1:
            return kind(f"{self.function}: {lines[0]}")
        return kind(f"{self.function}: {len(lines)} arguments do not fit\n  " + "\n  ".join(lines))

    def _origin(self, name: str, value: int) -> str:
        uses = [e for e in self._equations if name in e.size.names()]
        source = next((e for e in uses if lone_name(e.size) == name), uses[0])
        return f"{name} = {value} (from '{self.inputs[source.index].name}' axis {source.axis})"


def _listed(names: Mapping[str, int]) -> str:
    return ", ".join(f"{name} = {value}" for name, value in names.items())


def lone_name(size: Dim) -> str | None:
    """The name when the expression is nothing else."""
    if len(size.terms) == 1:
        monomial, coefficient = size.terms[0]
        if coefficient == 1 and len(monomial) == 1 and isinstance(monomial[0], str):
            return monomial[0]
    return None


def solve_for_one(size: Dim, actual: int, known: Mapping[str, int]) -> tuple[str, int] | None:
    """The one unknown name of `size` and its value when `size` is linear in it and equals `actual`.

    >>> solve_for_one(dims.parse("2*n + m"), 10, {"m": 4})
    ('n', 3)
    """
    unknown = size.names() - known.keys()
    if len(unknown) != 1:
        return None
    (name,) = unknown
    for monomial, _ in size.terms:
        nested = any(not isinstance(a, str) and name in a[1].names() | a[2].names() for a in monomial)
        if nested or monomial.count(name) > 1:
            return None
    offset = size.evaluate({**known, name: 0})
    slope = size.evaluate({**known, name: 1}) - offset
    if slope == 0 or (actual - offset) % slope or (actual - offset) // slope < 0:
        return None
    return name, (actual - offset) // slope
