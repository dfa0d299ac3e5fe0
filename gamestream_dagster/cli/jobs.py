"""`gamestream jobs`: what the Flink jobs should be, are, and would become."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from gamestream_dagster.catalogue.boards import FLINK_SQL_DIR
from gamestream_dagster.cli import panels
from gamestream_dagster.cli.console import styled
from gamestream_dagster.cli.job_manifests import manifests
from gamestream_dagster.cli.job_orders import apply, plan, redeploy, resume, rollback, suspend
from gamestream_dagster.cli.job_output import Folder, Job, data, deployment_json, print_json, sentences, talk
from gamestream_dagster.cli.options import AsJson, Home, PortBase, settings_from
from gamestream_dagster.cli.tables import print_table

if TYPE_CHECKING:
    from gamestream_dagster.flink_jobs.record.deployment import Deployment
    from gamestream_dagster.flink_jobs.record.incidents import Incident
    from gamestream_dagster.flink_jobs.record.observed import ObservedJob
    from gamestream_dagster.flink_jobs.spec.job_spec import JobSpec
    from gamestream_dagster.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the group to the tree."""
    group = typer.Typer(help="Flink SQL jobs: list, plan, deploy, stop, roll back.", no_args_is_help=True)
    group.command("list")(list_jobs)
    for command in (show, plan, apply, suspend, resume, redeploy, rollback, history, incidents, manifests):
        group.command()(command)
    app.add_typer(group, name="jobs", rich_help_panel=panels.RESOURCES)


def list_jobs(
    home: Home = None, port_base: PortBase = None, as_json: AsJson = False, folder: Folder = FLINK_SQL_DIR
) -> None:
    """List the jobs: desired and actual state, health, version, last checkpoint, lag."""
    from gamestream_dagster.flink_jobs.spec import catalogue

    settings = settings_from(home, port_base)
    with sentences():
        specs = catalogue.load_jobs(folder, season=settings.season, ranks=settings.ranks)
        rows = [(spec, *_seen(settings, name, folder)) for name, spec in specs.items()]
    if as_json:
        print_json(
            [
                {"wanted": spec.desired_state, **_observed_json(seen, last), "pending": waiting}
                for spec, seen, last, waiting in rows
            ]
        )
        return
    table = Table("Job", "Wanted", "Is", "Health", "Version", "Checkpoint", "Lag", box=None, pad_edge=False)
    remarks: list[str] = []
    for spec, seen, last, waiting in rows:
        version = f"g{last.generation} {last.fingerprint[:8]}" if last else "-"
        health, sentence = _verdict(seen, last)
        remarks += [f"{spec.name}: {one}" for one in (sentence, waiting) if one]
        table.add_row(spec.name, spec.desired_state, seen.state, health, version, _checkpoint(seen), _lag(seen))
    print_table(table)
    for remark in remarks:
        talk.print(remark, soft_wrap=True)


def _verdict(seen: ObservedJob, last: Deployment | None) -> tuple[str, str]:
    """One word for the table, and a sentence where a word is not enough."""
    from gamestream_dagster.flink_jobs.record.inputs import told

    if seen.state.live:
        return seen.health, seen.health_reason
    if seen.state == "UNKNOWN":
        return "?", seen.detail
    if seen.other_topics:
        name = f"`gamestream jobs apply {seen.job} --replay`"
        return "TOPIC_RECREATED", f"{told(seen.other_topics)}; read it from its beginning with {name}"
    if last is None:
        return "never deployed", ""
    if last.state.may_live and seen.state == "ABSENT":
        return "GONE", "Flink no longer knows it; `gamestream jobs apply` goes on from its newest state"
    return last.outcome or last.state, last.reason or seen.detail


def show(
    job: Job,
    *,
    sql: Annotated[
        bool, typer.Option("--sql", help="Print the SQL as Flink gets it, passwords masked, and ask no server.")
    ] = False,
    home: Home = None,
    port_base: PortBase = None,
    as_json: AsJson = False,
    folder: Folder = FLINK_SQL_DIR,
) -> None:
    """Show one job in full: figures, last deployment, links; or its SQL."""
    from gamestream_dagster.flink_jobs.spec import catalogue

    settings = settings_from(home, port_base)
    if sql:
        with sentences():
            _show_sql(settings, catalogue.load_job(job, folder), as_json)
        return
    with sentences():
        spec = catalogue.load_job(job, folder)
        seen, last, waiting = _seen(settings, job, folder)
    content = {
        "job": job,
        "description": spec.description,
        "owners": list(spec.owners),
        "wanted": spec.desired_state,
        "upgrade_mode": spec.upgrade_mode,
        "reads": list(spec.reads),
        "state_of_topics": _state_of_topics(last),
        "writes": {"tables": list(spec.tables_written), "topics": list(spec.topics_written)},
        **_observed_json(seen, last),
        "pending": waiting,
    }
    if as_json:
        print_json(content)
        return
    for name, value in _flat(content):
        data.print(styled("[bold]{:<24}[/] {}", name, value), soft_wrap=True)


