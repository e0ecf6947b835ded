"""Looking at the IR: compiled.stages, text, replacing a stage, dumps, emitted checks."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

import phalanx as px
from phalanx.compiler import versions
from phalanx.compiler.inspect.checks import check_lines
from phalanx.compiler.pipeline.registry import find_tool

STAGES = ["traced", "px", "linalg", "clusters", "scheduled", "buffers", "llvm", "asm"]


def halved(x):
    return (x - 1.0) / 2.0


@pytest.fixture(scope="module")
def compiled():
    return px.compile(halved, "f32[4]")


def test_every_stage_has_its_text(compiled):
    assert list(compiled.stages) == STAGES
    assert "px.subtract" in compiled.text("traced")
    assert "linalg.generic" in compiled.text("linalg") and "px." not in compiled.text("linalg").replace("px.name", "")
    assert "llvm.func @main" in compiled.text("llvm")
    assert "px_entry" in compiled.text("asm")


def test_locations_are_there_when_asked_for(compiled):
    assert "loc(" not in compiled.text("px")
    assert f'"{__file__}":' in compiled.stages.with_locations("px")


def test_the_difference_of_two_stages(compiled):
    assert '-    %' in compiled.stages.diff("px", "linalg")
    assert compiled.stages.diff("px", "px") == ""


def test_an_unknown_stage_names_the_nearest(compiled):
    with pytest.raises(px.CompileError, match="no stage 'linlg'") as failed:
        compiled.text("linlg")
    assert failed.value.hint == "did you mean linalg?"


@pytest.mark.parametrize("stage", STAGES[:-1])
def test_every_stage_can_be_replaced_by_its_own_text(compiled, stage):
    again = compiled.replace(stage, compiled.text(stage))
    np.testing.assert_array_equal(np.asarray(again(np.arange(4, dtype=np.float32))), halved(np.arange(4, dtype=np.float32)))


def test_an_edited_stage_changes_the_result(compiled):
    edited = compiled.replace("linalg", compiled.text("linalg").replace("arith.subf", "arith.addf"))
    np.testing.assert_array_equal(np.asarray(edited(np.zeros(4, np.float32))), np.full(4, 0.5, np.float32))


@pytest.mark.parametrize(("stage", "text", "message"), [
    ("linalg", "func.func @main() { return %x }", "linalg stage, edited: "),
    ("linalg", "func.func @other() { return }", "linalg stage, edited: there is no function @main"),
    ("px", 'func.func @main(%x: tensor<4xf32>) -> tensor<4xf32> { return %x : tensor<4xf32>', "px stage, edited: "),
    ("linalg", 'func.func @main(%x: tensor<4xf32>) -> tensor<2xf32> {\n  return %x : tensor<4xf32>\n}', "return"),
    ("llvm", "llvm.func @main(%a: !llvm.ptr) { llvm.return }", "@main: expected arguments"),
    ("px", '%0 = arith.constant dense_resource<__elided__> : tensor<4xf32>', "left out when it was printed"),
    ("asm", "ret", "assembly cannot be compiled on from"),
])
def test_edited_text_that_does_not_fit(compiled, stage, text, message):
    with pytest.raises(px.CompileError) as failed:
        compiled.replace(stage, text)
    assert message in str(failed.value)


def test_an_edited_stage_keeps_its_promise(compiled):
    with pytest.raises(px.CompileError, match="linalg stage, edited: px.constant is left") as failed:
        compiled.replace("linalg", compiled.text("px"))
    assert failed.value.location.startswith("<edited linalg>:")


def test_text_of_another_version_says_so(compiled):
    old = versions.stamp().replace("phalanx ", "phalanx 0.0.0-")
    with pytest.raises(px.CompileError) as failed:
        compiled.replace("px", f'{old}\nfunc.func @main() {{ "px.bygone"() : () -> () }}')
    assert "the text was written by phalanx 0.0.0-" in str(failed.value.note)


def files(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


@pytest.mark.parametrize("level", ["stage", "changed", "pass"])
def test_dump_levels(tmp_path, level):
    with px.options(dump_ir=str(tmp_path), dump_level=level):
        px.compile(halved, "f32[3]")
    written = files(tmp_path / "halved")
    if level == "stage":
        assert written == ["0-px.mlir", "1-linalg.mlir", "2-clusters.mlir", "3-scheduled.mlir", "4-buffers.mlir",
                           "5-llvm.mlir"]
    else:
        assert "0-px_00_input.mlir" in written
        assert any("convert-px-to-linalg" in name for name in written)
        assert any("px-verify" in name for name in written) == (level == "pass")  # it changes nothing
    first = (tmp_path / "halved" / written[0]).read_text()
    assert first.startswith(versions.stamp())


def test_dumps_come_from_a_cache_hit_too(tmp_path):
    px.compile(halved, "f32[5]")
    with px.options(dump_ir=str(tmp_path), dump_level="stage"):
        px.compile(halved, "f32[5]")
    assert "5-llvm.mlir" in files(tmp_path / "halved")


def test_a_dump_folder_that_cannot_be_written(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    with px.options(dump_ir=str(blocked)), pytest.raises(px.ArgumentError, match="dump_ir: cannot write into"):
        px.compile(halved, "f32[6]")


def test_passes_of_ones_own_need_a_stage_and_a_name():
    with px.options(passes="linlg:cse"), pytest.raises(px.CompileError, match="no stage 'linlg'"):
        px.compile(halved, "f32[4]")
    with px.options(passes="cse"), pytest.raises(px.CompileError, match="expected <stage>:<pass>, got 'cse'"):
        px.compile(halved, "f32[4]")


@pytest.mark.parametrize("stage", STAGES[:-1])
def test_emitted_checks_match_what_they_came_from(compiled, tmp_path, stage):
    text = compiled.text(stage)
    (tmp_path / "checks").write_text("\n".join(check_lines(text)))
    tool = find_tool("FileCheck")
    assert tool
    subprocess.run([tool, str(tmp_path / "checks")], input=text, text=True, check=True)
    if "sub" in text:
        other = text.replace("sub", "mul")
        assert subprocess.run([tool, str(tmp_path / "checks")], input=other, text=True, capture_output=True,
                              env=os.environ).returncode == 1
