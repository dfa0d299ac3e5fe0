"""Options and errors shared by every command group."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from gamestream_dagster.cli import hints
from gamestream_dagster.errors import GamestreamError
from gamestream_dagster.port_block import PORTS_PER_STACK
from gamestream_dagster.settings import Settings, load_settings

Home = Annotated[Path | None, typer.Option("--home", help="Folder with all state of the stack (default .gamestream).")]
PortBase = Annotated[
    int | None,
    typer.Option("--port-base", help=f"First of {PORTS_PER_STACK} consecutive ports, to run beside another stack."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print data as JSON on stdout.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before deleting something.")]


class CouldNotRun(GamestreamError):  # noqa: N818 - the word of the exit code and of the verdict
    """The command could not run (exit code 2); the message says why and what to do next."""


@contextmanager
def as_could_not_run() -> Iterator[None]:
    """Turn every typed error into `CouldNotRun`: exit code 2 with the error's own sentence."""
    try:
        yield
    except CouldNotRun:
        raise
    except GamestreamError as error:
        raise CouldNotRun(str(error)) from error


def settings_from(home: Path | None, port_base: int | None = None) -> Settings:
    """Settings for a command; a bad value ends the command with exit code 2 and one sentence."""
    with as_could_not_run():
        settings = load_settings(home=home, port_base=port_base)
    hints.remember(settings, home, port_base)
    return settings
