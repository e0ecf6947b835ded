"""A process that runs one candidate of one workload, told what to do by lines of JSON on its standard input.

Requests are objects with `do`: `prepare` a case (its inputs, the first call, the result in a file), compute the
`reference` of a case, `measure` the prepared case for some seconds, or `release` it. Each is answered by one line; a
candidate that raises answers with `error`. Whatever libraries print goes to standard error.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib
import json
import os
import statistics
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

#: seconds of calls before the samples of a turn, and the length of one sample
WARM_UP, SAMPLE = 0.01, 0.001
#: a call this slow is not worth warming up again in every turn
SLOW_CALL = 0.1


#: what a candidate needs before its first call; importing it is not part of that call
_LIBRARIES = {"phalanx": "phalanx", "jax": "jax", "torch": "torch", "numba": "numba", "onnxruntime": "onnxruntime"}


def pin(processors: int) -> None:
    """Restrict every thread of this process to the last `processors` it may use: interrupts tend to go to the first one."""
    if not hasattr(os, "sched_setaffinity"):
        return
    allowed = sorted(os.sched_getaffinity(0))[-processors:]
    for task in Path("/proc/self/task").iterdir():
        os.sched_setaffinity(int(task.name), allowed)


class Worker:
    """A candidate of a workload and the case it is prepared for."""

    def __init__(self, workload: str, candidate: str, threads: int, folder: Path) -> None:
        from benchmarks.harness.workload import load

        self.workload = load(workload)
        self.candidate, self.threads, self.folder = candidate, threads, folder
        self.call: Callable[[], Any] | None = None
        self.per_call = 0.0

    def _arrays(self, case: str) -> dict[str, Any]:
        arrays = self.workload.inputs(self.workload.case(case))
        configure(self.candidate, self.threads, any(a.dtype.name in _WIDE for a in arrays.values() if hasattr(a, "dtype")))
        return arrays

    def _save(self, result: Any, name: str) -> str:
        import numpy as np

        from benchmarks.harness.workload import leaves

        path = self.folder / f"{name}.npz"
        np.savez(path, *leaves(result))
        return str(path)

    def reference(self, case: str) -> dict[str, Any]:
        """Write the right result of a case."""
        result = self.workload.reference(self.workload.case(case), self._arrays(case))
        return {"result": self._save(result, "reference")}

    def prepare(self, case: str) -> dict[str, Any]:
        """Build the call, make it once with the clock running, and write its result."""
        self.call = None
        self.call = call = self.workload.build(self.candidate, self.workload.case(case), self._arrays(case))
        start = time.perf_counter()
        result = call()
        first = time.perf_counter() - start
        path = self._save(result, self.candidate)
        del result
        start = time.perf_counter()
        call()
        self.per_call = time.perf_counter() - start
        return {"first_call": first, "result": path}

    def measure(self, seconds: float) -> dict[str, Any]:
        """Seconds per call: the median of samples that together take `seconds`."""
        call = self.call
        if call is None:
            raise RuntimeError("measure before prepare")
        if self.per_call < SLOW_CALL:
            self.per_call = _repeat(call, WARM_UP)
        calls = max(1, round(SAMPLE / max(self.per_call, 1e-8)))
        samples: list[float] = []
        clock = time.perf_counter
        end = clock() + seconds
        gc.disable()
        try:
            while not samples or clock() < end:
                start = clock()
                for _ in range(calls):
                    call()
                samples.append((clock() - start) / calls)
        finally:
            gc.enable()
        self.per_call = statistics.median(samples)
        return {"seconds": self.per_call, "minimum": min(samples), "samples": len(samples), "calls": calls}

    def release(self) -> dict[str, Any]:
        """Let go of the case's memory."""
        self.call = None
        gc.collect()
        return {}

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Carry out one request."""
        do = request.pop("do")
        action = {"reference": self.reference, "prepare": self.prepare, "measure": self.measure, "release": self.release}[do]
        return action(**request)  # type: ignore[no-any-return, operator]


#: inputs for which JAX has to be told to keep 64 bits
_WIDE = ("float64", "complex128")


def configure(candidate: str, threads: int, wide: bool) -> None:
    """What a library is told in its own words, beside the environment it was started with."""
    if candidate == "jax":
        import jax  # type: ignore[import-not-found, unused-ignore]

        jax.config.update("jax_enable_x64", wide)
    elif candidate == "torch":
        import torch

        torch.compiler.reset()  # or the second case would be compiled for any size, which is slower
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)


def _repeat(call: Callable[[], Any], seconds: float) -> float:
    """Call for some seconds; the mean seconds per call."""
    clock = time.perf_counter
    start, calls, batch = clock(), 0, 1
    while (passed := clock() - start) < seconds:
        for _ in range(batch):
            call()
        calls += batch
        batch = min(2 * batch, 1024)
    return passed / max(calls, 1)


def _reason(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:300]}" if text else type(error).__name__


def serve(worker: Worker, requests: TextIO, answers: TextIO) -> None:
    """Answer every line until the end of the input."""
    for line in requests:
        request = json.loads(line)
        try:
            answer = worker.answer(request)
        except Exception as error:  # noqa: BLE001 - a candidate may raise anything; it is reported and the others go on
            traceback.print_exc()
            answer = {"error": _reason(error)}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def main() -> None:
    """Start from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--workload", required=True)
    parser.add_argument("--candidate", required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    arguments = parser.parse_args()
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    with contextlib.redirect_stdout(sys.stderr):
        if arguments.candidate in _LIBRARIES:
            importlib.import_module(_LIBRARIES[arguments.candidate])
        # After the imports, which the processes of a workload do side by side, and before any pool of threads is made.
        pin(arguments.threads)
        worker = Worker(arguments.workload, arguments.candidate, arguments.threads, arguments.folder)
        answers.write(json.dumps({"ready": os.getpid()}) + "\n")
        answers.flush()
        serve(worker, sys.stdin, answers)


if __name__ == "__main__":
    main()
