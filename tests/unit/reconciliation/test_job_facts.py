"""What deployments say about causes."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from gamestream_dagster.flink_jobs.record.deployment import Deployment, DeploymentState
from gamestream_dagster.reconciliation.causes.job_facts import expiries, old_restores

ONE = Deployment("d", "j_v1", 1, "print", "a" * 32, DeploymentState.RUNNING, "savepoint")
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def plan(*states: tuple[str, str]) -> str:
    return json.dumps(
        {"nodes": [{"id": 1}, {"state": [{"index": 0, "ttl": ttl, "name": name} for ttl, name in states]}]}
    )


@pytest.mark.parametrize(
    ("ttl", "millis"), [("6 s", 6_000), ("0 ms", None), ("90 min", 5_400_000), ("1 d", 86_400_000), ("7 ms", 7)]
)
def test_times_to_live_are_those_of_the_compiled_plan(ttl, millis):
    found = expiries(replace(ONE, compiled_plan=plan((ttl, "groupAggregateState"))))
    assert found == (() if millis is None else (millis,))


def test_state_that_keeps_ids_for_their_horizon_expires_on_purpose():
    compiled = plan(("12 min", "deduplicateState"), ("0 ms", "rankState"))
    assert expiries(replace(ONE, compiled_plan=compiled)) == ()


def test_the_option_of_the_job_counts_too():
    assert expiries(replace(ONE, spec={"options": {"table.exec.state.ttl": "1 h"}})) == (3_600_000,)


def chain(*restored: str | None, saved: tuple[str | None, ...]) -> list[Deployment]:
    return [
        replace(
            ONE,
            generation=number,
            flink_job_id=f"{number:032}",
            restore_path=path,
            savepoint_path=kept,
            submitted_at=NOON,
            running_at=NOON,
        )
        for number, (path, kept) in enumerate(zip(restored, saved, strict=True), 1)
    ]


def test_each_going_on_from_the_last_is_no_old_restore():
    assert old_restores(chain(None, "s1", "s2", saved=("s1", "s2", None))) == ()


def test_a_savepoint_from_before_the_last_run_is_an_old_restore():
    [found] = old_restores(chain(None, "s1", "s1", saved=("s1", "s2", None)))
    assert (found.generation, found.restored, found.newer) == (3, "s1", "s2")


def test_a_checkpoint_of_a_job_that_left_a_savepoint_is_an_old_restore():
    path = f"file:///checkpoints/{2:032}/chk-7"
    [found] = old_restores(chain(None, "s1", path, saved=("s1", "s2", None)))
    assert (found.generation, found.newer) == (3, "s2")


def test_a_checkpoint_of_a_job_that_left_nothing_newer_is_none():
    path = f"file:///checkpoints/{2:032}/chk-7"
    assert old_restores(chain(None, "s1", path, saved=("s1", None, None))) == ()
