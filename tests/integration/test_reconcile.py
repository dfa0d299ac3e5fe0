"""Reconciliation on the real stack: while events flow, where it cannot look, and where a Kafka board lies."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import orjson
import pytest
from confluent_kafka import Producer
from sqlalchemy import func, select
from typer.testing import CliRunner

from gamestream_dagster.archive.manifest_file import load_manifest, save_manifest
from gamestream_dagster.catalogue.boards import load_boards
from gamestream_dagster.cli.main import build
from gamestream_dagster.clients.kafka_admin import KafkaAdmin
from gamestream_dagster.clients.postgres import open_engine
from gamestream_dagster.reconciliation.model.values import Mode, Sink, Verdict
from gamestream_dagster.reconciliation.observe.boards import Limits
from gamestream_dagster.reconciliation.observe.sinks import read_topic
from gamestream_dagster.reconciliation.run import reconcile
from gamestream_dagster.settings import Settings
from gamestream_dagster.warehouse.tables import differences, ledger, reconciliation_runs

TOPIC = "user-score"


@contextmanager
def flow(settings: Settings, rate: int = 1000) -> Iterator[None]:
    """Events flow while the body runs: each player's to one partition, some of them bad."""
    stop = threading.Event()

    def send() -> None:
        producer = Producer(settings.kafka.options({"partitioner": "murmur2_random"}))
        number, started = 0, time.monotonic()
        while not stop.is_set():
            while number < rate * (time.monotonic() - started):
                player = f"flow-{number * 7919 % 500}"
                fields = {
                    "user_id": player,
                    "team_id": f"flow-team-{number * 7919 % 500 % 40}",
                    "team_name": "Flow",
                    "score": 10_000_000 + number % 1000,
                    "event_time_millis": int(time.time() * 1000),
                }
                producer.produce(TOPIC, b"bad" if number % 50 == 0 else orjson.dumps(fields), key=player)
                number += 1
            producer.poll(0.01)
        assert producer.flush(20) == 0

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(30)


def stored(settings: Settings, run_id: str):
    with open_engine(settings) as engine, engine.connect() as database:
        row = (
            database.execute(select(reconciliation_runs).where(reconciliation_runs.c.run_id == run_id)).mappings().one()
        )
        found = database.execute(select(differences).where(differences.c.run_id == run_id)).mappings().all()
        return row, found


def invoke(settings: Settings, *arguments: str):
    return CliRunner().invoke(
        build(), [*arguments, "--home", str(settings.home), "--port-base", str(settings.port_base)]
    )


def test_a_row_written_into_a_kafka_board_by_hand_is_found(boards):
    settings = boards.settings
    boards.drain()
    board = load_boards()["top_players"]
    right = read_topic(settings.kafka, board)
    assert right == boards.rows("top_players")
    producer = Producer(settings.kafka.options())
    key = orjson.dumps({"rnk": 3})

    def put(row: dict) -> None:
        producer.produce(board.topic, orjson.dumps(row), key=key)
        assert producer.flush(20) == 0

    put({**right[2], "total_score": right[2]["total_score"] + 1})
    try:
        found = reconcile(settings, "drained", boards=["top_players"])
        assert found.verdict is Verdict.DIFFERENT
        assert {(one.sink, one.rank, one.column) for one in found.differences} == {(Sink.KAFKA, 3, "total_score")}
        row, kept = stored(settings, found.run_id)
        assert (row["verdict"], row["rows_different"], row["rows_unexplained"]) == ("DIFFERENT", 1, 0)
        assert [(one["cause"], one["streamed"], one["recomputed"]) for one in kept] == [
            (
                "EDITED_BY_HAND",
                right[2]["total_score"] + 1,
                {"low": right[2]["total_score"], "high": right[2]["total_score"]},
            )
        ]
        shown = invoke(settings, "reconcile", "--mode", "drained", "--board", "top_players")
        assert shown.exit_code == 1
        assert "DIFF" in shown.stdout
        assert "EDITED_BY_HAND" in shown.stdout
    finally:
        put(right[2])
    assert reconcile(settings, "drained", boards=["top_players"]).verdict is Verdict.MATCH


def test_the_kafka_boards_match_while_events_flow(boards):
    with flow(boards.settings):
        runs = [reconcile(boards.settings, sinks=["kafka", "postgres"]) for _ in range(3)]
    assert [run.verdict for run in runs] == [Verdict.MATCH] * 3, [run.differences[:2] for run in runs]
    assert runs[-1].bracket_events > 0


