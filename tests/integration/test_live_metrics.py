"""Covers: live metrics of real game events: raw to intake to minutes, closed, proven at a cut, and a hand edit seen."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

import pytest
import sqlalchemy as sa

from gamestream_dagster.archive.writer import archive_topic
from gamestream_dagster.clients.postgres import open_engine
from gamestream_dagster.metrics.completeness import Completeness
from gamestream_dagster.metrics.settle import open_settler
from gamestream_dagster.metrics.source import game_source
from gamestream_dagster.reconciliation.live.model import DayCause
from gamestream_dagster.reconciliation.live.run import reconcile_day
from gamestream_dagster.reconciliation.model.values import Verdict
from gamestream_dagster.reconciliation.repair import apply_repair, plan_repair
from gamestream_dagster.resources.metrics import Metrics
from gamestream_dagster.settings import Settings
from gamestream_dagster.warehouse.tables import live_comparisons
from tests.support.live_job import LiveJob
from tests.support.world import World

METRICS = "game_metrics_v1"
MINUTE = 60_000
BEGIN = (int(time.time() * 1000) // MINUTE - 40) * MINUTE
PLAYERS, EVENTS = 60, 3_000
LATE_AFTER, LATE_BY = 10 * MINUTE, 11 * MINUTE
TYPES: dict[str, dict[str, Any]] = {
    "player_join": {},
    "level_start": {"level_id": 0},
    "level_complete": {"level_id": 0, "moves_used": 9},
    "item_purchase": {"item": "gems", "price": "4.99", "currency": "USD"},
    "feature_used": {"feature": "map"},
    "experiment_exposure": {},
}


def game_events(seed: int, begin: int, millis: int, events: int) -> Iterator[dict[str, Any]]:
    """Events of all players in order of time, some of the sandbox, some behind; `millis`: over how long."""
    chance = random.Random(seed)
    for number in range(events):
        at = begin + millis * number // events
        kind = chance.choice(list(TYPES))
        properties = {name: chance.randrange(3) if name == "level_id" else value for name, value in TYPES[kind].items()}
        yield {
            "event_id": f"{seed}-{number}",
            "user_id": f"p{number % PLAYERS}",
            "event_type": kind,
            "event_time": max(begin, at - chance.choice([*[0] * 40, *[90_000] * 9, LATE_BY])),
            "region": chance.choice(["NA", "EU", None]),
            "environment": chance.choice(["production"] * 9 + ["sandbox"]),
            "experiment": "easier" if kind == "experiment_exposure" else None,
            "variant": chance.choice("ab") if kind == "experiment_exposure" else None,
            "properties": properties,
            "kafka_time": at,
        }


class Live(LiveJob):
    """With what has to count."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings, METRICS, game_events(1, BEGIN, 30 * MINUTE, EVENTS))

    @property
    def enriched(self) -> list[dict[str, Any]]:
        return [one for one in self.sent if not is_late(one)]

    @property
    def counted(self) -> list[dict[str, Any]]:
        return [one for one in self.enriched if one["environment"] == "production"]


def is_late(event: dict[str, Any]) -> bool:
    return event["kafka_time"] - event["event_time"] > LATE_AFTER


@pytest.fixture(scope="module")
def live(world: World) -> Live:
    return world.hold("live metrics", Live)


def minute_of(event: dict[str, Any]) -> int:
    return event["event_time"] // MINUTE * MINUTE


def test_each_minute_counts_the_events_that_were_sent(live: Live) -> None:
    expected = Counter(
        (minute_of(one), one["event_type"], str(one["properties"].get("level_id", "none"))) for one in live.counted
    )
    found = live.table("events_agg_1min")
    assert {(row["minute"], row["event_type"], row["level_id"]): row["events"] for row in found} == expected
    regions = Counter((minute_of(one), one["region"] or "unknown") for one in live.counted)
    by_region = live.table("events_by_region_1min")
    assert {(row["minute"], row["region"]): row["events"] for row in by_region} == regions
    bought = Counter(minute_of(one) for one in live.counted if one["event_type"] == "item_purchase")
    revenue = {row["minute"]: (row["purchases"], row["gross_micros"]) for row in live.table("revenue_1min")}
    assert revenue == {minute: (count, count * 4_990_000) for minute, count in bought.items()}
    used = Counter(minute_of(one) for one in live.counted if one["event_type"] == "feature_used")
    assert {row["minute"]: row["uses"] for row in live.table("feature_adoption_1min")} == used
    seen = Counter((minute_of(one), one["variant"]) for one in live.counted if one["variant"])
    assert {(row["minute"], row["variant"]): row["exposures"] for row in live.table("ab_live")} == seen


