"""Entry point of `gamestream`: collects the command groups and turns errors into one sentence and an exit code."""

from __future__ import annotations

import importlib
import os
import sys
from contextlib import suppress
from importlib import metadata
from typing import Annotated

import typer
from rich.text import Text

from gamestream_dagster.cli.console import styled
from gamestream_dagster.cli.hints import Talk
from gamestream_dagster.errors import sentence_of

# One module a command group, in the order in which `gamestream --help` lists them.
GROUPS = (
    "platform",
    "demo",
    "provisioning",
    "jobs",
    "new",
    "events",
    "game_events",
    "backfill",
    "topics",
    "dlq",
    "trace",
    "player",
    "ledger",
    "keys",
    "ranks",
    "reconcile",
    "archive",
    "repair",
    "why",
    "metrics",
    "certificates",
    "experiment",
    "models",
    "alerts",
    "exporter",
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
    """Run the command line.

    Exit code 0 fine, 1 differences or failures found, 2 could not run, 130 stopped by Ctrl-C. Whatever goes wrong is
    one sentence; `--debug` shows the traceback.
    """
    given = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in given or bool(os.environ.get("GAMESTREAM_DEBUG"))
    given = [argument for argument in given if argument != "--debug"]
    try:
        _run(given)
    except KeyboardInterrupt:
        if debug:
            raise
        _say("Stopped by Ctrl-C.")
        raise SystemExit(130) from None
    except Exception as error:
        if debug:
            raise
        _say(styled("[bold red]Could not run:[/] {}", sentence_of(error)))
        if isinstance(error, BrokenPipeError):
            _give_up_output()
        raise SystemExit(2) from error


def _run(given: list[str]) -> None:
    try:
        build()(args=given, standalone_mode=True)
    except SystemExit as ended:
        sys.stdout.flush()
        # Typer ends with 1 for these two, which is the code of differences.
        cause = ended.__context__
        if ended.code == 1 and isinstance(cause, BrokenPipeError):
            raise cause from None
        if ended.code == 1 and isinstance(cause, typer.Abort):
            raise SystemExit(2) from None
        raise


def _say(text: str | Text) -> None:
    with suppress(OSError):  # stderr may be closed, too
        talk.print(text, soft_wrap=True)


def _give_up_output() -> None:
    """Nothing can be written any more: without this Python tries again at its end, and complains."""
    null = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            os.dup2(null, stream.fileno())
