"""A trace tells each record under an id, archived or at the end of its topic, and never who the player is."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from gamestream_dagster.catalogue.topics import RAW_TOPIC
from gamestream_dagster.clients.kafka_records import Chunk, Raw
from gamestream_dagster.fates.model import Evidence, Outcome, Received, Trace
from gamestream_dagster.fates.outputs import OUTPUT_TOPICS, Fate
from gamestream_dagster.fates.raw_records import Record, records_of
from gamestream_dagster.fates.trace import NoEventIdError, Tracing, trace_event
from gamestream_dagster.fates.written import OutputSearch
from gamestream_dagster.settings import Settings
from tests.support.archive_maker import write_records
from tests.support.fakes.streams import GAME_EVENTS, SCORES

NOW = 1_700_000_000_000
HTTP: Mapping[str, bytes | None] = {
    "gamestream-key-id": b"k1",
    "gamestream-app": b"game",
    "gamestream-received-ms": str(NOW).encode(),
}


def event(event_id: str, **changes: object) -> bytes:
    fields = {"event_id": event_id, "user_id": "ann", "event_type": "player_join", "event_time": NOW, "properties": {}}
    return orjson.dumps(fields | changes)


class Broker:
    """Topics as lists of values, in one partition."""

    def __init__(self, **topics: list[bytes | None]) -> None:
        self.kafka = None
        self.topics = topics
        self.begins: dict[str, int] = {}
        self.reads: list[tuple[str, int, int]] = []

    def end_offsets(self, topic: str, read_committed: bool = False) -> dict[int, int]:
        return {0: len(self.topics.get(topic, []))}

    def beginning_offsets(self, topic: str) -> dict[int, int]:
        return {0: self.begins.get(topic, 0)}

    def offsets_at(self, topic: str, millis: int) -> dict[int, int]:
        return self.beginning_offsets(topic)

    def topic_id(self, topic: str) -> str | None:
        return None

    def read(
        self, _kafka: object, topic: str, start: Mapping[int, int], upto: Mapping[int, int], **_: Any
    ) -> Iterator[Chunk]:
        self.reads.append((topic, start[0], upto[0]))
        values = self.topics.get(topic, [])[start[0] : upto[0]]
        offsets = list(range(start[0], start[0] + len(values)))
        if values:
            yield Chunk(0, Raw(offsets, [NOW + one for one in offsets], [None] * len(values), values), upto[0])


def raw_of(settings: Settings, broker: Broker, event_id: str) -> Any:
    return records_of(settings, GAME_EVENTS, event_id, broker, broker.read)


def test_archived_records_and_those_at_the_end_are_found_once(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    values = [event("a"), event("b"), event("a", user_id="bob"), event("a", event_type="none"), b"\xff", None]
    escaped = rb'{"event_id":"\u0061","user_id":"ann","event_type":"player_join","event_time":1700000000000}'
    write_records(settings.archive_dir / RAW_TOPIC, GAME_EVENTS, [(one, NOW) for one in values[:3]])
    broker = Broker(**{RAW_TOPIC: [*values, escaped]})
    found = raw_of(settings, broker, "a")
    assert [(one.offset, one.user_id, one.reason, one.file is not None) for one in found.found] == [
        (0, "ann", None, True),
        (2, "bob", None, True),
        (3, "ann", "UNKNOWN_EVENT_TYPE", False),
        (6, "ann", None, False),
    ]
    assert broker.reads == [(RAW_TOPIC, 3, 7)], "what is archived is not read again"
    assert found.looked == "game-events-raw: the archive up to p0@3 and in Kafka p0@3..6"
    assert raw_of(settings, broker, "none").found == []


def test_how_far_was_looked_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gamestream_dagster.fates.raw_records.MOST_SCANNED", 2)
    settings = Settings(home=tmp_path)
    broker = Broker(**{RAW_TOPIC: [event("a")] * 5})
    found = raw_of(settings, broker, "a")
    assert len(found.found) == 2
    assert found.looked == ("game-events-raw: in Kafka p0@3..4; not p0@0..2, which `gamestream archive` indexes")
    assert raw_of(settings, Broker(), "a").looked == "game-events-raw: nothing is in it"


def record(offset: int, **changes: Any) -> Record:
    fields: dict[str, Any] = {"user_id": "ann", "event_type": "player_join", "reason": None, "digest": "d1"}
    return Record(RAW_TOPIC, 0, offset, NOW + offset, **(fields | changes))


def score(offset: int, user_id: str = "ann") -> Record:
    return Record("user-score", 2, offset, NOW, user_id, "normal", None)


def output(offset: int, partition: int = 0) -> bytes:
    return orjson.dumps({"raw_partition": partition, "raw_offset": offset, "digest": "d"})


def letter(offset: int) -> bytes:
    found = {"reason": "TOO_OLD", "source_topic": RAW_TOPIC, "source_partition": 0, "source_offset": offset}
    return orjson.dumps(found)


def traced(
    records: list[Record],
    *,
    scores: tuple[Record, ...] = (),
    enriched: tuple[int, ...] = (),
    enriched_of_1: tuple[int, ...] = (),
    late: tuple[int, ...] = (),
    dead: tuple[int, ...] = (),
    read_upto: int = 100,
    begins: Mapping[str, int] | None = None,
    headers: Mapping[str, bytes | None] | None = HTTP,
) -> Trace:
    broker = Broker(
        **{
            OUTPUT_TOPICS[Fate.ENRICHED]: [
                b"foreign",
                *map(output, enriched),
                *(output(one, 1) for one in enriched_of_1),
            ],
            OUTPUT_TOPICS[Fate.LATE]: [*map(output, late)],
            OUTPUT_TOPICS[Fate.DEAD]: [*map(letter, dead)],
        }
    )
    broker.begins = dict(begins or {})
    search = OutputSearch(broker, frozenset((one.partition, one.offset) for one in records), broker.read)
    tracing = Tracing(
        records=records,
        scores=scores,
        boards=("top_players",),
        read_upto={0: read_upto, 1: read_upto},
        search=search,
        headers=lambda *_: headers,
        raw_begins={0: broker.begins.get(RAW_TOPIC, 0)},
    )
    return tracing.trace("a")


def test_one_event_all_the_way_to_the_boards() -> None:
    [one] = traced([record(5)], scores=(score(9),), enriched=(4, 5)).records
    assert (one.outcome, one.evidence) == (Outcome.ENRICHED, Evidence.OUTPUT)
    assert str(one.written) == "game-events-enriched p0@2"
    assert one.received == Received("k1", "game", NOW)
    assert [str(place) for place in one.scores] == ["user-score p2@9"]
    assert one.boards == ("top_players",)


def test_refused_late_copied_and_conflicting_records_of_one_id() -> None:
    found = traced(
        [
            record(1, reason="TOO_OLD", field="event_time"),
            record(2, late=True),
            record(3, late=True),
            record(4, digest="d2"),
            record(5, user_id="bob"),
        ],
        late=(2,),
        dead=(1, 4),
        enriched=(5,),
    ).records
    assert [(one.outcome, one.reason, one.player) for one in found] == [
        (Outcome.DEAD, "TOO_OLD", 1),
        (Outcome.LATE, None, 1),
        (Outcome.COPY, None, 1),
        (Outcome.DEAD, "DUP_CONFLICT", 1),
        (Outcome.ENRICHED, None, 2),
    ]
    assert [None if one.copy_of is None else one.copy_of.offset for one in found] == [None, None, 2, 2, None]


def test_a_copy_that_was_counted_again_is_told_as_it_is() -> None:
    found = traced([record(1), record(2)], enriched=(1, 2)).records
    assert [one.outcome for one in found] == [Outcome.ENRICHED, Outcome.ENRICHED]
    assert found[1].copy_of is not None


def test_of_an_id_in_two_partitions_the_record_that_the_job_read_later_is_the_copy() -> None:
    elsewhere = replace(record(2), partition=1)
    found = traced([record(1), elsewhere], enriched_of_1=(2,)).records
    assert [(one.outcome, one.copy_of and one.copy_of.offset) for one in found] == [
        (Outcome.COPY, 2),
        (Outcome.ENRICHED, 1),
    ], "the copy names the one that counts, and that one stays what it is"
    [lost, counted] = traced([record(1), record(2)], enriched=(2,)).records
    assert (lost.outcome, counted.outcome) == (Outcome.NOT_FOUND, Outcome.ENRICHED), "in one partition it is lost"


def test_what_intake_has_not_read_is_pending_unless_its_output_is_there() -> None:
    [one] = traced([record(5)], read_upto=5).records
    assert (one.outcome, one.evidence) == (Outcome.PENDING, Evidence.NONE)
    [one] = traced([record(5)], read_upto=5, enriched=(5,)).records
    assert one.outcome is Outcome.ENRICHED, "the offsets of the group are committed later than the record"


def test_what_is_gone_from_the_output_is_judged_by_the_rule_and_what_is_lost_is_not_found() -> None:
    [gone] = traced([record(5)], begins={OUTPUT_TOPICS[Fate.ENRICHED]: 1, RAW_TOPIC: 9}).records
    assert (gone.outcome, gone.evidence, gone.received) == (Outcome.ENRICHED, Evidence.JUDGEMENT, None)
    assert "no longer holds" in gone.received_note
    [lost] = traced([record(5)]).records
    assert (lost.outcome, lost.evidence) == (Outcome.NOT_FOUND, Evidence.NONE)
    [elsewhere] = traced([record(5)], dead=(5,)).records
    assert (elsewhere.outcome, elsewhere.evidence) == (Outcome.DEAD, Evidence.OUTPUT)


def test_a_record_of_a_topic_that_is_gone_is_not_looked_up_by_its_position() -> None:
    [one] = traced([record(5, current=False)], dead=(5,)).records
    assert (one.outcome, one.evidence, one.written) == (Outcome.ENRICHED, Evidence.JUDGEMENT, None)


@pytest.mark.parametrize(
    ("headers", "received"),
    [
        ({}, None),
        (None, None),
        ({**HTTP, "gamestream-received-ms": b"\xff"}, Received("k1", "game", None)),
        ({**HTTP, "gamestream-received-ms": b"9" * 40}, Received("k1", "game", None)),
        ({**HTTP, "gamestream-app": b"\x1b[31m"}, Received("k1", "\N{REPLACEMENT CHARACTER}[31m", NOW)),
    ],
)
def test_headers_that_any_producer_can_send(
    headers: Mapping[str, bytes | None] | None, received: Received | None
) -> None:
    [one] = traced([record(5)], enriched=(5,), headers=headers).records
    assert one.received == received
    assert bool(one.received_note) is (received is None)


def test_scores_that_came_from_no_raw_record() -> None:
    found = traced([record(5)], scores=(score(9), score(10, "bob")), enriched=(5,))
    assert [place.offset for place in found.records[0].scores] == [9]
    assert [place.offset for place in found.other_scores] == [10]
    assert found.other_boards == ("top_players",)
    assert traced([], scores=(score(1),)).found
    assert not traced([]).found


def test_nothing_says_who_the_player_is() -> None:
    found = traced([record(5), record(6, user_id="bob-of-berlin")], scores=(score(9),), enriched=(5, 6))
    told = json.dumps(found.data())
    assert "bob" not in told
    assert "ann" not in told
    assert "user" not in told.replace("user-score", "")


def test_more_records_than_are_told() -> None:
    found = traced([record(number) for number in range(30)], enriched=(0,))
    assert len(found.records) == 20
    assert found.more


@pytest.mark.parametrize("event_id", ["", "a\0b", "\ud800", "x" * 1_001])
def test_an_id_that_no_event_can_have(tmp_path: Path, event_id: str) -> None:
    with pytest.raises(NoEventIdError, match="No event has such an id"):
        trace_event(Settings(home=tmp_path), event_id)


def test_a_score_at_the_end_of_its_topic(tmp_path: Path) -> None:
    fields = {"user_id": "ann", "team_id": "t", "team_name": "T", "score": 4, "event_time_millis": NOW}
    broker = Broker(**{"user-score": [orjson.dumps(fields | {"event_id": "a"}), orjson.dumps(fields)]})
    found = records_of(Settings(home=tmp_path), SCORES, "a", SimpleNamespace(**_methods(broker)), broker.read)
    assert [(one.topic, one.offset) for one in found.found] == [("user-score", 0)]


def _methods(broker: Broker) -> dict[str, Any]:
    return {name: getattr(broker, name) for name in ("end_offsets", "beginning_offsets", "topic_id", "kafka")}
