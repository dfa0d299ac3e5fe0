"""Backfilled events count in settled metrics: beside the stream's, each id once, as a cause of a further version."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

from gamestream_dagster.archive.backfill import backfill
from gamestream_dagster.archive.backfill_files import file_to_backfill
from gamestream_dagster.archive.history import number_of
from gamestream_dagster.catalogue.topics import RAW_TOPIC
from gamestream_dagster.metrics.compute import MetricsDatabase
from gamestream_dagster.metrics.source import ArchivedUpto, head_of
from gamestream_dagster.metrics.watching import look, reaches
from gamestream_dagster.settings import Settings
from tests.support.archive_maker import write_records
from tests.support.fakes.streams import GAME_EVENTS
from tests.support.metric_cases import DEVICES, METRICS, records_of

DAY = date(2026, 3, 1)
NEXT = DAY + timedelta(days=1)
EVENTS = METRICS["events"]


@pytest.fixture
def own(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


def event(event_id: str, day: date = DAY, **changes: Any) -> dict[str, Any]:
    time = f"{day}T10:00:00Z"
    return {"event_id": event_id, "user_id": "ann", "event_type": "player_join", "event_time": time, **changes}


def add(own: Settings, path: Path, *events: dict[str, Any]) -> None:
    """Backfill these events."""
    path.write_bytes(b"\n".join(map(orjson.dumps, events)))
    with file_to_backfill(str(path), by="an operator", rejects=path.with_suffix(".rejects")) as origin:
        assert backfill(own, origin).accepted == len(events)


def stream(own: Settings, *events: dict[str, Any]) -> None:
    write_records(own.archive_dir / RAW_TOPIC, GAME_EVENTS, records_of(events))


def opened(own: Settings) -> MetricsDatabase:
    return MetricsDatabase(own.archive_dir / RAW_TOPIC, GAME_EVENTS, own.home / "spill", DEVICES)


def counted(own: Settings, day: date = DAY) -> dict[str, str | None]:
    """Platform by id of the events that count."""
    with opened(own) as database:
        computed = database.compute(EVENTS, day, {}, own.home / "events.parquet")
        return {row["event_id"]: row["platform"] for row in database.rows(EVENTS, computed.path)}


def test_backfilled_events_count_without_any_stream(own: Settings, tmp_path: Path) -> None:
    add(own, tmp_path / "old.jsonl", event("a"), event("b"), event("c", NEXT))
    assert (counted(own), counted(own, NEXT)) == ({"a": None, "b": None}, {"c": None})
    with opened(own) as database:
        assert database.days_with_events() == {DAY: 2, NEXT: 1}
        assert database.upto == ArchivedUpto(0, {}, {number_of(DAY): 2, number_of(NEXT): 1})


def test_an_id_in_both_counts_once_as_it_came_through_kafka(own: Settings, tmp_path: Path) -> None:
    add(own, tmp_path / "old.jsonl", event("a", platform="web"), event("b", platform="web"))
    stream(own, event("b", platform="ios"), event("c", platform="ios"))
    assert counted(own) == {"a": "web", "b": "ios", "c": "ios"}


def test_what_is_backfilled_after_a_day_was_settled_is_the_cause_of_its_next_version(
    own: Settings, tmp_path: Path
) -> None:
    stream(own, event("s"))
    add(own, tmp_path / "one.jsonl", event("a"))
    with opened(own) as database:
        settled = database.upto
        assert database.causing_events(DAY, settled, 10) == (0, [])
    before, seen = head_of(own.archive_dir / RAW_TOPIC), look(own, None, []).scanned
    add(own, tmp_path / "two.jsonl", event("b"), event("x", NEXT))
    with opened(own) as database:
        count, causes = database.causing_events(DAY, settled, 10)
        assert (count, [(one.chapter, one.event_id) for one in causes]) == (1, [(0, "b")])
        assert head_of(own.archive_dir / RAW_TOPIC) == database.upto.head != before
        assert (reaches(settled, database.upto, DAY), reaches(database.upto, settled, DAY)) == (False, True)
        assert reaches(settled, database.upto, DAY - timedelta(days=1)), "nothing was added to that day"
    assert set(look(own, seen, []).days) == {DAY, NEXT}