def test_a_stream_that_does_not_stop_cannot_be_judged_as_drained(boards):
    with flow(boards.settings):
        run = reconcile(boards.settings, Mode.DRAINED, limits=Limits(drain=3))
    assert run.verdict is Verdict.COULD_NOT_RUN
    assert run.exit_code == 2
    assert "not drained" in run.reason
    row, kept = stored(boards.settings, run.run_id)
    assert (row["verdict"], row["reason"], kept) == ("COULD_NOT_RUN", run.reason, [])


def test_a_job_that_was_never_deployed_cannot_be_judged(boards, tmp_path):
    folder = tmp_path / "other_v1" / "outputs" / "top_teams"
    folder.mkdir(parents=True)
    source = load_boards()["top_teams"].folder
    for name in ("output.yaml", "recompute.sql"):
        (folder / name).write_text((source / name).read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "other_v1" / "job.yaml").write_text("reads: [user-score]\n", encoding="utf-8")
    run = reconcile(boards.settings, root=tmp_path)
    assert run.verdict is Verdict.COULD_NOT_RUN
    assert "other_v1 was never deployed" in run.reason


def test_servers_that_do_not_answer_are_a_reason_and_not_a_verdict(boards):
    nowhere = "http://127.0.0.1:1"
    run = reconcile(boards.settings.model_copy(update={"flink_rest_url": nowhere}))
    assert run.verdict is Verdict.COULD_NOT_RUN
    assert "Flink" in run.reason
    run = reconcile(boards.settings.model_copy(update={"kafka_bootstrap": "127.0.0.1:1"}))
    assert run.verdict is Verdict.COULD_NOT_RUN
    assert "Kafka" in run.reason


def test_an_archive_with_a_lost_range_cannot_judge(boards, tmp_path):
    """The archive's range goes beyond the topic's end: nothing can be recomputed, and it is said."""
    settings = boards.settings
    boards.drain()
    assert reconcile(settings).verdict is Verdict.MATCH
    topic_dir = settings.archive_dir / TOPIC
    manifest = load_manifest(topic_dir)
    ends = KafkaAdmin(settings.kafka).end_offsets(TOPIC)
    ahead = manifest.files[-1].model_copy(update={"next_offset": max(ends.values()) + 1000})
    save_manifest(topic_dir, manifest.extended(ahead))
    try:
        run = reconcile(settings)
        assert run.verdict is Verdict.COULD_NOT_RUN
        assert "archive --begin-at earliest" in run.reason
    finally:
        save_manifest(topic_dir, manifest)
    assert reconcile(settings).verdict is Verdict.MATCH


def test_the_ledger_of_the_table_is_that_of_the_run(boards):
    boards.drain()
    run = reconcile(boards.settings, "drained")
    assert run.only.ledger is not None
    assert run.only.ledger.balanced, run.only.ledger.faults
    with open_engine(boards.settings) as engine, engine.connect() as database:
        sums = database.execute(
            select(func.sum(ledger.c.records), func.sum(ledger.c.accepted), func.sum(ledger.c.dead_lettered)).where(
                ledger.c.topic == TOPIC,
                ledger.c.chapter == len(load_manifest(boards.settings.archive_dir / TOPIC).chapters),
            )
        ).one()
    assert tuple(map(int, sums)) == (run.only.ledger.records, run.only.ledger.accepted, run.only.ledger.dead_lettered)


def test_the_screen_and_the_data(boards):
    boards.drain()
    screen = invoke(boards.settings, "reconcile")
    assert screen.exit_code == 0, screen.output
    for part in ("cut ", "checkpoint", "rows ", "ledger", "MATCH", "PASS="):
        assert part in screen.stdout
    found = json.loads(invoke(boards.settings, "reconcile", "--json").stdout)
    assert found["verdict"] == "MATCH"
    assert found["rows_compared"] == found["rows_equal"]
    shown = json.loads(invoke(boards.settings, "board", "top_teams", "--json").stdout)
    kafka = json.loads(invoke(boards.settings, "board", "top_teams", "--sink", "kafka", "--json").stdout)
    assert shown == kafka
    assert [row["rnk"] for row in shown] == list(range(1, len(shown) + 1))
    archived = json.loads(invoke(boards.settings, "archive", "--topic", TOPIC, "--json").stdout)
    assert archived["faults"] == []


@pytest.mark.parametrize("arguments", [("board", "nope"), ("reconcile", "--board", "nope")])
def test_an_unknown_board_is_said(boards, arguments):
    result = invoke(boards.settings, *arguments)
    assert "There is no board 'nope'" in str(result.exception)
