"""The transactions job on real servers: each id passes once, across checkpoints, hours and a kill, and is proven."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import orjson
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import NewPartitions
from sqlalchemy import text

from gamestream_dagster.catalogue.boards import load_boards
from gamestream_dagster.clients.errors import ServiceError
from gamestream_dagster.clients.flink_rest import FlinkRest
from gamestream_dagster.clients.kafka_admin import KafkaAdmin
from gamestream_dagster.clients.postgres import open_engine
from gamestream_dagster.events.producer import PRODUCER_SETTINGS, ScoreProducer
from gamestream_dagster.events.tail import TailedRecord, records_between
from gamestream_dagster.events.transactions import Kind, TransactionOptions, TransactionRecord, transactions
from gamestream_dagster.flink_jobs.control.manager import apply_job
from gamestream_dagster.platform.stack import Stack
from gamestream_dagster.reconciliation.model.proof import ReconciliationRun
from gamestream_dagster.reconciliation.model.values import Sink, Verdict
from gamestream_dagster.reconciliation.observe.sinks import read_tables
from gamestream_dagster.reconciliation.run import reconcile
from gamestream_dagster.serving import forgetting
from gamestream_dagster.serving.forgetting import forget_old_rows
from gamestream_dagster.settings import Settings
from tests.support.world import World, provision, stamp_by

JOB, OUTPUT = "transactions_v1", "transaction_ids"
RAW, KEYED, UNIQUE, REFUSED = "transactions-raw", "transactions-keyed", "transactions-unique", "transactions-refused"
NOW = int(time.time() * 1000) - 3_600_000
MINUTE = 60_000
FIELDS = ("transaction_id", "user_id", "transaction_type", "amount", "currency")


def made(
    name: str, kind: Kind = Kind.NORMAL, after_ms: int = 0, key: bytes | None = None, **fields: Any
) -> TransactionRecord:
    one = {"transaction_id": name, "user_id": "ann", "transaction_type": "purchase", "amount": 500, "currency": "EUR"}
    one |= {"event_time_millis": NOW} | fields
    return TransactionRecord(after_ms, kind, one, key, orjson.dumps(one))


def key_of(name: str) -> bytes:
    """The key of its row in the output's topic, as Flink writes it."""
    return orjson.dumps({"transaction_id": name})


