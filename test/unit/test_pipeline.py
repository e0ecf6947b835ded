"""The pipeline: reading text, finding passes, running them, errors at the user's line, stages and their contracts."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from mlir import ir

from phalanx.compiler import config
from phalanx.compiler.context import context
from phalanx.compiler.pipeline import parse, registry, stages
from phalanx.compiler.pipeline.instruments import Dump, Recorder, Timing, count_operations
from phalanx.compiler.pipeline.run import resolve, run
from phalanx.dialects.errors import CompileError, ShapeError

ROOT = Path(__file__).resolve().parents[2]

ADD_ZERO = """
func.func @f(%x: i32) -> i32 {
  %zero = arith.constant 0 : i32 loc("model.py":3:5)
  %0 = arith.addi %x, %zero : i32 loc("model.py":4:5)
  return %0 : i32 loc("model.py":5:5)
}
"""


@pytest.fixture
def module():
    with context():
        yield ir.Module.parse(ADD_ZERO)


@pytest.fixture
def python_pass(monkeypatch):
    """Register passes for one test."""
    monkeypatch.setattr(registry, "_registered", dict(registry._registered))
    monkeypatch.setattr("phalanx.compiler.pipeline.run._steps", {})
    return registry.pass_


# Text.
@pytest.mark.parametrize(("text", "written"), [
    ("px-cse", "px-cse"),
    (" px-cse , cse ", "px-cse,cse"),
    ("builtin.module(px-cse,func.func(canonicalize{max-iterations=3},cse))",
     "px-cse,func.func(canonicalize{max-iterations=3},cse)"),
    ("a{x=1 y={2,3} z=\"w v\"},b{ }", 'a{x=1 y={2,3} z="w v"},b'),
    ("builtin.module()", ""),
    ("", ""),
])
def test_pipelines_are_read_and_written(text, written):
    assert ",".join(map(str, parse.read(text))) == written


@pytest.mark.parametrize(("text", "message", "column"), [
    ("cse,", "expected the name of a pass, got the end", 4),
    ("cse)", "expected ',' or the end, got '\\)'", 3),
    ("func.func(cse", "expected ',' or '\\)', got the end", 13),
    ("cse canonicalize", "expected ',' or the end, got 'c'", 4),
    ("canonicalize{a={1}", "expected '}', got the end", 18),
    ("-cse", "expected the name of a pass, got '-'", 0),
])
def test_a_mistake_in_the_text_is_pointed_at(text, message, column):
    with pytest.raises(CompileError, match=message) as caught:
        parse.read(text)
    assert caught.value.note.splitlines()[1].index("^") == column + len("note: ")


def test_options_are_read():
    assert parse.read_options("a=1 b  c={1,2} d='x y'", "p") == {"a": "1", "b": "", "c": "{1,2}", "d": "x y"}
    with pytest.raises(CompileError, match="cannot read the options of p"):
        parse.read_options("a=1 =2", "p")


# Registry.
def test_every_pass_has_a_lit_test_and_a_file_of_its_name():
    passes = registry.all_passes()
    assert {"px-cse", "px-dce", "px-canonicalize"} <= set(passes)
    ours = {n: i for n, i in passes.items() if i.run.__module__.startswith("phalanx.")}  # not those of other tests
    for name, info in ours.items():
        assert (ROOT / "test" / "passes" / f"{name}.mlir").exists(), f"{name} has no test/passes/{name}.mlir"
        stem = name.replace("-", "_")
        assert info.file.stem in (stem, stem.removeprefix("px_")), f"{name} does not stand in a file of its name"
        assert info.summary, name


def test_options_become_typed_arguments(python_pass, module):
    seen = []

    @python_pass("px-options", "for this test")
    def options(module: ir.Module, *, depth: int = 2, name: str = "x", fast: bool = False, rate: float = 0.5) -> None:
        seen.append((depth, name, fast, rate))

    run(module, "px-options,px-options{depth=3 name=y fast rate=0.25},px-options{fast=false}")
    assert seen == [(2, "x", False, 0.5), (3, "y", True, 0.25), (2, "x", False, 0.5)]
    with pytest.raises(CompileError, match=r"unknown option 'deph'\nhint: did you mean depth\?"):
        run(module, "px-options{deph=3}")
    with pytest.raises(CompileError, match="option depth is of type int, got 'three'"):
        run(module, "px-options{depth=three}")
    with pytest.raises(CompileError, match="option fast is true or false, got 'maybe'"):
        run(module, "px-options{fast=maybe}")


def test_a_pass_with_options_that_text_cannot_give_is_refused(python_pass):
    with pytest.raises(CompileError, match="option 'items' must be keyword-only"):
        @python_pass("px-wrong", "for this test")
        def wrong(module: ir.Module, *, items: list = ()) -> None: ...


def test_two_passes_of_one_name_are_refused(python_pass):
    with pytest.raises(CompileError, match="pass px-cse: defined in"):
        registry.find("px-cse")

        @python_pass("px-cse", "another")
        def another(module: ir.Module) -> None: ...


# Running.
def test_python_and_upstream_passes_mix(module, python_pass):
    order = []

    @python_pass("px-look", "for this test")
    def look(module: ir.Module) -> None:
        order.append(count_operations(module))

    run(module, "px-look,func.func(canonicalize,cse),px-look")
    assert order == [4, 2]


def test_upstream_passes_are_prepared_once(module):
    first, second = resolve("canonicalize"), resolve("builtin.module(canonicalize)")
    assert first[0] is second[0]


@pytest.mark.parametrize(("text", "message"), [
    ("px-cze", r"unknown pass 'px-cze'\nhint: did you mean .*px-cse"),
    ("nothing-like-it", "unknown pass 'nothing-like-it'"),
    ("func.func(px-cse)", r"px-cse is a module pass, got it inside func.func\(...\)"),
    ("func.fun(cse)", "'func.fun' is not an operation a pass can be nested in"),
    ("canonicalize{max-iteration=3}", "no such option max-iteration"),
    ("func.func(convert-func-to-llvm)", "restricted to 'builtin.module'"),
])
def test_what_cannot_run_is_refused(module, text, message):
    with pytest.raises(CompileError, match=message):
        run(module, text)


def test_hints_name_upstream_passes(module):
    if not registry.upstream_names():
        pytest.skip("mlir-opt is not installed")
    with pytest.raises(CompileError, match="did you mean .*canonicalize"):
        run(module, "canonicalise")


def test_an_upstream_failure_shows_the_users_line_and_how_to_reproduce_it(tmp_path):
    source = tmp_path / "model.py"
    source.write_text("def f(x):\n    return x.frobnicate(3)\n")
    with context():
        broken = ir.Module.parse(
            f'func.func @f(%x: i32) -> i32 {{ %0 = call @g(%x) : (i32) -> i32 loc("{source}":2:12)\n'
            "return %0 : i32 }\nfunc.func private @g(i32) -> i32")
        with pytest.raises(CompileError) as caught:
            run(broken, "cse,transform-interpreter")
    error = caught.value
    assert error.message.startswith("transform-interpreter: could not find")
    command = re.fullmatch(r"phalanx-opt --pass-pipeline='(.*)' (\S+\.mlir)", error.reproduce)
    assert command.group(1) == "builtin.module(cse,transform-interpreter)"
    again = subprocess.run([sys.executable, "-m", "phalanx.compiler.opt", f"--pass-pipeline={command.group(1)}",
                            command.group(2)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert again.returncode == 1
    assert "could not find" in again.stderr
    Path(command.group(2)).unlink()


def test_a_python_pass_that_breaks_the_ir_is_named(module, python_pass):
    @python_pass("px-break", "for this test")
    def broken(module: ir.Module) -> None:
        function = module.body.operations[0]
        function.attributes["function_type"] = ir.TypeAttr.get(ir.FunctionType.get([], []))

    with pytest.raises(CompileError, match="verifier, after px-break: "):
        run(module, "px-break", reproducer=False)


def test_errors_of_python_passes(module, python_pass):
    @python_pass("px-mistake", "for this test")
    def mistake(module: ir.Module) -> None:
        _ = {}["missing"]

    @python_pass("px-refuse", "for this test")
    def refuse(module: ir.Module) -> None:
        raise ShapeError("add: no", location="model.py:4:5")

    with pytest.raises(CompileError, match="px-mistake: internal error, KeyError: 'missing'") as caught:
        run(module, "px-mistake", reproducer=False)
    assert isinstance(caught.value.__cause__, KeyError)
    with pytest.raises(ShapeError, match="add: no"):
        run(module, "px-refuse")


# Instruments.
def test_instruments_see_every_pass(module, tmp_path):
    timing, recorder = Timing(), Recorder()
    run(module, "cse,canonicalize,px-cse", instruments=[timing, recorder, Dump(tmp_path / "ir")])
    assert [name for name, _ in timing.passes] == ["cse", "canonicalize", "px-cse"]
    assert timing.total > 0
    assert [(r.changed, r.operations_before, r.operations_after) for r in recorder.records] == [
        (False, 4, 4), (True, 4, 2), (False, 2, 2)]
    assert "4 -> 2 ops" in str(recorder)
    files = sorted(p.name for p in (tmp_path / "ir").iterdir())
    assert files == ["00_input.mlir", "01_cse.mlir", "02_canonicalize.mlir", "03_px-cse.mlir"]
    assert "arith.addi" in (tmp_path / "ir" / "01_cse.mlir").read_text()
    assert "arith.addi" not in (tmp_path / "ir" / "02_canonicalize.mlir").read_text()
    assert 'loc("model.py":5:5)' in (tmp_path / "ir" / "02_canonicalize.mlir").read_text()


# Stages.
SMALL = (
    stages.Stage("first", (("cse", "why"), ("canonicalize", "why"))),
    stages.Stage("second", (("px-cse", "why"),), forbids=("arith",)),
    stages.Stage("third", (), only=("builtin", "func")),
)


def test_stages_run_in_order_from_and_to_a_name(module):
    seen = []

    def note(name: str, module: ir.Module) -> None:
        seen.append((name, count_operations(module)))

    stages.run_stages(module, SMALL, last="first", after_stage=note)
    stages.run_stages(module, SMALL, first="second", after_stage=note)
    assert seen == [("first", 2), ("second", 2), ("third", 2)]
    with pytest.raises(CompileError, match=r"no stage 'secnd'\nhint: did you mean second\?"):
        stages.run_stages(module, SMALL, last="secnd")


@pytest.mark.parametrize("contract", [{"forbids": ("arith",)}, {"forbids": ("arith.addi", "arith.constant")},
                                      {"only": ("builtin", "func")}])
def test_a_broken_contract_is_reported_at_the_users_line(module, contract):
    with pytest.raises(CompileError) as caught:
        stages.run_stages(module, [stages.Stage("tidy", (), **contract)])
    assert caught.value.message == "tidy stage: arith.constant is left"
    assert caught.value.location == "model.py:3:5"
    assert "arith.constant 0" in caught.value.note


def test_a_stage_can_be_replaced_by_name(module):
    shorter = stages.replaced(SMALL, stages.Stage("second", ()))
    assert [s.name for s in shorter] == ["first", "second", "third"]
    assert shorter[1].passes == ()
    with pytest.raises(CompileError, match="no stage 'forth'"):
        stages.replaced(SMALL, stages.Stage("forth", ()))


def test_the_dump_option_writes_every_stage(module, tmp_path):
    with config.options(dump_ir=str(tmp_path)):
        stages.run_stages(module, SMALL, label="step")
    names = sorted(p.name for p in (tmp_path / "step").iterdir())
    assert names == ["0-first_00_input.mlir", "0-first_01_cse.mlir", "0-first_02_canonicalize.mlir",
                     "1-second_00_input.mlir", "1-second_01_px-cse.mlir"]
    with config.options(dump_ir=str(tmp_path)):
        stages.run_stages(module, SMALL, label="step")
    assert (tmp_path / "step-2" / "0-first_00_input.mlir").exists(), "another compile of that name"


def test_the_debug_option_prints_every_pass(module, capsys):
    with config.options(debug=2):
        stages.run_stages(module, SMALL)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[1] for line in lines] == ["cse", "canonicalize", "px-cse"]


def test_every_pass_of_the_cpu_stages_exists_and_has_a_reason():
    with context():
        for threads in (True, False):
            for stage in stages.cpu_stages(threads=threads):
                assert resolve(stage.text)
                assert all(reason for _, reason in stage.passes)
    names = [s.name for s in stages.cpu_stages()]
    assert names == ["px", "linalg", "clusters", "scheduled", "buffers", "llvm"]
    assert str(stages.cpu_stages()[0]).splitlines()[0] == "px:"
