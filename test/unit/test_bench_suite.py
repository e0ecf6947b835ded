"""The benchmark suite: every workload is right at a small size, the harness alternates and reports. Nothing is timed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time

import numpy as np
import pytest

from benchmarks.harness import __main__ as harness
from benchmarks.harness import limits, processes, report, targets, workload
from benchmarks.harness.results import Results
from benchmarks.harness.rounds import Field, Figure, alternate, run_case, unsteady

NAMES = workload.names()

# --- workloads


@pytest.mark.parametrize("name", NAMES)
def test_a_workload_is_well_formed(name):
    found = workload.load(name)
    assert found.summary
    assert {"phalanx", "numpy"} <= set(found.candidates) or hasattr(found.module, "reference")
    assert len({case.name for case in found.cases}) == len(found.cases) > 0
    for case in [*found.cases, *found.tiny]:
        work = case.least_work()
        assert work.flops >= 0 and work.bytes >= 0 and work.dtype in ("float32", "float64")
    assert any(case.least_work().flops or case.least_work().bytes for case in found.cases)


@pytest.mark.parametrize(("name", "case"), [(name, case.name) for name in NAMES for case in workload.load(name).tiny])
def test_phalanx_and_numpy_agree(name, case):
    found = workload.load(name)
    chosen = found.case(case)
    expected = workload.leaves(found.reference(chosen, found.inputs(chosen)))
    for candidate in ("numpy", "phalanx"):
        if candidate in found.candidates:
            result = workload.leaves(found.build(candidate, chosen, found.inputs(chosen))())
            assert workload.disagreement(result, expected, *found.tolerance) is None, candidate


def test_a_candidate_can_leave_a_case_out():
    found = workload.load("elementwise_gelu")
    assert "stream" in found.candidates and not found.takes_part("stream", "4K")
    assert found.takes_part("stream", "16M") and found.takes_part("phalanx", "4K")


def test_inputs_are_the_same_everywhere():
    found = workload.load("softmax")
    first, again = (found.inputs(found.tiny[0])["x"] for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first.ravel()[:3], found.inputs(found.tiny[1])["x"].ravel()[:3])


def test_a_call_can_be_made_twice():
    found = workload.load("mlp_step")
    call = found.build("phalanx", found.tiny[0], found.inputs(found.tiny[0]))
    first, again = workload.leaves(call()), workload.leaves(call())
    assert workload.disagreement(again, first, 0, 0) is None


@pytest.mark.parametrize(("found", "expected", "message"), [
    ([np.ones(2)], [np.ones(2), np.ones(2)], "1 results instead of 2"),
    ([np.ones(2)], [np.ones(3)], r"result 0 has shape \(2,\) instead of \(3,\)"),
    ([np.array([1, 2, 4])], [np.array([1, 2, 3])], r"differs at 1 of 3 places, first at \[2\]: 4 instead of 3"),
    ([np.array([np.nan, np.inf])], [np.array([0.0, np.inf])], r"differs at 1 of 2 places, first at \[0\]: nan"),
    ([np.array([np.inf])], [np.array([-np.inf])], "differs at 1"),
])
def test_disagreements(found, expected, message):
    text = workload.disagreement(found, expected, 1e-3, 1e-3)
    assert text is not None and re.search(message, text)


def test_what_counts_as_agreement():
    nan = np.array([np.nan, np.inf, 1.0])
    assert workload.disagreement([nan], [nan.copy()], 0, 0) is None
    assert workload.disagreement([np.float32(1.0001)], [np.array(1.0)], 1e-3, 0) is None
    assert workload.disagreement([np.int32([3])], [np.int64([3])], 0, 0) is None
    assert workload.disagreement([np.zeros((0, 3))], [np.zeros((0, 3))], 0, 0) is None


def test_results_of_every_kind_become_arrays():
    arrays = workload.leaves({"b": (np.ones(1), [2.0]), "a": 3})
    assert [array.tolist() for array in arrays] == [3, [1.0], 2.0]


# --- workers


@pytest.fixture
def field(tmp_path):
    own = tmp_path / "softmax-1"
    own.mkdir()
    made = Field(workload.load("softmax"), 1, own)
    yield made
    made.close()


def test_workers_measure_in_turns(field):
    field.start(dict.fromkeys(("numpy", "phalanx"), sys.executable), ["numpy", "phalanx"])
    figures = run_case(field, "ragged", ["phalanx", "numpy"], "numpy", rounds=3, seconds=0.001)
    assert [(figure.candidate, figure.status, len(figure.rounds)) for figure in figures] == [
        ("phalanx", "ok", 3), ("numpy", "ok", 3)]
    for figure in figures:
        assert figure.seconds is not None and figure.minimum is not None and figure.first_call is not None
        assert 0 < figure.minimum <= figure.seconds
    assert list(field.folder.glob("*.npz")) == []
    with pytest.raises(processes.WorkerFailed, match="measure before prepare"):
        field.ask("numpy", "measure", seconds=0.001)
    assert field.ask("numpy", "release") == {}


def test_a_candidate_that_fails_or_is_wrong_is_reported(field, monkeypatch):
    field.start({"numpy": sys.executable, "onnxruntime": sys.executable, "phalanx": sys.executable},
                ["numpy", "phalanx", "onnxruntime"])
    reference = field.ask
    wrong = np.ones((5, 37))

    def ask(name, do, **request):
        answer = reference(name, do, **request)
        if (name, do) == ("phalanx", "prepare"):
            np.savez(answer["result"], wrong)
        return answer

    monkeypatch.setattr(field, "ask", ask)
    phalanx, broken = run_case(field, "ragged", ["phalanx", "onnxruntime"], "numpy", rounds=1, seconds=0.001)
    assert (phalanx.status, phalanx.seconds) == ("wrong", None) and "places" in phalanx.message
    assert broken.status == "failed" and broken.seconds is None
    assert "onnxruntime" in broken.message


def test_a_process_that_ends_is_reported_from_then_on(field):
    field.start({"numpy": sys.executable}, ["numpy"])
    field.processes["numpy"]._child.kill()
    for _ in range(2):
        with pytest.raises(processes.WorkerFailed, match="the process ended"):
            field.ask("numpy", "prepare", case="ragged")
    assert "numpy" in field.broken


def test_a_process_that_ended_is_started_again_for_the_next_case(field):
    field.start({"numpy": sys.executable, "phalanx": sys.executable}, ["numpy", "phalanx"])
    field.processes["phalanx"]._child.kill()
    for status in ("failed", "ok"):
        (figure,) = run_case(field, "ragged", ["phalanx"], "numpy", rounds=1, seconds=0.001)
        assert figure.status == status, figure.message
        if status == "failed":
            assert "phalanx" in field.broken
    assert not field.broken


def test_a_candidate_that_hangs_is_ended(field, monkeypatch):
    field.start({"numpy": sys.executable}, ["numpy"])
    field.ask("numpy", "prepare", case="ragged")
    monkeypatch.setattr(processes, "ANSWER", 0.05)
    with pytest.raises(processes.WorkerFailed, match="no answer after 0 s"):
        field.ask("numpy", "measure", seconds=60)
    assert "numpy" in field.broken


def test_what_a_library_prints_does_not_disturb_the_protocol(field, monkeypatch):
    process = processes.Process(sys.executable, "no_such_workload", "numpy", 1, field.folder)
    with pytest.raises(processes.WorkerFailed, match="no_such_workload"):
        process.wait()
    process.close()


class _Scripted:
    """A field whose candidates answer from a list."""

    def __init__(self, **answers):
        self.answers = {name: list(times) for name, times in answers.items()}
        self.order = []

    def settle(self):
        pass

    def ask(self, name, do, **request):
        assert do == "measure"
        self.order.append(name)
        seconds = self.answers[name].pop(0)
        if seconds is None:
            raise processes.WorkerFailed("boom")
        return {"seconds": seconds, "minimum": seconds / 2}


def test_the_order_rotates_and_medians_are_taken():
    scripted = _Scripted(a=[3.0, 1.0, 0.5], b=[0.1, 0.1, 0.1], c=[0.2, None])
    figures = [Figure("w", "c", 1, name) for name in "abc"]
    alternate(scripted, figures, 3, 0.1)  # type: ignore[arg-type]
    assert scripted.order == [*"abc", *"bca", *"ab"]
    assert (figures[0].seconds, figures[0].minimum) == (1.0, 0.25)
    assert (figures[2].status, figures[2].message, figures[2].seconds) == ("failed", "boom", None)


def test_a_slow_candidate_sits_out():
    scripted = _Scripted(slow=[9.0] * 5, fast=[0.1] * 5)
    figures = [Figure("w", "c", 1, name) for name in ("slow", "fast")]
    alternate(scripted, figures, 5, 0.1)  # type: ignore[arg-type]
    assert [len(figure.rounds) for figure in figures] == [1, 5]


def test_unsteady_figures_get_more_rounds_while_there_is_time():
    def race(may_go_on):
        scripted = _Scripted(phalanx=[1.0, 1.2, 1.1, 1.0, 1.0, 1.0, 9.9, 9.9, 9.9, 9.9], near=[1.2] * 10, far=[5.0] * 10)
        figures = [Figure("w", "c", 1, name) for name in ("phalanx", "near", "far")]
        answers = iter(may_go_on)
        alternate(scripted, figures, 4, 0.1, lambda: next(answers))  # type: ignore[arg-type]
        return [len(figure.rounds) for figure in figures]

    assert race([False]) == [4, 4, 1 + 1]  # a slow one sits out
    assert race([True, False]) == [5, 5, 2]
    assert race([True] * 4) == [6, 6, 2]  # steady by then


def test_steady_figures():
    def of(**rounds):
        return [figure.candidate for figure in unsteady(
            [Figure("w", "c", 1, name, rounds=list(found)) for name, found in rounds.items()])]

    assert unsteady([]) == of(phalanx=[1, 1, 1, 1, 9]) == of(phalanx=[1, 2]) == []
    assert of(phalanx=[1, 1, 1], fast=[0.5, 0.6, 0.7, 0.8], slow=[2, 3, 4, 5]) == ["phalanx", "fast"]


def test_the_environment_of_a_worker(tmp_path):
    variables = processes.environment(3, tmp_path, {"OPENBLAS_CORETYPE": "Haswell", "HOME": "/h"})
    assert "OPENBLAS_CORETYPE" not in variables and variables["HOME"] == "/h"
    assert variables["OPENBLAS_NUM_THREADS"] == variables["NUMBA_NUM_THREADS"] == variables["PHALANX_NUM_THREADS"] == "3"
    assert "XLA_FLAGS" in processes.environment(1) and "XLA_FLAGS" not in variables


# --- limits


def test_a_pass_over_memory_can_be_repeated():
    call = limits.stream_call(100_000)
    assert call().size == call().size == 0


LIMITS = {"threads": 1, "flops": {"float32": 100e9, "float64": 50e9}, "levels": [
    {"name": "L1", "bytes": 1000, "read": 300e9, "copy": 200e9, "triad": 200e9},
    {"name": "memory", "bytes": None, "read": 20e9, "copy": 30e9, "triad": 25e9}]}


@pytest.mark.parametrize(("work", "seconds"), [
    (workload.Work(flops=1e11), 1.0),
    (workload.Work(flops=1e11, dtype="float64"), 2.0),
    (workload.Work(bytes=3e9), 0.1),
    (workload.Work(bytes=300), 1e-9),
    (workload.Work(flops=1e11, bytes=60e9), 2.0),
])
def test_the_least_time_of_work(work, seconds):
    assert limits.least_seconds(work, LIMITS) == pytest.approx(seconds)


# --- results and the report


def figure(name, case, threads, candidate, seconds, **more):
    known = {"minimum": seconds, "first_call": 0.1, "status": "ok", "message": "", "rounds": [seconds]}
    return {"workload": name, "case": case, "threads": threads, "candidate": candidate, "seconds": seconds, **known, **more}


@pytest.fixture
def data():
    flops = {"flops": 1e9, "bytes": 0.0, "dtype": "float32"}
    stream = {"flops": 0.0, "bytes": 250e6, "dtype": "float32"}
    return {
        "environment": {"date": "a day", "ours": {"numpy": "2"}, "load average before": [0.5, 1, 2]},
        "rounds": 5, "seconds per round": 0.1,
        "limits": {"1": LIMITS, "2": {**LIMITS, "threads": 2}},
        "workloads": {"matmul_bias_relu": {"summary": "", "cases": {"64": flops, "512": flops}},
                      "elementwise_square_add": {"summary": "", "cases": {"16M": stream}}},
        "figures": [
            figure("matmul_bias_relu", "64", 1, "phalanx", 0.02), figure("matmul_bias_relu", "64", 1, "numpy", 0.04),
            figure("matmul_bias_relu", "64", 1, "jax", 0.03), figure("matmul_bias_relu", "64", 1, "openblas", 0.022),
            figure("matmul_bias_relu", "64", 2, "phalanx", 0.01), figure("matmul_bias_relu", "64", 2, "numpy", 0.03),
            figure("matmul_bias_relu", "512", 2, "phalanx", 0.05), figure("matmul_bias_relu", "512", 2, "jax", 0.04),
            figure("matmul_bias_relu", "512", 2, "torch", None, status="wrong", message="result 0 differs"),
            figure("elementwise_square_add", "16M", 1, "phalanx", 0.0111),
            figure("elementwise_square_add", "16M", 1, "stream", 0.01),
        ],
    }


def test_rows_ratios_and_limits(data):
    found = {(row.case, row.threads): row for row in report.rows(data)}
    row = found["64", 1]
    assert row.best_peer() == ("jax", 0.03) and row.ratio() == pytest.approx(1.5)
    assert row.fraction() == pytest.approx(0.5)
    assert found["16M", 1].best_peer() is None and found["16M", 1].ratio() is None
    assert found["512", 2].seconds("torch") is None


def test_the_report(data, tmp_path):
    (tmp_path / "import_time.json").write_text('{"import numpy": 0.1, "import phalanx": 0.14}')
    (tmp_path / "first_call.json").write_text(json.dumps({"seconds": {
        "softmax": {"phalanx": 0.2, "jax": 0.1, "phalanx second": 0.1, "jax second": 0.2},
        "5000 operations": {"phalanx": 2.0, "jax": 4.0}}}))
    (tmp_path / "memory.json").write_text(json.dumps({"bytes": {"softmax": {"phalanx": {"a": 5}, "jax": {"a": 4}}}}))
    text = report.markdown(data, tmp_path)
    assert "| matmul_bias_relu 64 | 20 ms | 40 ms | 30 ms | 22 ms |  | jax | 1.50 | 50 % |" in text
    assert "**wrong**" in text and "torch: wrong: result 0 differs" in text
    assert "mean 1.55 of 2 cases; under 1.0: matmul_bias_relu 512 0.80" in text
    assert "least 1.10; short of it: matmul_bias_relu 64 x1 1.10" in text
    assert "square_add 16M x1 90 % | yes" in text
    assert "1.40 times, 140 ms | yes" in text
    assert ("5000 operations 2 s; first in a process, imports excluded: mean 1.00, under 1.0: softmax 0.50; "
            "after another function: mean 2.00, under 1.0: none | **no**") in text
    assert "more bytes than XLA: softmax a 5 to 4 | **no**" in text
    assert "mean 2.00 of 1 cases; under 1.7: none | yes" in text
    assert "| multiply-add, float32 | 1 | 100 GFLOP/s |" in text
    assert "load average before: 0.50, 1.00, 2.00" in text


def test_targets_that_were_not_measured(data, tmp_path):
    data["figures"] = []
    text = targets.section(data, report.rows(data), tmp_path)
    assert text.count("not measured") == 8


@pytest.mark.parametrize(("seconds", "text"), [
    (None, ""), (2.345, "2.35 s"), (0.9999, "1000 ms"), (0.00012345, "123 us"), (1e-6, "1 us"), (1.5e-8, "15 ns")])
def test_durations(seconds, text):
    assert report.duration(seconds) == text


def test_results_are_kept_and_completed(tmp_path):
    found = workload.load("softmax")
    path = tmp_path / "results.json"
    results = Results(path, keep=False)
    results.put(found, "128x64", 1, [Figure("softmax", "128x64", 1, "numpy", seconds=1.0)])
    results.save()
    again = Results(path, keep=True)
    assert again.complete("softmax", "128x64", 1, ["numpy"])
    assert not again.complete("softmax", "128x64", 1, ["numpy", "jax"])
    assert not again.complete("softmax", "128x64", 2, ["numpy"])
    again.put(found, "128x64", 1, [Figure("softmax", "128x64", 1, "numpy", seconds=2.0)])
    assert [kept["seconds"] for kept in again.data["figures"]] == [2.0]
    assert Results(path, keep=False).data["figures"] == []


# --- the command


def test_selection():
    assert [(found.name, cases) for found, cases in harness.selected("softmax/128x64,layernorm")] == [
        ("layernorm", ["4096x1024", "128x64"]), ("softmax", ["128x64"])]
    assert [found.name for found, _ in harness.selected("")] == NAMES
    with pytest.raises(SystemExit, match="no workload sofmax; there are "):
        harness.selected("sofmax")
    with pytest.raises(SystemExit, match="softmax has no such case; it has 4096x1024, 128x64"):
        harness.selected("softmax/7")


def test_a_run_keeps_pace():
    pace = harness.Pace(minutes=1.0, cases=4, started=time.perf_counter() - 20)
    assert not pace.in_time()
    pace.done = 1
    assert pace.in_time()


def test_results_name_every_commit_they_come_from(tmp_path):
    results = Results(tmp_path / "results.json", keep=True)
    for commit in ("abc", "abc", "def with changes"):
        results.describe({"commit": commit}, 5, 0.1)
    assert results.data["environment"]["commit"] == "abc, def with changes"


def test_a_machine_whose_limits_cannot_be_measured(tmp_path, capsys, monkeypatch):
    def measured(threads):
        raise subprocess.CalledProcessError(1, "limits", stderr="boom")

    monkeypatch.setattr(limits, "measured", measured)
    results = Results(tmp_path / "results.json", keep=False)
    harness._measure_limits(results, 2)
    assert "2 threads could not be measured: boom" in capsys.readouterr().out
    assert results.data["limits"] == {}


def test_the_command_without_peers(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(limits, "measured", lambda threads: {**LIMITS, "threads": threads})
    output = tmp_path / "results.json"
    words = ["--only", "softmax/128x64", "--rounds", "1", "--seconds", "0.001", "--threads", "1", "--output", str(output),
             "--peers-python", str(tmp_path / "none")]
    assert harness.main(words) == 0
    said = capsys.readouterr().out
    assert "make bench-peers" in said and "softmax/128x64 x1 phalanx" in said
    assert {f["candidate"] for f in json.loads(output.read_text())["figures"]} == {"phalanx", "numpy"}
    assert "softmax 128x64" in (tmp_path / "RESULTS.md").read_text()
    assert harness.main([*words, "--resume"]) == 0
    assert "softmax/128x64" not in capsys.readouterr().out  # nothing was left to do
