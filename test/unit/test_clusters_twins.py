"""Clusters that do the same become one function, whether they are compared before or after they are written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import phalanx as px
from phalanx.compiler import native
from phalanx.compiler.clusters import outline
from phalanx.compiler.clusters.stage import collect_reports
from phalanx.compiler.context import context
from phalanx.compiler.pipeline.stages import cpu_stages, run_stages


def _repeated(body: Callable[[Any], Any], count: int = 4) -> Callable[[Any], Any]:
    """`body` again and again, with a product in between so that nothing is fused across."""

    def function(x: Any) -> Any:
        for _ in range(count):
            x = body(x) @ x
        return x

    return function


def _clusters(function: Callable[[Any], Any], spec: str) -> tuple[str, int, int]:
    """The module behind the clusters stage, how many functions it has and how many calls."""
    traced = px.jit(function).trace(spec)
    with context(), collect_reports() as reports:
        module = native.clone(traced.module)
        run_stages(module, cpu_stages(threads=False), last="clusters")
    return str(module), reports[0].functions, reports[0].calls


BODIES: dict[str, tuple[Callable[[Any], Any], str]] = {
    "elementwise": (lambda x: px.tanh(x) * 2.0, "f32[8, 8]"),
    "rows": (lambda x: px.softmax(x, axis=-1), "f32[8, 8]"),
    "columns": (lambda x: x - px.mean(x, axis=0), "f32[8, 8]"),
    "transposed": (lambda x: px.exp(px.matrix_transpose(x)) + x, "f32[8, 8]"),
    "doubles": (lambda x: px.maximum(x, 0.0), "f64[8, 8]"),
    "named": (lambda x: px.maximum(x, 0.0), "f32[n, n]"),
    "product": (lambda x: px.tanh(x @ px.matrix_transpose(x)), "f32[8, 8]"),
    "loop": (lambda x: px.fori_loop(0, 3, lambda i, y: px.tanh(y @ x), x), "f32[256, 256]"),
    "mask": (lambda x: px.select(px.arange(8) < 3, x, 0.0), "f32[8, 8]"),
}


@pytest.mark.parametrize("name", BODIES)
def test_comparing_early_changes_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    body, spec = BODIES[name]
    early = _clusters(_repeated(body), spec)
    monkeypatch.setattr(outline, "twin_key", lambda *_: None)
    assert _clusters(_repeated(body), spec) == early


def test_equal_clusters_are_written_once(monkeypatch: pytest.MonkeyPatch) -> None:
    written = []
    finish = outline.Outliner.finish

    def count(self: Any, body: Any, kind: str, location: Any) -> str:
        written.append(kind)
        return finish(self, body, kind, location)

    monkeypatch.setattr(outline.Outliner, "finish", count)
    _, functions, calls = _clusters(_repeated(lambda x: px.softmax(px.tanh(x), axis=0), 20), "f32[8, 8]")
    assert (functions, calls) == (4, 40)  # the first and the last work on arguments and results of the caller
    assert written.count("reduction") < functions


@pytest.mark.parametrize("other", [
    lambda x: px.tanh(x) * 3.0,
    lambda x: px.tanh(x) + 2.0,
    lambda x: px.tanh(px.matrix_transpose(x)) * 2.0,
    lambda x: px.tanh(x * -0.0) * 2.0,
    lambda x: px.tanh(x) * px.sum(x, axis=1, keepdims=True),
    lambda x: px.tanh(x) * px.sum(x, axis=0, keepdims=True),
])
def test_what_differs_is_not_shared(other: Callable[[Any], Any]) -> None:
    def both(x: Any) -> Any:
        x = (px.tanh(x) * 2.0) @ x
        return other(x) @ x

    x = np.linspace(-1, 1, 64, dtype=np.float32).reshape(8, 8)
    with px.options(compiler="evaluator"):
        expected = np.asarray(px.jit(both)(x))
    np.testing.assert_allclose(np.asarray(px.jit(both)(x)), expected, rtol=2e-5, atol=1e-6)
