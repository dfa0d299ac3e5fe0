"""Players of three regions: the second seed's flat events, accepted as they are."""

from __future__ import annotations

import re
from collections import Counter
from itertools import islice, pairwise
from typing import Any

import orjson
import pytest
from pydantic import ValidationError

from gamestream_dagster.events.game_judge import GameEventJudge
from gamestream_dagster.events.game_outcome import GameEvent
from gamestream_dagster.events.region_play import RegionEvent, RegionOptions, RegionTruth, region_play

START = 1_767_225_600_000  # 2026-01-01
ISO = re.compile(r"2026-01-01T00:\d\d:\d\d\.\d{3}\+00:00")


def events(**options: Any) -> list[RegionEvent]:
    return list(region_play(RegionOptions(start_ms=START, **{"events": 3000, **options})))


def test_the_judge_accepts_each_event_as_it_is() -> None:
    judge, found = GameEventJudge(), Counter[str]()
    for event in events():
        outcome = judge.judge(event.value, START + int(event.due_ms))
        assert isinstance(outcome, GameEvent), outcome
        assert (outcome.remark, outcome.late) == (None, False)
        assert (outcome.user_id, outcome.region, outcome.event_type) == (event.player, event.region, event.event_type)
        assert outcome.event_time_millis == START + int(event.due_ms)
        found[outcome.event_type] += 1
    assert set(found) == {"player_join", "item_purchase", "enemy_defeated"}
    assert min(found.values()) > 300


def test_flat_events_with_a_time_in_iso_8601_every_100_ms() -> None:
    found = events(events=50)
    assert {round(after.due_ms - before.due_ms) for before, after in pairwise(found)} == {100}
    for event in found:
        fields = orjson.loads(event.value)
        assert "properties" not in fields
        assert ISO.fullmatch(fields["timestamp"])
        assert fields["player_id"] == event.key.decode()


def test_a_thousand_players_in_three_regions_who_join_first() -> None:
    found = events(events=20_000)
    players = {event.player for event in found}
    assert len(players) == 1000
    assert Counter(event.region for event in found).keys() == {"NA", "EU", "ASIA"}
    firsts = {event.player: event.event_type for event in reversed(found)}
    assert set(firsts.values()) == {"player_join"}
    assert len({(event.player, event.region) for event in found}) == 1000, "a player stays in a region"
    assert len({orjson.loads(event.value)["event_id"] for event in found}) == len(found)


def test_the_same_options_give_the_same_bytes() -> None:
    assert events(seed=5) == events(seed=5) != events(seed=6)


def test_it_ends_when_it_should() -> None:
    assert events(events=0) == []
    assert len(events(events=None, duration=2.0, rate=50)) == 100
    assert len(list(islice(region_play(RegionOptions(start_ms=START)), 5000))) == 5000


@pytest.mark.parametrize("wrong", [{"rate": 0}, {"players": 0}, {"start_ms": 5}, {"duration": 0}])
def test_options_out_of_range(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        RegionOptions(**{"start_ms": START, **wrong})


def test_the_truth_counts_what_was_sent() -> None:
    truth, found = RegionTruth(RegionOptions(start_ms=START, events=3000)), events()
    for event in found:
        truth.add(event)
    told = truth.document()
    assert sum(row["events"] for row in told["events_by_minute"]) == 3000
    assert told["events_by_minute"][0]["minute"] == "2026-01-01T00:00Z"
    first = [
        event for event in found if event.due_ms < 60_000 and (event.region, event.event_type) == ("EU", "player_join")
    ]
    [row] = [
        row
        for row in told["events_by_minute"]
        if (row["minute"], row["region"], row["event_type"]) == ("2026-01-01T00:00Z", "EU", "player_join")
    ]
    assert row["events"] == len(first)
    paid = sum(float(event.price) for event in found if event.price and event.region == "NA")
    assert float(told["regions"]["NA"]["revenue_usd"]) == pytest.approx(paid)
    assert sum(one["players"] for one in told["regions"].values()) == len({event.player for event in found})
