"""Metrics as folders: what they read, in which order, and what is wrong with one that cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from gamestream_dagster.catalogue.boards import load_boards
from gamestream_dagster.catalogue.errors import CatalogueError
from gamestream_dagster.catalogue.metrics import load_metrics, relations_of, with_upstream
from gamestream_dagster.warehouse.described_tables import load_metadata

HERE = Path("query.sql")
SMALL = {
    "title": "Small",
    "grain": "one row a day",
    "definition": "A small metric.",
    "source": "a test",
    "partition": "date",
    "key": ["date"],
    "columns": {"date": {"type": "date", "meaning": "The day."}, "n": {"type": "bigint", "meaning": "A number."}},
}


def write(folder: Path, name: str, sql: str, **changes: object) -> None:
    (folder / name).mkdir(parents=True)
    (folder / name / "metric.yaml").write_text(yaml.safe_dump(SMALL | changes), encoding="utf-8")
    (folder / name / "query.sql").write_text(sql, encoding="utf-8")


@pytest.mark.parametrize(
    ("sql", "reads"),
    [
        ("SELECT 1 FROM events", ("events",)),
        ("FROM events", ("events",)),
        ("WITH events AS (SELECT * FROM purchases) SELECT * FROM events", ("purchases",)),
        ("SELECT 'FROM nothing' FROM a -- FROM b\n/* FROM c */", ("a",)),
        ("SELECT * FROM a JOIN b USING (x) ANTI JOIN c ON true", ("a", "b", "c")),
        ("SELECT * FROM a WHERE x IN (SELECT x FROM b) AND EXISTS (SELECT 1 FROM c)", ("a", "b", "c")),
        ("SELECT * FROM a UNION ALL SELECT * FROM b", ("a", "b")),
        ("WITH x AS (SELECT * FROM a WHERE date = $day), y AS (SELECT * FROM x) SELECT * FROM y, b", ("a", "b")),
        ("WITH x AS (SELECT * FROM a) SELECT * FROM (WITH x AS (SELECT * FROM b) SELECT * FROM x), x", ("a", "b")),
    ],
)
def test_what_a_query_reads_comes_from_its_sql(sql: str, reads: tuple[str, ...]) -> None:
    assert relations_of(sql, HERE) == reads


@pytest.mark.parametrize(
    ("sql", "wrong"),
    [
        ("SELECT FROM WHERE", "cannot be parsed"),
        ("DELETE FROM events", "must be one SELECT"),
        ("SELECT 1; SELECT 2", "must be one SELECT"),
        ("", "must be one SELECT"),
        ("SELECT * FROM other.events", "plain names"),
        ("SELECT * FROM read_parquet('/tmp/x')", "plain names"),
        ("SELECT * FROM '/etc/passwd'", "plain names"),
    ],
)
def test_a_query_that_reads_something_else_is_refused(sql: str, wrong: str) -> None:
    with pytest.raises(CatalogueError, match=wrong):
        relations_of(sql, HERE)


def test_metrics_come_in_the_order_in_which_they_read_each_other(tmp_path: Path) -> None:
    write(tmp_path, "a", "SELECT $day AS date, count(*) AS n FROM z")
    write(tmp_path, "b", "SELECT $day AS date, sum(n) AS n FROM a")
    write(tmp_path, "z", "SELECT $day AS date, count(*) AS n FROM game_events")
    found = load_metrics(tmp_path)
    assert list(found) == ["z", "a", "b"]
    assert list(with_upstream(("a",), found)) == ["z", "a"]
    assert found["z"].reads_events
    assert not found["a"].reads_events
    with pytest.raises(CatalogueError, match="There is no metric 'c'; the metrics are: z, a, b"):
        with_upstream(("c",), found)


def test_a_new_metric_is_a_folder_and_its_table_follows(tmp_path: Path) -> None:
    write(tmp_path, "a", "SELECT $day AS date, count(*) AS n FROM game_events")
    table = load_metadata({}, load_metrics(tmp_path)).tables["a"]
    assert [column.name for column in table.primary_key] == ["date"]
    assert [(column.name, column.nullable) for column in table.columns] == [("date", False), ("n", True)]
    assert table.comment == "A small metric."


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"key": ["n"]}, "the key must hold the partition"),
        ({"partition": "n", "key": ["n"]}, "must be a date"),
        ({"partition": "day"}, "there is no column 'day'"),
        ({"windows": {"events": 0}}, "windows"),
        ({"windows": {"events": 401}}, "windows"),
        ({"colour": "red"}, "colour"),
        ({"checks": {"has_rows": {"severity": "warn", "holds": "x", "where": "true"}}}, "every metric has the check"),
        ({"checks": {"x": {"severity": "maybe", "holds": "x", "where": "true"}}}, "severity"),
        ({"columns": {"date": {"type": "text", "meaning": "x"}}}, "type"),
    ],
)
def test_a_description_that_cannot_be_used_names_the_field(tmp_path: Path, changes: dict, wrong: str) -> None:
    write(tmp_path, "a", "SELECT 1 FROM game_events", **changes)
    with pytest.raises(CatalogueError, match=wrong) as raised:
        load_metrics(tmp_path)
    assert "a/metric.yaml" in str(raised.value)


def test_circles_unknown_relations_and_taken_names_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "circle", "a", "SELECT * FROM b")
    write(tmp_path / "circle", "b", "SELECT * FROM a")
    with pytest.raises(CatalogueError, match=r"in a circle: (a -> b -> a|b -> a -> b)"):
        load_metrics(tmp_path / "circle")
    write(tmp_path / "unknown", "a", "SELECT * FROM raw_events")
    with pytest.raises(CatalogueError, match="reads 'raw_events', which is neither a metric nor one of"):
        load_metrics(tmp_path / "unknown")
    for taken, wrong in (("alerts", "name of a system table"), ("top_teams", "a board has this name")):
        write(tmp_path / taken, taken, "SELECT * FROM game_events")
        with pytest.raises(CatalogueError, match=wrong):
            load_metadata(load_boards(), load_metrics(tmp_path / taken))


def test_every_column_says_what_it_means_and_shares_have_a_unit() -> None:
    for metric in load_metrics().values():
        assert metric.checks, f"{metric.name} has no rule of its own"
        for name, column in metric.columns.items():
            assert len(column.meaning) > 6, (metric.name, name)
            if name.endswith(("_rate", "stickiness")):
                assert column.unit == "share"
