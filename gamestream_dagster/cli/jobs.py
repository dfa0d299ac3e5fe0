"""`gamestream jobs`: what the Flink jobs should be, are, and would become."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from gamestream_dagster.catalogue.boards import FLINK_SQL_DIR
from gamestream_dagster.cli.options import AsJson, CouldNotRun, Home, PortBase, settings_from

if TYPE_CHECKING:
    from gamestream_dagster.flink_jobs.deployment import Deployment
    from gamestream_dagster.flink_jobs.observed import ObservedJob
    from gamestream_dagster.flink_jobs.plan import Choice
    from gamestream_dagster.settings import Settings

talk = Console(stderr=True, highlight=False)
data = Console(highlight=False)

Job = Annotated[str, typer.Argument(help="Name of the job: its folder in flink_sql/.")]
Folder = Annotated[Path, typer.Option("--folder", help="Folder with the job folders.", hidden=True)]
Replay = Annotated[
    bool,
    typer.Option("--replay", help="Throw the job's state away and read all events again from the earliest offset."),
]


def register(app: typer.Typer) -> None:
    """Add the group to the tree."""
    group = typer.Typer(help="The Flink jobs: desired, observed, planned, done.", no_args_is_help=True)
    group.command("list")(list_jobs)
    for command in (show, plan, apply, suspend, resume, history):
        group.command()(command)
    app.add_typer(group, name="jobs")


def list_jobs(
    home: Home = None, port_base: PortBase = None, as_json: AsJson = False, folder: Folder = FLINK_SQL_DIR
) -> None:
    """Every job: what is wanted, what is, and how it is doing."""
    from gamestream_dagster.flink_jobs import catalogue

    settings = settings_from(home, port_base)
    with _sentences():
        specs = catalogue.load_jobs(folder)
        rows = [(spec, *_seen(settings, name, folder)) for name, spec in specs.items()]
    if as_json:
        _print_json([{"wanted": spec.desired_state, **_observed_json(seen, last)} for spec, seen, last in rows])
        return
    table = Table("Job", "Wanted", "Is", "Health", "Version", "Checkpoint", "Waiting", box=None, pad_edge=False)
    sentences: list[str] = []
    for spec, seen, last in rows:
        version = f"g{last.generation} {last.fingerprint[:8]}" if last else "-"
        health, sentence = _verdict(seen, last)
        if sentence:
            sentences.append(f"{spec.name}: {sentence}")
        table.add_row(spec.name, spec.desired_state, seen.state, health, version, _checkpoint(seen), _lag(seen))
    data.print(table)
    for sentence in sentences:
        talk.print(sentence, markup=False, soft_wrap=True)


def _verdict(seen: ObservedJob, last: Deployment | None) -> tuple[str, str]:
    """One word for the table, and a sentence where a word is not enough."""
    if seen.state.live:
        return seen.health, seen.health_reason
    if seen.state == "UNKNOWN":
        return "?", seen.detail
    if last is None:
        return "never deployed", ""
    if last.state.may_live and seen.state == "ABSENT":
        return "GONE", "Flink no longer knows it; `gamestream jobs apply` goes on from its newest state"
    return last.outcome or last.state, last.reason or seen.detail


def show(
    job: Job, *, home: Home = None, port_base: PortBase = None, as_json: AsJson = False, folder: Folder = FLINK_SQL_DIR
) -> None:
    """One job in full: figures, last deployment, links."""
    from gamestream_dagster.flink_jobs import catalogue

    settings = settings_from(home, port_base)
    with _sentences():
        spec = catalogue.load_job(job, folder)
        seen, last = _seen(settings, job, folder)
    content = {
        "job": job,
        "description": spec.description,
        "owners": list(spec.owners),
        "wanted": spec.desired_state,
        "upgrade_mode": spec.upgrade_mode,
        "reads": list(spec.reads),
        "writes": spec.writes.model_dump(mode="json"),
        **_observed_json(seen, last),
    }
    if as_json:
        _print_json(content)
        return
    for name, value in _flat(content):
        data.print(f"[bold]{name:<24}[/] {value}", soft_wrap=True)


def _flat(content: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Name and text of every value that is there; milliseconds since 1970 become times."""
    for name, value in content.items():
        if isinstance(value, dict):
            yield from ((f"{name}.{key}", text) for key, text in _flat(value))
        elif name.endswith("_ms") and isinstance(value, int) and value > 10**12:
            yield name.removesuffix("_ms"), datetime.fromtimestamp(value / 1000, tz=UTC).isoformat(timespec="seconds")
        elif value not in (None, "", [], ()):
            yield name, ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def plan(
    job: Job,
    *,
    home: Home = None,
    port_base: PortBase = None,
    replay: Replay = False,
    as_json: AsJson = False,
    folder: Folder = FLINK_SQL_DIR,
) -> None:
    """What `apply` would do now; changes nothing. Exit code 1 when there is something to do or to decide."""
    from gamestream_dagster.flink_jobs import manager
    from gamestream_dagster.flink_jobs.plan import Choice, Decision

    settings = settings_from(home, port_base)
    with _sentences():
        made = manager.plan_job(settings, job, Choice.REPLAY if replay else Choice.NONE, folder)
    steps = [{"step": type(step).__name__, **asdict(step)} for step in made.steps]
    if as_json:
        _print_json({**asdict(made), "steps": steps})
    else:
        data.print(f"[bold]{made.decision}[/]  {made.reason}")
        for number, step in enumerate(steps, 1):
            facts = ", ".join(f"{key}={value}" for key, value in step.items() if key != "step" and value is not None)
            data.print(f"  {number}. {step['step']}" + (f"  ({facts})" if facts else ""), soft_wrap=True)
        for choice in made.choices:
            data.print(f"  decide with: [bold]{choice}[/]")
    if made.decision is not Decision.NOTHING:
        raise typer.Exit(1)


