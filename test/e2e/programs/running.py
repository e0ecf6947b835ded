"""Running a random program by both compilers, and how far the results may be apart.

Rounding differs between the two (other math functions, other summation orders), and a program may blow that up.
So the evaluator runs again with every rounding op disturbed in its last digits: where those runs spread, the
compiled program may be as far off; where they flip an integer or turn finite to infinite, nothing is compared.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from programs.generator import Array, Program

import phalanx as px
from phalanx.runtime.backends import get_backend
from phalanx.runtime.backends.array_api import ArrayApiBackend
from phalanx.runtime.backends.base import Operation, Storage, Typed
from phalanx.runtime.backends.namespace import NumPyNamespace

EXACT = {"add", "subtract", "multiply", "divide", "negative", "positive", "abs", "sqrt", "maximum", "minimum",
         "reciprocal", "convert", "select", "stop_gradient", "floor", "ceil", "trunc", "round", "sign", "max", "min",
         "reshape", "transpose", "broadcast", "concatenate", "reverse", "slice", "dynamic_slice", "full", "constant",
         "dynamic_update_slice", "pad", "iota", "gather", "copysign", "bitcast", "nextafter"}
#: ops whose zeros may have either sign: which operand an extreme of +0 and -0 is, where a sum starts
SIGN_OPEN = {"maximum", "minimum", "max", "min", "sum", "prod", "dot_general", "cumulative", "scatter", "sign"}
DISTURBED_RUNS = 4


class Disturbed(ArrayApiBackend):
    """The numpy backend with results of rounding ops moved by a few rounding units."""

    def __init__(self, seed: int) -> None:
        super().__init__("numpy", NumPyNamespace())
        self._generator = np.random.default_rng(seed)
        self._seed = seed

    def run_op(self, operation: Operation, operands: Sequence[Storage], attributes: Mapping[str, Any],
               results: Sequence[Typed] | None = None) -> tuple[Storage, ...]:
        found = super().run_op(operation, operands, attributes, results)
        if operation.name in SIGN_OPEN:
            found = tuple(self._either_zero(f) for f in found)
        if operation.name in EXACT:
            return found
        return tuple(self._disturb(f, operation.name, operands) for f in found)

    def _noise(self, shape: tuple[int, ...]) -> Any:
        """From -1 to 1: the first two runs go all the way up and down, the others anywhere between."""
        if self._seed < 2:
            return np.full(shape, 1.0 - 2.0 * self._seed)
        return self._generator.uniform(-1, 1, shape)

    def _either_zero(self, value: Any) -> Any:
        array = np.asarray(value)
        if not px.dtype(array.dtype).is_inexact:
            return value
        negative = (array == 0) & (self._noise(array.shape) < 0)
        return np.asarray(np.where(negative, -np.abs(array), array)).astype(array.dtype)

    def _disturb(self, value: Any, name: str, operands: Sequence[Storage]) -> Any:
        array = np.asarray(value)
        if not px.dtype(array.dtype).is_inexact:
            return value
        unit = float(np.finfo(array.dtype).eps) if array.dtype.kind == "f" else 2.0**-7
        scale: Any = np.abs(array.astype(np.float64))
        if name in ("sum", "dot_general", "cumulative", "scatter") and operands:  # cancellation: against the terms
            terms = [np.abs(np.asarray(o, np.float64)) for o in operands[:2]]
            tops = [float(np.max(np.where(np.isfinite(t), t, 0), initial=0)) for t in terms]
            largest = tops[0] * (tops[1] if name == "dot_general" else 1)
            scale = np.maximum(scale, largest)
        moved = array + unit * 4 * scale * self._noise(array.shape)
        return np.asarray(np.where(np.isfinite(array) & np.isfinite(moved), moved, array)).astype(array.dtype)


@dataclass(frozen=True)
class Options:
    """How the compiled side runs."""

    fuse: bool = True
    threads: int = 1
    opt_level: int = 1
    donate: bool = False

    def __str__(self) -> str:
        return f"fuse={self.fuse} threads={self.threads} opt_level={self.opt_level} donate={self.donate}"


def options_for(number: int) -> Options:
    """The options of the n-th program: every combination comes up."""
    return Options(fuse=number % 3 != 2, threads=1 + number % 2, opt_level=3 if number % 8 == 5 else 1,
                   donate=number % 5 == 3)


def expected(program: Program) -> tuple[list[Array], list[list[Array]]]:
    """The evaluator's results, and those of its disturbed runs."""
    values = [a.values() for a in program.arguments]
    evaluated = px.jit(program.function(), compiler="evaluator", backend="numpy")
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        plain = [np.asarray(r) for r in evaluated(*values)]
        spread = []
        for seed in range(DISTURBED_RUNS):
            backend = Disturbed(seed)
            tensors = [px.Tensor.from_numpy(v, backend) for v in values]
            spread.append([np.asarray(r) for r in evaluated(*tensors)])
    return plain, spread


