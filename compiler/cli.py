"""`phalanx`: what is installed, what is in force."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from phalanx.compiler import (
    cli_artifacts,
    cli_bench,
    cli_cache,
    cli_compile,
    cli_errors,
    cli_inspect,
    cli_profile,
    config,
)
from phalanx.compiler import doctor as doctoring
from phalanx.compiler.versions import version
from phalanx.dialects.errors import PhalanxError

application = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False,
                          help="Phalanx: numerical Python compiled through MLIR.")


application.add_typer(cli_cache.commands, name="cache")
application.command("compile")(cli_compile.compile_command)
for verb in (cli_inspect.ir, cli_inspect.view, cli_inspect.explain, cli_inspect.bisect, cli_bench.bench,
             cli_profile.profile):
    application.command()(verb)
for artifact_verb in (cli_artifacts.inspect, cli_artifacts.run, cli_artifacts.verify, cli_artifacts.retarget):
    application.command()(artifact_verb)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"phalanx {version()}")
        raise typer.Exit


@application.callback()
def options(
    show_version: Annotated[bool, typer.Option("--version", callback=_show_version, is_eager=True,
                                          help="Print the version.")] = False,
) -> None:
    """Options that stand before the command."""


@application.command()
def doctor() -> None:
    """Versions, machine, threads, backends and every setting with where it came from.

    Example: phalanx doctor > report.txt
    """
    console = Console()
    for section in doctoring.report():
        table = Table("", "", show_header=False, box=None, pad_edge=False, padding=(0, 2, 0, 2))
        for name, value in section.rows:
            table.add_row(name, value)
        console.print(section.title, style="bold", highlight=False)
        console.print(table, highlight=False, markup=False)


@application.command("config")
def show_config(
    name: Annotated[str, typer.Argument(help="One option; all of them without.")] = "",
) -> None:
    """Every setting, its value and where it came from, or the value of one.

    Example: phalanx config opt_level
    """
    print(config.get(name) if name else config.table())


def main(words: Sequence[str] | None = None) -> int:
    """Entry point of `phalanx`."""
    cli_errors.install()
    try:  # typer.Typer's own call would put another hook for uncaught errors in the place of ours
        typer.main.get_command(application)(args=words, prog_name="phalanx")  # leaves by SystemExit
    except PhalanxError as error:
        print(f"error: {error}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
