"""Game events in Avro: each case ends where the table says, whatever the registry holds, and never as an error."""

from __future__ import annotations

import json
import random
from collections import Counter

import pytest

from gamestream_dagster.clients import registry as registry_module
from gamestream_dagster.events.avro_schemas import AvroFormatError
from gamestream_dagster.events.game_judge import GameEventJudge
from gamestream_dagster.events.game_outcome import GameEvent, GameRefused
from tests.support.avro_records import framed
from tests.support.game_avro import FLAT, FLAT_RECORD, Case, cases, encoded, generated, hostile
from tests.support.game_event_cases import NOW
from tests.support.schema_server import Schemas
from tests.support.spoilt_events import spoilt

BODY = encoded(FLAT, [], FLAT_RECORD)


@pytest.fixture
def schemas() -> Schemas:
    return Schemas()


@pytest.mark.parametrize("one", cases(), ids=lambda one: one.name)
def test_each_case_of_the_table(schemas: Schemas, one: Case) -> None:
    outcome = GameEventJudge(registry=schemas.registry()).judge(one.value(schemas), NOW)
    if one.reason is not None:
        assert isinstance(outcome, GameRefused), outcome
        assert outcome.reason == one.reason, outcome
        return
    assert isinstance(outcome, GameEvent), outcome
    assert {name: getattr(outcome, name) for name in one.fields} == one.fields


def test_json_and_avro_of_one_event_are_copies_of_each_other(schemas: Schemas) -> None:
    judge = GameEventJudge(registry=schemas.registry())
    avro = judge.judge(framed(schemas.add(FLAT), BODY), NOW)
    text = judge.judge(json.dumps({**FLAT_RECORD, "type": "score"}).encode(), NOW)
    assert isinstance(avro, GameEvent)
    assert isinstance(text, GameEvent)
    assert avro == text


def test_an_unknown_schema_is_a_reason_and_is_not_asked_for_again_at_once(schemas: Schemas) -> None:
    judge = GameEventJudge(registry=schemas.registry())
    for _ in range(3):
        outcome = judge.judge(framed(7, BODY), NOW)
        assert isinstance(outcome, GameRefused)
        assert (outcome.reason, outcome.field) == ("NOT_AVRO", None)
        assert "no schema has the number 7" in outcome.detail
    assert schemas.asked == [7]


def test_without_a_registry_avro_is_refused_and_json_is_not() -> None:
    outcome = GameEventJudge().judge(framed(1, BODY), NOW)
    assert isinstance(outcome, GameRefused)
    assert outcome.reason == "NOT_AVRO"
    assert isinstance(GameEventJudge().judge(json.dumps({**FLAT_RECORD, "type": "score"}).encode(), NOW), GameEvent)


def test_a_registry_that_does_not_answer_says_nothing_about_the_record(
    schemas: Schemas, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry_module, "_PAUSE_SECONDS", 0)
    judge, number = GameEventJudge(registry=schemas.registry()), schemas.add(FLAT)
    schemas.away = True
    with pytest.raises(AvroFormatError, match=f"Schema {number} cannot be had"):
        judge.judge(framed(number, BODY), NOW)
    assert isinstance(judge.judge(b"{}", NOW), GameRefused), "JSON needs no registry"
    schemas.away = False
    assert isinstance(judge.judge(framed(number, BODY), NOW), GameEvent)


def test_good_fields_of_a_refused_record(schemas: Schemas) -> None:
    judge = GameEventJudge(registry=schemas.registry())
    body = encoded(FLAT, [], {**FLAT_RECORD, "score": -1})
    assert judge.good_fields(framed(schemas.add(FLAT), body))["user_id"] == "u1"
    assert judge.good_fields(framed(99, body)) == {}


def test_any_bytes_have_an_outcome(schemas: Schemas) -> None:
    judge, chance = GameEventJudge(registry=schemas.registry()), random.Random(3)
    values = [one.value(schemas) for one in cases() if len(one.body) < 5_000]
    for number in range(150):
        schema, body = generated(chance, number)
        values.append(framed(schemas.add(schema), body))
    values += [value[:5] + spoilt(chance, value[5:]) for value in values * 5]
    values += hostile(chance)
    found = Counter(
        outcome.reason.value if isinstance(outcome, GameRefused) else "accepted"
        for outcome in (judge.judge(value, NOW) for value in values)
    )
    assert found["accepted"] > 40
    assert found["NOT_AVRO"] > 100
    assert found["NOT_UTF8"] > 5
