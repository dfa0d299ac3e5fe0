"""Command lines of ours as text: whether they parse, options and arguments included."""

from __future__ import annotations

from typing import Any

import typer

from gamestream_dagster.cli.main import build

_ROOT: Any = typer.main.get_command(build())


def parses(words: list[str], *, whole: bool = True) -> bool:
    """Whether the arguments are those of a command.

    Args:
        words: without the name of the program.
        whole: nothing that is required may be missing.
    """
    current, rest = _ROOT, list(words)
    while rest and rest[0] in (getattr(current, "commands", None) or {}):
        current, rest = current.commands[rest[0]], rest[1:]
    if getattr(current, "commands", None) and not current.invoke_without_command:
        return not whole and not rest
    try:
        current.make_context("test", rest, resilient_parsing=False)
    except Exception as error:  # Typer has a copy of Click of its own
        kinds = {kind.__name__ for kind in type(error).__mro__}
        if "ClickException" not in kinds:
            raise
        return "MissingParameter" in kinds and not whole
    return True
