"""The jobs go down and come up with the stack: stopped with a savepoint before, gone on from it afterwards."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from gamestream_dagster.catalogue.boards import FLINK_SQL_DIR
from gamestream_dagster.clients.errors import NotFoundError, ServiceError, TerminalServiceError
from gamestream_dagster.clients.flink_rest import FlinkRest
from gamestream_dagster.clients.postgres import open_engine
from gamestream_dagster.flink_jobs.control.manager import apply_job
from gamestream_dagster.flink_jobs.errors import ExecutorBusyError, FlinkJobError
from gamestream_dagster.flink_jobs.plan.model import Choice
from gamestream_dagster.flink_jobs.record.deployment import Deployment, DeploymentState
from gamestream_dagster.flink_jobs.record.deployment_store import PostgresDeploymentStore
from gamestream_dagster.flink_jobs.spec.catalogue import load_jobs
from gamestream_dagster.flink_jobs.spec.job_spec import parse_flink_job_name
from gamestream_dagster.settings import Settings

BUSY_SECONDS = 120.0
"""How long a step of another executor is waited for."""

# Of these it is known that the job should run, or that it was about to.
_RAN = (DeploymentState.RUNNING, DeploymentState.SUBMITTING, DeploymentState.STOPPING, DeploymentState.LOST)

Tell = Callable[[str, str], None]
"""Takes a job and a few words on how far it is; called from several threads."""


@dataclass(frozen=True)
class JobReport:
    """What became of one job; `sentence` says why where it is not `done`."""

    job: str
    done: bool
    sentence: str


def stop_jobs(settings: Settings, tell: Tell, root: Path = FLINK_SQL_DIR) -> list[JobReport]:
    """Stop every running job with a savepoint, all at once, each within its `limits.stop_seconds`.

    A job that cannot be stopped is reported and left to the end of its cluster: it then goes on from its newest
    checkpoint.

    Raises:
        TransientServiceError: Flink gives no answer.
    """
    known = load_jobs(root, season=settings.season, ranks=settings.ranks)
    with FlinkRest(settings.flink_rest) as flink:
        named = [parse_flink_job_name(job.name) for job in flink.jobs() if not job.state.ended]
    live = [name for name in known if any(one and one[0] == name for one in named)]
    return _all(live, lambda name: _carry_out(settings, name, Choice.STACK_DOWN, tell, root))


def jobs_to_resume(settings: Settings, *, lost: bool, root: Path = FLINK_SQL_DIR) -> list[str]:
    """Jobs that the stack or a killed proof stopped; with `lost` also those whose cluster ended under them.

    Raises:
        TransientServiceError: Postgres gives no answer.
    """
    found: list[str] = []
    with open_engine(settings) as engine:
        store = PostgresDeploymentStore(engine)
        for name in load_jobs(root, season=settings.season, ranks=settings.ranks):
            try:
                last = store.last(name)
            except NotFoundError:  # the tables are not made yet, so nothing was ever deployed
                return []
            except TerminalServiceError:  # its record cannot be read: bringing it back says why not
                found.append(name)
                continue
            if last and last.stands_still and store.standing():
                continue  # the proof is at work, and goes on with it
            if last and (last.paused or (lost and last.state in _RAN)):
                found.append(name)
    return found


def resume_jobs(settings: Settings, names: Sequence[str], tell: Tell, root: Path = FLINK_SQL_DIR) -> list[JobReport]:
    """Bring these jobs back from their newest states, all at once. What a person decided about a job stands."""
    return _all(names, lambda name: _carry_out(settings, name, Choice.HEAL, tell, root))


def _all(names: Sequence[str], act: Callable[[str], JobReport]) -> list[JobReport]:
    if not names:
        return []
    with ThreadPoolExecutor(len(names)) as pool:
        return list(pool.map(act, names))


def _carry_out(settings: Settings, name: str, choice: Choice, tell: Tell, root: Path) -> JobReport:
    tell(name, "")
    deadline = time.monotonic() + BUSY_SECONDS

    def say(sentence: str) -> None:
        tell(name, sentence.removeprefix(f"{name}: "))

    while True:
        try:
            report = _report(name, choice, apply_job(settings, name, choice, say, root))
        except ExecutorBusyError as error:
            if time.monotonic() < deadline:
                time.sleep(0.5)
                continue
            report = JobReport(name, False, str(error))
        except (FlinkJobError, ServiceError) as error:
            report = JobReport(name, False, str(error))
        return report


def _report(name: str, choice: Choice, record: Deployment) -> JobReport:
    if choice is Choice.STACK_DOWN:
        return JobReport(name, True, f"its state is in {record.savepoint_path or 'nothing'}")
    if record.state is DeploymentState.RUNNING:
        return JobReport(name, True, f"runs as generation {record.generation}")
    return JobReport(name, True, f"{record.state}: left so")
