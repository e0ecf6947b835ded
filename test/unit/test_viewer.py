"""The viewer: what is in the page, and clicking through it in a real browser."""

from __future__ import annotations

import base64
import gzip
import json
import re
import time

import pytest
from headless import Page, browser

import phalanx as px
from phalanx.compiler.inspect.checks import check_lines
from phalanx.compiler.native import stages
from phalanx.compiler.viewer.locations import take_apart
from phalanx.compiler.viewer.page import page

needs_browser = pytest.mark.skipif(browser() is None, reason="there is no Chromium here")


def layer(x, w, b):
    h = x @ w + b
    return px.softmax(h, axis=(0, 1))  # over everything: a cluster of its own


LINE = layer.__code__.co_firstlineno


def long(x):
    for _ in range(500):
        x = px.sqrt(x * x + 1.0) - 0.5
    return x


@pytest.fixture(scope="module")
def compiled():
    return px.compile(layer, "f32[8,64]", "f32[64,10]", "f32[10]")


@pytest.fixture(scope="module")
def written(compiled, tmp_path_factory):
    with px.options(fuse=False):
        other = px.compile(layer, "f32[8,64]", "f32[64,10]", "f32[10]")
    folder = tmp_path_factory.mktemp("viewer")
    (folder / "one.html").write_text(page([("layer", compiled)], "model.py:layer", ["x=f32[8,64]"]))
    (folder / "two.html").write_text(page([("fused", compiled), ("apart", other)]))
    return folder


def data_of(text: str) -> dict:
    packed = re.search(r'type="text/plain">([^<]*)</script>', text)
    assert packed
    return json.loads(gzip.decompress(base64.b64decode(packed.group(1))))


def test_the_page_loads_nothing_and_has_everything(written, compiled):
    text = (written / "one.html").read_text()
    assert not re.search(r'(?:src|href)\s*=\s*["\']?\s*(?:https?:)?//', text)
    data = data_of(text)
    (shown,) = data["compilations"]
    stages = list(dict.fromkeys(entry["stage"] for entry in shown["passes"]))
    assert stages == list(compiled.stages)
    assert {cluster["kind"] for cluster in shown["clusters"]} == {"contraction", "reduction"}
    assert shown["arena"]["bytes"] == 320 and shown["arena"]["buffers"]
    assert any("not fused" in remark["message"] for remark in shown["remarks"])
    lines = [data["lines"][n] for n in data["texts"][shown["passes"][0]["text"]]["lines"]]
    assert lines == compiled.text("traced").splitlines()
    assert [__file__, LINE + 1] in data["places"]


def test_the_page_is_the_same_every_time(compiled):
    first, second = (data_of(page([("layer", compiled)])) for _ in range(2))
    assert first == second


def test_locations_are_taken_off_lines():
    text = ('#loc1 = loc("m.py":3:5 to :9)\nfunc.func @f(%a: f32 loc("f"(#loc1))) {\n  %0 = g(%a) loc(#loc2)\n'
            '  return loc(unknown)\n} loc(#loc3)\n#loc2 = loc("f"(#loc1))\n#loc3 = loc(callsite(#loc2 at #loc4))\n'
            '#loc4 = loc(fused[#loc2, #loc1])')
    lines, places = take_apart(text)
    assert lines == ["func.func @f(%a: f32) {", "  %0 = g(%a)", "  return", "}"]
    assert places == [("m.py", 3), ("m.py", 3), None, ("m.py", 3)]


