"""The suites of intake's topics: a right record has no fault, each fault is counted, and no event gets into a page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from gamestream_dagster.clients.errors import NotFoundError
from gamestream_dagster.clients.kafka_records import Chunk, Raw
from gamestream_dagster.fates.outputs import OUTPUT_TOPICS, Fate
from gamestream_dagster.settings import Settings
from quality.results import QualityError, SuiteState
from quality.suites import intake

ENRICHED: dict[str, Any] = {
    "event_id": "e1",
    "user_id": "ann",
    "event_type": "player_join",
    "event_time_millis": 1_700_000_000_000,
    "event_date": "2023-11-14",
    "event_hour": 22,
    "day_of_week": 2,
    "country": "unknown",
    "device_category": "unknown",
    "device_tier": "unknown",
    "environment": "production",
    "properties": "{}",
    "digest": "0123456789abcdef" * 2,
    "raw_partition": 0,
    "raw_offset": 7,
}
DEAD: dict[str, Any] = {
    "reason": "DUP_CONFLICT",
    "sentence": "event_id came before",
    "content": "{}",
    "source_topic": "game-events-raw",
    "source_partition": 0,
    "source_offset": 7,
}


def found(fate: Fate, value: dict[str, Any] | bytes, seen: set[tuple[int, int]] | None = None) -> list[str]:
    content = value if isinstance(value, bytes) else orjson.dumps(value)
    return list(intake.faults_of(fate, content, set() if seen is None else seen))


@pytest.mark.parametrize(("fate", "value"), [(Fate.ENRICHED, ENRICHED), (Fate.LATE, ENRICHED), (Fate.DEAD, DEAD)])
def test_a_right_record_has_no_fault(fate: Fate, value: dict[str, Any]) -> None:
    assert found(fate, value) == []
    assert found(fate, value, {(0, 7)}) == ["repeated"]
    assert found(fate, b"hello") == ["foreign"]


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"event_id": ""}, "incomplete"),
        ({"environment": None}, "incomplete"),
        ({"event_type": "nothing"}, "unknown_type"),
        ({"digest": "0" * 31}, "bad_digest"),
        ({"digest": "G" * 32}, "bad_digest"),
        ({"properties": "[]"}, "bad_properties"),
        ({"properties": "{"}, "bad_properties"),
        ({"environment": "prod"}, "bad_environment"),
        ({"ip_address": "203.0.113.77"}, "with_address"),
        ({"event_hour": 23}, "wrong_calendar"),
        ({"event_date": "2023-11-15"}, "wrong_calendar"),
        ({"day_of_week": 3}, "wrong_calendar"),
        ({"event_time_millis": 10**18}, "wrong_calendar"),
        ({"country": None}, "not_enriched"),
    ],
)
def test_each_fault_of_an_enriched_event_is_counted(changes: dict[str, Any], fault: str) -> None:
    assert fault in found(Fate.ENRICHED, ENRICHED | changes)
    assert fault in intake._FORBIDDEN[Fate.ENRICHED]


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"reason": "BAD_LUCK"}, "unknown_reason"),
        ({"sentence": ""}, "without_sentence"),
        ({"content_base64": "AA=="}, "two_contents"),
        ({"source_topic": "other"}, "foreign"),
    ],
)
def test_each_fault_of_a_dead_letter_is_counted(changes: dict[str, Any], fault: str) -> None:
    assert fault in found(Fate.DEAD, DEAD | changes)
    assert fault in intake._FORBIDDEN[Fate.DEAD]


def stand_in(monkeypatch: pytest.MonkeyPatch, *values: dict[str, Any] | bytes, raw_end: int = 9) -> None:
    contents = [one if isinstance(one, bytes) else orjson.dumps(one) for one in values]

    def read(_kafka: object, _topic: str, _start: Mapping[int, int], _upto: object, **_: int) -> Iterator[Chunk]:
        count = len(contents)
        yield Chunk(1, Raw(list(range(count)), [0] * count, [None] * count, list(contents)), count)

    def ends(topic: str, read_committed: bool = False) -> dict[int, int]:
        return {0: 0, 1: len(contents) if topic in OUTPUT_TOPICS.values() else raw_end}

    admin = SimpleNamespace(beginning_offsets=lambda _: {0: 0, 1: 0}, end_offsets=ends)
    monkeypatch.setattr(intake, "KafkaAdmin", lambda _: admin)
    monkeypatch.setattr(intake, "read_range", read)


def test_records_are_counted_by_partition_and_no_event_is_in_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, ENRICHED, ENRICHED | {"raw_offset": 8, "event_hour": 0}, b"hello")
    rows = intake.read_partitions(Settings(), Fate.ENRICHED)
    [row] = rows.to_dict("records")
    assert (row["partition_id"], row["records"], row["wrong_calendar"], row["foreign"]) == (1, 3, 1, 1)
    assert "ann" not in rows.to_string()
    assert not intake.holds_nothing(Settings(), Fate.ENRICHED)


@pytest.mark.parametrize(("came", "state"), [(0, SuiteState.HOLDS), (9, SuiteState.NOT_RUN)])
def test_an_empty_topic_is_right_only_where_nothing_came(
    monkeypatch: pytest.MonkeyPatch, came: int, state: SuiteState
) -> None:
    stand_in(monkeypatch, raw_end=came)
    assert intake.holds_nothing(Settings(), Fate.LATE)
    assert intake.empty_output(Fate.LATE, Settings()).state is state


def test_a_missing_topic_fails_its_suite_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: Any, **__: Any) -> Any:
        raise NotFoundError("Kafka", "there is no topic", "create it with `gamestream apply`")

    monkeypatch.setattr(intake, "KafkaAdmin", lambda _: SimpleNamespace(beginning_offsets=missing, end_offsets=missing))
    assert not intake.holds_nothing(Settings(), Fate.LATE)
    with pytest.raises(QualityError, match="gamestream apply"):
        intake.read_partitions(Settings(), Fate.LATE)
    assert intake.empty_output(Fate.LATE, Settings()).state is SuiteState.FAILS
