"""The catalogue of game events: what is made from it is right, and nothing has drifted from it."""

from __future__ import annotations

import copy
import io
import json
from pathlib import Path
from typing import Any

import fastavro
import jsonschema
import pytest
import yaml
from pydantic import TypeAdapter, ValidationError

from gamestream_dagster.catalogue.errors import CatalogueError
from gamestream_dagster.catalogue.event_type import score_event
from gamestream_dagster.catalogue.game_event import GAME_EVENTS_DIR, GameFieldType, load_game_events
from gamestream_dagster.catalogue.game_rules import rules_document
from gamestream_dagster.catalogue.game_schemas import (
    SCHEMAS_DIR,
    avro_schema,
    incompatible,
    json_schemas,
    schema_text,
    write_schemas,
)
from gamestream_dagster.events.game_docs import docs_page
from gamestream_dagster.events.game_judge import GameEventJudge
from gamestream_dagster.events.game_models import any_game_event, game_event_models
from gamestream_dagster.events.game_outcome import GameEvent, GameReason, GameRefused
from gamestream_dagster.settings import PROJECT_ROOT
from tests.support.game_event_cases import CATALOGUE, NOW, all_cases, plain_event

# The families and types of the design, and the codes of the third seed.
TYPES = {
    "session": {"player_join", "player_leave"},
    "play": {"enemy_defeated", "score", "player_health", "player_position"},
    "levels": {"level_start", "level_complete", "level_fail"},
    "economy": {"item_purchase", "refund", "currency_earned", "currency_spent"},
    "features and social": {"feature_used", "chat_sent", "friend_added", "guild_joined", "match_played_together"},
    "servers": {"server_health"},
    "experiments": {"experiment_exposure"},
}
CODES = {"level_start": (1001,), "level_complete": (1002,), "level_fail": (1003,), "item_purchase": (2001,)}


def test_types_are_those_of_the_design() -> None:
    found: dict[str, set[str]] = {}
    for event in CATALOGUE.types.values():
        found.setdefault(event.family, set()).add(event.name)
    assert found == TYPES
    assert {event.name: event.codes for event in CATALOGUE.types.values() if event.codes} == CODES


def test_scores_follow_the_rules_of_the_stream_that_they_are_sent_to() -> None:
    theirs = score_event().fields
    for name, ours in CATALOGUE.types["score"].properties.items():
        assert (ours.required, ours.max_length) == (theirs[name].required, theirs[name].max_length), name
        assert (ours.minimum, ours.maximum) == (theirs[name].minimum, theirs[name].maximum), name
        if ours.max_length:
            assert ours.min_length == theirs[name].min_length, name


def test_docs_page_is_the_one_made_from_the_catalogue() -> None:
    page = PROJECT_ROOT / "docs" / "game-events.md"
    assert page.read_text(encoding="utf-8") == docs_page(), "run: python -m gamestream_dagster.events.game_docs"
    assert all(f"`{reason}`" in docs_page() for reason in GameReason)


def test_rules_document_holds_every_rule() -> None:
    rules = json.loads(rules_document())
    assert rules["version"] == 1
    assert rules["limits"] == CATALOGUE.limits.model_dump()
    assert [field["name"] for field in rules["envelope"]] == [*CATALOGUE.fields]
    types = {event["name"]: event for event in rules["event_types"]}
    assert types.keys() == CATALOGUE.types.keys()
    price = next(field for field in types["item_purchase"]["properties"] if field["name"] == "price")
    assert price == {
        "name": "price",
        "names": ["price", "amount"],
        "type": "decimal",
        "minimum": "0",
        "maximum": "1000000000",
        "scale": 6,
        "required": True,
    }
    assert types["server_health"]["lifts"] == ["region"]
    assert "E" not in "".join(field.get("maximum", "") for event in types.values() for field in event["properties"])


