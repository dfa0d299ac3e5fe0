"""The verdict on a live job."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gamestream_dagster.flink_jobs.record.observed import (
    CLOCK_AHEAD_MS,
    STALL_MS,
    STANDING_MS,
    STANDING_RECORDS,
    Figures,
    Health,
    JobState,
    assess,
    carried,
)

WELL = Figures(
    now_ms=1_000_000, running_since_ms=0, checkpoint_interval_ms=10_000, checkpoint_at_ms=990_000, recent_failures=0
)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, Health.HEALTHY),
        ({"recent_failures": 5}, Health.LOOPING),
        ({"recent_failures": 4}, Health.HEALTHY),
        ({"checkpoint_at_ms": 960_000}, Health.NO_CHECKPOINT),
        ({"checkpoint_at_ms": None}, Health.NO_CHECKPOINT),
        ({"checkpoint_at_ms": None, "running_since_ms": 990_000}, Health.HEALTHY),
        ({"checkpoint_interval_ms": 60_000, "checkpoint_at_ms": 900_000}, Health.HEALTHY),
    ],
)
def test_the_verdict_rests_on_figures(changes: dict[str, Any], expected: Health) -> None:
    verdict, reason = assess(JobState.RUNNING, replace(WELL, **changes))
    assert verdict is expected
    assert bool(reason) == (expected is not Health.HEALTHY)


def test_standing_still_takes_two_looks() -> None:
    before = replace(WELL, now_ms=WELL.now_ms - STALL_MS, records_read=100, lag_records=10)
    for now, expected in [
        (replace(before, lag_records=20), Health.STALLED),
        (replace(before, lag_records=10), Health.HEALTHY),
        (replace(before, lag_records=20, records_read=101), Health.HEALTHY),
        (replace(before, lag_records=None), Health.HEALTHY),
    ]:
        assert assess(JobState.RUNNING, replace(now, now_ms=WELL.now_ms), before)[0] is expected
    later = replace(before, now_ms=WELL.now_ms, lag_records=20)
    assert assess(JobState.RUNNING, later)[0] is Health.HEALTHY
    assert assess(JobState.RUNNING, replace(later, now_ms=later.now_ms - 1), before)[0] is Health.HEALTHY
    assert assess(JobState.RUNNING, replace(later, flink_job_id="other"), before)[0] is Health.HEALTHY


def test_a_watermark_ahead_of_the_clock_is_not_well_and_no_redeploy_mends_it() -> None:
    for ahead, expected in [(CLOCK_AHEAD_MS, Health.HEALTHY), (CLOCK_AHEAD_MS + 1, Health.CLOCK_AHEAD)]:
        health, reason = assess(JobState.RUNNING, replace(WELL, watermark_ms=WELL.now_ms + ahead))
        assert health is expected
        assert not health.sick
        assert ("60 s ahead of the clock" in reason) is (expected is Health.CLOCK_AHEAD)


def test_a_watermark_that_stands_while_records_are_read_is_told_of_jobs_with_windows() -> None:
    first = carried(replace(WELL, watermark_ms=5, records_read=100), None)
    flowing = replace(WELL, now_ms=WELL.now_ms + STANDING_MS, checkpoint_at_ms=WELL.now_ms + STANDING_MS)
    for change, expected in [
        ({"watermark_ms": 5, "records_read": 100 + STANDING_RECORDS}, Health.STANDS_STILL),
        ({"watermark_ms": 5, "records_read": 99 + STANDING_RECORDS}, Health.HEALTHY),
        ({"watermark_ms": 6, "records_read": 100 + STANDING_RECORDS}, Health.HEALTHY),
        ({"watermark_ms": 5, "records_read": 900, "flink_job_id": "another"}, Health.HEALTHY),
        ({"watermark_ms": 5, "records_read": 900, "now_ms": flowing.now_ms - 1}, Health.HEALTHY),
        ({"watermark_ms": None, "records_read": 900}, Health.HEALTHY),
    ]:
        later = carried(carried(replace(flowing, **change), first), first)
        assert assess(JobState.RUNNING, later, first, windowed=True)[0] is expected, change
        assert assess(JobState.RUNNING, later, first)[0] is Health.HEALTHY
