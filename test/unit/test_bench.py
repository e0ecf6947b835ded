"""px.bench: what is measured, what is refused, how it reads."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest

import phalanx as px
from phalanx.compiler import bench
from phalanx.compiler.bench_report import Report, Row, compare, duration


def test_the_seconds_and_the_result_of_one_call():
    start = time.perf_counter()
    seconds, result = bench.time(lambda: (time.sleep(0.01), 7)[1])
    assert result == 7
    assert 0.009 < seconds <= time.perf_counter() - start


def test_a_report_has_every_candidate_and_input():
    report = bench.run({"np": np.sum, "again": np.sum}, {"small": [np.ones(10)], "big": [np.ones(1000)]}, seconds=0.01)
    assert [(row.name, row.inputs) for row in report.rows] == [
        ("np", "small"), ("again", "small"), ("np", "big"), ("again", "big")]
    assert all(len(row.samples) >= 5 and row.median <= row.p99 for row in report.rows)
    assert len(report.comparisons()) == 2


def test_compile_time_stands_apart():
    report = bench.run({"compiled": px.jit(lambda x: x * 3), "numpy": lambda x: x * 3}, [np.ones(8, np.float32)],
                       seconds=0.01)
    compiled, plain = report.rows
    assert {"trace"} <= set(compiled.compile) and not plain.compile
    assert compiled.first_call > compiled.median


def test_a_defn_is_measured_by_itself():
    report = bench.run(px.jit(lambda x: x + 1, name="one"), [np.ones(2, np.float32)], seconds=0.01)
    assert report.comparisons() == []


@pytest.mark.parametrize(("candidates", "message"), [
    ({}, "there is no function to measure"),
    ({"a": 3}, "a is a int, not a function"),
    ({"a": np.negative, "b": lambda x: -x + 1e-2}, "b and a disagree, by up to 0.01"),
    ({"a": np.negative, "b": lambda x: x[:1]}, r"b gives shape \[1\], a gives \[3\]"),
    ({"a": np.negative, "b": lambda x: (x, x)}, "b gives 2 results, a gives 1"),
    ({"a": lambda x: 1 / 0}, "a raised ZeroDivisionError: division by zero"),
])
def test_candidates_that_cannot_be_compared(candidates, message):
    with pytest.raises(px.ArgumentError, match=message):
        bench.run(candidates, [np.ones(3, np.float32)], seconds=0.01)


def test_disagreement_can_be_allowed():
    pair = {"a": np.negative, "b": lambda x: -x + 1e-2}
    assert len(bench.run(pair, [np.ones(3, np.float32)], seconds=0.01, rtol=0.1).rows) == 2
    assert len(bench.run(pair, [np.ones(3, np.float32)], seconds=0.01, check=False).rows) == 2


def test_what_is_too_fast_to_time_says_so():
    row = bench.run({"nothing": int}, seconds=0.01).rows[0]
    assert row.median < 1e-6
    if row.median < 1e-7:
        assert "too fast to time" in row.warnings[0]


def made(name: str, median: float, noise: float) -> Row:
    samples = np.random.default_rng(1).normal(median, noise, 200)
    return Row(name, "", tuple(samples), 1, 0.0, {}, None)


def test_comparisons_know_noise_from_difference():
    assert "same within noise" in str(compare(made("a", 1e-3, 1e-4), made("b", 1.005e-3, 1e-4)))
    text = str(compare(made("a", 1e-3, 1e-5), made("b", 2e-3, 1e-5)))
    assert text.startswith("b: 2.00x slower, +1") and text.endswith("(2.00 to 2.00)")


def test_the_forms_of_a_report(tmp_path):
    report = bench.run({"a": np.sum, "b": np.sum}, [np.ones(4)], seconds=0.01)
    assert str(report).splitlines()[1].split()[:2] == ["name", "calls/s"]
    assert report.markdown().count("\n| ") == 3
    read = json.loads(report.json())
    assert [row["name"] for row in read["rows"]] == ["a", "b"] and len(read["comparisons"]) == 1
    report.save(tmp_path / "x.md")
    report.save(tmp_path / "x.json")
    assert (tmp_path / "x.md").read_text() == report.markdown()
    assert json.loads((tmp_path / "x.json").read_text()) == read


def test_a_table_keeps_names_whole_however_wide_the_numbers_are():
    long = f"some/{'deep/' * 20}file.py:function"
    report = Report([made(long, 1e-3, 1e-4), made("other", 2e-9, 1e-7)], {}, 1.0)
    lines = str(report).splitlines()
    assert lines[2].startswith(f"{long} ") and lines[3].startswith("other ")


def test_durations():
    assert [duration(s) for s in (2.5, 2.5e-3, 2.5e-6, 2.5e-9)] == ["2.50 s", "2.50 ms", "2.50 us", "2.5 ns"]


def test_arrays_for_specs_are_the_same_every_time():
    first, second = (bench.arrays_for([px.spec("f32[2,3]"), px.spec("i32[4]")]) for _ in range(2))
    assert [(a.shape, str(a.dtype)) for a in first] == [((2, 3), "float32"), ((4,), "int32")]
    assert all((a == b).all() for a, b in zip(first, second, strict=True))
    with pytest.raises(px.ArgumentError, match="a size without a value"):
        bench.arrays_for([px.spec("f32[n]")])
