"""Avro records against a registry that answers as Confluent's does: each is read, or refused with its reason."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from gamestream_dagster.clients import registry as registry_module
from gamestream_dagster.clients.registry import Registry
from gamestream_dagster.connections import RegistryConnection
from gamestream_dagster.events import avro_schemas as module
from gamestream_dagster.events.acceptance import Decoded
from gamestream_dagster.events.avro import AvroDecoder, AvroFormatError, score_encoder
from gamestream_dagster.events.outcome import Refused
from gamestream_dagster.events.score_event import ScoreEvent
from tests.support.avro_records import FIELDS, Variant, body_of, encoded, framed, schema_with, variants
from tests.support.fakes.streams import SCORES

NOW = 1_700_000_000_000
EVENT = ScoreEvent("u1", "t1", "T", 7, NOW, "r", "normal", "e-1")
TEAM = {"type": "record", "name": "Team", "namespace": "game", "fields": [{"name": "x", "type": "int"}]}


class Answers:
    """A registry: answers by path, and counts what it is asked."""

    def __init__(self, **paths: dict[str, Any]) -> None:
        self.paths = {name.replace("__", "/"): answer for name, answer in paths.items()}
        self.asked: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/")
        self.asked.append(path)
        answer = self.paths.get(path)
        return httpx.Response(404, json={"error_code": 40403}) if answer is None else httpx.Response(200, json=answer)

    def registry(self) -> Registry:
        return Registry(RegistryConnection("http://registry.test"), transport=httpx.MockTransport(self))


def stored(schema: Any, kind: str | None = None, *references: tuple[str, int]) -> dict[str, Any]:
    answer: dict[str, Any] = {"schema": schema if isinstance(schema, str) else json.dumps(schema)}
    if kind:
        answer["schemaType"] = kind
    if references:
        answer["references"] = [{"name": name, "subject": name, "version": version} for name, version in references]
    return answer


def decoder(**paths: dict[str, Any]) -> AvroDecoder:
    return AvroDecoder(Answers(**paths).registry(), SCORES.event_types)


def reason(outcome: object) -> str | None:
    return outcome.reason.value if isinstance(outcome, Refused) else None


@pytest.mark.parametrize("variant", variants(NOW), ids=lambda one: one.name)
def test_each_variant_of_a_producer(variant: Variant):
    outcome = decoder(schemas__ids__5=stored(variant.schema)).judge(framed(5, body_of(variant, NOW)), NOW)
    assert reason(outcome) == variant.reason
    if isinstance(outcome, Decoded):
        assert (outcome.score, outcome.event_time_millis, outcome.event_id) == (7, NOW, variant.event_id)


BODY = encoded(schema_with(), [], {**dict.fromkeys(FIELDS, "p"), "score": 7, "event_time_millis": NOW})


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (None, "no schema has the number 5"),
        (stored({"type": "object"}, "JSON"), "it is JSON"),
        (stored('syntax = "proto3";', "PROTOBUF"), "it is PROTOBUF"),
        (stored("{"), "it is no JSON"),
        (stored("[" * 5000), "it is no JSON"),
        (stored('"string"'), "not a record"),
        (
            stored({"type": "record", "name": "A", "fields": [{"name": "x", "type": "Gone"}]}),
            "no type has the name Gone",
        ),
        (stored(schema_with(), None, ("team", 1)), "team 1 is missing"),
    ],
)
def test_a_schema_that_cannot_be_used_refuses_its_records(answer: dict[str, Any] | None, why: str):
    outcome = decoder(**({"schemas__ids__5": answer} if answer else {})).judge(framed(5, BODY), NOW)
    assert isinstance(outcome, Refused)
    assert outcome.reason == "NOT_AVRO"
    assert why in outcome.detail


def test_references_are_followed_also_in_a_circle():
    league = {"type": "record", "name": "League", "namespace": "game", "fields": [{"name": "best", "type": "Team"}]}
    schema = schema_with(league="game.League", team=["null", "game.Team"])
    found = decoder(
        schemas__ids__5=stored(schema, "AVRO", ("league", 2)),
        subjects__league__versions__2=stored(league, None, ("team", 1)),
        subjects__team__versions__1=stored(TEAM, None, ("team", 1)),
    ).judge(framed(5, BODY + b"\x02\x02\x08"), NOW)
    assert isinstance(found, Decoded), found


def test_an_unknown_number_is_asked_for_once_a_minute(monkeypatch: pytest.MonkeyPatch):
    answers = Answers()
    reading = AvroDecoder(answers.registry(), SCORES.event_types)
    for _ in range(3):
        assert reason(reading.judge(framed(5, BODY), NOW)) == "NOT_AVRO"
    assert len(answers.asked) == 1
    monkeypatch.setattr(module, "UNKNOWN_SECONDS", 0)
    answers.paths["schemas/ids/6"] = stored(schema_with())
    assert reason(reading.judge(framed(6, BODY), NOW)) is None
    monkeypatch.setattr(module, "MAX_UNKNOWN", 10)
    for number in range(100, 200):
        reading.judge(framed(number, BODY), NOW)
    assert len(reading._readers._unknown) <= 10


@pytest.mark.parametrize("value", [None, b"", b"{}", b"\0\0\0\0", b"\1\0\0\0\5abc", framed(2**32 - 1, b"")])
def test_what_has_no_header_asks_nothing(value: bytes | None):
    answers = Answers()
    assert reason(AvroDecoder(answers.registry(), SCORES.event_types).judge(value, NOW)) == "NOT_AVRO"
    assert not answers.asked


def test_a_text_that_is_no_utf8_is_told(monkeypatch: pytest.MonkeyPatch):
    body = BODY.replace(b"\x02p", b"\x02\xff", 1)
    assert reason(decoder(schemas__ids__5=stored(schema_with())).judge(framed(5, body), NOW)) == "NOT_UTF8"


def test_a_registry_that_fails_says_nothing_about_the_record(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(registry_module, "_PAUSE_SECONDS", 0)
    answers = httpx.MockTransport(lambda _: httpx.Response(500))
    failing = Registry(RegistryConnection("http://registry.test"), transport=answers)
    with pytest.raises(AvroFormatError, match="Schema 5 cannot be had"):
        AvroDecoder(failing, SCORES.event_types).judge(framed(5, BODY), NOW)


def subject(schema: Any, kind: str = "AVRO") -> dict[str, Any]:
    return {"subject": "user-score-value", "version": 1, "id": 5, **stored(schema, kind)}


LATEST = "subjects__user-score-value__versions__latest"


@pytest.mark.parametrize("variant", variants(NOW), ids=lambda one: one.name)
def test_what_we_write_with_a_foreign_schema_is_what_we_read(variant: Variant):
    paths = {LATEST: subject(variant.schema), "schemas__ids__5": stored(variant.schema)}
    registry = Answers(**paths).registry()
    try:
        value = score_encoder(registry, SCORES)(EVENT)
    except AvroFormatError as error:
        assert "fit" in str(error)  # noqa: PT017 - some of the variants cannot hold our events
        return
    found = AvroDecoder(registry, SCORES.event_types).judge(value, NOW)
    assert isinstance(found, Decoded), found
    assert (found.user_id, found.score, found.event_time_millis) == ("u1", 7, NOW)


@pytest.mark.parametrize(
    ("schema", "kind", "said"),
    [
        ({"type": "object"}, "JSON", "it is JSON"),
        ('syntax = "proto3";', "PROTOBUF", "it is PROTOBUF"),
        ('"string"', "AVRO", "no record"),
        (schema_with(score="double"), "AVRO", "score is no int or long"),
    ],
)
def test_a_subject_that_is_no_avro_record_is_said(schema: Any, kind: str, said: str):
    with pytest.raises(AvroFormatError, match=f"does not fit score events .*{said}"):
        score_encoder(Answers(**{LATEST: subject(schema, kind)}).registry(), SCORES)
