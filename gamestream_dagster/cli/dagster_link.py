"""Reports to Dagster: changes that commands made to assets, and new jobs and boards.

Dagster only displays these events. If it does not answer, the command prints a sentence and does not
fail.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gamestream_dagster.catalogue import asset_names
from gamestream_dagster.clients.dagster_events import Reported, ReportedCheck

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gamestream_dagster.archive.writer import ArchiveResult
    from gamestream_dagster.clients.dagster_graphql import DagsterGraphQL
    from gamestream_dagster.flink_jobs.record.deployment import Deployment
    from gamestream_dagster.flink_jobs.record.observed import ObservedJob
    from gamestream_dagster.provisioning.model import StepResult
    from gamestream_dagster.reconciliation.certificates.seasons import ClosedSeason
    from gamestream_dagster.reconciliation.model.proof import ReconciliationRun
    from gamestream_dagster.settings import Settings

Say = Callable[[str], None]
BY = "done by"  # metadata that distinguishes such an event from that of a run


def report(settings: Settings, events: Iterable[Reported], say: Say) -> None:
    """Add events to the pages of their assets; calls `say` when Dagster refuses them."""
    waiting = list(events)
    if not waiting:
        return
    with _dagster(settings, "the change is missing on its assets' pages", say) as dagster:
        for event in waiting:
            dagster.report(event)


def refresh_definitions(settings: Settings, say: Say) -> None:
    """Reload Dagster's definitions when its jobs and boards differ from the catalogue."""
    from gamestream_dagster.catalogue.boards import load_boards
    from gamestream_dagster.clients.dagster_graphql import RELOAD_TIMEOUT_SECONDS
    from gamestream_dagster.flink_jobs.spec.catalogue import load_jobs

    wanted = {asset_names.job_name(name) for name in load_jobs(season=settings.season, ranks=settings.ranks)}
    outputs = load_boards(season=settings.season, ranks=settings.ranks).values()
    wanted |= {asset_names.board_name(output.name) for output in outputs if output.sinks.postgres is not None}
    expected = {"/".join(name) for name in wanted}
    failure = "it may show outdated jobs and boards until `gamestream down` and `gamestream up`"
    with _dagster(settings, failure, say, RELOAD_TIMEOUT_SECONDS) as dagster:
        if _jobs_and_boards(dagster) == expected:
            return
        dagster.reload()
        if odd := _jobs_and_boards(dagster) ^ expected:
            say(f"Dagster reloaded its definitions and still differs in {', '.join(sorted(odd))}: {failure}.")
        else:
            say("Dagster reloaded its definitions: its jobs and boards match the catalogue.")


def _jobs_and_boards(dagster: DagsterGraphQL) -> set[str]:
    return {key for key in dagster.asset_keys() if key.startswith(("job/", "board/"))}


@contextmanager
def _dagster(settings: Settings, failure: str, say: Say, timeout: float | None = None) -> Iterator[DagsterGraphQL]:
    from gamestream_dagster.clients.dagster_graphql import CALL_TIMEOUT_SECONDS, DagsterGraphQL
    from gamestream_dagster.clients.errors import ServiceError

    with DagsterGraphQL(settings.dagster_url, timeout or CALL_TIMEOUT_SECONDS) as dagster:
        try:
            yield dagster
        except ServiceError as error:
            say(f"Dagster was not notified: {error} So {failure}.")


def job_event(deployment: Deployment, observed: ObservedJob, command: str) -> Reported:
    """A job that a command changed."""
    from gamestream_dagster.flink_jobs.record.judging import BEARABLE, deployment_facts

    live = observed.state.live
    return Reported(
        asset_names.job_name(deployment.job),
        {
            BY: command,
            **deployment_facts(deployment),
            "state": observed.state.value,
            "health": observed.health.value,
        },
        materialised=live,  # a stopped job does not run as its folder says
        checks=(ReportedCheck("healthy", observed.health in BEARABLE, told=observed.health_reason),) if live else (),
    )


def provisioned_events(results: Sequence[StepResult]) -> list[Reported]:
    """Resources that `apply` created; jobs report themselves."""
    names = {
        "table": asset_names.table_name,
        "topic": asset_names.topic_name,
        "subject": asset_names.subject_name,
    }
    done = [one for one in results if one.outcome == "DONE" and one.planned.kind.value in names]
    return [
        Reported(
            names[one.planned.kind.value](one.planned.name),
            {BY: "gamestream apply", "status": one.status.state.value, "created": True},
            checks=(ReportedCheck("as_described", one.status.state.value == "PRESENT"),),
        )
        for one in done
    ]


def archive_event(result: ArchiveResult, rows: int, records: int) -> Reported:
    """An archive run."""
    return Reported(
        asset_names.archive_name(result.topic),
        {
            BY: "gamestream archive",
            "dagster/row_count": rows,
            "records": records,
            "new_records": result.records,
            "new_refused": result.refused,
            "new_files": result.files,
            "seconds": round(result.seconds, 2),
        },
    )


def reconciliation_event(run: ReconciliationRun, all_boards: bool, report_url: str) -> list[Reported]:
    """A finished run. A run about some boards is an observation; one that could not run is not reported."""
    if run.verdict.value == "COULD_NOT_RUN":
        return []
    metadata: dict[str, str | int | float | bool] = {
        BY: "gamestream reconcile",
        "verdict": run.verdict.value,
        "reason": run.reason,
        "mode": run.mode.value,
        "boards": ", ".join(sorted(run.descriptions)),
        "rows_compared": run.rows_compared,
        "rows_different": run.rows_different,
        "rows_unexplained": run.rows_unexplained,
        "seconds": round(run.seconds, 2),
        "reconciliation": run.run_id,
        "report": report_url,
    }
    faults = [fault.sentence for fault in run.ledger_faults]
    explained = run.verdict.value == "EXPLAINED"
    checks = (
        ReportedCheck("verdict", run.verdict.value == "MATCH", explained, run.reason),
        ReportedCheck("no_unexplained", run.rows_unexplained == 0),
        ReportedCheck("ledger_balances", run.balanced, told="; ".join(faults[:5])),
        ReportedCheck("could_look", True),
    )
    return [Reported(asset_names.RECONCILIATION, metadata, all_boards, checks if all_boards else ())]


def seasons_event(seasons: Sequence[ClosedSeason]) -> list[Reported]:
    """Closed seasons; empty when there was nothing to close."""
    if not seasons:
        return []
    metadata: dict[str, str | int | float | bool] = {
        BY: "gamestream season close",
        "seasons": len({one.span for one in seasons}),
        "closed": sum(one.done for one in seasons),
    }
    return [Reported(asset_names.CLOSED_SEASONS, metadata)]
