"""`gamestream plan` and `apply` leave a job on request alone until it was deployed."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import create_engine

from gamestream_dagster.flink_jobs.control import manager
from gamestream_dagster.flink_jobs.plan.planner import Decision, Plan
from gamestream_dagster.provisioning.jobs import JobProvider
from gamestream_dagster.provisioning.model import ResourceState, make_plan
from gamestream_dagster.settings import load_settings

NAMES = ("game_metrics_v1", "leaderboards_v1")


@pytest.mark.parametrize("recorded", [True, False])
@pytest.mark.parametrize(
    ("decision", "states"),
    [
        (Decision.DEPLOY, (ResourceState.PRESENT, ResourceState.MISSING)),
        (Decision.RESTORE, (ResourceState.MISSING, ResourceState.MISSING)),
    ],
)
def test_only_a_job_that_was_deployed_is_brought_back(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    recorded: bool,
    decision: Decision,
    states: tuple[ResourceState, ...],
) -> None:
    monkeypatch.setattr(
        manager, "plan_job", lambda _, name: Plan(job=name, decision=decision, reason="", fingerprint="f", steps=())
    )
    engine = create_engine("sqlite://")
    if recorded:
        with engine.begin() as link:
            link.exec_driver_sql("CREATE TABLE deployments (job TEXT)")
    found = JobProvider(load_settings(home=tmp_path), engine).observe(NAMES)
    if not recorded:  # nothing was ever deployed
        states = (ResourceState.PRESENT, ResourceState.MISSING)
    assert tuple(one.state for one in found) == states
    assert {step.name for step in make_plan(found).steps} == {
        name for name, state in zip(NAMES, states, strict=True) if state is ResourceState.MISSING
    }
    if states[0] is ResourceState.PRESENT:
        assert "gamestream jobs apply game_metrics_v1" in found[0].details[0]
