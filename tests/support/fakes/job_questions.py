"""Questions for the planner: one by hand, and strategies for any."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

from gamestream_dagster.flink_jobs.plan.model import (
    Choice,
    Compatibility,
    Plan,
    PlanInput,
    RollbackPoint,
)
from gamestream_dagster.flink_jobs.plan.planner import plan
from gamestream_dagster.flink_jobs.record.deployment import Deployment, DeploymentState, HoldKind, Outcome, Trigger
from gamestream_dagster.flink_jobs.record.observed import (
    Figures,
    Health,
    JobState,
    LiveJob,
    ObservedJob,
    RestoreFacts,
    RestoreKind,
    RestorePoint,
)
from gamestream_dagster.flink_jobs.spec.job_spec import DesiredState, UpgradeMode
from tests.support.fakes.job_specs import job_spec

NEW, OLD = "a" * 64, "b" * 64
CHECKPOINT = RestorePoint("file:/ck/1/chk-7", RestoreKind.CHECKPOINT)
SAVEPOINT = RestorePoint("file:/sp/1", RestoreKind.SAVEPOINT)
INHERITED = RestorePoint("file:/sp/0", RestoreKind.INHERITED)
EMPTY = Figures(now_ms=1_000_000, recent_failures=6, last_failure="boom")
OLDER = "c" * 64
STORED: dict[str, Any] = {"files": [{"path": "totals_v1/sinks.sql (rendered)", "text": "..."}]}
HOLDS: list[dict[str, Any]] = [
    {"hold": {"kind": kind.value, "against": against}} for kind in HoldKind for against in (NEW, OLDER)
]
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def record(state: DeploymentState = DeploymentState.RUNNING, **changes: Any) -> Deployment:
    made = Deployment("totals_v1-g1", "totals_v1", 1, NEW, "id1", state, "savepoint", submitted_at=NOW, running_at=NOW)
    return replace(made, **changes)


def seen(state: JobState = JobState.RUNNING, health: Health = Health.HEALTHY, **changes: Any) -> ObservedJob:
    if state is JobState.ABSENT:
        made = ObservedJob("totals_v1", state, restore=CHECKPOINT)
    else:
        made = ObservedJob(
            "totals_v1", state, "id1", "totals_v1@aaaaaaaa-g1", "aaaaaaaa", 1, health, "why", restore=CHECKPOINT
        )
    return replace(made, **changes)


def decide(observed: ObservedJob, last: Deployment | None = None, **changes: Any) -> Plan:
    spec = job_spec(**changes.pop("spec", {}))
    return plan(PlanInput(spec, NEW, observed, last, **changes))


def kinds(made: Plan) -> list[str]:
    return [type(step).__name__ for step in made.steps]


facts = st.builds(
    RestoreFacts,
    exists=st.sampled_from([None, True, False]),
    age_hours=st.sampled_from([None, 1.0, 500.0]),
    events_lost=st.sampled_from([None, 0, 3]),
)

observations = st.builds(
    ObservedJob,
    job=st.just("totals_v1"),
    state=st.sampled_from(JobState),
    flink_job_id=st.sampled_from(["id1", "id2"]),
    fingerprint=st.sampled_from(["aaaaaaaa", "bbbbbbbb"]),
    health=st.sampled_from(Health),
    figures=st.sampled_from([None, EMPTY, replace(EMPTY, checkpoint_id=3), replace(EMPTY, restored_path="file:/sp/0")]),
    duplicates=st.sampled_from([(), (LiveJob("id3", 1),)]),
    restore=st.sampled_from([None, CHECKPOINT, SAVEPOINT, RestorePoint("file:/sp/0", RestoreKind.INHERITED)]),
    savepoint_path=st.sampled_from([None, "file:/sp/1"]),
    restore_facts=st.none() | facts,
    cluster_lost=st.booleans(),
).map(lambda one: replace(one, flink_job_id=None) if one.state in (JobState.ABSENT, JobState.UNKNOWN) else one)

records = st.none() | st.builds(
    record,
    state=st.sampled_from(DeploymentState),
    fingerprint=st.sampled_from([NEW, OLD]),
    restore_path=st.sampled_from([None, "file:/sp/0"]),
    running_at=st.sampled_from([None, NOW]),
    outcome=st.none() | st.sampled_from(Outcome).map(str),
    generation=st.just(3),
    spec=st.builds(
        lambda stored, hold, trigger: {**stored, **hold, "trigger": trigger.value},
        stored=st.sampled_from([{}, STORED]),
        hold=st.sampled_from([{}, *HOLDS]),
        trigger=st.sampled_from(Trigger),
    ),
)

rollback_points = st.none() | st.builds(
    RollbackPoint,
    generation=st.just(1),
    fingerprint=st.sampled_from([NEW, OLDER]),
    restore=st.sampled_from([None, CHECKPOINT, SAVEPOINT]),
    facts=st.none() | facts,
)

questions = st.builds(
    PlanInput,
    spec=st.builds(job_spec, desired_state=st.sampled_from(DesiredState), upgrade_mode=st.sampled_from(UpgradeMode)),
    fingerprint=st.just(NEW),
    observed=observations,
    record=records,
    choice=st.sampled_from(Choice),
    compatibility=st.sampled_from(Compatibility),
    recent_heals=st.integers(0, 5),
    refusal=st.sampled_from(["", "Table 'x' not found"]),
    findings=st.sampled_from([(), ("GS01 totals_v1/query.sql:1: starts late",)]),
    rollback=rollback_points,
    unsteady=st.booleans(),
    seasonal=st.booleans(),
    transaction_timeout=st.sampled_from([None, 900.0]),
)
