"""The judge of game events against the table of cases, and laws that hold for every record."""

from __future__ import annotations

import pytest

from gamestream_dagster.events.game_judge import GameEventJudge
from gamestream_dagster.events.game_outcome import GameEvent, GameReason, GameRefused
from tests.support.game_event_cases import GameCase, all_cases, made_cases, written_cases

JUDGE = GameEventJudge()
NOW = 1_700_000_000_000


@pytest.mark.parametrize("case", written_cases(), ids=lambda case: case.name)
def test_written_case(case: GameCase) -> None:
    _check(case)


def test_made_cases() -> None:
    for case in made_cases():
        _check(case)


def _check(case: GameCase) -> None:
    outcome = JUDGE.judge(case.value, case.kafka_timestamp)
    if case.reason is None:
        assert isinstance(outcome, GameEvent), (case.name, outcome)
        found = outcome._asdict()
        assert {name: found[name] for name in case.event} == case.event, case.name
        return
    assert isinstance(outcome, GameRefused), (case.name, outcome)
    assert outcome.reason == case.reason, (case.name, outcome)
    if case.field is not None:
        assert outcome.field == case.field, (case.name, outcome)
    assert outcome.detail, case.name
    assert outcome.detail.isprintable(), case.name


def test_names_of_cases_differ() -> None:
    names = [case.name for case in all_cases()]
    assert len(set(names)) == len(names)


def test_the_order_of_reasons_is_that_of_the_enumeration() -> None:
    first = [GameReason.NOT_UTF8, GameReason.NOT_JSON, GameReason.NOT_AVRO, GameReason.NOT_AN_OBJECT]
    assert [*GameReason][:4] == first
    assert GameReason.DUP_CONFLICT not in {case.reason for case in all_cases()}
