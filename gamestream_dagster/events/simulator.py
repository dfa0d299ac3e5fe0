"""Score events of a simulated crowd. The same options and start give the same bytes in the same order.

Simulated time advances by the rate, not by the clock: a slow machine changes when a record is
sent, but not its content.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections import deque
from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import Final, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, model_validator

from gamestream_dagster.events.crowd import Crowd
from gamestream_dagster.events.faults import BAD_AVRO_EVENTS, BAD_RECORDS
from gamestream_dagster.events.outcome import Reason
from gamestream_dagster.events.score_event import ScoreEvent, encode_json, readable_time

LATE_FROM_MS: Final = 5 * 60_000  # as in the first demo's generator: late by 5 to 10 minutes
LATE_SPREAD_MS: Final = 5 * 60_000
SKEW_LIMIT_MS: Final = 3_000  # a skewed clock is off by up to this in either direction
BURST_EVERY_MS: Final = 60_000
BURST_LENGTH_MS: Final = 5_000
REMEMBERED: Final = 20_000  # events kept for repetition; bounds the memory at any rate

Encode = Callable[[ScoreEvent], bytes]


class Kind(StrEnum):
    """The kind of a simulated record."""

    NORMAL = "normal"  # in time, once
    LATE = "late"  # its event time is 5 to 10 minutes in the past
    DUP = "dup"  # the exact bytes of an earlier record
    BAD = "bad"  # refused by the acceptance rule


class SimulatorOptions(BaseModel):
    """The simulated stream. Shares are per cent of all records."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = 1
    start_ms: int = Field(ge=0, description="Event time of the beginning, milliseconds since 1970 UTC.")
    rate: float = Field(default=100.0, gt=0, description="Mean records per second, outside bursts.")
    events: int | None = Field(default=None, ge=0, description="Stop after so many records.")
    duration: float | None = Field(default=None, gt=0, description="Stop after so many seconds of event time.")
    late: float = Field(default=0.0, ge=0, le=100)
    dup: float = Field(default=0.0, ge=0, le=100)
    bad: float = Field(default=0.0, ge=0, le=100)
    skew: float = Field(default=0.0, ge=0, le=100, description="Share of events from a clock up to 3 s wrong.")
    burst: float = Field(default=1.0, ge=1, description="Factor on the rate, for 5 s in each minute.")
    teams: int = Field(default=15, ge=1)
    players: int | None = Field(default=None, ge=2, le=200_000)
    team_minutes: float = Field(default=20.0, gt=0, description="A team lives between this and twice this.")
    zipf: float = Field(default=0.0, ge=0, le=5)
    max_score: int = Field(default=20, ge=0, le=1_000_000_000)
    dup_after: float = Field(default=0.0, ge=0, description="A repetition comes at least so many minutes later.")
    dup_within: float = Field(default=0.05, gt=0, description="... and at most so many; a retry of a producer: 3 s.")

    @model_validator(mode="after")
    def _consistent(self) -> SimulatorOptions:
        if self.late + self.dup + self.bad > 100:
            raise ValueError("late, dup and bad together are over 100 per cent; make one smaller")
        if self.dup_after >= self.dup_within:
            raise ValueError("--dup-after must be less than --dup-within")
        return self


class SimulatedRecord(NamedTuple):
    """One record to send, with its ground truth."""

    number: int
    due_ms: float  # since the start
    kind: Kind
    reason: Reason | None  # why it will be refused
    event: ScoreEvent  # for a bad record: the event that was corrupted
    value: bytes | None

    @property
    def key(self) -> bytes:
        """The record's key. A bad record keeps the key of the original event."""
        return self.event.key


def simulate(options: SimulatorOptions, encode: Encode = encode_json) -> Iterator[SimulatedRecord]:
    """Records in the order of sending; endless when neither `events` nor `duration` is set."""
    run = _Run(options, encode)
    number, now = 0, 0.0
    while options.events is None or number < options.events:
        now += run.gap_ms(now)
        if options.duration is not None and now >= options.duration * 1000:
            return
        yield run.record(number, now)
        number += 1


