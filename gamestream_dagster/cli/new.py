"""`gamestream new`: first versions of outputs and jobs, which run as they are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gamestream_dagster.catalogue.boards import FLINK_SQL_DIR
from gamestream_dagster.cli import panels
from gamestream_dagster.cli.job_output import Folder, data, sentences, talk

if TYPE_CHECKING:
    from gamestream_dagster.flink_jobs.spec.scaffold import Made

WithoutRanks = Annotated[
    bool, typer.Option("--without-ranks", help="One row for each player, in place of a board of ten.")
]


def register(app: typer.Typer) -> None:
    """Add the group to the tree."""
    group = typer.Typer(help="First versions of boards, outputs and jobs, to change.", no_args_is_help=True)
    group.command()(board)
    group.command()(job)
    app.add_typer(group, name="new", rich_help_panel=panels.RESOURCES)


def board(
    name: Annotated[str, typer.Argument(help="Name of the board: small letters, digits and _.")],
    *,
    job: Annotated[str, typer.Option("--job", help="The job that writes it.")],
    without_ranks: WithoutRanks = False,
    folder: Folder = FLINK_SQL_DIR,
) -> None:
    """Add a board to a job: its folder, and a view in query.sql. Change both; they run as they are."""
    from gamestream_dagster.flink_jobs.spec.scaffold import new_output

    with sentences():
        _say(new_output(folder, job, name, ranked=not without_ranks), folder, replay=True)


def job(
    name: Annotated[str, typer.Argument(help="Name of the job, such as clans_v1.")],
    *,
    reads: Annotated[str, typer.Option("--reads", help="The topic that it reads.")],
    without_ranks: WithoutRanks = False,
    folder: Folder = FLINK_SQL_DIR,
) -> None:
    """Write a job with one output and a ledger. Change it; it runs as it is."""
    from gamestream_dagster.flink_jobs.spec.scaffold import new_job

    with sentences():
        _say(new_job(folder, name, reads, ranked=not without_ranks), folder, replay=False)


def _say(made: Made, folder: Path, *, replay: bool) -> None:
    for file in made.files:
        data.print(str(file), markup=False, highlight=False, soft_wrap=True)
    where = folder / made.job
    talk.print(f"Done. Change what it computes, then check it: gamestream lint {where}", soft_wrap=True)
    if replay:
        talk.print(
            f"A job that runs has no state for it: gamestream jobs apply {made.job} --replay reads all events again.",
            soft_wrap=True,
        )
    talk.print("Next: gamestream apply", soft_wrap=True)
