"""A board has its suite by its description alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from gamestream_dagster.catalogue.boards import Board, CatalogueError, load_boards
from gamestream_dagster.settings import Season, load_settings
from quality.queries import QueryError, own_expectations, query
from quality.suites import load_suites, suite_names
from quality.suites.board import suite
from quality.suites.ordering import is_share, out_of_order, ratio_not_its_integers

DESCRIPTION = {
    "title": "Best guilds",
    "description": "Guilds by their part of a region's score.",
    "owner": "team:test",
    "rows": 3,
    "order": ["part desc", "guild_id asc"],
    "columns": {
        "rnk": {"type": "bigint", "role": "rank"},
        "region_id": {"type": "string", "role": "key"},
        "guild_id": {"type": "string", "role": "key"},
        "guild_total": {"type": "bigint", "role": "sum", "over": ["region_id", "guild_id"]},
        "region_total": {"type": "bigint", "role": "sum", "over": ["region_id"]},
        "part": {"type": "double", "role": "ratio", "numerator": "guild_total", "denominator": "region_total"},
    },
}


@pytest.fixture
def guilds(tmp_path: Path) -> Board:
    folder = tmp_path / "guilds_v1" / "outputs" / "best_guilds"
    folder.mkdir(parents=True)
    (folder / "output.yaml").write_text(yaml.safe_dump(DESCRIPTION, sort_keys=False), encoding="utf-8")
    return load_boards(tmp_path)["best_guilds"]


def sentences(board: Board) -> list[str]:
    return [expectation.description or "" for expectation in suite(board).expectations]


def test_a_new_board_has_a_whole_suite_without_any_code(guilds: Board) -> None:
    found = sentences(guilds)
    for wanted in (
        "Between 1 and 3 rows",
        "guild_id is never empty",
        "rnk runs from 1 without a gap",
        "region_id, guild_id stand on the board once",
        "Rows stand in the order part desc, guild_id asc, with no tie left",
        "guild_total is not negative",
        "part is (guild_total) / (region_total)",
        "part is a share: above 0, at most 1",
    ):
        assert wanted in found
    assert len(found) == len(set(found))


@pytest.fixture
def seasonal(tmp_path: Path) -> Board:
    folder = tmp_path / "guilds_v1" / "outputs" / "season_guilds"
    folder.mkdir(parents=True)
    columns = {"season_id": {"type": "timestamp", "role": "season"}, **DESCRIPTION["columns"]}
    (folder / "output.yaml").write_text(
        yaml.safe_dump({**DESCRIPTION, "columns": columns}, sort_keys=False), encoding="utf-8"
    )
    return load_boards(tmp_path, Season.HOURLY)["season_guilds"]


def test_a_board_of_seasons_holds_within_each_season(seasonal: Board) -> None:
    found = sentences(seasonal)
    for wanted in (
        "1 row at least",
        "season_id is never empty",
        "rnk lies between 1 and 3",
        "rnk names one row in its season",
        "rnk runs from 1 without a gap in its season",
        "region_id, guild_id stand on the board once in its season",
    ):
        assert wanted in found
    assert not any(one.startswith("Between") for one in found)
    assert "PARTITION BY season_id ORDER BY rnk" in out_of_order(seasonal)


def test_a_board_may_bring_expectations_of_its_own(guilds: Board) -> None:
    own = guilds.folder / "expectations"
    own.mkdir()
    (own / "small.sql").write_text(
        "-- No guild is larger than its region.\nSELECT * FROM {batch} WHERE guild_total > region_total;\n",
        encoding="utf-8",
    )
    assert "No guild is larger than its region" in sentences(guilds)


@pytest.mark.parametrize("text", ["SELECT * FROM {batch}", "-- Says what holds\nSELECT * FROM top_teams", ""])
def test_an_own_expectation_must_say_what_holds_and_read_the_rows(tmp_path: Path, text: str) -> None:
    (tmp_path / "expectations").mkdir()
    (tmp_path / "expectations" / "bad.sql").write_text(text, encoding="utf-8")
    with pytest.raises(QueryError, match=r"bad\.sql"):
        own_expectations(tmp_path)


def test_a_ratio_of_two_sums_over_other_keys_is_no_share(guilds: Board) -> None:
    assert is_share(guilds, guilds.columns["part"])
    streaks = load_boards()["hot_streaks"]
    assert not is_share(streaks, streaks.columns["peak_hotness"])


def test_the_order_compares_integers_and_bytes_never_floats(guilds: Board) -> None:
    text = out_of_order(guilds)
    assert "{batch}" in text
    assert 'COLLATE "C"' in text
    assert "guild_total AS NUMERIC" in text
    assert "region_total AS NUMERIC" in text
    assert "part AS NUMERIC" not in text
    assert "nullif" in ratio_not_its_integers(guilds, "part")


def test_a_ratio_must_be_made_of_the_boards_columns(guilds: Board) -> None:
    columns = dict(guilds.columns)
    columns["part"] = columns["part"].model_copy(update={"numerator": "guild_total; DROP TABLE x"})
    with pytest.raises(CatalogueError, match="product of columns"):
        out_of_order(guilds.model_copy(update={"columns": columns}))


@pytest.mark.parametrize("name", ["top_teams; DROP TABLE x", "Top", 'a"b', "", "1a"])
def test_only_identifiers_enter_a_query(name: str) -> None:
    with pytest.raises(QueryError, match="not an identifier"):
        query("board_rows", board=name)


def test_a_place_without_a_value_is_told() -> None:
    with pytest.raises(QueryError, match="without a value"):
        query("board_rows_newest", board="top_teams")


def test_names_are_known_without_great_expectations_and_agree_with_the_suites(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path)
    assert tuple(load_suites(settings)) == suite_names(settings)
    assert set(load_boards()) < set(suite_names(settings))


def test_every_suite_counts_its_rows(tmp_path: Path) -> None:
    for found in load_suites(load_settings(home=tmp_path)).values():
        kinds = [type(expectation).__name__ for expectation in found.expectations]
        assert kinds.count("ExpectTableRowCountToBeBetween") == 1, found.name
