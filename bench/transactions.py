"""Transactions: how fast they pass, and that exactly the unique ones do, across a kill and a redeploy."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice

import orjson
from sqlalchemy import text

from bench.results import BenchError, Result, Table
from bench.rounds import Say
from bench.stacks import pid_of
from gamestream_dagster.clients.errors import ServiceError
from gamestream_dagster.clients.flink_rest import FlinkRest
from gamestream_dagster.clients.kafka_admin import KafkaAdmin
from gamestream_dagster.clients.postgres import open_engine
from gamestream_dagster.events.producer import ScoreProducer
from gamestream_dagster.events.tail import records_between
from gamestream_dagster.events.transactions import Kind, TransactionOptions, TransactionRecord, transactions
from gamestream_dagster.flink_jobs.control import manager as jobs
from gamestream_dagster.flink_jobs.plan.model import Choice
from gamestream_dagster.reconciliation.model.values import Verdict
from gamestream_dagster.reconciliation.run import reconcile
from gamestream_dagster.settings import Settings

JOB, OUTPUT = "transactions_v1", "transaction_ids"
RAW, UNIQUE, REFUSED = "transactions-raw", "transactions-unique", "transactions-refused"
LIMIT_SECONDS = 1_200.0
PARTS = 4  # killed after the first, redeployed after the second, killed after the third


@dataclass(frozen=True)
class TransactionsOptions:
    """How many records, of which 10 % are copies and 1 % conflicts."""

    events: int = 200_000
    seed: int = 1


def measure(settings: Settings, options: TransactionsOptions, say: Say) -> Result:
    """Send them in four parts, with a killed TaskManager and a redeploy in between, and compare what passed.

    Raises:
        BenchError: an id passed twice, is missing, or reconciliation does not match.
    """
    deployed = jobs.apply_job(settings, JOB)
    start = int(time.time() * 1000)
    made = TransactionOptions(seed=options.seed, start_ms=start, events=options.events, rate=1e6, dup=10, conflict=1)
    stream, wanted, sent = transactions(made), dict[str, int](), 0
    began = time.monotonic()
    for part in range(PARTS):
        say(f"send part {part + 1} of {PARTS}")
        sent += _send(settings, islice(stream, -(-options.events // PARTS)), wanted)
        if part in (0, 2):
            os.kill(pid_of(settings, "flink-taskmanager"), signal.SIGKILL)
        if part == 1:
            _settle(settings, deployed.flink_job_id, sent)
            deployed = jobs.apply_job(settings, JOB, choice=Choice.REDEPLOY)
    _settle(settings, deployed.flink_job_id, sent)
    seconds = time.monotonic() - began
    _check(settings, wanted)
    say("reconcile")
    run = reconcile(settings, "drained", boards=[OUTPUT])
    if run.verdict is not Verdict.MATCH:
        raise BenchError(f"reconciliation says {run.verdict.value}: {run.reason}")
    result = Result("transactions", {"events": options.events, "seed": options.seed})
    row = [f"{sent:,}", f"{len(wanted):,}", f"{sent - len(wanted):,}", f"{seconds:.0f} s", f"{run.seconds:.1f} s"]
    columns = ["records", "passed", "refused", "sent until settled, with two kills and a redeploy", "reconciled in"]
    result.tables.append(Table("Transactions", columns, [row]))
    return result


def _send(settings: Settings, records: Iterator[TransactionRecord], wanted: dict[str, int]) -> int:
    sent = 0
    with ScoreProducer(settings.kafka, RAW) as producer:
        for record in records:
            producer.send(record.key, record.value)
            sent += 1
            if record.kind is Kind.NORMAL:
                wanted[str(record.transaction["transaction_id"])] = int(str(record.transaction["amount"]))
    return sent


def _settle(settings: Settings, job_id: str, sent: int) -> None:
    """Wait until each record has passed or was refused, in rows that are committed."""
    deadline = time.monotonic() + LIMIT_SECONDS
    while sum(1 for topic in (UNIQUE, REFUSED) for _ in _held(settings, topic)) < sent:
        if time.monotonic() > deadline:
            raise BenchError(f"not all of {sent:,} records were decided within {LIMIT_SECONDS:.0f} s")
        time.sleep(2)
    with FlinkRest(settings.flink_rest) as flink, suppress(ServiceError):
        flink.checkpoint_now(job_id, 60)


def _held(settings: Settings, topic: str) -> Iterator[bytes]:
    ends = KafkaAdmin(settings.kafka).end_offsets(topic, read_committed=True)
    for record in records_between(settings.kafka, topic, dict.fromkeys(ends, 0), ends):
        yield record.value or b""


def _check(settings: Settings, wanted: dict[str, int]) -> None:
    """Each id passed once, with the amount of its first record, in the topic and in Postgres."""
    found = dict[str, int]()
    for value in _held(settings, UNIQUE):
        one = orjson.loads(value)
        if one["transaction_id"] in found:
            raise BenchError(f"{one['transaction_id']} passed twice")
        found[one["transaction_id"]] = one["amount"]
    with open_engine(settings) as engine, engine.connect() as database:
        rows = dict(database.execute(text("SELECT transaction_id, amount FROM transaction_ids")).tuples().all())
    if not wanted == found == rows:
        raise BenchError(f"{len(found):,} passed, {len(rows):,} are in Postgres, {len(wanted):,} should: they differ")
