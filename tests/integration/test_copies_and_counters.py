"""On real servers: records of one id with other content; the job's own counter and consumer group changed by hand."""

from __future__ import annotations

import time

import orjson
import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, Producer, TopicPartition

from gamestream_dagster.clients.kafka_admin import KafkaAdmin
from gamestream_dagster.clients.postgres import open_engine
from gamestream_dagster.reconciliation.ledger.edited_counter import repair_counters, repairable
from gamestream_dagster.reconciliation.model.proof import FaultKind, ReconciliationRun
from gamestream_dagster.reconciliation.model.values import Verdict
from gamestream_dagster.reconciliation.observe.job_ledger import read_job_ledger
from gamestream_dagster.reconciliation.observe.progress import read_progress
from gamestream_dagster.reconciliation.run import reconcile
from gamestream_dagster.settings import Settings
from tests.support.planting import TOPIC, edit, parts_of

JOB = "leaderboards_v1"
BOARDS = ["top_players", "top_teams", "team_mvps"]


def send(settings: Settings, *events: tuple[str, int, str, int], partition: int = 1) -> None:
    """(player, score, event id, event time)."""
    producer = Producer(settings.kafka.options({"enable.idempotence": True}))
    for player, score, event_id, at in events:
        value = {
            "user_id": player,
            "team_id": "conflicts",
            "team_name": "Conflicts",
            "score": score,
            "event_time_millis": at,
            "event_id": event_id,
        }
        producer.produce(TOPIC, orjson.dumps(value), key=player, partition=partition)
    assert producer.flush(20) == 0


def about(run: ReconciliationRun, player: str) -> list[str]:
    return [one.cause for one in run.differences if one.entity == (player,)]


@pytest.fixture(scope="module")
def great(boards) -> int:
    """Three players with more than anybody else, this many points, each of whom sent one id twice."""
    settings = boards.settings
    now = int(time.time() * 1000)
    great = boards.rows("top_players")[0]["total_score"] + 1
    for player in ("conflict-less", "conflict-more", "conflict-times"):
        send(settings, *((player, part, f"lift-{place}", now) for place, part in enumerate(parts_of(great))))
    send(
        settings,
        ("conflict-less", 900, "c1", now),
        ("conflict-less", 400, "c1", now),
        ("conflict-more", 40, "c1", now),
        ("conflict-more", 90, "c1", now),
        ("conflict-times", 7, "c1", now),
        ("conflict-times", 7, "c1", now - 4_000),  # in another slice of the hot streaks
    )
    boards.drain()
    return great


def test_the_first_record_of_an_id_counts_on_every_board(boards, great):
    settings = boards.settings
    run = reconcile(settings, "drained")
    assert run.only.ledger is not None, run.reason
    assert run.only.ledger.remarks["DUP_CONFLICT"] >= 3
    for player in ("conflict-less", "conflict-more", "conflict-times"):
        assert about(run, player) == []
    shown = {row["user_id"]: row["total_score"] for row in boards.rows("top_players")}
    assert shown["conflict-less"] == great + 900
    assert shown["conflict-more"] == great + 40
    assert shown["conflict-times"] == great + 7


@pytest.mark.usefixtures("great")
def test_an_edit_by_the_score_of_a_dropped_copy_is_no_duplicate(boards):
    """Kafka cannot be edited so easily; in Postgres alone it is a hand, and never a copy."""
    settings = boards.settings
    edit(settings, "UPDATE top_players SET total_score = total_score + 90 WHERE user_id = 'conflict-more'")
    run = reconcile(settings, "drained", boards=["top_players"])
    edit(settings, "UPDATE top_players SET total_score = total_score - 90 WHERE user_id = 'conflict-more'")
    assert set(about(run, "conflict-more")) == {"EDITED_BY_HAND"}


def test_a_changed_row_of_the_counter_is_told_as_such_and_repaired(boards):
    settings = boards.settings
    assert reconcile(settings, "drained", boards=BOARDS).balanced
    where = f"job = '{JOB}' AND partition_id = 1 AND minute_millis = (SELECT min(minute_millis) FROM job_ledger "
    where += f"WHERE job = '{JOB}' AND partition_id = 1 AND minute_millis > 0)"
    with open_engine(settings) as engine:
        before = read_job_ledger(engine, [JOB], TOPIC).columns
    for change in ("UPDATE job_ledger SET records = 0, accepted = 0", "DELETE FROM job_ledger"):
        edit(settings, f"{change} WHERE {where}")
        run = reconcile(settings, "drained", boards=BOARDS)
        assert run.verdict is Verdict.DIFFERENT
        assert run.differences == ()
        [fault] = run.only.ledger.faults
        assert fault.kind is FaultKind.EDITED
        assert "never counted" not in run.reason
        assert repair_counters(settings, repairable([fault])) == [True]
        assert repair_counters(settings, repairable([fault])) == [False]  # the row is no longer the one that was found
        assert reconcile(settings, "drained", boards=BOARDS).balanced
    with open_engine(settings) as engine:
        after = read_job_ledger(engine, [JOB], TOPIC).columns
    assert sorted(zip(*before.values(), strict=True)) == sorted(zip(*after.values(), strict=True))


def test_a_row_of_the_whole_partition_changed_by_hand_moves_no_cut(boards):
    settings = boards.settings
    for offset in (3, 10**12):
        with open_engine(settings) as engine:
            right = read_progress(engine, JOB, TOPIC)[1].last_offset
        where = f"job = '{JOB}' AND partition_id = 1 AND minute_millis = -1"
        edit(settings, f"UPDATE job_ledger SET last_offset = {offset} WHERE {where}")
        try:
            run = reconcile(settings, "drained", boards=BOARDS)
            assert run.verdict is not Verdict.COULD_NOT_RUN, run.reason
            assert run.differences == ()
        finally:
            edit(settings, f"UPDATE job_ledger SET last_offset = {right} WHERE {where}")


@pytest.mark.parametrize("offset", [10**9, 0])
def test_a_consumer_group_set_by_another_hand_moves_no_cut(boards, offset):
    settings = boards.settings
    admin = KafkaAdmin(settings.kafka)
    moved = ConsumerGroupTopicPartitions(f"gamestream-{JOB}", [TopicPartition(TOPIC, 0, offset)])
    for future in admin.native.alter_consumer_group_offsets([moved]).values():
        future.result(20)
    run = reconcile(settings, "drained", boards=BOARDS)
    assert run.verdict in (Verdict.MATCH, Verdict.EXPLAINED), run.reason
    assert "created anew" not in run.reason
