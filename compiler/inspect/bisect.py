"""`phalanx bisect`: which pass changes the result of a function.

The truth is the evaluator on the traced module. After each pass of the px stage the evaluator runs again, on the module
as it then is. What follows cannot be run half-way, so there the passes a compile can do without (canonicalize, cse, your
own) are put in one by one; when the result is wrong without any of them, fusion and LLVM's passes are turned off instead.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from phalanx.compiler import config, native
from phalanx.compiler.api import Defn
from phalanx.compiler.context import context
from phalanx.compiler.evaluator import Program
from phalanx.compiler.execution import Compiled
from phalanx.compiler.pipeline import run as runner
from phalanx.compiler.pipeline.stages import Stage, run_stages
from phalanx.compiler.trace import tree
from phalanx.dialects.errors import PhalanxError
from phalanx.dialects.records import replace
from phalanx.runtime.backends import ResultType, get_backend

EVALUATED = "px"
_SPARE = ("canonicalize", "cse", "px-locations", "px-cse", "px-dce", "px-canonicalize")
_SPARED_IN = ("linalg", "scheduled", "buffers")
_OWN = "asked for by the option `passes`"
_SWITCHES: tuple[tuple[str, Any, str], ...] = (
    ("fuse", False, "px-form-clusters (right with fuse=False)"),
    ("opt_level", 0, "LLVM's passes (right with opt_level=0)"),
)


@dataclass(frozen=True)
class Step:
    """One thing that was run: `off` is the largest difference from the evaluator, None when it could not run."""

    stage: str
    name: str
    off: float | None
    wrong: bool = False
    said: str = ""

    def __str__(self) -> str:
        result = self.said if self.off is None else f"{'WRONG' if self.wrong else 'right'}, off by {self.off:.3g}"
        return f"{self.stage:<10} {self.name:<50} {result}"


@dataclass
class Verdict:
    """What was run, and the pass to blame; `culprit` is None when nothing is wrong."""

    name: str
    steps: list[Step] = field(default_factory=list)
    culprit: str | None = None

    def __str__(self) -> str:
        last = f"{self.culprit} is the first that changes the result" if self.culprit else "every result is right"
        return "\n".join([*map(str, self.steps), f"{self.name}: {last}"])


class _Bisection:
    """One function on one set of arguments."""

    def __init__(self, function: Defn, arguments: Sequence[Any], rtol: float) -> None:
        self.rtol = rtol
        self.arguments = tuple(arguments)
        self.compiled: Compiled = function.compile(*arguments)
        self.traced = self.compiled.traced
        self.verdict = Verdict(function.name)
        self.backend = get_backend("numpy")
        leaves = [np.asarray(leaf, aval.dtype.numpy) for leaf, aval in
                  zip(tree.flatten(self.arguments, "bisect")[0], self.traced.inputs, strict=True)]
        self.inputs = leaves + [np.asarray(tensor) for tensor in self.traced.hidden]
        with context():
            self.expected = self._evaluate(self.traced.module)

    def run(self) -> Verdict:
        with config.options(**self.compiled.options, dump_ir=""):
            self.verdict.culprit = self._px() or self._whole()
        return self.verdict

    def _px(self) -> str | None:
        """Evaluate after each pass of the first stage."""
        stage = native.stages()[0]
        with context():
            module = native.clone(self.traced.module)
            for text, _ in stage.passes:
                if not self._step(stage.name, text, partial(self._after, module, text)):
                    return f"{text} of the {stage.name} stage"
        return None

    def _after(self, module: Any, text: str) -> list[np.ndarray[Any, Any]]:
        runner.run(module, text)
        return self._evaluate(module)

    def _whole(self) -> str | None:
        """Compile everything; if that is wrong, with fewer passes and options."""
        stages = native.stages()
        if self._step("all", "every pass", lambda: self._compiled(stages)):
            return None
        spare = [(number, place) for number, stage in enumerate(stages) for place, (text, why) in enumerate(stage.passes)
                 if why == _OWN or (stage.name in _SPARED_IN and text in _SPARE)]
        for count in range(len(spare) + 1):
            fewer = _without(stages, spare[count:])
            number, place = spare[count - 1] if count else (0, 0)
            name = stages[number].passes[place][0] if count else "only passes that are needed"
            where = stages[number].name if count else "all"
            if not self._step(where, name, partial(self._compiled, fewer)):
                return f"{name} of the {where} stage" if count else self._switches()
        return "a pass of the llvm stage"

    def _switches(self) -> str:
        for option, value, blamed in _SWITCHES:
            with config.options(**{option: value}):
                if self._step("all", f"{option}={value}", lambda: self._compiled(native.stages())):
                    return blamed
        return "a pass that every compile needs (convert-px-to-linalg, px-schedule-loops, or the llvm stage)"

    def _step(self, stage: str, name: str, produce: Callable[[], list[np.ndarray[Any, Any]]]) -> bool:
        """Run and compare; what cannot run counts as right, since it proves nothing."""
        try:
            results = produce()
        except PhalanxError as error:
            self.verdict.steps.append(Step(stage, name, None, said=f"does not run: {error.message}"))
            return True
        off, wrong = self._compare(results)
        self.verdict.steps.append(Step(stage, name, off, wrong))
        return not wrong

    def _compare(self, results: Sequence[np.ndarray[Any, Any]]) -> tuple[float, bool]:
        off, wrong = 0.0, False
        for found, wanted in zip(results, self.expected, strict=True):
            if wanted.size:
                wide = np.complex128 if wanted.dtype.kind == "c" else np.float64
                ours, theirs = found.astype(wide), wanted.astype(wide)
                scale = float(np.max(np.abs(theirs), initial=0.0, where=np.isfinite(theirs)))
                wrong |= not np.allclose(ours, theirs, rtol=self.rtol, atol=self.rtol * scale, equal_nan=True)
                with np.errstate(invalid="ignore"):
                    differences = np.abs(ours - theirs)
                off = max(off, float(np.max(differences, initial=0.0, where=~np.isnan(differences))))
        return off, wrong

    def _evaluate(self, module: Any) -> list[np.ndarray[Any, Any]]:
        program = Program(module, "main", self.traced.call_sites)
        storages = [self.backend.asarray(array) for array in self.inputs]
        signature = self.compiled.signature
        sizes: dict[str, int] = {}
        if signature.dims:
            shapes = [ResultType(self.backend.dtype(s), self.backend.shape(s)) for s in storages]
            sizes = dict(zip(signature.dims, signature.bind(shapes), strict=True))
        return [np.asarray(self.backend.to_numpy(r)) for r in program.run(self.backend, storages, sizes)]

    def _compiled(self, stages: Sequence[Stage]) -> list[np.ndarray[Any, Any]]:
        with context():
            module = native.clone(self.traced.module)
            run_stages(module, stages, label=self.traced.name)
            run = native.resume(module, stages[-1].name, self.traced, self.compiled.signature, (), {})
        cpu = get_backend("cpu")
        return [np.asarray(cpu.to_numpy(r)) for r in run(cpu, [cpu.asarray(a) for a in self.inputs])]


def _without(stages: Sequence[Stage], dropped: Sequence[tuple[int, int]]) -> list[Stage]:
    return [replace(stage, passes=tuple(entry for place, entry in enumerate(stage.passes) if (number, place) not in dropped))
            for number, stage in enumerate(stages)]


def bisect(function: Callable[..., Any], *arguments: Any, rtol: float = 1e-4) -> Verdict:
    """Find the first pass that makes `function` on `arguments` differ from the evaluator by more than `rtol`.

    >>> bisect(lambda x: x + 1, np.ones(3, np.float32)).culprit is None
    True
    """
    return _Bisection(function if isinstance(function, Defn) else Defn(function), arguments, rtol).run()
