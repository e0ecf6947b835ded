"""compiled.explain() and bisect: the right line, the right pass."""

from __future__ import annotations

import numpy as np
import pytest
from mlir import ir

import phalanx as px
from phalanx.compiler.inspect.bisect import bisect
from phalanx.compiler.pipeline import registry
from phalanx.compiler.pipeline.registry import pass_


def normalized(x, w):
    h = x @ w
    return px.softmax(h, axis=0)


LINE = normalized.__code__.co_firstlineno


@pytest.fixture(scope="module")
def explanation():
    return px.compile(normalized, "f32[8,16]", "f32[16,4]").explain()


def test_clusters_stand_at_the_users_lines(explanation):
    kinds = {cluster.kind: cluster for cluster in explanation.clusters}
    assert set(kinds) == {"contraction", "reduction"}
    assert [line.line for line in kinds["contraction"].lines] == [LINE + 1]
    assert [line.line for line in kinds["reduction"].lines] == [LINE + 2]
    assert "matrix product in blocks" in kinds["contraction"].schedule
    assert "one loop nest over 8x4" in kinds["reduction"].schedule
    assert all(cluster.calls == 1 for cluster in explanation.clusters)


def test_why_and_memory_are_told(explanation):
    text = str(explanation)
    assert "compiled because: px.compile" in text
    assert f"test_bisect_explain.py:{LINE + 2}: not fused: " in text
    assert f"test_bisect_explain.py:{LINE + 1}: h = x @ w" in text
    assert explanation.arena_bytes == 128 and "arena: 128 bytes" in text
    assert [(b.offset, b.nbytes) for b in explanation.buffers] == [(0, 128)]


def test_copies_say_why():
    same = px.compile(lambda x: x, "f32[4]").explain()
    assert same.copies == 1
    assert same.decisions[0].message == ("copied into the memory the caller gave for a result: the value is an argument, "
                                         "whose own memory must stay as it is")
    assert "copies: 1" in str(same)


def test_the_reasons_of_recompiles():
    f = px.jit(lambda x: x * 2)
    for size in (2, 3):
        f(np.ones(size, np.float32))
    assert [c.reason for c in f.compiled] == ["first call", "x: f32[2] -> f32[3]"]


def rewritten(module: ir.Module, old: str, new: str) -> None:
    """Replace every `old` by `new`, both with the same operands."""
    found: list[ir.Operation] = []

    def visit(operation: ir.Operation) -> ir.WalkResult:
        if operation.name == old:
            found.append(operation)
        return ir.WalkResult.ADVANCE

    module.operation.walk(visit)
    for operation in found:
        with operation.location, ir.InsertionPoint(operation):
            made = ir.Operation.create(new, [r.type for r in operation.results], list(operation.operands))
        operation.results[0].replace_all_uses_with(made.results[0])
        operation.erase()


def wrong_px(module: ir.Module) -> None:
    rewritten(module, "px.subtract", "px.add")


def wrong_linalg(module: ir.Module) -> None:
    rewritten(module, "arith.addf", "arith.mulf")


@pytest.fixture
def wrong_passes(monkeypatch):
    """Registered for one test only: other tests look at every pass there is."""
    monkeypatch.setattr(registry, "_registered", dict(registry._registered))
    pass_("test-wrong-px", "subtract becomes add")(wrong_px)
    pass_("test-wrong-linalg", "addf becomes mulf")(wrong_linalg)


def distance(x, y):
    return px.sqrt(px.sum((x - y) * (x - y)) + 1.0)


POINTS = [np.linspace(0, 1, 12, dtype=np.float32), np.linspace(3, 1, 12, dtype=np.float32)]


def test_a_right_compiler_has_no_culprit():
    verdict = bisect(distance, *POINTS)
    assert verdict.culprit is None and str(verdict).endswith("distance: every result is right")
    assert [step.name for step in verdict.steps][-1] == "every pass"


@pytest.mark.parametrize(("passes", "culprit"), [
    ("px:test-wrong-px", "test-wrong-px of the px stage"),
    ("linalg:test-wrong-linalg", "test-wrong-linalg of the linalg stage"),
    ("buffers:test-wrong-linalg", "test-wrong-linalg of the buffers stage"),
    ("linalg:cse;buffers:test-wrong-linalg", "test-wrong-linalg of the buffers stage"),
])
def test_a_wrong_pass_is_named(wrong_passes, passes, culprit):
    with px.options(passes=passes):
        verdict = bisect(distance, *POINTS)
    assert verdict.culprit == culprit, str(verdict)
    assert any(step.wrong for step in verdict.steps)
