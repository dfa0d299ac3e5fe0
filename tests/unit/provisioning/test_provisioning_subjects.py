"""Subjects: whatever our readers can read is accepted; nothing is registered over it."""

from __future__ import annotations

from typing import Any

import pytest

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