class Till:
    """The deployed job, and what was sent to it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.sent: list[TransactionRecord] = []
        provision(settings)
        topic = load_boards()[OUTPUT].topic
        several = KafkaAdmin(settings.kafka).native.create_partitions([NewPartitions(topic, 3)])  # as in production
        several[topic].result(20)
        self.job_id = apply_job(settings, JOB).flink_job_id
        stamp_by(settings, RAW, "CreateTime")
        self._send_copies()

    def _send_copies(self) -> None:
        """Copies in one batch, across a checkpoint, and across the edge of the window."""
        options = TransactionOptions(seed=5, start_ms=NOW, events=2_000, rate=5_000, dup=10, conflict=1, bad=2)
        self.send(transactions(options))
        same = Kind.DUP
        self.send([
            made("batch"), made("batch", same), made("batch", same, key=b"ann"), made("batch", same, key=b"batch"),
            made("edge", key=b"edge"),
        ])  # fmt: skip
        self.settle()
        self.send([
            made("batch", same),
            made("batch", Kind.CONFLICT, amount=501),
            made("batch", Kind.CONFLICT, user_id="bob", key=b"bob"),
            made("edge", same, 12 * MINUTE - 1_000), made("edge", same, 12 * MINUTE + 1_000, key=b"ann"),
            made("edge", same, 13 * MINUTE),
            made("edge", Kind.CONFLICT, 13 * MINUTE, currency="USD"),
        ])  # fmt: skip
        self.settle()

    def send(self, records: Iterable[TransactionRecord], at: int = NOW) -> None:
        """`at`: Kafka time of the beginning, milliseconds."""
        producer = Producer(self.settings.kafka.options({**PRODUCER_SETTINGS}))
        for record in records:
            producer.produce(RAW, record.value, record.key, timestamp=at + int(record.due_ms))
            producer.poll(0)
            self.sent.append(record)
        assert producer.flush(60) == 0

    def settle(self, limit_seconds: float = 90) -> None:
        """Checkpoints until every record has passed or was refused, and the committed rows are in the table."""
        deadline = time.monotonic() + limit_seconds
        while (done := len(self.held(UNIQUE)) + len(self.held(REFUSED))) < len(self.sent):
            assert time.monotonic() < deadline, f"{done} of {len(self.sent)} after {limit_seconds:.0f} s"
            self.checkpoint()
        self.checkpoint()

    def checkpoint(self) -> None:
        with FlinkRest(self.settings.flink_rest) as flink, suppress(ServiceError):  # it is coming back from a failure
            flink.checkpoint_now(self.job_id, 30)

    def records(self, topic: str) -> list[TailedRecord]:
        """Every committed record of a topic, partition by partition in their order."""
        ends = KafkaAdmin(self.settings.kafka).end_offsets(topic, read_committed=True)
        found = records_between(self.settings.kafka, topic, dict.fromkeys(ends, 0), ends)
        return sorted(found, key=lambda record: (record.partition, record.offset))

    def held(self, topic: str) -> list[dict[str, Any]]:
        """Their values."""
        return [orjson.loads(record.value or b"") for record in self.records(topic)]

    def passed(self) -> dict[str, tuple[object, ...]]:
        """The transactions of the topic, by id."""
        found = self.held(UNIQUE)
        assert len({one["transaction_id"] for one in found}) == len(found), "an id passed twice"
        return {one["transaction_id"]: tuple(one[name] for name in FIELDS) for one in found}

    def expected(self) -> dict[str, tuple[object, ...]]:
        """What must pass: each transaction as it was first sent."""
        normal = (one.transaction for one in self.sent if one.kind is Kind.NORMAL)
        return {str(one["transaction_id"]): tuple(one[name] for name in FIELDS) for one in normal}

    def reasons(self) -> Counter[str]:
        return Counter(one["reason"] for one in self.held(REFUSED))

    def reconcile(self) -> ReconciliationRun:
        return reconcile(self.settings, "drained", boards=[OUTPUT])

    def sql(self, statement: str) -> int:
        with open_engine(self.settings) as engine, engine.begin() as database:
            return database.execute(text(statement)).rowcount


@pytest.fixture(scope="module")
def till(world: World) -> Till:
    return world.hold("transactions", Till)


def test_each_id_passes_once_whatever_its_keys_and_times(till: Till) -> None:
    assert till.passed() == till.expected()
    kinds = Counter(one.kind for one in till.sent)
    reasons = till.reasons()
    assert reasons["DUP_CONFLICT"] == kinds[Kind.CONFLICT]
    assert reasons["DUPLICATE"] + reasons["DUPLICATE_AFTER_WINDOW"] == kinds[Kind.DUP]
    assert reasons["DUPLICATE_AFTER_WINDOW"] == 2
    assert {"NOT_JSON", "MISSING_FIELD", "WRONG_TYPE", "OUT_OF_RANGE"} <= reasons.keys()
    late = [
        one for one in till.held(REFUSED) if one.get("transaction_id") == "edge" and one["reason"] != "DUP_CONFLICT"
    ]
    assert sorted((one["after_seconds"], one["reason"]) for one in late) == [
        (719, "DUPLICATE"), (721, "DUPLICATE_AFTER_WINDOW"), (780, "DUPLICATE_AFTER_WINDOW"),
    ]  # fmt: skip
    [conflict] = [one for one in till.held(REFUSED) if one.get("user_id") == "bob"]
    assert (conflict["reason"], conflict["first_user_id"], conflict["first_amount"]) == ("DUP_CONFLICT", "ann", 500)


def test_every_record_is_under_its_id_with_its_bytes_and_its_time(till: Till) -> None:
    places: dict[bytes, set[int]] = {}
    found: Counter[tuple[bytes | None, int]] = Counter()
    for record in till.records(KEYED):
        found[record.value, record.timestamp] += 1
        if record.key is not None:
            assert orjson.loads(record.value or b"")["transaction_id"] == record.key.decode()
            places.setdefault(record.key, set()).add(record.partition)
    assert all(len(partitions) == 1 for partitions in places.values())
    assert found == Counter((one.value, NOW + int(one.due_ms)) for one in till.sent)


def test_what_passed_is_in_both_sinks_and_proven(till: Till) -> None:
    with open_engine(till.settings) as engine:
        rows = read_tables(engine, [load_boards()[OUTPUT]])[OUTPUT]
    assert {row["transaction_id"]: tuple(row[name] for name in FIELDS) for row in rows} == till.expected()
    run = till.reconcile()
    assert run.verdict is Verdict.MATCH, (run.reason, run.differences[:3])
    assert {(one.sink, one.rows_compared) for one in run.boards} == {(sink, len(rows)) for sink in Sink}
    ledger = run.only.ledger
    assert ledger is not None
    assert (ledger.records, ledger.accepted) == (len(till.sent), len(rows))


def test_a_row_that_somebody_changed_is_found_and_named(till: Till) -> None:
    assert till.sql(f"UPDATE {OUTPUT} SET amount = 1 WHERE transaction_id = 'batch'") == 1
    assert till.sql(f"DELETE FROM {OUTPUT} WHERE transaction_id = 'edge'") == 1
    run = till.reconcile()
    # before anything is asserted: the stack is shared
    till.sql(f"UPDATE {OUTPUT} SET amount = 500 WHERE transaction_id = 'batch'")
    till.sql(f"INSERT INTO {OUTPUT} VALUES ('edge', 'ann', 'purchase', 500, 'EUR')")
    causes = {one.entity: one.cause for one in run.differences if one.sink is Sink.POSTGRES}
    assert causes.keys() == {("batch",), ("edge",)}
    assert causes["batch",] == "EDITED_BY_HAND"
    # a row that is absent may be one that the sink has yet to write, unless the job is known to be past it
    assert causes["edge",] in {"EDITED_BY_HAND", "SINK_LAG or EDITED_BY_HAND"}
    assert till.reconcile().verdict is Verdict.MATCH


def test_tombstones_of_old_rows_land_on_the_partition_of_their_records(
    till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    board, names = load_boards()[OUTPUT], [f"old-{number}" for number in range(12)]
    assert board.retention is not None
    till.send(map(made, names))
    till.settle()
    held = {one.key: one for one in till.records(board.topic) if one.key in set(map(key_of, names))}
    assert len({one.partition for one in held.values()}) > 1
    every = forgetting.old_keys
    monkeypatch.setattr(forgetting, "old_keys", lambda *given: [key for key in every(*given) if key in held])
    assert forget_old_rows(till.settings, board, int(time.time() * 1000) + board.retention + MINUTE) == len(names)
    tombstones = {one.key: one.partition for one in till.records(board.topic) if one.value is None}
    assert tombstones == {key: one.partition for key, one in held.items()}
    assert till.sql(f"DELETE FROM {OUTPUT} WHERE transaction_id LIKE 'old-%'") == 0
    # as it was, for the tests that prove the output
    with ScoreProducer(till.settings.kafka, board.topic) as producer:
        for one in held.values():
            producer.send(one.key, one.value)
    for name in names:
        till.sql(f"INSERT INTO {OUTPUT} VALUES ('{name}', 'ann', 'purchase', 500, 'EUR')")


def test_a_killed_taskmanager_lets_no_id_through_twice(till: Till) -> None:
    sent = list(transactions(TransactionOptions(seed=6, start_ms=NOW, events=1_500, rate=5_000, dup=20, conflict=1)))
    till.send(sent[:700])
    till.checkpoint()
    till.send(sent[700:1_000])
    [server] = Stack(till.settings).status(["flink-taskmanager"])
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    till.send(sent[1_000:])
    till.settle(120)
    assert till.passed() == till.expected()
    run = till.reconcile()
    assert run.verdict is Verdict.MATCH, (run.reason, run.differences[:3])
