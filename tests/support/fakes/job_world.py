"""A cluster, a gateway and the tables in memory, with one job to manage."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from gamestream_dagster.clients.topic_identity import TopicId, TopicState
from gamestream_dagster.flink_jobs.control.applying import apply
from gamestream_dagster.flink_jobs.control.incident_recording import note_look
from gamestream_dagster.flink_jobs.control.workbench import Workbench
from gamestream_dagster.flink_jobs.plan.model import Choice, Plan
from gamestream_dagster.flink_jobs.record.deployment import Deployment
from gamestream_dagster.flink_jobs.record.incidents import Noted
from gamestream_dagster.flink_jobs.record.inputs import Inputs
from gamestream_dagster.flink_jobs.spec.job_spec import JobSpec, SqlFile
from gamestream_dagster.flink_jobs.target.targets import Target
from tests.support.fakes.flink import FakeAlerts, FakeFlink, FakeIncidents, FakeJob, FakeStore, FakeSubmitter
from tests.support.fakes.job_specs import target, target_as_recorded

NEW_PLAN = '{"nodes": [{"id": 1, "type": "other"}], "edges": []}'


class World:
    """A cluster, a gateway and a table that outlive the executors."""

    def __init__(self, **flink: Any) -> None:
        self.flink = FakeFlink(**flink)
        self.submitter = FakeSubmitter(self.flink)
        self.store = FakeStore()
        self.alerts = FakeAlerts()
        self.incidents = FakeIncidents(self.store)
        self.said: list[str] = []
        self.findings: tuple[str, ...] = ()  # the linter's errors in the folder
        self.linted = 0
        self.ids: dict[str, TopicId | None] | None = {"user-score": TopicId("first")}  # None: Kafka gives no answer
        self.beginnings: dict[int, int] = {0: 0, 1: 0}
        self.begun: list[Inputs] = []  # what the boards were emptied for

    def bench(self, fingerprint: str = "f" * 64, **spec: Any) -> Workbench:
        return self.bench_of(target(fingerprint, **spec))

    def bench_of(self, wanted: Target, checkpoints_dir: Path | None = None) -> Workbench:
        return Workbench(
            target=wanted,
            flink=self.flink,
            submitter=self.submitter,
            store=self.store,
            checkpoints_dir=checkpoints_dir,
            alerts=self.alerts,
            incidents=self.incidents,
            rebuild=target_as_recorded,
            lint=self._lint,
            topic_ids=lambda topics: None if self.ids is None else {t: self.ids[t] for t in topics if t in self.ids},
            inputs=self._inputs,
            begin_anew=self._begin_anew,
        )

    def recreate(self, name: str = "second") -> None:
        """The topic is deleted and created again."""
        self.ids = {"user-score": TopicId(name)}

    def _inputs(self, topics: Iterable[str]) -> Inputs:
        known = self.ids or {}
        return {topic: TopicState(known[topic], self.beginnings) for topic in topics if topic in known}

    def _begin_anew(self, spec: JobSpec, inputs: Inputs) -> int:
        self.begun.append(inputs)
        return 3

    def _lint(self) -> tuple[str, ...]:
        self.linted += 1
        return self.findings

    def apply(self, choice: Choice = Choice.NONE, fingerprint: str = "f" * 64, **spec: Any) -> Deployment:
        deployment = apply(self.bench(fingerprint, **spec), choice, self.said.append)
        assert deployment is not None
        return deployment

    @property
    def only(self) -> FakeJob:
        (job,) = self.flink.live
        return job

    def plan(self, choice: Choice = Choice.NONE, fingerprint: str = "f" * 64, **spec: Any) -> Plan:
        return self.bench(fingerprint, **spec).plan(choice)

    def look(self, fingerprint: str = "f" * 64, **spec: Any) -> Noted:
        """A look as the health sensor takes it."""
        bench = self.bench(fingerprint, **spec)
        return note_look(bench, bench.look()[0])


def sinks(text: str) -> SqlFile:
    """The sinks of a version, told apart by their text."""
    return SqlFile(path="totals_v1/sinks.sql (rendered)", text=text)