def apply(
    job: Job,
    *,
    home: Home = None,
    port_base: PortBase = None,
    replay: Replay = False,
    as_json: AsJson = False,
    folder: Folder = FLINK_SQL_DIR,
) -> None:
    """Make the job as its folder says. It goes on running when this command ends."""
    from gamestream_dagster.flink_jobs.plan import Choice

    _act(job, settings_from(home, port_base), Choice.REPLAY if replay else Choice.NONE, as_json, folder)


def suspend(
    job: Job, *, home: Home = None, port_base: PortBase = None, as_json: AsJson = False, folder: Folder = FLINK_SQL_DIR
) -> None:
    """Stop the job with a savepoint, and leave it so until `resume`."""
    from gamestream_dagster.flink_jobs.plan import Choice

    _act(job, settings_from(home, port_base), Choice.SUSPEND, as_json, folder)


def resume(
    job: Job, *, home: Home = None, port_base: PortBase = None, as_json: AsJson = False, folder: Folder = FLINK_SQL_DIR
) -> None:
    """Run the job again from its newest state, whoever stopped it."""
    from gamestream_dagster.flink_jobs.plan import Choice

    _act(job, settings_from(home, port_base), Choice.RESUME, as_json, folder)


def history(
    job: Job, *, home: Home = None, port_base: PortBase = None, as_json: AsJson = False, folder: Folder = FLINK_SQL_DIR
) -> None:
    """The deployments of the job, newest first."""
    from gamestream_dagster.flink_jobs import manager

    settings = settings_from(home, port_base)
    with _sentences():
        found = manager.history(settings, job, root=folder)
    if as_json:
        _print_json([_deployment_json(one) for one in found])
        return
    for one in found:
        submitted = one.submitted_at.strftime("%Y-%m-%d %H:%M:%S") if one.submitted_at else "?"
        data.print(
            f"[bold]g{one.generation:<3}[/] {one.fingerprint[:8]}  {one.state:<10} {one.outcome or '':<17}  "
            f"{submitted} UTC, {one.trigger} from {one.restore_path or 'the earliest offset'}  {one.reason or ''}",
            soft_wrap=True,
        )


def _act(job: str, settings: Settings, choice: Choice, as_json: bool, folder: Path) -> None:
    from gamestream_dagster.flink_jobs import manager

    with _sentences():
        deployment = manager.apply_job(settings, job, choice, _talk, folder)
    if as_json:
        _print_json(_deployment_json(deployment))
        return
    line = f"{job}: {deployment.state}, generation {deployment.generation}, Flink job {deployment.flink_job_id}"
    data.print(line, soft_wrap=True)


def _talk(sentence: str) -> None:
    talk.print(sentence, markup=False, soft_wrap=True)


@contextmanager
def _sentences() -> Iterator[None]:
    """Errors of the job manager as one sentence: exit code 1 when the job is at fault, 2 when it could not be tried."""
    from gamestream_dagster.clients.errors import ServiceError
    from gamestream_dagster.flink_jobs.errors import (
        FlinkJobError,
        ParkedError,
        RedeployContractError,
        SubmissionRejectedError,
    )

    try:
        yield
    except (ParkedError, RedeployContractError, SubmissionRejectedError) as error:
        talk.print(f"[bold red]Not done:[/] {error}", soft_wrap=True)
        raise typer.Exit(1) from error
    except (FlinkJobError, ServiceError) as error:
        raise CouldNotRun(str(error)) from error


def _seen(settings: Settings, job: str, folder: Path) -> tuple[ObservedJob, Deployment | None]:
    from gamestream_dagster.flink_jobs import manager

    return manager.observe_job(settings, job, root=folder), next(iter(manager.history(settings, job, 1, folder)), None)


def _checkpoint(seen: ObservedJob) -> str:
    figures = seen.figures
    if figures is None or figures.checkpoint_id is None or figures.checkpoint_age_ms is None:
        return "-"
    return f"{figures.checkpoint_id}, {figures.checkpoint_age_ms / 1000:.0f} s ago"


def _lag(seen: ObservedJob) -> str:
    lag = seen.figures.lag_records if seen.figures else None
    return "-" if lag is None else f"{lag} records"


def _observed_json(seen: ObservedJob, last: Deployment | None) -> dict[str, Any]:
    return {**asdict(seen), "deployment": _deployment_json(last) if last else None}


def _deployment_json(deployment: Deployment) -> dict[str, Any]:
    from gamestream_dagster.flink_jobs.manager import without_plan

    return {**asdict(without_plan(deployment)), "trigger": deployment.trigger}


def _print_json(value: Any) -> None:
    convert: Callable[[Any], Any] = lambda one: one.isoformat() if isinstance(one, datetime) else str(one)  # noqa: E731
    typer.echo(json.dumps(value, indent=2, default=convert, ensure_ascii=False))