def test_judge_of_the_rules_document_alone_decides_alike() -> None:
    """The document says all: a judge whose catalogue is made from it gives the same outcomes."""
    rules = json.loads(rules_document())

    def fields(listed: list[dict[str, Any]]) -> dict[str, Any]:
        made = {}
        for one in copy.deepcopy(listed):
            name, names = one.pop("name"), one.pop("names")
            made[name] = one | {"synonyms": names[1:], "description": "x"}
        return made

    types = {}
    for one in rules["event_types"]:
        name = one["name"]
        described = {"name": name, "family": "x", "description": "x", "properties": fields(one["properties"])}
        codes = [int(text) for text in one["names"][1:] if text.isdigit()]
        others = [text for text in one["names"][1:] if not text.isdigit()]
        lists = {key: one[key] for key in ("requires", "optional", "lifts") if key in one}
        types[name] = described | {"codes": codes, "synonyms": others} | lists
    times = {
        key: f"{value // 1000}s" if "max" in key or "late_" in key else value for key, value in rules["times"].items()
    }
    made = type(CATALOGUE).model_validate(
        {"limits": rules["limits"], "times": times, "fields": fields(rules["envelope"]), "types": types}
    )
    ours, theirs = GameEventJudge(), GameEventJudge(made)
    for case in all_cases():
        one, other = ours.judge(case.value, case.kafka_timestamp), theirs.judge(case.value, case.kafka_timestamp)
        assert one == other, case.name


def test_json_schemas_agree_with_the_judge_where_they_can() -> None:
    validators = {name: jsonschema.Draft202012Validator(one) for name, one in json_schemas().items()}
    judge, agreed = GameEventJudge(), 0
    fields = [pair for event in CATALOGUE.types.values() for pair in event.properties.items()]
    decimals = {f"properties.{name}" for name, field in fields if field.type is GameFieldType.DECIMAL}
    for case in all_cases():
        try:
            document = json.loads(case.value or b"", parse_constant=_refuse)
        except (ValueError, RecursionError):
            continue
        name = document.get("event_type") if isinstance(document, dict) else None
        found = CATALOGUE.types.get(str(name))
        if found is None or not validators[found.name].is_valid(document):
            continue
        agreed += 1
        # A schema knows no Kafka timestamp, no size, no scale, not how a whole number was written, and no name twice.
        outcome = judge.judge(case.value, case.kafka_timestamp)
        if isinstance(outcome, GameRefused):
            assert outcome.reason not in {GameReason.MISSING_FIELD, GameReason.UNKNOWN_EVENT_TYPE}, case.name
            assert outcome.reason is not GameReason.OUT_OF_RANGE or (
                outcome.field in decimals or case.name.startswith("number:")
            ), case.name
    assert agreed > 500


def _refuse(word: str) -> None:
    raise ValueError(word)


def test_json_schemas_are_schemas_and_take_plain_events() -> None:
    for name, schema in json_schemas().items():
        jsonschema.Draft202012Validator.check_schema(schema)
        jsonschema.Draft202012Validator(schema).validate(plain_event(CATALOGUE.types[name]))


@pytest.mark.parametrize("name", CATALOGUE.types)
def test_avro_schema_is_the_committed_one(name: str) -> None:
    committed = (SCHEMAS_DIR / f"{name}.avsc").read_text(encoding="utf-8")
    schema = avro_schema(CATALOGUE.types[name])
    assert incompatible(schema, json.loads(committed)) == ()
    assert committed == schema_text(CATALOGUE.types[name]), "run: python -m gamestream_dagster.catalogue.game_schemas"


def test_no_schema_is_left_of_a_type_that_is_gone() -> None:
    assert {path.stem for path in SCHEMAS_DIR.glob("*.avsc")} == CATALOGUE.types.keys()


def test_avro_schemas_hold_accepted_events_exactly() -> None:
    from decimal import Decimal

    event = CATALOGUE.types["item_purchase"]
    schema = fastavro.parse_schema(avro_schema(event))
    assert (schema["name"], event.avro_name) == ("io.gamestream.events.ItemPurchase",) * 2
    bought = {"item": "sword", "price": Decimal("0.100001"), "currency": "EUR", "price_usd": Decimal(1_000_000_000)}
    record = {"event_id": "e", "user_id": "u", "event_type": event.name, "event_time": NOW, "properties": bought}
    buffer = io.BytesIO()
    fastavro.schemaless_writer(buffer, schema, record)
    buffer.seek(0)
    read = fastavro.schemaless_reader(buffer, schema, None)
    assert isinstance(read, dict)
    assert read["properties"] == bought
    assert (read["environment"], read["platform"]) == ("production", None)


CHANGES = [
    ("a field that is required", lambda fields: fields.append({"name": "new", "type": "string"}), False),
    (
        "a field that is not",
        lambda fields: fields.append({"name": "new", "type": ["null", "string"], "default": None}),
        True,
    ),
    ("a field gone", lambda fields: fields.pop(0), True),
    ("another type", lambda fields: fields[0].update(type="long"), False),
    ("another scale", lambda fields: fields[1]["type"].update(scale=2), False),
    ("another name", lambda fields: fields[0].update(name="thing"), False),
]


