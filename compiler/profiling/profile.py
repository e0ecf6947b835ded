"""`px.profile(f, x)`: compile a function with a clock around every cluster, run it, and say where the time went."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from mlir import ir

from phalanx.compiler import config, native
from phalanx.compiler.api import Defn
from phalanx.compiler.context import context
from phalanx.compiler.execution import backend_of, tensor_of
from phalanx.compiler.inspect.clusters import ClusterInfo, clusters_of
from phalanx.compiler.passes.profile_calls import SITES
from phalanx.compiler.pipeline.stages import extended, run_stages
from phalanx.compiler.profiling.clock import Clock
from phalanx.compiler.profiling.limits import measure_limits
from phalanx.compiler.profiling.report import Profile, Row
from phalanx.compiler.profiling.work import Work, work_of
from phalanx.compiler.targets.cpu import add_entry
from phalanx.dialects.errors import ArgumentError
from phalanx.runtime import jit, threads
from phalanx.runtime.executable import Executable
from phalanx.runtime.host_calls import HOST_CALL_ADDRESS, HOST_CALL_SYMBOL

_MOST_EVENTS = 1 << 16
_FEWEST_RUNS, _MOST_RUNS = 3, 2000


def profile(function: Any, *args: Any, seconds: float = 1.0, **kwargs: Any) -> Profile:
    """Run a function for about `seconds` on these arguments and report the time of each of its clusters.

    >>> report = px.profile(px.jit(lambda x: px.exp(x) + 1), np.ones(1000, np.float32), seconds=0.01)
    >>> [row.kind for row in report.rows]
    ['elementwise']

    The report prints as a table: time, share, GFLOP/s and GB/s against the limits of the machine and the user's line;
    `report.write_trace("trace.json")` writes the calls for a trace viewer (Perfetto, Chrome). The function is compiled
    again, with a clock around every cluster (about 50 ns a call); results are computed as always and dropped.

    Raises ArgumentError for something that cannot be called, or an argument on another backend than `cpu`.
    """
    if not isinstance(seconds, (int, float)) or seconds <= 0:
        raise ArgumentError(f"profile: seconds must be positive, got {seconds!r}")
    if not callable(function):
        raise ArgumentError(f"profile: expected a function, got a {type(function).__name__}")
    defn = function if isinstance(function, Defn) else Defn(function)
    with config.options(compiler="mlir"):
        leaves = defn.signature_of(*args, **kwargs).leaves
        return _profile(defn.compile(*args, **kwargs), leaves, seconds)


def _profile(compiled: Any, leaves: Sequence[Any], seconds: float) -> Profile:
    traced, signature = compiled.traced, compiled.signature
    backend = backend_of(leaves, traced.name)
    if backend.name != "cpu":
        raise ArgumentError(f"profile: arguments are on backend {backend.name!r}, only 'cpu' runs compiled code in place")
    with config.options(**compiled.options):
        recording = compiled.stages.recording
        clusters = {cluster.name: cluster for cluster in clusters_of(recording)}
        work = _work(recording)
        with context():
            module = native.clone(traced.module)
            target = native.target_in_force()
            stages = extended(native.stages(), "scheduled:px-profile-calls")
            run_stages(module, stages, label=traced.name)
            sites = [ir.StringAttr(name).value for name in ir.ArrayAttr(module.operation.attributes[SITES])]
            del module.operation.attributes[SITES]
            add_entry(module, inputs=len(signature.inputs), results=len(signature.outputs), dims=len(signature.dims))
            prepacked = native.prepacked_inputs(module)
            artifact = target.finish(module)
    clock = Clock(len(sites), _MOST_EVENTS)
    code = jit.load(artifact.object, symbols={HOST_CALL_SYMBOL: HOST_CALL_ADDRESS, **clock.symbols}, keep=[clock])
    executable = Executable(code, signature, sites=traced.call_sites, prepacked=prepacked)
    buffers = [leaf.storage if hasattr(leaf, "storage") else tensor_of(leaf, aval, backend).storage
               for leaf, aval in zip(leaves, traced.inputs, strict=True)]
    buffers += [tensor.storage for tensor in traced.hidden]
    whole, parts = _run(executable, buffers, clock, seconds)
    rows = _rows(sites, clock.calls, parts, clusters, work)
    limits = measure_limits(config.get("num_threads") or threads.get_threads())
    return Profile(traced.name, traced.origin, rows, statistics.median(whole), len(whole), limits,
                   [(sites[event.site], event.start, event.end) for event in clock.events()], clock.missed)


def _run(executable: Executable, buffers: list[Any], clock: Clock, seconds: float,
         ) -> tuple[list[float], np.ndarray[Any, np.dtype[np.int64]]]:
    """Seconds of each whole call, and the nanoseconds of its sites, a row a call; one call before to warm up."""
    executable(buffers)
    clock.clear()
    whole: list[float] = []
    sums = [clock.nanoseconds]
    stop = time.perf_counter() + seconds
    while len(whole) < _FEWEST_RUNS or (time.perf_counter() < stop and len(whole) < _MOST_RUNS):
        start = time.perf_counter()
        executable(buffers)
        whole.append(time.perf_counter() - start)
        sums.append(clock.nanoseconds)
    return whole, np.diff(np.stack(sums), axis=0)


def _work(recording: Any) -> dict[str, Work]:
    """The work of every cluster function."""
    with context():
        module = ir.Module.parse(recording.stage_text("clusters"))
        return {ir.StringAttr(view.operation.attributes["sym_name"]).value: work_of(view.operation)
                for view in module.body.operations if "px.cluster" in view.operation.attributes}


def _rows(sites: Sequence[str], counts: Sequence[int], parts: np.ndarray[Any, np.dtype[np.int64]],
          clusters: dict[str, ClusterInfo], work: dict[str, Work]) -> list[Row]:
    """A row for each cluster, the dearest first; sites of one cluster are added up.

    Times are medians over the calls of the function, as the time of the whole is: what else the machine did in some of
    them stays out of both.
    """
    runs = len(parts)
    calls: dict[str, int] = {}
    spent: dict[str, np.ndarray[Any, Any]] = {}
    for name, count, nanoseconds in zip(sites, counts, parts.T, strict=True):
        calls[name] = calls.get(name, 0) + count
        spent[name] = spent.get(name, 0) + nanoseconds
    rows = []
    for name, count in calls.items():
        info = clusters.get(name)
        known = work.get(name, Work(None, None))
        kind, lines, words = (info.kind, info.lines, info.schedule) if info else ("copy", (), "")
        seconds = 1e-9 * float(np.median(spent[name]))
        rows.append(Row(name, kind, count / runs, seconds, known.flops, known.nbytes, lines, words))
    return sorted(rows, key=lambda row: -row.seconds)
