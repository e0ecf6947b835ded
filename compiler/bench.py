"""Measuring honestly: `px.bench.time` for one call, `px.bench.run` to compare several functions.

    print(px.bench.run({"numpy": f, "phalanx": px.jit(f)}, inputs=[x]))

What a measurement does: the first call of each candidate (which compiles) is timed apart; the results are compared
before anything else is timed; each candidate is warmed up; short calls are repeated until the clock can see them; the
candidates take turns, so that a machine that gets slower does so for all of them; the collector is off meanwhile.
"""

from __future__ import annotations

import gc
import time as clock
import tracemalloc
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from phalanx.compiler import bench_report
from phalanx.compiler.api import Defn
from phalanx.compiler.bench_report import Report, Row
from phalanx.compiler.tensor import Tensor
from phalanx.compiler.trace import tree
from phalanx.dialects.aval import Aval
from phalanx.dialects.errors import ArgumentError

__all__ = ["Report", "Row", "run", "time"]

_SAMPLE_SECONDS = 1e-3  # a sample of short calls is at least this long: 1e4 ticks of the clock
_FEWEST, _MOST = 5, 2000  # samples of one candidate
_TOO_FAST = 1e-7  # below, calling from Python is what is measured

Candidate = Callable[..., Any]


def time(function: Candidate, *args: Any, **kwargs: Any) -> tuple[float, Any]:
    """The seconds of one call, until its result is there, and the result.

    >>> seconds, result = px.bench.time(px.jit(lambda x: x + 1), px.asarray([1.0]))

    The call may compile; call it once before to leave that out.
    """
    start = clock.perf_counter()
    result = finished(function(*args, **kwargs))
    return clock.perf_counter() - start, result


def run(candidates: Mapping[str, Candidate] | Candidate, inputs: Any = (), *, seconds: float = 1.0,
        rtol: float | None = None, check: bool = True, memory: bool = True) -> Report:
    """Measure functions on the same inputs and compare them.

    `inputs` are the positional arguments, or a mapping of a name to such arguments, all of which are measured;
    `seconds` is the time for each candidate. Candidates must agree within `rtol` (1e-4 for float32, by the dtype).

    >>> report = px.bench.run({"sum": np.sum}, inputs=[np.ones(1000)], seconds=0.05)
    >>> report.rows[0].name
    'sum'

    Raises ArgumentError when there is nothing to measure, or when a candidate raises or disagrees with the first.
    """
    named = {getattr(candidates, "__name__", "function"): candidates} if callable(candidates) else dict(candidates)
    if not named:
        raise ArgumentError("bench: there is no function to measure", hint='px.bench.run({"name": f}, inputs=[x])')
    for name, function in named.items():
        if not callable(function):
            raise ArgumentError(f"bench: {name} is a {type(function).__name__}, not a function")
    if seconds <= 0:
        raise ArgumentError(f"bench: seconds must be positive, got {seconds}")
    sets = dict(inputs) if isinstance(inputs, Mapping) else {"": inputs}
    rows: list[Row] = []
    for label, arguments in sets.items():
        given = tuple(arguments) if isinstance(arguments, (list, tuple)) else (arguments,)
        rows += _measure(named, label, given, seconds, rtol, check, memory)
    return Report(rows, bench_report.machine(), seconds)


def _measure(named: Mapping[str, Candidate], label: str, args: tuple[Any, ...], seconds: float,
             rtol: float | None, check: bool, memory: bool) -> list[Row]:
    firsts, results = {}, {}
    for name, function in named.items():
        try:
            firsts[name], results[name] = time(function, *args)
        except Exception as error:
            raise ArgumentError(f"bench: {name} raised {type(error).__name__}: {error}") from error
    if check:
        _check_agreement(results, rtol)
    loops = {name: _calibrate(function, args) for name, function in named.items()}
    samples = _sample(named, args, loops, seconds)
    rows = []
    for name, function in named.items():
        allocated = _allocated(function, args) if memory else None
        row = Row(name, label, tuple(samples[name]), loops[name], firsts[name], compile_phases(function), allocated)
        if row.median < _TOO_FAST:
            row.warnings.append(f"{row.median * 1e9:.0f} ns is about what an empty call costs: too fast to time")
        if row.spread > 0.25:
            row.warnings.append(f"unstable: the middle half of the samples lies {row.spread:.0%} apart")
        rows.append(row)
    return rows


def compile_phases(function: Candidate) -> dict[str, float]:
    """Seconds per phase of the last compile of a defn; empty for other functions."""
    if isinstance(function, Defn) and function.compiled:
        return dict(function.compiled[-1].seconds)
    return dict(getattr(function, "seconds", {}))


