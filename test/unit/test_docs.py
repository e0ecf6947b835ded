"""Every example in a docstring or document prints what it says; generated files are up to date; links lead somewhere."""

from __future__ import annotations

import doctest
import functools
import importlib
import inspect
import os
import re
import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import phalanx as px
from phalanx.dialects.opdef import COMPOSITES, REGISTRY

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
#: documents whose python blocks run, top to bottom, in one namespace
EXECUTABLE = ("README.md", "docs/tour.md", "docs/debugging.md", "docs/errors.md", "docs/coming-from-nx.md",
              "docs/inspecting.md", "docs/benchmarking.md", "docs/performance.md")
#: the same, in a process of their own, since they add operations and backends
EXECUTABLE_ALONE = ("docs/adding-an-op.md", "docs/adding-a-backend.md")
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def documented() -> Iterator[tuple[str, Any]]:
    """Every public function and class, and what it is called."""
    yield from REGISTRY.items()
    yield from ((name, c.function) for name, c in COMPOSITES.items())
    yield from ((f"random.{name}", getattr(px.random, name)) for name in px.random.__all__)
    for name in dir(px):
        value = getattr(px, name)
        known = name in REGISTRY or name in COMPOSITES or name.startswith("_")
        if not known and (inspect.isfunction(value) or inspect.isclass(value)):
            yield name, value


PUBLIC = dict(documented())


def run_examples(text: str, name: str, namespace: dict[str, Any]) -> list[str]:
    """Run the `>>>` examples of a text; what differed, as doctest reports it."""
    test = doctest.DocTestParser().get_doctest(text, namespace, name, name, 0)
    test.globs = namespace  # not a copy: what one block defines the next one sees
    reported: list[str] = []
    doctest.DocTestRunner(verbose=False, optionflags=doctest.ELLIPSIS).run(test, out=reported.append, clear_globs=False)
    return reported


@pytest.mark.parametrize("name", [n for n, v in PUBLIC.items() if ">>>" in (v.__doc__ or "")])
def test_the_examples_of_a_docstring(name):
    value = PUBLIC[name]
    with px.use_backend("cpu"):
        reported = run_examples(inspect.getdoc(value) or "", name, {"px": px, "np": np})
    assert not reported, "".join(reported)


def test_the_examples_of_the_tensor_methods():
    for name, member in vars(px.Tensor).items():
        text = inspect.getdoc(member) or ""
        if inspect.isfunction(member) and member.__module__.endswith(".tensor") and ">>>" in text:
            assert not run_examples(text, f"Tensor.{name}", {"px": px, "np": np})


def test_every_public_function_has_an_example():
    without = [n for n, v in PUBLIC.items()
               if inspect.isfunction(v) and ">>>" not in (v.__doc__ or "")]
    assert not without


def pieces(text: str) -> Iterator[tuple[int, str]]:
    """The python blocks of a document with the line they start on."""
    for match in BLOCK.finditer(text):
        yield text.count("\n", 0, match.start()) + 2, match.group(1)


def run_document(document: str) -> list[str]:
    """Run the python blocks of a document from top to bottom; what its examples printed wrongly."""
    module = types.ModuleType("document")
    sys.modules["document"] = module  # dataclasses and ops look their module up
    blocks = list(pieces((ROOT / document).read_text(encoding="utf-8")))
    assert blocks, "a document listed as executable has no python block"
    reported: list[str] = []
    for line, block in blocks:
        if block.startswith(">>>"):
            reported += run_examples(block, f"{document}:{line}", vars(module))
        else:
            # The lines keep their numbers, so that errors (and locations in IR) point into the document.
            exec(compile("\n" * (line - 1) + block, str(ROOT / document), "exec"), vars(module))
    del sys.modules["document"]
    return reported


