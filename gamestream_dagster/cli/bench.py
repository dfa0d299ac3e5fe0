"""`gamestream bench`: the benchmarks of `bench/`, which are part of a checkout and not of the wheel."""

from __future__ import annotations

import typer

from gamestream_dagster.cli import panels
from gamestream_dagster.cli.options import CouldNotRun
from gamestream_dagster.settings import PROJECT_ROOT

ABSENT = (
    "benchmarks run from a checkout, and this is an installed package: clone the repository, "
    "then `make install` and `.venv/bin/gamestream bench`"
)


def register(app: typer.Typer) -> None:
    """Add the command of the checkout; without one, a command that says where benchmarks run."""
    if (PROJECT_ROOT / "bench" / "cli.py").is_file():
        from bench.cli import register as register_suite

        register_suite(app)
    else:
        any_arguments = {"allow_extra_args": True, "ignore_unknown_options": True}
        app.command("bench", rich_help_panel=panels.QUALITY, context_settings=any_arguments)(absent)


def absent() -> None:
    """Measure this machine; runs from a checkout of the repository."""
    raise CouldNotRun(ABSENT)
