"""Passes that are left out of a compile because they have nothing to do: they would have changed nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from mlir import ir

import phalanx as px
from phalanx.compiler import native
from phalanx.compiler.context import context
from phalanx.compiler.pipeline.concerns import Contents
from phalanx.compiler.pipeline.stages import cpu_stages, run_stages
from phalanx.dialects.errors import CompileError


def _loop(x: Any) -> Any:
    return px.while_loop(lambda state: px.any(state < 100.0), lambda state: state * 1.5 + px.sin(state) + 2.0, x)


PROGRAMS: dict[str, tuple[Any, str]] = {
    "elementwise": (lambda x: x * x + 1.0, "f32[300]"),
    "functions": (lambda x: px.exp(x) + px.sin(x) * px.log1p(px.abs(x)), "f32[300, 5]"),
    "bfloat16": (lambda x: px.tanh(x) + x, "bf16[40, 50]"),
    "rows": (lambda x: px.softmax(x, axis=-1), "f32[64, 1000]"),
    "columns": (lambda x: px.sum(x, axis=0), "f32[4096, 1024]"),
    "product": (lambda x: px.maximum(x @ x + 1.0, 0.0), "f32[200, 200]"),
    "named": (lambda x: px.sum(x * 2.0, axis=1), "f32[n, 7]"),
    "gather": (lambda x: px.take(x, px.asarray([3, 1, 1]), axis=0) + px.argmax(x), "f32[9, 4]"),
    "scatter": (lambda x: px.zeros((16,)).at[px.convert(x, "int32")].add(1.0), "f32[500]"),
    "while": (_loop, "f32[33]"),
    "constant": (lambda x: px.zeros((0, 3)) * 2.0, "f32[2]"),
}


def _text(module: ir.Module) -> str:
    return str(module.operation.get_asm(enable_debug_info=False))


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_code_is_that_of_all_passes(name: str) -> None:
    function, spec = PROGRAMS[name]
    traced = px.jit(function).trace(spec)
    texts = []
    with context():
        for trusted in (False, True):
            module = native.clone(traced.module)
            run_stages(module, cpu_stages(threads=True), origin=(lambda: native.clone(traced.module)) if trusted else None)
            texts.append(_text(module))
    assert texts[0] == texts[1]


def test_passes_are_left_out_by_what_the_module_holds() -> None:
    with context():
        module = ir.Module.parse("func.func @main(%x: f32) -> f32 { %0 = math.exp %x : f32 return %0 : f32 }")
        contents = Contents(module)
        assert contents.concern("px-expand-math") and not contents.concern("px-expand-bfloat16")
        assert not contents.concern("convert-scf-to-cf") and contents.concern("some-other-pass")
        for name in ("canonicalize", "cse"):
            assert contents.concern(name)
            contents.ran(name)
        assert not contents.concern("canonicalize") and not contents.concern("cse")
        contents.ran("px-expand-math")
        assert contents.concern("canonicalize") and contents.concern("convert-arith-to-llvm")
        contents.ran("some-other-pass")
        assert contents.asks("convert-scf-to-cf") and not contents.concern("convert-scf-to-cf")


def test_a_trusted_compile_says_which_pass_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What fails without checks is found again with all of them: at the user's line, with a way to show it again."""
    from phalanx.compiler.passes import form_clusters

    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("no clusters today")

    monkeypatch.setattr(form_clusters, "run_stage", fail)
    with pytest.raises(CompileError, match="clusters stage: px-form-clusters: internal error") as caught:
        px.jit(lambda x: x + 41.0)(np.zeros(3, np.float32))
    assert "phalanx-opt" in str(caught.value)


def test_a_failure_that_does_not_come_back_is_told_all_the_same() -> None:
    traced = px.jit(lambda x: x + 42.0).trace("f32[3]")
    with context():
        module = native.clone(traced.module)

        def fail(stage: str, _: ir.Module) -> None:
            raise RuntimeError(f"seen {stage}")

        with pytest.raises(CompileError, match="RuntimeError: seen px"):
            run_stages(module, cpu_stages(threads=False), after_stage=fail, origin=lambda: native.clone(traced.module))


@pytest.mark.parametrize("checked", [True, False])
def test_results_do_not_depend_on_the_checks(checked: bool) -> None:
    x = np.linspace(-2, 2, 12, dtype=np.float32).reshape(3, 4)
    with px.options(check_ir=checked, disk_cache=False):
        found = px.jit(lambda x: px.softmax(x @ px.matrix_transpose(x), axis=-1))(x)
    scores = np.exp(x @ x.T - (x @ x.T).max(-1, keepdims=True))
    np.testing.assert_allclose(np.asarray(found), scores / scores.sum(-1, keepdims=True), rtol=1e-5)
