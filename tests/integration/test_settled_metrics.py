"""Settled days on real servers: rows, versions, late events, runs that are killed, and the commands."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import orjson
import pytest
import sqlalchemy as sa
from confluent_kafka import Producer

from gamestream_dagster.archive.writer import archive_topic
from gamestream_dagster.catalogue.metrics import load_metrics, with_upstream
from gamestream_dagster.catalogue.topics import RAW_TOPIC
from gamestream_dagster.clients.postgres import open_engine
from gamestream_dagster.metrics import settle, store
from gamestream_dagster.metrics.completeness import day_completeness
from gamestream_dagster.metrics.compute import MetricsDatabase
from gamestream_dagster.metrics.errors import MetricBusyError
from gamestream_dagster.metrics.store import open_store
from gamestream_dagster.settings import Settings
from gamestream_dagster.warehouse.described_tables import load_metadata
from gamestream_dagster.warehouse.drift import find_drift
from quality.results import SuiteState
from quality.runner import run_suites
from tests.support.cli import gamestream
from tests.support.fakes.streams import GAME_EVENTS
from tests.support.world import World, provision

TODAY = datetime.now(UTC).date()
LAST = TODAY - timedelta(days=2)
FIRST = LAST - timedelta(days=1)
METRICS = with_upstream(("level_metrics", "revenue_daily", "active_users"), load_metrics())
HOLDS = SuiteState.HOLDS
ODD = "it's \"\\N,\n"


class Killed(BaseException):
    """Ends a run as a signal does: nothing catches it."""


def at(day: date, clock: str) -> str:
    return f"{day}T{clock}Z"


def events() -> list[dict[str, Any]]:
    return [
        {"user_id": "ann", "event_type": "level_start", "event_time": at(FIRST, "10:00:00"), "level_id": 7},
        {"user_id": "ann", "event_type": "level_complete", "event_time": at(FIRST, "10:01:00"), "level_id": 7},
        {"user_id": "ann", "event_type": "item_purchase", "event_time": at(FIRST, "11:00:00"), "item": "gems",
         "price": "9.99", "currency": "USD"},
        {"user_id": "bob", "event_type": "level_start", "event_time": at(LAST, "10:00:00"), "level_id": 7,
         "country": "SE", "device_model": "iPhone17,1"},
        {"user_id": "cat", "event_type": "player_join", "event_time": at(LAST, "12:00:00"), "environment": "sandbox"},
        {"user_id": "dan", "event_type": "level_start", "event_time": at(LAST, "12:00:00")},
        {"user_id": ODD, "event_type": "feature_used", "event_time": at(LAST, "13:00:00"), "feature": "é\t;"},
    ]  # fmt: skip


def send(settings: Settings, sent: list[dict[str, Any]], prefix: str = "e") -> None:
    producer = Producer(settings.kafka.options({"enable.idempotence": True}))
    for number, event in enumerate(sent):
        value = orjson.dumps({"event_id": f"{prefix}{number}", **event})
        producer.produce(RAW_TOPIC, value, key=str(event["user_id"]).encode())
    assert producer.flush(30) == 0
    archive_topic(settings, GAME_EVENTS)


@pytest.fixture
def days(world: World) -> Iterator[Settings]:
    """A stack whose archive has events of two days, sent twice, and nothing settled."""
    world.empty()
    provision(world.settings)
    send(world.settings, events())
    send(world.settings, events())
    yield world.settings
    world.spoil()


def backfill(settings: Settings, *names: str) -> list[dict[str, Any]]:
    chosen = [part for name in names or METRICS for part in ("--metric", name)]
    ended = gamestream(settings, "metrics", "backfill", "--from", str(FIRST), "--to", str(LAST), "--json", *chosen)
    assert ended.returncode == 0, ended.words
    return [json.loads(line) for line in ended.stdout.splitlines()]


def tables(settings: Settings) -> dict[str, list[tuple[Any, ...]]]:
    with open_engine(settings) as engine, engine.connect() as link:
        return {
            name: sorted(map(repr, map(tuple, link.execute(sa.text(f'SELECT * FROM "{name}"')))))  # type: ignore[misc]
            for name in METRICS
        }


def versions(settings: Settings) -> dict[tuple[str, date], int]:
    with open_store(settings) as opened:
        return {(one.metric, one.day): one.version for one in opened.newest(METRICS)}


def test_days_are_settled_again_with_equal_rows_and_a_late_event_raises_the_version_once(days: Settings) -> None:
    first = backfill(days)
    assert [(one["day"], one["metric"]) for one in first] == [(str(d), m) for d in (FIRST, LAST) for m in METRICS]
    assert {one["settle_version"] for one in first} == {1}
    rows = tables(days)
    assert [len(rows[name]) for name in ("events", "level_metrics", "user_daily_metrics", "revenue_daily")] == [
        5,
        2,
        3,
        2,
    ]
    assert f"(datetime.date({FIRST.year}, {FIRST.month}, {FIRST.day}), 1, 1, 1, 1.0)" in rows["active_users"]
    assert (
        f"(datetime.date({LAST.year}, {LAST.month}, {LAST.day}), 2, 3, 3, 0.6666666666666666)" in rows["active_users"]
    )

    with open_engine(days) as engine, engine.connect() as link:
        assert find_drift(link, load_metadata()) == {}, "parts of days are no drift"
    assert {one.suite: one.state for one in run_suites(days, list(METRICS)).suites} == dict.fromkeys(METRICS, HOLDS)
    with open_engine(days) as engine, engine.begin() as link:
        link.execute(sa.text("UPDATE level_metrics SET pass_rate = 2"))
    assert [one.state.value for one in run_suites(days, ["level_metrics"]).suites] == ["FAILS"]
    again = backfill(days)
    assert not any(one["changed"] for one in again)
    assert tables(days) == rows

    late = {"user_id": "eve", "event_type": "level_start", "event_time": at(FIRST, "23:59:59"), "level_id": 7}
    send(days, [late], "late")
    third = backfill(days)
    changed = {(one["metric"], one["day"]): one["reason"] for one in third if one["changed"]}
    assert changed == {
        ("events", str(FIRST)): "LATE_EVENTS",
        ("level_metrics", str(FIRST)): "INPUTS",
        ("user_daily_metrics", str(FIRST)): "INPUTS",
        ("active_users", str(FIRST)): "INPUTS",
        ("active_users", str(LAST)): "INPUTS",
    }
    after = versions(days)
    assert {key for key, version in after.items() if version == 2} == {
        (name, date.fromisoformat(day)) for name, day in changed
    }
    shown = gamestream(days, "metrics", "show", "events", "--day", str(FIRST))
    assert "1 late events" in shown.words
    assert "id late0" in shown.words
    assert not any(one["changed"] for one in backfill(days))
    assert versions(days) == after


def kill_after(times: int, original: Callable[..., Any]) -> Callable[..., Any]:
    """The function, which ends the run instead of its call number `times`, counted from 0."""
    calls = iter(range(1000))

    def killed(*arguments: Any, **named: Any) -> Any:
        if next(calls) == times:
            raise Killed
        return original(*arguments, **named)

    return killed


STEPS: list[tuple[Any, str]] = [
    (MetricsDatabase, "compute"),
    (MetricsDatabase, "write_csv"),
    (store, "_copy"),
    (store, "_values"),
    (settle.Settler, "_remove_leftovers"),
]
"""What a settlement calls, from its beginning to its commit."""
FIRST_STEPS = ("_add_part", "_copy", "_values")
"""What it calls of the store when it settles a day for the first time."""


def test_a_run_that_is_killed_in_any_step_and_run_again_gives_the_same_rows(
    days: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for what in FIRST_STEPS:
        with monkeypatch.context() as patch:
            patch.setattr(store, what, kill_after(0, getattr(store, what)))
            with pytest.raises(Killed):
                backfill(days, "level_metrics")
        assert (tables(days)["events"], versions(days)) == ([], {})
    backfill(days, "level_metrics")
    with open_engine(days) as engine, engine.connect() as link:
        keys = sa.inspect(link).get_pk_constraint(store.part_name(METRICS["events"], FIRST))
        assert keys["constrained_columns"] == list(METRICS["events"].key)
    for number, (where, what) in enumerate(STEPS):
        late = {"user_id": f"eve{number}", "event_type": 1001, "event_time": at(FIRST, "20:00:00"), "level_id": 8}
        send(days, [late], f"late{number}-")
        before, known = tables(days), versions(days)
        with monkeypatch.context() as patch:
            patch.setattr(where, what, kill_after(0, getattr(where, what)))
            with pytest.raises(Killed):
                backfill(days, "level_metrics")
        assert tables(days) == before, "readers see the old rows until all new ones are there"
        assert versions(days) == known
        backfill(days, "level_metrics")
        assert versions(days)["events", FIRST] == versions(days)["level_metrics", FIRST] == number + 2
        assert len(tables(days)["events"]) == number + 6
    folders = [
        settle.metrics_dir(days) / name / str(day) for name in ("events", "level_metrics") for day in (FIRST, LAST)
    ]
    assert [len(list(folder.iterdir())) for folder in folders] == [1, 1, 1, 1], "one file for each settled day"


def test_a_day_that_is_not_over_or_not_archived_is_not_settled(days: Settings) -> None:
    ended = gamestream(days, "metrics", "backfill", "--from", str(TODAY), "--to", str(TODAY))
    assert ended.returncode == 2
    assert "is not over: by Kafka's clock" in ended.words
    producer = Producer(days.kafka.options())
    producer.produce(RAW_TOPIC, orjson.dumps({"event_id": "x", "user_id": "x"}), key=b"x")
    producer.flush(10)
    complete = day_completeness(days, GAME_EVENTS, LAST)
    assert complete.complete, "what came after the day's end is not waited for"
    ended = gamestream(days, "metrics", "backfill", "--from", "2026-13-01", "--to", str(LAST))
    assert (ended.returncode, "is not a day" in ended.words) == (2, True)
    ended = gamestream(days, "metrics", "backfill", "--from", "2020-01-01", "--to", "2020-01-02")
    assert (ended.returncode, "no game event before" in ended.words) == (2, True)


def test_two_runs_do_not_settle_one_day_at_once_and_old_days_are_dropped(days: Settings) -> None:
    with open_store(days) as one, open_store(days) as other, one.alone("events", FIRST):
        with pytest.raises(MetricBusyError), other.alone("events", FIRST):
            pass
        with other.alone("events", LAST):
            pass
    backfill(days)
    with open_store(days) as opened:
        assert opened.drop_before(METRICS["events"], LAST) == [FIRST]
        assert opened.drop_before(METRICS["level_metrics"], LAST) == [FIRST]
    rows = tables(days)
    assert (len(rows["events"]), len(rows["level_metrics"]), len(rows["revenue_daily"])) == (2, 1, 2)
    listed = gamestream(days, "metrics", "list", "--json")
    assert {one["metric"]: one["days"] for one in json.loads(listed.stdout)}["events"] == 1
    missing = gamestream(days, "metrics", "backfill", "--from", str(LAST), "--to", str(LAST))
    assert missing.returncode == 2
    assert (
        f"needs events of {FIRST}, which is not settled; settle it with `gamestream metrics backfill" in missing.words
    )
    backfill(days)
