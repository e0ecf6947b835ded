"""What a workload is made of: cases, the work each one cannot avoid, and the file that holds them.

A workload is a plain module of `benchmarks/workloads`:

    CASES = [Case("1M", {"n": 1 << 20}, Work(flops=2 << 20, bytes=12 << 20))]
    TINY = [Case("tiny", {"n": 5})]            # optional: what the tests run; by default the smallest case
    RTOL, ATOL = 1e-5, 1e-6                    # optional: how far a candidate may be off
    SKIP = {"torch": ("16M",)}                 # optional: cases that a candidate leaves out

    def inputs(case, rng): ...                 # a dict of arrays
    def numpy(case, a): ...                    # from that dict, a call without arguments; so for every candidate
    def reference(case, a): ...                # optional: the right result itself; by default that of numpy()

A candidate that a module does not define makes no sense there. The call a builder returns ends when its result
(an array, or tuples, lists and dicts of them) is there.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray[Any, Any]]
Call = Callable[[], Any]
Sizes = Mapping[str, Any]

#: arithmetic operations that the cheapest faithful float32 exp, log, tanh or erf takes: a polynomial of about eight
#: fused multiply-adds, range reduction included
TRANSCENDENTAL = 16

#: whose time is compared; `best peer` is the fastest but the first
CANDIDATES = ("phalanx", "numpy", "jax", "torch", "numba", "onnxruntime")

#: who the others are compared with
OURS = CANDIDATES[0]

#: measured along with a workload but not ranked: the product without its epilogue, a pass over as much memory
YARDSTICKS = ("openblas", "stream")

DEFAULT_RTOL, DEFAULT_ATOL = 1e-4, 1e-5

_FOLDER = Path(__file__).resolve().parent.parent / "workloads"


@dataclass(frozen=True)
class Work:
    """What no implementation can avoid: operations, and bytes read and written once each.

    `dtype` says which peak of the machine the operations are held against: float32 or float64.
    """

    flops: float = 0.0
    bytes: float = 0.0
    dtype: str = "float32"


@dataclass(frozen=True)
class Case:
    """One size of a workload; `case["n"]` is a size."""

    name: str
    sizes: Sizes = field(default_factory=dict)
    work: Work | Callable[[Sizes], Work] = Work()

    def __getitem__(self, size: str) -> Any:
        return self.sizes[size]

    def least_work(self) -> Work:
        """The `Work` of these sizes."""
        return self.work(self.sizes) if callable(self.work) else self.work


@dataclass(frozen=True)
class Workload:
    """A module of workloads, with its optional parts filled in."""

    name: str
    module: ModuleType

    @property
    def summary(self) -> str:
        """The first paragraph of the module's docstring."""
        return " ".join((self.module.__doc__ or "").strip().split("\n\n")[0].split())

    @property
    def cases(self) -> list[Case]:
        return list(self.module.CASES)

    @property
    def tiny(self) -> list[Case]:
        """Cases small enough for a test."""
        smallest = min(self.cases, key=lambda case: (case.least_work().flops, case.least_work().bytes))
        return list(getattr(self.module, "TINY", [smallest]))

    def case(self, name: str) -> Case:
        """A case by its name."""
        return next(case for case in [*self.cases, *self.tiny] if case.name == name)

    @property
    def tolerance(self) -> tuple[float, float]:
        """(relative, absolute) distance from the reference that is allowed."""
        return getattr(self.module, "RTOL", DEFAULT_RTOL), getattr(self.module, "ATOL", DEFAULT_ATOL)

    @property
    def candidates(self) -> list[str]:
        """Candidates and yardsticks the module defines."""
        return [name for name in (*CANDIDATES, *YARDSTICKS) if callable(getattr(self.module, name, None))]

    def takes_part(self, candidate: str, case: str) -> bool:
        """Whether a candidate runs a case."""
        return case not in getattr(self.module, "SKIP", {}).get(candidate, ())

    def inputs(self, case: Case) -> Arrays:
        """The same arrays in every process."""
        seed = [*f"{self.name}/{case.name}".encode()]
        return dict(self.module.inputs(case, np.random.default_rng(seed)))

    def build(self, candidate: str, case: Case, arrays: Arrays) -> Call:
        """The call a candidate is measured by."""
        return getattr(self.module, candidate)(case, arrays)  # type: ignore[no-any-return]

    def reference(self, case: Case, arrays: Arrays) -> Any:
        """The result every candidate has to reproduce."""
        if hasattr(self.module, "reference"):
            return self.module.reference(case, arrays)
        return self.module.numpy(case, arrays)()


def names(folder: Path = _FOLDER) -> list[str]:
    """Every workload there is."""
    return sorted(path.stem for path in folder.glob("*.py") if not path.stem.startswith("_"))


def load(name: str) -> Workload:
    """A workload by the name of its file."""
    return Workload(name, importlib.import_module(f"benchmarks.workloads.{name}"))


def leaves(result: Any) -> list[np.ndarray[Any, Any]]:
    """The arrays of a result, in order, as NumPy arrays: tensors of any library, nested in tuples, lists and dicts."""
    if isinstance(result, Mapping):
        return [array for key in sorted(result) for array in leaves(result[key])]
    if isinstance(result, (tuple, list)):
        return [array for part in result for array in leaves(part)]
    if hasattr(result, "detach"):
        result = result.detach().cpu()
    return [np.asarray(result)]


def disagreement(found: list[np.ndarray[Any, Any]], expected: list[np.ndarray[Any, Any]], rtol: float,
                 atol: float) -> str | None:
    """Why `found` is not `expected`, or None when it is."""
    if len(found) != len(expected):
        return f"{len(found)} results instead of {len(expected)}"
    for index, (array, wanted) in enumerate(zip(found, expected, strict=True)):
        if array.shape != wanted.shape:
            return f"result {index} has shape {array.shape} instead of {wanted.shape}"
        exact = wanted.dtype.kind in "biu"
        wide, goal = (array, wanted) if exact else (array.astype(np.float64), wanted.astype(np.float64))
        close = wide == goal if exact else np.isclose(wide, goal, rtol=rtol, atol=atol, equal_nan=True)
        if not close.all():
            where = tuple(int(i) for i in np.argwhere(~close)[0])
            return (f"result {index} differs at {int((~close).sum())} of {close.size} places, first at "
                    f"{list(where)}: {array[where]} instead of {wanted[where]}")
    return None
