"""The archive of game events against the real broker: every case of the rule, crashes, forged files, lookups by id."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import replace

import duckdb
import orjson
import pytest
from confluent_kafka import Producer

from gamestream_dagster.archive import writer
from gamestream_dagster.archive.errors import ArchiveForgedError
from gamestream_dagster.archive.find import find_in
from gamestream_dagster.archive.manifest_file import load_manifest
from gamestream_dagster.archive.mending import mend_archive
from gamestream_dagster.archive.reader import open_archive
from gamestream_dagster.archive.writer import archive_topic
from gamestream_dagster.catalogue.sources import Source
from gamestream_dagster.clients.kafka_admin import KafkaAdmin
from gamestream_dagster.events.game_judge import GameEventJudge
from gamestream_dagster.events.game_outcome import GameEvent
from gamestream_dagster.reconciliation.ledger.balance import archive_faults
from gamestream_dagster.settings import Settings
from tests.support.fakes.streams import GAME_EVENTS
from tests.support.game_event_cases import NOW, all_cases
from tests.support.raw_produce import produce

PARTITIONS = 3
MOST_BYTES = 900_000  # the broker takes no record over 1 MiB


@pytest.fixture
def own(stack: Settings, tmp_path) -> Settings:
    """The stack with an archive of its own."""
    return stack.model_copy(update={"home": tmp_path})


@pytest.fixture
def source(stack: Settings) -> Iterator[Source]:
    """Game events in a topic of the test's own, whose records have the timestamps that they are sent with."""
    topic = f"game-events-{uuid.uuid4().hex[:8]}"
    KafkaAdmin(stack.kafka).create(topic, PARTITIONS, {"message.timestamp.type": "CreateTime"})
    yield replace(GAME_EVENTS, topic=topic)
    KafkaAdmin(stack.kafka).delete(topic)


def game_event(event_id: str, **changes: object) -> tuple[bytes, int]:
    fields = {"event_id": event_id, "user_id": "ann", "event_type": "player_join", "event_time": NOW, "properties": {}}
    return orjson.dumps(fields | changes), NOW


def send(settings: Settings, source: Source, *records: tuple[bytes | None, int], partition: int = 0) -> None:
    """Values with their timestamps."""
    producer = Producer(settings.kafka.options({"enable.idempotence": True, "linger.ms": 5}))
    for value, at in records:
        producer.produce(source.topic, value, key=b"ann", partition=partition, timestamp=at)
        producer.poll(0)
    assert producer.flush(30) == 0


def places(settings: Settings, source: Source, event_id: str) -> list[tuple[int, int]]:
    return [(one.partition, one.offset) for one in find_in(settings, source, event_id).records]


def test_every_case_of_the_rule_is_archived_as_the_judge_says(own, source):
    cases = [case for case in all_cases() if len(case.value or b"") < MOST_BYTES]
    send(own, source, *((case.value, case.kafka_timestamp) for case in cases))
    result = archive_topic(own, source, file_records=500)
    assert result.records == len(cases)
    with duckdb.connect() as database:
        open_archive(database, own.archive_dir / source.topic, own_columns=source.own_columns)
        rows = database.execute(
            'SELECT value, kafka_timestamp, reason, field, digest, late, properties FROM archive ORDER BY "offset"'
        ).fetchall()
    judge, refused = GameEventJudge(), 0
    for case, (value, at, *told) in zip(cases, rows, strict=True):
        assert at == case.kafka_timestamp
        outcome = judge.judge(case.value, at)
        if isinstance(outcome, GameEvent):
            assert told == [None, None, outcome.digest, outcome.late, outcome.properties], case.name
            assert value == (case.value if outcome.ip_address is None else None), case.name
        else:
            refused += 1
            assert told == [outcome.reason.value, outcome.field, None, None, None], case.name
            assert value == case.value, "the exact bytes"
    assert result.refused == refused > 0
    assert archive_faults(own.archive_dir / source.topic) == []


def test_an_event_is_found_after_a_crash_and_a_new_incarnation(own, source, monkeypatch):
    for partition in range(PARTITIONS):
        send(own, source, *(game_event(f"e{partition}-{number}") for number in range(200)), partition=partition)
    real, calls = writer.save_manifest, []

    def crash(*arguments):
        calls.append(arguments)
        if len(calls) == 3:  # the first one opens the chapter
            raise KeyboardInterrupt
        real(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(writer, "save_manifest", crash)
        with pytest.raises(KeyboardInterrupt):
            archive_topic(own, source, file_records=150)
    kept = sum(file.records for file in load_manifest(own.archive_dir / source.topic).files)
    find_in(own, source, "e0-0")  # indexes what is there
    assert archive_topic(own, source).records == 600 - kept
    for partition, number in ((0, 0), (1, 57), (2, 199)):
        assert places(own, source, f"e{partition}-{number}") == [(partition, number)]
    admin = KafkaAdmin(own.kafka)
    admin.delete(source.topic)
    admin.create(source.topic, PARTITIONS, {"message.timestamp.type": "CreateTime"})
    send(own, source, game_event("new"), game_event("e0-0"))
    assert archive_topic(own, source).opened
    found = find_in(own, source, "e0-0").records
    assert [(one.chapter, one.offset, one.current) for one in found] == [(1, 0, False), (2, 1, True)]


def test_a_forged_file_is_mended_and_found_again(own, source):
    send(own, source, game_event("a", ip_address="203.0.113.9"), game_event("b", event_type="nothing"))
    archive_topic(own, source)
    assert places(own, source, "b") == [(0, 1)]
    [file] = load_manifest(own.archive_dir / source.topic).files
    (own.archive_dir / source.topic / file.path).write_bytes(b"forged")
    with pytest.raises(ArchiveForgedError, match="--mend"):
        find_in(own, source, "a")
    [mended] = mend_archive(own, source)
    assert mended.records == 2
    assert (places(own, source, "a"), places(own, source, "b")) == ([(0, 0)], [(0, 1)])


def test_headers_are_archived_and_hostile_ones_stop_nothing(own, source):
    """Names of any bytes, which the client library cannot hand out; null, long and binary values; many headers."""
    value, _ = game_event("e")
    ours = [(b"gamestream-app", b"game"), (b"gamestream-key-id", b"k1")]
    hostile = [
        [(b"\xff\xfe", b"x"), *ours],
        [(b"", None), (b"gamestream-app", None)],
        [(b"gamestream-app", b"\xff\x00"), (b"gamestream-key-id", b"k" * 100_000)],
        [(f"h{number}".encode(), b"v" * 100) for number in range(2_000)],
        [*ours, (b"gamestream-app", b"other")],
        [(b"x-forwarded-for", b"81.2.69.142")],
    ]
    # the first ones, so that CPython has specialised the code that reads the others
    for headers in (*[ours] * 30, *hostile):
        produce(str(own.kafka), source.topic, value, headers)
    assert archive_topic(own, source).records == 30 + len(hostile)
    with duckdb.connect() as database:
        open_archive(database, own.archive_dir / source.topic, own_columns=source.own_columns)
        rows = database.execute('SELECT headers FROM archive ORDER BY "offset"').fetchall()
    kept = '{"gamestream-app":"game","gamestream-key-id":"k1"}'
    assert [row[0] for row in rows[29:34]] == [kept, None, None, None, None]
    assert [row[0] for row in rows[34:]] == [kept.replace('game"', 'other"'), None]
