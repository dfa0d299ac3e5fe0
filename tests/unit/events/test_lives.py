"""Simulated lives: the same bytes from the same options, and a world that is as its constants say."""

from __future__ import annotations

import hashlib
from collections import Counter
from datetime import date
from itertools import islice
from pathlib import Path

import duckdb
import numpy as np
import orjson
import pytest
from pydantic import ValidationError

from gamestream_dagster.events.lives import play
from gamestream_dagster.events.lives.answers import COMPLETE, LIVES, truth_of
from gamestream_dagster.events.lives.lines import EventLines
from gamestream_dagster.events.lives.live import live_events
from gamestream_dagster.events.lives.options import LivesOptions, pass_chance
from gamestream_dagster.events.lives.play import Lives
from gamestream_dagster.events.lives.tables import SCHEMAS, Table

START = date(2026, 3, 1)
SMALL = LivesOptions(start=START, days=5, players=60)


def lines(options: LivesOptions) -> list[bytes]:
    lives = Lives(options)
    writer = EventLines(options, lives.people)
    return [line for _, played in lives.days() for line in writer.of(played)]


def digest(options: LivesOptions) -> str:
    return hashlib.sha256(b"\n".join(lines(options))).hexdigest()


def whole(options: LivesOptions, table: str) -> Table:
    parts = [played[table] for _, played in Lives(options).days()]
    return {name: np.concatenate([part[name] for part in parts]) for name in SCHEMAS[table].names}


def test_the_same_options_give_the_same_bytes_and_others_give_others() -> None:
    assert digest(SMALL) == digest(SMALL)
    others = [SMALL.model_copy(update={"seed": 2}), SMALL.model_copy(update={"start": date(2026, 3, 2)})]
    assert len({digest(one) for one in (SMALL, *others)}) == 3
    ids = [{orjson.loads(line)["event_id"] for line in lines(one)} for one in (SMALL, *others)]
    assert not ids[0] & (ids[1] | ids[2]), "two simulations share no id"


def test_blocks_bound_the_memory_and_ids_stay_unique(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(play, "BLOCK", 25)
    found = [orjson.loads(line)["event_id"] for line in lines(SMALL)]
    assert len(found) == len(set(found)) > 500


def test_one_player_and_one_day() -> None:
    least = LivesOptions(start=START, days=1, players=1)
    found = [orjson.loads(line) for line in lines(least)]
    assert {one["user_id"] for one in found} <= {f"{least.prefix}-000000"}


@pytest.mark.parametrize("wrong", [{"days": 0}, {"players": 0}, {"players": 10**7}, {"seed": -1}, {"days": 367}])
def test_options_out_of_range(wrong: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        LivesOptions(**{"start": START, "days": 2, **wrong})  # type: ignore[arg-type]


def test_levels_pass_as_the_curve_says() -> None:
    attempts = whole(LivesOptions(start=START, days=6, players=3000), "attempts")
    for level in (1, 5, 9, 10):
        for boosted in (False, True):
            at = (attempts["level"] == level) & (attempts["boosted"] == boosted)
            count, chance = int(at.sum()), float(pass_chance(np.array([level]), np.array([boosted]))[0])
            if count > 100:
                error = 4 * (chance * (1 - chance) / count) ** 0.5
                assert attempts["passed"][at].mean() == pytest.approx(chance, abs=error), (level, boosted)


def test_sessions_of_a_player_never_overlap_and_pauses_are_long() -> None:
    sessions = whole(LivesOptions(start=START, days=6, players=1500), "sessions")
    order = np.lexsort((sessions["start_ms"], sessions["player"]))
    player, session = sessions["player"][order], sessions["session"][order]
    gap = sessions["start_ms"][order][1:] - sessions["end_ms"][order][:-1]
    same = player[1:] == player[:-1]
    assert gap[same].min() > play.GAP_MS
    paused = same & (session[1:] == session[:-1])
    assert paused.sum() > 10
    assert (sessions["end_ms"] >= sessions["start_ms"]).all()


def test_lives_go_on_where_the_history_ends() -> None:
    history = [orjson.loads(line) for line in lines(SMALL)]
    from_ms = SMALL.end_ms + 5 * 3_600_000
    found = list(islice(live_events(SMALL, from_ms), 400))
    live = [orjson.loads(event.line) for event in found]
    times = [event.at_ms for event in found]
    assert times == sorted(times)
    assert times[0] >= from_ms
    assert not {one["event_id"] for one in history} & {one["event_id"] for one in live}
    assert {one["user_id"] for one in live} <= {one["user_id"] for one in history}
    assert [event.user_id for event in found] == [one["user_id"] for one in live]
    reached = Counter[str]()
    for one in history:
        if one["event_type"] == "level_complete":
            reached[one["user_id"]] = max(reached[one["user_id"]], one["properties"]["level_id"] + 1)
    first = {one["user_id"]: one["properties"]["level"] for one in reversed(live) if one["event_type"] == "player_join"}
    assert first
    assert {user: level for user, level in first.items() if reached[user]} == {
        user: reached[user] for user in first if reached[user]
    }, "a player goes on at the level reached"
    assert len(list(live_events(LivesOptions(start=START, days=2, players=3), SMALL.end_ms))) < 100_000, "it ends"


def test_the_truth_is_whole_or_not_there(tmp_path: Path) -> None:
    lives = Lives(SMALL)

    def half() -> None:
        with truth_of(SMALL, lives.people, tmp_path / "truth") as files:
            for _, played in islice(lives.days(), 2):
                files.add(played)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        half()
    assert list(tmp_path.iterdir()) == []
    lives = Lives(SMALL)
    with truth_of(SMALL, lives.people, tmp_path / "truth") as files:
        for _, played in lives.days():
            files.add(played)
    document = orjson.loads((tmp_path / "truth" / COMPLETE).read_bytes())
    assert document["options"]["players"] == 60
    assert document["difficulty"][9]["pass_chance"] < document["difficulty"][8]["pass_chance"] - 0.1, "level 10 is hard"
    assert document["experiment"] == {"name": "starter_offer", "arms": ["control", "treatment"], "lift": 1.5}
    players = duckdb.sql(f"SELECT count(*), count(DISTINCT user_id) FROM '{tmp_path}/truth/{LIVES}/players.parquet'")
    assert players.fetchall() == [(60, 60)]
