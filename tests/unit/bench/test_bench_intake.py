"""The parts of the intake benchmark that need no server."""

from __future__ import annotations

import pytest

from bench import intake, suite
from bench.intake_waits import waits
from bench.results import BenchError
from gamestream_dagster.events.game_judge import GameEventJudge
from gamestream_dagster.events.game_outcome import GameEvent
from gamestream_dagster.flink_jobs.spec.catalogue import load_job
from gamestream_dagster.settings import Settings, load_settings


@pytest.fixture
def settings(tmp_path) -> Settings:
    return load_settings(home=tmp_path / "home")


def test_connections_share_all_events_in_batches_of_one_size():
    events = intake.records(intake.IntakeOptions(players=50), 1_050)
    lots = intake.batches(events, 4)
    sent = [value for lot in lots for batch in lot for value in batch]
    assert sorted(sent) == sorted(one.value for one in events)
    assert sorted(len(batch) for lot in lots for batch in lot) == [50, *[100] * 10]


def test_events_are_accepted_in_time_and_no_round_repeats_an_id():
    options, judge = intake.IntakeOptions(players=50), GameEventJudge()
    rounds = [intake.records(options, 300) for _ in range(2)]
    now = rounds[0][0].origin.event.event_time_millis
    outcomes = [judge.judge(one.value, now) for made in rounds for one in made]
    assert all(isinstance(one, GameEvent) and not one.late for one in outcomes)
    assert len({one.event_id for one in outcomes}) == 600


def test_the_job_is_moved_to_the_filled_topic_and_ends_there(settings: Settings):
    text = "\n".join(intake.our_job(settings, "bench-x", {0: 7, 1: 9}).rendered.definitions)
    assert "'topic' = 'bench-x'" in text
    assert "partition:0,offset:7;partition:1,offset:9" in text
    assert "'topic' = 'game-events-raw'" not in text
    assert "'latest-offset'" in "\n".join(intake.our_job(settings, start="latest-offset").rendered.definitions)
    with pytest.raises(BenchError, match="cannot move it"):
        intake.over(load_job("leaderboards_v1"), "bench-x", None)


def test_the_baselines_read_the_same_topic(settings: Settings):
    for made in (intake.judged_job(settings, "bench-x", {0: 7}), intake.scan_job(settings, "bench-x", {0: 7})):
        assert any("'topic' = 'bench-x'" in one and "offset:7" in one for one in made.rendered.definitions)
        assert "INSERT INTO thrown_away" in made.rendered.statement_set


def test_waits_are_never_negative_and_a_lost_event_is_an_error():
    assert waits({"a": 1.0, "b": 2.0}, {"a": 1.25, "b": 1.9, "c": 9.0}) == [250.0, 0.0]
    with pytest.raises(BenchError, match="1 of 2 accepted events were never read"):
        waits({"a": 1.0, "b": 2.0}, {"a": 1.25})


def test_the_measure_is_offered():
    assert "intake" in suite.MEASURES
