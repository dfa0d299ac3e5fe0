"""The jobs in `gamestream down`, before the servers stop, and in `gamestream up`, after they start."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from gamestream_dagster.cli.dagster_link import report
from gamestream_dagster.cli.job_orders import job_events
from gamestream_dagster.errors import GamestreamError
from gamestream_dagster.platform.service import Progress, ProgressState

if TYPE_CHECKING:
    from gamestream_dagster.flink_jobs.control.stack_lifecycle import JobReport
    from gamestream_dagster.platform.service import ServiceStatus
    from gamestream_dagster.platform.stack import Stack
    from gamestream_dagster.settings import Settings

FLINK = "flink-jobmanager"
DAGSTER = "dagster-webserver"
_NEEDED = (FLINK, "postgres")
_ASKED = (*_NEEDED, "kafka")
_FROM_CHECKPOINT = "A running job resumes from its newest checkpoint at the next `gamestream up`."

Say = Callable[[str], None]


def stop_before_down(settings: Settings, stack: Stack, progress: Progress, say: Say) -> None:
    """Stop the jobs with a savepoint. Failures are reported; the stack stops all the same.

    Dagster stops first: its health sensor would restart the jobs.
    """
    if settings.is_external("flink"):
        return  # that cluster keeps running, and so do its jobs
    states = {row.name: row for row in stack.status(_ASKED)}
    if FLINK not in states or states[FLINK].pid is None:
        return
    stack.stop("dagster")
    why = _in_the_way(states)
    if why:
        say(f"The jobs are not stopped with a savepoint: {why}. {_FROM_CHECKPOINT}")
        return

    from gamestream_dagster.flink_jobs.control.stack_lifecycle import stop_jobs

    try:
        reports = stop_jobs(settings, lambda job, text: progress(job, ProgressState.STOPPING, text))
    except GamestreamError as error:
        say(f"The jobs are not stopped with a savepoint: {error} {_FROM_CHECKPOINT}")
        return
    if not _shown(reports, ProgressState.STOPPED, progress, say):
        say(_FROM_CHECKPOINT)


def resume_after_up(settings: Settings, stack: Stack, started: list[str], progress: Progress, say: Say) -> bool:
    """Resume the jobs that stopped with the stack; False when one did not come back.

    Also restores jobs that were lost without a savepoint, if this `up` started their cluster.
    """
    states = {row.name: row for row in stack.status(_ASKED)}
    if any(name not in states or states[name].state not in ("HEALTHY", "EXTERNAL") for name in _ASKED):
        return True

    from gamestream_dagster.flink_jobs.control.stack_lifecycle import jobs_to_resume, resume_jobs

    try:
        names = jobs_to_resume(settings, lost=FLINK in started)
        reports = resume_jobs(settings, names, lambda job, text: progress(job, ProgressState.RESUMING, text))
    except GamestreamError as error:
        say(f"The jobs are not resumed: {error}")
        return False
    back = [one.job for one in reports if one.done]
    if back and DAGSTER in {row.name for row in stack.status((DAGSTER,)) if row.state == "HEALTHY"}:
        report(settings, job_events(settings, back, "gamestream up", say), say)
    return _shown(reports, ProgressState.HEALTHY, progress, say)


def _in_the_way(states: dict[str, ServiceStatus]) -> str:
    for name in _NEEDED:
        if states[name].state not in ("HEALTHY", "EXTERNAL"):
            return f"{name} does not answer ({states[name].detail or states[name].state})"
    return ""


def _shown(reports: list[JobReport], good: ProgressState, progress: Progress, say: Say) -> bool:
    for one in reports:
        progress(one.job, good if one.done else ProgressState.FAILED, one.sentence if one.done else "")
        if not one.done:
            say(one.sentence)
    return all(one.done for one in reports)
