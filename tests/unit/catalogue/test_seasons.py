"""Borders of seasons."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from gamestream_dagster.catalogue.boards import CatalogueError, load_boards
from gamestream_dagster.catalogue.seasons import SeasonError, season_at, season_named
from gamestream_dagster.flink_jobs.spec.catalogue import load_jobs
from gamestream_dagster.settings import Season


def millis(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


@pytest.mark.parametrize(
    ("season", "at", "start"),
    [
        (Season.HOURLY, "2026-11-21T14:59:59.999", "2026-11-21T14:00:00Z"),
        (Season.HOURLY, "2026-11-21T15:00:00", "2026-11-21T15:00:00Z"),
        (Season.DAILY, "2026-03-29T02:30:00", "2026-03-29"),  # when Europe's clocks skip this hour
        (Season.DAILY, "2026-11-20T23:59:59.999", "2026-11-20"),
        (Season.WEEKLY, "2026-11-22T23:59:59.999", "2026-11-16"),  # a Sunday
        (Season.WEEKLY, "2026-11-23T00:00:00", "2026-11-23"),  # a Monday
        (Season.WEEKLY, "1970-01-01T00:00:00", "1969-12-29"),
        (Season.WEEKLY, "2027-01-01T00:00:00", "2026-12-28"),
    ],
)
def test_a_time_belongs_to_its_season(season: Season, at: str, start: str):
    found = season_at(season, millis(at))
    assert found.label == start
    assert found.start <= millis(at) < found.end
    assert season_named(season, start) == found


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01", "9999999999"])
def test_what_is_no_time_is_refused(text: str):
    with pytest.raises(SeasonError, match="is no season; write its start"):
        season_named(Season.DAILY, text)


def test_what_is_no_start_is_refused():
    with pytest.raises(SeasonError, match="belongs to 2026-11-16"):
        season_named(Season.WEEKLY, "2026-11-21")


def test_boards_and_job_of_seasons_are_wanted_only_where_seasons_are_kept():
    without, kept = load_boards(season=Season.NONE), load_boards(season=Season.WEEKLY)
    assert {board.key_columns for board in without.values() if board.ranked} == {("rnk",)}
    assert {name for name in kept if name not in without} == {"season_teams", "season_players", "season_mvps"}
    assert kept["season_mvps"].key_columns == ("season_id", "rnk")
    assert set(load_jobs(season=Season.DAILY)) - set(load_jobs(season=Season.NONE)) == {"season_boards_v1"}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("{type: timestamp, role: season}", "{type: bigint, role: season}", "its type must be `timestamp`"),
        ("rnk: {", "other: {type: timestamp, role: season}\n  rnk: {", "only one column can have the role `season`"),
    ],
)
def test_a_season_that_cannot_be_is_refused(tmp_path: Path, old: str, new: str, message: str):
    source = load_boards(season=Season.DAILY)["season_players"].folder / "output.yaml"
    folder = tmp_path / "some_v1" / "outputs" / "season_players"
    folder.mkdir(parents=True)
    (folder / "output.yaml").write_text(source.read_text(encoding="utf-8").replace(old, new, 1), encoding="utf-8")
    with pytest.raises(CatalogueError, match=message):
        load_boards(tmp_path)
