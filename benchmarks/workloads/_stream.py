"""The yardstick of streaming workloads: one pass of scale-and-add over as many bytes as the case cannot avoid."""

from __future__ import annotations

from benchmarks.harness.workload import Arrays, Call, Case


def stream(case: Case, a: Arrays) -> Call:
    """A pass over the bytes of a case; the arrays are its own."""
    from benchmarks.harness.limits import stream_call

    return stream_call(int(case.least_work().bytes))