@pytest.mark.parametrize("document", EXECUTABLE)
def test_a_document_runs_from_top_to_bottom(document, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    reported = run_document(document)
    assert not reported, "".join(reported)


def test_the_readme_prints_what_it_shows(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (shown,) = re.findall(r"^```text\n(.*?)^```", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    run_document("README.md")
    printed = capsys.readouterr().out
    number = re.compile(r"\d+\.\d*")
    assert number.sub("#", " ".join(printed.split())) == number.sub("#", " ".join(shown.split()))
    np.testing.assert_allclose([float(n) for n in number.findall(printed)], [float(n) for n in number.findall(shown)],
                               rtol=1e-4)


@pytest.mark.parametrize("document", EXECUTABLE_ALONE)
def test_a_document_that_extends_phalanx_runs(document, tmp_path):
    done = subprocess.run([sys.executable, __file__, document], cwd=tmp_path, capture_output=True, text=True,
                          check=False, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_pass_that_is_added_as_an_example(monkeypatch):
    from mlir import ir

    from phalanx.compiler.context import new_context
    from phalanx.compiler.pipeline import registry

    monkeypatch.setattr(registry, "_registered", dict(registry._registered))
    text = (ROOT / "docs" / "adding-a-pass.md").read_text(encoding="utf-8")
    namespace: dict[str, Any] = {}
    ((line, source),) = pieces(text)
    exec(compile("\n" * (line - 1) + source, "adding-a-pass.md", "exec"), namespace)
    (program,) = re.findall(r"^```mlir\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    with new_context():
        module = ir.Module.parse(program)
        assert "px.stop_gradient" in str(module)
        namespace["px_drop_stops"](module)
        assert module.operation.verify()
        assert "px.stop_gradient" not in str(module)


def test_every_name_the_nx_table_promises_exists():
    text = (ROOT / "docs" / "coming-from-nx.md").read_text(encoding="utf-8")
    for name in set(re.findall(r"`-?px\.([a-z_0-9]+(?:\.[a-z_0-9]+)?)\b", text)):
        assert functools.reduce(getattr, name.split("."), px) is not Ellipsis, name


def test_generated_files_are_up_to_date():
    done = subprocess.run([sys.executable, str(ROOT / "docs" / "generate.py"), "--check"], capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0, done.stderr


def test_a_stale_generated_file_is_reported(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    generate = importlib.import_module("generate")
    (tmp_path / "docs").mkdir()
    monkeypatch.setattr(generate, "ROOT", tmp_path)
    monkeypatch.setattr(generate, "GENERATED", {"docs/configuration.md": "phalanx.compiler.config:markdown"})
    assert generate.main(["--check"]) == 1
    assert "out of date: docs/configuration.md" in capsys.readouterr().err
    assert generate.main([]) == 0
    assert generate.main(["--check"]) == 0


def anchors(text: str) -> set[str]:
    """The anchors GitHub gives the headings of a document."""
    headings = re.findall(r"^#+ (.*)$", BLOCK.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_links_between_documents_lead_somewhere(document):
    text = document.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", BLOCK.sub("", text)):
        if target.startswith(("http:", "https:")):
            continue
        path, _, anchor = target.partition("#")
        file = (document.parent / path) if path else document
        assert file.exists(), f"{document.name}: {target}"
        if anchor and file.suffix == ".md":
            assert anchor.lower() in anchors(file.read_text(encoding="utf-8")), f"{document.name}: {target}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_files_named_in_documents_exist(document):
    text = document.read_text(encoding="utf-8")
    for path in re.findall(r"`((?:compiler|dialects|runtime|test|docs|examples|benchmarks|phalanx)/[\w/.-]+\.\w+)`", text):
        assert (ROOT / path).exists(), f"{document.name} names {path}"


def test_the_stub_has_every_public_name():
    stub = (ROOT / "phalanx" / "__init__.pyi").read_text(encoding="utf-8")
    names = {n for n in dir(px) if not n.startswith(("_", "@")) and n != "annotations"}
    missing = [n for n in names if not re.search(rf"(?:def|class|as|^) ?{n}\b", stub, re.MULTILINE)]
    assert not missing


@pytest.mark.slow
def test_the_examples_pass_mypy_strict():
    files = sorted(str(p) for p in (ROOT / "examples").glob("*.py"))
    done = subprocess.run([sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", *files], cwd=ROOT,
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


if __name__ == "__main__":  # a document that wants a process of its own
    wrong = run_document(sys.argv[1])
    print("".join(wrong))
    sys.exit(bool(wrong))
