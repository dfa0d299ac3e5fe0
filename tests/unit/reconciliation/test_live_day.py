"""Live against settled: the causes of a day add up to the difference, whatever came late, twice or broken."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest

from gamestream_dagster.archive.erased_counts import CountsKept, count_files
from gamestream_dagster.archive.erasing import erase_from_archive
from gamestream_dagster.archive.errors import HISTORY
from gamestream_dagster.archive.history import number_of
from gamestream_dagster.catalogue.boards import load_boards
from gamestream_dagster.catalogue.metrics import LiveOutput
from gamestream_dagster.catalogue.sources import load_sources
from gamestream_dagster.metrics.compute import MetricsDatabase, millis_of
from gamestream_dagster.metrics.source import ArchivedUpto
from gamestream_dagster.privacy.player import player_of
from gamestream_dagster.reconciliation.errors import CouldNotLookError
from gamestream_dagster.reconciliation.live.archived import NOBODY_ERASED, Erased, open_day
from gamestream_dagster.reconciliation.live.comparisons import Group, check, comparisons
from gamestream_dagster.reconciliation.live.model import DayCause, DayProof, LiveNumber, Number
from gamestream_dagster.reconciliation.live.run import Held, numbers_of
from gamestream_dagster.reconciliation.live.verdicts import verdict_of
from gamestream_dagster.reconciliation.model.values import Verdict
from gamestream_dagster.settings import Settings
from tests.support.archive_maker import write_records
from tests.support.fakes.streams import GAME_EVENTS
from tests.support.metric_cases import DEVICES

ENRICHED = load_sources()["game-events-enriched"]
COMPARISONS = comparisons(Settings())
DAY = date(2026, 3, 1)
START = millis_of(DAY)
MINUTE, HOUR, WHOLE_DAY = 60_000, 3_600_000, 86_400_000
LATE, HORIZON = 10 * MINUTE, 12 * MINUTE
PROPERTIES: Mapping[str, Mapping[str, Any]] = {
    "item_purchase": {"item": "gems", "price": "4.99", "currency": "EUR"},
    "refund": {"purchase_event_id": "p", "price_usd": "1.50"},
    "feature_used": {"feature": "map"},
}
Place = tuple[str, str, Group]
"""Metric, column, group."""

EVENTS: Place = ("event_counts", "events", ("level_start",))
FEATURE: Place = ("feature_engagement_daily", "uses", ("bag",))


def counted(event: Mapping[str, Any]) -> dict[Place, Number]:
    """What an event adds to the numbers that are both live and settled."""
    kind, properties = event["event_type"], event["properties"]
    found: dict[Place, Number] = {("event_counts", "events", (kind,)): 1}
    if kind == "item_purchase":
        found["revenue_daily", "purchases", ()] = 1
    if kind == "refund":
        found["revenue_daily", "refunds", ()] = 1
        found["revenue_daily", "refunds_usd", ()] = Decimal(properties["price_usd"])
    if kind == "feature_used" and properties["feature"]:
        found["feature_engagement_daily", "uses", (properties["feature"],)] = 1
    return found


@dataclass
class World:
    """Raw records of one partition in their order, and what intake and the settled day make of them."""

    raw: list[tuple[bytes, int]] = field(default_factory=list[tuple[bytes, int]])
    enriched: list[tuple[bytes, int]] = field(default_factory=list[tuple[bytes, int]])
    live: Counter[Place] = field(default_factory=Counter[Place])
    settled: Counter[Place] = field(default_factory=Counter[Place])
    _remembered: dict[str, int] = field(default_factory=dict[str, int])
    _known: set[str] = field(default_factory=set[str])

    def send(self, event_id: str, at: int, kafka_at: int | None = None, **fields: Any) -> None:
        """`at`, `kafka_at`: milliseconds after the day began."""
        event = {"event_type": "level_start", "environment": "production", "user_id": "ann", **fields}
        event.setdefault("properties", PROPERTIES.get(event["event_type"], {"level_id": 1}))
        kafka_time = START + (at if kafka_at is None else kafka_at)
        value = {"event_id": event_id, "event_time": START + at, **event}
        position = len(self.raw)
        self.raw.append((orjson.dumps(value), kafka_time))
        if kafka_time - START - at > 30 * WHOLE_DAY:
            return
        copy = kafka_time - self._remembered.get(event_id, -WHOLE_DAY) < HORIZON
        self._remembered[event_id] = kafka_time  # each copy renews the horizon
        counts = counted(event) if event["environment"] == "production" and 0 <= at < WHOLE_DAY else {}
        if event_id not in self._known:
            self._known.add(event_id)
            self.settled.update(counts)
        if copy or kafka_time - START - at > LATE:
            return
        self.live.update(counts)
        properties = orjson.dumps(event["properties"]).decode()
        written = {**event, "event_id": event_id, "event_time_millis": START + at, "properties": properties}
        self.enriched.append((orjson.dumps({**written, "raw_partition": 0, "raw_offset": position}), kafka_time))

    def proof(
        self, folder: Path, *, settled_upto: int | None = None, history: int = 0, erased: str = "", **live: int
    ) -> DayProof:
        """With what the tables have.

        Args:
            folder: of the archives.
            settled_upto: raw records when the day was settled.
            history: backfilled events then.
            erased: a player who is erased from the archives, and in no table yet.
            live: events that the live table has instead.
        """
        write_records(folder / "raw", GAME_EVENTS, self.raw)
        write_records(folder / ENRICHED.topic, ENRICHED, self.enriched)
        counts = erase(folder, erased) if erased else NOBODY_ERASED
        offsets = {0: len(self.raw) if settled_upto is None else settled_upto}
        upto = ArchivedUpto(1, offsets, {number_of(DAY): history})
        in_live = {**self.live, **{("event_counts", "events", (kind,)): count for kind, count in live.items()}}
        numbers: list[LiveNumber] = []
        with (
            MetricsDatabase(folder / "raw", GAME_EVENTS, folder / "spill", DEVICES) as database,
            open_day(database, DAY, ENRICHED, folder / ENRICHED.topic, upto, erased=counts) as archives,
        ):
            for one in COMPARISONS:
                places = [(one.metric.name, column) for column in one.live.sums]
                held = Held(one, 1, table_of(places, in_live), table_of(places, self.settled))
                numbers += numbers_of(held, archives)
        return DayProof(DAY, *verdict_of(numbers), {}, tuple(numbers))


def erase(folder: Path, player: str) -> Erased:
    """Empty the records of a player; what they gave to counts is kept."""
    settings = Settings(home=folder / "home")
    one, files = player_of(settings, player), dict[str, list[Path]]()
    for topic, source in (("raw", GAME_EVENTS), (ENRICHED.topic, ENRICHED)):
        kept = CountsKept(folder / "counted" / topic, source, one.key)
        erase_from_archive(folder / topic, one, 1, kept=kept)
        files[topic] = count_files(kept.folder)
    return Erased(files[ENRICHED.topic], files["raw"])


def table_of(places: list[tuple[str, str]], counts: Mapping[Place, Number]) -> dict[Group, tuple[Number, ...]]:
    """The rows of a table that has these columns."""
    groups = {place[2] for place in counts if place[:2] in places}
    return {group: tuple(counts.get((*place, group), 0) for place in places) for group in groups}


def causes(proof: DayProof, metric: str = "event_counts") -> Mapping[DayCause, Number]:
    found: Counter[DayCause] = Counter()
    for one in proof.numbers:
        if one.metric == metric:
            found.update(one.causes)
    return {cause: number for cause, number in found.items() if number}


def adds_up(proof: DayProof) -> bool:
    return all(sum(one.causes.values()) == one.difference for one in proof.numbers)


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
    assert adds_up(proof)


def test_events_that_only_one_side_can_know_yet(tmp_path: Path) -> None:
    made = world(("a", 0), ("b", 1), ("c", 2), ("d", 3))
    made.enriched = made.enriched[1:3]
    made.live = Counter({EVENTS: 2})
    made.settled = Counter({EVENTS: 3})
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
    made.settled[EVENTS] += read
    proof = made.proof(tmp_path, history=read)
    assert causes(proof) == expected
    assert proof.verdict is Verdict.EXPLAINED


def test_what_the_archives_do_not_account_for_is_unexplained(tmp_path: Path) -> None:
    made = world(("a", 0), ("b", 1), ("c", 2))
    edited = made.proof(tmp_path, level_start=5)
    assert causes(edited) == {DayCause.LIVE_ROWS: 2}
    assert (edited.verdict, edited.exit_code) == (Verdict.DIFFERENT, 1)
    made.settled[EVENTS] += 2
    edited = made.proof(tmp_path / "both", level_start=5)
    assert causes(edited) == {DayCause.LIVE_ROWS: 2, DayCause.SETTLED_ROWS: -2}
    assert [one.difference for one in edited.numbers if one.metric == "event_counts"] == [0]
    assert edited.verdict is Verdict.DIFFERENT


def test_a_record_that_intake_swallowed_and_one_that_nobody_sent_do_not_cancel(tmp_path: Path) -> None:
    made = world(("a", 0), ("b", 1), ("c", 2))
    del made.enriched[1]
    made.enriched.append((made.enriched[0][0].replace(b'"event_id":"a"', b'"event_id":"z"'), START))
    proof = made.proof(tmp_path)
    assert causes(proof) == {DayCause.LOST: -1, DayCause.FOREIGN: 1}
    assert proof.verdict is Verdict.DIFFERENT


def test_tables_that_still_count_an_erased_player_differ_by_the_player_alone(tmp_path: Path) -> None:
    bob = {"user_id": "bob"}
    made = world(
        ("a", 0),
        ("b", 1, bob),
        ("c", 2, {**bob, "event_type": "refund"}),
        ("d", 3, {**bob, "event_type": "feature_used"}),
    )
    kept = dict(made.settled)
    live = made.proof(tmp_path / "both", erased="bob")
    assert (live.verdict, [one.causes for one in live.numbers if one.causes]) == (Verdict.MATCH, [])
    made.settled = Counter({EVENTS: 1})
    settled = made.proof(tmp_path / "settled again", erased="bob")
    assert settled.verdict is Verdict.EXPLAINED
    assert {(one.column, one.group): one.causes for one in settled.numbers if one.causes} == {
        ("events", ("feature_used",)): {DayCause.ERASED: 1},
        ("events", ("level_start",)): {DayCause.ERASED: 1},
        ("events", ("refund",)): {DayCause.ERASED: 1},
        ("refunds", ()): {DayCause.ERASED: 1},
        ("refunds_usd", ()): {DayCause.ERASED: Decimal("1.5")},
        ("uses", ("map",)): {DayCause.ERASED: 1},
    }
    made.settled, made.live = Counter(kept), Counter({EVENTS: 1})
    live = made.proof(tmp_path / "counted anew", erased="bob")
    assert causes(live) == {DayCause.ERASED: -3}
    edited = made.proof(tmp_path / "edited", erased="bob", level_start=4)
    assert (edited.verdict, causes(edited)[DayCause.LIVE_ROWS]) == (Verdict.DIFFERENT, 3)
    assert "bob" not in repr(edited)


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
        kind = chance.choice(["level_start", "level_fail", "item_purchase", "refund", "feature_used"])
        made.send(name, at, now, event_type=kind, environment=chance.choice(["production"] * 5 + ["sandbox"]))
    proof = made.proof(tmp_path)
    assert proof.verdict is Verdict.EXPLAINED, proof
    assert adds_up(proof)
    for metric in {one.metric.name for one in COMPARISONS}:
        assert {DayCause.LATE, DayCause.DUPLICATE} == causes(proof, metric).keys()


@pytest.mark.parametrize(
    ("later", "expected"),
    [
        ({}, {DayCause.DUPLICATE: Decimal("1.5")}),
        # live counts both prices, the settled day that of the first record
        ({"properties": {"purchase_event_id": "p", "price_usd": "7"}}, {DayCause.DUPLICATE: Decimal(7)}),
    ],
)
def test_a_copy_beyond_the_horizon_adds_what_it_says(
    tmp_path: Path, later: dict[str, Any], expected: dict[DayCause, Number]
) -> None:
    kind = {"event_type": "refund"}
    proof = world(("a", HOUR, 0, kind), ("a", HOUR, HORIZON, {**kind, **later})).proof(tmp_path)
    [money] = [one for one in proof.numbers if one.column == "refunds_usd"]
    assert money.causes == expected
    assert adds_up(proof)


def test_a_copy_that_live_counts_in_place_of_a_late_record_is_a_duplicate(tmp_path: Path) -> None:
    late, other = {"event_type": "refund"}, {"purchase_event_id": "p", "price_usd": "7"}
    made = world(("a", 0, LATE + 1, late), ("a", HOUR, HOUR, {**late, "properties": other}))
    proof = made.proof(tmp_path)
    by_column = {one.column: one.causes for one in proof.numbers if one.metric == "revenue_daily"}
    assert by_column == {"purchases": {}, "refunds": {}, "refunds_usd": {DayCause.DUPLICATE: Decimal("5.5")}}
    assert proof.verdict is Verdict.EXPLAINED


def test_a_record_that_intake_wrote_otherwise_is_an_alarm(tmp_path: Path) -> None:
    made = world(("a", 0, 0, {"event_type": "feature_used"}))
    made.enriched = [(made.enriched[0][0].replace(b"map", b"bag"), START)]
    made.live = Counter({("event_counts", "events", ("feature_used",)): 1, FEATURE: 1})
    proof = made.proof(tmp_path)
    assert {one.group: one.causes for one in proof.numbers if one.column == "uses"} == {
        ("bag",): {DayCause.CHANGED: 1},
        ("map",): {DayCause.CHANGED: -1},
    }
    assert (proof.verdict, proof.reason) == (Verdict.DIFFERENT, "UNEXPLAINED differences of uses of bag, uses of map")


@pytest.mark.parametrize(
    ("live", "said"),
    [
        ({"by": {"event_name": "level"}}, "by 'level', which is no column of its key"),
        ({"sums": {"events": {"of": "as_of"}}}, "'as_of', whose role is not sum or count"),
        ({"output": "sessions_live", "sums": {"events": {"of": "events"}}}, "whose key does not hold one time"),
    ],
)
def test_a_comparison_that_cannot_be_added_up_is_refused(live: dict[str, Any], said: str) -> None:
    [one] = [one for one in COMPARISONS if one.metric.name == "event_counts"]
    boards = load_boards()
    described = LiveOutput.model_validate({"output": one.board.name, "sums": {"events": {"of": "events"}}, **live})
    with pytest.raises(CouldNotLookError, match=said):
        check(replace(one, live=described, board=boards[described.output]))
