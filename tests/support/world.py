"""What the session's servers hold: nothing, or what a file of tests needs, made anew where other tests spoilt it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from confluent_kafka import KafkaException

from gamestream_dagster.catalogue.boards import FLINK_SQL_DIR
from gamestream_dagster.clients.errors import ServiceError
from gamestream_dagster.clients.flink_rest import FlinkRest
from gamestream_dagster.clients.kafka_admin import KafkaAdmin
from gamestream_dagster.clients.postgres import open_engine
from gamestream_dagster.clients.registry import Registry
from gamestream_dagster.flink_jobs.control.manager import apply_job
from gamestream_dagster.flink_jobs.observe.caught_up import CatchingUp, records_of
from gamestream_dagster.flink_jobs.spec.catalogue import load_job, load_jobs
from gamestream_dagster.flink_jobs.spec.job_spec import JobSpec, parse_flink_job_name
from gamestream_dagster.provisioning import manager
from gamestream_dagster.provisioning.model import ResourceKind
from gamestream_dagster.settings import Settings

CANCEL_SECONDS = 60
CHECKPOINT_SECONDS = 30
EMPTY = "nothing"
T = TypeVar("T")


class World:
    """The servers, and the name of what they hold.

    Args:
        settings: the running stack.
        empty: nothing was ever done to it.
    """

    def __init__(self, settings: Settings, *, empty: bool = False) -> None:
        self.settings = settings
        self._holds = EMPTY if empty else ""
        self._spoilt = not empty
        self._made: Any = None

    def hold(self, name: str, make: Callable[[Settings], T], *, in_any_state: bool = False) -> T:
        """What `make` gives on empty servers; made once, as long as nobody spoils it or holds another world.

        Args:
            name: of this world.
            make: fills the empty servers.
            in_any_state: take it spoilt, too.
        """
        if self._holds != name or (self._spoilt and not in_any_state):
            self.empty()
            self._holds = ""  # until it is done
            self._made = make(self.settings)
            self._holds = name
        return self._made

    def empty(self) -> None:
        """See that the servers hold nothing."""
        if self._holds != EMPTY or self._spoilt:
            reset(self.settings)
            self._holds, self._spoilt = EMPTY, False

    def spoil(self) -> None:
        """What is held is not as it was made: it is made anew for whoever wants it next."""
        self._spoilt = True


def reset(settings: Settings) -> None:
    """Cancel all jobs and delete topics, groups, subjects, tables, state and archive."""
    cancel_jobs(settings)
    admin = KafkaAdmin(settings.kafka)
    for topic in sorted(admin.topics()):
        if not topic.startswith("__"):
            admin.delete(topic)
    groups = [group.group_id for group in admin.native.list_consumer_groups().result(20).valid]
    for future in (admin.native.delete_consumer_groups(groups) if groups else {}).values():
        with suppress(KafkaException):  # gone with its last member, or a member that is leaving
            future.result(20)
    with Registry(settings.registry) as registry:
        for subject in registry.subjects():
            registry.delete(subject)
    with open_engine(settings) as engine, engine.begin() as database:
        database.exec_driver_sql("DROP SCHEMA public CASCADE")
        database.exec_driver_sql("CREATE SCHEMA public")
    for folder in (settings.archive_dir, settings.reports_dir, settings.home / "privacy"):
        shutil.rmtree(folder, ignore_errors=True)
    for folder in (settings.checkpoints_dir, settings.savepoints_dir):
        for path in folder.iterdir() if folder.exists() else ():
            _delete(path)


def cancel_jobs(settings: Settings) -> None:
    """Cancel every job of the cluster, and wait until all have ended."""
    with FlinkRest(settings.flink_rest) as flink:
        live = [job.job_id for job in flink.jobs() if not job.state.ended]
        for job_id in live:
            flink.cancel(job_id)
        for job_id in live:
            flink.wait_for_job(job_id, lambda job: job.state.ended, CANCEL_SECONDS, "end")


def provision(settings: Settings) -> None:
    """Topics, subjects and tables of the catalogue; no job."""
    manager.apply(
        settings, manager.plan(settings, tuple(kind for kind in ResourceKind if kind is not ResourceKind.JOB))
    )


def board_jobs(root: Path = FLINK_SQL_DIR) -> dict[str, JobSpec]:
    """The jobs that write boards, by name; under another root also those that write outputs without ranks."""
    wanted = (lambda output: output.ranked) if root == FLINK_SQL_DIR else (lambda output: True)
    return {name: spec for name, spec in load_jobs(root).items() if any(map(wanted, spec.outputs))}


def deploy(settings: Settings) -> None:
    """Every job with boards, side by side, until it has read everything that was sent."""
    jobs = list(board_jobs())
    with ThreadPoolExecutor(len(jobs)) as pool:
        list(pool.map(lambda job: apply_job(settings, job), jobs))
    drain(settings)


def drain(settings: Settings, limit_seconds: float = 90, *, root: Path = FLINK_SQL_DIR, job: str | None = None) -> None:
    """Have jobs make checkpoints until they have read, flushed and committed what their topics hold.

    Args:
        settings: the running stack.
        limit_seconds: for all of them.
        root: where their folders are.
        job: this one; None: every job with boards.
    """
    specs = board_jobs(root) if job is None else {job: load_job(job, root)}
    jobs = CatchingUp(KafkaAdmin(settings.kafka), records_of(settings.kafka), specs)
    deadline = time.monotonic() + limit_seconds
    with FlinkRest(settings.flink_rest) as flink:
        while left := jobs.left():
            assert time.monotonic() < deadline, f"{left} not read within {limit_seconds:.0f} s"
            for live in flink.jobs():
                if parse_flink_job_name(live.name) and not live.state.ended:
                    with suppress(ServiceError):  # it is coming back from a failure
                        flink.checkpoint_now(live.job_id, CHECKPOINT_SECONDS)
            time.sleep(0.1)


@contextmanager
def stamped_by_producers(settings: Settings, topic: str) -> Iterator[None]:
    """As on a topic that is not ours: cases whose time is judged against the record's need its timestamp as given."""
    stamp_by(settings, topic, "CreateTime")
    try:
        yield
    finally:
        stamp_by(settings, topic, "LogAppendTime")


def stamp_by(settings: Settings, topic: str, kind: str) -> None:
    """Have records of a topic stamped by their producers (`CreateTime`) or by the broker (`LogAppendTime`)."""
    setting, admin = "message.timestamp.type", KafkaAdmin(settings.kafka)
    admin.configure(topic, {setting: kind})
    deadline = time.monotonic() + 20
    while (found := admin.describe(topic)) is None or found.config[setting] != kind:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _delete(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
