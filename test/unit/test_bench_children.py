"""Scripts that measure workloads in processes of their own: options, answers, failures."""

import argparse
import json
import sys

import pytest

from benchmarks import children


def test_a_child_answers_with_its_figures():
    found = children.child("memory", ["call_overhead", "phalanx"], 1)
    assert found == {"3 ops on 4": 0}


def test_a_child_that_raises_is_reported(capsys):
    with pytest.raises(children.ChildFailed, match="nosuch") as caught:
        children.child("memory", ["nosuch", "phalanx"], 1)
    assert children.failed("nosuch", "phalanx", caught.value).startswith("nosuch, phalanx: ")
    assert "nosuch" in capsys.readouterr().err


def test_a_child_that_hangs_is_ended(monkeypatch):
    monkeypatch.setattr(children, "PATIENCE", 0.01)
    with pytest.raises(children.ChildFailed, match="no answer"):
        children.child("memory", ["call_overhead", "phalanx"], 1)


def test_options_and_names(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["x", "--only", "softmax,long", "--rounds", "2", "--one", "a", "b"])
    options = children.arguments("What it is.", 2, peers=True)
    assert (options.one, options.rounds) == (["a", "b"], 2)
    assert children.chosen(options.only, ["long"]) == ["softmax", "long"]
    assert children.chosen("", ["long"])[-1] == "long"
    with pytest.raises(SystemExit, match="sofmax"):
        children.chosen("sofmax")


def test_figures_are_written(tmp_path, capsys):
    path = tmp_path / "figures.json"
    children.write(argparse.Namespace(threads=2, json=path), "a table", seconds={"softmax": 1.5}, failed=[])
    assert capsys.readouterr().out == "a table\n"
    assert json.loads(path.read_text()) == {"threads": 2, "seconds": {"softmax": 1.5}, "failed": []}
