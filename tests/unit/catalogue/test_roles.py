"""Each role of a board's column is known, and a column that does not fit its role is refused with a sentence."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from gamestream_dagster.catalogue.boards import CatalogueError, load_boards
from gamestream_dagster.catalogue.roles import ColumnRole
from gamestream_dagster.settings import PROJECT_ROOT, Season

BOARD: dict[str, Any] = {
    "title": "Top pairs",
    "description": "Players by team.",
    "owner": "team:games",
    "rows": 3,
    "order": ["total desc", "team_id asc"],
}
COLUMNS: dict[str, Any] = {
    "place": {"type": "bigint", "role": "rank"},
    "team_id": {"type": "string", "role": "key"},
    "team_name": {"type": "string", "role": "label"},
    "user_id": {"type": "string", "role": "choice", "of": "total"},
    "total": {"type": "bigint", "role": "sum", "over": ["team_id"]},
    "part": {"type": "bigint", "role": "sum", "over": ["user_id", "team_id"]},
    "share": {"type": "double", "role": "ratio", "numerator": "part", "denominator": "total"},
}
WINDOW = {"as_of": "at", "tick_seconds": 5, "length_seconds": 60, "delay_seconds": 5}


def load(tmp_path: Path, columns: Any, recompute: str = "", **fields: Any) -> None:
    folder = tmp_path / "pairs_v1" / "outputs" / "top_pairs"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "output.yaml").write_text(yaml.safe_dump({**BOARD, **fields, "columns": columns}, sort_keys=False))
    if recompute:
        (folder / "recompute.sql").write_text(recompute)
    load_boards(tmp_path, Season.DAILY)


def test_the_example_is_right(tmp_path: Path) -> None:
    load(tmp_path, COLUMNS, "SELECT team_id, sum(score) AS total, COUNT(*) AS seen FROM events")


@pytest.mark.parametrize(
    ("column", "told"),
    [
        ({"type": "bigint", "role": "count"}, "role `count`, which needs `over`"),
        ({"type": "bigint", "role": "counter"}, "A number of accepted events is a `count`"),
        ({"type": "bigint", "role": "total"}, "the roles are rank, key, label"),
        ({"type": "bigint", "role": ["sum", "value"]}, "a list of roles, ['sum', 'value']; a column has one role"),
        ({"type": "bigint"}, "role: Field required"),
        ({"type": "bigint", "role": "sum"}, "needs `over`"),
        ({"type": "double", "role": "sum", "over": ["team_id"]}, "its type must be `bigint` and not `double`"),
        ({"type": "bigint", "role": "sum", "over": ["team_id"], "of": "total"}, "has no `of`; remove it"),
        ({"type": "bigint", "role": "label"}, "its type must be `string`"),
        ({"type": "string", "role": "choice"}, "needs `of`"),
        ({"type": "string", "role": "choice", "of": "team_name"}, "chosen by 'team_name', which must have"),
        ({"type": "string", "role": "choice", "of": "absent"}, "'absent' is used but not described"),
        ({"type": "double", "role": "ratio", "numerator": "total"}, "needs `denominator`"),
        ({"type": "double", "role": "ratio", "numerator": "total", "denominator": "team_id"}, "names 'team_id'"),
        ({"type": "double", "role": "ratio", "numerator": "total", "denominator": "2 * total"}, "names '2'"),
        ({"type": "bigint", "role": "value"}, "role `value`, which needs a `window`"),
        ({"type": "timestamp", "role": "as_of"}, "role `as_of`, which needs a `window`"),
        ({"type": "bigint", "role": "season"}, "its type must be `timestamp`"),
        ({"type": "bigint", "role": "rank"}, "exactly one column of a board has the role `rank`, not place and new"),
        ({"type": "bigint", "role": "key", "over": ["team_id"]}, "has no `over`; remove it"),
        ("bigint", "columns.new"),
    ],
)
def test_a_column_that_does_not_fit_its_role(tmp_path: Path, column: Any, told: str) -> None:
    with pytest.raises(CatalogueError, match=re.escape(told)):
        load(tmp_path, {**COLUMNS, "new": column})


@pytest.mark.parametrize("made", ["COUNT(*)", "count(DISTINCT user_id)", "count( score )::BIGINT"])
def test_a_count_is_no_sum_of_points(tmp_path: Path, made: str) -> None:
    with pytest.raises(CatalogueError, match=r"recompute\.sql makes it with COUNT"):
        load(tmp_path, COLUMNS, f"SELECT team_id, {made} AS total FROM events GROUP BY ALL")


def test_an_output_without_ranks_has_neither_order_nor_a_number_of_ranks(tmp_path: Path) -> None:
    columns = {name: column for name, column in COLUMNS.items() if name != "place"}
    events = {"events": {"type": "bigint", "role": "count", "over": ["team_id"]}}
    with pytest.raises(CatalogueError, match="`order` needs a column with the role `rank`"):
        load(tmp_path, columns)
    with pytest.raises(CatalogueError, match="a board needs `rows`, the number of its ranks, at most 1000"):
        load(tmp_path, COLUMNS, rows=1001)
    with pytest.raises(CatalogueError, match="say by which `order`"):
        load(tmp_path, COLUMNS, order=[])
    season = {"season_id": {"type": "timestamp", "role": "season"}}
    with pytest.raises(CatalogueError, match="'season_id' is a season: only a board has seasons"):
        load(tmp_path, {**season, **columns}, order=[])
    load(tmp_path, {**columns, **events}, order=[], rows=50_000)
    output = load_boards(tmp_path, Season.DAILY)["top_pairs"]
    assert (output.ranked, output.key_columns, output.topic) == (False, ("team_id",), "top-pairs")


def test_a_board_with_a_window_has_values_and_its_own_as_of(tmp_path: Path) -> None:
    at = {"at": {"type": "timestamp", "role": "as_of"}}
    counted = {"type": "bigint", "role": "count", "over": ["team_id"]}
    with pytest.raises(CatalogueError, match="role `count`, which never starts anew"):
        load(
            tmp_path, {"place": COLUMNS["place"], "team_id": COLUMNS["team_id"], "total": counted, **at}, window=WINDOW
        )
    with pytest.raises(CatalogueError, match="never starts anew; in a board with a window write `value`"):
        load(tmp_path, {**COLUMNS, **at}, window=WINDOW)
    columns = {"place": COLUMNS["place"], "team_id": COLUMNS["team_id"], "total": {"type": "bigint", "role": "value"}}
    load(tmp_path, {**columns, **at}, window=WINDOW)
    with pytest.raises(CatalogueError, match="name one of them in both"):
        load(tmp_path, {**columns, **at, "then": {"type": "timestamp", "role": "as_of"}}, window=WINDOW)


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "columns: 3\n", "just words\n"])
def test_a_file_that_is_no_board_is_one_sentence(tmp_path: Path, text: str) -> None:
    folder = tmp_path / "pairs_v1" / "outputs" / "top_pairs"
    folder.mkdir(parents=True)
    (folder / "output.yaml").write_text(text)
    with pytest.raises(CatalogueError, match=r"output\.yaml cannot be used"):
        load_boards(tmp_path, Season.DAILY)


def test_the_page_describes_every_role() -> None:
    page = (PROJECT_ROOT / "flink_sql" / "README.md").read_text(encoding="utf-8")
    for role in ColumnRole:
        assert f"| `{role}` |" in page
