"""Simulated transactions: purchases and refunds, some sent again, some under a wrong key or none.

The same options and start give the same records in the same order, as for scores (`events.simulator`).
"""

from __future__ import annotations

import hashlib
import math
import random
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final, NamedTuple

import orjson
from pydantic import BaseModel, ConfigDict, Field, model_validator

from gamestream_dagster.catalogue.sources import source_of_event, stack_sources
from gamestream_dagster.events.interrupts import until_interrupted
from gamestream_dagster.events.pacing import Pacer
from gamestream_dagster.events.producer import ScoreProducer
from gamestream_dagster.settings import Settings

EVENT_TYPE: Final = "transaction"
REMEMBERED: Final = 20_000  # transactions that may be sent again; bounds the memory at any rate
CURRENCIES: Final = ("EUR", "USD", "JPY", "GBP")
_BAD: Final[tuple[Callable[[dict[str, object]], bytes], ...]] = (
    lambda one: b"not json",
    lambda one: orjson.dumps({name: value for name, value in one.items() if name != "transaction_id"}),
    lambda one: orjson.dumps({**one, "amount": 9.99}),
    lambda one: orjson.dumps({**one, "amount": -1}),
    lambda one: orjson.dumps({**one, "user_id": None}),
)


class Kind(StrEnum):
    """The kind of a simulated record."""

    NORMAL = "normal"  # a transaction for the first time
    DUP = "dup"  # the exact bytes of an earlier record
    CONFLICT = "conflict"  # id and key of an earlier record with another amount
    BAD = "bad"  # refused by the acceptance rule


