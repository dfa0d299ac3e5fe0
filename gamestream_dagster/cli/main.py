"""Entry point of `gamestream`: collects the command groups and turns errors into one sentence and an exit code."""

from __future__ import annotations

import importlib
import os
import sys
from importlib import metadata
from typing import Annotated

import typer

from gamestream_dagster.cli.hints import Talk
from gamestream_dagster.cli.options import CouldNotRun

# One module a command group, in the order in which `gamestream --help` lists them.
GROUPS = (
    "platform",
    "demo",
    "provisioning",
    "jobs",
    "events",
    "topics",
    "reconcile",
    "repair",
    "why",
    "certificates",
    "lint",
    "bench",
    "drill",
)

talk = Talk(stderr=True)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"gamestream {metadata.version('gamestream')}")
        raise typer.Exit


def build() -> typer.Typer:
    """The whole command tree. Modules import their heavy parts inside the commands, so this is quick."""
    app = typer.Typer(
        name="gamestream",
        help="Live game leaderboards from Kafka and Flink SQL, orchestrated and proven by Dagster.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_stackless)
    for group in GROUPS:
        importlib.import_module(f"gamestream_dagster.cli.{group}").register(app)
    return app


def _stackless(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Live game leaderboards from Kafka and Flink SQL, orchestrated and proven by Dagster."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line. Exit code 0 fine, 1 differences or failures found, 2 could not run."""
    given = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in given or bool(os.environ.get("GAMESTREAM_DEBUG"))
    given = [argument for argument in given if argument != "--debug"]
    try:
        build()(args=given, standalone_mode=True)
    except CouldNotRun as error:
        if debug:
            raise
        talk.print(f"[bold red]Could not run:[/] {error}", highlight=False)
        raise SystemExit(2) from error
