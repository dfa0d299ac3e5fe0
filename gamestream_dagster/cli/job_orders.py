"""`gamestream jobs plan, apply, suspend, resume, redeploy, rollback`: orders for a job."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gamestream_dagster.catalogue.boards import FLINK_SQL_DIR
from gamestream_dagster.cli.console import styled
from gamestream_dagster.cli.options import AsJson, CouldNotRun, Home, PortBase, settings_from
from gamestream_dagster.errors import GamestreamError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gamestream_dagster.clients.dagster_events import Reported
    from gamestream_dagster.flink_jobs.plan.model import Choice
    from gamestream_dagster.settings import Settings
from gamestream_dagster.cli.dagster_link import job_event, report
from gamestream_dagster.cli.hints import runnable
from gamestream_dagster.cli.job_output import Folder, Job, data, deployment_json, print_json, sentences, speak

Replay = Annotated[
    bool,
    typer.Option("--replay", help="Drop the job's state and read all events again from the earliest offset."),
]
Keep = Annotated[
    bool,
    typer.Option("--keep", help="Keep the running version against the folder's change, and remember it."),
]
NewSeason = Annotated[
    bool, typer.Option("--new-season", help="Drop the state and begin a new season with the folder's version.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the plan and change nothing.")]
Steady = Annotated[
    bool, typer.Option("--steady/--no-steady", help="Watch the job for its steady time after the start.")
]


class PlannedCommand(StrEnum):
    """What `plan` simulates besides the folder: the name of the command that would do it."""

    APPLY = "apply"
    RESUME = "resume"
    SUSPEND = "suspend"
    REDEPLOY = "redeploy"
    ROLLBACK = "rollback"


_COMMANDS = {one.value: one.value for one in PlannedCommand}

For = Annotated[PlannedCommand, typer.Option("--for", help="The command whose plan to show.")]


@dataclass(frozen=True)
class Order:
    """An order for a job."""

    job: str
    choice: Choice
    folder: Path
    dry_run: bool = False
    steady: bool = False


def _act(order: Order, settings: Settings, as_json: bool) -> None:
    from gamestream_dagster.flink_jobs.control import manager

    if order.dry_run:
        _show_plan(order.job, settings, order.choice, as_json, order.folder)
        return
    with sentences():
        deployment = manager.apply_job(settings, order.job, order.choice, speak, order.folder, steady=order.steady)
    command = f"gamestream jobs {_COMMANDS.get(order.choice.value, 'apply')}"
    report(settings, job_events(settings, [order.job], command, speak, order.folder), speak)
    if as_json:
        print_json(deployment_json(deployment))
        return
    line = f"{order.job}: {deployment.state}, generation {deployment.generation}, Flink job {deployment.flink_job_id}"
    data.print(line, soft_wrap=True)


def job_events(
    settings: Settings, jobs: Sequence[str], command: str, say: Callable[[str], None], folder: Path = FLINK_SQL_DIR
) -> list[Reported]:
    """Report to Dagster the jobs that `command` changed, each with its current state and newest deployment."""
    from gamestream_dagster.flink_jobs.control import manager

    events: list[Reported] = []
    for job in jobs:
        try:
            last = next(iter(manager.history(settings, job, 1, folder)), None)
            seen = manager.observe_job(settings, job, root=folder)
        except GamestreamError as error:
            say(f"Dagster was not notified of {job}: {error}")
            continue
        if last is not None:
            events.append(job_event(last, seen, command))
    return events


def plan(
    job: Job,
    *,
    home: Home = None,
    port_base: PortBase = None,
    wish: For = PlannedCommand.APPLY,
    replay: Replay = False,
    keep: Keep = False,
    new_season: NewSeason = False,
    as_json: AsJson = False,
    folder: Folder = FLINK_SQL_DIR,
) -> None:
    """Show what `apply`, or the command of --for, would do now; changes nothing.

    Exit codes: 0 nothing to do; 1 something to do; 2 unknown.
    """
    from gamestream_dagster.flink_jobs.plan.model import Choice

    chosen = _choice(replay, keep, new_season)
    if wish is not PlannedCommand.APPLY:
        if chosen is not Choice.NONE:
            raise CouldNotRun(f"--{chosen} belongs to apply; leave it out, or leave --for {wish} out.")
        chosen = Choice(wish.value)
    _show_plan(job, settings_from(home, port_base), chosen, as_json, folder)


def _choice(replay: bool, keep: bool, new_season: bool) -> Choice:
    from gamestream_dagster.flink_jobs.plan.model import Choice

    flags = {Choice.REPLAY: replay, Choice.KEEP: keep, Choice.NEW_SEASON: new_season}
    given = [choice for choice, wanted in flags.items() if wanted]
    if len(given) > 1:
        raise CouldNotRun(f"{' and '.join(f'--{one}' for one in given)} exclude each other; choose one.")
    return given[0] if given else Choice.NONE


def _show_plan(job: str, settings: Settings, choice: Choice, as_json: bool, folder: Path) -> None:
    from gamestream_dagster.flink_jobs.control import manager
    from gamestream_dagster.flink_jobs.plan.model import Decision

    with sentences():
        made = manager.plan_job(settings, job, choice, folder)
    steps = [{"step": type(step).__name__, **asdict(step)} for step in made.steps]
    if as_json:
        print_json({**asdict(made), "steps": steps})
    else:
        data.print(styled("[bold]{}[/]  {}", made.decision, runnable(made.reason)), soft_wrap=True)
        for number, step in enumerate(steps, 1):
            facts = ", ".join(
                f"{key}={value}" for key, value in step.items() if key != "step" and value not in (None, ())
            )
            line = f"  {number}. {step['step']}" + (f"  ({facts})" if facts else "")
            data.print(line, soft_wrap=True)
        if made.parallelism is not None:
            data.print(f"  parallelism {made.parallelism.told}")
        for choice_command in made.choices:
            data.print(styled("  decide with: [bold]{}[/]", runnable(choice_command)), soft_wrap=True)
    if made.decision is not Decision.NOTHING:
        raise typer.Exit(1)


def apply(
    job: Job,
    *,
    home: Home = None,
    port_base: PortBase = None,
    replay: Replay = False,
    keep: Keep = False,
    new_season: NewSeason = False,
    dry_run: DryRun = False,
    steady: Steady = True,
    as_json: AsJson = False,
    folder: Folder = FLINK_SQL_DIR,
) -> None:
    """Bring the job to the state that its folder describes. It keeps running when this command ends."""
    order = Order(job, _choice(replay, keep, new_season), folder, dry_run, steady)
    _act(order, settings_from(home, port_base), as_json)


def suspend(
    job: Job,
    *,
    home: Home = None,
    port_base: PortBase = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    folder: Folder = FLINK_SQL_DIR,
) -> None:
    """Stop the job with a savepoint until `resume`."""
    from gamestream_dagster.flink_jobs.plan.model import Choice

    _act(Order(job, Choice.SUSPEND, folder, dry_run), settings_from(home, port_base), as_json)


def _running_again(choice: str, what: str) -> Callable[..., None]:
    """A command that ends with the job running; all take the same options."""

    def command(
        job: Job,
        *,
        home: Home = None,
        port_base: PortBase = None,
        dry_run: DryRun = False,
        steady: Steady = True,
        as_json: AsJson = False,
        folder: Folder = FLINK_SQL_DIR,
    ) -> None:
        from gamestream_dagster.flink_jobs.plan.model import Choice

        _act(Order(job, Choice(choice), folder, dry_run, steady), settings_from(home, port_base), as_json)

    command.__name__, command.__doc__ = choice, what
    return command


resume = _running_again("resume", "Run a stopped job again from its newest state, whoever stopped it.")
redeploy = _running_again("redeploy", "Stop the job with a savepoint and submit the same version again from it.")
rollback = _running_again(
    "rollback", "Return to the last good version, with its own SQL and state. `apply` goes forward again."
)
