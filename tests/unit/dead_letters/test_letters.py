"""Letters: exact bytes, the exact sentence, fates of single letters, selections, the rate."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from gamestream_dagster.connections import KafkaConnection
from gamestream_dagster.dead_letters.book import page_for
from gamestream_dagster.dead_letters.errors import DeadLetterError
from gamestream_dagster.dead_letters.fixes import read_fixes
from gamestream_dagster.dead_letters.letter import DeadLetter, Position, judged_again, letter_of, position_of
from gamestream_dagster.dead_letters.planning import Fate, draft, preview, settled
from gamestream_dagster.dead_letters.rate import recent_rate
from gamestream_dagster.dead_letters.reading import DLQ_TOPIC, Seen
from gamestream_dagster.dead_letters.selection import Selection, known_reasons
from gamestream_dagster.events.game_judge import GameEventJudge
from gamestream_dagster.events.game_outcome import GameReason, GameRefused
from tests.support.fakes.dead_letter_broker import OPEN, RAW, Admin, Broker, letter_value
from tests.support.game_event_cases import NOW, all_cases

JUDGE = GameEventJudge()
PLACE = Position(0, 17)


def letter(payload: bytes | None, reason: GameReason = GameReason.WRONG_TYPE, about: str | None = None) -> DeadLetter:
    return letter_of(Position(0, 3), letter_value(PLACE, payload, NOW, reason, about))


def test_every_case_comes_back_with_its_bytes_and_the_exact_sentence() -> None:
    refused = 0
    for case in all_cases():
        outcome = JUDGE.judge(case.value, case.kafka_timestamp)
        if not isinstance(outcome, GameRefused):
            continue
        refused += 1
        found = letter_of(PLACE, letter_value(PLACE, case.value, case.kafka_timestamp, outcome.reason, outcome.field))
        assert found.payload == case.value
        judged = judged_again(JUDGE, found)
        assert (judged.reason, judged.sentence, judged.agrees) == (outcome.reason, outcome.detail, True)
    assert refused > 300


def test_every_case_has_a_fate_as_it_is_and_with_a_fix() -> None:
    """No record of the table breaks the planner, and nothing that the judge refuses would be sent."""
    fixes = read_fixes(
        """
        fixes:
          - do: [{drop: properties.debug}, {rename: {from: user, to: user_id}}, {cast: {field: user_id, to: string}}]
        """,
        "fixes.yaml",
    )
    for case in all_cases():
        found = letter(case.value, GameReason.NOT_UTF8)
        for used in (None, fixes):
            made = draft(found, used, JUDGE, case.kafka_timestamp)
            assert made.said.endswith(".")
            assert made.fate.is_sent == (made.value is not None)
            if made.value is not None:
                assert not isinstance(JUDGE.judge(made.value, case.kafka_timestamp), GameRefused)
            if used is None and made.fate.is_sent:
                assert made.value == case.value


@pytest.mark.parametrize("value", [None, b"", b"x", b"[]", b"{}", b'{"reason":1}', b"\xff"])
def test_what_is_no_letter_is_named_and_passed_over(value: bytes | None) -> None:
    with pytest.raises(DeadLetterError, match="p0@17 of the dead-letter topic is no dead letter"):
        letter_of(PLACE, value)
    broker = Broker(NOW)
    broker.append(DLQ_TOPIC, value)
    broker.append(DLQ_TOPIC, letter_value(PLACE, b"{}", NOW, GameReason.MISSING_FIELD))
    seen = Seen()
    assert [one.place for one in broker.reader().letters(Selection(), seen=seen)] == [Position(0, 1)]
    assert seen.unreadable_count == 1
    with pytest.raises(DeadLetterError):
        list(broker.reader().letters(Selection()))


def test_positions() -> None:
    assert position_of("p0@17") == PLACE
    assert str(PLACE) == "p0@17"
    assert [position_of(text) for text in ("p@1", "0@1", "p0@-1", "p0@17 ", "p0@" + "9" * 30)] == [None] * 5


def test_a_letter_at_a_position() -> None:
    broker = Broker(NOW)
    broker.append(DLQ_TOPIC, letter_value(PLACE, b"{}", NOW, GameReason.MISSING_FIELD))
    broker.append(DLQ_TOPIC, None, state=OPEN)
    assert broker.reader().letter_at(Position(0, 0)).source == PLACE
    for place in (Position(0, 1), Position(0, 2), Position(1, 0)):
        with pytest.raises(DeadLetterError, match="gamestream dlq list"):
            broker.reader().letter_at(place)


@pytest.mark.parametrize(
    ("selection", "matches"),
    [
        (Selection(), True),
        (Selection(reasons=known_reasons(["wrong_type", "BAD_TEXT"])), True),
        (Selection(reasons=known_reasons(["BAD_TEXT"])), False),
        (Selection(types=frozenset({"unknown"})), True),
        (Selection(types=frozenset({"score"})), False),
        (Selection(field="user_id"), True),
        (Selection(field="event_id"), False),
        (Selection(event_id="e1"), False),
        (Selection(user_id="u1"), False),
        (Selection(places=frozenset({Position(0, 3)})), True),
        (Selection(places=frozenset({PLACE})), False),
        (Selection(since=NOW, until=NOW + 1), True),
        (Selection(since=NOW + 1), False),
        (Selection(until=NOW), False),
    ],
)
def test_selections(selection: Selection, matches: bool) -> None:
    assert selection.matches(letter(b"{}", about="user_id")) is matches


def test_an_unknown_reason_lists_the_known_ones() -> None:
    with pytest.raises(DeadLetterError, match="NOT_UTF8, NOT_JSON"):
        known_reasons(["WRONG"])


def event(**changes: Any) -> bytes:
    known = {"event_id": "e1", "user_id": "u1", "event_type": "score", "event_time": NOW}
    return orjson.dumps(known | {"properties": {"team_id": "t", "team_name": "T", "score": "7"}} | changes)


@pytest.mark.parametrize(
    ("step", "about", "fate"),
    [
        ("set: {field: event_id, to: other}", "properties.score", Fate.ID_CHANGED),
        ("drop: event_id", "properties.score", Fate.ID_CHANGED),
        ("set: {field: id, to: other}", "properties.score", Fate.REFUSED),  # a synonym that is not used
        ("set: {field: event_id, to: other}", "event_id", Fate.REFUSED),  # the score is still a text
        ("cast: {field: properties.score, to: integer}", "properties.score", Fate.ENRICHED),
        ("set: {field: properties.score, expression: properties.score * 2}", "properties.score", Fate.NOT_FIXED),
        ("set: {field: properties, to: \"\\ud800\"}", "properties.score", Fate.REFUSED),
        ("set: {field: properties.score, to: -1}", "properties.score", Fate.REFUSED),
    ],
)  # fmt: skip
def test_fates_of_a_fix(step: str, about: str, fate: Fate) -> None:
    fixes = read_fixes(f"fixes:\n  - do:\n      - {step}\n", "fixes.yaml")
    made = draft(letter(event(), about=about), fixes, JUDGE, NOW)
    assert made.fate is fate, made.said


def test_a_conflict_keeps_its_fate_when_the_other_event_is_long_gone() -> None:
    """No topic holds the event that has the id any more: the letter alone says that there is one."""
    payload = event(properties={"team_id": "t", "team_name": "T", "score": 7})
    conflict = letter(payload, GameReason.DUP_CONFLICT, "event_id")
    assert draft(conflict, None, JUDGE, NOW).fate is Fate.ID_TAKEN
    fixes = read_fixes("fixes: [{do: [{set: {field: event_id, to: own}}]}]", "fixes.yaml")
    assert draft(conflict, fixes, JUDGE, NOW).fate is Fate.ENRICHED


def test_a_fix_keeps_numbers_exact() -> None:
    payload = event().replace(
        b'"score":"7"', b'"score":"7","odd":0.10000000000000000000000001,"big":123456789012345678901'
    )
    fixes = read_fixes("fixes: [{do: [{cast: {field: properties.score, to: integer}}]}]", "fixes.yaml")
    made = draft(letter(payload, about="properties.score"), fixes, JUDGE, NOW)
    assert b"0.10000000000000000000000001" in (made.value or b"")
    assert b"123456789012345678901" in (made.value or b"")


def test_only_production_scores_in_time_move_boards() -> None:
    properties = {"team_id": "t", "team_name": "T", "score": 7}
    payloads = [
        event(properties=properties),
        event(properties=properties, event_id="e2", user_id="u2"),
        event(properties=properties, event_id="e3", environment="sandbox"),
        event(properties=properties, event_id="e4", event_time=NOW - 700_000),
        event(properties={}, event_id="e5", event_type="player_join"),
    ]
    drafts = [draft(letter_of(PLACE, letter_value(Position(0, at), one, NOW, GameReason.WRONG_TYPE)), None, JUDGE, NOW)
              for at, one in enumerate(payloads)]  # fmt: skip
    assert [one.fate.is_sent for one in drafts] == [True] * 5
    moved = preview(settled(drafts, page_for([], [], set()), {}))
    assert (moved.players, moved.teams, moved.events) == ({"u1": 7, "u2": 7}, {"t": 14}, 2)


@pytest.mark.parametrize(
    ("good", "dead", "passed", "said"),
    [
        (0, 0, True, "too few"),
        (3, 3, True, "too few"),
        (100, 0, True, "the limit is 5.0%"),
        (96, 4, True, "4 of 100"),
        (90, 10, False, "10 of 100 records of the last hour are dead letters (10.0%)"),
    ],
)
def test_the_rate_counts_letters_not_offsets(good: int, dead: int, passed: bool, said: str) -> None:
    broker = Broker(NOW - 2 * 3_600_000)
    for _ in range(50):  # before the last hour
        broker.append(RAW, b"{}")
        broker.append(DLQ_TOPIC, b"{}")
    broker.now = NOW
    for _ in range(good + dead):
        broker.append(RAW, b"{}")
    for _ in range(dead):
        broker.append(DLQ_TOPIC, b"{}")
        broker.append(DLQ_TOPIC, None, state="marker")
    rate = recent_rate(KafkaConnection("nowhere:1"), Admin(broker), 0.05, NOW, broker.read)
    assert rate.passed is passed
    assert said in rate.sentence
