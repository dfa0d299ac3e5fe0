"""Live against settled: the causes of a day add up to the difference, whatever came late, twice or broken."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from gamestream_dagster.archive.errors import HISTORY
from gamestream_dagster.archive.history import number_of
from gamestream_dagster.catalogue.sources import load_sources
from gamestream_dagster.metrics.compute import MetricsDatabase, millis_of
from gamestream_dagster.metrics.model import Reason, Settled
from gamestream_dagster.metrics.source import ArchivedUpto
from gamestream_dagster.reconciliation.live.model import DayCause, DayProof, ErasedEvents
from gamestream_dagster.reconciliation.live.run import NOBODY_ERASED, judged
from gamestream_dagster.reconciliation.model.values import Verdict
from gamestream_dagster.reconciliation.recompute.statements import statement
from tests.support.archive_maker import write_records
from tests.support.fakes.streams import GAME_EVENTS
from tests.support.metric_cases import DEVICES

ENRICHED = load_sources()["game-events-enriched"]
DAY = date(2026, 3, 1)
START = millis_of(DAY)
MINUTE, HOUR, WHOLE_DAY = 60_000, 3_600_000, 86_400_000
LATE, HORIZON = 10 * MINUTE, 12 * MINUTE


@dataclass
class World:
    """Raw records of one partition in their order, and what intake and the settled day make of them."""

    raw: list[tuple[bytes, int]] = field(default_factory=list[tuple[bytes, int]])
    enriched: list[tuple[bytes, int]] = field(default_factory=list[tuple[bytes, int]])
    live: Counter[str] = field(default_factory=Counter[str])
    settled: Counter[str] = field(default_factory=Counter[str])
    _remembered: dict[str, int] = field(default_factory=dict[str, int])
    _known: set[str] = field(default_factory=set[str])

    def send(self, event_id: str, at: int, kafka_at: int | None = None, **fields: Any) -> None:
        """`at`, `kafka_at`: milliseconds after the day began."""
        event = {"event_type": "level_start", "environment": "production", "user_id": "ann", **fields}
        kafka_time = START + (at if kafka_at is None else kafka_at)
        value = {"event_id": event_id, "event_time": START + at, "properties": {"level_id": 1}, **event}
        position = len(self.raw)
        self.raw.append((orjson.dumps(value), kafka_time))
        if kafka_time - START - at > 30 * WHOLE_DAY:
            return
        copy = kafka_time - self._remembered.get(event_id, -WHOLE_DAY) < HORIZON
        self._remembered[event_id] = kafka_time  # each copy renews the horizon
        counts = event["environment"] == "production" and 0 <= at < WHOLE_DAY
        if event_id not in self._known:
            self._known.add(event_id)
            self.settled[event["event_type"]] += counts
        if copy or kafka_time - START - at > LATE:
            return
        self.live[event["event_type"]] += counts
        written = {**event, "event_id": event_id, "event_time_millis": START + at, "properties": "{}"}
        self.enriched.append((orjson.dumps({**written, "raw_partition": 0, "raw_offset": position}), kafka_time))

    def proof(
        self,
        folder: Path,
        *,
        settled_upto: int | None = None,
        history: int = 0,
        erased: ErasedEvents = NOBODY_ERASED,
        **live: int,
    ) -> DayProof:
        """`settled_upto`: raw records when the day was settled; `live`: counts that the live table has instead."""
        write_records(folder / "raw", GAME_EVENTS, self.raw)
        write_records(folder / ENRICHED.topic, ENRICHED, self.enriched)
        offsets = {0: len(self.raw) if settled_upto is None else settled_upto}
        upto = ArchivedUpto(1, offsets, {number_of(DAY): history})
        version = replace(VERSION, upto=upto)
        with MetricsDatabase(folder / "raw", GAME_EVENTS, folder / "spill", DEVICES) as database:
            database.attach("enriched", folder / ENRICHED.topic, ENRICHED)
            bounds = {"from": START, "until": START + WHOLE_DAY}
            found = database.of_day(DAY, statement("live/day"), upto, **bounds)
        return judged(DAY, version, {**self.live, **live}, self.settled, found, erased=erased)


VERSION = Settled(
    metric="event_counts", day=DAY, version=1, settled_at=datetime(2026, 3, 2, tzinfo=UTC), reason=Reason.FIRST, rows=1,
    digest="", fingerprint="", file="", file_sha256="", upto=None, inputs={}, late_events=0, failed_checks=(),
)  # fmt: skip


def causes(proof: DayProof) -> Mapping[DayCause, int]:
    found: Counter[DayCause] = Counter()
    for one in proof.types:
        found.update(one.causes)
    return dict(found)


def world(*events: Sequence[Any]) -> World:
    made = World()
    for event in events:
        *given, last = event
        made.send(*given, **last) if isinstance(last, dict) else made.send(*event)
    return made


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([("a", 0), ("b", HOUR)], {}),
        ([("a", 0), ("b", 1000, LATE + 1001)], {DayCause.LATE: -1}),
        ([("a", 0), ("a", 0, HORIZON)], {}),  # late as well
        ([("a", HOUR, 0), ("a", HOUR, HORIZON - 1)], {}),
        ([("a", HOUR, 0), ("a", HOUR, HORIZON)], {DayCause.DUPLICATE: 1}),
        ([("a", HOUR, 0), ("a", HOUR, HORIZON), ("a", HOUR, 2 * HORIZON)], {DayCause.DUPLICATE: 2}),
        # the first record counts, on its own day and as its own type
        ([("a", -1, -1), ("a", HOUR, HOUR)], {DayCause.DUPLICATE: 1}),
        ([("a", 0), ("a", HOUR, HOUR, {"event_type": "player_join"})], {DayCause.DUPLICATE: 1}),
        ([("a", 0, 0, {"environment": "sandbox"}), ("a", HOUR, HOUR)], {DayCause.DUPLICATE: 1}),
        ([("a", WHOLE_DAY - 1), ("b", WHOLE_DAY), ("c", 0, 5, {"environment": "sandbox"})], {}),
    ],
)
def test_each_cause_by_itself(tmp_path: Path, events: list[Any], expected: dict[DayCause, int]) -> None:
    proof = world(*events).proof(tmp_path)
    assert causes(proof) == expected
    assert proof.verdict is (Verdict.EXPLAINED if expected else Verdict.MATCH)
    assert all(sum(one.causes.values()) == one.difference for one in proof.types)


def test_events_that_only_one_side_can_know_yet(tmp_path: Path) -> None:
    made = world(("a", 0), ("b", 1), ("c", 2), ("d", 3))
    made.enriched = made.enriched[1:3]
    made.live = Counter({"level_start": 2})
    made.settled = Counter({"level_start": 3})
    proof = made.proof(tmp_path, settled_upto=3)
    assert causes(proof) == {DayCause.BEFORE_LIVE: -1, DayCause.NOT_YET_LIVE: -1, DayCause.SINCE_SETTLED: 1}
    assert proof.verdict is Verdict.EXPLAINED


@pytest.mark.parametrize(
    ("read", "expected"), [(1, {DayCause.BACKFILLED: -1}), (0, {DayCause.BACKFILLED: -1, DayCause.SINCE_SETTLED: 1})]
)
def test_backfilled_events_are_settled_and_never_live(tmp_path: Path, read: int, expected: dict[DayCause, int]) -> None:
    made = world(("a", 0))
    event = {"event_id": "old", "user_id": "ann", "event_type": "level_start", "event_time": START}
    event |= {"environment": "production", "properties": {"level_id": 1}}
    source = replace(GAME_EVENTS, topic=HISTORY)
    write_records(tmp_path / HISTORY, source, [(orjson.dumps(event), START)], partition=number_of(DAY))
    made.settled["level_start"] += read
    proof = made.proof(tmp_path, history=read)
    assert causes(proof) == expected
    assert proof.verdict is Verdict.EXPLAINED


def test_what_the_archives_do_not_account_for_is_unexplained(tmp_path: Path) -> None:
    made = world(("a", 0), ("b", 1), ("c", 2))
    edited = made.proof(tmp_path, level_start=5)
    assert causes(edited) == {DayCause.LIVE_ROWS: 2}
    assert (edited.verdict, edited.exit_code) == (Verdict.DIFFERENT, 1)
    made.settled["level_start"] += 2
    edited = made.proof(tmp_path / "both", level_start=5)
    assert causes(edited) == {DayCause.LIVE_ROWS: 2, DayCause.SETTLED_ROWS: -2}
    assert [one.difference for one in edited.types] == [0]
    assert edited.verdict is Verdict.DIFFERENT


def test_a_record_that_intake_swallowed_and_one_that_nobody_sent_do_not_cancel(tmp_path: Path) -> None:
    made = world(("a", 0), ("b", 1), ("c", 2))
    del made.enriched[1]
    made.enriched.append((made.enriched[0][0].replace(b'"event_id":"a"', b'"event_id":"z"'), START))
    proof = made.proof(tmp_path)
    assert causes(proof) == {DayCause.LOST: -1, DayCause.FOREIGN: 1}
    assert proof.verdict is Verdict.DIFFERENT


@pytest.mark.parametrize("seed", [1, 2])
def test_a_dirty_day_adds_up(tmp_path: Path, seed: int) -> None:
    chance, made = random.Random(seed), World()
    sent: list[tuple[str, int]] = []
    for now in range(-2 * HOUR, WHOLE_DAY + HOUR, 30_000):
        at = now - chance.choice([0, 0, 0, -40 * MINUTE, 60_000, LATE, LATE + 1, HOUR, 40 * WHOLE_DAY])
        name = f"e{now}"
        if sent and chance.random() < 0.2:
            name, at = chance.choice(sent[-60:] if chance.random() < 0.7 else sent)
        sent.append((name, at))
        kind = chance.choice(["level_start", "level_fail", "player_join"])
        made.send(name, at, now, event_type=kind, environment=chance.choice(["production"] * 5 + ["sandbox"]))
    proof = made.proof(tmp_path)
    assert proof.verdict is Verdict.EXPLAINED, proof
    assert all(sum(one.causes.values()) == one.difference for one in proof.types)
    assert {DayCause.LATE, DayCause.DUPLICATE} == causes(proof).keys()


def test_erased_events_are_those_that_live_and_the_settled_day_still_count(tmp_path: Path) -> None:
    world = World()
    world.send("a", HOUR)
    kind = "level_start"
    assert causes(world.proof(tmp_path / "live", erased=ErasedEvents({kind: 2}, {}), **{kind: 3})) == {
        DayCause.ERASED: 2
    }
    both = replace(world, settled=Counter({kind: 3}))
    proof = both.proof(tmp_path / "both", erased=ErasedEvents({kind: 2}, {kind: 2}), **{kind: 3})
    assert (proof.verdict, causes(proof)) == (Verdict.MATCH, {})
    more = world.proof(tmp_path / "more", erased=ErasedEvents({kind: 2}, {}), **{kind: 4})
    assert (more.verdict, causes(more)) == (Verdict.DIFFERENT, {DayCause.LIVE_ROWS: 3})
