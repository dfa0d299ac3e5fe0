"""The parts of the outage's measure that need no server."""

from __future__ import annotations

import time
from collections import Counter

import pytest

from bench import intake
from bench.intake_outage import _figures, _Told, reason_of  # pyright: ignore[reportPrivateUsage]
from bench.intake_waits import _marker  # pyright: ignore[reportPrivateUsage]
from bench.load import MARKER, TOP
from bench.results import BenchError
from gamestream_dagster.events.game_judge import GameEventJudge
from gamestream_dagster.events.game_outcome import GameEvent
from gamestream_dagster.settings import load_settings


@pytest.mark.parametrize(
    ("why", "kind"),
    [
        ("it answers 503: Kafka cannot be reached", "503"),
        ("Kafka does not confirm them", "retry"),
        ("http://x does not answer (ReadTimeout)", "http://x does not answer (ReadTimeout)"),
    ],
)
def test_answers_without_verdicts_by_kind(why: str, kind: str) -> None:
    assert reason_of(why) == kind


def told(*accepted: str, **waits: int) -> _Told:
    return _Told(dict.fromkeys(accepted, 1.0), waits=Counter(waits))


def test_a_lost_event_and_an_unexpected_answer_are_errors() -> None:
    stored = Counter({"a": 1, "b": 2, "c": 1})
    found = _figures(told("a", "b", **{"503": 7, "retry": 1}), stored)
    assert (found["acknowledged"], found["stored twice"], found["answers 503"]) == (2, 1, 7)
    with pytest.raises(BenchError, match="1 acknowledged events are not in"):
        _figures(told("a", "x"), stored)
    with pytest.raises(BenchError, match="in place of 503 or retry"):
        _figures(told("a", **{"it answers 500": 1}), stored)


def test_markers_raise_the_total_of_one_player_by_one() -> None:
    judge = GameEventJudge()
    made = [_marker(7, number) for number in range(3)]
    outcomes = [judge.judge(value, round(time.time() * 1000)) for _, value in made]
    assert all(isinstance(one, GameEvent) and one.user_id == MARKER and not one.late for one in outcomes)
    assert len({name for name, _ in made}) == 3
    assert [b'"score":1}' in value for _, value in made] == [False, True, True]
    assert str(TOP).encode() in made[0][1]


def test_the_boards_begin_at_the_end_of_their_topic(tmp_path) -> None:
    text = "\n".join(intake.boards_job(load_settings(home=tmp_path / "home")).rendered.definitions)
    assert "'topic' = 'user-score'" in text
    assert "'latest-offset'" in text
    assert "'earliest-offset'" not in text