def test_minutes_are_final_when_the_watermark_has_passed_them(live: Live) -> None:
    newest = max(one["event_time"] for one in live.enriched)
    for row in live.table("events_by_region_1min"):
        closes = row["minute"] + 11 * MINUTE
        # each of the partitions has events of the last seconds
        if closes <= newest - 30_000:
            assert row["final"] is True, row
        elif closes > newest:
            assert row["final"] is False, row
    assert {row["final"] for row in live.table("events_agg_1min")} == {True, False}


def test_both_sinks_are_what_the_recompute_gives(live: Live) -> None:
    run = live.reconcile()
    assert run.verdict is Verdict.MATCH, (run.reason, run.differences[:3])
    assert {(one.board, one.sink): one.rows_compared for one in run.boards} == live.compared()
    [ledger] = run.ledgers
    assert (ledger.records, ledger.accepted) == (len(live.enriched), len(live.enriched))


def test_a_row_that_somebody_changed_is_named_and_repaired(live: Live) -> None:
    minutes = sorted({row["minute"] for row in live.table("events_by_region_1min")})
    first, last = (f"to_timestamp({minute / 1000})" for minute in (minutes[0], minutes[-1]))
    assert live.sql(f"UPDATE events_by_region_1min SET events = events + 1 WHERE minute = {first} AND region = 'EU'")
    assert live.sql(f"UPDATE events_by_region_1min SET final = true WHERE minute = {last} AND region = 'NA'")
    assert live.sql(f"DELETE FROM events_by_region_1min WHERE minute = {first} AND region = 'NA'")
    run = live.reconcile()
    assert run.verdict is Verdict.DIFFERENT
    assert {(one.entity, one.column, one.cause) for one in run.differences} == {
        ((str(minutes[0]), "EU"), "events", "EDITED_BY_HAND"),
        ((str(minutes[-1]), "NA"), "final", "EDITED_BY_HAND"),
        ((str(minutes[0]), "NA"), None, "EDITED_BY_HAND"),
    }
    apply_repair(live.settings, run, plan_repair(run))
    assert live.reconcile().verdict is Verdict.MATCH


def test_live_and_settled_differ_by_what_came_late(live: Live) -> None:
    live.drain()
    day = datetime.fromtimestamp(BEGIN / 1000, UTC).date()
    archive_topic(live.settings, game_source(live.settings))
    with open_settler(live.settings, is_complete=lambda one: Completeness(one, True, "")) as settler:
        for name in ("events", "event_counts", "revenue_daily"):
            settler.settle(settler.metrics[name], day)
    assert Metrics(live.settings).comparable() == {day: {"event_counts": 1, "revenue_daily": 1}}
    proof = reconcile_day(live.settings, day)
    late = Counter(
        one["event_type"]
        for one in live.sent
        if is_late(one) and one["environment"] == "production" and day_of(one) == day
    )
    assert {one.group: one.causes for one in proof.numbers if one.metric == "event_counts" and one.causes} == {
        (name,): {DayCause.LATE: -count} for name, count in late.items()
    }, proof
    [bought] = [one for one in proof.numbers if one.metric == "revenue_daily"]
    assert bought.causes == {DayCause.LATE: -late["item_purchase"]}
    assert {name.partition(" ")[0] for name in proof.left_out} == {"revenue_daily", "feature_engagement_daily"}
    assert proof.verdict is Verdict.EXPLAINED
    first = "SELECT min(minute) FROM events_agg_1min WHERE event_type = 'player_join'"
    edit = f"UPDATE events_agg_1min SET events = events + 2 WHERE event_type = 'player_join' AND minute = ({first})"
    assert live.sql(edit) == 1
    assert compared(live.settings) == {"event_counts": "EXPLAINED", "revenue_daily": "EXPLAINED"}
    edited = reconcile_day(live.settings, day)
    assert edited.verdict is Verdict.DIFFERENT
    assert compared(live.settings) == {"event_counts": "DIFFERENT", "revenue_daily": "EXPLAINED"}
    assert {one.group for one in edited.numbers if DayCause.LIVE_ROWS in one.causes} == {("player_join",)}
    run = live.reconcile()
    apply_repair(live.settings, run, plan_repair(run))
    assert reconcile_day(live.settings, day).verdict is Verdict.EXPLAINED


def compared(settings: Settings) -> dict[str, str]:
    """Stored verdicts by metric."""
    with open_engine(settings) as engine, engine.connect() as link:
        stored = live_comparisons.c
        return dict(link.execute(sa.select(stored.metric, stored.verdict)).tuples().all())


def day_of(event: dict[str, Any]) -> date:
    return datetime.fromtimestamp(event["event_time"] / 1000, UTC).date()


def test_rows_match_while_events_flow(live: Live) -> None:
    run = live.reconcile_under(lambda seed, begin: game_events(seed, begin, 100, 100))
    assert run.verdict is Verdict.MATCH, (run.reason, run.differences[:3])
    assert run.bracket_events > 0
