"""`phalanx profile` and `px.profile`: calls, work and lines of clusters; the table and the trace file."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

import phalanx as px
from phalanx.compiler.profiling import Limits, kernels, measure_limits, profile, rates
from phalanx.compiler.profiling.profile import _rows
from phalanx.compiler.profiling.report import Profile, Row


@px.defn
def dense(x, w):
    return px.maximum(px.matmul(x, w), 0)


@px.defn
def softmax(x):
    e = px.exp(x - px.max(x, axis=1, keepdims=True))
    return e / px.sum(e, axis=1, keepdims=True)


def ones(*shape: int) -> np.ndarray:
    return np.ones(shape, np.float32)


def test_a_product_counts_two_operations_a_multiply_add_and_each_operand_once():
    report = profile(dense, ones(8, 16), ones(16, 4), seconds=0.01)
    (row,) = report.rows
    assert row.kind == "contraction" and row.calls == 1
    assert row.flops == 2 * 8 * 16 * 4 + 8 * 4  # and the maximum
    assert row.nbytes == 4 * (8 * 16 + 16 * 4 + 8 * 4)
    assert row.places[0].startswith("test_profiling.py:")
    assert 0 < row.seconds <= report.seconds * 2


def test_operations_of_a_softmax():
    (row,) = profile(softmax, ones(32, 64), seconds=0.01).rows
    # maximum, subtraction, exponential, sum, quotient at every point
    assert row.flops == 5 * 32 * 64
    assert row.nbytes == 4 * 2 * 32 * 64


def test_a_loop_counts_every_trip():
    @px.defn
    def run(x):
        return px.fori_loop(0, 7, lambda i, x: px.tanh(x) + px.sum(x), x)

    report = profile(run, ones(100), seconds=0.01)
    assert max(row.calls for row in report.rows) == 7


def test_an_operand_that_is_broadcast_counts_at_its_own_size():
    @px.defn
    def add(x, b):
        return x + b

    (row,) = profile(add, ones(64, 32), ones(32), seconds=0.01).rows
    assert row.nbytes == 4 * (2 * 64 * 32 + 32)


def test_results_are_those_of_the_function_and_arguments_may_be_tensors():
    x = px.asarray(ones(8, 8))
    assert profile(softmax, x, seconds=0.01).runs >= 3
    np.testing.assert_array_equal(np.asarray(x), ones(8, 8))


def test_a_function_without_clusters():
    report = profile(px.jit(lambda x: x), ones(4), seconds=0.01)
    assert sum(row.flops or 0 for row in report.rows) == 0
    assert "outside clusters" in str(report)


def test_the_trace_file_has_an_event_for_each_call(tmp_path):
    report = profile(softmax, ones(16, 16), seconds=0.01)
    report.write_trace(str(tmp_path / "trace.json"))
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    calls = [event for event in events if event["ph"] == "X"]
    assert len(calls) == report.runs * len(report.rows)
    assert all(event["dur"] >= 0 and event["args"]["flops"] == 5 * 256 for event in calls)
    starts = [event["ts"] for event in calls]
    assert starts == sorted(starts)


def test_what_bounds_a_cluster():
    limits = Limits(1, 100e9, 50e9, 10e9, 10e9)
    product = Row("con", "contraction", 1, 0.02, 10**9, 10**6, (), "")
    assert product.limit(limits) == ("compute", pytest.approx(0.5))
    copy = Row("copy", "elementwise", 2, 0.02, 0, 10**8, (), "")
    assert copy.limit(limits) == ("memory", pytest.approx(1.0))
    assert Row("none", "opaque", 0, 0.0, None, None, (), "").limit(limits) is None


def test_the_table_names_rates_and_lines():
    row = Row("con_L5_0", "contraction", 1, 0.02, 10**9, 10**6, (), "")
    text = str(Profile("f", "f.py:3", [row], 0.025, 3, Limits(1, 100e9, 50e9, 10e9, 10e9), [], 0))
    assert "con_L5_0" in text and "50.0" in text and "50% compute" in text and "5.00 ms" in text


def test_limits_are_plausible():
    limits = measure_limits(1)
    assert all(1e8 < speed < 1e15 for speed in (limits.flops_f32, limits.flops_f64))
    assert all(1e8 < speed < 1e13 for speed in (limits.read_bytes, limits.stream_bytes))
    assert measure_limits(1) is limits


def test_the_kernels_compute_what_they_say():
    found = rates.Kernels(128)
    size = 4 * found.lanes * kernels.UNROLL
    blocks = [rates.aligned(4 * size) for _ in range(3)]
    out, first, second = (block.view(np.float32) for block in blocks)
    first[:], second[:] = np.arange(size), 2.0
    pointers = [block.ctypes.data for block in blocks]
    vectors = size // found.lanes
    results = {"copy": first, "triad": first + 6}
    for name, expected in [*results.items(), *((f"{name}_past_caches", values) for name, values in results.items())]:
        out[:] = -1
        found[name](*pointers, vectors, 2)
        np.testing.assert_array_equal(out, expected)
    found["read"](*pointers, vectors, 1)
    assert out[:found.lanes].sum() == first.sum()
    first[:] = 1.0
    found["fma32"](pointers[0], pointers[1], pointers[1], 2, 1)
    assert (out[:found.lanes] == kernels.CHAINS * 9.0).all()  # eight times x + 1


@pytest.mark.parametrize(("arguments", "message"), [
    ((3, ones(2)), "expected a function, got a int"),
    ((softmax, ones(2, 2)), None),
])
def test_bad_arguments(arguments, message):
    if message is None:
        with pytest.raises(px.ArgumentError, match="seconds must be positive"):
            profile(*arguments, seconds=0)
    else:
        with pytest.raises(px.ArgumentError, match=message):
            profile(*arguments)


def test_the_verb(tmp_path):
    file = tmp_path / "model.py"
    file.write_text("import phalanx as px\n\n@px.defn\ndef f(x: 'f32[64,64]'):\n    return px.sum(px.exp(x), axis=1)\n")
    command = [sys.executable, "-m", "phalanx.compiler.cli", "profile", f"{file}:f", "--seconds", "0.01", "--trace",
               str(tmp_path / "trace.json")]
    table = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "model.py:5" in table and "of limit" in table
    assert json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    done = subprocess.run([*command, "--format", "json"], capture_output=True, text=True, check=True)
    (cluster,) = json.loads(done.stdout)["clusters"]
    assert cluster["flops"] == 2 * 64 * 64 and cluster["lines"] == ["model.py:5"]
    wrong = subprocess.run([*command, "--format", "xml"], capture_output=True, text=True, check=False)
    assert wrong.returncode != 0 and "expected table or json" in wrong.stderr


def test_times_are_medians_over_the_calls():
    """A call in which the machine did something else says nothing about the others."""
    parts = np.asarray([[10, 5, 1], [10, 5, 1], [10_000, 5, 1]])
    rows = _rows(["a", "b", "a"], [3, 6, 3], parts, {}, {})
    assert [(row.name, row.calls, round(row.seconds * 1e9)) for row in rows] == [("a", 2, 11), ("b", 2, 5)]