@pytest.mark.parametrize(("change", "compatible"), [one[1:] for one in CHANGES], ids=[one[0] for one in CHANGES])
def test_a_change_that_cannot_read_former_records_is_found(change: Any, compatible: bool) -> None:
    former = avro_schema(CATALOGUE.types["item_purchase"])
    changed = copy.deepcopy(former)
    change(changed["fields"][-1]["type"]["fields"])
    assert (incompatible(changed, former) == ()) is compatible


def test_schemas_are_not_overwritten_with_incompatible_ones(tmp_path: Path) -> None:
    assert len(write_schemas(tmp_path)) == len(CATALOGUE.types)
    assert write_schemas(tmp_path) == []
    former = json.loads((tmp_path / "refund.avsc").read_text(encoding="utf-8"))
    former["fields"][-1]["type"]["fields"][0]["type"] = "long"
    (tmp_path / "refund.avsc").write_text(json.dumps(former), encoding="utf-8")
    (tmp_path / "score.avsc").unlink()
    with pytest.raises(CatalogueError, match=r"refund\.avsc: records of the committed schema could not be read"):
        write_schemas(tmp_path)
    assert not (tmp_path / "score.avsc").exists()


def test_models_take_plain_events_and_tell_types_apart() -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(any_game_event())
    for name, event in CATALOGUE.types.items():
        made = adapter.validate_python(plain_event(event))
        assert type(made) is game_event_models()[name]
    by_code = adapter.validate_python(plain_event(CATALOGUE.types["level_fail"]) | {"event_type": 1003})
    assert type(by_code).__name__ == "LevelFail"
    schema = adapter.json_schema()
    assert schema["discriminator"]["propertyName"] == "event_type"
    assert schema["$defs"]["ItemPurchaseProperties"]["required"] == ["item", "price", "currency"]


@pytest.mark.parametrize(
    "changes",
    [{"user_id": 7}, {"platform": "dos"}, {"event_time": "2023-11-14T22:13:20"}, {"properties": {"score": 1}}],
)
def test_models_refuse(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(any_game_event()).validate_python(plain_event(CATALOGUE.types["score"]) | changes)


MISTAKES = [
    ("types/score.yaml", {"properties": {"a": {"type": "string", "description": "x"}}}, "needs `max_length`"),
    ("types/score.yaml", {"properties": {"a": {"type": "integer", "description": "x"}}}, "needs minimum and maximum"),
    ("types/score.yaml", {"colour": 1}, r"score\.yaml cannot be used[\s\S]*colour"),
    ("types/score.yaml", {"synonyms": ["refund"]}, "is a name of both"),
    ("types/score.yaml", {"requires": ["nothing"]}, "no field 'nothing'"),
    ("types/score.yaml", {"properties": {"a": {"type": "time", "description": "x"}}}, "cannot be of type time"),
    ("envelope.yaml", {"fields": {}}, "must have one field of type time"),
]
FLOAT = {"type": "number", "description": "x", "minimum": 0.1, "maximum": 1}
TWICE = {"a": {"type": "boolean", "description": "x"}, "b": {"type": "boolean", "description": "x", "synonyms": ["a"]}}
REGION = {"region": {"type": "boolean", "description": "x"}}
MISTAKES += [
    ("types/score.yaml", {"properties": {"a": FLOAT}}, "is a float"),
    ("types/score.yaml", {"properties": TWICE}, "of two fields"),
    ("types/score.yaml", {"properties": REGION}, "has the name of an envelope field"),
]


@pytest.mark.parametrize(("file", "change", "said"), MISTAKES)
def test_a_mistake_is_said(tmp_path: Path, file: str, change: dict[str, Any], said: str) -> None:
    for path in GAME_EVENTS_DIR.rglob("*.yaml"):
        copied = tmp_path / path.relative_to(GAME_EVENTS_DIR)
        copied.parent.mkdir(exist_ok=True)
        copied.write_bytes(path.read_bytes())
    described = yaml.safe_load((tmp_path / file).read_text(encoding="utf-8"))
    (tmp_path / file).write_text(yaml.safe_dump(described | change), encoding="utf-8")
    with pytest.raises(CatalogueError, match=said):
        load_game_events(tmp_path)


def test_every_made_event_is_judged_by_its_own_type() -> None:
    judge = GameEventJudge()
    for name, event in CATALOGUE.types.items():
        outcome = judge.judge(json.dumps(plain_event(event)).encode(), NOW)
        assert isinstance(outcome, GameEvent)
        assert (outcome.event_type, outcome.remark) == (name, None)
