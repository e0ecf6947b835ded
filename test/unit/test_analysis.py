"""Sizes are followed through loops, also those whose carries and results canonicalize has taken apart."""

from __future__ import annotations

import numpy as np
import pytest
from mlir import ir, passmanager

import phalanx as px
from phalanx.compiler.context import context
from phalanx.dialects.analysis import Avals


def halvings(x):
    """A loop with a result nobody uses (the second), and a carry that never changes (`step`)."""

    def body(state):
        value, _, step, count = state
        return value / step, value, step, count + 1

    return px.while_loop(lambda s: px.max(px.abs(s[0])) > 1.0, body, (x, x, px.asarray(2.0), 0))[3]


def test_sizes_reach_a_loop_that_canonicalize_has_cut():
    traced = px.jit(halvings).trace("f32[n]")
    with context():
        module = ir.Module.parse(traced.text)
        passmanager.PassManager.parse("builtin.module(canonicalize)").run(module.operation)
        (function,) = [f for f in module.body.operations if f.name.value == "main"]
        (loop,) = [o for o in function.regions[0].blocks[0].operations if o.operation.name == "scf.while"]
        before, after = (r.blocks[0] for r in loop.regions)
        forwarded = len(list(before.operations)[-1].operands) - 1
        assert (len(loop.results), len(before.arguments)) != (4, 4), "canonicalize left the loop alone: adapt this test"
        avals = Avals(function.operation)
        assert len(after.arguments) == forwarded
        named = [avals.get(a) for a in after.arguments]
        assert any(a is not None and str(a) == "f32[n]" for a in named)


@pytest.mark.parametrize("compiler", ["mlir", "evaluator"])
def test_such_a_loop_runs(compiler):
    with px.options(compiler=compiler):
        assert int(px.jit(halvings)(np.asarray([1.0, -9.0], np.float32))) == 4
