"""`px.options(tune=True)`: the choice, what is kept of it, and functions that are not tuned."""

from __future__ import annotations

import numpy as np
import pytest

import phalanx as px
from phalanx.compiler import tuning
from phalanx.compiler.targets.isa import isa


@pytest.fixture(autouse=True)
def _quick(monkeypatch, tmp_path):
    monkeypatch.setattr(tuning, "SECONDS", 0.001)
    monkeypatch.setenv("PHALANX_CACHE_DIR", str(tmp_path / "cache"))
    px.compiler.config.reload()
    yield
    monkeypatch.undo()
    px.compiler.config.reload()


def f(x):
    return px.sum(px.exp(x) * px.matmul(x, x), axis=1)


X = np.random.default_rng(0).standard_normal((48, 48)).astype(np.float32)


def test_a_tuned_function_computes_what_it_should():
    function = px.jit(f, tune=True)
    expected = np.asarray(px.jit(f)(X))
    for _ in range(3):
        np.testing.assert_allclose(function(X), expected, rtol=1e-4)
    tuned = function.compiled[0].runner
    assert tuned.chosen is not None
    assert set(tuned.seconds) >= {"usual", "opt_level=3"} and all(took > 0 for took in tuned.seconds.values())


def test_the_fastest_is_taken_and_remembered(monkeypatch):
    def measure(runners, backend, storages):
        return [1.0] * (len(runners) - 1) + [0.5]

    monkeypatch.setattr(tuning, "_measure", measure)
    function = px.jit(f, tune=True)
    function(X)
    assert function.compiled[0].runner.chosen == {"opt_level": 3}

    def refuse(*_):
        raise AssertionError("measured again")

    monkeypatch.setattr(tuning, "_measure", refuse)
    again = px.jit(f, tune=True)
    again(X)
    assert again.compiled[0].runner.chosen == {"opt_level": 3}


def test_what_is_as_good_as_equal_changes_nothing(monkeypatch):
    monkeypatch.setattr(tuning, "_measure", lambda runners, *_: [1.0] + [0.99] * (len(runners) - 1))
    function = px.jit(f, tune=True)
    function(X)
    assert function.compiled[0].runner.chosen == {}


def test_a_damaged_memory_is_measured_again(monkeypatch):
    monkeypatch.setattr(tuning, "_remembered", lambda key: {"isa": "another machine"})
    function = px.jit(f, tune=True)
    function(X)
    assert function.compiled[0].runner.seconds


def test_calls_that_cannot_be_repeated_are_not_tuned():
    seen = []
    noisy = px.jit(lambda x: px.io_call(x, lambda v: seen.append(1)), tune=True)
    noisy(X)
    assert len(seen) == 1
    donating = px.jit(lambda x: x + 1, donate=["x"], tune=True)
    np.testing.assert_allclose(donating(px.asarray(X)), X + 1)


def test_every_arrangement_is_one_of_this_machine():
    for name in ("x86-64-v2", "x86-64-v3", "x86-64-v4", "aarch64"):
        for arrangement in tuning.arrangements(isa(name)):
            if "isa" in arrangement:
                record = isa(arrangement["isa"])
                assert (record.cpu, record.features) == (isa(name).cpu, isa(name).features)