class _Run:
    """State of one simulation: the crowd, the random source, and the events that may be repeated."""

    def __init__(self, options: SimulatorOptions, encode: Encode) -> None:
        self.options = options
        self.encode = encode
        self.is_json = encode is encode_json
        self.rng = random.Random(options.seed)  # noqa: S311 - a simulation, not a secret
        self.prefix = hashlib.sha256(f"{options.seed}:{options.start_ms}".encode()).hexdigest()[:10]
        self.crowd = Crowd(
            rng=self.rng,
            id_offset=int(hashlib.sha256(f"teams:{options.seed}".encode()).hexdigest()[:8], 16),
            teams=options.teams,
            players=options.players,
            team_minutes=options.team_minutes,
            zipf=options.zipf,
        )
        self.bad_made = 0
        self.bad_below = options.bad / 100
        self.dup_below = self.bad_below + options.dup / 100
        self.late_below = self.dup_below + options.late / 100
        # Candidates for duplicates: `waiting` are younger than --dup-after, `ready` are old enough.
        self.waiting: deque[SimulatedRecord] = deque()
        self.ready: deque[SimulatedRecord] = deque()
        expected = options.rate * options.dup_within * 60
        self.remember_share = min(1.0, REMEMBERED / expected) if options.dup else 0.0

    def gap_ms(self, now: float) -> float:
        """Time to the next record; arrivals are random, like those of many players."""
        bursting = now % BURST_EVERY_MS < BURST_LENGTH_MS
        rate = self.options.rate * (self.options.burst if bursting else 1.0)
        return -math.log(1.0 - self.rng.random()) * 1000 / rate

    def record(self, number: int, now: float) -> SimulatedRecord:
        chance = self.rng.random()
        if chance < self.bad_below:
            return self._bad(number, now)
        if chance < self.dup_below:
            repeated = self._repeatable(now)
            if repeated is not None:
                return repeated._replace(number=number, due_ms=now, kind=Kind.DUP)
        kind = Kind.LATE if self.dup_below <= chance < self.late_below else Kind.NORMAL
        event = self._event(number, now, kind)
        record = SimulatedRecord(number, now, kind, None, event, self.encode(event))
        if self.remember_share and self.rng.random() < self.remember_share:
            self._remember(record)
        return record

    def _event(self, number: int, now: float, kind: Kind) -> ScoreEvent:
        team, user_id = self.crowd.pick(int(now))
        millis = self.options.start_ms + int(now)
        if kind is Kind.LATE:
            millis -= LATE_FROM_MS + int(self.rng.random() * LATE_SPREAD_MS)
        if self.options.skew and self.rng.random() * 100 < self.options.skew:
            millis += int((2 * self.rng.random() - 1) * SKEW_LIMIT_MS)
        millis = max(millis, 0)
        return ScoreEvent(
            user_id,
            team.team_id,
            team.team_name,
            int(self.rng.random() * (self.options.max_score + 1)),
            millis,
            readable_time(millis),
            "late" if kind is Kind.LATE else "normal",
            f"{self.prefix}-{number}",
        )

    def _bad(self, number: int, now: float) -> SimulatedRecord:
        event = self._event(number, now, Kind.NORMAL)
        if self.is_json:
            reason, make = BAD_RECORDS[self.bad_made % len(BAD_RECORDS)]
            value = make(event)
        else:
            reason, spoil = BAD_AVRO_EVENTS[self.bad_made % len(BAD_AVRO_EVENTS)]
            value = self.encode(spoil(event))
        self.bad_made += 1
        return SimulatedRecord(number, now, Kind.BAD, reason, event, value)

    def _remember(self, record: SimulatedRecord) -> None:
        self.waiting.append(record)
        if len(self.waiting) + len(self.ready) > REMEMBERED:
            (self.ready or self.waiting).popleft()

    def _repeatable(self, now: float) -> SimulatedRecord | None:
        after, within = self.options.dup_after * 60_000, self.options.dup_within * 60_000
        while self.waiting and now - self.waiting[0].due_ms >= after:
            self.ready.append(self.waiting.popleft())
        while self.ready and now - self.ready[0].due_ms > within:
            self.ready.popleft()
        return self.ready[int(self.rng.random() * len(self.ready))] if self.ready else None
