"""The facade of the job manager: plan, apply, observe, suspend, resume, history, for commands, assets and sensors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from gamestream_dagster.catalogue.boards import FLINK_SQL_DIR
from gamestream_dagster.clients.postgres import open_engine
from gamestream_dagster.flink_jobs.control import looking
from gamestream_dagster.flink_jobs.control.applying import Say, apply
from gamestream_dagster.flink_jobs.control.looking import Look
from gamestream_dagster.flink_jobs.control.workbench import workbench
from gamestream_dagster.flink_jobs.errors import ParkedError
from gamestream_dagster.flink_jobs.plan.model import Choice, Plan
from gamestream_dagster.flink_jobs.record.deployment import Deployment, pending
from gamestream_dagster.flink_jobs.record.incident_store import PostgresIncidents
from gamestream_dagster.flink_jobs.record.incidents import Incident
from gamestream_dagster.flink_jobs.record.observed import Figures, ObservedJob
from gamestream_dagster.flink_jobs.spec.catalogue import load_job
from gamestream_dagster.settings import Settings


def plan_job(
    settings: Settings,
    name: str,
    choice: Choice = Choice.NONE,
    root: Path = FLINK_SQL_DIR,
    *,
    previous: Figures | None = None,
) -> Plan:
    """What `apply_job` would do now. Changes nothing."""
    with workbench(settings, name, root) as bench:
        return bench.plan(choice, previous)


def apply_job(
    settings: Settings,
    name: str,
    choice: Choice = Choice.NONE,
    say: Say = lambda _: None,
    root: Path = FLINK_SQL_DIR,
    *,
    previous: Figures | None = None,
    steady: bool = False,
) -> Deployment:
    """Bring the job to the folder's state, and return its deployment; it keeps running when the caller ends.

    Args:
        settings: the stack.
        name: the job.
        choice: what the operator requests beyond the folder.
        say: receives a sentence per step.
        root: the folder of the job folders.
        previous: figures of an earlier observation, without which a stalled job looks like a quiet one.
        steady: watch a started job for `limits.steady_seconds`; otherwise the health sensor observes what follows.

    Raises:
        ExecutorBusyError, TransientFlinkJobError, TransientServiceError: nothing was lost, apply again later.
        ParkedError, RedeployContractError, SubmissionRejectedError: an operator has to correct or choose something.
        RefusedError: the request cannot be fulfilled; nothing changed.
    """
    with workbench(settings, name, root) as bench:
        record = apply(bench, choice, say, previous, steady=steady) or bench.store.last(name)
    if record is None:
        raise ParkedError(
            f"{name} was never deployed: job.yaml says suspended. Set desired_state: running, apply again"
        )
    return record


def stand_still_job(settings: Settings, name: str, say: Say = lambda _: None, root: Path = FLINK_SQL_DIR) -> Deployment:
    """Stop the job with a savepoint for a proof. Whoever finds that the proof has ended resumes it."""
    return apply_job(settings, name, Choice.STANDSTILL, say, root)


def suspend_job(settings: Settings, name: str, say: Say = lambda _: None, root: Path = FLINK_SQL_DIR) -> Deployment:
    """Stop the job with a savepoint until `resume_job`."""
    return apply_job(settings, name, Choice.SUSPEND, say, root)


def resume_job(settings: Settings, name: str, say: Say = lambda _: None, root: Path = FLINK_SQL_DIR) -> Deployment:
    """Run the job again from its newest state."""
    return apply_job(settings, name, Choice.RESUME, say, root)


def observe_job(
    settings: Settings, name: str, previous: Figures | None = None, root: Path = FLINK_SQL_DIR
) -> ObservedJob:
    """Observe the job once. No answer from Flink is the state UNKNOWN, not an error."""
    with workbench(settings, name, root) as bench:
        return bench.look(previous)[0]


def look_and_plan(settings: Settings, name: str, previous: Figures | None = None, root: Path = FLINK_SQL_DIR) -> Look:
    """Observe the job, record incident and alert, and plan a repair if it is unhealthy. Never changes the job."""
    with workbench(settings, name, root) as bench:
        return looking.look_and_plan(bench, previous)


def pending_change(settings: Settings, name: str, root: Path = FLINK_SQL_DIR) -> str:
    """The difference between what runs and the folder, for the operator; empty when there is none."""
    with workbench(settings, name, root) as bench:
        return pending(bench.store.last(name), bench.target.fingerprint)


def incidents(
    settings: Settings, name: str | None = None, limit: int = 20, root: Path = FLINK_SQL_DIR
) -> list[Incident]:
    """Incidents, newest first; of every job when none is named.

    Raises:
        UnknownJobError: there is no such job.
    """
    if name is not None:
        load_job(name, root)
    with open_engine(settings) as engine:
        return PostgresIncidents(engine).history(name, limit)


def history(settings: Settings, name: str, limit: int = 20, root: Path = FLINK_SQL_DIR) -> list[Deployment]:
    """The deployments of the job, newest first."""
    with workbench(settings, name, root) as bench:
        return bench.store.history(name, limit)


def without_plan(deployment: Deployment) -> Deployment:
    """The deployment without its compiled plan and SQL text, which are long."""
    files = [file["path"] for file in deployment.spec.get("files", [])]
    return replace(deployment, compiled_plan=None, spec={**deployment.spec, "files": files})