class TransactionOptions(BaseModel):
    """The simulated stream. Shares are per cent of all records."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = 1
    start_ms: int = Field(ge=0, description="Time of the beginning, milliseconds since 1970 UTC.")
    rate: float = Field(default=50.0, gt=0, description="Mean records per second.")
    events: int | None = Field(default=None, ge=0, description="Stop after so many records.")
    duration: float | None = Field(default=None, gt=0, description="Stop after so many seconds.")
    dup: float = Field(default=10.0, ge=0, le=100)
    conflict: float = Field(default=1.0, ge=0, le=100)
    bad: float = Field(default=0.0, ge=0, le=100)
    keyless: float = Field(default=20.0, ge=0, le=100, description="Share of records without a key.")
    wrong_key: float = Field(default=20.0, ge=0, le=100, description="Share of records keyed by the player.")
    players: int = Field(default=500, ge=1, le=1_000_000)

    @model_validator(mode="after")
    def _consistent(self) -> TransactionOptions:
        if self.dup + self.conflict + self.bad > 100:
            raise ValueError("dup, conflict and bad together are over 100 per cent; make one smaller")
        if self.keyless + self.wrong_key > 100:
            raise ValueError("keyless and wrong-key together are over 100 per cent; make one smaller")
        return self


class TransactionRecord(NamedTuple):
    """One record to send, with its ground truth."""

    due_ms: float  # since the start
    kind: Kind
    transaction: dict[str, object]
    key: bytes | None
    value: bytes


@dataclass
class TransactionsResult:
    """The outcome of a simulation; every record was delivered."""

    sent: int = 0
    kinds: Counter[str] = field(default_factory=Counter[str])
    seconds: float = 0.0
    interrupted: bool = False
    truth: Path | None = None

    @property
    def unique(self) -> int:
        """Transactions that must pass."""
        return self.kinds[Kind.NORMAL.value]


def transactions(options: TransactionOptions) -> Iterator[TransactionRecord]:
    """Records in the order of sending; endless when neither `events` nor `duration` is set."""
    run = _Run(options)
    number, now = 0, 0.0
    while options.events is None or number < options.events:
        now += -math.log(1.0 - run.rng.random()) * 1000 / options.rate
        if options.duration is not None and now >= options.duration * 1000:
            return
        yield run.record(number, now)
        number += 1


def simulate_transactions(
    settings: Settings,
    options: TransactionOptions,
    *,
    truth: Path | None = None,
    paced: bool = True,
    topic: str | None = None,
    on_progress: Callable[[TransactionsResult], None] = lambda result: None,
) -> TransactionsResult:
    """Send simulated transactions; Ctrl-C ends it cleanly.

    Args:
        settings: which stack.
        options: the stream.
        truth: file of JSON lines, one for each transaction that must pass; None: none is written.
        paced: send each record when it is due; False: as fast as possible.
        topic: default: the stream of transactions in topics.yaml.
        on_progress: told now and then.

    Raises:
        SendingError: not all records could be delivered.
        CatalogueError: no stream takes transactions.
    """
    target = topic or source_of_event(EVENT_TYPE, stack_sources(settings)).topic
    result = TransactionsResult(truth=truth)
    if truth is not None:
        truth.parent.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    with (
        ScoreProducer(settings.kafka, target) as producer,
        until_interrupted() as stopped,
        truth.open("wb") if truth is not None else nullcontext() as lines,
    ):
        pacer = Pacer(producer, stopped) if paced else None
        for record in transactions(options):
            if pacer is not None:
                pacer.wait(record.due_ms)
            if stopped():
                result.interrupted = True
                break
            producer.send(record.key, record.value)
            if lines is not None and record.kind is Kind.NORMAL:
                lines.write(orjson.dumps(record.transaction) + b"\n")
            result.sent += 1
            result.kinds[record.kind.value] += 1
            if result.sent % 500 == 0:
                on_progress(result)
        producer.flush()
        result.seconds = time.monotonic() - started
    on_progress(result)
    return result


class _Run:
    """State of one simulation: the random source, and the transactions that may be sent again."""

    def __init__(self, options: TransactionOptions) -> None:
        self.options = options
        self.rng = random.Random(options.seed)  # noqa: S311 - a simulation, not a secret
        self.prefix = hashlib.sha256(f"{options.seed}:{options.start_ms}".encode()).hexdigest()[:10]
        self.passed: deque[TransactionRecord] = deque(maxlen=REMEMBERED)
        self.keyed: deque[TransactionRecord] = deque(maxlen=REMEMBERED)
        self.bad_made = 0

    def record(self, number: int, now: float) -> TransactionRecord:
        chance = self.rng.random() * 100
        options = self.options
        if chance < options.bad:
            made = self._transaction(number, now)
            value = _BAD[self.bad_made % len(_BAD)](made)
            self.bad_made += 1
            return TransactionRecord(now, Kind.BAD, made, self._key(made), value)
        if chance < options.bad + options.dup:
            if self.passed:
                first = self.passed[self.rng.randrange(len(self.passed))]
                return first._replace(due_ms=now, kind=Kind.DUP, key=self._key(first.transaction))
        elif chance < options.bad + options.dup + options.conflict and self.keyed:
            # under the key of the first one: else either may be re-keyed first, and nobody knows which must pass
            first = self.keyed[self.rng.randrange(len(self.keyed))]
            other = {**first.transaction, "amount": self.rng.randrange(10**6) + 10**6}
            return TransactionRecord(now, Kind.CONFLICT, other, first.key, orjson.dumps(other))
        made = self._transaction(number, now)
        record = TransactionRecord(now, Kind.NORMAL, made, self._key(made), orjson.dumps(made))
        self.passed.append(record)
        if record.key is not None:
            self.keyed.append(record)
        return record

    def _transaction(self, number: int, now: float) -> dict[str, object]:
        return {
            "transaction_id": f"{self.prefix}-{number}",
            "user_id": f"player-{self.rng.randrange(self.options.players)}",
            "transaction_type": "refund" if self.rng.random() < 0.05 else "purchase",
            "amount": 1 + self.rng.randrange(10_000),
            "currency": CURRENCIES[self.rng.randrange(len(CURRENCIES))],
            "event_time_millis": self.options.start_ms + int(now),
        }

    def _key(self, made: dict[str, object]) -> bytes | None:
        chance = self.rng.random() * 100
        if chance < self.options.keyless:
            return None
        named = "user_id" if chance < self.options.keyless + self.options.wrong_key else "transaction_id"
        return str(made[named]).encode()
