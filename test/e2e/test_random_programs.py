"""Random programs: compiled code agrees with the evaluator, and no program ends the interpreter.

More of them: `python test/e2e/random_programs.py --count 5000`.
"""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from programs.generator import Generator
from programs.running import check, options_for
from random_programs import in_children, program_of, shrink

import phalanx as px


@settings(max_examples=60, deadline=None, database=None, derandomize=True,
          suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(seed=st.integers(0, 2**32), length=st.integers(1, 30), options=st.integers(0, 119))
def test_compiled_programs_agree_with_the_evaluator(seed, length, options):
    program = Generator(random.Random(seed)).program(length)
    wrong = check(program, options_for(options))
    assert not wrong, f"{wrong} ({options_for(options)})\n{program.script}"


def test_no_program_ends_the_interpreter():
    for outcome in in_children(list(range(90))):
        if outcome.kind:
            program = shrink(program_of(outcome.seed), options_for(outcome.seed), outcome.kind, outcome.text)
            pytest.fail(f"{outcome.kind}: {outcome.text} ({options_for(outcome.seed)})\n{program.script}")


def test_a_crash_is_found_and_the_next_programs_still_run(monkeypatch):
    import os

    import random_programs

    def attempt(program, options):
        if len(program.arguments) == 2:
            os.abort()
        return "", ""

    monkeypatch.setattr(random_programs, "attempt", attempt)
    outcomes = in_children(list(range(12)))
    assert [o.seed for o in outcomes] == list(range(12))
    assert [o.kind for o in outcomes] == ["crash" if len(program_of(s).arguments) == 2 else "" for s in range(12)]
    assert all(o.text == "ended by SIGABRT" for o in outcomes if o.kind)


F = np.float32
X = np.arange(6, dtype=F).reshape(2, 3) - 2


def flipped_bools(x):
    return px.flip(px.isfinite(px.eye(2, dtype=px.float64)), axis=1)


def result_besides_a_view(x):
    return px.abs(x), px.reshape(x, (-1,))


def scanned_argument(x):
    return px.scan(lambda c, row: (c, row), px.broadcast_to(x, (2, 2, 3)), x)[1]


def chosen_whole(x):
    return px.cond(px.all(x > 0), lambda: px.sqrt(x), lambda: x) + px.cond(px.sum(x) > 0, lambda: x, lambda: X)


def unit_strides(x):
    return px.any(px.reshape(px.repeat(x[:1, :1], 2, axis=1), (1, 2)))


def late_offset(x):
    start = px.argmax(x[0])
    return px.dynamic_update_slice(px.cumulative_sum(x[0]), px.softmax(x[1, :1]), [start])


def angle_of_zeros(x):
    nothing = px.sum(x[:0])
    return px.atan2(nothing, nothing)


def no_rows(x):
    return px.scan(lambda c, row: (c + row, c), x[0], x[:0])


def gathered_nothing(x):
    return px.take(px.broadcast_to(x[:0, 0], (4, 0)), px.asarray([1, 2]), axis=0)


@pytest.mark.parametrize("options", [{}, {"opt_level": 3}, {"fuse": False}, {"donate": "x"}], ids=str)
@pytest.mark.parametrize("function", [
    flipped_bools, result_besides_a_view, scanned_argument, unit_strides, late_offset, angle_of_zeros, no_rows,
    gathered_nothing, chosen_whole], ids=lambda f: f.__name__)
def test_programs_that_once_went_wrong(function, options):
    expected = px.jit(function, compiler="evaluator", backend="numpy")(X)
    found = px.jit(function, **options)(px.asarray(X))
    for actual, wanted in zip(leaves(found), leaves(expected), strict=True):
        assert actual.dtype == wanted.dtype
        np.testing.assert_allclose(actual, wanted, rtol=1e-6)


def leaves(result):
    parts = result if isinstance(result, (tuple, list)) else (result,)
    return [leaf for p in parts for leaf in (leaves(p) if isinstance(p, (tuple, list)) else [np.asarray(p)])]