def finished(result: Any) -> Any:
    """`result`, once whatever computes it in the background is done: of ours, JAX and torch."""
    for leaf in _leaves(result):
        wait = getattr(leaf, "block_until_ready", None)
        if wait is not None:
            wait()
        elif getattr(leaf, "is_cuda", False):
            import torch  # it is loaded: the result is one of its tensors

            torch.cuda.synchronize(leaf.device)
    return result


def _leaves(result: Any) -> list[Any]:
    return [result] if isinstance(result, (Tensor, np.ndarray)) else list(tree.flatten(result, "bench")[0])


def _check_agreement(results: Mapping[str, Any], rtol: float | None) -> None:
    (first, expected), *others = results.items()
    wanted = [np.asarray(leaf) for leaf in _leaves(expected)]
    for name, result in others:
        found = [np.asarray(leaf) for leaf in _leaves(result)]
        if len(found) != len(wanted):
            raise ArgumentError(f"bench: {name} gives {len(found)} results, {first} gives {len(wanted)}")
        for ours, theirs in zip(found, wanted, strict=True):
            _check_leaf(first, name, theirs, ours, rtol)


def _check_leaf(first: str, name: str, wanted: np.ndarray[Any, Any], found: np.ndarray[Any, Any], rtol: float | None) -> None:
    if wanted.shape != found.shape:
        raise ArgumentError(f"bench: {name} gives shape {list(found.shape)}, {first} gives {list(wanted.shape)}")
    if wanted.dtype.kind not in "fciub" or found.dtype.kind not in "fciub":
        wanted, found = wanted.astype(np.float64), found.astype(np.float64)  # bfloat16 and the like
    narrow = max(_epsilon(wanted), _epsilon(found))
    bound = narrow**0.5 / 3 if rtol is None else rtol
    scale = float(np.max(np.abs(wanted), initial=0.0, where=np.isfinite(wanted))) if wanted.size else 0.0
    if np.allclose(found, wanted, rtol=bound, atol=bound * scale, equal_nan=True):
        return
    with np.errstate(invalid="ignore"):
        off = float(np.nanmax(np.abs(found - wanted)))
    raise ArgumentError(f"bench: {name} and {first} disagree, by up to {off:.3g}",
                        hint="they must compute the same; rtol= widens the comparison, check=False leaves it out")


def _epsilon(array: np.ndarray[Any, Any]) -> float:
    return float(np.finfo(array.dtype).eps) if array.dtype.kind in "fc" else 0.0


def _calibrate(function: Candidate, args: tuple[Any, ...]) -> int:
    """Warm up; the number of calls that makes a sample long enough for the clock."""
    loops = 1
    while True:
        start = clock.perf_counter()
        for _ in range(loops):
            result = function(*args)
        finished(result)
        if clock.perf_counter() - start >= _SAMPLE_SECONDS or loops >= 1 << 20:
            return loops
        loops *= 2


def _sample(named: Mapping[str, Candidate], args: tuple[Any, ...], loops: Mapping[str, int], seconds: float,
            ) -> dict[str, list[float]]:
    """Seconds per call, the candidates by turns, until each had its time."""
    samples: dict[str, list[float]] = {name: [] for name in named}
    spent = dict.fromkeys(named, 0.0)
    with _quiet():
        open_names = list(named)
        while open_names:
            for name in list(open_names):
                function, count = named[name], loops[name]
                start = clock.perf_counter()
                for _ in range(count):
                    result = function(*args)
                finished(result)
                took = clock.perf_counter() - start
                samples[name].append(took / count)
                spent[name] += took
                done = spent[name] >= seconds and len(samples[name]) >= _FEWEST
                if done or len(samples[name]) >= _MOST:
                    open_names.remove(name)
    return samples


def _allocated(function: Candidate, args: tuple[Any, ...]) -> int:
    """Most bytes that one call had allocated in Python and NumPy at a time."""
    if tracemalloc.is_tracing():
        return 0
    tracemalloc.start()
    try:
        finished(function(*args))
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@contextmanager
def _quiet() -> Iterator[None]:
    """No garbage collection inside."""
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()



def arrays_for(avals: Sequence[Aval]) -> list[np.ndarray[Any, Any]]:
    """Arrays that look like `avals`, the same at every call: normal numbers for floats, small ones for integers.

    Raises ArgumentError for a named size, which has no value here.
    """
    random = np.random.default_rng(0)
    arrays = []
    for aval in avals:
        if not aval.is_static:
            raise ArgumentError(f"arguments: {aval} has a size without a value", hint="give numbers: --arg x=f32[8,64]")
        shape = tuple(int(size) for size in aval.shape)
        integers = aval.dtype.kind in "biu"
        drawn = random.integers(0, 2, shape) if integers else random.standard_normal(shape)
        arrays.append(np.asarray(drawn).astype(aval.dtype.numpy))
    return arrays
