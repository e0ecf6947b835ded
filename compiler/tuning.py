"""`px.options(tune=True)`: the first call tries other arrangements of the same code and keeps the fastest.

The schedules choose by a model of the machine (`targets/isa.py`). Tuning changes that model a little (narrower vectors,
blocks for other cache sizes, no threads, LLVM's own passes), compiles the function for each, and measures on the arguments
of the first call. What was chosen is kept on disk, so that the next process compiles that one alone.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from phalanx.compiler import cache, config, native
from phalanx.compiler.execution import Runner
from phalanx.compiler.targets.isa import Isa
from phalanx.compiler.targets.isa import isa as instruction_set
from phalanx.runtime.backends import Backend
from phalanx.runtime.signature import Signature

SECONDS = 0.25
"""Time for measuring each arrangement; every one is called at least `_ROUNDS` times."""

WORTH = 0.97
"""An arrangement must take at most this part of the usual one's time: closer ones cannot be told apart."""

_MOST = 400  # calls in a round
_ROUNDS = 5

Arrangement = Mapping[str, Any]


def arrangements(target: Isa) -> list[Arrangement]:
    """Options to try, the usual ones (none) first; each changes one thing.

    >>> arrangements(instruction_set("x86-64-v4"))[1]
    {'isa': 'x86-64-v4+vector_bits=256'}
    """
    words = [f"l2_bytes={target.l2_bytes // 2}", f"l2_bytes={2 * target.l2_bytes}", f"l1_bytes={target.l1_bytes // 2}",
             f"l1_bytes={2 * target.l1_bytes}"]
    if target.vector_bits > 128:
        words.insert(0, f"vector_bits={target.vector_bits // 2}")
    if target.cores > 1:
        words.append("cores=1")
    return [{}, *({"isa": f"{target.name}+{word}"} for word in words), {"opt_level": 3}]


@dataclass
class Tuned:
    """A runner that chooses at its first call; `chosen` and `seconds` of each arrangement tell what came of it."""

    traced: Any
    signature: Signature
    options: Mapping[str, Any]
    key: Mapping[str, str]
    chosen: Arrangement | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    _runner: Any = None
    _lock: Any = field(default_factory=threading.Lock)

    def __call__(self, backend: Backend, storages: list[Any]) -> Sequence[Any]:
        if self._runner is None:
            with self._lock:
                if self._runner is None:
                    self._runner = self._choose(backend, storages)
        results: Sequence[Any] = self._runner(backend, storages)
        return results

    def plain(self, backend: Backend) -> Any:
        """The short way of a repeated call, once there is a choice."""
        return None if self._runner is None else self._runner.plain(backend)

    def entry_maker(self, traced: Any, backend: Backend) -> Any:
        """The native entry of the chosen code, once there is a choice."""
        return None if self._runner is None else self._runner.entry_maker(traced, backend)

    def _compile(self, arrangement: Arrangement) -> Runner:
        with config.options(**{**self.options, **arrangement, "tune": False}):
            return native.runner(self.traced, self.signature, (), {})

    def _choose(self, backend: Backend, storages: list[Any]) -> Runner:
        tried = arrangements(instruction_set(self.options["isa"]))
        known = _remembered(self.key)
        if known in tried:
            self.chosen = known
            return self._compile(known)
        runners = [self._compile(arrangement) for arrangement in tried]
        times = _measure(runners, backend, storages)
        self.seconds = {_named(arrangement): took for arrangement, took in zip(tried, times, strict=True)}
        best = min(range(len(tried)), key=times.__getitem__)
        if times[best] > WORTH * times[0]:
            best = 0
        self.chosen = tried[best]
        _remember(self.key, self.traced.name, self.chosen)
        return runners[best]


def runner(traced: Any, signature: Signature, donated: Sequence[int]) -> Tuned | None:
    """A runner that tunes; None for a function whose calls cannot be repeated.

    That is one that gives memory away, calls Python, or runs passes of the user's.
    """
    if donated or traced.call_sites or config.get("passes") or config.get("no_compile"):
        return None
    key = {"tuned": native.structure_digest(traced.module), **native.surroundings()}
    return Tuned(traced, signature, config.compile_options(), key)


def _measure(runners: Sequence[Runner], backend: Backend, storages: list[Any]) -> list[float]:
    """Least seconds of a call of each; they take turns, so that a slow spell of the machine meets all of them."""
    best = [float("inf")] * len(runners)
    for runner in runners:
        runner(backend, storages)
    for _ in range(_ROUNDS):
        for number, runner in enumerate(runners):
            stop = time.perf_counter() + SECONDS / _ROUNDS
            for _ in range(_MOST):
                start = time.perf_counter()
                runner(backend, storages)
                end = time.perf_counter()
                best[number] = min(best[number], end - start)
                if end > stop:
                    break
    return best


def _named(arrangement: Arrangement) -> str:
    return ", ".join(f"{name}={value}" for name, value in arrangement.items()) or "usual"


def _remembered(key: Mapping[str, str]) -> Arrangement | None:
    """What an earlier process chose."""
    stored = cache.disk()
    entry = stored.get(cache.key_of(key)) if stored is not None else None
    if entry is None:
        return None
    try:
        found = json.loads(entry.data)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _remember(key: Mapping[str, str], label: str, arrangement: Arrangement) -> None:
    stored = cache.disk()
    if stored is not None:
        stored.put(cache.Entry(f"{label} (tuned)", dict(key), json.dumps(dict(arrangement)).encode()))
