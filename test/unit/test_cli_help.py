"""Every verb of `phalanx` has help with an example, and shells can complete it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import typer
from typer.testing import CliRunner

from phalanx.compiler.cli import application


def verbs(app: typer.Typer, before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for command in app.registered_commands:
        assert command.callback is not None
        yield *before, command.name or command.callback.__name__
    for group in app.registered_groups:
        assert group.typer_instance is not None and group.name
        yield from verbs(group.typer_instance, (*before, group.name))


@pytest.mark.parametrize("words", list(verbs(application)), ids=" ".join)
def test_help_has_an_example(words):
    shown = CliRunner().invoke(application, [*words, "--help"])
    assert shown.exit_code == 0
    assert f"Example: phalanx {' '.join(words)}" in shown.output


def test_completion_can_be_installed():
    assert "--install-completion" in CliRunner().invoke(application, ["--help"]).output
