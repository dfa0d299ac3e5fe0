"""Which options of `gamestream simulate` were given: each kind of simulation takes its own."""

from __future__ import annotations

from collections.abc import Set

import typer


def explicit(context: typer.Context, names: Set[str]) -> list[str]:
    """Those of the options that were given on the command line, as they are written."""
    asked = {name for name in names if (source := context.get_parameter_source(name)) and source.name == "COMMANDLINE"}
    return sorted(f"--{name.replace('_', '-')}" for name in asked)
