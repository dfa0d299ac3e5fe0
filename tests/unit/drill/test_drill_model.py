"""When a scenario has held, and when a whole drill has."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from gamestream_dagster.drill.model import (
    BackBy,
    Boards,
    DrillRun,
    DrillVerdict,
    JobOutcome,
    ScenarioResult,
    percentile,
    times,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
RIGHT = Boards("MATCH", "", 80, 0, 1000, 1000, 0, 0, True)
JOB = JobOutcome("totals_v1", BackBy.MANAGER, 12.0, 30.0, "chk-7", "chk-7", True)
HELD = ScenarioResult("jobmanager", "JobManager killed", "It comes back.", 1, NOW, 40.0, (JOB,), RIGHT)
RUN = DrillRun("r1", NOW, 60.0, 5, 100.0, 30.0, 5, RIGHT, (HELD,))


def test_a_scenario_in_which_everything_held() -> None:
    assert (HELD.verdict, HELD.reasons) == (DrillVerdict.HELD, ())
    assert (RUN.verdict, RUN.exit_code) == (DrillVerdict.HELD, 0)


@pytest.mark.parametrize(
    ("job", "told"),
    [
        (replace(JOB, twice="a and b were live"), "submitted twice: a and b"),
        (replace(JOB, back_seconds=None), "did not come back"),
        (replace(JOB, back_seconds=121.0), "was back after 121 s"),
        (replace(JOB, seen_seconds=None), "no observation found"),
        (replace(JOB, seen_seconds=61.0), "was seen after 61 s"),
        (replace(JOB, restored_from="chk-6", restored_right=False), "from chk-6, it should be chk-7"),
    ],
)
def test_what_does_not_hold_about_a_job_is_told(job: JobOutcome, told: str) -> None:
    broken = replace(HELD, jobs=(job,))
    assert broken.verdict is DrillVerdict.NOT_HELD
    assert told in broken.reasons[0]
    assert replace(RUN, results=(HELD, broken)).exit_code == 1


@pytest.mark.parametrize(
    "boards",
    [
        None,
        replace(RIGHT, rows_different=1),
        replace(RIGHT, lost=1),
        replace(RIGHT, doubled=1),
        replace(RIGHT, balanced=False),
        replace(RIGHT, rows_compared=0),
    ],
)
def test_boards_that_are_not_proven_are_not_equal(boards: Boards | None) -> None:
    assert replace(HELD, boards=boards).verdict is DrillVerdict.NOT_HELD


@pytest.mark.parametrize("by", [BackBy.NOBODY, BackBy.PERSON])
def test_a_job_that_rode_the_fault_out_or_was_redeployed_by_hand_need_not_be_seen(by: BackBy) -> None:
    rode = JobOutcome("totals_v1", by, None, 9.0)
    assert replace(HELD, jobs=(rode,)).verdict is DrillVerdict.HELD


def test_what_could_not_be_tried_is_never_held() -> None:
    not_tried = replace(HELD, could_not="no server")
    assert not_tried.verdict is DrillVerdict.COULD_NOT_RUN
    for run in [
        replace(RUN, results=(HELD, not_tried)),
        replace(RUN, results=()),
        replace(RUN, could_not="the broker is gone"),
        replace(RUN, fault_free=None),
        replace(RUN, fault_free=replace(RIGHT, lost=1)),
    ]:
        assert run.exit_code == 2


def test_percentiles_are_values_that_were_measured() -> None:
    values = [float(number) for number in range(1, 21)]
    assert (percentile(values, 50), percentile(values, 95)) == (10.0, 19.0)
    assert percentile([3.0], 95) == 3.0
    quick = replace(HELD, jobs=(replace(JOB, back_seconds=10.0),), number=2)
    found = times("jobmanager", [HELD, quick])
    assert (found.count, found.back, found.seen) == (2, (10.0, 30.0), (12.0, 12.0))
