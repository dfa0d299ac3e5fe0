"""A watermark that is ahead of the clock is an alarm of its own, and what it drops is no ordinary lateness."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gamestream_dagster.catalogue.boards import load_boards
from gamestream_dagster.flink_jobs.record.observed import CLOCK_AHEAD_MS
from gamestream_dagster.reconciliation.causes.job_side import MOVED_BY
from gamestream_dagster.reconciliation.causes.policy import load_policy
from gamestream_dagster.reconciliation.compare.clocks import time_passed
from gamestream_dagster.reconciliation.compare.examine import examine
from gamestream_dagster.reconciliation.model.proof import JobCut
from gamestream_dagster.reconciliation.model.values import Cause, Difference, DifferenceKind, Sink
from gamestream_dagster.reconciliation.observe.observation import Observation
from tests.support import reference_model as model
from tests.support.cause_worlds import BOTH, MINUTE, START, Sent, World, explained, opened

AS_OF = START + 60_000
BOARD = "hot_streaks"


def crowd() -> list[Sent]:
    return [Sent(f"p{n % 4}", 10 + n, at=1000 * n, event_id=f"e{n}") for n in range(58)]


def dropped(world: World, tmp_path: Path) -> list[Difference]:
    """What is said about a board that lacks the events marked `late`."""
    counted = world.events(lambda one: one.note != "late")
    found = explained(world, tmp_path, BOARD, model.hot_streaks(counted, AS_OF))
    assert found
    return found


@pytest.mark.parametrize(
    ("ahead", "behind", "cause"),
    [
        (50 * MINUTE, 0, Cause.CLOCK_AHEAD),
        (50 * MINUTE, 5_500, Cause.CLOCK_AHEAD),  # late by half a second, in a slice that was still open
        (50 * MINUTE, 30_000, Cause.LATE),  # its window had ended by its own Kafka time too
        (0, 30_000, Cause.LATE),
        (4_000, 8_000, Cause.LATE),  # as far apart as two machines' clocks may be
    ],
)
def test_lateness_is_accepted_only_by_the_events_own_kafka_time(tmp_path, ahead: int, behind: int, cause: Cause):
    sent = [*crowd(), Sent("fast", 5, at=58_000 + ahead, event_id="fast")]
    sent += [Sent("p1", 500, at=58_000, behind=behind, event_id="dropped", note="late")]
    sent += [Sent(f"p{n % 4}", 10, at=1000 * n, event_id=f"f{n}") for n in range(90, 99)]
    found = dropped(World({0: sent}), tmp_path)
    assert {one.cause for one in found} == {cause.value}
    assert {one.accepted for one in found} == {cause is Cause.LATE}
    if cause is Cause.CLOCK_AHEAD:
        own = [one for one in found if MOVED_BY not in one.evidence]
        assert own
        assert {one.evidence["clocks_apart_ms"] for one in found} == {ahead}
        assert all("LogAppendTime" in one.action for one in own)


@pytest.mark.parametrize(("ahead", "alarm"), [(50 * MINUTE, True), (CLOCK_AHEAD_MS + 5_001, True), (3_000, False)])
def test_a_board_whose_watermark_is_ahead_of_the_clock_is_different(tmp_path, ahead: int, alarm: bool):
    now = START + 58_000
    sent = [*crowd(), Sent("fast", 5, at=58_000 + ahead, event_id="fast")]
    world = World({0: sent})
    described = load_boards()[BOARD]
    rows = model.hot_streaks(world.truth(), AS_OF)
    seen = Observation(
        jobs={described.job: JobCut(described.job, "id", "print", 1, world.cut)},
        high=world.cut,
        boards={(BOARD, sink): rows for sink in BOTH},
        at_millis=now,
    )
    with opened(world, tmp_path) as archive:
        results = examine(archive, [described], BOTH, seen=seen, since={described.job: world.cut})
    for result in results:
        told = [one for one in result.differences if one.alternatives]
        assert [one.cause for one in told] == (["CLOCK_AHEAD"] if alarm else [])
        assert load_policy().judge(told) == told, "no policy accepts it"


def test_one_partition_ahead_does_not_move_the_watermark(tmp_path):
    world = World({0: [*crowd(), Sent("fast", 5, at=50 * MINUTE, event_id="fast")], 1: crowd()})
    described = load_boards()[BOARD]
    seen = Observation({described.job: JobCut(described.job, "id", "p", 1, world.cut)}, world.cut, {}, at_millis=START)
    seen = replace(seen, boards={(BOARD, Sink.POSTGRES): model.hot_streaks(world.truth(), AS_OF)})
    with opened(world, tmp_path) as archive:
        [result] = examine(archive, [described], [Sink.POSTGRES], seen=seen, since={described.job: world.cut})
    assert not [one for one in result.differences if one.alternatives]


def test_a_season_does_not_end_before_the_clock_says_so():
    assert time_passed({0: 900, 1: 700}, now_millis=800) == 700
    assert time_passed({0: 900, 1: 870}, now_millis=800) == 800
    assert time_passed({0: 2**62}) < 2**62


def test_no_policy_accepts_a_board_that_stands_still():
    stale = Difference(
        BOARD, Sink.POSTGRES, DifferenceKind.STALE, None, None, "as_of", 1, 2, "", alternatives=((Cause.LATE,),)
    )
    assert not load_policy().accepts(stale)
    assert load_policy().accepts(replace(stale, kind=DifferenceKind.VALUE))