def _show_sql(settings: Settings, spec: JobSpec, as_json: bool) -> None:
    from gamestream_dagster.flink_jobs.target.render import bindings_for, preview
    from gamestream_dagster.flink_jobs.target.targets import target_for

    target = target_for(settings, spec)
    statements = preview(target.spec, bindings_for(settings, spec.name), target.formats)
    if as_json:
        print_json({"job": spec.name, "fingerprint": target.fingerprint, "statements": statements})
        return
    data.print("\n\n".join(f"{one};" for one in statements), soft_wrap=True, markup=False, highlight=False)


def _state_of_topics(last: Deployment | None) -> dict[str, str] | str:
    """The incarnation of each topic that the job's state is of."""
    from gamestream_dagster.clients.topic_identity import incarnation

    if last is None:
        return ""
    if last.inputs is None:
        return "not recorded (deployed by an earlier version, or adopted); a replay records it"
    return {topic: incarnation(state.topic_id) for topic, state in last.inputs.items()}


def _flat(content: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Name and text of every value that is there; milliseconds since 1970 become times."""
    for name, value in content.items():
        if isinstance(value, dict):
            yield from ((f"{name}.{key}", text) for key, text in _flat(value))
        elif name.endswith("_ms") and isinstance(value, int) and value > 10**12:
            yield name.removesuffix("_ms"), datetime.fromtimestamp(value / 1000, tz=UTC).isoformat(timespec="seconds")
        elif value not in (None, "", [], ()):
            yield name, ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def history(
    job: Job, *, home: Home = None, port_base: PortBase = None, as_json: AsJson = False, folder: Folder = FLINK_SQL_DIR
) -> None:
    """List the deployments of a job, newest first."""
    from gamestream_dagster.flink_jobs.control import manager

    settings = settings_from(home, port_base)
    with sentences():
        found = manager.history(settings, job, root=folder)
    if as_json:
        print_json([deployment_json(one) for one in found])
        return
    for one in found:
        submitted = one.submitted_at.strftime("%Y-%m-%d %H:%M:%S") if one.submitted_at else "?"
        line = (
            f"{one.fingerprint[:8]}  {one.state:<10} {one.outcome or '':<17}  {submitted} UTC, {one.trigger} from "
            f"{one.restore_path or 'the earliest offset'}  {one.reason or ''}"
        )
        data.print(styled("[bold]g{:<3}[/] {}", one.generation, line), soft_wrap=True)


def incidents(
    job: Annotated[str | None, typer.Argument(help="Name of the job; all of them when absent.")] = None,
    *,
    home: Home = None,
    port_base: PortBase = None,
    as_json: AsJson = False,
    folder: Folder = FLINK_SQL_DIR,
) -> None:
    """List incidents, newest first: when each was observed, what was done, how long it took; one job with timelines."""
    from gamestream_dagster.flink_jobs.control import manager

    settings = settings_from(home, port_base)
    with sentences():
        found = manager.incidents(settings, job, root=folder)
    if as_json:
        print_json([{**asdict(one), "outcome": one.outcome, **_seconds(one)} for one in found])
        return
    for one in found:
        ended = one.outcome or "open"
        times = ", ".join(
            f"{name.removeprefix('seconds_to_')} after {value:.1f} s" for name, value in _seconds(one).items()
        )
        opened = one.opened_at.strftime("%Y-%m-%d %H:%M:%S")
        line = f"{one.incident_id}  {one.kind}  {opened} UTC  {ended}  {times}  submissions: {one.attempt}"
        data.print(line, soft_wrap=True, style="bold")
        for entry in one.timeline if job else ():
            data.print(f"  {entry.seconds:>8.1f} s  {entry.moment:<10} {entry.text}", soft_wrap=True)


def _seconds(incident: Incident) -> dict[str, float]:
    times = {"seconds_to_seen": incident.seen_seconds, "seconds_to_back": incident.back_seconds}
    return {name: value for name, value in times.items() if value is not None}


def _seen(settings: Settings, job: str, folder: Path) -> tuple[ObservedJob, Deployment | None, str]:
    """The job as it stands, its last deployment, and what is pending."""
    from gamestream_dagster.flink_jobs.control import manager

    last = next(iter(manager.history(settings, job, 1, folder)), None)
    return manager.observe_job(settings, job, root=folder), last, manager.pending_change(settings, job, folder)


def _checkpoint(seen: ObservedJob) -> str:
    figures = seen.figures
    if figures is None or figures.checkpoint_id is None or figures.checkpoint_age_ms is None:
        return "-"
    return f"{figures.checkpoint_id}, {figures.checkpoint_age_ms / 1000:.0f} s ago"


def _lag(seen: ObservedJob) -> str:
    lag = seen.figures.lag_records if seen.figures else None
    return "-" if lag is None else f"{lag} records"


def _observed_json(seen: ObservedJob, last: Deployment | None) -> dict[str, Any]:
    return {**asdict(seen), "deployment": deployment_json(last) if last else None}
