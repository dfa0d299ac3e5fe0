"""Shared by the commands about Flink jobs: arguments, errors as one sentence, deployments as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gamestream_dagster.cli.console import PlainConsole, styled
from gamestream_dagster.cli.hints import Talk
from gamestream_dagster.cli.options import as_could_not_run

if TYPE_CHECKING:
    from gamestream_dagster.flink_jobs.record.deployment import Deployment

talk = Talk(stderr=True)
data = PlainConsole()

Job = Annotated[str, typer.Argument(help="Name of the job: its folder in flink_sql/.")]
Folder = Annotated[Path, typer.Option("--folder", help="Folder with the job folders.", hidden=True)]


def speak(sentence: str) -> None:
    """Print a sentence to stderr, beside the data."""
    talk.print(sentence, soft_wrap=True)


@contextmanager
def sentences() -> Iterator[None]:
    """Errors as one sentence: exit code 1 when the job failed, 2 when it could not be attempted."""
    from gamestream_dagster.flink_jobs.errors import (
        ParkedError,
        RedeployContractError,
        RefusedError,
        SubmissionRejectedError,
    )

    with as_could_not_run():
        try:
            yield
        except (ParkedError, RedeployContractError, RefusedError, SubmissionRejectedError) as error:
            talk.print(styled("[bold red]Not done:[/] {}", error), soft_wrap=True)
            raise typer.Exit(1) from error


def deployment_json(deployment: Deployment) -> dict[str, Any]:
    """A deployment without its long texts."""
    from gamestream_dagster.flink_jobs.control.manager import without_plan

    return {**asdict(without_plan(deployment)), "trigger": deployment.trigger}


def print_json(value: Any) -> None:
    """Print data for machines; times as ISO 8601."""
    convert: Callable[[Any], Any] = lambda one: one.isoformat() if isinstance(one, datetime) else str(one)  # noqa: E731
    typer.echo(json.dumps(value, indent=2, default=convert, ensure_ascii=False))
