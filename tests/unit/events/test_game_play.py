"""The crowd's game events: valid where they should be, refused for their reason where not, repeated to the byte."""

from __future__ import annotations

from collections import Counter

import orjson
import pytest

from gamestream_dagster.enrichment.device_table import DeviceTable
from gamestream_dagster.enrichment.tables import DEVICE_FILE, PACKAGED
from gamestream_dagster.events.game_judge import GameEventJudge
from gamestream_dagster.events.game_outcome import GameEvent, GameRefused
from gamestream_dagster.events.game_play import BAD_GAME_EVENTS, play
from gamestream_dagster.events.simulator import Kind, SimulatorOptions

START = 1_700_000_000_000
SCORE = {"team_id": "7", "team_name": "EU-RubyKoala", "score": 7}
MIXED = {"rate": 2000, "late": 3, "dup": 2, "bad": 2, "skew": 5, "burst": 3, "zipf": 1.1, "players": 500}


def options(**given) -> SimulatorOptions:
    return SimulatorOptions(**{"start_ms": START, "events": 5000, **given})


def test_every_event_is_what_its_kind_says():
    judge, seen = GameEventJudge(), set()
    for record in play(options(**MIXED)):
        outcome = judge.judge(record.value, START + int(record.origin.due_ms))
        if record.origin.kind is Kind.BAD:
            assert isinstance(outcome, GameRefused), record
            assert outcome.reason is record.reason
            continue
        assert isinstance(outcome, GameEvent), outcome
        assert outcome.remark is None
        assert outcome.event_type == record.event_type
        assert (outcome.event_id, outcome.user_id) == (record.origin.event.event_id, record.origin.event.user_id)
        assert outcome.event_time_millis == record.origin.event.event_time_millis
        assert outcome.late is record.late
        assert (record.value in seen) == (record.origin.kind is Kind.DUP)
        if record.event_type == "score":
            assert orjson.loads(outcome.properties)["score"] == record.origin.event.score
        seen.add(record.value)


def test_it_plays_several_types_and_mostly_scores():
    types = Counter(record.event_type for record in play(options(events=10_000)))
    assert 0.65 < types["score"] / 10_000 < 0.75
    assert len(types) >= 6
    assert min(types.values()) > 200


@pytest.mark.parametrize("bad", BAD_GAME_EVENTS)
def test_each_bad_event_is_refused_for_its_reason(bad):
    reason, spoil = bad
    record = next(play(options()))
    outcome = GameEventJudge().judge(
        spoil(orjson.loads(record.value) | {"event_type": "score", "properties": SCORE}), START
    )
    assert isinstance(outcome, GameRefused)
    assert outcome.reason is reason


def test_the_same_seed_gives_the_same_bytes():
    one, two = ([record.value for record in play(options(seed=7, **MIXED))] for _ in range(2))
    assert one == two
    assert one != [record.value for record in play(options(seed=8, **MIXED))]


def test_countries_and_devices_are_known():
    """The share of unknown ones is watched: a demo must not raise the alarm."""
    devices = DeviceTable(PACKAGED / DEVICE_FILE)
    found = [orjson.loads(record.value) for record in play(options(players=500))]
    assert {one["region"] for one in found} == {"NA", "EU", "ASIA"}
    assert len({one["country"] for one in found}) > 6
    assert all(devices.device_of(one["device_model"]).tier != "unknown" for one in found)
