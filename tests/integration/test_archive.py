"""The archive against the real broker: transactions, crashes, retention, both encodings."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import duckdb
import orjson
import pytest
from confluent_kafka import Producer, TopicPartition

from gamestream_dagster.archive import writer
from gamestream_dagster.archive.errors import (
    TopicRecreatedError,
    TruncatedByRetentionError,
)
from gamestream_dagster.archive.manifest_file import load_manifest
from gamestream_dagster.archive.mending import mend_archive
from gamestream_dagster.archive.reader import open_archive
from gamestream_dagster.archive.writer import archive_topic
from gamestream_dagster.clients.errors import TransientServiceError
from gamestream_dagster.clients.kafka_admin import KafkaAdmin
from gamestream_dagster.clients.registry import Registry
from gamestream_dagster.events.acceptance import judge
from gamestream_dagster.events.avro import AvroDecoder
from gamestream_dagster.reconciliation.ledger.balance import archive_faults
from gamestream_dagster.settings import Settings, TopicFormat
from tests.support.fakes.streams import SCORES, scores_in

PARTITIONS = 3


@pytest.fixture
def own(stack: Settings, tmp_path) -> Settings:
    """The stack with an archive of its own."""
    return stack.model_copy(update={"home": tmp_path})


@pytest.fixture
def topic(stack: Settings) -> Iterator[str]:
    name = f"archived-{uuid.uuid4().hex[:8]}"
    KafkaAdmin(stack.kafka).create(name, PARTITIONS)
    yield name
    if name in KafkaAdmin(stack.kafka).topics():
        KafkaAdmin(stack.kafka).delete(name)


def value(number: int) -> bytes:
    now = int(time.time() * 1000)
    fields = {"user_id": f"u{number}", "team_id": "t", "team_name": "T", "score": number, "event_time_millis": now}
    return orjson.dumps(fields)


def send(settings: Settings, topic: str, numbers: range, **options) -> None:
    producer = Producer(settings.kafka.options({"linger.ms": 1, **options}))
    for number in numbers:
        producer.produce(topic, value(number), partition=number % PARTITIONS)
    assert producer.flush(20) == 0


def transactional(settings: Settings) -> Producer:
    producer = Producer(settings.kafka.options({"transactional.id": uuid.uuid4().hex}))
    producer.init_transactions(20)
    return producer


def archived(settings: Settings, topic: str) -> list[tuple]:
    """(partition, offset, user) of every row, in order."""
    with duckdb.connect() as database:
        open_archive(database, settings.archive_dir / topic)
        return database.execute(
            'SELECT "partition", "offset", user_id FROM archive ORDER BY "partition", "offset", item'
        ).fetchall()


def users(rows: list[tuple]) -> list[str]:
    return sorted(row[2] for row in rows)


def test_each_range_is_archived_once_and_a_second_run_adds_nothing(own, topic):
    send(own, topic, range(1000))
    first = archive_topic(own, scores_in(topic), file_records=300)
    assert first.records == 1000
    assert first.files == PARTITIONS
    assert first.archived_upto == KafkaAdmin(own.kafka).end_offsets(topic)
    assert archive_topic(own, scores_in(topic)).records == 0
    send(own, topic, range(1000, 1100))
    assert archive_topic(own, scores_in(topic)).records == 100
    rows = archived(own, topic)
    assert users(rows) == sorted(f"u{n}" for n in range(1100))
    assert len({(partition, offset) for partition, offset, _ in rows}) == 1100
    assert archive_faults(own.archive_dir / topic) == []


def test_it_stops_at_the_offsets_asked_for(own, topic):
    send(own, topic, range(300))
    result = archive_topic(own, scores_in(topic), {0: 10, 1: 100, 2: 0})
    assert result.archived_upto == {0: 10, 1: 100}
    assert len(archived(own, topic)) == 110
    assert archive_topic(own, scores_in(topic)).records == 190


def test_markers_are_no_holes_and_aborted_records_are_not_there(own, topic):
    producer = transactional(own)
    for kept in (True, False, True):
        producer.begin_transaction()
        for number in range(30):
            producer.produce(topic, value(number + (0 if kept else 1000)), partition=number % PARTITIONS)
        producer.flush(20)
        if kept:
            producer.commit_transaction(20)
        else:
            producer.abort_transaction(20)
    result = archive_topic(own, scores_in(topic))
    ends = KafkaAdmin(own.kafka).end_offsets(topic)
    assert result.records == 60
    assert sum(ends.values()) > 90, "markers and aborted records hold offsets"
    assert result.archived_upto == ends, "the marker behind the last record is covered"
    assert users(archived(own, topic)) == sorted(2 * [f"u{n}" for n in range(30)])
    assert archive_faults(own.archive_dir / topic) == []
    assert archive_topic(own, scores_in(topic)).records == 0


def test_a_transaction_that_stays_open_ends_in_a_sentence(own, topic):
    producer = transactional(own)
    producer.begin_transaction()
    producer.produce(topic, value(1), partition=0)
    producer.flush(20)
    with pytest.raises(TransientServiceError, match="p0 before 1"):
        archive_topic(own, scores_in(topic), stall_seconds=1)
    producer.abort_transaction(20)
    assert archive_topic(own, scores_in(topic)).records == 0


def test_a_crash_before_the_manifest_makes_neither_hole_nor_double(own, topic, monkeypatch):
    send(own, topic, range(600))
    real, calls = writer.save_manifest, []

    def crash(*arguments):
        calls.append(arguments)
        if len(calls) == 3:  # the first one opens the chapter
            raise KeyboardInterrupt
        real(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(writer, "save_manifest", crash)
        with pytest.raises(KeyboardInterrupt):
            archive_topic(own, scores_in(topic), file_records=200)
    kept = len(archived(own, topic))
    assert 0 < kept < 600
    result = archive_topic(own, scores_in(topic))
    assert result.orphans_removed > 0
    assert result.records == 600 - kept
    assert users(archived(own, topic)) == sorted(f"u{n}" for n in range(600))


def test_two_archivers_at_once_write_each_range_once(own, topic):
    send(own, topic, range(900))
    results = []
    threads = [threading.Thread(target=lambda: results.append(archive_topic(own, scores_in(topic)))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(result.records for result in results) == [0, 0, 900]
    assert len(archived(own, topic)) == 900


def test_what_retention_took_is_named(own, topic):
    send(own, topic, range(300))
    archive_topic(own, scores_in(topic), {0: 40, 1: 100, 2: 100})
    admin = KafkaAdmin(own.kafka)
    [done] = admin.native.delete_records([TopicPartition(topic, 0, 60)]).values()
    done.result(20)
    with pytest.raises(TruncatedByRetentionError, match=r"p0@40\.\.59") as caught:
        archive_topic(own, scores_in(topic))
    assert caught.value.ranges == {0: (40, 60)}


def test_a_topic_made_anew_is_not_taken_for_the_old_one(own, topic):
    send(own, topic, range(30))
    archive_topic(own, scores_in(topic))
    admin = KafkaAdmin(own.kafka)
    first = admin.topic_id(topic)
    admin.delete(topic)
    admin.create(topic, PARTITIONS)
    second = admin.topic_id(topic)
    send(own, topic, range(100, 160))  # more than before: no offset tells the two apart
    result = archive_topic(own, scores_in(topic))
    assert (result.records, result.opened) == (60, True)
    assert users(archived(own, topic)) == sorted(f"u{n}" for n in range(100, 160))
    manifest = load_manifest(own.archive_dir / topic)
    assert [chapter.topic_id for chapter in manifest.chapters] == [first, second]
    assert manifest.chapters[0].archived_upto == dict.fromkeys(range(PARTITIONS), 10)
    assert archive_faults(own.archive_dir / topic) == []


def test_offsets_of_another_incarnation_are_refused(own, topic):
    send(own, topic, range(30))
    admin = KafkaAdmin(own.kafka)
    first, ends = admin.topic_id(topic), admin.end_offsets(topic)
    admin.delete(topic)
    admin.create(topic, PARTITIONS)
    send(own, topic, range(60))
    with pytest.raises(TopicRecreatedError, match="run the command again"):
        archive_topic(own, scores_in(topic), ends, topic_id=first)


def as_the_version_before_wrote_it(topic_dir: Path) -> None:
    """The manifest in its former layout: no chapter, no digest, no id."""
    manifest = load_manifest(topic_dir)
    files = [file.model_dump(mode="json", exclude={"kind", "before", "sha256"}) for file in manifest.files]
    stored = {"topic": manifest.topic, "layout": 2, "files": files}
    (topic_dir / "_manifest.json").write_bytes(orjson.dumps(stored))


def test_an_archive_of_the_version_before_is_adopted_by_its_records(own, topic):
    send(own, topic, range(30))
    archive_topic(own, scores_in(topic))
    as_the_version_before_wrote_it(own.archive_dir / topic)
    send(own, topic, range(30, 60))
    result = archive_topic(own, scores_in(topic))
    assert (result.records, result.opened) == (30, False)
    assert result.chapter.topic_id == KafkaAdmin(own.kafka).topic_id(topic)
    assert users(archived(own, topic)) == sorted(f"u{n}" for n in range(60))


def test_an_archive_of_the_version_before_is_not_taken_for_a_topic_recreated_since(own, topic):
    send(own, topic, range(30))
    archive_topic(own, scores_in(topic))
    as_the_version_before_wrote_it(own.archive_dir / topic)
    admin = KafkaAdmin(own.kafka)
    admin.delete(topic)
    admin.create(topic, PARTITIONS)
    send(own, topic, range(100, 190))
    result = archive_topic(own, scores_in(topic))
    assert (result.records, result.opened) == (90, True)
    manifest = load_manifest(own.archive_dir / topic)
    assert [chapter.topic_id for chapter in manifest.chapters] == [None, admin.topic_id(topic)]


def test_a_damaged_range_is_not_mended_with_records_of_another_incarnation(own, topic):
    send(own, topic, range(30))
    archive_topic(own, scores_in(topic))
    topic_dir = own.archive_dir / topic
    damaged = load_manifest(topic_dir).files[0]
    (topic_dir / damaged.path).write_bytes(b"forged")
    admin = KafkaAdmin(own.kafka)
    admin.delete(topic)
    admin.create(topic, PARTITIONS)
    send(own, topic, range(100, 190))
    with pytest.raises(TopicRecreatedError, match="cannot fix it"):
        mend_archive(own, scores_in(topic))
    assert load_manifest(topic_dir).files[0] == damaged


def test_a_forged_file_is_read_again_from_kafka(own, topic):
    send(own, topic, range(30))
    archive_topic(own, scores_in(topic))
    topic_dir = own.archive_dir / topic
    damaged = load_manifest(topic_dir).files[0]
    (topic_dir / damaged.path).write_bytes(b"forged")
    [mended] = mend_archive(own, scores_in(topic))
    assert (mended.partition, mended.records) == (damaged.partition, 10)
    assert users(archived(own, topic)) == sorted(f"u{n}" for n in range(30))
    assert archive_faults(topic_dir) == []
    assert archive_topic(own, scores_in(topic)).orphans_removed == 1


def test_an_archive_whose_beginning_is_gone_begins_where_kafka_does(own, topic):
    send(own, topic, range(300))
    admin = KafkaAdmin(own.kafka)
    [done] = admin.native.delete_records([TopicPartition(topic, 0, 60)]).values()
    done.result(20)
    with pytest.raises(TruncatedByRetentionError, match=r"p0@0\.\.59.*archive --begin-at earliest"):
        archive_topic(own, scores_in(topic))
    result = archive_topic(own, scores_in(topic), begin_at_earliest=True)
    assert result.records == 240
    assert result.chapter.begins == {0: 60}
    assert [(one.partition, one.first_offset, one.next_offset) for one in result.chapter.lost] == [(0, 0, 60)]
    assert archive_faults(own.archive_dir / topic) == []
    assert archive_topic(own, scores_in(topic)).records == 0


def test_refused_records_are_archived_with_their_reason(own, topic):
    producer = Producer(own.kafka.options())
    for bad in (b"nope", None, b"[]", b"\xff\xfe\xff", b'{"user_id":"u"}'):
        producer.produce(topic, bad, partition=0)
    assert producer.flush(20) == 0
    result = archive_topic(own, scores_in(topic))
    assert (result.records, result.refused) == (5, 5)
    with duckdb.connect() as database:
        open_archive(database, own.archive_dir / topic)
        rows = database.execute('SELECT value, kafka_timestamp, reason FROM archive ORDER BY "offset"').fetchall()
    assert [reason for *_, reason in rows] == [judge(raw, at)[0].value for raw, at, _ in rows]


def test_avro_is_read_by_the_registrys_schema(own, topic):
    import io
    import struct

    import fastavro

    from gamestream_dagster.catalogue.event_type import avro_schema, score_event

    schema = avro_schema(score_event())
    with Registry(own.registry) as registry:
        number = registry.register(f"{topic}-value", schema)
        decoder = AvroDecoder(registry, SCORES.event_types)
        producer = Producer(own.kafka.options())
        sent = []
        for score in (5, 7):
            buffer = io.BytesIO(struct.pack(">bI", 0, number))
            buffer.seek(0, io.SEEK_END)
            fields = {
                "user_id": "u",
                "team_id": "t",
                "team_name": "T",
                "score": score,
                "event_time_millis": int(time.time() * 1000),
                "readable_time": "",
                "event_type": "normal",
                "event_id": None,
            }
            fastavro.schemaless_writer(buffer, fastavro.parse_schema(dict(schema)), fields)
            sent.append(buffer.getvalue())
            producer.produce(topic, sent[-1], partition=0)
        producer.produce(topic, b"not avro", partition=0)
        assert producer.flush(20) == 0
        result = archive_topic(own, scores_in(topic, TopicFormat.AVRO))
        assert decoder.judge(sent[0], int(time.time() * 1000)).score == 5
        registry.delete(f"{topic}-value")
    assert (result.records, result.refused) == (3, 1)
    with duckdb.connect() as database:
        open_archive(database, own.archive_dir / topic)
        rows = database.execute('SELECT score, reason FROM archive ORDER BY "offset"').fetchall()
    assert rows == [(5, None), (7, None), (None, "NOT_AVRO")]
