"""A job that Flink restarts because its checkpoints fail: the restart must not begin the wait for one anew."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gamestream_dagster.clients.flink_types import CheckpointSummary, ExceptionEntry, JobDetail
from gamestream_dagster.flink_jobs.observe.observer import observe
from gamestream_dagster.flink_jobs.record.observed import Health
from tests.support.fakes.flink import NOW_MS, FakeFlink, FakeJob

# Flink 2.3's own words
NO_CHECKPOINTS = (
    "org.apache.flink.util.FlinkRuntimeException: Exceeded checkpoint tolerable failure threshold. The latest "
    "checkpoint failed due to An Exception occurred while triggering the checkpoint. IO-problem detected."
)
NOW = NOW_MS + 300_000
LAST_CHECKPOINT = NOW - 50_000


class Restarted(FakeFlink):
    """Its last checkpoint is 50 s old; it was restarted 5 s ago."""

    why = NO_CHECKPOINTS

    def job(self, job_id: str) -> JobDetail:
        return replace(super().job(job_id), now_ms=NOW)

    def checkpoints(self, job_id: str) -> CheckpointSummary:
        found = super().checkpoints(job_id)
        assert found.latest_completed
        return replace(found, latest_completed=replace(found.latest_completed, acknowledged_ms=LAST_CHECKPOINT))

    def exceptions(self, job_id: str, limit: int = 20) -> list[ExceptionEntry]:
        return [ExceptionEntry(NOW - 5_000, "FlinkRuntimeException", self.why)]


@pytest.mark.parametrize(
    ("why", "health"), [(NO_CHECKPOINTS, Health.NO_CHECKPOINT), ("java.io.IOException: broken pipe", Health.HEALTHY)]
)
def test_the_wait_for_a_checkpoint_goes_on_over_restarts_that_its_want_caused(why: str, health: Health) -> None:
    flink = Restarted()
    flink.why = why
    flink.all["a"] = FakeJob("a", "totals_v1@ffffffff-g1")
    observed = observe(flink, "totals_v1", None)
    assert observed.health is health, observed.health_reason
