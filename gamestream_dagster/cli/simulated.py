"""Which options of `gamestream simulate` were given: each kind of simulation takes its own."""

from __future__ import annotations

from collections.abc import Set

import typer

from gamestream_dagster.cli.options import CouldNotRun


def explicit(context: typer.Context, names: Set[str]) -> list[str]:
    """Those of the options that were given on the command line, as they are written."""
    asked = {name for name in names if (source := context.get_parameter_source(name)) and source.name == "COMMANDLINE"}
    return sorted(f"--{name.replace('_', '-')}" for name in asked)


def refuse_options_before(context: typer.Context) -> None:
    """Raise CouldNotRun if an option stands before the subcommand: it would be ignored there."""
    command = context.invoked_subcommand
    for option in explicit(context, context.params.keys()):
        raise CouldNotRun(f"{option} stands before {command}; write `gamestream simulate {command} {option} ...`.")
