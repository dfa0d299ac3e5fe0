"""Options and errors that every command group shares."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gamestream_dagster.cli import hints
from gamestream_dagster.errors import GamestreamError
from gamestream_dagster.port_block import PORTS_PER_STACK
from gamestream_dagster.settings import Settings, SettingsError, load_settings

Home = Annotated[Path | None, typer.Option("--home", help="Folder with all state of the stack (default .gamestream).")]
PortBase = Annotated[
    int | None,
    typer.Option("--port-base", help=f"First of {PORTS_PER_STACK} consecutive ports, to run beside another stack."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print data as JSON on stdout.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before destroying something.")]


class CouldNotRun(GamestreamError):  # noqa: N818 - the word of the exit code and of the verdict
    """The command could not look or act (exit code 2); the message says why and what to do next."""


def settings_from(home: Path | None, port_base: int | None = None) -> Settings:
    """Settings for a command; a bad value ends the command with exit code 2 and one sentence."""
    try:
        settings = load_settings(home=home, port_base=port_base)
    except SettingsError as error:
        raise CouldNotRun(str(error)) from error
    hints.remember(settings, home, port_base)
    return settings
