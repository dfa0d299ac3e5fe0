"""Dead letters in Avro: replayed as they are once the schema is known, sent as JSON when they were fixed."""

from __future__ import annotations

import orjson

from gamestream_dagster.dead_letters.fixes import read_fixes
from gamestream_dagster.dead_letters.letter import DeadLetter, Position, letter_of
from gamestream_dagster.dead_letters.planning import Fate, draft
from gamestream_dagster.events.game_judge import GameEventJudge
from gamestream_dagster.events.game_outcome import GameReason
from tests.support.avro_records import encoded, framed
from tests.support.fakes.dead_letter_broker import letter_value
from tests.support.game_avro import FLAT, FLAT_RECORD
from tests.support.game_event_cases import NOW
from tests.support.schema_server import Schemas


def letter(payload: bytes, reason: GameReason) -> DeadLetter:
    return letter_of(Position(0, 3), letter_value(Position(0, 17), payload, NOW, reason))


def test_a_letter_whose_schema_is_registered_later_is_replayed_byte_by_byte() -> None:
    schemas, body = Schemas(), encoded(FLAT, [], FLAT_RECORD)
    dead = letter(framed(1, body), GameReason.NOT_AVRO)
    assert dead.payload == framed(1, body)
    assert draft(dead, None, GameEventJudge(registry=schemas.registry()), NOW).fate is Fate.REFUSED
    assert schemas.add(FLAT) == 1
    made = draft(dead, None, GameEventJudge(registry=schemas.registry()), NOW)
    assert (made.fate, made.value, made.changed) == (Fate.ENRICHED, dead.payload, False)


def test_a_letter_that_is_fixed_is_sent_as_json() -> None:
    schemas = Schemas()
    number = schemas.add(FLAT)
    dead = letter(framed(number, encoded(FLAT, [], {**FLAT_RECORD, "score": -4})), GameReason.OUT_OF_RANGE)
    fixes = read_fixes("fixes: [{do: [{set: {field: properties.score, to: 4}}]}]", "fixes.yaml")
    made = draft(dead, fixes, GameEventJudge(registry=schemas.registry()), NOW)
    assert (made.fate, made.changed) == (Fate.ENRICHED, True)
    sent = orjson.loads(made.value or b"")
    assert (sent["score"], sent["event_type"], sent["id"]) == (4, "score", FLAT_RECORD["id"])
