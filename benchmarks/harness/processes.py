"""Worker processes of the harness: their environment, the questions put to them, and waiting until they sleep."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent

#: seconds a pool may go on spinning before the next candidate is measured anyway
PATIENCE = 1.0
#: seconds a candidate may take to answer: a compile, or a turn of a slow call
ANSWER = 120.0

#: settings that tune one library by hand: nobody is measured with them
_UNSET = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "KMP_BLOCKTIME", "KMP_AFFINITY", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT",
          "OMP_PROC_BIND", "NUMBA_THREADING_LAYER", "XLA_FLAGS", "PHALANX_CACHE_DIR", "PHALANX_ISA")

_COUNTS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "PHALANX_NUM_THREADS")


class WorkerFailed(Exception):
    """A candidate raised, or its process ended; the message says what it wrote."""


def environment(threads: int, inductor: Path | None = None, inherited: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Variables of a worker with so many threads: every library's thread count, and no cache of compiled code.

    `inductor` is a folder of this run for the C++ headers that torch.compile precompiles once; graphs are not cached.
    """
    variables = {name: value for name, value in inherited.items() if name not in _UNSET}
    variables.update(dict.fromkeys(_COUNTS, str(threads)))
    variables.update(
        JAX_PLATFORMS="cpu", PHALANX_DISK_CACHE="0", TORCHINDUCTOR_FX_GRAPH_CACHE="0",
        TORCHINDUCTOR_COMPILE_THREADS="1", PYTHONPATH=str(ROOT), PYTHONUNBUFFERED="1",
        # Otherwise both threads of a pool may wake up on one processor when something else runs on the other.
        OMP_PROC_BIND="true", OMP_PLACES="threads")
    if inductor is not None:
        variables["TORCHINDUCTOR_CACHE_DIR"] = str(inductor)
    if threads == 1:
        variables["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
    return variables


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Process:
    """A worker and the pipe to it; it has started when `wait` returns. One that does not answer in time is ended."""

    def __init__(self, python: str, workload: str, candidate: str, threads: int, folder: Path) -> None:
        self._late = False
        self._log = folder / f"{candidate}.log"
        command = [python, "-m", "benchmarks.harness.worker", "--workload", workload, "--candidate", candidate,
                   "--threads", str(threads), "--folder", str(folder)]
        with self._log.open("w") as log:
            self._child = subprocess.Popen(command, cwd=ROOT, env=environment(threads, folder.parent / "inductor"), text=True,
                                           stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)

    def wait(self) -> None:
        """Wait until the libraries of the candidate are there."""
        self._receive()

    @property
    def alive(self) -> bool:
        return self._child.poll() is None

    def _receive(self) -> dict[str, Any]:
        assert self._child.stdout is not None
        watchdog = threading.Timer(ANSWER, self._give_up)
        watchdog.start()
        try:
            line = self._child.stdout.readline()
        finally:
            watchdog.cancel()
        if not line:
            code = self._child.wait()
            if self._late:
                raise WorkerFailed(f"no answer after {ANSWER:.0f} s")
            written = [text for text in self._log.read_text().splitlines() if text.strip()]
            raise WorkerFailed(f"the process ended with {code}: {written[-1][:300] if written else 'nothing written'}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise WorkerFailed(answer["error"])
        return answer

    def _give_up(self) -> None:
        self._late = True
        self._child.kill()

    def ask(self, do: str, **request: Any) -> dict[str, Any]:
        """Send a request, wait for its answer; raises `WorkerFailed` when there is none."""
        assert self._child.stdin is not None
        try:
            self._child.stdin.write(json.dumps({"do": do, **request}) + "\n")
            self._child.stdin.flush()
        except BrokenPipeError:
            pass  # the process is gone: reading says why
        return self._receive()

    def sleeps(self) -> bool:
        """Whether none of its threads is running (always, where /proc does not tell)."""
        try:
            states = [path.read_text().rpartition(")")[2].split()[0]
                      for path in Path(f"/proc/{self._child.pid}/task").glob("*/stat")]
        except (OSError, IndexError):
            return True
        return "R" not in states

    def close(self) -> None:
        """End the process at once: libraries take seconds to take their threads down, and there is nothing to save."""
        assert self._child.stdin is not None and self._child.stdout is not None
        self._child.kill()
        self._child.wait()
        with contextlib.suppress(BrokenPipeError):  # a request it never read
            self._child.stdin.close()
        self._child.stdout.close()


def wait_until_asleep(processes: list[Process], patience: float = PATIENCE) -> None:
    """Wait until the pools of all workers have stopped spinning: twice in a row nobody runs."""
    end, quiet = time.perf_counter() + patience, 0
    while quiet < 2 and time.perf_counter() < end:
        quiet = quiet + 1 if all(process.sleeps() for process in processes) else 0
        time.sleep(0.002)
