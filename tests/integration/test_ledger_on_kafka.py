"""The ledger on the real broker and database: planted losses are named by their offsets, and the archive is mended."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import duckdb
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from confluent_kafka import Producer
from sqlalchemy import Engine, delete, func, insert, select, text, update

from gamestream_dagster.archive.errors import ArchiveForgedError
from gamestream_dagster.archive.manifest_file import load_manifest
from gamestream_dagster.archive.mending import mend_archive
from gamestream_dagster.archive.reader import open_archive
from gamestream_dagster.archive.writer import archive_topic
from gamestream_dagster.clients.kafka_admin import KafkaAdmin
from gamestream_dagster.clients.postgres import open_engine
from gamestream_dagster.provisioning import manager
from gamestream_dagster.provisioning.model import ResourceKind
from gamestream_dagster.reconciliation.ledger.balance import archive_faults, balance, write_ledger
from gamestream_dagster.reconciliation.model.proof import FaultKind, LedgerBalance
from gamestream_dagster.reconciliation.observe.job_ledger import read_job_ledger
from gamestream_dagster.reconciliation.recompute.archive_database import ArchiveDatabase
from gamestream_dagster.reconciliation.recompute.events_at import ArchiveSource
from gamestream_dagster.settings import Settings
from gamestream_dagster.warehouse.ledger_parts import create_parts, ledger_part
from gamestream_dagster.warehouse.tables import job_ledger, ledger
from tests.support.fakes.streams import SCORES, scores_in
from tests.support.job_counts import counted_by, read_records

PARTITIONS = 2
JOB = "counting_test"
START = 1_700_000_080_000


@pytest.fixture
def tables(stack: Settings) -> Iterator[Engine]:
    """Postgres with its tables, and without what this test wrote there afterwards."""
    manager.apply(stack, manager.plan(stack, (ResourceKind.MIGRATION, ResourceKind.TABLE)))
    with open_engine(stack) as engine:
        yield engine


@pytest.fixture
def own(stack: Settings, tmp_path: Path) -> Settings:
    """The stack with an archive of its own."""
    return stack.model_copy(update={"home": tmp_path})


@pytest.fixture
def topic(stack: Settings, tables: Engine) -> Iterator[str]:
    name = f"ledger-{uuid.uuid4().hex[:8]}"
    KafkaAdmin(stack.kafka).create(name, PARTITIONS)
    with tables.begin() as database:
        create_parts(database, [name])
    yield name
    KafkaAdmin(stack.kafka).delete(name)
    with tables.begin() as database:
        database.execute(delete(ledger).where(ledger.c.topic == name))
        database.execute(text(f"DROP TABLE {ledger_part(name)}"))


def send(settings: Settings, topic: str, first: int, count: int) -> None:
    """Records in transactions of 25, one each 400 ms: every tenth a copy, every 16th refused, every 20th late."""
    producer = Producer(settings.kafka.options({"transactional.id": uuid.uuid4().hex}))
    producer.init_transactions(20)
    for start in range(first, first + count, 25):
        producer.begin_transaction()
        for number in range(start, start + 25):
            at = START + 200 * number
            fields = {
                "user_id": f"u{number % 4}",
                "team_id": "t",
                "team_name": "T",
                "score": -1 if number % 16 == 7 else 1,
                "event_time_millis": at - (30_000 if number % 20 == 3 else 0),
                "event_id": f"e{number - 4 if number % 10 == 9 else number}",
            }
            producer.produce(topic, orjson.dumps(fields), partition=number % PARTITIONS, timestamp=at)
        producer.commit_transaction(20)


def count_in_job(tables: Engine, settings: Settings, topic: str) -> None:
    """What a job that counts all of the topic would have written."""
    counted = counted_by(JOB, read_records(settings.archive_dir / topic))
    rows = [
        {name: column[place] for name, column in counted.columns.items() if name not in {"job", "minute"}}
        | {"job": JOB, "topic": topic, "minute_millis": counted.columns["minute"][place]}
        for place in range(len(counted.columns["job"]))
    ]
    with tables.begin() as database:
        database.execute(insert(job_ledger), rows)


def balanced(tables: Engine, settings: Settings, topic: str) -> LedgerBalance:
    high = KafkaAdmin(settings.kafka).end_offsets(topic)
    source = ArchiveSource(settings.archive_dir / topic, late_ms=SCORES.lateness_ms)
    with ArchiveDatabase(source, settings.home) as archive:
        at = archive.at(high)
        found = balance(archive, at, read_job_ledger(tables, [JOB], topic), {JOB: high})
        write_ledger(tables, archive, at)
        return found


def contents(settings: Settings, topic: str) -> list[tuple]:
    with duckdb.connect() as database:
        open_archive(database, settings.archive_dir / topic)
        return database.execute("SELECT * FROM archive ORDER BY ALL").fetchall()


def test_a_planted_loss_is_named_on_each_side_and_the_archive_is_mended(tables: Engine, own: Settings, topic: str):
    send(own, topic, 0, 500)
    archive_topic(own, scores_in(topic), file_records=100)
    send(own, topic, 500, 250)
    archive_topic(own, scores_in(topic))
    count_in_job(tables, own, topic)

    whole = balanced(tables, own, topic)
    assert whole.balanced, whole.faults
    assert whole.records == 750
    assert min(whole.duplicate, whole.late, whole.dead_lettered) > 10
    with tables.connect() as database:
        columns = (ledger.c.records, ledger.c.accepted, ledger.c.duplicate, ledger.c.late, ledger.c.dead_lettered)
        stored = database.execute(select(*map(func.sum, columns)).where(ledger.c.topic == topic)).one()
    assert tuple(map(int, stored)) == (750, whole.accepted, whole.duplicate, whole.late, whole.dead_lettered)

    before = contents(own, topic)
    file = next(
        file for file in load_manifest(own.archive_dir / topic).files if file.partition == 1 and file.from_offset
    )
    path = own.archive_dir / topic / file.path
    table = pq.read_table(path)
    gone = table.column("offset").to_pylist()[5:15]
    pq.write_table(table.filter(pa.array([offset not in gone for offset in table.column("offset").to_pylist()])), path)
    with pytest.raises(ArchiveForgedError, match=file.path):
        balanced(tables, own, topic)
    [fault] = archive_faults(own.archive_dir / topic)
    assert (fault.kind, fault.partition, fault.records) == (FaultKind.HOLE, 1, 10)
    assert (fault.first_offset, fault.last_offset) == (gone[0], gone[-1])

    [mended] = mend_archive(own, scores_in(topic))
    assert (mended.partition, mended.from_offset, mended.next_offset) == (1, file.from_offset, file.next_offset)
    assert contents(own, topic) == before
    assert balanced(tables, own, topic).balanced
    assert mend_archive(own, scores_in(topic)) == []

    lost = [offset for partition, offset, at, _ in read_records(own.archive_dir / topic) if partition == 0][40:50]
    without(tables, lost, START + 200 * 80)
    [fault] = balanced(tables, own, topic).faults
    assert (fault.kind, fault.where, fault.partition, fault.records) == (FaultKind.MISSING, JOB, 0, 10)
    assert (fault.first_offset, fault.last_offset) == (lost[0], lost[-1])


def without(tables: Engine, offsets: list[int], at: int) -> None:
    """Take some records of one minute of partition 0 out of what the job counted."""
    changes = {
        job_ledger.c.records: job_ledger.c.records - len(offsets),
        job_ledger.c.accepted: job_ledger.c.accepted - len(offsets),
        job_ledger.c.offset_sum: job_ledger.c.offset_sum - sum(offsets),
        job_ledger.c.offset_square_sum: job_ledger.c.offset_square_sum - sum(offset**2 for offset in offsets),
    }
    here = (job_ledger.c.job == JOB) & (job_ledger.c.partition_id == 0)
    with tables.begin() as database:
        done = database.execute(
            update(job_ledger).where(here & (job_ledger.c.minute_millis == at // 60_000 * 60_000)).values(changes)
        )
    assert done.rowcount == 1
