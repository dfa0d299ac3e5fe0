"""Laws of the judge of game events that hold for every record, on generated ones."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gamestream_dagster.events import strict_json
from gamestream_dagster.events.game_judge import GameEventJudge
from gamestream_dagster.events.game_outcome import GameEvent, GameReason, GameRefused
from tests.support.game_event_cases import CATALOGUE, NOW, plain_event
from tests.support.game_event_records import GameRecord, generated_records, good_events, records, written

JUDGE = GameEventJudge()
untimed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


@untimed
@given(records())
def test_every_record_has_an_outcome(record: GameRecord) -> None:
    outcome = JUDGE.judge(record.value, record.kafka_timestamp)
    if isinstance(outcome, GameRefused):
        assert outcome.reason in GameReason
        assert outcome.detail.isprintable()
        outcome.detail.encode()
    else:
        assert isinstance(outcome, GameEvent)
        orjson.dumps([*outcome])  # every text can be written


@untimed
@given(good_events(), st.randoms(use_true_random=False))
def test_digest_ignores_order_white_space_escapes_and_zone(event: dict[str, Any], chance: Any) -> None:
    first = JUDGE.judge(written(event, ascii_only=True).encode(), NOW)
    assert isinstance(first, GameEvent), first
    shuffled = [*event.items()]
    chance.shuffle(shuffled)
    spaced = written(dict(shuffled), ascii_only=False).replace('":', '" :\n ').encode()
    if b'\\"' not in spaced:  # a text may hold what looks like the end of a name
        again = JUDGE.judge(spaced, NOW)
        assert isinstance(again, GameEvent), again
        assert again.event_id != first.event_id or again == first


@untimed
@given(good_events())
def test_normal_form_is_accepted_as_the_same_event(event: dict[str, Any]) -> None:
    first = JUDGE.judge(written(event, ascii_only=True).encode(), NOW)
    assert isinstance(first, GameEvent), first
    fields = {name: one for name, one in first._asdict().items() if name in CATALOGUE.fields and one is not None}
    fields |= {"event_time": first.event_time_millis, "properties": orjson.Fragment(first.properties)}
    assert JUDGE.judge(orjson.dumps(fields), NOW) == first


def _digest(**changes: Any) -> str:
    document = plain_event(CATALOGUE.types["item_purchase"]) | changes
    outcome = JUDGE.judge(json.dumps(document).encode(), NOW)
    assert isinstance(outcome, GameEvent), outcome
    return outcome.digest


def test_digest_is_the_content_and_not_the_spelling() -> None:
    same = _digest(event_type=2001, event_time="2023-11-15T00:13:19+02:00", ip_address="::1", country="DE")
    assert same == _digest() == _digest(stray=1) == _digest(environment=None)
    bought = {"item": "item-1", "price": "4.50", "currency": "AAA"}
    number = _digest(properties={**bought, "price": 4.5})
    assert _digest(properties=bought) == number
    assert _digest(properties={**bought, "price": "4.51"}) != number
    changed = [_digest(**{name: value}) for name, value in (("user_id", "u2"), ("platform", "web"), ("variant", "c"))]
    assert len({same, number, *changed, _digest(event_time=NOW - 999), _digest(session_id=None)}) == 7


def test_digest_is_that_of_the_written_rule() -> None:
    """Made by hand from `game_rules`, so that another implementation can be checked with it."""
    import hashlib

    value = b'{"user_id":"u1","event_id":"e1","event_type":1001,"event_time":"2023-11-14T22:13:19Z","level_id":7}'
    text = (
        '{"environment":"production","event_id":"e1","event_time":1699999999000,"event_type":"level_start",'
        '"properties":{"level_id":7},"user_id":"u1"}'
    )
    outcome = JUDGE.judge(value, NOW)
    assert isinstance(outcome, GameEvent)
    assert outcome.digest == hashlib.sha256(text.encode()).hexdigest()[:32]


@pytest.mark.parametrize(
    "text", ["0", "100", "0.5", "1.5E-7", "0.000001", "1E+30", "100000000000000000000", "1E+21", "-12.25"]
)
def test_canonical_numbers_stay_as_they_are(text: str) -> None:
    reader = strict_json.StrictJsonReader(CATALOGUE.limits)
    assert strict_json.canonical(reader.read(text.encode())) == text.encode()


def test_generated_records_are_of_every_kind() -> None:
    found = generated_records(2_000)
    assert len(set(found)) == 2_000
    assert found == generated_records(2_000)
    outcomes = [JUDGE.judge(*record) for record in found]
    kinds = Counter(one.reason if isinstance(one, GameRefused) else None for one in outcomes)
    assert set(kinds) >= {None, *GameReason} - {GameReason.DUP_CONFLICT, GameReason.NOT_AVRO}  # these are all JSON
    assert kinds[None] > 300
    types = {one.event_type for one in outcomes if isinstance(one, GameEvent)}
    assert types == CATALOGUE.types.keys()
