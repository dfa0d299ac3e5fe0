"""The linter's rules on Flink's real planner."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from gamestream_dagster.catalogue.boards import FLINK_SQL_DIR
from gamestream_dagster.clients.flink_sql_gateway import SqlGateway
from gamestream_dagster.flink_jobs.linter.lint import lint
from gamestream_dagster.flink_jobs.linter.source import units_of
from gamestream_dagster.settings import Settings
from tests.support.fakes.lint_marks import CASES, marked

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def gateway(stack: Settings) -> Iterator[SqlGateway]:
    client = SqlGateway(stack.flink_gateway)
    yield client
    client.close()


@pytest.mark.parametrize("case", ["board_scripts", "clean.sql"])
def test_text_and_planner_find_what_is_marked_and_nothing_else(gateway: SqlGateway, case: str):
    report = lint(units_of([CASES / case]), gateway)
    assert {(Path(one.file).name, one.line, one.code) for one in report.findings} == marked(
        CASES / case, "finds", "plans"
    )


def test_the_projects_own_jobs_have_no_fault(gateway: SqlGateway):
    units = units_of([FLINK_SQL_DIR])
    report = lint(units, gateway)
    assert report.findings == ()
    assert report.plans == len(units) >= 4, "each job with ids and without"


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("WHERE NOT (points < 0)", "", "GS12"),
        ("total_score DESC, team_id ASC", "total_score DESC, team_name ASC", "GS04"),
        (
            "SELECT rnk, team_id, team_name, total_score",
            "SELECT total_score AS rnk, team_id, team_name, rnk AS total_score",
            "GS05",
        ),
        ("SUM(points) AS player_total", "SUM(pointz) AS player_total", "GS16"),
    ],
)
def test_a_fault_planted_in_our_own_job_shows_in_its_plan(
    gateway: SqlGateway, tmp_path: Path, old: str, new: str, code: str
):
    root = shutil.copytree(FLINK_SQL_DIR, tmp_path / "flink_sql")
    query = root / "leaderboards_v1" / "query.sql"
    text = query.read_text(encoding="utf-8")
    assert old in text
    query.write_text(text.replace(old, new), encoding="utf-8")
    report = lint(units_of([root / "leaderboards_v1"]), gateway)
    assert code in {one.code for one in report.findings}


SOURCE = "CREATE TABLE scores (user_id STRING, n {kind}, score BIGINT) WITH ('connector' = 'datagen');\n"
TOP = "CREATE TABLE top (user_id STRING, total BIGINT) WITH ('connector' = 'print');\n"
INSERT = "INSERT INTO top SELECT user_id, score FROM scores;\n"


def told(gateway: SqlGateway, folder: Path, **scripts: str) -> list[str]:
    for name, text in scripts.items():
        (folder / f"{name}.sql").write_text(text, encoding="utf-8")
    found = lint(units_of([folder]), gateway).findings
    return [f"{Path(one.file).name}:{one.line} {one.code} {one.message}" for one in found]


@pytest.mark.parametrize(
    "statement",
    [
        INSERT,
        f"EXECUTE {INSERT}",
        f"EXECUTE STATEMENT SET BEGIN {INSERT} END;",
        f"BEGIN STATEMENT SET; {INSERT} END;",
        f"COMPILE AND EXECUTE PLAN 'file:///p.json' FOR {INSERT}",
        f"EXPLAIN ESTIMATED_COST {INSERT}",
        "SELECT user_id, score FROM scores;",
        "CREATE TABLE made WITH ('connector' = 'print') AS SELECT user_id FROM scores; SELECT * FROM made;",
        "CREATE VIEW v AS SELECT user_id FROM scores; ALTER VIEW v AS SELECT score FROM scores; SELECT score FROM v;",
        "ALTER TABLE scores MODIFY (n STRING); ALTER TABLE scores ADD (more INT); SELECT more FROM scores;",
        "ALTER TABLE scores RENAME TO points; SELECT user_id FROM points;",
        "ALTER TABLE scores SET ('rows-per-second' = '3'); SELECT user_id FROM scores;",
        "CREATE TABLE other LIKE scores; SELECT user_id FROM other;",
        "CREATE TABLE other WITH ('rows-per-second' = '3') LIKE scores (INCLUDING ALL); SELECT user_id FROM other;",
        "SELECT user_id FROM scores /*+ OPTIONS('rows-per-second' = '3') */;",
        "INSERT INTO top WITH c AS (SELECT * FROM scores) SELECT user_id, score FROM c;",
        "CREATE TABLE lake.games.far (a INT) WITH ('connector' = 'datagen'); SELECT far.a FROM lake.games.far;",
        "CREATE TABLE IF NOT EXISTS scores (a INT) WITH ('connector' = 'datagen'); SELECT user_id FROM scores;",
    ],
)
def test_the_planner_takes_every_form_of_a_right_statement(gateway: SqlGateway, tmp_path: Path, statement: str):
    assert told(gateway, tmp_path, a=SOURCE.format(kind="INT") + TOP + statement) == []


def test_two_scripts_with_one_table_name_are_planned_each_with_its_own(gateway: SqlGateway, tmp_path: Path):
    one = SOURCE.format(kind="BIGINT") + TOP + "INSERT INTO top SELECT user_id, n FROM scores;"
    two = SOURCE.format(kind="STRING") + TOP + "INSERT INTO top SELECT n, score FROM scores;"
    assert told(gateway, tmp_path, a=one, b=two) == []


def test_an_error_is_told_once_with_the_number_of_statements_that_it_breaks(gateway: SqlGateway, tmp_path: Path):
    broken = SOURCE.format(kind="NOPE") + TOP + "CREATE VIEW v AS SELECT * FROM scores;" + INSERT + INSERT
    (root,) = told(gateway, tmp_path, a=broken, b=TOP + INSERT)
    assert root.startswith("a.sql:1 GS16")
    assert root.endswith("also caused by this: 4 statements")


def test_what_the_text_cannot_judge_the_planner_does(gateway: SqlGateway, tmp_path: Path):
    (found,) = told(gateway, tmp_path, a=SOURCE.format(kind="INT") + "SELECT * FORM scores;")
    assert found.startswith("a.sql:2 GS16 ")
