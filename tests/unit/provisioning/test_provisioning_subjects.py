"""Subjects: whatever our readers can read is accepted; nothing is registered over it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gamestream_dagster.catalogue.game_event import load_game_events
from gamestream_dagster.catalogue.game_schemas import foreign_schemas
from gamestream_dagster.provisioning.manager import ensure
from gamestream_dagster.provisioning.model import ResourceState
from gamestream_dagster.provisioning.specs import load_subjects
from gamestream_dagster.provisioning.subjects import SubjectProvider, unreadable
from tests.support.fakes.provisioned import FakeRegistry

SUBJECT = "user-score-value"


def own() -> dict[str, Any]:
    return dict(load_subjects()[SUBJECT].schema)


def without(name: str) -> dict[str, Any]:
    return {**own(), "fields": [field for field in own()["fields"] if field["name"] != name]}


def with_type(name: str, avro: Any) -> dict[str, Any]:
    return {**own(), "fields": [{**f, "type": avro} if f["name"] == name else f for f in own()["fields"]]}


def test_absent_subject_is_registered_once():
    registry = FakeRegistry()
    provider = SubjectProvider(load_subjects(), registry)
    first, second = ensure(provider, SUBJECT), ensure(provider, SUBJECT)
    assert (first.created, first.state) == (True, ResourceState.PRESENT)
    assert (second.created, second.state) == (False, ResourceState.PRESENT)
    assert registry.versions(SUBJECT) == [1]


@pytest.mark.parametrize(
    "schema",
    [
        pytest.param(without("event_id"), id="no event_id: it has a default"),
        pytest.param(with_type("score", "long"), id="wider score"),
        pytest.param(with_type("score", ["int"]), id="union of one"),
        pytest.param({**own(), "name": "Other", "namespace": "com.games"}, id="other record name"),
        pytest.param({**own(), "fields": [*own()["fields"], {"name": "extra", "type": "double"}]}, id="field more"),
    ],
)
def test_another_producers_readable_schema_is_left_alone(schema: dict[str, Any]):
    registry = FakeRegistry({SUBJECT: [schema]})
    status = ensure(SubjectProvider(load_subjects(), registry), SUBJECT)
    assert (status.state, status.created) == (ResourceState.PRESENT, False)
    assert registry.subjects_held[SUBJECT] == [schema]


@pytest.mark.parametrize(
    ("schema", "sentence"),
    [
        (without("team_id"), "field team_id is missing, should be string"),
        (with_type("score", "double"), "field score is double, should be long"),
        (with_type("score", ["null", "int"]), "field score is null or int, should be long"),
        (with_type("user_id", "long"), "field user_id is long, should be string"),
        ({"type": "string"}, "is a string, should be a record"),
    ],
)
def test_unreadable_schema_is_drift_and_is_not_replaced(schema: dict[str, Any], sentence: str):
    registry = FakeRegistry({SUBJECT: [schema]})
    status = ensure(SubjectProvider(load_subjects(), registry), SUBJECT)
    assert (status.state, status.details, status.change) == (ResourceState.DRIFTED, (sentence,), "")
    assert registry.subjects_held[SUBJECT] == [schema]


def test_own_schema_reads_itself():
    spec = load_subjects()[SUBJECT]
    assert unreadable(spec.reader, spec.schema) == ()
    assert unreadable(spec.schema, spec.schema) == ()


HEALTH = "game-events-raw-io.gamestream.events.PlayerHealth"


def game_schema(**properties: Any) -> dict[str, Any]:
    """The catalogue's schema of PlayerHealth with other types of some properties (None: left out)."""
    schema = json.loads(json.dumps(load_subjects()[HEALTH].schema))
    inside = schema["fields"][-1]["type"]
    kinds = {one["name"]: one["type"] for one in inside["fields"]} | properties
    inside["fields"] = [{"name": name, "type": kind} for name, kind in kinds.items() if kind is not None]
    return schema


def flat(**types: Any) -> dict[str, Any]:
    fields = [{"name": name, "type": kind} for name, kind in types.items() if kind is not None]
    return {"type": "record", "name": "PlayerHealth", "namespace": "io.gamestream.events", "fields": fields}


FLAT = {"id": "string", "player_id": "string", "timestamp": "long", "health": "int"}


UUID = {"type": "fixed", "name": "F", "size": 16, "logicalType": "uuid"}


def test_every_game_event_type_has_a_subject_named_by_its_record():
    named = {name for name, subject in load_subjects().items() if subject.topic == "game-events-raw"}
    foreign = sum(map(len, foreign_schemas().values()))
    assert len(named) == len(load_game_events().types) + foreign
    assert HEALTH in named
    assert all(status(name, [load_subjects()[name].schema]).state is ResourceState.PRESENT for name in named)


def status(name: str, schemas: list[Any]):
    return ensure(SubjectProvider(load_subjects(), FakeRegistry({name: schemas})), name)


@pytest.mark.parametrize(
    "schema",
    [
        pytest.param(game_schema(health="int"), id="narrower"),
        pytest.param(game_schema(max_health=None), id="one that is not required is left out"),
        pytest.param(flat(**FLAT), id="flat, by other names, without event_type"),
        pytest.param(flat(**FLAT, properties={"type": "map", "values": "double"}), id="a map of properties"),
        pytest.param(flat(**{**FLAT, "id": ["null", UUID]}), id="a UUID, null allowed"),
        pytest.param(flat(**{**FLAT, "id": None}), id="no id, which is derived"),
        pytest.param(flat(**FLAT, debug={"type": "array", "items": "string"}), id="unknown field"),
    ],
)
def test_a_game_schema_whose_events_are_accepted_is_left_alone(schema: dict[str, Any]):
    assert status(HEALTH, [schema]).state is ResourceState.PRESENT


@pytest.mark.parametrize(
    ("schema", "sentence"),
    [
        (game_schema(health="string"), "field health is string, should be decimal or double or float or int or long"),
        (game_schema(health=None), "field health is missing"),
        (flat(**{**FLAT, "player_id": None}), "field user_id is missing"),
        (flat(**{**FLAT, "timestamp": None}), "field event_time is missing"),
        (flat(**{**FLAT, "timestamp": "double"}), "field timestamp is double"),
        (flat(**{**FLAT, "player_id": ["null", "int"]}), "field player_id is int"),
        (flat(**FLAT, properties="string"), "field properties is string, should be map or record"),
        ("string", "should be a record"),
    ],
)
def test_a_game_schema_whose_events_would_be_refused_is_drift(schema: Any, sentence: str):
    found = status(HEALTH, [schema if isinstance(schema, dict) else {"type": schema}])
    assert (found.state, found.created) == (ResourceState.DRIFTED, False)
    assert any(sentence in one for one in found.details), found.details