def compiled(program: Program, options: Options) -> list[Array]:
    """The compiled program's results; a donated argument is checked to be used up at most."""
    values = [a.values() for a in program.arguments]
    donate = tuple(a.name for a in program.arguments[:1]) if options.donate else ()
    function = px.jit(program.function(), donate=donate, fuse=options.fuse, opt_level=options.opt_level)
    tensors = [px.Tensor.from_numpy(v, get_backend("cpu")) for v in values]
    before = px.set_threads(options.threads)
    try:
        found = [np.array(r) for r in function(*tensors)]
    finally:
        px.set_threads(before)
    for value, tensor in list(zip(values, tensors, strict=True))[len(donate):]:
        assert np.asarray(tensor).tobytes() == value.tobytes(), "an argument was changed"
    return found


def difference(actual: Array, plain: Array, spread: Sequence[Array]) -> str:
    """What is wrong with one result, empty when nothing is."""
    if actual.dtype != plain.dtype or actual.shape != plain.shape:
        return f"got {actual.dtype}{actual.shape}, expected {plain.dtype}{plain.shape}"
    if not px.dtype(plain.dtype).is_inexact:
        stable = np.all([s == plain for s in spread], axis=0)
        wrong = stable & (actual != plain)
    else:
        wrong = _float_difference(actual, plain, spread)
    if not np.any(wrong):
        return ""
    at = tuple(int(i) for i in np.argwhere(np.atleast_1d(wrong))[0])
    return (f"{int(np.sum(wrong))} of {plain.size} differ, first at {at}: got {np.atleast_1d(actual)[at]!r}, "
            f"expected {np.atleast_1d(plain)[at]!r}")


def _float_difference(actual: Array, plain: Array, spread: Sequence[Array]) -> Any:
    unit = float(np.finfo(plain.dtype).eps) if plain.dtype.kind == "f" else 2.0**-7
    tiny = float(np.finfo(plain.dtype).smallest_normal) if plain.dtype.kind == "f" else 2.0**-126
    a, e = actual.astype(np.float64), plain.astype(np.float64)
    runs = np.array([s.astype(np.float64) for s in spread])
    with np.errstate(all="ignore"):
        finite = np.isfinite(e) & np.all(np.isfinite(runs), axis=0)
        same_kind = np.all([np.where(np.isnan(e), np.isnan(r), (r == e) & ~np.isfinite(e)) for r in runs], axis=0)
        spans = np.where(finite, np.max(np.abs(np.where(finite, runs - e, 0)), axis=0), 0)
        allowed = 40 * spans + 4 * unit * np.abs(e) + 4 * tiny
        moved = np.full(e.shape, bool(np.any(spans > 0)))  # an output no disturbance reaches is exact
        near = np.where(moved, np.abs(a - e) <= allowed, a == e)
        overflow = moved & (np.abs(e) > 0.5 * float(_largest(plain)))
    special = np.where(np.isnan(e), np.isnan(a), a == e)
    return (finite & ~near & ~overflow) | (~finite & same_kind & ~special)


def _largest(array: Array) -> float:
    return float(np.finfo(array.dtype).max) if array.dtype.kind == "f" else 3.3e38


def check(program: Program, options: Options) -> str:
    """Run both ways and compare; returns what differs, empty when nothing does."""
    plain, spread = expected(program)
    found = compiled(program, options)
    for number, name in enumerate(program.outputs):
        wrong = difference(found[number], plain[number], [s[number] for s in spread])
        if wrong:
            return f"output {name}: {wrong}"
    return ""