@needs_browser
def test_clicking_searching_and_comparing_passes(written, compiled):
    with Page(written / "one.html") as shown:
        shown.wait("document.body?.dataset.ready === 'yes'")
        # a pass: what was before it on the left, what came of it on the right
        shown.click("[...document.querySelectorAll('.pass')].find(p => p.textContent.includes('px-canonicalize'))")
        assert shown.run("document.querySelectorAll('#pane-left .cut').length") == 1
        assert "stop_gradient" in shown.run("document.querySelector('#pane-left .cut').textContent")
        assert shown.run("document.querySelector('#said').textContent") == "1 line differs"
        # a line of Python lights up what came of it
        shown.click(f"document.querySelector('#source [data-line=\"{LINE + 1}\"]')")
        lit = shown.run("[...document.querySelectorAll('#pane-left .lit')].map(e => e.textContent)")
        assert len(lit) == 2 and "px.dot_general" in lit[0] and "px.add" in lit[1]
        # and a line of IR the Python
        shown.click("[...document.querySelectorAll('#pane-right pre div')].find(e => e.textContent.includes('px.exp'))")
        assert shown.run("document.querySelector('#source .lit').dataset.line") == str(LINE + 2)
        # search
        shown.click("document.querySelector('#search')")
        shown.type("px.exp\n")
        assert re.fullmatch(r"1 of 1", shown.run("document.querySelector('#found').textContent"))
        assert shown.run("document.querySelectorAll('.pass.hit').length") == 1 + len(stages()[0].passes)  # traced too
        # only differences, unchanged passes hidden
        shown.click("document.querySelector('#folded')")
        assert "equal lines" in shown.run("document.querySelector('#pane-left .gap').textContent")
        before = shown.run("[...document.querySelectorAll('.pass')].filter(p => p.offsetParent).length")
        shown.click("document.querySelector('#hide-unchanged')")
        assert shown.run("[...document.querySelectorAll('.pass')].filter(p => p.offsetParent).length") < before
        # the same test as `phalanx ir --emit-checks`
        shown.run("document.querySelector('#copy-test').click()")
        expected = check_lines("\n".join(take_apart(compiled.stages.recording.passes[2].text)[0]))
        copied = shown.run("window.copied").rstrip().splitlines()
        assert copied[0].startswith("// RUN: phalanx-opt --trace=model.py:layer") and copied[0].endswith("| FileCheck %s")
        assert copied[2:] == expected
        shown.run("document.querySelector('#copy-command').click()")
        assert shown.run("window.copied").endswith("--pass-pipeline='builtin.module(px-inline,px-verify,px-canonicalize)'")
        # clusters, memory, remarks
        for tab, found in (("clusters", 2), ("remarks", 3)):
            shown.click(f"document.querySelector('[data-tab={tab}]')")
            assert shown.run(f"document.querySelectorAll('#{tab} .card').length") >= found
        shown.click("document.querySelector('[data-tab=memory]')")
        assert shown.run("document.querySelectorAll('#memory rect').length") == 1
        assert shown.errors == []


@needs_browser
def test_two_compilations_side_by_side(written, tmp_path):
    with Page(written / "two.html") as shown:
        shown.wait("document.body?.dataset.ready === 'yes'")
        assert shown.run("document.querySelector('#pane-left .head').textContent").startswith("fused: linalg")
        assert shown.run("document.querySelector('#pane-right .head').textContent").startswith("apart: linalg")
        assert shown.run("document.querySelector('#said').textContent") == "no difference"  # fusion comes later
        shown.run("""show(...[0, 1].map(owner => steps.findLastIndex(s => s.stage === "clusters" && s.owner === owner)))""")
        assert int(shown.run("document.querySelector('#said').textContent").split()[0]) > 20
        assert shown.errors == []


@needs_browser
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::phalanx.compiler.trace.tracing.UnrollWarning")
def test_two_thousand_operations_stay_usable(tmp_path):
    compiled = px.compile(long, "f32[16]")
    assert compiled.traced.op_count >= 2000
    file = tmp_path / "long.html"
    file.write_text(page([("long", compiled)]))
    assert file.stat().st_size < 8 << 20
    with Page(file) as shown:
        shown.wait("document.body?.dataset.ready === 'yes'")
        for stage in ("linalg", "clusters", "llvm"):
            start = time.monotonic()
            shown.run(f"""show(0, steps.findLastIndex(s => s.stage === "{stage}"))""")
            shown.run("document.querySelector('#pane-right .scroll').scrollTop = 20000; paint()")
            assert time.monotonic() - start < 5
            assert shown.run("document.querySelectorAll('#pane-right pre div').length") < 300  # only what is in sight
        assert shown.errors == []
