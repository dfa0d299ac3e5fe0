"""Avro records without an id or a time: what is derived, what is a copy, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml
from pydantic import ValidationError

from gamestream_dagster.catalogue.errors import CatalogueError
from gamestream_dagster.catalogue.game_event import GameCatalogue, GameEventType, load_game_events
from gamestream_dagster.catalogue.game_schemas import foreign_schemas
from gamestream_dagster.dead_letters.fixes import read_fixes
from gamestream_dagster.dead_letters.letter import DeadLetter, Position, letter_of
from gamestream_dagster.dead_letters.planning import Fate, draft
from gamestream_dagster.events.game_judge import GameEventJudge
from gamestream_dagster.events.game_outcome import GameEvent, GameReason
from gamestream_dagster.fates.raw_records import records_of
from gamestream_dagster.provisioning.specs import load_subjects
from gamestream_dagster.settings import Settings
from tests.support.avro_records import encoded, framed
from tests.support.fakes.dead_letter_broker import letter_value
from tests.support.game_avro import FLAT, SEED_HEALTH, SEED_POSITION, with_fields
from tests.support.game_event_cases import NOW
from tests.support.schema_server import Schemas, serving
from tests.unit.fates.test_trace import GAME_EVENTS, RAW_TOPIC, Broker

HEALTH = {"player_id": "u1", "health": 96, "timestamp": NOW - 5}
POSITION = {"player_id": "u1", "x": 1.5, "y": 2.0}


def judged(schemas: Schemas, value: bytes, at: int = NOW) -> GameEvent:
    outcome = GameEventJudge(registry=schemas.registry()).judge(value, at)
    assert isinstance(outcome, GameEvent), outcome
    return outcome


def of(schemas: Schemas, schema: dict[str, Any], record: dict[str, Any]) -> bytes:
    return framed(schemas.add(schema), encoded(schema, [], record))


def test_a_record_that_is_sent_again_is_a_copy_whatever_the_number_of_its_schema() -> None:
    schemas = Schemas()
    first = of(schemas, SEED_HEALTH, HEALTH)
    again = of(schemas, {**SEED_HEALTH, "doc": "registered anew"}, HEALTH)
    assert first[:5] != again[:5]
    one, other = judged(schemas, first), judged(schemas, again, NOW + 60_000)
    assert (one.event_id, one.digest) == (other.event_id, other.digest)
    assert judged(schemas, of(schemas, SEED_HEALTH, {**HEALTH, "health": 95})).event_id != one.event_id
    assert judged(schemas, of(schemas, SEED_HEALTH, {**HEALTH, "player_id": "u2"})).event_id != one.event_id


def test_a_player_who_stands_still_is_no_copy() -> None:
    schemas = Schemas()
    value = of(schemas, SEED_POSITION, POSITION)
    ids = [judged(schemas, value, at).event_id for at in (NOW, NOW, NOW + 1)]
    assert ids[0] == ids[1] != ids[2]
    assert ids[2].endswith(f"-{NOW + 1}")


def test_equal_bytes_of_two_types_have_two_ids() -> None:
    schemas = Schemas()
    renamed = {**SEED_POSITION, "name": "PlayerHealth"}
    fields = [
        *SEED_POSITION["fields"][:1],
        {"name": "health", "type": "float"},
        {"name": "max_health", "type": "float"},
    ]
    health = of(schemas, {**renamed, "fields": fields}, {"player_id": "u1", "health": 1.5, "max_health": 2.0})
    position = of(schemas, SEED_POSITION, POSITION)
    assert health[5:] == position[5:]
    judge = GameEventJudge(registry=schemas.registry())
    ids = [judge.good_fields(value)["event_id"] for value in (health, position)]
    assert ids[0] != ids[1]


def test_json_without_an_id_is_refused_as_ever() -> None:
    for fields in ({"type": "player_health", **HEALTH}, {"type": "player_position", **POSITION}):
        outcome = GameEventJudge().judge(orjson.dumps(fields), NOW)
        assert not isinstance(outcome, GameEvent)
        assert (outcome.reason, outcome.field) == ("MISSING_FIELD", "event_id")


def dead(schemas: Schemas, schema: dict[str, Any], record: dict[str, Any], at: int) -> DeadLetter:
    value = letter_value(Position(0, 17), of(schemas, schema, record), at, GameReason.OUT_OF_RANGE)
    return letter_of(Position(0, 3), value)


def test_a_fixed_letter_keeps_the_id_and_the_time_of_its_record() -> None:
    schemas = Schemas()
    judge = GameEventJudge(registry=schemas.registry())
    fixes = read_fixes("fixes: [{do: [{set: {field: properties.health, to: 4}}]}]", "fixes.yaml")
    letter = dead(schemas, SEED_HEALTH, {**HEALTH, "health": -4}, NOW)
    made = draft(letter, fixes, judge, NOW + 1000)
    assert (made.fate, made.changed) == (Fate.ENRICHED, True), made.said
    assert made.event is not None
    assert made.event.event_id == judge.good_fields(letter.payload)["event_id"]
    fixes = read_fixes("fixes: [{do: [{set: {field: properties.x, to: 4}}]}]", "fixes.yaml")
    letter = dead(schemas, SEED_POSITION, {**POSITION, "x": 1e30}, NOW - 900_000)
    made = draft(letter, fixes, judge, NOW)
    assert made.fate is Fate.LATE, "its time is that at which Kafka took the record, not that of the replay"
    assert made.event is not None
    assert made.event.event_id.endswith(f"-{NOW - 900_000}")


def test_an_event_at_the_end_of_the_topic_is_traced_by_its_derived_id(tmp_path: Path) -> None:
    schemas = Schemas()
    values = [
        of(schemas, SEED_HEALTH, HEALTH),
        of(schemas, SEED_POSITION, POSITION),
        of(schemas, SEED_POSITION, POSITION),
        of(schemas, SEED_HEALTH, {**HEALTH, "health": -1}),
    ]
    uuid = "0b9c8f3e-5a43-4c6e-9a55-3f3c3a0d7a11"
    identified = with_fields(SEED_HEALTH, event_id={"type": "fixed", "name": "Id", "size": 16, "logicalType": "uuid"})
    bare = {
        **identified,
        "fields": [*SEED_HEALTH["fields"], {"name": "event_id", "type": {**identified["fields"][-1]["type"]}}],
    }
    bare["fields"][-1]["type"].pop("logicalType")
    body = encoded(bare, [], {**HEALTH, "event_id": bytes.fromhex(uuid.replace("-", ""))})
    values.append(framed(schemas.add(identified), body))
    judge = GameEventJudge(registry=schemas.registry())
    ids = [judge.good_fields(value)["event_id"] for value in values]
    assert ids[4] == uuid
    with serving(schemas) as url:
        settings = Settings(home=tmp_path, registry_url=url)
        broker = Broker(**{RAW_TOPIC: [*values, b"{}"]})
        wanted = {
            ids[0]: [0],
            f"{ids[1]}-{NOW + 1}": [1],
            f"{ids[1]}-{NOW + 2}": [2],
            ids[3]: [3],
            uuid: [4],
            "avro-": [],
        }
        for event_id, offsets in wanted.items():
            found = records_of(settings, GAME_EVENTS, event_id, broker, broker.read).found  # type: ignore[arg-type]
            assert [one.offset for one in found] == offsets, event_id


def test_subjects_without_what_is_derived_are_as_described_and_others_are_not() -> None:
    subjects = load_subjects()
    for name in ("PlayerHealth", "PlayerPosition"):
        spec = subjects[f"game-events-raw-io.confluent.developer.avro.{name}"]
        assert spec.differences is not None
        assert spec.differences(spec.schema) == ()
    score = subjects["game-events-raw-io.gamestream.events.Score"]
    assert score.differences is not None
    unnamed = {**FLAT, "fields": [one for one in FLAT["fields"] if one["name"] != "id"]}
    assert score.differences(unnamed) == ("field event_id is missing",)


@pytest.mark.parametrize(
    ("derives", "said"), [(["user_id"], "user_id cannot be derived"), (["event_time"], "needs a derived event_id")]
)
def test_a_type_derives_an_id_or_both(derives: list[str], said: str) -> None:
    found = load_game_events()
    spoilt = GameEventType(**{**found.types["player_health"].model_dump(), "derives": derives})
    with pytest.raises(ValidationError, match=said):
        GameCatalogue(limits=found.limits, times=found.times, fields=found.fields, types={"player_health": spoilt})


def test_a_foreign_schema_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "player_health.avsc").write_text(yaml.safe_dump({"type": "record"}))
    with pytest.raises(CatalogueError, match=r"player_health\.avsc is no Avro schema"):
        foreign_schemas(tmp_path)
