"""Waiting until jobs have read what is there: markers are no records, and an input ends when its writers are done."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from gamestream_dagster.flink_jobs.observe.caught_up import MOST_MARKERS, CatchingUp
from gamestream_dagster.flink_jobs.spec.catalogue import default_jobs, load_jobs

RAW, SCORES = "game-events-raw", "user-score"
INTAKE = (("event_intake_v1", RAW),)
BOARDS = (("hot_streaks_v1", SCORES), ("leaderboards_v1", SCORES))


@dataclass
class Broker:
    """Two topics of one partition: records are at the offsets named, other offsets are markers."""

    ends: dict[str, int] = field(default_factory=dict)
    committed_ends: dict[str, int] = field(default_factory=dict)  # where a transaction is open
    records: dict[str, set[int]] = field(default_factory=dict)
    read: dict[str, int] = field(default_factory=dict)
    looked: list[tuple[int, int]] = field(default_factory=list)

    def end_offsets(self, topic: str, read_committed: bool = False) -> dict[int, int]:
        end = self.ends.get(topic, 0)
        return {0: self.committed_ends.get(topic, end) if read_committed else end}

    def committed(self, group: str, topic: str) -> dict[int, int]:
        at = self.read.get(group.removeprefix("gamestream-"))
        return {} if at is None else {0: at}

    def holds(self, topic: str, start, upto) -> bool:
        span = range(start.get(0, 0), upto[0])
        self.looked.append((span.start, span.stop))
        return any(offset in span for offset in self.records.get(topic, ()))


@pytest.fixture
def broker() -> Broker:
    return Broker()


def jobs(broker: Broker) -> CatchingUp:
    return CatchingUp(broker, broker.holds, default_jobs(load_jobs()))


def everything_read(broker: Broker, at: dict[str, int]) -> None:
    broker.read = {"event_intake_v1": at[RAW], "hot_streaks_v1": at[SCORES], "leaderboards_v1": at[SCORES]}


def test_empty_topics_are_read(broker: Broker):
    assert jobs(broker).left() == []


def test_boards_wait_for_the_intake_although_they_have_read_their_topic(broker: Broker):
    broker.ends, broker.records = {RAW: 10, SCORES: 5}, {RAW: set(range(10)), SCORES: set(range(5))}
    everything_read(broker, {RAW: 9, SCORES: 5})
    waiting = jobs(broker)
    assert set(waiting.left()) == {*INTAKE, *BOARDS}
    broker.read["event_intake_v1"] = 10
    broker.ends[SCORES] = 6  # what the intake made of the last record
    broker.records[SCORES] = set(range(6))
    assert set(waiting.left()) == set(BOARDS)
    broker.read |= {"hot_streaks_v1": 6, "leaderboards_v1": 6}
    assert waiting.left() == []


def test_an_open_transaction_is_waited_for(broker: Broker):
    broker.ends, broker.committed_ends = {SCORES: 7}, {SCORES: 5}
    everything_read(broker, {RAW: 0, SCORES: 5})
    waiting = jobs(broker)
    assert set(waiting.left()) == set(BOARDS)
    broker.committed_ends = {}
    assert waiting.left() == []  # what it wrote was markers alone


def test_markers_at_the_end_hold_no_record(broker: Broker):
    broker.ends, broker.records = {SCORES: 9}, {SCORES: set(range(7))}
    everything_read(broker, {RAW: 0, SCORES: 7})
    assert jobs(broker).left() == []
    broker.records[SCORES].add(8)
    assert set(jobs(broker).left()) == set(BOARDS)


def test_a_job_far_behind_is_not_looked_after_in_kafka(broker: Broker):
    broker.ends = {SCORES: MOST_MARKERS + 1}
    assert set(jobs(broker).left()) == set(BOARDS)
    assert broker.looked == []


def test_events_that_come_meanwhile_are_not_waited_for(broker: Broker):
    broker.ends, broker.records = {SCORES: 5}, {SCORES: set(range(100))}
    everything_read(broker, {RAW: 0, SCORES: 4})
    waiting = jobs(broker)
    assert waiting.left()
    broker.ends[SCORES] = 20
    everything_read(broker, {RAW: 0, SCORES: 5})
    assert waiting.left() == []


def test_a_topic_that_a_job_writes_for_itself_ends_when_it_has_read_the_other_one(broker: Broker):
    job, raw, keyed = "transactions_v1", "transactions-raw", "transactions-keyed"
    broker.ends, broker.records = {raw: 3, keyed: 2}, {raw: set(range(3)), keyed: set(range(2))}
    broker.read[job] = 2
    waiting = jobs(broker)
    assert set(waiting.left()) == {(job, raw), (job, keyed)}
    broker.ends[keyed], broker.records[keyed], broker.read[job] = 4, set(range(4)), 3
    assert waiting.left() == [(job, keyed)]
    broker.read[job] = 4
    assert waiting.left() == []
